"""Whoever administers one group attaches nothing of another that they cannot see, whichever field would name it.

The requests are those of the authorisation matrix, with a group or a key of elsewhere in the place of one's own.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from kms.api.routes import ENDPOINTS
from kms.api.wire.base import Endpoint
from tests.api.test_matrix import ROLES_GIVE, VALID, Matrix, is_batch
from tests.kit.cast import Actor
from tests.kit.verdicts import Came, Sent, attempt, of_items

# Who sees every request for approval of the account reads of other groups by that.
TOO_MUCH = {"approval.get-all"}


class Borders:
    """An account with a group whose administrator sees no other, and what is in another."""

    def __init__(self) -> None:
        self.matrix = Matrix()
        tenant = self.matrix.world.tenant
        self.group, other = str(tenant.group.id), tenant.new_group()
        self.elsewhere = str(other.id)
        exportable = ["encrypt", "decrypt", "wrap", "unwrap", "derive", "export"]
        self.hidden = {
            "AES": tenant.key(group=other, operations=exportable),
            "EC": tenant.key("EC", curve="NistP256", group=other),
            "HMAC": tenant.key("HMAC", size=256, group=other),
        }
        rights = frozenset(p for p in ROLES_GIVE if p not in TOO_MUCH)
        self.officer: Actor = self.matrix.custom.holding(rights, [tenant.group.id])

    def swaps(self) -> dict[str, str]:
        """What is theirs, and what comes in its place."""
        keys = self.matrix.world.keys
        return {self.group: self.elsewhere} | {keys[kind]: str(ref.id) for kind, ref in self.hidden.items()}

    def crossing(self, sent: Sent) -> list[Sent]:
        """The request with one thing of elsewhere in it, for each that it names."""
        found = []
        for own, other in self.swaps().items():
            path = {name: other if value == own else value for name, value in sent.path.items()}
            body = sent.body.replace(own.encode(), other.encode())
            if (path, body) != (dict(sent.path), sent.body):
                found.append(replace(sent, path=path, body=body))
        return found


@pytest.fixture(scope="module")
def borders(installation: None) -> Borders:
    return Borders()


def came_to(borders: Borders, sent: Sent) -> Came:
    came = attempt(sent, borders.officer.authorization)
    return of_items(came) if is_batch(sent.endpoint) else came


@pytest.mark.parametrize("endpoint", [e for e in ENDPOINTS if e.operation in VALID], ids=lambda e: e.operation)
def test_no_route_takes_what_its_caller_cannot_see(endpoint: Endpoint, borders: Borders) -> None:
    sent = borders.matrix.ready(endpoint).sent
    for crossing in borders.crossing(sent):
        came = came_to(borders, crossing)
        assert came.status in (403, 404), (crossing.path, crossing.body, came)


def test_the_sweep_crosses_many_borders_and_the_officer_may_do_what_is_theirs(borders: Borders) -> None:
    endpoints = [endpoint for endpoint in ENDPOINTS if endpoint.operation in VALID]
    crossed = [e for e in endpoints if borders.crossing(borders.matrix.ready(e).sent)]
    assert len(crossed) > 50
    own = [e for e in crossed if came_to(borders, borders.matrix.ready(e).sent).status < 400]
    assert len(own) > 40, [e.operation for e in crossed if e not in own]
