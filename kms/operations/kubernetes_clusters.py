"""Kubernetes clusters of an account: create, list, get, change, delete. Their pods come in by bindings.

What is saved is checked so that nothing is kept that takes no token, or those of everybody. It must not know the wire
or HTTP.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings

from accounts import jwk
from accounts.jwt_bearer import MAX_TEXT
from accounts.models import KubernetesCluster
from kms.audit.entry import Category, Detail
from kms.crypto.errors import ParameterInvalid
from kms.operations.app_trust import FetchedKeys, fetched_keys, own_audiences
from kms.operations.authority import absent, resolve_on_account
from kms.operations.command import Call, Command, Operation, Resolved, control
from kms.operations.errors import Conflict, NotFound
from kms.operations.naming import save_named
from policies.decision import Target
from policies.permissions import Permission

MAX_CLUSTERS, MAX_PASTED = 100, 64 * 1024
# What TokenRequest gives at least (600), and a day: a token is a way in for whoever reads it.
MIN_TOKEN_SECONDS, DEFAULT_TOKEN_SECONDS, MAX_TOKEN_SECONDS = 600, 3600, 86_400
# Every pod has a token for these by default: whoever takes it takes the token of any pod that calls the API server.
_OF_THE_API_SERVER = re.compile(r"(https?://)?kubernetes(\.default(\.svc(\.[a-z0-9.-]+)?)?)?(:\d+)?/?", re.IGNORECASE)
_MANAGE = Permission.AUTHENTICATION_MANAGE


@dataclass(frozen=True, slots=True)
class PastedKeys:
    """The members of a JWK Set (RFC 7517 §5), as the API server's /openid/v1/jwks shows them."""

    keys: tuple[Mapping[str, Any], ...]


ClusterKeys = PastedKeys | FetchedKeys


@dataclass(frozen=True, slots=True)
class CreateCluster(Command):
    """None is the default of each: this server's address as the audience, every algorithm, an hour."""

    name: str
    issuer: str
    keys: ClusterKeys
    audience: str | None = None
    algorithms: tuple[str, ...] | None = None
    max_token_seconds: int = DEFAULT_TOKEN_SECONDS
    description: str = ""
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class ListClusters(Command):
    """Every cluster of the account, by name."""


@dataclass(frozen=True, slots=True)
class GetCluster(Command):
    cluster: UUID


@dataclass(frozen=True, slots=True)
class UpdateCluster(Command):
    """Change what is not None."""

    cluster: UUID
    name: str | None = None
    description: str | None = None
    issuer: str | None = None
    audience: str | None = None
    keys: ClusterKeys | None = None
    algorithms: tuple[str, ...] | None = None
    max_token_seconds: int | None = None
    enabled: bool | None = None


@dataclass(frozen=True, slots=True)
class DeleteCluster(Command):
    """With its bindings. Sessions that they opened end."""

    cluster: UUID


# -- handlers ------------------------------------------------------------------------------------------------------


def create_cluster(call: Call, command: CreateCluster, _payload: None) -> KubernetesCluster:
    if KubernetesCluster.objects.filter(account_id=call.account).count() >= MAX_CLUSTERS:
        raise Conflict("too-many-clusters", f"An account has at most {MAX_CLUSTERS} Kubernetes clusters")
    row = KubernetesCluster(id=uuid4(), account_id=call.account, name=command.name, description=command.description)
    row.creator_kind, row.creator_id = call.principal.kind, call.principal.id
    row.enabled = command.enabled
    row.issuer, row.keys = _issuer(command.issuer), _keys(call, command.keys)
    row.audience = settings.KEYSTEAD.public_url if command.audience is None else command.audience
    row.algorithms = sorted(jwk.ALGORITHMS) if command.algorithms is None else _algorithms(command.algorithms)
    row.max_token_seconds = _seconds(command.max_token_seconds)
    _check_audience(row)
    save_named(row, constraint="cluster_name_unique_in_account", noun="A Kubernetes cluster", created=True)
    call.touched.insert(0, cluster_target(row))
    return row


def list_clusters(call: Call, _command: ListClusters, _payload: None) -> list[KubernetesCluster]:
    rows = list(KubernetesCluster.objects.filter(account_id=call.account).order_by("name", "id"))
    call.details["returned"] = len(rows)
    return rows


def get_cluster(_call: Call, _command: GetCluster, row: KubernetesCluster) -> KubernetesCluster:
    return row


def update_cluster(call: Call, command: UpdateCluster, row: KubernetesCluster) -> KubernetesCluster:
    """Whoever came in by what was taken before comes in again by what is taken after."""
    before = _taken(row)
    row.name = row.name if command.name is None else command.name
    row.description = row.description if command.description is None else command.description
    row.enabled = row.enabled if command.enabled is None else command.enabled
    row.issuer = row.issuer if command.issuer is None else _issuer(command.issuer)
    row.audience = row.audience if command.audience is None else command.audience
    row.keys = row.keys if command.keys is None else _keys(call, command.keys)
    row.algorithms = row.algorithms if command.algorithms is None else _algorithms(command.algorithms)
    if command.max_token_seconds is not None:
        row.max_token_seconds = _seconds(command.max_token_seconds)
    _check_audience(row)
    if _taken(row) != before:
        row.trust_version += 1
    save_named(row, constraint="cluster_name_unique_in_account", noun="A Kubernetes cluster")
    call.details.update(name=row.name, enabled=row.enabled)
    return row


