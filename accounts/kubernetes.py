"""What a Kubernetes service account's token says of its pod, and whether a cluster takes it. Pure: no Django, no I/O.

Only tokens that are bound to a pod are taken (KEP-1205): the API server signs them for one audience and a short time,
and names the pod. What a Secret of the older kind holds has no end, no audience and no pod. The signature is judged
elsewhere, and first. It must not know rows, keys or HTTP.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any
from uuid import UUID

from accounts.errors import NotAuthenticated
from accounts.jwk import strict_object
from accounts.jwt_bearer import LEEWAY, Claims, Token

# RFC 1123 labels and what Kubernetes calls DNS subdomain names (apimachinery, util/validation).
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
MAX_LABEL, MAX_SUBDOMAIN, MAX_UID = 63, 253, 128
ANY = "*"
_CLAIM = "kubernetes.io"


@dataclass(frozen=True, slots=True)
class KubernetesCredential:
    """A service account's token, the cluster that it is said to be of, and the app that is meant where several are."""

    token: str = field(repr=False)
    cluster: UUID
    app: UUID | None = None


@dataclass(frozen=True, slots=True)
class Trust:
    """What of a cluster's tokens is taken."""

    issuer: str
    audience: str
    algorithms: frozenset[str]
    max_age: timedelta


@dataclass(frozen=True, slots=True)
class Pod:
    """Whom a token is of; ``node`` is empty where the API server does not say it (before 1.30)."""

    namespace: str
    service_account: str
    name: str
    uid: str
    node: str = ""


@dataclass(frozen=True, slots=True)
class Bound:
    """A binding: who comes in as this app."""

    id: UUID
    namespace: str
    service_account: str
    app: UUID


def is_label(text: str) -> bool:
    return len(text) <= MAX_LABEL and _LABEL.fullmatch(text) is not None


def is_subdomain(text: str) -> bool:
    return len(text) <= MAX_SUBDOMAIN and all(_LABEL.fullmatch(part) for part in text.split("."))


# -- the token -----------------------------------------------------------------------------------------------------


def judge(token: Token, claims: Claims, trust: Trust, now: datetime) -> Pod:
    """The pod, or NotAuthenticated. Expiry has no leeway. A token for a second audience is one that others hold too."""
    issued_at = claims.issued_at
    for holds, reason in (
        (token.algorithm in trust.algorithms, "jwt-algorithm"),
        (claims.issuer == trust.issuer, "jwt-issuer"),
        (claims.audiences == {trust.audience}, "jwt-audience"),
        (claims.expires_at > now, "jwt-expired"),
        (issued_at is not None, "jwt-without-issue-time"),
        ((issued_at or now) <= now + LEEWAY, "jwt-issued-in-the-future"),
        ((claims.not_before or now) <= now + LEEWAY, "jwt-not-yet-valid"),
        (claims.expires_at - (issued_at or now) <= trust.max_age, "jwt-lives-too-long"),
    ):
        if not holds:
            raise NotAuthenticated(reason)
    pod = _pod_of(token)
    if claims.subject != f"system:serviceaccount:{pod.namespace}:{pod.service_account}":
        raise NotAuthenticated("jwt-subject")
    return pod


def claimed_pod(token: Token) -> Pod | None:
    """Of a token that may yet be refused; None where it says none."""
    try:
        return _pod_of(token)
    except NotAuthenticated:
        return None


def _pod_of(token: Token) -> Pod:
    try:
        stated = _members(strict_object(token.payload)[_CLAIM])
        account, pod = _members(stated["serviceaccount"]), _members(stated["pod"])
        node = _members(stated["node"]) if "node" in stated else {"name": ""}
        _uid(account["uid"])
        return Pod(
            namespace=_named(stated["namespace"], is_label),
            service_account=_named(account["name"], is_subdomain),
            name=_named(pod["name"], is_subdomain),
            uid=_uid(pod["uid"]),
            node=_named(node["name"], lambda name: not name or is_subdomain(name)),
        )
    except (ValueError, KeyError):
        raise NotAuthenticated("jwt-not-of-a-pod") from None


