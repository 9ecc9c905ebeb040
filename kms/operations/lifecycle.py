"""Security objects from creation to deletion: create, import, unwrap, update, activate, export, delete.

Control plane: rows are locked and changed in the call's transaction. It must not know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from django.db import transaction
from django.db.utils import IntegrityError

from accounts.models import App, Group
from accounts.principal import PrincipalKind
from kms.audit.entry import Category, Detail
from kms.crypto.algorithm import Algorithm, CipherParameters
from kms.crypto.algorithms.aes import SIZES as AES_SIZES
from kms.crypto.errors import ParameterInvalid
from kms.crypto.operation import KeyOperation
from kms.crypto.registry import algorithm_of
from kms.hsm.module import KeySpec, StoredKey, WrapMechanism
from kms.objects import keystore
from kms.objects.binding import BoundFields, binding_of
from kms.objects.models import SecurityObject
from kms.objects.snapshot import ObjectSnapshot
from kms.objects.state import Cryptoperiod, KeyState, effective_state, initial_state
from kms.operations import wrapping
from kms.operations.authority import absent, object_target
from kms.operations.command import Call, Command, ObjectNeed, ObjectRef, Operation, Resolved, control
from kms.operations.errors import Conflict, InvalidRequest, NotFound
from kms.operations.transient import make_transient
from kms.secret import SecretBytes
from policies.decision import Target
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


@dataclass(frozen=True, slots=True)
class ObjectView:
    """An object for rendering. ``value`` only when it was exported; ``transient`` replaces the row's id."""

    row: SecurityObject
    state: KeyState
    value: SecretBytes | None = None
    transient: bytes | None = None


# -- creation ------------------------------------------------------------------------------------------------------


def create_object(call: Call, command: CreateObject, group: Group) -> ObjectView:
    template = command.template
    algorithm = algorithm_of(template.kind)
    spec = algorithm.generation_spec(size=template.size, curve=template.curve, public_exponent=template.public_exponent)
    if template.transient:
        _refuse_limits_of_transient(template)
    row = _new_row(call, template, group, algorithm, spec)
    if template.transient:
        return _transient(call, row, spec)
    stored = keystore.generate(spec, binding=_binding(row), protection=row.protection)
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
        stored = keystore.unwrap(call.grants[0], key, mechanism, command.wrapped, spec, binding=_binding(row))
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
    stored = keystore.store(described.spec, described.material, binding=_binding(row), protection=row.protection)
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
    _check_period(template.period)
    operations = _checked_operations(algorithm, template.operations, public_only=public_only)
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
    return algorithm.public_of(keystore.unseal(stored.blob, binding=_binding(row)))


def _checked_operations(
    algorithm: Algorithm, asked: frozenset[KeyOperation] | None, *, public_only: bool
) -> frozenset[KeyOperation]:
    possible = algorithm.operations & algorithm.public_operations if public_only else algorithm.operations
    if asked is None:
        return algorithm.defaults & possible
    wrong = asked - possible
    if wrong:
        what = f"{algorithm.kind} public keys" if public_only else f"{algorithm.kind} objects"
        raise ParameterInvalid(f"{what} cannot have the operations {', '.join(sorted(wrong))}")
    return asked


def _check_period(period: Cryptoperiod) -> None:
    if period.activation is None or period.deactivation is None:
        return
    if period.deactivation <= period.activation:
        raise ParameterInvalid("deactivation_date must be after activation_date")


def _refuse_limits_of_transient(template: ObjectTemplate) -> None:
    """It carries none of these, and leaving one out would make a stronger key than was asked for."""
    if template.period != Cryptoperiod() or not template.enabled:
        raise ParameterInvalid("a transient key is active for a day at most: it takes no dates and is not disabled")


def _refuse_transient(template: ObjectTemplate) -> None:
    if template.transient:
        raise ParameterInvalid("only generated keys can be transient")


# -- change --------------------------------------------------------------------------------------------------------


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
    _check_period(Cryptoperiod(row.activation_date, row.deactivation_date))


