"""What moves a security object from state to state (SP 800-57 pt 1 §7), and what takes its material away or out.

Control plane: rows are locked and changed in the call's transaction. It must not know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kms.audit.entry import Category, Detail
from kms.crypto.errors import ParameterInvalid
from kms.crypto.key_formats import DEFAULT, written
from kms.crypto.operation import KeyOperation
from kms.crypto.registry import algorithm_of
from kms.objects import keystore
from kms.objects.models import SecurityObject
from kms.objects.revocation import Revocation
from kms.objects.snapshot import ObjectSnapshot
from kms.objects.state import Transition, next_state
from kms.objects.usage import Handling
from kms.operations.authority import object_target
from kms.operations.command import Call, Command, ObjectNeed, ObjectRef, Operation, Resolved, control
from kms.operations.errors import InvalidRequest
from kms.operations.history import remember, remember_no_longer
from kms.operations.managed_object import (
    ObjectView,
    check_handling,
    locked_object,
    row_binding,
    save,
    state_of,
)
from kms.secret import SecretBytes
from policies.permissions import Permission


@dataclass(frozen=True, slots=True)
class ActivateObject(Command):
    key: ObjectRef


@dataclass(frozen=True, slots=True)
class RevokeObject(Command):
    """Deactivate the object, or mark it compromised, as the reason says."""

    key: ObjectRef
    reason: Revocation


@dataclass(frozen=True, slots=True)
class DestroyObject(Command):
    """The material goes, the attributes stay."""

    key: ObjectRef


@dataclass(frozen=True, slots=True)
class DeleteObject(Command):
    key: ObjectRef


@dataclass(frozen=True, slots=True)
class RemovePrivateKey(Command):
    """What is left of the pair is its public key."""

    key: ObjectRef


@dataclass(frozen=True, slots=True)
class ExportObject(Command):
    """``form`` is one of key_formats.FORMATS."""

    key: ObjectRef
    form: str = DEFAULT


def activate_object(call: Call, _command: ActivateObject, row: SecurityObject) -> None:
    moved(call, row, Transition.ACTIVATE)
    row.activation_date = call.now
    save(row)


def revoke_object(call: Call, command: RevokeObject, row: SecurityObject) -> None:
    revoke(call, row, command.reason)
    save(row)


def revoke(call: Call, row: SecurityObject, reason: Revocation) -> None:
    """Set the row's columns; whoever calls saves it."""
    transition = reason.transition
    _check_occurrence(reason, call.now)
    moved(call, row, transition)
    row.revocation = reason.stored()
    if transition is Transition.COMPROMISE:
        row.compromise_date = reason.occurred_at or call.now
    else:
        row.deactivation_date = call.now
    row.rotation, row.rotates_at = None, None


def _check_occurrence(reason: Revocation, now: datetime) -> None:
    if reason.occurred_at is None:
        return
    if reason.transition is not Transition.COMPROMISE:
        raise ParameterInvalid("compromise_occurance_date goes with a compromise only")
    if reason.occurred_at > now:
        raise ParameterInvalid("compromise_occurance_date lies ahead")


def destroy_object(call: Call, _command: DestroyObject, row: SecurityObject) -> None:
    moved(call, row, Transition.DESTROY)
    row.destruction_date = call.now
    _drop_material(call, row)
    save(row)


def delete_object(call: Call, _command: DeleteObject, row: SecurityObject) -> None:
    """A tombstone stays, so that the record's id still says what it was; its name is free again."""
    moved(call, row, Transition.DELETE)
    row.deletion_date = call.now
    _drop_material(call, row)
    save(row)


def _drop_material(call: Call, row: SecurityObject) -> None:
    """What an undo policy keeps is in the history until its time is over, and nowhere after that.

    A public key stays, as the name of what was. A certificate is its own material: what it said stays, it does not.
    """
    row.blob, row.version = b"", row.version + 1
    row.rotation, row.rotates_at, row.publication = None, None, None
    row.attributes = {name: value for name, value in row.attributes.items() if name != "der"}
    remember_no_longer(call, row)


