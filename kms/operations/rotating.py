"""Rotation: a new key takes an old one's place and name, and each knows the other (SP 800-57 pt 1 §8.2.3, KMIP Re-key).

The old key keeps its id and, under another name, goes on opening what it protected, unless it is deactivated too.
Control plane; it must not know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from accounts.models import Group
from kms.audit.entry import Category, Detail
from kms.crypto.errors import ParameterInvalid
from kms.crypto.operation import KeyOperation
from kms.crypto.options import NO_OPTIONS, options_of
from kms.objects.models import SecurityObject
from kms.objects.publication import publication_of
from kms.objects.rotation import next_rotation, rotation_of
from kms.objects.state import Cryptoperiod, KeyState, Transition
from kms.objects.usage import Handling
from kms.operations import making
from kms.operations.authority import group_target, object_target
from kms.operations.command import Call, Command, ObjectRef, Operation, Resolved, control
from kms.operations.errors import Conflict, InvalidRequest, NotFound
from kms.operations.history import remember
from kms.operations.lifecycle import moved
from kms.operations.making import ObjectTemplate
from kms.operations.managed_object import (
    ObjectView,
    check_handling,
    destination,
    locked_object,
    save,
    state_of,
    view_of,
)
from kms.secret import SecretBytes
from policies.permissions import Permission

_NAME_TIME = "%Y%m%dT%H%M%SZ"
# Kinds whose value somebody must bring: no rotation without it.
_BROUGHT = frozenset({"SECRET", "OPAQUE", "CERTIFICATE"})


@dataclass(frozen=True, slots=True)
class RotateObject(Command):
    """``changes`` overrides what the new key otherwise takes from the old; ``material`` is its value when brought."""

    key: ObjectRef
    changes: ObjectTemplate
    material: SecretBytes | None = None
    deactivate: bool = False


@dataclass(frozen=True, slots=True)
class RotateDueObject(Command):
    """What the object's rotation policy asks for at ``due``; a policy that asks for something else by now is obeyed."""

    key: ObjectRef
    due: datetime


@dataclass(frozen=True, slots=True)
class ReplaceObject(Command):
    """An object that exists already takes the place and the name of another."""

    replaced: ObjectRef
    new_name: str
    replacement: ObjectRef


def rotate_object(call: Call, command: RotateObject, old: SecurityObject, *others: Any) -> ObjectView:
    """``others``: the destination, when the new key goes to another group."""
    group = others[-1] if others else Group.objects.get(id=old.group_id)
    return _rotated(call, old, group, command.changes, command.material, deactivate=command.deactivate)


def rotate_due_object(call: Call, command: RotateDueObject, old: SecurityObject, group: Group) -> ObjectView:
    policy = rotation_of(old.rotation)
    if policy is None or old.rotates_at is None or old.rotates_at > call.now or old.rotates_at != command.due:
        raise Conflict("rotation-not-due", "The object has been rotated, or its policy was changed")
    changes = ObjectTemplate(name=None, kind=old.kind)
    return _rotated(call, old, group, changes, None, deactivate=policy.deactivate)


def _rotated(
    call: Call,
    old: SecurityObject,
    group: Group,
    changes: ObjectTemplate,
    material: SecretBytes | None,
    *,
    deactivate: bool,
) -> ObjectView:
    check_handling(old, Handling.ROTATE, call.now)
    if old.replacement is not None:
        raise InvalidRequest("The object has been rotated already; rotate its replacement", "rotated-already")
    name, policy, due = old.name, rotation_of(old.rotation), old.rotates_at
    template = successor(old, changes, name)
    remember(call, old)
    _step_back(call, old, f"{name} (replaced at {call.now.astimezone(UTC).strftime(_NAME_TIME)})", deactivate)
    view = _made(call, template, group, material)
    new = view.row
    if template.rotation is None and policy is not None:
        new.rotation, new.rotates_at = policy.stored(), next_rotation(policy, due or call.now, call.now)
    new.replaced, old.replacement = old.id, new.id
    save(new)
    save(old)
    call.touched.append(object_target(old.id, old.account_id, old.group_id))
    call.details.update(replaced=str(old.id))
    return view_of(new, call.now)


def _made(call: Call, template: ObjectTemplate, group: Group, material: SecretBytes | None) -> ObjectView:
    if material is not None:
        return making.from_material(call, template, group, making.described(template, material), how="import")
    if template.kind in _BROUGHT:
        raise ParameterInvalid(f"{template.kind} objects are rotated to a value: give it")
    return making.generated(call, template, group)


