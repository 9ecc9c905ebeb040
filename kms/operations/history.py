"""What an object was before a change, kept for as long as its undo policy says, and the way back to it.

A removed EXPORT is the one thing that no way leads back to: the key has moved into the token. Control plane; it must
not know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.core.serializers.json import DjangoJSONEncoder
from django.utils.dateparse import parse_datetime

from accounts.models import Account, Group
from kms.audit.entry import Category, Detail
from kms.crypto.operation import KeyOperation
from kms.objects import keystore
from kms.objects.models import HistoryItem, SecurityObject
from kms.operations.authority import object_target
from kms.operations.command import Call, Command, ObjectRef, Operation, Resolved, control
from kms.operations.errors import InvalidRequest, NotFound
from kms.operations.managed_object import locked_object, row_binding, save
from policies.permissions import Permission

# The columns that a way back restores; the blob's bound ones are among them.
_PLAIN = ("state", "operations", "protection", "public_only", "revocation", "rotation", "options")
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
        created_at=call.now,
        expires_at=call.now + window,
        fields=_fields(row),
        version=row.version,
        blob=bytes(row.blob),
    )


def _fields(row: SecurityObject) -> dict[str, Any]:
    encoder = DjangoJSONEncoder()
    found = {name: getattr(row, name) for name in RESTORED}
    return {
        name: encoder.default(value) if name in (*_DATES, *_IDS) and value is not None else value
        for name, value in found.items()
    }


def revert_object(call: Call, command: RevertObject, row: SecurityObject) -> None:
    item = _item(call, command, row)
    if KeyOperation.EXPORT in item.fields["operations"] and KeyOperation.EXPORT not in row.operations:
        raise InvalidRequest("The object gave up EXPORT since; that cannot be taken back", "export-given-up")
    version = row.version
    for name in RESTORED:
        value = item.fields[name]
        setattr(row, name, parse_datetime(value) if name in _DATES and value is not None else value)
    _restore_blob(row, item, version + 1)
    HistoryItem.objects.filter(object_id=row.id, created_at__gte=item.created_at).delete()
    save(row)
    call.details.update(object_version=row.version)


def _item(call: Call, command: RevertObject, row: SecurityObject) -> HistoryItem:
    """The oldest that was named; all must be there and in time."""
    found = list(
        HistoryItem.objects.filter(object_id=row.id, id__in=command.items, expires_at__gt=call.now).order_by(
            "created_at"
        )
    )
    if not found or len(found) != len(set(command.items)):
        raise NotFound("History item not found, or its time to be undone is over", "history-item-not-found")
    return found[0]


def _restore_blob(row: SecurityObject, item: HistoryItem, version: int) -> None:
    """The blob opens under the version it was kept with; from now on it is bound to a new one."""
    row.version = item.version
    before = row_binding(row)
    row.version = version
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
    row = locked_object(call, command.key, deleted=True)
    return (Resolved(Permission.OBJECT_REVERT, object_target(row.id, row.account_id, row.group_id), row),)


def _describe_revert(command: RevertObject) -> Mapping[str, Detail]:
    return {"subject": str(command.key), "items": len(command.items)}


_operation = control(Category.ADMINISTRATIVE)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(RevertObject, "object.revert", _resolve_revert, revert_object, describe=_describe_revert),
)