def remove_private_key(call: Call, _command: RemovePrivateKey, row: SecurityObject) -> None:
    check_handling(row, Handling.REMOVE_PRIVATE, call.now)
    algorithm = algorithm_of(row.kind)
    if not algorithm.asymmetric or row.public_key is None:
        raise InvalidRequest(f"{row.kind} objects have no private key to remove")
    if row.public_only:
        raise InvalidRequest("The private key is gone already")
    remember(call, row)
    public = SecretBytes(bytes(row.public_key))
    row.public_only, row.protection, row.version = True, keystore.SEALED, row.version + 1
    row.operations = sorted(set(row.operations) & algorithm.public_operations)
    row.blob = keystore.seal(public, binding=row_binding(row))
    row.rotation, row.rotates_at = None, None  # a public key is not generated again
    remember_no_longer(call, row)
    save(row)


def moved(call: Call, row: SecurityObject, transition: Transition) -> None:
    """Keep the row's past, then set the state that the transition leads to, or refuse it."""
    current = state_of(row, call.now)
    state = next_state(transition, current)
    if state is None:
        raise InvalidRequest(f"One cannot {transition.value} an object that is {current.value}", "state-transition")
    remember(call, row)
    row.state = state


def export_object(call: Call, command: ExportObject, found: ObjectSnapshot) -> ObjectView:
    if found.options.export is not None and found.options.export.wrapped:
        raise InvalidRequest("The object's export policy lets it out wrapped only", "export-wrapped-only")
    row = SecurityObject.objects.get(id=found.id)
    value = keystore.material(call.grants[0], found)
    call.details.update(object_version=row.version, output_bytes=len(value))
    if command.form != DEFAULT:
        value = written(row.kind, value, command.form)
    return ObjectView(row, state_of(row, call.now), value=value, form=command.form)


def _resolve_export(call: Call, command: ExportObject) -> Sequence[Resolved]:
    if command.key.transient is not None:
        raise InvalidRequest("A transient key is the caller's already and has no record to export")
    need = ObjectNeed(command.key, Permission.OBJECT_EXPORT, KeyOperation.EXPORT)
    return (call.authority.resolve_object(call, need),)


def resolve_locked(permission: Permission) -> Any:
    """The object of a command that names it by ``key``, held for change."""

    def resolve(call: Call, command: Any) -> Sequence[Resolved]:
        row = locked_object(call, command.key)
        return (Resolved(permission, object_target(row), row),)

    return resolve


def describe_ref(command: Any) -> Mapping[str, Detail]:
    return {"subject": str(command.key)}


def _describe_revocation(command: RevokeObject) -> Mapping[str, Detail]:
    return {"subject": str(command.key), "revocation": command.reason.code}


_operation = control(Category.ADMINISTRATIVE)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(
        ActivateObject,
        "object.activate",
        resolve_locked(Permission.OBJECT_ACTIVATE),
        activate_object,
        describe=describe_ref,
    ),
    _operation(
        RevokeObject,
        "object.revoke",
        resolve_locked(Permission.OBJECT_REVOKE),
        revoke_object,
        describe=_describe_revocation,
    ),
    _operation(
        DestroyObject,
        "object.destroy",
        resolve_locked(Permission.OBJECT_DESTROY),
        destroy_object,
        describe=describe_ref,
        irreversible=True,
    ),
    _operation(
        DeleteObject,
        "object.delete",
        resolve_locked(Permission.OBJECT_DELETE),
        delete_object,
        describe=describe_ref,
        irreversible=True,
    ),
    _operation(
        RemovePrivateKey,
        "object.remove-private-key",
        resolve_locked(Permission.OBJECT_DELETE_MATERIAL),
        remove_private_key,
        describe=describe_ref,
        irreversible=True,
    ),
    _operation(ExportObject, "object.export", _resolve_export, export_object, describe=describe_ref),
)
