"""SIGKILL between the last vote and the call it sets off, in the middle of that call, and at any time: it is made once.

The server is held at a place by a lock that it has to take there, which the test has taken first.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import pytest

from kms.operations.approving import _CARRYING_OUT
from tests.acceptance.server import RunningServer, basic
from tests.faults.conftest import Client, Workplace, database, workplace

WAIT_SECONDS = 40.0
PASSWORD = "an initial password 1"
APPROVALS = "/sys/v1/approval_requests"


@pytest.fixture(scope="module")
def own() -> Iterator[RunningServer]:
    """A server whose keeper looks often."""
    with TemporaryDirectory(prefix="keystead-approvals-", ignore_cleanup_errors=True) as folder:
        running = RunningServer(Path(folder), env={"KEYSTEAD_KEEPER_SECONDS": "1"})
        try:
            running.start()
            yield running
        finally:
            running.remove()


class Office:
    """A workplace whose group is guarded by two people, who vote over HTTP."""

    def __init__(self, server: RunningServer, name: str) -> None:
        self.server, self.place = server, workplace(server, name)
        admin = self.place.administrator()
        self._account = next(iter(admin("GET", "/sys/v1/users/accounts").json))
        self.people = [self._person(admin, f"{name}-{number}@example.org") for number in range(2)]
        members = [{"user": user} for user, _ in self.people]
        policy = {"quorum": {"n": 2, "members": members}, "protect_permissions": ["ROTATE_SOBJECTS", "CREATE_SOBJECTS"]}
        guarded = admin("PATCH", f"/sys/v1/groups/{self.place.group}", {"approval_policy": policy})
        assert guarded.status == 200, guarded.text

    def _person(self, admin: Client, email: str) -> tuple[str, str]:
        """Id and credential of a session."""
        made = admin("POST", "/sys/v1/users/invite", {"user_email": email, "user_password": PASSWORD})
        assert made.status == 201, made.text
        answer = self.server.request("POST", "/sys/v1/session/auth", authorization=basic(email, PASSWORD))
        bearer = f"Bearer {answer.json['access_token']}"
        ask = Client(self.server, bearer)
        assert ask("POST", "/sys/v1/users/process_invite", {"accepts": [self._account]}).status == 204
        assert ask("POST", "/sys/v1/session/select_account", {"acct_id": self._account}).status == 200
        return made.json["user_id"], bearer

    def ask(self, operation: str, body: dict[str, Any]) -> str:
        asked = self.place.client()("POST", APPROVALS, {"method": "POST", "operation": operation, "body": body})
        assert asked.status == 201, asked.text
        request: str = asked.json["request_id"]
        return request

    def rotation(self) -> str:
        return self.ask("/crypto/v1/keys/rekey", {"name": self.key()["name"]})

    def key(self) -> Any:
        return self.place.client()("GET", f"/crypto/v1/keys/{self.place.key}").json

    def vote(self, request: str, number: int) -> int | None:
        """The status of the answer. None: the server died before there was one."""
        client = Client(self.server, self.people[number][1])
        try:
            return client("POST", f"{APPROVALS}/{request}/approve", {}).status
        except (OSError, http.client.HTTPException, ValueError, KeyError):
            return None
        finally:
            client.close()

    def status(self, request: str) -> Any:
        return self.place.client()("GET", f"{APPROVALS}/{request}").json["status"]

    def wait_until_approved(self, request: str) -> None:
        eventually(lambda: self.status(request) == "APPROVED", f"{request} was not carried out")


def eventually(holds: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not holds():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.05)


def times_done(server: RunningServer, request: str) -> int:
    found = (
        "SELECT count(*) FROM audit_entry WHERE outcome = 'done' AND reason = 'approved' AND details->>'approval' = %s"
    )
    with database(server) as connection:
        row = connection.execute(found, [request]).fetchone()
    assert row is not None
    count: int = row[0]
    return count


def is_due(server: RunningServer, request: str) -> bool:
    with database(server) as connection:
        found = "SELECT due_at IS NOT NULL FROM policies_approvalrequest WHERE id = %s AND status = 'pending'"
        return connection.execute(found, [UUID(request)]).fetchone() == (True,)


def waits_to_insert(server: RunningServer) -> bool:
    """Whether some transaction is at its last step: its entry."""
    with database(server) as connection:
        found = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'audit_entry'::regclass"
        row = connection.execute(found).fetchone()
    return row is not None and row[0] > 0


class Held:
    """The request that is voted on, held where it is about to be carried out."""

    def __init__(self, office: Office, request: str) -> None:
        self._office, self._request, self._connection = office, request, database(office.server)
        key = int.from_bytes(UUID(request).bytes[:4], "big", signed=True)
        self._connection.execute("SELECT pg_advisory_lock(%s, %s)", [_CARRYING_OUT, key])

    def last_vote(self) -> threading.Thread:
        """Committed when this returns, and not answered."""
        voting = threading.Thread(target=self._office.vote, args=(self._request, 1), daemon=True)
        voting.start()
        eventually(lambda: is_due(self._office.server, self._request), "the last vote was not committed")
        return voting

    def release(self) -> None:
        self._connection.close()


def test_a_server_killed_after_the_last_vote_makes_the_call_when_it_is_back(own: RunningServer) -> None:
    office = Office(own, "after-the-vote")
    request = office.rotation()
    assert office.vote(request, 0) == 200
    held = Held(office, request)
    voting = held.last_vote()
    own.kill()
    voting.join(30)
    held.release()
    assert times_done(own, request) == 0
    own.start()
    office.wait_until_approved(request)
    time.sleep(2.5)  # time for more turns, which find nothing to do
    assert times_done(own, request) == 1
    new = office.key()["links"]["replacement"]
    assert office.place.client()("GET", f"/crypto/v1/keys/{new}").json["links"] == {"replaced": office.place.key}
    result = office.place.client()("POST", f"{APPROVALS}/{request}/result").json
    assert (result["status"] in (200, 201), result["body"]["kid"]) == (True, new)


def test_a_server_killed_in_the_middle_of_the_call_makes_it_once_when_it_is_back(own: RunningServer) -> None:
    """All of it is done, and its entry is not written: without that nothing of it is."""
    office = Office(own, "in-the-middle")
    request = office.rotation()
    assert office.vote(request, 0) == 200
    held = Held(office, request)
    voting = held.last_vote()
    with ExitStack() as stack:
        record = stack.enter_context(database(own))
        stack.enter_context(record.transaction())
        record.execute("LOCK TABLE audit_entry IN SHARE MODE")
        held.release()
        eventually(lambda: waits_to_insert(own), "the call did not come to its end")
        own.kill()
        voting.join(30)
    assert times_done(own, request) == 0
    own.start()
    office.wait_until_approved(request)
    time.sleep(2.5)
    assert times_done(own, request) == 1
    assert "replacement" in office.key()["links"]


def test_whenever_a_server_is_killed_what_was_approved_is_made_once(own: RunningServer) -> None:
    office = Office(own, "whenever")
    acknowledged: dict[str, int | None] = {}
    requests = [office.ask("/crypto/v1/keys", _new_key(office.place, f"number {n}")) for n in range(8)]
    for request in requests:
        assert office.vote(request, 0) == 200
    voting = [threading.Thread(target=_note, args=(acknowledged, office, each), daemon=True) for each in requests]
    for thread in voting:
        thread.start()
    eventually(lambda: any(times_done(own, each) for each in requests), "nothing was carried out")
    own.kill()
    for thread in voting:
        thread.join(30)
    own.start()
    for request in requests:
        if acknowledged[request] != 200 and not is_due(own, request):
            office.vote(request, 1)
        office.wait_until_approved(request)
    assert {request: times_done(own, request) for request in requests} == dict.fromkeys(requests, 1)


def _note(acknowledged: dict[str, int | None], office: Office, request: str) -> None:
    acknowledged[request] = office.vote(request, 1)


def _new_key(place: Workplace, name: str) -> dict[str, Any]:
    return {"name": f"approved {name}", "obj_type": "AES", "key_size": 256, "group_id": place.group}