def _members(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def _named(value: Any, rule: Any) -> str:
    if not isinstance(value, str) or not rule(value):
        raise ValueError("not a name")
    return value


def _uid(value: Any) -> str:
    """A UUID as a rule, but opaque."""
    if not isinstance(value, str) or not 0 < len(value) <= MAX_UID or not value.isascii() or not value.isprintable():
        raise ValueError("not a uid")
    return value


# -- the binding ---------------------------------------------------------------------------------------------------


def chosen(bindings: Iterable[Bound], pod: Pod, app: UUID | None) -> Bound:
    """The binding by which a pod comes in. One of its own service account stands before those of any (``*``).

    Where several are left, the login says which app is meant; nobody is to choose for it.
    """
    of_namespace = [each for each in bindings if each.namespace == pod.namespace]
    exact = [each for each in of_namespace if each.service_account == pod.service_account]
    fitting = exact or [each for each in of_namespace if each.service_account == ANY]
    meant = [each for each in fitting if app in (None, each.app)]
    if not meant:
        raise NotAuthenticated("binding-absent")
    if len(meant) > 1:
        raise NotAuthenticated("binding-ambiguous")
    return meant[0]


# -- why not -------------------------------------------------------------------------------------------------------

# For whoever manages the cluster; the pod itself is never told. {names} are the cluster's settings.
SENTENCES: Mapping[str, str] = MappingProxyType(
    {
        "cluster-unknown": "There is no such cluster",
        "cluster-disabled": "The cluster is disabled; enable it",
        "jwt-too-long": "The token is longer than 16 KiB; a service account's has about 1 KiB",
        "jwt-malformed": "The token is no JWT in compact form (RFC 7515): three parts with dots between them",
        "jwt-algorithm": "The token is signed by an algorithm that is not taken of the cluster; it takes {algorithms}",
        "jwt-critical-extension": "The token has a critical header extension; the API server makes none",
        "jwt-type": "The token's header says another type than JWT",
        "jwt-claims": "The token lacks one of iss, sub, aud and exp, or has it twice or of the wrong type; "
        "tokens from Secrets are not taken, only those of projected volumes and TokenRequest",
        "jwt-keys-unavailable": "The cluster's keys could not be fetched from {keys}; "
        "check the address, its certificate authority and KEYSTEAD_OUTBOUND_ALLOW",
        "jwt-signature": "No key of the cluster has signed the token; compare the keys with "
        "the API server's /openid/v1/jwks",
        "jwt-issuer": "The token's issuer (iss) is not {issuer}",
        "jwt-audience": "The token's audience (aud) is not {audience} and nothing else; "
        "set it in the projected volume or the TokenRequest",
        "jwt-expired": "The token has expired",
        "jwt-without-issue-time": "The token does not say when it was issued (iat)",
        "jwt-issued-in-the-future": "The token was issued in the future; compare the clocks",
        "jwt-not-yet-valid": "The token is not valid yet (nbf); compare the clocks",
        "jwt-lives-too-long": "The token lives longer than {seconds} seconds; ask for less (expirationSeconds) "
        "or raise max_token_seconds",
        "jwt-not-of-a-pod": "The token is not bound to a pod: its claim kubernetes.io lacks the namespace, the service "
        "account or the pod with its uid",
        "jwt-subject": "The token's subject (sub) is not the service account of its claim kubernetes.io",
        "binding-absent": "No binding of the cluster is for this namespace and service account, "
        "or none of them is to the app that was named",
        "binding-ambiguous": "Several apps are bound to this service account; the login must name one (app_id)",
        "app-disabled": "The app is disabled",
        "account-disabled": "The account is disabled",
        "principal-gone": "The app does not exist any more",
        "session-ended": "The cluster was changed meanwhile; try again",
    }
)
