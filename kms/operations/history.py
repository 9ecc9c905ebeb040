"""What an object was before a change, kept for as long as its undo policy says, and the way back to it.

A removed EXPORT is the one thing that no way leads back to: the key has moved into the token, and what was kept of the
time before is forgotten. Control plane; it must not know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from django.db.models import Max
from django.utils.dateparse import parse_datetime

from accounts.models import Account, Group
from kms.audit.entry import Category, Detail
from kms.crypto.operation import KeyOperation
from kms.crypto.options import ExportRule, options_of
from kms.objects import keystore
from kms.objects.models import HistoryItem, SecurityObject
from kms.operations import judging
from kms.operations.authority import object_target
from kms.operations.command import Call, Command, ObjectRef, Operation, Resolved, control
from kms.operations.errors import InvalidRequest, NotFound
from kms.operations.managed_object import destination, locked_object, row_binding, save
from policies.permissions import Permission

# The columns that a way back restores; the blob's bound ones are among them. A name is not: it may be another's by now.
_PLAIN = (
    "state",
    "operations",
    "protection",
    "public_only",
    "revocation",
    "rotation",
    "publication",
    "options",
    "attributes",
)
_DATES = (
    "activation_date",
    "deactivation_date",
    "compromise_date",
    "destruction_date",
    "deletion_date",
    "rotates_at",
)
_IDS = ("group_id",)
RESTORED = (*_PLAIN, *_DATES, *_IDS)


@dataclass(frozen=True, slots=True)
class RevertObject(Command):
    """Take the object back to the oldest of these history items."""

    key: ObjectRef
    items: tuple[UUID, ...]


def undo_window(row: SecurityObject) -> timedelta | None:
    """How long changes of this object can be taken back: by its group's policy, else its account's; None is never."""
    seconds = Group.objects.filter(id=row.group_id).values_list("undo_seconds", flat=True).first()
    if seconds is None:
        seconds = Account.objects.filter(id=row.account_id).values_list("undo_seconds", flat=True).first()
    return timedelta(seconds=seconds) if seconds else None


def remember(call: Call, row: SecurityObject) -> None:
    """Keep the object as it is in the row now, before the caller changes it. Does nothing without an undo policy."""
    window = undo_window(row)
    if window is None:
        return
    HistoryItem.objects.create(
        object_id=row.id,
        created_at=_next_moment(row, call.now),
        expires_at=call.now + window,
        fields=_fields(row),
        version=row.version,
        blob=bytes(row.blob),
    )


def _next_moment(row: SecurityObject, now: datetime) -> datetime:
    """Changes are in the order of the row's lock; a call may have read the clock before one that it then waited for."""
    last = HistoryItem.objects.filter(object_id=row.id).aggregate(at=Max("created_at"))["at"]
    return now if last is None or last < now else last + timedelta(microseconds=1)


def remember_no_longer(call: Call, row: SecurityObject) -> None:
    """After material was taken away: nothing brings it back when the undo policy's time for that is over.

    An older change may have been made under a policy with a longer time, or this one under none.
    """
    window = undo_window(row)
    items = HistoryItem.objects.filter(object_id=row.id)
    if window is None:
        items.delete()
    else:
        items.filter(expires_at__gt=call.now + window).update(expires_at=call.now + window)


def forget_exportable(row: SecurityObject) -> None:
    """The object gave up EXPORT: what is kept of the time before would be a way to have it again."""
    HistoryItem.objects.filter(object_id=row.id, fields__operations__contains=KeyOperation.EXPORT.value).delete()


def _fields(row: SecurityObject) -> dict[str, Any]:
    """Whole: Django's own JSON cuts times to milliseconds."""
    dates = {name: None if (value := getattr(row, name)) is None else value.isoformat() for name in _DATES}
    return {name: getattr(row, name) for name in _PLAIN} | dates | {name: str(getattr(row, name)) for name in _IDS}


def revert_object(call: Call, command: RevertObject, row: SecurityObject, *_group: Any) -> None:
    """``_group``: where the object goes back to, when it was moved since and the caller may create there."""
    item = _item(call, command, row)
    if item is None:
        raise NotFound("History item not found, or its time to be undone is over", "history-item-not-found")
    if KeyOperation.EXPORT in item.fields["operations"] and KeyOperation.EXPORT not in row.operations:
        raise InvalidRequest("The object gave up EXPORT since; that cannot be taken back", "export-given-up")
    version, rule, before = row.version, options_of(row.options).export, judging.standing_of(row)
    for name in RESTORED:
        setattr(row, name, _restored(name, item.fields[name]))
    if row.replacement is not None:  # which has the rotation policy now
        row.rotation, row.rotates_at = None, None
    _restore_blob(row, item, version + 1, rule)
    judging.check_changed(call, row, before)
    HistoryItem.objects.filter(object_id=row.id, created_at__gte=item.created_at).delete()
    save(row)
    call.details.update(object_version=row.version)


def _restored(name: str, value: Any) -> Any:
    """A column's value as the row has it, of what JSON kept."""
    if name in _IDS:
        return UUID(value)
    return parse_datetime(value) if name in _DATES and value is not None else value


def _item(call: Call, command: RevertObject, row: SecurityObject) -> HistoryItem | None:
    """The oldest that was named, if all are there and in time."""
    found = list(
        HistoryItem.objects.filter(object_id=row.id, id__in=command.items, expires_at__gt=call.now).order_by(
            "created_at"
        )
    )
    return found[0] if found and len(found) == len(set(command.items)) else None


def _restore_blob(row: SecurityObject, item: HistoryItem, version: int, rule: ExportRule | None) -> None:
    """The blob opens under what it was kept with; from now on it is bound to a new version.

    An export rule that was tightened since stays: an undo is no way around what an update may not do.
    """
    row.version = item.version
    before, options = row_binding(row), options_of(row.options)
    row.version = version
    if rule is not None and not rule.may_become(options.export or ExportRule()):
        row.options = msgspec.structs.replace(options, export=rule).stored()
    blob = bytes(item.blob)
    row.blob = keystore.rebind(blob, binding=before, to=row_binding(row)) if blob else b""


def items_of(rows: Sequence[SecurityObject], call: Call) -> Mapping[UUID, list[HistoryItem]]:
    """What can still be taken back, newest first, by object: one query for a whole page."""
    found: dict[UUID, list[HistoryItem]] = {}
    ids = [row.id for row in rows]
    live = HistoryItem.objects.filter(object_id__in=ids, expires_at__gt=call.now).defer("blob")
    for item in live.order_by("-created_at"):
        found.setdefault(item.object_id, []).append(item)
    return found


def _resolve_revert(call: Call, command: RevertObject) -> Sequence[Resolved]:
    """Back into a group that it was moved out of takes the right to create there, as the move away did."""
    row = locked_object(call, command.key, deleted=True)
    resolved = [Resolved(Permission.OBJECT_REVERT, object_target(row), row)]
    item = _item(call, command, row)
    if item is not None and item.fields["group_id"] != str(row.group_id):
        resolved.append(destination(call, UUID(item.fields["group_id"])))
    return resolved


def _describe_revert(command: RevertObject) -> Mapping[str, Detail]:
    return {"subject": str(command.key), "items": len(command.items)}


_operation = control(Category.ADMINISTRATIVE)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(RevertObject, "object.revert", _resolve_revert, revert_object, describe=_describe_revert),
)
