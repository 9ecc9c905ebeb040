"""How the authorisation matrix judges: what a call should come to, by sets alone, and what it did come to.

``predicted`` knows the catalogue and nothing of ``policies.decision``, so that a mistake there is not one here.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from uuid import UUID, uuid4

from django.db import transaction

from kms.api.handling import Incoming, handle
from kms.api.wire.base import Endpoint
from kms.audit.entry import Outcome
from kms.audit.models import AuditRecord
from kms.operations.command import Resolved
from policies.permissions import CATALOGUE, Permission, Scope

Permissions = frozenset[Permission]


class Verdict(Enum):
    """Where rights stop a call, with the status that says so. What is ALLOWED may still fail for what it asks."""

    ALLOWED = 200
    UNKNOWN_CALLER = 401
    DENIED = 403
    INVISIBLE = 404


@dataclass(frozen=True, slots=True)
class Held:
    """What an actor holds by the catalogue, with all that is implied."""

    account: Permissions = frozenset()
    everywhere: Permissions = frozenset()
    groups: Mapping[UUID, Permissions] = field(default_factory=dict)

    @property
    def somewhere(self) -> Permissions:
        return self.account | self.everywhere.union(*self.groups.values())

    def in_group(self, group: UUID) -> Permissions:
        return self.everywhere | self.groups.get(group, frozenset())


def predicted(needs: Iterable[Resolved], held: Held) -> Verdict:
    """The first target that is refused decides."""
    verdicts = (_predicted_of(need, held) for need in needs)
    return next((verdict for verdict in verdicts if verdict is not Verdict.ALLOWED), Verdict.ALLOWED)


def _predicted_of(need: Resolved, held: Held) -> Verdict:
    spec, target = CATALOGUE[need.permission], need.target
    if spec.scope in (Scope.PUBLIC, Scope.SELF):
        return Verdict.ALLOWED
    inside = [held.in_group(group) for group in target.groups]
    if target.see is not None and target.see not in held.account | held.everywhere | frozenset().union(*inside):
        return Verdict.INVISIBLE
    if spec.scope is Scope.ACCOUNT:
        return Verdict.ALLOWED if need.permission in held.account else Verdict.DENIED
    having = sum(need.permission in each for each in inside)
    enough = having == len(inside) if spec.everywhere else having > 0
    granted = need.permission in held.everywhere or (bool(inside) and enough)
    return Verdict.ALLOWED if granted else Verdict.DENIED


@dataclass(frozen=True, slots=True)
class Sent:
    """A request that is ready to be made by anybody."""

    endpoint: Endpoint
    path: Mapping[str, str]
    body: bytes
    query: str = ""


@dataclass(frozen=True, slots=True)
class Came:
    """What a call came to: where rights stopped it, what its caller was told, and what the record says of it."""

    verdict: Verdict
    status: int
    reason: str
    body: bytes


# Reasons of the record by which rights refuse; any other ending is the request's own.
_REFUSED = {
    "not-granted": Verdict.DENIED,
    "beyond-own": Verdict.DENIED,
    "user-disabled": Verdict.DENIED,
    "app-disabled": Verdict.DENIED,
    "users-only": Verdict.DENIED,
    "not-visible": Verdict.INVISIBLE,
    "not-found": Verdict.INVISIBLE,
}


def attempt(sent: Sent, authorization: str | None, *, lasting: bool = False) -> Came:
    """The call over the REST edge, from its header to its answer; undone afterwards unless it is ``lasting``."""
    incoming = Incoming(sent.path, sent.query, sent.body, authorization, None, uuid4())
    with contextlib.nullcontext() if lasting else transaction.atomic():
        outgoing = handle(sent.endpoint, incoming)
        entries = AuditRecord.objects.filter(request_id=incoming.request_id).exclude(outcome=Outcome.ANNOUNCED)
        reason = entries.order_by("-sequence").values_list("reason", flat=True).first() or ""
        if not lasting:
            transaction.set_rollback(True)
    verdict = Verdict.UNKNOWN_CALLER if outgoing.status == 401 else _REFUSED.get(reason, Verdict.ALLOWED)
    return Came(verdict, outgoing.status, reason, outgoing.body)


def of_items(came: Came) -> Came:
    """What became of the items of a batch, which end on their own and alike."""
    if came.status != 200:
        return came
    (status,) = {item["status"] for item in json.loads(came.body)}
    verdict = {401: Verdict.UNKNOWN_CALLER, 403: Verdict.DENIED, 404: Verdict.INVISIBLE}
    return replace(came, verdict=verdict.get(status, Verdict.ALLOWED), status=status)
