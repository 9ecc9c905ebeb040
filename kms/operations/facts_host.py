"""What the operator of the host does about rows that were changed past the server: looks, and takes them as they are.

No edge on the network reaches these. It must not know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection

from accounts import row_seals
from accounts.row_seals import Moved
from kms.audit import fact_moves
from kms.audit.entry import Category, Detail
from kms.audit.models import Sealing
from kms.audit.sealer import frontier_of
from kms.operations.authority import resolve_on_record
from kms.operations.command import Call, CarryOut, Command, Operation, control
from kms.operations.errors import NotFound
from kms.operations.fact_sweep import Swept, sweep, totals
from policies.permissions import Permission


@dataclass(frozen=True, slots=True)
class SweepFacts(Command):
    """Look at everything that decisions rest on, now."""


@dataclass(frozen=True, slots=True)
class AcceptFacts(Command):
    """Take these subjects as they are now, whoever made them so. Auditors see that it was done."""

    subjects: tuple[UUID, ...]


def sweep_facts(_call: Call, _command: SweepFacts, _payload: None) -> None:
    """What is asked for is recorded; it is done afterwards, as a long transaction would hold up the sealer."""


def swept(_carry_out: CarryOut, _command: SweepFacts, _nothing: None) -> Swept:
    return sweep()


def accept_facts(call: Call, command: AcceptFacts, _payload: None) -> int:
    """Seal them, and let the record's sum be that of what is there."""
    state = Sealing.objects.select_for_update().get(id=1)
    moved = row_seals.reseal(command.subjects)
    if not moved:
        raise NotFound("There are no such subjects")
    fact_moves.record(moved)
    _restate(state)
    call.details.update(items=len(moved), fields=", ".join(str(each.subject) for each in moved[:20]))
    return len(moved)


def _restate(state: Sealing) -> None:
    """So that what the sealer will add, when it comes to the changes that wait, makes it the sum of what is there."""
    with connection.cursor():
        actual, unsealed, _ = totals(connection.connection)
    actual.apply(Moved(move.subject, move.after, move.before) for move in unsealed)
    state.facts = actual.hidden(fact_moves.place(frontier_of(state)))
    state.save(update_fields=["facts"])


def _describe(command: AcceptFacts) -> Mapping[str, Detail]:
    return {"items": len(command.subjects)}


_resolve = resolve_on_record(Permission.RECORD_FACTS)
_operation = control(Category.ADMINISTRATIVE)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(SweepFacts, "record.sweep-facts", _resolve, sweep_facts, afterwards=swept),
    _operation(AcceptFacts, "record.accept-facts", _resolve, accept_facts, describe=_describe),
)
