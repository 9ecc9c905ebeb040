"""/crypto/v1/keys: security objects on the wire."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec

from kms.api.wire.base import (
    MAX_SEARCHED,
    Descriptor,
    Endpoint,
    Parameters,
    Request,
    Response,
    WireCall,
    WireError,
    page_of,
    parameters,
    path_id,
    ref_of,
    sorting,
    time_of,
    unsupported,
)
from kms.api.wire.names import STATES, operations_of
from kms.api.wire.object_options import (
    WireCipherOptions,
    WireDsaOptions,
    WireExportPolicy,
    WireParameterSet,
    WirePublication,
    WireRotationPolicy,
    WireRsaOptions,
    export_rule,
    key_options,
    parameter_set,
    publication,
    rotation_policy,
)
from kms.api.wire.quorum_policies import GroupApprovalPolicy, Remove, group_policy
from kms.api.wire.sobject import Sobject, sobject
from kms.crypto.key_formats import DEFAULT, FORMATS
from kms.crypto.options import NO_OPTIONS, KeyOptions
from kms.objects.state import Cryptoperiod, KeyState
from kms.operations.command import ObjectRef
from kms.operations.creation import CreateObject, ImportObject
from kms.operations.lifecycle import ExportObject
from kms.operations.making import ObjectTemplate
from kms.operations.object_listing import Narrowing
from kms.operations.queries import GetObject, ListObjects, ObjectList
from kms.operations.updating import UpdateObject
from kms.secret import SecretBytes

# In bytes of UTF-8: names are unique, and an index entry of PostgreSQL has at most 2704.
MAX_NAME = 2048


class ObjectAttributes(Request):
    """What every request that makes an object may say of it."""

    name: str | None = None
    description: str | None = None
    key_ops: list[str] | None = None
    group_id: UUID | None = None
    custom_metadata: dict[str, str] | None = None
    enabled: bool | None = None
    transient: bool | None = None
    state: str | None = None
    activation_date: str | None = None
    deactivation_date: str | None = None
    export_policy: WireExportPolicy | None = None
    approval_policy: GroupApprovalPolicy | Remove | None = None


class SobjectRequest(ObjectAttributes):
    """Create, import, copy, rotate and update share one shape. Fields of type Any are known, not acted on, refused."""

    key_size: int | None = None
    pub_exponent: int | None = None
    elliptic_curve: str | None = None
    obj_type: str | None = None
    value: bytes | None = None
    kcv: str | None = None
    rsa: WireRsaOptions | None = None
    aes: WireCipherOptions | None = None
    aria: WireCipherOptions | None = None
    des: WireCipherOptions | None = None
    des3: WireCipherOptions | None = None
    seed: WireCipherOptions | None = None
    fpe: dict[str, Any] | None = None
    dsa: WireDsaOptions | None = None
    mldsa: WireParameterSet | None = None
    mlkem: WireParameterSet | None = None
    allow_sign_hash: bool | None = None
    rotation_policy: WireRotationPolicy | msgspec.UnsetType | None = msgspec.UNSET
    publish_public_key: WirePublication | None = None
    allow_credential_use: Any = None
    bip32: Any = None
    bls: Any = None
    deterministic_signatures: Any = None
    eckcdsa: Any = None
    external: Any = None
    google_access_reason_policy: Any = None
    kcdsa: Any = None
    links: Any = None
    lms: Any = None
    slip10: Any = None
    xmss: Any = None


_REFUSED = (
    "allow_credential_use",
    "bip32",
    "bls",
    "deterministic_signatures",
    "eckcdsa",
    "external",
    "google_access_reason_policy",
    "kcdsa",
    "links",
    "lms",
    "slip10",
    "xmss",
)


def refuse_unsupported(body: SobjectRequest) -> None:
    """What a client sends to say no (false, an empty list) asks for nothing that we lack."""
    unsupported(**{name: getattr(body, name) or None for name in _REFUSED})
    if body.allow_sign_hash is False:
        unsupported(allow_sign_hash=False)


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


# The vendor's, and ours: in these a page goes on by ``after``.
_SORTS = {"kid": "id", "name": "name"}
_OWN_SORTS = {"created_at": "created_at", "deactivation_date": "deactivation_date", "scheduled_rotation": "rotates_at"}
_STATES = {name: state for name, state in STATES.items() if state is not KeyState.DELETED}


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
    # Ours, for the console's table.
    search: str | None = None
    state: str | None = None
    key_size: int | None = None
    expires_before: str | None = None
    rotates_before: str | None = None
    guarded: bool | None = None
    after: UUID | None = None


# -- requests ------------------------------------------------------------------------------------------------------


def checked_name(name: str | None) -> str | None:
    if name is not None and len(name.encode()) > MAX_NAME:
        raise WireError(f"Invalid request: name has at most {MAX_NAME} bytes")
    if name is not None and (not name.strip() or "\n" in name):
        raise WireError("Invalid request: name is one line and not blank")
    return name


def template_of(body: SobjectRequest, *, kind: str | None) -> ObjectTemplate:
    """The attributes of a new object."""
    if kind is None:
        raise WireError("Invalid request: obj_type is needed")
    rsa = body.rsa or WireRsaOptions()
    return attributes_of(
        body,
        kind=kind,
        size=body.key_size or rsa.key_size,
        curve=parameter_set(body),
        public_exponent=body.pub_exponent or rsa.public_exponent,
        options=key_options(body, kind),
        rotation=rotation_policy(body.rotation_policy or None),
        publication=publication(body.publish_public_key),
        check_value=body.kcv,
    )


def attributes_of(body: ObjectAttributes, *, kind: str, **fields: Any) -> ObjectTemplate:
    """A template of what any request may say; ``fields`` are the template's others."""
    if body.state not in (None, "Active", "PreActive"):
        unsupported(state=body.state)
    fields.setdefault("options", KeyOptions(export=export_rule(body.export_policy)))
    return ObjectTemplate(
        name=checked_name(body.name),
        kind=kind,
        group=body.group_id,
        operations=operations_of(body.key_ops),
        description=body.description or "",
        custom_metadata=body.custom_metadata or {},
        enabled=body.enabled is not False,
        period=Cryptoperiod(
            time_of(body.activation_date, "activation_date"), time_of(body.deactivation_date, "deactivation_date")
        ),
        pre_active=body.state == "PreActive",
        transient=bool(body.transient),
        quorum=group_policy(body.approval_policy),
        **fields,
    )


