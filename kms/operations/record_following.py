"""The whole record, line by line, for tools of the host: every sealed entry once it is sealed, from where they stopped.

That it is read is on the record, at each start. Where lines and places are kept is the command's to know; no edge on
the network reaches this. It must not know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kms.audit import tree
from kms.audit.account_entries import end_of_record
from kms.audit.entry import Category, Detail
from kms.audit.formats import SealedEntry, sealed_entry
from kms.audit.models import AuditLeaf
from kms.operations.authority import resolve_on_record
from kms.operations.command import Call, CarryOut, Command, Operation, control
from kms.operations.errors import InvalidRequest
from policies.permissions import Permission

AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Place:
    """How far somebody has read: the next leaf, and the hash of the one before, by which the record knows it again."""

    next: int = 0
    hash: str = ""


@dataclass(frozen=True, slots=True)
class FollowRecord(Command):
    """``take`` keeps entries and the place after them; ``again`` waits, and says whether to look for more."""

    start: Place
    take: Callable[[Sequence[SealedEntry], Place], None]
    again: Callable[[], bool] = lambda: False


def follow_record(_call: Call, command: FollowRecord, _payload: None) -> None:
    """A cursor of another record, or of this one before it was set back, leads nowhere."""
    start = command.start
    if start.next and not AuditLeaf.objects.filter(index=start.next - 1, hash=bytes.fromhex(start.hash)).exists():
        raise InvalidRequest("The cursor is of another record, or of this one before it was set back")


def _read_on(_carry_out: CarryOut, command: FollowRecord, _nothing: None) -> Place:
    place = command.start
    while True:
        end = end_of_record()
        while place.next < end:
            until = min(place.next + AT_ONCE, end)
            entries = [sealed_entry(line) for line in tree.lines(place.next, until)]
            place = Place(until, entries[-1].hash)
            command.take(entries, place)
        if not command.again():
            return place


def _describe(command: FollowRecord) -> Mapping[str, Detail]:
    return {"fields": f"start={command.start.next}"}


_resolve = resolve_on_record(Permission.RECORD_EXPORT)
_operation = control(Category.ADMINISTRATIVE)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(FollowRecord, "record.follow", _resolve, follow_record, describe=_describe, afterwards=_read_on),
)
