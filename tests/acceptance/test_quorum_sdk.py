"""Requests for approval with the vendor's Python SDK: each function of its class, and what its models read of answers.

The SDK knows of no proof that goes with a vote: `approve` sends what it is given, and its model of that is empty.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import unique
from tests.acceptance.sdk import Refused, Sdk
from tests.acceptance.server import RunningServer

PASSWORD = "an initial password 1"
API = "ApprovalRequestsApi"


class Board:
    """A group that two of three guard with their passwords, and the administrator who asks."""

    def __init__(self, server: RunningServer, sdk: Sdk) -> None:
        self.sdk = sdk
        self.admin = server.administrator_session().removeprefix("Bearer ")
        self.account = next(iter(sdk.call(self.admin, "UsersApi", "get_user_account")))
        self.me = next(
            user["user_id"]
            for user in sdk.call(self.admin, "UsersApi", "get_users")
            if user["user_email"] == server.email
        )
        self.group = sdk.call(self.admin, "GroupsApi", "create_group", {"name": unique("board")})["group_id"]
        key = {"name": unique("key"), "obj_type": "AES", "key_size": 256, "group_id": self.group}
        self.key = sdk.call(self.admin, "SecurityObjectsApi", "generate_security_object", key)["kid"]
        self.people = [self._person() for _ in range(3)]
        places = [{"user": user} for user, _ in self.people]
        policy = {"quorum": {"n": 2, "members": places, "require_password": True}}
        sdk.call(self.admin, "GroupsApi", "update_group", self.group, {"approval_policy": policy})

    def _person(self) -> tuple[str, str]:
        """Id and token."""
        call, email = self.sdk.call, f"{unique('p')}@example.org"
        invitation = {"user_email": email, "user_password": PASSWORD, "account_role": ["ACCOUNTMEMBER"]}
        user = call(self.admin, "UsersApi", "invite_user", invitation)["user_id"]
        token = self.sdk.log_in(email, PASSWORD)
        call(token, "UsersApi", "process_invitations", {"accepts": [self.account], "rejects": []})
        call(token, "AuthenticationApi", "select_account", {"acct_id": self.account})
        return user, token

    def ask(self, token: str, name: str, *arguments: Any, **named: Any) -> Any:
        return self.sdk.call(token, API, name, *arguments, **named)

    def deletion(self) -> dict[str, Any]:
        return {"method": "DELETE", "operation": f"/crypto/v1/keys/{self.key}", "description": "not needed any more"}

    def asked(self) -> Any:
        return self.ask(self.admin, "create_approval_request", self.deletion())


@pytest.fixture(scope="module")
def board(clients: Path, server: RunningServer) -> Iterator[Board]:
    with Sdk(clients, server) as sdk:
        yield Board(server, sdk)


def test_a_request_is_read_by_the_sdks_model(board: Board) -> None:
    asked = board.asked()
    assert (asked["status"], asked["method"], asked["operation"]) == (
        "PENDING",
        "DELETE",
        f"/crypto/v1/keys/{board.key}",
    )
    assert (asked["requester"], asked["acct_id"]) == ({"user": board.me}, board.account)
    assert asked["subjects"] == [{"sobject": board.key}]
    assert {each["user"] for each in asked["reviewers"]} == {user for user, _ in board.people}
    assert asked["description"] == "not needed any more"
    assert asked["expiry"] > asked["created_at"]
    found = board.ask(board.people[0][1], "get_approval_request", asked["request_id"])
    assert found["request_id"] == asked["request_id"]
    board.ask(board.admin, "delete_approval_request", asked["request_id"])
    with pytest.raises(Refused, match="404"):
        board.ask(board.admin, "get_approval_request", asked["request_id"])


def test_requests_are_listed_by_the_sdks_filters(board: Board) -> None:
    asked, denied = board.asked()["request_id"], board.asked()["request_id"]
    (bob, token), (eve, _) = board.people[0], board.people[1]
    board.ask(token, "deny", denied)
    filters: list[tuple[dict[str, str], set[str]]] = [
        ({"status": "PENDING"}, {asked}),
        ({"status": "DENIED"}, {denied}),
        ({"reviewer": eve, "subject": board.key}, {asked, denied}),
        ({"requester": board.me, "subject": board.key, "status": "PENDING"}, {asked}),
        ({"requester": bob}, set()),
    ]
    for wanted, expected in filters:
        listed = {each["request_id"] for each in board.ask(token, "get_approval_requests", **wanted)}
        assert listed & {asked, denied} == expected, wanted
    assert board.ask(token, "get_approval_request", denied)["denier"] == {"user": bob}
    board.ask(board.admin, "delete_approval_request", asked)


def test_a_call_is_made_once_two_have_shown_their_passwords(board: Board) -> None:
    with pytest.raises(Refused, match="requires approval"):
        board.sdk.call(board.admin, "SecurityObjectsApi", "delete_security_object", board.key)
    request = board.asked()["request_id"]
    (bob, first), (eve, second), _ = board.people
    for nothing in ({}, {"body": {"password": "wrong"}}):
        with pytest.raises(Refused, match=r"403: .*password"):
            board.ask(first, "approve", request, **nothing)
    with pytest.raises(Refused, match="403"):
        board.ask(board.admin, "approve", request, body={"password": PASSWORD})
    with pytest.raises(Refused, match=r"409: .*not been decided"):
        board.ask(board.admin, "get_result", request)
    board.ask(first, "approve", request, body={"password": PASSWORD})
    assert board.ask(board.admin, "get_approval_request", request)["status"] == "PENDING"
    board.ask(second, "approve", request, body={"password": PASSWORD})
    approved = board.ask(board.admin, "get_approval_request", request)
    assert (approved["status"], approved["approvers"]) == ("APPROVED", [{"user": bob}, {"user": eve}])
    result = board.ask(board.admin, "get_result", request)
    assert (result["status"], result.get("body")) == (204, None)
    with pytest.raises(Refused, match="404"):
        board.sdk.call(board.admin, "SecurityObjectsApi", "get_security_object", board.key)