def _create(call: WireCall) -> CreateObject:
    refuse_unsupported(call.body)
    if call.body.value is not None:
        raise WireError("Invalid request: value is for imports (PUT)")
    if call.body.kcv is not None:
        raise WireError("Invalid request: kcv is for imports (PUT)")
    return CreateObject(template_of(call.body, kind=call.body.obj_type))


def _import(call: WireCall) -> ImportObject:
    refuse_unsupported(call.body)
    if call.body.value is None:
        raise WireError("Invalid request: value is needed")
    return ImportObject(template_of(call.body, kind=call.body.obj_type), SecretBytes(call.body.value))


def _update(call: WireCall) -> UpdateObject:
    body: SobjectRequest = call.body
    refuse_unsupported(body)
    unsupported(**{name: getattr(body, name) for name in _FIXED})
    options = key_options(body, None)
    ended = {
        "rotation": body.rotation_policy is None,
        "publication": isinstance(body.publish_public_key, WirePublication)
        and body.publish_public_key.state == "disabled",
    }
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
        options=None if options == NO_OPTIONS else options,
        rotation=rotation_policy(body.rotation_policy or None),
        publication=publication(body.publish_public_key),
        quorum=group_policy(body.approval_policy),
        ended=frozenset(name for name, gone in ended.items() if gone),
    )


