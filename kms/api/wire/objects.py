"""/crypto/v1/keys: security objects on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from kms.api.wire.base import (
    Descriptor,
    Endpoint,
    Parameters,
    Request,
    Response,
    WireCall,
    WireError,
    creator_of,
    nothing,
    page_of,
    parameters,
    path_id,
    ref_of,
    sorting,
    time_of,
    unsupported,
    wire_time,
)
from kms.api.wire.names import WIRE_STATE, operations_of, wire_operations
from kms.crypto.asymmetric import traditional_der
from kms.objects.models import SecurityObject
from kms.objects.state import Cryptoperiod
from kms.operations.command import ObjectRef
from kms.operations.creation import CreateObject, ImportObject
from kms.operations.lifecycle import ActivateObject, DeleteObject, ExportObject, UpdateObject
from kms.operations.making import ObjectTemplate
from kms.operations.managed_object import ObjectView
from kms.operations.queries import GetObject, ListObjects, ObjectList
from kms.secret import SecretBytes

# In bytes of UTF-8: names are unique, and an index entry of PostgreSQL has at most 2704.
MAX_NAME = 2048


class RsaOptions(Request):
    key_size: int | None = None
    public_exponent: int | None = None
    encryption_policy: list[Any] | None = None
    signature_policy: list[Any] | None = None
    minimum_key_length: int | None = None


class SobjectRequest(Request):
    """Create, import and update share one shape. Fields of type Any are known, not acted on, and refused."""

    name: str | None = None
    description: str | None = None
    key_size: int | None = None
    pub_exponent: int | None = None
    elliptic_curve: str | None = None
    obj_type: str | None = None
    key_ops: list[str] | None = None
    group_id: UUID | None = None
    custom_metadata: dict[str, str] | None = None
    value: bytes | None = None
    enabled: bool | None = None
    transient: bool | None = None
    state: str | None = None
    activation_date: str | None = None
    deactivation_date: str | None = None
    rsa: RsaOptions | None = None
    aes: Any = None
    allow_credential_use: Any = None
    allow_sign_hash: Any = None
    aria: Any = None
    bip32: Any = None
    bls: Any = None
    des: Any = None
    des3: Any = None
    deterministic_signatures: Any = None
    dsa: Any = None
    eckcdsa: Any = None
    export_policy: Any = None
    external: Any = None
    fpe: Any = None
    google_access_reason_policy: Any = None
    kcdsa: Any = None
    kcv: Any = None
    links: Any = None
    lms: Any = None
    mldsa: Any = None
    mlkem: Any = None
    publish_public_key: Any = None
    rotation_policy: Any = None
    seed: Any = None
    slip10: Any = None
    xmss: Any = None


_ACTED_ON = frozenset(
    [
        "name",
        "description",
        "key_size",
        "pub_exponent",
        "elliptic_curve",
        "obj_type",
        "key_ops",
        "group_id",
        "custom_metadata",
        "value",
        "enabled",
        "transient",
        "state",
        "activation_date",
        "deactivation_date",
        "rsa",
    ]
)
_REFUSED = tuple(name for name in SobjectRequest.__struct_fields__ if name not in _ACTED_ON)


def refuse_unsupported(body: SobjectRequest) -> None:
    unsupported(**{name: getattr(body, name) for name in _REFUSED})
    if body.rsa is not None:
        unsupported(
            encryption_policy=body.rsa.encryption_policy or None,
            signature_policy=body.rsa.signature_policy or None,
            minimum_key_length=body.rsa.minimum_key_length,
        )
    if body.state not in (None, "Active"):
        unsupported(state=body.state)


class Sobject(Response):
    """A security object in a response."""

    acct_id: UUID
    creator: dict[str, str]
    created_at: str
    enabled: bool
    key_ops: list[str]
    obj_type: str
    origin: str
    public_only: bool
    kid: UUID | None = None
    name: str | None = None
    description: str | None = None
    group_id: UUID | None = None
    key_size: int | None = None
    elliptic_curve: str | None = None
    state: str | None = None
    activation_date: str | None = None
    deactivation_date: str | None = None
    custom_metadata: Mapping[str, str] | None = None
    never_exportable: bool | None = None
    compliant_with_policies: bool | None = None
    pub_key: bytes | None = None
    rsa: dict[str, int] | None = None
    value: bytes | None = None
    transient_key: bytes | None = None


class ListResponse(Response):
    metadata: dict[str, int]
    items: list[Sobject]


class GetParams(Parameters):
    view: str | None = None
    show_destroyed: bool | None = None
    show_deleted: bool | None = None
    show_value: bool | None = None
    show_pub_key: bool | None = None
    show_effective_export_policy: bool | None = None


_SORTS = {"kid": "id", "name": "name"}


class ListParams(Parameters):
    group_id: UUID | None = None
    creator: UUID | None = None
    name: str | None = None
    obj_type: str | None = None
    limit: int | None = None
    offset: int | None = None
    sort: str | None = None
    start: str | None = None
    with_metadata: bool | None = None
    show_destroyed: bool | None = None
    show_deleted: bool | None = None
    show_value: bool | None = None
    show_pub_key: bool | None = None
    show_kcv: bool | None = None
    compliant_with_policies: bool | None = None
    pkcs11_id: str | None = None
    pkcs11_label: str | None = None
    filter: str | None = None


# -- requests ------------------------------------------------------------------------------------------------------


def checked_name(name: str | None) -> str | None:
    if name is not None and len(name.encode()) > MAX_NAME:
        raise WireError(f"Invalid request: name has at most {MAX_NAME} bytes")
    return name


def template_of(body: Any, *, kind: str | None) -> ObjectTemplate:
    """The attributes of a new object; ``body`` is a SobjectRequest or an UnwrapRequest."""
    if kind is None:
        raise WireError("Invalid request: obj_type is needed")
    rsa = body.rsa or RsaOptions()
    return ObjectTemplate(
        name=checked_name(body.name),
        kind=kind,
        group=body.group_id,
        size=getattr(body, "key_size", None) or rsa.key_size,
        curve=getattr(body, "elliptic_curve", None),
        public_exponent=getattr(body, "pub_exponent", None) or rsa.public_exponent,
        operations=operations_of(body.key_ops),
        description=body.description or "",
        custom_metadata=body.custom_metadata or {},
        enabled=body.enabled is not False,
        period=Cryptoperiod(
            time_of(getattr(body, "activation_date", None), "activation_date"),
            time_of(getattr(body, "deactivation_date", None), "deactivation_date"),
        ),
        transient=bool(body.transient),
    )


def _create(call: WireCall) -> CreateObject:
    refuse_unsupported(call.body)
    if call.body.value is not None:
        raise WireError("Invalid request: value is for imports (PUT)")
    return CreateObject(template_of(call.body, kind=call.body.obj_type))


def _import(call: WireCall) -> ImportObject:
    refuse_unsupported(call.body)
    if call.body.value is None:
        raise WireError("Invalid request: value is needed")
    return ImportObject(template_of(call.body, kind=call.body.obj_type), SecretBytes(call.body.value))


def _update(call: WireCall) -> UpdateObject:
    body: SobjectRequest = call.body
    refuse_unsupported(body)
    unsupported(
        obj_type=body.obj_type,
        key_size=body.key_size,
        elliptic_curve=body.elliptic_curve,
        value=body.value,
        transient=body.transient,
        pub_exponent=body.pub_exponent,
        state=body.state,
        rsa=body.rsa,
    )
    return UpdateObject(
        key=ObjectRef(id=path_id(call, "key_id")),
        name=checked_name(body.name),
        description=body.description,
        custom_metadata=body.custom_metadata,
        enabled=body.enabled,
        operations=operations_of(body.key_ops),
        group=body.group_id,
        activation_date=time_of(body.activation_date, "activation_date"),
        deactivation_date=time_of(body.deactivation_date, "deactivation_date"),
    )


def _by_path(command: Any) -> Any:
    def to_command(call: WireCall) -> Any:
        return command(ObjectRef(id=path_id(call, "key_id")))

    return to_command


def _get(call: WireCall) -> GetObject | ExportObject:
    """``show_value`` (and the value view) is an export, and is decided and recorded as one."""
    wanted = parameters(call, GetParams)
    ref = ObjectRef(id=path_id(call, "key_id")) if "key_id" in call.path else ref_of(call.body)
    if wanted.view not in (None, "json"):
        unsupported(view=wanted.view)
    return ExportObject(ref) if wanted.show_value else GetObject(ref)


def _list(call: WireCall) -> ListObjects:
    prefix = "custom_metadata."
    metadata = {name[len(prefix) :]: value for name, value in call.query.items() if name.startswith(prefix)}
    plain = {name: value for name, value in call.query.items() if not name.startswith(prefix)}
    wanted = parameters(WireCall(call.path, plain, None, call.authorization, call.principal), ListParams)
    unsupported(
        filter=wanted.filter,
        pkcs11_id=wanted.pkcs11_id,
        pkcs11_label=wanted.pkcs11_label,
        show_value=wanted.show_value or None,
        compliant_with_policies=None if wanted.compliant_with_policies is not False else False,
    )
    return ListObjects(
        page=page_of(wanted.limit, wanted.offset, **sorting(wanted.sort, wanted.start, _SORTS)),
        name=wanted.name,
        group=wanted.group_id,
        creator=wanted.creator,
        kind=wanted.obj_type,
        custom_metadata=metadata,
        with_counts=bool(wanted.with_metadata),
    )


# -- responses -----------------------------------------------------------------------------------------------------

# Where the material was made. An imported key must not pass for one that was born here.
_ORIGINS = {"generate": "FortanixHSM", "import": "External", "unwrap": "External"}


def sobject(view: ObjectView) -> Sobject:
    row = view.row
    public = bytes(row.public_key) if row.public_key is not None and row.kind in ("RSA", "EC") else None
    return Sobject(
        acct_id=row.account_id,
        creator=creator_of(row.creator_kind, row.creator_id),
        created_at=wire_time(row.created_at) or "",
        enabled=row.enabled,
        key_ops=wire_operations(row.operations),
        obj_type=row.kind,
        origin="Transient" if view.transient is not None else _ORIGINS[row.creation],
        public_only=row.public_only,
        kid=None if view.transient is not None else row.id,
        name=row.name or None,
        description=row.description or None,
        group_id=row.group_id,
        key_size=None if row.kind in ("EC", "CERTIFICATE") else row.size,
        elliptic_curve=row.curve or None,
        state=WIRE_STATE[view.state],
        activation_date=wire_time(row.activation_date),
        deactivation_date=wire_time(row.deactivation_date),
        custom_metadata=row.custom_metadata or None,
        never_exportable=row.never_exportable,
        compliant_with_policies=True,
        pub_key=public,
        rsa={"key_size": row.size} if row.kind == "RSA" else None,
        value=None if view.value is None else _wire_material(row, view.value),
        transient_key=view.transient,
    )


def _wire_material(row: SecurityObject, material: SecretBytes) -> bytes:
    """Private keys, kept as PKCS#8, leave as PKCS#1 and SEC 1: the vendor's CLI writes that armour around them."""
    return (traditional_der(material) if row.kind in ("RSA", "EC") else material).reveal()


