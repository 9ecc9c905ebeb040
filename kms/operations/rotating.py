"""Rotation: a new key takes an old one's place and name, and each knows the other (SP 800-57 pt 1 §8.2.3, KMIP Re-key).

The old key keeps its id and, under another name, goes on opening what it protected, unless it is deactivated too.
Control plane; it must not know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import msgspec

from accounts.models import Group
from kms.audit.entry import Category, Detail
from kms.crypto.errors import ParameterInvalid
from kms.crypto.operation import KeyOperation
from kms.crypto.options import KeyOptions, options_of
from kms.objects.models import SecurityObject
from kms.objects.publication import publication_of
from kms.objects.rotation import RotationPolicy, next_rotation, rotation_of
from kms.objects.state import Cryptoperiod, KeyState, Transition
from kms.objects.usage import Handling
from kms.operations import copying, judging, making
from kms.operations.authority import absent, group_target, object_target
from kms.operations.command import Call, Command, ObjectRef, Operation, Resolved, control
from kms.operations.errors import Conflict, InvalidRequest, NotFound
from kms.operations.history import remember
from kms.operations.lifecycle import moved
from kms.operations.making import ObjectTemplate, needs_value
from kms.operations.managed_object import (
    ObjectView,
    check_handling,
    destination,
    locked_object,
    save,
    state_of,
)
from kms.operations.queries import shown
from kms.operations.quorum_policies import inherit
from kms.operations.updating import changed_options
from kms.secret import SecretBytes
from policies.permissions import Permission

_NAME_TIME = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True)
class RotateObject(Command):
    """``changes`` overrides what the new key otherwise takes from the old; ``material`` is its value when brought.

    ``stated`` names what the caller said of "enabled", "state" and "rotation", where not saying and the default differ.
    """

    key: ObjectRef
    changes: ObjectTemplate
    material: SecretBytes | None = None
    deactivate: bool = False
    stated: frozenset[str] = frozenset()


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
    """``others``: the destination, when the new key goes to another group, and the copies that follow."""
    groups = [other for other in others if isinstance(other, Group)]
    copies = [other for other in others if isinstance(other, SecurityObject)]
    group = groups[0] if groups else Group.objects.get(id=old.group_id)
    return _rotated(call, command, old, group, copies)


def rotate_due_object(
    call: Call, command: RotateDueObject, old: SecurityObject, group: Group, *copies: SecurityObject
) -> ObjectView:
    """The server is nobody's creator: the new key is its owner's, as the old one was; the record says who made it."""
    policy = rotation_of(old.rotation)
    if policy is None or old.rotates_at is None or old.rotates_at > call.now or old.rotates_at != command.due:
        raise Conflict("rotation-not-due", "The object has been rotated, or its policy was changed")
    asked = RotateObject(command.key, ObjectTemplate(name=None, kind=old.kind), deactivate=policy.deactivate)
    view = _rotated(call, asked, old, group, copies)
    view.row.creator_kind, view.row.creator_id = old.creator_kind, old.creator_id
    save(view.row)
    return view


def _rotated(
    call: Call, command: RotateObject, old: SecurityObject, group: Group, copies: Sequence[SecurityObject]
) -> ObjectView:
    """The new key comes first, for a moment under no real name: making one may take the token seconds, and from the
    moment that the old row is written, whoever uses the old key waits for this transaction."""
    _check_rotatable(old, call.now)
    name, policy = old.name, policy_of(command, old)
    if policy is not None and "rotation" in command.stated and len(copies) != len(set(policy.copies)):
        raise InvalidRequest("rotate_copied_keys names an object that is not a copy of this one", "not-a-copy")
    new = _made(call, successor(command, old, call.now), group, command.material).row
    inherit(new, old, command.changes.quorum)
    step_back(call, old, deactivate=command.deactivate)
    link(old, new)
    new.name = name
    save(new)
    followers = [_follows(call, copy, new, deactivate=command.deactivate) for copy in copies]
    if policy is not None:
        goes_on = msgspec.structs.replace(policy, copies=tuple(str(copy.id) for copy in followers))
        _schedule(new, goes_on, call.now, stated="rotation" in command.stated)
    save(new)
    save(old)
    call.touched.insert(0, object_target(new))
    call.details.update(replaced=str(old.id), items=len(followers) or None)
    return shown(call, [new])[0]


def _follows(call: Call, copy: SecurityObject, new: SecurityObject, *, deactivate: bool) -> SecurityObject:
    """A copy of the new key takes the old copy's place."""
    name = copy.name
    step_back(call, copy, deactivate=deactivate)
    made = copying.follow(call, copy, new, name)
    link(copy, made)
    save(made)
    save(copy)
    return made