def _change_operations(row: SecurityObject, operations: frozenset[KeyOperation]) -> None:
    """Bound fields change only together with the blob. Giving up export moves a key into the token for good."""
    algorithm = algorithm_of(row.kind)
    _checked_operations(algorithm, operations, public_only=row.public_only)
    exportable = KeyOperation.EXPORT in operations
    if exportable and KeyOperation.EXPORT not in row.operations:
        raise InvalidRequest("An object that is not exportable cannot become exportable")
    before, blob = _binding(row), bytes(row.blob)
    row.operations, row.version = sorted(operations), row.version + 1
    spec = KeySpec(row.kind, row.size, row.curve or None)
    settles = row.protection == keystore.SEALED and not exportable and not row.public_only
    if settles and algorithm.token_capable(spec):
        held = keystore.unseal(blob, binding=before)
        row.protection = keystore.TOKEN
        row.blob = keystore.store(spec, held, binding=_binding(row), protection=keystore.TOKEN).blob
    else:
        row.blob = keystore.rebind(blob, binding=before, to=_binding(row))


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


# -- shared --------------------------------------------------------------------------------------------------------


def save(row: SecurityObject, *, created: bool = False) -> None:
    """A taken name is the caller's mistake, told apart from any other broken constraint."""
    try:
        with transaction.atomic():
            row.save(force_insert=created)
    except IntegrityError as error:
        if "object_name_unique_in_account" in str(error):
            raise Conflict("name-taken", "A security object with this name exists already") from error
        raise


def state_of(row: SecurityObject, now: datetime) -> KeyState:
    return effective_state(KeyState(row.state), Cryptoperiod(row.activation_date, row.deactivation_date), now)


def view_of(row: SecurityObject, now: datetime) -> ObjectView:
    return ObjectView(row, state_of(row, now))


def locked_object(call: Call, ref: ObjectRef) -> SecurityObject:
    """The caller's account's object, held for change."""
    wanted = {"id": ref.id} if ref.id is not None else {"name": ref.name}
    row = SecurityObject.objects.select_for_update().filter(account_id=call.account, **wanted).first()
    if row is None or ref.transient is not None:
        raise NotFound(absent("object"))
    return row


def _binding(row: SecurityObject) -> bytes:
    return binding_of(
        BoundFields(
            deployment=keystore.deployment_id(),
            account=row.account_id,
            object_id=row.id,
            version=row.version,
            kind=row.kind,
            size=row.size,
            curve=row.curve,
            operations=frozenset(map(KeyOperation, row.operations)),
        )
    )


# -- resolution ----------------------------------------------------------------------------------------------------


def _destination(call: Call, group: UUID | None) -> Resolved:
    """The group an object goes to: named, or the app's default."""
    group_id = group
    if group_id is None and call.principal.kind is PrincipalKind.APP:
        group_id = App.objects.filter(id=call.principal.id).values_list("default_group_id", flat=True).first()
    if group_id is None:
        raise ParameterInvalid("group_id is needed")
    row = Group.objects.filter(id=group_id, account_id=call.account).first()
    if row is None:
        raise NotFound(absent("group"))
    target = Target("group", row.id, row.account_id, (row.id,), Permission.GROUP_GET)
    return Resolved(Permission.OBJECT_CREATE, target, row)


def _resolve_creation(call: Call, command: CreateObject | ImportObject) -> Sequence[Resolved]:
    return (_destination(call, command.template.group),)


def _resolve_unwrap(call: Call, command: UnwrapKey) -> Sequence[Resolved]:
    key = ObjectNeed(command.key, Permission.OBJECT_UNWRAP, KeyOperation.UNWRAP)
    return (call.authority.resolve_object(call, key), _destination(call, command.template.group))


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
        resolved.append(_destination(call, command.group))
    return resolved


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


def _describe_ref(command: Any) -> Mapping[str, Detail]:
    return {"subject": str(command.key)}


_operation = control(Category.ADMINISTRATIVE)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(CreateObject, "object.create", _resolve_creation, create_object, describe=_describe_creation),
    _operation(ImportObject, "object.import", _resolve_creation, import_object, describe=_describe_creation),
    _operation(UnwrapKey, "object.unwrap", _resolve_unwrap, unwrap_key, describe=_describe_creation),
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
