"""Security objects coming into being: generated, imported, unwrapped, or handed out as transient keys.

Control plane. It must not know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from accounts.models import Group
from kms.audit.entry import Category, Detail
from kms.crypto.algorithm import Algorithm, CipherParameters
from kms.crypto.algorithms.aes import SIZES as AES_SIZES
from kms.crypto.errors import ParameterInvalid
from kms.crypto.operation import KeyOperation
from kms.crypto.registry import algorithm_of
from kms.hsm.module import KeySpec, StoredKey, WrapMechanism
from kms.objects import keystore
from kms.objects.models import SecurityObject
from kms.objects.snapshot import ObjectSnapshot
from kms.objects.state import Cryptoperiod, KeyState, initial_state
from kms.operations import wrapping
from kms.operations.authority import object_target
from kms.operations.command import Call, Command, ObjectNeed, ObjectRef, Operation, Resolved, control
from kms.operations.errors import InvalidRequest
from kms.operations.managed_object import (
    ObjectView,
    check_period,
    checked_operations,
    destination,
    row_binding,
    save,
    view_of,
)
from kms.operations.transient import make_transient
from kms.secret import SecretBytes
from policies.permissions import Permission


@dataclass(frozen=True, slots=True)
class ObjectTemplate:
    """The attributes a caller asks for; None leaves the choice to the server."""

    name: str | None
    kind: str
    group: UUID | None = None
    size: int | None = None
    curve: str | None = None
    public_exponent: int | None = None
    operations: frozenset[KeyOperation] | None = None
    description: str = ""
    custom_metadata: Mapping[str, str] = field(default_factory=dict)
    enabled: bool = True
    period: Cryptoperiod = field(default_factory=Cryptoperiod)
    transient: bool = False


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
    template = command.template
    algorithm = algorithm_of(template.kind)
    spec = algorithm.generation_spec(size=template.size, curve=template.curve, public_exponent=template.public_exponent)
    if template.transient:
        _refuse_limits_of_transient(template)
    row = _new_row(call, template, group, algorithm, spec)
    if template.transient:
        return _transient(call, row, spec)
    stored = keystore.generate(spec, binding=row_binding(row), protection=row.protection)
    row.creation = "generate"
    return _keep(call, row, stored, _public(algorithm, row, stored))


def import_object(call: Call, command: ImportObject, group: Group) -> ObjectView:
    _refuse_transient(command.template)
    return _import(call, command.template, group, command.material, "import")


def unwrap_key(call: Call, command: UnwrapKey, key: ObjectSnapshot, group: Group) -> ObjectView:
    """Unwrapped inside the token when the result may stay there, else in the process for that moment."""
    template = command.template
    _refuse_transient(template)
    if command.algorithm is not None and command.algorithm != key.kind:
        raise InvalidRequest(f"alg is {command.algorithm}, but the object's type is {key.kind}")
    inside = _unwrapped_inside(command, key)
    if inside is not None:
        mechanism, spec = inside
        row = _new_row(call, template, group, algorithm_of(template.kind), spec)
        row.creation = "unwrap"
        stored = keystore.unwrap(call.grants[0], key, mechanism, command.wrapped, spec, binding=row_binding(row))
        return _keep(call, row, stored, stored.public)
    opened = keystore.open_key(call.grants[0], key, wrapping.WRAPPING_USAGE)
    material = wrapping.unwrap(opened, key.kind, command.parameters, command.wrapped)
    return _import(call, template, group, material, "unwrap")


def _unwrapped_inside(command: UnwrapKey, key: ObjectSnapshot) -> tuple[WrapMechanism, KeySpec] | None:
    """Mechanism and shape when the result may be unwrapped in the token and stay there; None when it may not.

    Only AES keys: their size follows from the wrapped length (RFC 3394 and, for multiples of 8 bytes, RFC 5649 both add
    8 bytes), so nothing of the result has to be looked at here.
    """
    template = command.template
    mechanism = wrapping.key_wrap_mechanism(key.kind, command.parameters)
    exportable = template.operations is not None and KeyOperation.EXPORT in template.operations
    size = (len(command.wrapped) - 8) * 8
    if mechanism is None or exportable or template.kind != "AES" or size not in AES_SIZES:
        return None
    if template.size not in (None, size):
        raise ParameterInvalid(f"key_size is {template.size}, but the wrapped key has {size} bits")
    return mechanism, KeySpec("AES", size)


def _import(call: Call, template: ObjectTemplate, group: Group, material: SecretBytes, how: str) -> ObjectView:
    algorithm = algorithm_of(template.kind)
    described = algorithm.describe(material, size=template.size, curve=template.curve)
    row = _new_row(call, template, group, algorithm, described.spec, public_only=described.public_only)
    row.creation = how
    stored = keystore.store(described.spec, described.material, binding=row_binding(row), protection=row.protection)
    return _keep(call, row, stored, described.public or stored.public)


def _new_row(
    call: Call,
    template: ObjectTemplate,
    group: Group,
    algorithm: Algorithm,
    spec: KeySpec,
    *,
    public_only: bool = False,
) -> SecurityObject:
    if not template.name and not template.transient:
        raise ParameterInvalid("name is needed")
    check_period(template.period)
    operations = checked_operations(algorithm, template.operations, public_only=public_only)
    exportable = KeyOperation.EXPORT in operations
    in_token = not exportable and not public_only and algorithm.token_capable(spec)
    return SecurityObject(
        id=uuid4(),
        account_id=call.account,
        group=group,
        name=template.name or "",
        description=template.description,
        kind=spec.kind,
        size=spec.size,
        curve=spec.curve or "",
        operations=sorted(operations),
        state=initial_state(template.period, call.now),
        enabled=template.enabled,
        activation_date=template.period.activation,
        deactivation_date=template.period.deactivation,
        protection=keystore.TOKEN if in_token else keystore.SEALED,
        never_exportable=not exportable,
        public_only=public_only,
        custom_metadata=dict(template.custom_metadata),
        creator_kind=call.principal.kind,
        creator_id=call.principal.id,
    )


def _keep(call: Call, row: SecurityObject, stored: StoredKey, public: bytes | None) -> ObjectView:
    row.blob, row.public_key = stored.blob, public
    save(row, created=True)
    call.touched.insert(0, object_target(row.id, row.account_id, row.group_id))
    call.details.update(object_version=row.version, size=row.size, protection=row.protection)
    return view_of(row, call.now)


def _transient(call: Call, row: SecurityObject, spec: KeySpec) -> ObjectView:
    operations = frozenset(KeyOperation(value) for value in row.operations)
    row.id, blob, row.public_key = make_transient(
        spec,
        account=row.account_id,
        group=row.group_id,
        operations=operations,
        protection=row.protection,
        now=call.now,
    )
    row.created_at = call.now
    return ObjectView(row, KeyState.ACTIVE, transient=blob)


def _public(algorithm: Algorithm, row: SecurityObject, stored: StoredKey) -> bytes | None:
    """A sealed pair's public key is read off the material; a wrapped one's came with it."""
    if stored.public is not None or row.protection == keystore.TOKEN or row.kind not in {"RSA", "EC"}:
        return stored.public
    return algorithm.public_of(keystore.unseal(stored.blob, binding=row_binding(row)))


def _refuse_limits_of_transient(template: ObjectTemplate) -> None:
    """It carries none of these, and leaving one out would make a stronger key than was asked for."""
    if template.period != Cryptoperiod() or not template.enabled:
        raise ParameterInvalid("a transient key is active for a day at most: it takes no dates and is not disabled")


def _refuse_transient(template: ObjectTemplate) -> None:
    if template.transient:
        raise ParameterInvalid("only generated keys can be transient")


def _resolve_creation(call: Call, command: CreateObject | ImportObject) -> Sequence[Resolved]:
    return (destination(call, command.template.group),)


def _resolve_unwrap(call: Call, command: UnwrapKey) -> Sequence[Resolved]:
    key = ObjectNeed(command.key, Permission.OBJECT_UNWRAP, KeyOperation.UNWRAP)
    return (call.authority.resolve_object(call, key), destination(call, command.template.group))


def _describe_template(template: ObjectTemplate) -> Mapping[str, Detail]:
    operations = None if template.operations is None else ",".join(sorted(template.operations))
    return {
        "kind": template.kind,
        "size": template.size,
        "curve": template.curve,
        "name": template.name,
        "operations": operations,
    }


def _describe_creation(command: CreateObject | ImportObject | UnwrapKey) -> Mapping[str, Detail]:
    return _describe_template(command.template)


_operation = control(Category.ADMINISTRATIVE)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(CreateObject, "object.create", _resolve_creation, create_object, describe=_describe_creation),
    _operation(ImportObject, "object.import", _resolve_creation, import_object, describe=_describe_creation),
    _operation(UnwrapKey, "object.unwrap", _resolve_unwrap, unwrap_key, describe=_describe_creation),
)