def _check_rotatable(old: SecurityObject, now: datetime) -> None:
    check_handling(old, Handling.ROTATE, now)
    _vacate(old)
    if old.replacement is not None:
        raise InvalidRequest("The object has been rotated already; rotate its replacement", "rotated-already")


def _vacate(old: SecurityObject) -> None:
    """A replacement that was deleted holds the place no longer, whether it may come back or not."""
    if old.replacement is None:
        return
    found = SecurityObject.objects.select_for_update().filter(id=old.replacement).first()
    if found is not None and found.deletion_date is None:
        return
    if found is not None:
        found.replaced = None
        save(found)
    old.replacement = None


def _schedule(new: SecurityObject, policy: RotationPolicy, now: datetime, *, stated: bool) -> None:
    """A policy that the caller states is a new one; one that goes on keeps its dates, unless nobody could obey it."""
    if stated:
        making.schedule(new, policy, now)
    elif not needs_value(new.kind, public_only=new.public_only):
        new.rotation, new.rotates_at = policy.stored(), next_rotation(policy, now)


def _made(call: Call, template: ObjectTemplate, group: Group, material: SecretBytes | None) -> ObjectView:
    if material is not None:
        return making.from_material(call, template, group, making.described(template, material), how="import")
    return making.generated(call, template, group)


def successor(command: RotateObject, old: SecurityObject, now: datetime) -> ObjectTemplate:
    """The old key's attributes, and over them whatever the request says. The kind stays; export is never gained.

    Its dates are its own, but the successor of a key that still waits for its activation waits as well.
    """
    changes, material = command.changes, command.material
    if changes.kind not in ("", old.kind):
        raise InvalidRequest(f"The object is {old.kind} and is not rotated to {changes.kind}")
    if material is None and needs_value(old.kind, public_only=old.public_only):
        raise ParameterInvalid(f"{old.kind} objects without a private key of ours are rotated to a value: give it")
    dated = changes.period != Cryptoperiod()
    waits = not dated and "state" not in command.stated and state_of(old, now) is KeyState.PRE_ACTIVE
    return replace(
        changes,
        name=str(uuid4()),
        kind=old.kind,
        group=None,
        size=changes.size or (old.size if material is None and changes.curve is None else None),
        curve=changes.curve or old.curve or None,
        operations=_operations(old, changes.operations),
        description=changes.description or old.description,
        custom_metadata=changes.custom_metadata or old.custom_metadata,
        enabled=changes.enabled if "enabled" in command.stated else old.enabled,
        options=_options(old, changes.options),
        publication=changes.publication or publication_of(old.publication),
        period=Cryptoperiod(old.activation_date, old.deactivation_date) if waits else changes.period,
        pre_active=changes.pre_active or waits,
        rotation=None,
    )


def _options(old: SecurityObject, changes: KeyOptions) -> KeyOptions:
    """All but a place in a tree of keys, which is the old key's own."""
    kept = msgspec.structs.replace(options_of(old.options), derivation_path=None, network=None)
    return changed_options(kept, changes)


def _operations(old: SecurityObject, asked: frozenset[KeyOperation] | None) -> frozenset[KeyOperation]:
    if asked is None:
        return frozenset(map(KeyOperation, old.operations))
    if KeyOperation.EXPORT in asked and KeyOperation.EXPORT not in old.operations:
        raise InvalidRequest("A rotation does not make a key exportable", "export-gained")
    return asked


def policy_of(command: RotateObject, old: SecurityObject) -> RotationPolicy | None:
    """The policy that the new key gets: the request's, or the old key's as it goes on."""
    return command.changes.rotation if "rotation" in command.stated else rotation_of(old.rotation)


def step_back(call: Call, old: SecurityObject, *, deactivate: bool, name: str | None = None) -> None:
    """Give name and policy away. A key that is not active has nothing to be deactivated from."""
    if deactivate and state_of(old, call.now) is KeyState.ACTIVE:
        moved(call, old, Transition.DEACTIVATE)
        old.deactivation_date = call.now
    else:
        remember(call, old)
    old.name, old.rotation, old.rotates_at = name or _former_name(old, call.now), None, None
    save(old)


def _former_name(old: SecurityObject, now: datetime) -> str:
    """As DSM names it; with a number when the name was rotated in this second before."""
    name = f"{old.name} (rotated at {now.astimezone(UTC).strftime(_NAME_TIME)})"
    taken = SecurityObject.objects.filter(account_id=old.account_id, deletion_date__isnull=True)
    numbered = (name if number == 1 else f"{name} {number}" for number in count(1))
    return next(wanted for wanted in numbered if not taken.filter(name=wanted).exists())


