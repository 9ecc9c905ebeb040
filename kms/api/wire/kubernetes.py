"""/sys/v1/kubernetes/clusters on the wire. All of it is ours; the vendor has nothing like it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from accounts.models import KubernetesBinding, KubernetesCluster
from kms.api.wire.base import (
    Endpoint,
    Request,
    Response,
    WireCall,
    WireError,
    creator_of,
    nothing,
    path_id,
    wire_time,
)
from kms.api.wire.groups import checked_name
from kms.operations.app_trust import DEFAULT_CACHE_SECONDS, FetchedKeys
from kms.operations.kubernetes_bindings import CreateBinding, DeleteBinding, GetBinding, ListBindings
from kms.operations.kubernetes_clusters import (
    DEFAULT_TOKEN_SECONDS,
    ClusterKeys,
    CreateCluster,
    DeleteCluster,
    GetCluster,
    ListClusters,
    PastedKeys,
    UpdateCluster,
)
from kms.operations.kubernetes_trials import TryToken, Verdict


class WireJwks(Request, omit_defaults=True):
    """``keys`` as a JWK Set has them, or a ``url`` where one is."""

    keys: list[dict[str, Any]] | None = None
    url: str | None = None
    cache_duration: int | None = None
    ca_certificates: list[bytes] | None = None


class NewClusterRequest(Request):
    name: str
    issuer: str
    jwks: WireJwks
    audience: str | None = None
    algorithms: list[str] | None = None
    max_token_seconds: int | None = None
    description: str | None = None
    enabled: bool | None = None


class ClusterRequest(Request):
    name: str | None = None
    description: str | None = None
    issuer: str | None = None
    audience: str | None = None
    jwks: WireJwks | None = None
    algorithms: list[str] | None = None
    max_token_seconds: int | None = None
    enabled: bool | None = None


class ClusterResponse(Response, omit_defaults=False):
    cluster_id: UUID
    acct_id: UUID
    name: str
    description: str
    issuer: str
    audience: str
    jwks: WireJwks
    algorithms: list[str]
    max_token_seconds: int
    enabled: bool
    creator: Any
    created_at: str | None


class BindingRequest(Request):
    namespace: str
    service_account: str
    app_id: UUID


class BindingResponse(Response):
    binding_id: UUID
    cluster_id: UUID
    namespace: str
    service_account: str
    app_id: UUID
    creator: Any
    created_at: str | None


class TokenRequest(Request):
    token: str
    app_id: UUID | None = None


class WirePod(Response):
    namespace: str
    service_account: str
    name: str
    uid: str
    node: str | None = None


class VerdictResponse(Response):
    accepted: bool
    app_id: UUID | None = None
    reason: str | None = None
    message: str | None = None
    pod: WirePod | None = None


# -- requests ------------------------------------------------------------------------------------------------------


def _keys(given: WireJwks) -> ClusterKeys:
    of_url = (given.cache_duration, given.ca_certificates)
    if given.keys is not None and given.url is None and of_url == (None, None):
        return PastedKeys(tuple(given.keys))
    if given.url is not None and given.keys is None:
        cache = DEFAULT_CACHE_SECONDS if given.cache_duration is None else given.cache_duration
        return FetchedKeys(given.url, cache, tuple(given.ca_certificates or ()))
    raise WireError("Invalid request: jwks is {keys} or {url, cache_duration, ca_certificates}")


def _create(call: WireCall) -> CreateCluster:
    body = call.body
    return CreateCluster(
        name=checked_name(body.name, needed=True) or "",
        issuer=body.issuer,
        keys=_keys(body.jwks),
        audience=body.audience,
        algorithms=None if body.algorithms is None else tuple(body.algorithms),
        max_token_seconds=DEFAULT_TOKEN_SECONDS if body.max_token_seconds is None else body.max_token_seconds,
        description=body.description or "",
        enabled=body.enabled is not False,
    )


def _update(call: WireCall) -> UpdateCluster:
    body = call.body
    return UpdateCluster(
        path_id(call, "cluster_id"),
        name=checked_name(body.name, needed=False),
        description=body.description,
        issuer=body.issuer,
        audience=body.audience,
        keys=None if body.jwks is None else _keys(body.jwks),
        algorithms=None if body.algorithms is None else tuple(body.algorithms),
        max_token_seconds=body.max_token_seconds,
        enabled=body.enabled,
    )


def _bind(call: WireCall) -> CreateBinding:
    body = call.body
    return CreateBinding(path_id(call, "cluster_id"), body.namespace, body.service_account, body.app_id)


def _test(call: WireCall) -> TryToken:
    return TryToken(path_id(call, "cluster_id"), call.body.token, call.body.app_id)


# -- responses -----------------------------------------------------------------------------------------------------


def cluster(row: KubernetesCluster) -> ClusterResponse:
    return ClusterResponse(
        cluster_id=row.id,
        acct_id=row.account_id,
        name=row.name,
        description=row.description,
        issuer=row.issuer,
        audience=row.audience,
        jwks=_jwks(row.keys),
        algorithms=row.algorithms,
        max_token_seconds=row.max_token_seconds,
        enabled=row.enabled,
        creator=creator_of(row.creator_kind, row.creator_id),
        created_at=wire_time(row.created_at),
    )


def _jwks(keys: Mapping[str, Any]) -> WireJwks:
    if keys["kind"] == "pasted":
        return WireJwks(keys=keys["keys"])
    authorities = [base64.b64decode(text) for text in keys.get("ca_certificates", ())]
    return WireJwks(url=keys["url"], cache_duration=keys["cache_duration"], ca_certificates=authorities or None)


def binding(row: KubernetesBinding) -> BindingResponse:
    return BindingResponse(
        binding_id=row.id,
        cluster_id=row.cluster_id,
        namespace=row.namespace,
        service_account=row.service_account,
        app_id=row.app_id,
        creator=creator_of(row.creator_kind, row.creator_id),
        created_at=wire_time(row.created_at),
    )


def _verdict(found: Verdict) -> VerdictResponse:
    pod = found.pod
    return VerdictResponse(
        accepted=found.app is not None,
        app_id=found.app,
        reason=found.reason or None,
        message=found.sentence or None,
        pod=None
        if pod is None
        else WirePod(
            namespace=pod.namespace,
            service_account=pod.service_account,
            name=pod.name,
            uid=pod.uid,
            node=pod.node or None,
        ),
    )


_PATH = "/sys/v1/kubernetes/clusters"
_ONE = _PATH + "/{cluster_id}"
_BINDINGS = _ONE + "/bindings"
_BINDING = _BINDINGS + "/{binding_id}"


def _named(command: Any, *names: str) -> Any:
    return lambda call: command(*(path_id(call, name) for name in names))


_IDS = ("cluster_id", "binding_id")
ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("ListKubernetesClusters", "GET", _PATH, lambda _call: ListClusters(), lambda rows: [*map(cluster, rows)]),
    Endpoint("CreateKubernetesCluster", "POST", _PATH, _create, cluster, body=NewClusterRequest, status=201),
    Endpoint("GetKubernetesCluster", "GET", _ONE, _named(GetCluster, "cluster_id"), cluster),
    Endpoint("UpdateKubernetesCluster", "PATCH", _ONE, _update, cluster, body=ClusterRequest),
    Endpoint("DeleteKubernetesCluster", "DELETE", _ONE, _named(DeleteCluster, "cluster_id"), nothing, status=204),
    Endpoint("TestKubernetesToken", "POST", f"{_ONE}/test", _test, _verdict, body=TokenRequest),
    Endpoint(
        "ListKubernetesBindings",
        "GET",
        _BINDINGS,
        _named(ListBindings, "cluster_id"),
        lambda rows: [*map(binding, rows)],
    ),
    Endpoint("CreateKubernetesBinding", "POST", _BINDINGS, _bind, binding, body=BindingRequest, status=201),
    Endpoint("GetKubernetesBinding", "GET", _BINDING, _named(GetBinding, *_IDS), binding),
    Endpoint("DeleteKubernetesBinding", "DELETE", _BINDING, _named(DeleteBinding, *_IDS), nothing, status=204),
)