def successor(old: SecurityObject, changes: ObjectTemplate, name: str) -> ObjectTemplate:
    """The old key's attributes, and over them whatever the request says. The kind stays; export is never gained."""
    if changes.kind not in ("", old.kind):
        raise InvalidRequest(f"The object is {old.kind} and is not rotated to {changes.kind}")
    operations = changes.operations
    if operations is None:
        operations = frozenset(map(KeyOperation, old.operations))
    elif KeyOperation.EXPORT in operations and KeyOperation.EXPORT not in old.operations:
        raise InvalidRequest("A rotation does not make a key exportable", "export-gained")
    brought = old.kind in _BROUGHT
    return replace(
        changes,
        name=name,
        kind=old.kind,
        group=None,
        size=None if brought else (changes.size or old.size),
        curve=changes.curve or old.curve or None,
        operations=operations,
        description=changes.description or old.description,
        custom_metadata=changes.custom_metadata or old.custom_metadata,
        options=options_of(old.options) if changes.options == NO_OPTIONS else changes.options,
        publication=changes.publication or publication_of(old.publication),
        period=changes.period if changes.period != Cryptoperiod() else Cryptoperiod(),
        transient=False,
    )


def _step_back(call: Call, old: SecurityObject, name: str, deactivate: bool) -> None:
    """Give the name away. A key that is not active has nothing to be deactivated from."""
    if deactivate and state_of(old, call.now) is KeyState.ACTIVE:
        moved(call, old, Transition.DEACTIVATE)
        old.deactivation_date = call.now
    old.name, old.rotation, old.rotates_at = name, None, None
    save(old)


def replace_object(call: Call, command: ReplaceObject, replaced: SecurityObject, replacement: SecurityObject) -> None:
    if replaced.id == replacement.id:
        raise InvalidRequest("An object does not replace itself")
    if replaced.kind != replacement.kind:
        raise InvalidRequest(f"The object is {replaced.kind} and is not replaced by one that is {replacement.kind}")
    if replaced.replacement is not None or replacement.replaced is not None:
        raise InvalidRequest("One of the two is part of a rotation already", "rotated-already")
    for row in (replaced, replacement):
        check_handling(row, Handling.ROTATE, call.now)
        remember(call, row)
    name = replaced.name
    _step_back(call, replaced, command.new_name, deactivate=False)
    replacement.name, replacement.replaced, replaced.replacement = name, replaced.id, replacement.id
    save(replacement)
    save(replaced)
    call.details.update(replaced=str(replaced.id))


def _resolve_rotation(call: Call, command: RotateObject) -> Sequence[Resolved]:
    row = locked_object(call, command.key)
    resolved = [Resolved(Permission.OBJECT_ROTATE, object_target(row.id, row.account_id, row.group_id), row)]
    if command.changes.group is not None and command.changes.group != row.group_id:
        resolved.append(destination(call, command.changes.group))
    return resolved


def _resolve_due(call: Call, command: RotateDueObject) -> Sequence[Resolved]:
    row = locked_object(call, command.key)
    group = Group.objects.get(id=row.group_id)
    return (
        Resolved(Permission.OBJECT_ROTATE, object_target(row.id, row.account_id, row.group_id), row),
        Resolved(Permission.OBJECT_CREATE, group_target(group), group),
    )


def _resolve_replacement(call: Call, command: ReplaceObject) -> Sequence[Resolved]:
    """Both are locked in the order of their ids, so that two calls the other way round do not wait for each other."""
    ids = [_id_of(call, ref) for ref in (command.replaced, command.replacement)]
    rows = {key: locked_object(call, ObjectRef(id=key)) for key in sorted(set(ids))}
    return tuple(
        Resolved(
            Permission.OBJECT_ROTATE, object_target(rows[key].id, rows[key].account_id, rows[key].group_id), rows[key]
        )
        for key in ids
    )


def _id_of(call: Call, ref: ObjectRef) -> Any:
    if ref.id is not None:
        return ref.id
    live = SecurityObject.objects.filter(account_id=call.account, name=ref.name, deletion_date__isnull=True)
    found = live.values_list("id", flat=True).first()
    if found is None or ref.transient is not None:
        raise NotFound("The object does not exist, or you may not see it")
    return found


def _describe_rotation(command: RotateObject) -> Mapping[str, Detail]:
    return {"subject": str(command.key), "kind": command.changes.kind or None}


def _describe_due(command: RotateDueObject) -> Mapping[str, Detail]:
    return {"subject": str(command.key)}


def _describe_replacement(command: ReplaceObject) -> Mapping[str, Detail]:
    return {"subject": str(command.replacement), "name": command.new_name}


_operation = control(Category.ADMINISTRATIVE)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(RotateObject, "object.rotate", _resolve_rotation, rotate_object, describe=_describe_rotation),
    _operation(RotateDueObject, "object.rotate-due", _resolve_due, rotate_due_object, describe=_describe_due),
    _operation(ReplaceObject, "object.replace", _resolve_replacement, replace_object, describe=_describe_replacement),
)
