"""A place whose key is rotated and destroyed only after two people agreed, each with a password."""

from __future__ import annotations

import secrets
from typing import Any

from tests.acceptance.server import RunningServer, basic
from tests.kit.kms_plugin import KmsPlace

PASSWORD = "an initial password 1"


class GuardedPlace(KmsPlace):
    def __init__(self, server: RunningServer, name: str = "guarded") -> None:
        super().__init__(server, name)
        self._api_key = super().api_key()  # while it is to be had without anybody's approval
        self._account = next(iter(self.administrator("GET", "/sys/v1/users/accounts")))
        people = [self._person() for _ in range(2)]
        self._reviewers = [bearer for _, bearer in people]
        places = [{"user": user} for user, _ in people]
        policy = {"quorum": {"n": 2, "members": places, "require_password": True}}
        self.administrator("PATCH", f"/sys/v1/groups/{self.group}", {"approval_policy": policy})

    def approved(self, method: str, path: str, body: Any = None) -> Any:
        """The call's result, by way of both people. Without them it is refused."""
        refused = self.ask(method, path, body)
        assert refused.status == 403, refused.text
        assert "requires approval" in refused.text
        asked = {"method": method, "operation": path, **({} if body is None else {"body": body})}
        request = self.administrator("POST", "/sys/v1/approval_requests", asked)["request_id"]
        for reviewer in self._reviewers:
            self._as(reviewer, "POST", f"/sys/v1/approval_requests/{request}/approve", {"password": PASSWORD})
        result = self.administrator("POST", f"/sys/v1/approval_requests/{request}/result")
        assert result["status"] < 300, result
        return result.get("body")

    def api_key(self) -> str:
        return self._api_key

    def rotate(self, *, deactivate: bool = False) -> str:
        body = {"name": self.name, "deactivate_rotated_key": deactivate}
        self.key = self.approved("POST", "/crypto/v1/keys/rekey", body)["kid"]
        return self.key

    def destroy(self, key: str) -> None:
        self.approved("POST", f"/crypto/v1/keys/{key}/destroy")

    def _person(self) -> tuple[str, str]:
        """Id and Authorization header of somebody new in the account."""
        email = f"reviewer-{secrets.token_hex(4)}@example.org"
        invitation = {"user_email": email, "user_password": PASSWORD, "account_role": ["ACCOUNTMEMBER"]}
        user = self.administrator("POST", "/sys/v1/users/invite", invitation)["user_id"]
        session = self._as(basic(email, PASSWORD), "POST", "/sys/v1/session/auth")
        bearer = f"Bearer {session['access_token']}"
        accepted = {"accepts": [self._account], "rejects": []}
        self._as(bearer, "POST", "/sys/v1/users/process_invite", accepted)
        self._as(bearer, "POST", "/sys/v1/session/select_account", {"acct_id": self._account})
        return user, bearer

    def _as(self, authorization: str, method: str, path: str, body: Any = None) -> Any:
        answer = self.server.request(method, path, body, authorization=authorization)
        assert answer.status < 300, answer.text
        return answer.json
