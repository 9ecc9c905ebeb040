"""Objects made of the material of others without opening it: copies of objects, and transient keys that stay.

The blob is bound to the new row in the token; only one that gives up its export passes through the process, on its way
into the token. Control plane; it must not know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from accounts.models import Group
from kms.audit.entry import Category, Detail
from kms.crypto.errors import ParameterInvalid
from kms.crypto.operation import KeyOperation
from kms.crypto.options import NO_OPTIONS, options_of
from kms.hsm.module import KeySpec, StoredKey
from kms.objects import keystore
from kms.objects.models import SecurityObject
from kms.objects.publication import publication_of
from kms.objects.snapshot import ObjectSnapshot
from kms.objects.state import Cryptoperiod, KeyState
from kms.objects.usage import Handling
from kms.operations import judging, making
from kms.operations.authority import object_target
from kms.operations.command import Call, Command, ObjectNeed, ObjectRef, Operation, Resolved, control
from kms.operations.errors import InvalidRequest
from kms.operations.making import ObjectTemplate, describe_template
from kms.operations.managed_object import (
    ObjectView,
    check_handling,
    destination,
    locked_object,
    row_binding,
    state_of,
)
from kms.operations.quorum_policies import inherit
from kms.operations.transient import made_here
from policies.permissions import Permission


@dataclass(frozen=True, slots=True)
class CopyObject(Command):
    """``changes`` overrides what the copy otherwise takes from its source. A copy never may more than its source."""

    key: ObjectRef
    changes: ObjectTemplate


@dataclass(frozen=True, slots=True)
class PersistKey(Command):
    """Keep a transient key. ``template`` has its attributes; kind and shape are the key's own."""

    key: ObjectRef
    template: ObjectTemplate


# -- copies --------------------------------------------------------------------------------------------------------


def copy_object(call: Call, command: CopyObject, source: SecurityObject, group: Group) -> ObjectView:
    check_handling(source, Handling.COPY, call.now)
    spec = KeySpec(source.kind, source.size, source.curve or None)
    _check_shape(command.changes, spec)
    state = state_of(source, call.now)
    template = _attributes(source, command.changes, state)
    row = making.new_row(call, template, group, spec, public_only=source.public_only, source=source.group_id)
    row.state = _state(state, template, call)
    row.creation, row.attributes, row.copied_from = source.creation, source.attributes, source.id
    row.never_exportable = source.never_exportable
    inherit(row, source, command.changes.quorum)
    call.details["subject"] = str(source.id)
    return _carried(call, row, spec, template, _Source.of_row(source))


def _check_shape(changes: ObjectTemplate, spec: KeySpec) -> None:
    """A client may say what it copies, but not change it."""
    given = (changes.kind or None, changes.size, changes.curve)
    if any(asked not in (None, own) for asked, own in zip(given, (spec.kind, spec.size, spec.curve), strict=True)):
        raise InvalidRequest("A copy has its source's type, size and curve")
    if changes.public_exponent is not None or changes.transient:
        raise ParameterInvalid("a copy takes no public exponent and is not transient")


def _attributes(source: SecurityObject, changes: ObjectTemplate, state: KeyState) -> ObjectTemplate:
    """Rotation and publication are not taken over: the copy would rotate apart, and be public in another's name."""
    options = options_of(source.options)
    if changes.options not in (NO_OPTIONS, options):
        raise InvalidRequest("A copy keeps its source's options; update it afterwards", "options-changed")
    return replace(
        changes,
        kind=source.kind,
        size=source.size,
        curve=source.curve or None,
        operations=_narrowed(frozenset(map(KeyOperation, source.operations)), changes.operations),
        description=changes.description or source.description,
        custom_metadata=changes.custom_metadata or source.custom_metadata,
        enabled=changes.enabled and source.enabled,
        period=_shortened(
            Cryptoperiod(source.activation_date, source.deactivation_date),
            changes.period,
            waits=state is KeyState.PRE_ACTIVE,
        ),
        options=options,
    )


def _narrowed(held: frozenset[KeyOperation], asked: frozenset[KeyOperation] | None) -> frozenset[KeyOperation]:
    if asked is None:
        return held
    gained = asked - held
    if gained:
        raise InvalidRequest(f"The key does not permit {', '.join(sorted(gained))}", "operations-gained")
    return asked


def _shortened(held: Cryptoperiod, asked: Cryptoperiod, *, waits: bool) -> Cryptoperiod:
    """The material is as old as its source (SP 800-57 pt 1 §5.3): copying it is no way to have it live longer.

    ``waits``: the source is not active yet; without a date it waits for somebody, whom a date would pass over.
    """
    activation, deactivation = asked.activation or held.activation, asked.deactivation or held.deactivation
    early = activation is not None and (waits if held.activation is None else activation < held.activation)
    late = held.deactivation is not None and deactivation is not None and deactivation > held.deactivation
    if early or late:
        raise InvalidRequest("A copy does not begin before its source or end after it", "cryptoperiod-extended")
    return Cryptoperiod(activation, deactivation)


