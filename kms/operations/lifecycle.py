"""What happens to a security object after its creation: update, activate, delete, export.

Control plane: rows are locked and changed in the call's transaction. It must not know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from kms.audit.entry import Category, Detail
from kms.crypto.operation import KeyOperation
from kms.crypto.registry import algorithm_of
from kms.hsm.module import KeySpec
from kms.objects import keystore
from kms.objects.models import SecurityObject
from kms.objects.snapshot import ObjectSnapshot
from kms.objects.state import Cryptoperiod, KeyState
from kms.operations.authority import object_target
from kms.operations.command import Call, Command, ObjectNeed, ObjectRef, Operation, Resolved, control
from kms.operations.errors import InvalidRequest
from kms.operations.managed_object import (
    ObjectView,
    check_period,
    checked_operations,
    destination,
    locked_object,
    row_binding,
    save,
    state_of,
    view_of,
)
from policies.permissions import Permission


@dataclass(frozen=True, slots=True)
class UpdateObject(Command):
    """Change what is not None. ``operations`` may be narrowed or widened, but export is never gained."""

    key: ObjectRef
    name: str | None = None
    description: str | None = None
    custom_metadata: Mapping[str, str] | None = None
    enabled: bool | None = None
    operations: frozenset[KeyOperation] | None = None
    group: UUID | None = None
    activation_date: datetime | None = None
    deactivation_date: datetime | None = None


@dataclass(frozen=True, slots=True)
class ActivateObject(Command):
    key: ObjectRef


@dataclass(frozen=True, slots=True)
class DeleteObject(Command):
    key: ObjectRef


@dataclass(frozen=True, slots=True)
class ExportObject(Command):
    key: ObjectRef


def update_object(call: Call, command: UpdateObject, row: SecurityObject, *others: Any) -> ObjectView:
    """``others`` repeat the row once per further permission; the last is the new group when one is given."""
    fields = [name for name in UPDATABLE if getattr(command, name) is not None]
    call.details["fields"] = ",".join(fields)
    for name in ("name", "description", "enabled"):
        if getattr(command, name) is not None:
            setattr(row, name, getattr(command, name))
    if command.custom_metadata is not None:
        row.custom_metadata = _merged(row.custom_metadata, command.custom_metadata)
    if command.group is not None:
        row.group = others[-1]
    _change_period(row, command, call.now)
    if command.operations is not None and command.operations != frozenset(row.operations):
        _change_operations(row, command.operations)
    save(row)
    return view_of(row, call.now)


UPDATABLE = (
    "name",
    "description",
    "custom_metadata",
    "enabled",
    "operations",
    "group",
    "activation_date",
    "deactivation_date",
)


def _merged(existing: Mapping[str, str], change: Mapping[str, str]) -> dict[str, str]:
    """A given key is set; one set to the empty string is removed."""
    merged = {**existing, **change}
    return {key: value for key, value in merged.items() if value != ""}


def _change_period(row: SecurityObject, command: UpdateObject, now: datetime) -> None:
    if command.activation_date is None and command.deactivation_date is None:
        return
    current = state_of(row, now)
    if command.activation_date is not None:
        if current is not KeyState.PRE_ACTIVE:
            raise InvalidRequest(f"activation_date cannot change: the object is {current.value}")
        row.activation_date = command.activation_date
    if command.deactivation_date is not None:
        if current not in (KeyState.PRE_ACTIVE, KeyState.ACTIVE):
            raise InvalidRequest(f"deactivation_date cannot change: the object is {current.value}")
        row.deactivation_date = command.deactivation_date
    check_period(Cryptoperiod(row.activation_date, row.deactivation_date))


def _change_operations(row: SecurityObject, operations: frozenset[KeyOperation]) -> None:
    """Bound fields change only together with the blob. Giving up export moves a key into the token for good."""
    algorithm = algorithm_of(row.kind)
    checked_operations(algorithm, operations, public_only=row.public_only)
    exportable = KeyOperation.EXPORT in operations
    if exportable and KeyOperation.EXPORT not in row.operations:
        raise InvalidRequest("An object that is not exportable cannot become exportable")
    before, blob = row_binding(row), bytes(row.blob)
    row.operations, row.version = sorted(operations), row.version + 1
    spec = KeySpec(row.kind, row.size, row.curve or None)
    settles = row.protection == keystore.SEALED and not exportable and not row.public_only
    if settles:
        held = keystore.unseal(blob, binding=before)
        row.protection = keystore.protection_for(spec, releasable=False)
        row.blob = keystore.store(spec, held, binding=row_binding(row), protection=row.protection).blob
    else:
        row.blob = keystore.rebind(blob, binding=before, to=row_binding(row))


def activate_object(call: Call, _command: ActivateObject, row: SecurityObject) -> None:
    current = state_of(row, call.now)
    if current is not KeyState.PRE_ACTIVE:
        raise InvalidRequest(f"Only a pre-active object can be activated; this one is {current.value}")
    row.activation_date, row.state = call.now, KeyState.ACTIVE
    save(row)


def delete_object(_call: Call, _command: DeleteObject, row: SecurityObject) -> None:
    row.delete()


def export_object(call: Call, _command: ExportObject, found: ObjectSnapshot) -> ObjectView:
    row = SecurityObject.objects.get(id=found.id)
    value = keystore.material(call.grants[0], found)
    call.details.update(object_version=row.version, output_bytes=len(value))
    return ObjectView(row, state_of(row, call.now), value=value)


def _resolve_export(call: Call, command: ExportObject) -> Sequence[Resolved]:
    if command.key.transient is not None:
        raise InvalidRequest("A transient key is the caller's already and has no record to export")
    need = ObjectNeed(command.key, Permission.OBJECT_EXPORT, KeyOperation.EXPORT)
    return (call.authority.resolve_object(call, need),)


def _resolve_locked(permission: Permission) -> Any:
    def resolve(call: Call, command: Any) -> Sequence[Resolved]:
        row = locked_object(call, command.key)
        return (Resolved(permission, object_target(row.id, row.account_id, row.group_id), row),)

    return resolve


# The permission that each field of an update asks for.
_FIELD_PERMISSIONS = {
    "name": Permission.OBJECT_UPDATE,
    "description": Permission.OBJECT_UPDATE,
    "custom_metadata": Permission.OBJECT_UPDATE,
    "enabled": Permission.OBJECT_UPDATE_STATE,
    "operations": Permission.OBJECT_UPDATE_OPERATIONS,
    "group": Permission.OBJECT_MOVE,
    "activation_date": Permission.OBJECT_ACTIVATE,
    "deactivation_date": Permission.OBJECT_ACTIVATE,
}


def _resolve_update(call: Call, command: UpdateObject) -> Sequence[Resolved]:
    row = locked_object(call, command.key)
    target = object_target(row.id, row.account_id, row.group_id)
    asked = {_FIELD_PERMISSIONS[name] for name in UPDATABLE if getattr(command, name) is not None}
    resolved = [Resolved(permission, target, row) for permission in sorted(asked or {Permission.OBJECT_UPDATE})]
    if command.group is not None:
        resolved.append(destination(call, command.group))
    return resolved


def _describe_ref(command: Any) -> Mapping[str, Detail]:
    return {"subject": str(command.key)}


_operation = control(Category.ADMINISTRATIVE)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(UpdateObject, "object.update", _resolve_update, update_object, describe=_describe_ref),
    _operation(
        ActivateObject,
        "object.activate",
        _resolve_locked(Permission.OBJECT_ACTIVATE),
        activate_object,
        describe=_describe_ref,
    ),
    _operation(
        DeleteObject,
        "object.delete",
        _resolve_locked(Permission.OBJECT_DELETE),
        delete_object,
        describe=_describe_ref,
        irreversible=True,
    ),
    _operation(ExportObject, "object.export", _resolve_export, export_object, describe=_describe_ref),
)
