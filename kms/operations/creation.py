"""Security objects coming into being: generated, imported, unwrapped, or handed out as transient keys.

Control plane. It must not know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from accounts.models import Group
from kms.audit.entry import Category, Detail
from kms.crypto.algorithm import CipherParameters
from kms.crypto.errors import ParameterInvalid
from kms.crypto.operation import KeyOperation
from kms.hsm.module import KeySpec, WrapMechanism
from kms.objects import keystore
from kms.objects.snapshot import ObjectSnapshot
from kms.operations import judging, making, wrapping
from kms.operations.command import Call, Command, ObjectNeed, ObjectRef, Operation, Resolved, control
from kms.operations.errors import InvalidRequest
from kms.operations.making import ObjectTemplate, describe_template
from kms.operations.managed_object import ObjectView, destination, row_binding
from kms.secret import SecretBytes
from policies.permissions import Permission


@dataclass(frozen=True, slots=True)
class CreateObject(Command):
    """Generate a key in the token."""

    template: ObjectTemplate


@dataclass(frozen=True, slots=True)
class ImportObject(Command):
    template: ObjectTemplate
    material: SecretBytes


@dataclass(frozen=True, slots=True)
class UnwrapKey(Command):
    """Import what ``key`` unwraps."""

    key: ObjectRef
    algorithm: str | None
    parameters: CipherParameters
    wrapped: bytes
    template: ObjectTemplate


def create_object(call: Call, command: CreateObject, group: Group) -> ObjectView:
    return making.generated(call, command.template, group)


def import_object(call: Call, command: ImportObject, group: Group) -> ObjectView:
    found = making.described(command.template, command.material)
    return making.from_material(call, command.template, group, found, how="import")


def unwrap_key(call: Call, command: UnwrapKey, key: ObjectSnapshot, group: Group) -> ObjectView:
    """Unwrapped inside the token when the result may stay there, else in the process for that moment."""
    template = command.template
    if command.algorithm is not None and command.algorithm != key.kind:
        raise InvalidRequest(f"alg is {command.algorithm}, but the object's type is {key.kind}")
    inside = _unwrapped_inside(command, key)
    if inside is not None:
        mechanism, spec = inside
        template = making.dated(call, template, group)
        row = making.new_row(call, template, group, spec)
        row.creation, row.wrapping_key = "unwrap", key.id
        stored = keystore.unwrap(call.grants[0], key, mechanism, command.wrapped, spec, binding=row_binding(row))
        return making.kept(call, row, stored, template)
    material = wrapping.unwrap(call.grants[0], key, command.parameters, command.wrapped)
    found = making.described(template, material)
    return making.from_material(call, template, group, found, how="unwrap", links={"wrapping_key": key.id})


def _unwrapped_inside(command: UnwrapKey, key: ObjectSnapshot) -> tuple[WrapMechanism, KeySpec] | None:
    """Mechanism and shape when the result may be unwrapped in the token and stay there; None when it may not.

    Only AES keys: their size follows from the wrapped length (RFC 3394 and, for multiples of 8 bytes, RFC 5649 both add
    8 bytes), so nothing of the result has to be looked at here.
    """
    template = command.template
    mechanism = wrapping.key_wrap_mechanism(key, command.parameters)
    exportable = template.operations is not None and KeyOperation.EXPORT in template.operations
    size = (len(command.wrapped) - 8) * 8
    spec = KeySpec("AES", size)
    if mechanism is None or exportable or template.transient or template.kind != "AES" or not keystore.in_token(spec):
        return None
    if template.size not in (None, size):
        raise ParameterInvalid(f"key_size is {template.size}, but the wrapped key has {size} bits")
    return mechanism, spec


def _resolve_creation(call: Call, command: CreateObject | ImportObject) -> Sequence[Resolved]:
    return (destination(call, command.template.group),)


def _resolve_unwrap(call: Call, command: UnwrapKey) -> Sequence[Resolved]:
    use = judging.use_of(command.parameters)
    key = ObjectNeed(command.key, Permission.OBJECT_UNWRAP, KeyOperation.UNWRAP, use=use)
    return (call.authority.resolve_object(call, key), destination(call, command.template.group))


def _describe_creation(command: CreateObject | ImportObject | UnwrapKey) -> Mapping[str, Detail]:
    return describe_template(command.template)


_operation = control(Category.ADMINISTRATIVE)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(CreateObject, "object.create", _resolve_creation, create_object, describe=_describe_creation),
    _operation(ImportObject, "object.import", _resolve_creation, import_object, describe=_describe_creation),
    _operation(UnwrapKey, "object.unwrap", _resolve_unwrap, unwrap_key, describe=_describe_creation),
)