def _listed(result: ObjectList) -> Any:
    items = [sobject(view) for view in result.views]
    if result.total is None or result.matched is None:
        return items
    return ListResponse(metadata={"total_count": result.total, "filtered_count": result.matched}, items=items)


_KEYS = "/crypto/v1/keys"
ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("ListSobjects", "GET", _KEYS, _list, _listed),
    Endpoint("CreateSobject", "POST", _KEYS, _create, sobject, body=SobjectRequest, status=201),
    Endpoint("ImportSobject", "PUT", _KEYS, _import, sobject, body=SobjectRequest, status=201),
    Endpoint("GetSobject", "POST", f"{_KEYS}/info", _get, sobject, body=Descriptor),
    Endpoint(
        "ExportSobject",
        "POST",
        f"{_KEYS}/export",
        lambda call: ExportObject(ref_of(call.body)),
        sobject,
        body=Descriptor,
    ),
    Endpoint("GetSobjectById", "GET", _KEYS + "/{key_id}", _get, sobject),
    Endpoint("ExportSobjectById", "GET", _KEYS + "/{key_id}/export", _by_path(ExportObject), sobject),
    Endpoint("UpdateSobject", "PATCH", _KEYS + "/{key_id}", _update, sobject, body=SobjectRequest),
    Endpoint("DeleteSobject", "DELETE", _KEYS + "/{key_id}", _by_path(DeleteObject), nothing, status=204),
    Endpoint("ActivateSobject", "POST", _KEYS + "/{key_id}/activate", _by_path(ActivateObject), nothing, status=204),
)
