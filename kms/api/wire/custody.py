"""/crypto/v1/keys/components on the wire."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

from accounts.principal import PrincipalKind
from kms.api.wire.base import Descriptor, Endpoint, Request, Response, WireCall, WireError, ref_of, unsupported
from kms.api.wire.modes import encryption_mode
from kms.api.wire.names import check_value_method
from kms.api.wire.objects import SobjectRequest, refuse_unsupported, template_of
from kms.api.wire.sobject import sobject
from kms.crypto.algorithm import CipherParameters
from kms.operations.custodians import Custodian
from kms.operations.custody import Component, ExportComponents, ImportComponents, SplitKey, Wrapping
from kms.secret import SecretBytes

NO_COMPONENTS = (
    "Not supported by this server: an import in which each custodian adds their component to an approval request; "
    "give all components in this one (see docs/divergences.md)"
)


class WireCustodian(Request):
    """The vendor's Principal: an object with one field."""

    user: UUID | None = None
    app: UUID | None = None
    plugin: Any = None
    userviaapp: Any = None


class WrapKeyParams(Request):
    key: Descriptor
    alg: str
    mode: Any = None
    iv: bytes | None = None
    ad: bytes | None = None
    tag_len: int | None = None


class UnwrapKeyParams(Request):
    key: Descriptor
    alg: str
    mode: Any = None
    iv: bytes | None = None
    ad: bytes | None = None
    tag: bytes | None = None


class WireComponent(Request):
    component: bytes
    custodian: WireCustodian
    component_kcv: str | None = None


class ExportComponentsRequest(Request):
    key: Descriptor
    custodians: list[WireCustodian]
    method: str | None = None
    wrap_key_params: WrapKeyParams | None = None
    description: str | None = None


class ImportComponentsRequest(Request):
    key: SobjectRequest
    custodians: list[WireCustodian]
    components: list[WireComponent] | None = None
    method: str | None = None
    kcv_method: str | None = None
    unwrap_key_params: UnwrapKeyParams | None = None
    description: str | None = None
    auth_config: Any = None


class SobjectComponent(Response):
    component: bytes
    custodian: dict[str, UUID]
    component_kcv: str | None = None


class ExportComponentsResponse(Response):
    components: list[SobjectComponent]
    key_kcv: str | None = None
    key_kcv_cmac: str | None = None
    description: str | None = None


# -- requests ------------------------------------------------------------------------------------------------------


def _export(call: WireCall) -> ExportComponents:
    body: ExportComponentsRequest = call.body
    _check_method(body.method)
    wrapping = None
    if body.wrap_key_params is not None:
        given = body.wrap_key_params
        parameters = CipherParameters(iv=given.iv, aad=given.ad, tag_bits=given.tag_len, **encryption_mode(given.mode))
        wrapping = Wrapping(ref_of(given.key), given.alg, parameters)
    return ExportComponents(ref_of(body.key), _custodians(body.custodians), wrapping, body.description)


def _import(call: WireCall) -> ImportComponents:
    body: ImportComponentsRequest = call.body
    _check_method(body.method)
    refuse_unsupported(body.key)
    unsupported(auth_config=body.auth_config)
    if body.key.value is not None:
        raise WireError("Invalid request: the value comes in components")
    if body.components is None:
        raise WireError(NO_COMPONENTS)
    wrapping = None
    if body.unwrap_key_params is not None:
        given = body.unwrap_key_params
        parameters = CipherParameters(iv=given.iv, aad=given.ad, tag=given.tag, **encryption_mode(given.mode))
        wrapping = Wrapping(ref_of(given.key), given.alg, parameters)
    template = template_of(body.key, kind=body.key.obj_type)
    return ImportComponents(
        template=replace(
            template,
            description=template.description or body.description or "",
            check_value_method=check_value_method(body.kcv_method),
        ),
        custodians=_custodians(body.custodians),
        components=tuple(map(_component, body.components)),
        wrapping=wrapping,
    )


def _check_method(method: str | None) -> None:
    if method not in (None, "XOR"):
        raise WireError("Invalid request: method is XOR")


def _custodians(given: list[WireCustodian]) -> tuple[Custodian, ...]:
    return tuple(map(_custodian, given))


def _custodian(wire: WireCustodian) -> Custodian:
    if wire.plugin is not None or wire.userviaapp is not None or (wire.user is None) == (wire.app is None):
        raise WireError("Invalid request: a custodian is an object with one of user and app")
    if wire.user is not None:
        return Custodian(PrincipalKind.USER, wire.user)
    assert wire.app is not None
    return Custodian(PrincipalKind.APP, wire.app)


def _component(wire: WireComponent) -> Component:
    return Component(_custodian(wire.custodian), SecretBytes(wire.component), wire.component_kcv)


# -- responses -----------------------------------------------------------------------------------------------------


def _split(result: SplitKey) -> ExportComponentsResponse:
    return ExportComponentsResponse(
        components=[_wire_component(component) for component in result.components],
        key_kcv=result.check_value,
        key_kcv_cmac=result.check_value_cmac,
        description=result.description,
    )


def _wire_component(component: Component) -> SobjectComponent:
    return SobjectComponent(
        component=component.value.reveal(),
        component_kcv=component.check_value,
        custodian={str(component.custodian.kind): component.custodian.id},
    )


_COMPONENTS = "/crypto/v1/keys/components"
ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("ExportSobjectComponents", "POST", f"{_COMPONENTS}/export", _export, _split, body=ExportComponentsRequest),
    Endpoint(
        "ImportSobjectByComponents",
        "POST",
        f"{_COMPONENTS}/import",
        _import,
        sobject,
        body=ImportComponentsRequest,
        status=201,
    ),
)