def delete_cluster(call: Call, _command: DeleteCluster, row: KubernetesCluster) -> None:
    call.details["name"] = row.name
    row.delete()


# -- settings ------------------------------------------------------------------------------------------------------


def _taken(row: KubernetesCluster) -> tuple[Any, ...]:
    return (row.enabled, row.issuer, row.audience, row.keys, row.algorithms, row.max_token_seconds)


def _issuer(issuer: str) -> str:
    return _text(issuer, "issuer", "as tokens of the cluster say it in iss")


def _text(text: str, what: str, which: str) -> str:
    if not text.strip() or len(text.encode()) > MAX_TEXT or not text.isprintable():
        raise ParameterInvalid(f"{what} is a printable text of 1 to {MAX_TEXT} bytes, {which}")
    return text


def _check_audience(row: KubernetesCluster) -> None:
    """Ours, and not one that tokens are for which pods have anyway, or show to others."""
    _text(row.audience, "audience", "for which the cluster signs tokens that are shown here")
    plain = row.audience.rstrip("/").casefold()
    if plain == row.issuer.rstrip("/").casefold() or _OF_THE_API_SERVER.fullmatch(row.audience):
        raise ParameterInvalid(
            "audience is the API server's own, for which every pod has a token by default; "
            f"choose another, as {settings.KEYSTEAD.public_url}"
        )
    server = settings.KEYSTEAD.public_url
    if row.audience.startswith(f"{server}/") and row.audience not in own_audiences(row.account_id):
        raise ParameterInvalid(f"an audience under {server}/ is {server}/ and this account's id")


def _algorithms(given: Sequence[str]) -> list[str]:
    if not given or set(given) - jwk.ALGORITHMS:
        raise ParameterInvalid(f"algorithms are some of {', '.join(sorted(jwk.ALGORITHMS))}")
    return sorted(set(given))


def _seconds(given: int) -> int:
    if not MIN_TOKEN_SECONDS <= given <= MAX_TOKEN_SECONDS:
        raise ParameterInvalid(f"max_token_seconds is {MIN_TOKEN_SECONDS} to {MAX_TOKEN_SECONDS}")
    return given


def _keys(call: Call, wanted: ClusterKeys) -> dict[str, Any]:
    if isinstance(wanted, FetchedKeys):
        return fetched_keys(wanted, call.now)
    if not 0 < len(wanted.keys) <= jwk.MAX_KEYS:
        raise ParameterInvalid(f"jwks has 1 to {jwk.MAX_KEYS} keys, or a url")
    kids = [key.get("kid") for key in wanted.keys]
    for number, key in enumerate(wanted.keys, 1):
        if not key.get("kid") or kids.count(key["kid"]) > 1:
            raise ParameterInvalid(f"jwks, key {number}: each key has a kid of its own, as the API server's have")
        try:
            jwk.key_of_jwk(key)
        except jwk.KeyRejected as refused:
            raise ParameterInvalid(f"jwks, key {number}: {refused}") from None
    if len(json.dumps(wanted.keys)) > MAX_PASTED:
        raise ParameterInvalid(f"jwks has at most {MAX_PASTED} characters")
    return {"kind": "pasted", "keys": [dict(key) for key in wanted.keys]}


# -- resolution ----------------------------------------------------------------------------------------------------


def cluster_target(row: KubernetesCluster) -> Target:
    return Target("cluster", row.id, row.account_id, (), _MANAGE)


def find_cluster(call: Call, cluster: UUID, *, lock: bool = False) -> KubernetesCluster:
    rows = KubernetesCluster.objects.select_for_update() if lock else KubernetesCluster.objects.all()
    row = rows.filter(id=cluster, account_id=call.account).first()
    if row is None:
        raise NotFound(absent("cluster"))
    return row


def resolve_cluster(*, lock: bool = False) -> Any:
    def resolve(call: Call, command: Any) -> Sequence[Resolved]:
        row = find_cluster(call, command.cluster, lock=lock)
        return (Resolved(_MANAGE, cluster_target(row), row),)

    return resolve


def _describe(command: CreateCluster) -> Mapping[str, Detail]:
    return {"name": command.name, "enabled": command.enabled}


_operation = control(Category.ADMINISTRATIVE)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(CreateCluster, "cluster.create", resolve_on_account(_MANAGE), create_cluster, describe=_describe),
    _operation(ListClusters, "cluster.list", resolve_on_account(_MANAGE), list_clusters),
    _operation(GetCluster, "cluster.get", resolve_cluster(), get_cluster),
    _operation(UpdateCluster, "cluster.update", resolve_cluster(lock=True), update_cluster),
    _operation(DeleteCluster, "cluster.delete", resolve_cluster(lock=True), delete_cluster, irreversible=True),
)