def _state(source: KeyState, template: ObjectTemplate, call: Call) -> KeyState:
    """The source's, unless it is active and the copy is to wait."""
    activation = template.period.activation
    waits = template.pre_active or (activation is not None and activation > call.now)
    return KeyState.PRE_ACTIVE if source is KeyState.ACTIVE and waits else source


def _resolve_copy(call: Call, command: CopyObject) -> Sequence[Resolved]:
    """To copy from the source's group, and to create in the copy's: the material does not leave the server, so EXPORT
    is not asked for."""
    row = locked_object(call, command.key)
    copied = Resolved(Permission.OBJECT_COPY, object_target(row), row)
    return (copied, destination(call, command.changes.group or row.group_id))


def follow(call: Call, copy: SecurityObject, source: SecurityObject, name: str) -> SecurityObject:
    """A copy of the key that took the place of ``copy``'s source, with the old copy's attributes, under its name."""
    spec = KeySpec(source.kind, source.size, source.curve or None)
    waits = source.state == KeyState.PRE_ACTIVE
    template = ObjectTemplate(
        name=name,
        kind=source.kind,
        operations=frozenset(map(KeyOperation, copy.operations)) & frozenset(map(KeyOperation, source.operations)),
        description=copy.description,
        custom_metadata=copy.custom_metadata,
        enabled=copy.enabled,
        period=Cryptoperiod(source.activation_date, source.deactivation_date),
        pre_active=waits,
        options=options_of(copy.options),
        publication=publication_of(copy.publication),
    )
    row = making.new_row(call, template, copy.group, spec, public_only=source.public_only, source=source.group_id)
    row.creation, row.attributes, row.copied_from = source.creation, source.attributes, source.id
    row.never_exportable, row.quorum = source.never_exportable, copy.quorum
    return _carried(call, row, spec, template, _Source.of_row(source)).row


# -- transient keys ------------------------------------------------------------------------------------------------


def persist_key(call: Call, command: PersistKey, key: ObjectSnapshot, group: Group) -> ObjectView:
    """The transient key works on until it expires; nothing here can take it back."""
    blob = command.key.transient
    assert blob is not None
    held = key.usable.operations
    template = replace(
        command.template,
        kind=key.kind,
        size=key.size,
        curve=key.curve or None,
        operations=_narrowed(held, command.template.operations),
    )
    template = making.dated(call, template, group)
    row = making.new_row(call, template, group, key.spec, public_only=key.public_only, source=key.group)
    row.creation = "persist" if made_here(blob) else "import"
    row.never_exportable = KeyOperation.EXPORT not in held
    return _carried(call, row, key.spec, template, _Source.of_snapshot(key))


def _resolve_persist(call: Call, command: PersistKey) -> Sequence[Resolved]:
    """In the group that the key was made for, keeping it is creating an object; in another one it is copying it too."""
    if command.key.transient is None:
        raise ParameterInvalid("transient_key is needed: objects are kept already")
    opened = call.authority.resolve_object(call, ObjectNeed(command.key, Permission.OBJECT_COPY))
    group = destination(call, command.template.group)
    if group.target.id in opened.target.groups:
        opened = replace(opened, permission=Permission.OBJECT_CREATE)
    return (opened, group)


# -- both ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Source:
    blob: bytes
    binding: bytes
    protection: str
    public: bytes | None

    @classmethod
    def of_row(cls, row: SecurityObject) -> _Source:
        public = None if row.public_key is None else bytes(row.public_key)
        return cls(bytes(row.blob), row_binding(row), row.protection, public)

    @classmethod
    def of_snapshot(cls, key: ObjectSnapshot) -> _Source:
        return cls(key.blob, key.binding, key.protection, key.public_key)


def _carried(call: Call, row: SecurityObject, spec: KeySpec, template: ObjectTemplate, source: _Source) -> ObjectView:
    blob, row.protection = keystore.carry(
        spec,
        source.blob,
        binding=source.binding,
        to=row_binding(row),
        protection=source.protection,
        releasable=KeyOperation.EXPORT in row.operations or row.public_only,
    )
    judging.check_new(call, row)  # again: the material's protection is its own
    return making.kept(call, row, StoredKey(blob, source.public), template)


def _describe_copy(command: CopyObject) -> Mapping[str, Detail]:
    return {"subject": str(command.key), "name": command.changes.name}


def _describe_persist(command: PersistKey) -> Mapping[str, Detail]:
    return describe_template(command.template)


_operation = control(Category.ADMINISTRATIVE)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(CopyObject, "object.copy", _resolve_copy, copy_object, describe=_describe_copy),
    _operation(PersistKey, "object.persist", _resolve_persist, persist_key, describe=_describe_persist),
)
