"""Changes of a security object's attributes, each under the permission of its own.

Control plane: the row is locked and changed in the call's transaction. It must not know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from kms.audit.entry import Category, Detail
from kms.crypto.operation import KeyOperation
from kms.crypto.options import NO_OPTIONS, KeyOptions, options_of
from kms.crypto.registry import algorithm_of
from kms.hsm.module import KeySpec
from kms.objects import keystore
from kms.objects.models import SecurityObject
from kms.objects.publication import Publication
from kms.objects.rotation import RotationPolicy
from kms.objects.state import Cryptoperiod, KeyState
from kms.objects.usage import Handling
from kms.operations import judging
from kms.operations.authority import object_target
from kms.operations.command import Call, Command, ObjectRef, Operation, Resolved, control
from kms.operations.errors import InvalidRequest
from kms.operations.history import forget_exportable, remember
from kms.operations.making import check_publication, schedule
from kms.operations.managed_object import (
    ObjectView,
    check_handling,
    check_period,
    checked_operations,
    destination,
    locked_object,
    row_binding,
    save,
    state_of,
)
from kms.operations.queries import shown
from kms.operations.quorum_policies import QuorumPolicy, stored_on_object
from policies.permissions import Permission


@dataclass(frozen=True, slots=True)
class UpdateObject(Command):
    """Change what is not None. ``operations`` may be narrowed or widened, but export is never gained.

    ``options`` replaces the parts that it sets. ``ended`` names what is taken away: rotation, publication.
    """

    key: ObjectRef
    name: str | None = None
    description: str | None = None
    custom_metadata: Mapping[str, str] | None = None
    enabled: bool | None = None
    operations: frozenset[KeyOperation] | None = None
    group: UUID | None = None
    activation_date: datetime | None = None
    deactivation_date: datetime | None = None
    options: KeyOptions | None = None
    rotation: RotationPolicy | None = None
    publication: Publication | None = None
    quorum: QuorumPolicy | None = None
    ended: frozenset[str] = frozenset()


# What an update may set, and the permission that each field asks for.
_FIELD_PERMISSIONS: Mapping[str, Permission] = {
    "name": Permission.OBJECT_UPDATE,
    "description": Permission.OBJECT_UPDATE,
    "custom_metadata": Permission.OBJECT_UPDATE,
    "enabled": Permission.OBJECT_UPDATE_STATE,
    "operations": Permission.OBJECT_UPDATE_OPERATIONS,
    "group": Permission.OBJECT_MOVE,
    "activation_date": Permission.OBJECT_ACTIVATE,
    "deactivation_date": Permission.OBJECT_ACTIVATE,
    "options": Permission.OBJECT_UPDATE_POLICIES,
    "rotation": Permission.OBJECT_UPDATE_POLICIES,
    "publication": Permission.OBJECT_UPDATE_POLICIES,
    "quorum": Permission.OBJECT_UPDATE_POLICIES,
}


def update_object(call: Call, command: UpdateObject, row: SecurityObject, *others: Any) -> ObjectView:
    """``others`` repeat the row once per further permission; the last is the new group when one is given."""
    check_handling(row, Handling.UPDATE, call.now)
    before = judging.standing_of(row)
    changed = fields_of(command)
    call.details["fields"] = ",".join(changed)
    if set(changed) & {"operations", "activation_date", "deactivation_date", "group", "rotation", "options"}:
        remember(call, row)
    for name in ("name", "description", "enabled"):
        if getattr(command, name) is not None:
            setattr(row, name, getattr(command, name))
    if command.custom_metadata is not None:
        row.custom_metadata = _merged(row.custom_metadata, command.custom_metadata)
    if command.group is not None:
        row.group = others[-1]
    _change_period(row, command, call.now)
    _change_policies(row, command, call.now)
    if command.quorum is not None:
        row.quorum = stored_on_object(call, command.quorum)
    _change_bound(row, command)
    judging.check_changed(call, row, before)
    save(row)
    return shown(call, [row])[0]


def fields_of(command: UpdateObject) -> list[str]:
    return [name for name in _FIELD_PERMISSIONS if getattr(command, name) is not None or name in command.ended]


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


def _change_policies(row: SecurityObject, command: UpdateObject, now: datetime) -> None:
    if command.rotation is not None:
        _check_rotation(row, command.rotation, now)
        schedule(row, command.rotation, now)
    elif "rotation" in command.ended:
        row.rotation, row.rotates_at = None, None
    if command.publication is not None:
        check_publication(row.kind, command.publication)
        check_handling(row, Handling.PUBLISH, now)
        row.publication = command.publication.stored()
    elif "publication" in command.ended:
        row.publication = None


def _check_rotation(row: SecurityObject, policy: RotationPolicy, now: datetime) -> None:
    if state_of(row, now) not in (KeyState.PRE_ACTIVE, KeyState.ACTIVE):
        raise InvalidRequest("Only an active object or one that will be rotates by itself")
    rows = SecurityObject.objects.filter(deletion_date__isnull=True)
    if row.replacement is not None and rows.filter(id=row.replacement).exists():
        raise InvalidRequest("The object has been rotated already; its replacement may rotate", "rotated-already")
    if rows.filter(id__in=policy.copies, copied_from=row.id).count() != len(set(policy.copies)):
        raise InvalidRequest("rotate_copied_keys names an object that is not a copy of this one", "not-a-copy")


def _change_bound(row: SecurityObject, command: UpdateObject) -> None:
    """Operations and options are bound to the blob, so they change only together with it."""
    operations = frozenset(map(KeyOperation, row.operations)) if command.operations is None else command.operations
    options = changed_options(options_of(row.options), command.options or NO_OPTIONS)
    if operations == frozenset(row.operations) and options == options_of(row.options):
        return
    if not bytes(row.blob):
        raise InvalidRequest("The object's material is gone, so nothing can be allowed or limited any more")
    rebound(row, operations, options)


def changed_options(existing: KeyOptions, change: KeyOptions) -> KeyOptions:
    """The options after a change, unless it loosens what may not be loosened."""
    rule = existing.export
    if rule is not None and change.export is not None and not rule.may_become(change.export):
        raise InvalidRequest("The export policy cannot be weakened", "export-policy-weakened")
    if change.cipher is not None and change.cipher.fpe != (existing.cipher and existing.cipher.fpe):
        raise InvalidRequest("fpe cannot change: what was tokenised could not be read any more, or be read otherwise")
    return existing.changed(change)


def rebound(row: SecurityObject, operations: frozenset[KeyOperation], options: KeyOptions) -> None:
    """The row's blob under changed operations and options. Giving up export moves a key into the token for good."""
    algorithm = algorithm_of(row.kind)
    spec = KeySpec(row.kind, row.size, row.curve or None)
    checked_operations(algorithm, operations, spec=spec, options=options, public_only=row.public_only)
    algorithm.check_options(options, spec)
    exportable = KeyOperation.EXPORT in operations
    if exportable and KeyOperation.EXPORT not in row.operations:
        raise InvalidRequest("An object that is not exportable cannot become exportable")
    if KeyOperation.EXPORT in row.operations and not exportable:
        forget_exportable(row)
    before, blob = row_binding(row), bytes(row.blob)
    row.operations, row.options, row.version = sorted(operations), options.stored(), row.version + 1
    row.blob, row.protection = keystore.carry(
        spec,
        blob,
        binding=before,
        to=row_binding(row),
        protection=row.protection,
        releasable=exportable or row.public_only,
    )


def _resolve_update(call: Call, command: UpdateObject) -> Sequence[Resolved]:
    row = locked_object(call, command.key)
    target = object_target(row)
    asked = {_FIELD_PERMISSIONS[name] for name in fields_of(command)}
    resolved = [Resolved(permission, target, row) for permission in sorted(asked or {Permission.OBJECT_UPDATE})]
    if command.group is not None:
        resolved.append(destination(call, command.group))
    return resolved


def _describe_update(command: UpdateObject) -> Mapping[str, Detail]:
    return {"subject": str(command.key)}


_operation = control(Category.ADMINISTRATIVE)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(UpdateObject, "object.update", _resolve_update, update_object, describe=_describe_update),
)