# What an object is from its first day to its last. A cipher's options are part of that, an RSA key's policies are not.
_FIXED = (
    "obj_type",
    "key_size",
    "elliptic_curve",
    "value",
    "kcv",
    "transient",
    "pub_exponent",
    "state",
    "dsa",
    "mldsa",
    "mlkem",
    "aes",
    "aria",
    "des",
    "des3",
    "seed",
    "fpe",
)


def _get(call: WireCall) -> GetObject | ExportObject:
    """``show_value`` (and the value view) is an export, and is decided and recorded as one."""
    wanted = parameters(call, GetParams)
    ref = ObjectRef(id=path_id(call, "key_id")) if "key_id" in call.path else ref_of(call.body)
    if wanted.view not in (None, "json"):
        unsupported(view=wanted.view)
    return ExportObject(ref) if wanted.show_value else GetObject(ref, deleted=bool(wanted.show_deleted))


class ExportParams(Parameters):
    """``format`` is ours: pkcs8, spki, pem or jwk."""

    format: str = DEFAULT


def _export(call: WireCall) -> ExportObject:
    form = parameters(call, ExportParams).format
    if form not in FORMATS:
        raise WireError(f"Invalid request: format is one of {', '.join(FORMATS)}")
    return ExportObject(ObjectRef(id=path_id(call, "key_id")), form)


def _list(call: WireCall) -> ListObjects:
    prefix = "custom_metadata."
    metadata = {name[len(prefix) :]: value for name, value in call.query.items() if name.startswith(prefix)}
    plain = {name: value for name, value in call.query.items() if not name.startswith(prefix)}
    wanted = parameters(WireCall(call.path, plain, None, call.authorization, call.principal), ListParams)
    if wanted.state == "Destroyed":
        wanted.show_destroyed = True
    unsupported(
        filter=wanted.filter,
        pkcs11_id=wanted.pkcs11_id,
        pkcs11_label=wanted.pkcs11_label,
        show_value=wanted.show_value or None,
        compliant_with_policies=None if wanted.compliant_with_policies is not False else False,
    )
    if wanted.after is not None and (wanted.start is not None or wanted.offset):
        raise WireError("Invalid request: after, start and offset exclude each other")
    # A page goes on after a value in the vendor's orders only: in others values tie.
    sorts = _SORTS if wanted.start is not None or wanted.offset else {**_SORTS, **_OWN_SORTS}
    return ListObjects(
        page=page_of(wanted.limit, wanted.offset, **sorting(wanted.sort, wanted.start, sorts)),
        name=wanted.name,
        group=wanted.group_id,
        creator=wanted.creator,
        kind=wanted.obj_type,
        custom_metadata=metadata,
        with_counts=bool(wanted.with_metadata),
        destroyed=bool(wanted.show_destroyed),
        deleted=bool(wanted.show_deleted),
        narrowing=_narrowing(wanted),
        after=wanted.after,
    )


def _narrowing(wanted: ListParams) -> Narrowing:
    if wanted.search is not None and (len(wanted.search) > MAX_SEARCHED or "\0" in wanted.search):
        raise WireError(f"Invalid request: search has at most {MAX_SEARCHED} characters")
    if wanted.state is not None and wanted.state not in _STATES:
        raise WireError(f"Invalid request: state is one of {', '.join(_STATES)}")
    if wanted.key_size is not None and not 0 <= wanted.key_size < 2**31:
        raise WireError("Invalid request: key_size is a number of bits")
    return Narrowing(
        search=(wanted.search or "").strip(),
        state=None if wanted.state is None else _STATES[wanted.state],
        size=wanted.key_size,
        expires_before=time_of(wanted.expires_before, "expires_before"),
        rotates_before=time_of(wanted.rotates_before, "rotates_before"),
        guarded=wanted.guarded,
    )


# -- responses -----------------------------------------------------------------------------------------------------


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
    Endpoint("ExportSobjectById", "GET", _KEYS + "/{key_id}/export", _export, sobject),
    Endpoint("UpdateSobject", "PATCH", _KEYS + "/{key_id}", _update, sobject, body=SobjectRequest),
)