def link(old: SecurityObject, new: SecurityObject) -> None:
    new.replaced, old.replacement = old.id, new.id


def replace_object(call: Call, command: ReplaceObject, replaced: SecurityObject, replacement: SecurityObject) -> None:
    """What the replacement lacks of metadata, a rotation and an approval policy, it takes over."""
    _check_replacement(replaced, replacement, call.now)
    name, policy = replaced.name, rotation_of(replaced.rotation)
    remember(call, replacement)
    if command.new_name == replacement.name:  # the two swap names, which are unique at every moment
        replacement.name = str(uuid4())
        save(replacement)
    step_back(call, replaced, deactivate=False, name=command.new_name)
    link(replaced, replacement)
    before = judging.standing_of(replacement)
    replacement.name = name
    replacement.custom_metadata = replacement.custom_metadata or replaced.custom_metadata
    replacement.quorum = replacement.quorum or replaced.quorum
    if policy is not None and replacement.rotation is None:
        _schedule(replacement, msgspec.structs.replace(policy, copies=()), call.now, stated=False)
    judging.check_changed(call, replacement, before)
    save(replacement)
    save(replaced)
    call.details.update(replaced=str(replaced.id))


def _check_replacement(replaced: SecurityObject, replacement: SecurityObject, now: datetime) -> None:
    if replaced.id == replacement.id:
        raise InvalidRequest("An object does not replace itself")
    if replaced.kind != replacement.kind:
        raise InvalidRequest(f"The object is {replaced.kind} and is not replaced by one that is {replacement.kind}")
    _vacate(replaced)
    if replaced.replacement is not None or replacement.replaced is not None or replacement.replacement is not None:
        raise InvalidRequest("One of the two is part of a rotation already", "rotated-already")
    check_handling(replaced, Handling.ROTATE, now)
    if state_of(replacement, now) not in (KeyState.PRE_ACTIVE, KeyState.ACTIVE):
        raise InvalidRequest(f"An object that is {state_of(replacement, now).value} takes nobody's place")


def _resolve_rotation(call: Call, command: RotateObject) -> Sequence[Resolved]:
    row = locked_object(call, command.key)
    resolved = [_rotates(row)]
    if command.changes.group is not None and command.changes.group != row.group_id:
        resolved.append(destination(call, command.changes.group))
    return [*resolved, *map(_rotates, _copies_to_follow(row, policy_of(command, row)))]


def _resolve_due(call: Call, command: RotateDueObject) -> Sequence[Resolved]:
    row = locked_object(call, command.key)
    group = Group.objects.get(id=row.group_id)
    there = Resolved(Permission.OBJECT_CREATE, group_target(group), group)
    due = [row, *_copies_to_follow(row, rotation_of(row.rotation))]
    return [_is_due(due[0]), there, *map(_is_due, due[1:])]


def _resolve_replacement(call: Call, command: ReplaceObject) -> Sequence[Resolved]:
    """Both are locked in the order of their ids, so that two calls the other way round do not wait for each other."""
    ids = [_id_of(call, ref) for ref in (command.replaced, command.replacement)]
    rows = {key: locked_object(call, ObjectRef(id=key)) for key in sorted(set(ids))}
    return [_rotates(rows[key]) for key in ids]


def _rotates(row: SecurityObject) -> Resolved:
    return Resolved(Permission.OBJECT_ROTATE, object_target(row), row)


def _is_due(row: SecurityObject) -> Resolved:
    """Whoever said when it rotates by itself had what approval that needs."""
    return Resolved(Permission.OBJECT_ROTATE, replace(object_target(row), guards=()), row)


def _copies_to_follow(old: SecurityObject, policy: RotationPolicy | None) -> Sequence[SecurityObject]:
    """Copies named by the policy that are still copies of this key, still there and not rotated on their own."""
    if policy is None or not policy.copies:
        return ()
    copies = SecurityObject.objects.select_for_update().filter(
        account_id=old.account_id,
        id__in=policy.copies,
        copied_from=old.id,
        deletion_date__isnull=True,
        destruction_date__isnull=True,
        replacement__isnull=True,
    )
    return list(copies.order_by("id"))


def _id_of(call: Call, ref: ObjectRef) -> UUID:
    if ref.id is not None:
        return ref.id
    live = SecurityObject.objects.filter(account_id=call.account, name=ref.name, deletion_date__isnull=True)
    found = live.values_list("id", flat=True).first()
    if found is None or ref.transient is not None:
        raise NotFound(absent("object"))
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
