"""Every route that a quorum can stand before: asked for, approved, carried out, and answered as if it had been called.

The requests are those of the authorisation matrix. What they do is done here for good, each once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from kms.api.replay import can_wait
from kms.api.wire.base import Endpoint
from policies.models import AccountPolicy
from policies.stored import stored_tree
from tests.api.test_matrix import Matrix, by
from tests.api.test_permissions import colleague
from tests.api.test_quorum_sweep import GUARDED_ROUTES, OF_ACCOUNTS, OF_GROUPS, guardable
from tests.kit.cast import bearer
from tests.kit.quorums import users
from tests.kit.verdicts import attempt

APPROVALS = "/sys/v1/approval_requests"
# The account is the last thing to go.
ROUTES = sorted((e for e in GUARDED_ROUTES if can_wait(e)), key=lambda e: e.operation == "DeleteAccount")


class Desk:
    """An account in which, when it is guarded, everything that can be is, by one person."""

    def __init__(self, client: httpx.Client) -> None:
        self.client, self.matrix = client, Matrix()
        self.ready = {endpoint.operation: self.matrix.ready(endpoint) for endpoint in ROUTES}
        self.asking = [endpoint for endpoint in ROUTES if guardable(self.ready[endpoint.operation])]
        reviewer = colleague(self.matrix.world)
        self.reviewer = bearer(reviewer)
        self._tree = stored_tree(users(1, [reviewer.id]))

    def direct(self, endpoint: Endpoint) -> tuple[int, Any]:
        """What the call is answered, undone."""
        came = attempt(self.ready[endpoint.operation].sent, self.matrix.may[by(endpoint)])
        return came.status, shape(json.loads(came.body) if came.body else None)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        account, names = self.matrix.world.tenant.account, sorted(OF_GROUPS | OF_ACCOUNTS)
        policy, _ = AccountPolicy.objects.update_or_create(
            account=account, defaults={"quorum": self._tree, "guarded": names}
        )
        yield
        AccountPolicy.objects.filter(pk=policy.pk).update(quorum=None, guarded=[])

    def post(self, authorization: str, path: str, body: Any = None) -> Any:
        answer = self.client.post(APPROVALS + path, json=body, headers={"Authorization": authorization})
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    def asked(self, endpoint: Endpoint) -> dict[str, Any]:
        sent = self.ready[endpoint.operation].sent
        operation = endpoint.path.format(**sent.path) + (f"?{sent.query}" if sent.query else "")
        wanted = {"method": endpoint.method, "operation": operation}
        if sent.body:
            wanted["body"] = json.loads(sent.body)
        asked: dict[str, Any] = self.post(self.matrix.may[by(endpoint)], "", wanted)
        return asked


def shape(answer: Any) -> Any:
    """The names in an answer, and the kinds of what they name: ids and times differ."""
    if isinstance(answer, dict):
        return {name: shape(value) for name, value in answer.items()}
    return type(answer).__name__


@pytest.fixture(scope="module")
def desk(client: httpx.Client) -> Desk:
    return Desk(client)


@pytest.mark.parametrize("endpoint", ROUTES, ids=lambda e: e.operation)
def test_what_is_approved_is_answered_as_the_call_itself(endpoint: Endpoint, desk: Desk) -> None:
    if endpoint not in desk.asking:
        return  # nothing of it can be guarded
    direct = desk.direct(endpoint)
    with desk.guarded():
        request = desk.asked(endpoint)["request_id"]
        approved = desk.post(desk.reviewer, f"/{request}/approve", {})
        result = desk.post(desk.matrix.may[by(endpoint)], f"/{request}/result")
    assert approved["status"] == "APPROVED", result
    assert (result["status"], shape(result["body"])) == direct


def test_the_sweep_reaches_many_routes(desk: Desk) -> None:
    assert len(desk.asking) > 60
