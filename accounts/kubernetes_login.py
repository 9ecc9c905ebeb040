"""The app that a pod comes in as: a cluster's rows, its keys, and the binding. It grants nothing and knows no HTTP.

The caller reads the cluster's rows (accounts.row_seals) and holds them if the answer is to last. An unknown cluster,
one without keys and a wrong signature cost the same check of a signature.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from uuid import UUID

from accounts import app_tokens, jwk, jwt_bearer, kubernetes
from accounts.errors import NotAuthenticated
from accounts.jwk import KeySet
from accounts.jwks import KeysUnavailable
from accounts.jwt_bearer import Claims, Token
from accounts.kubernetes import Bound, KubernetesCredential, Pod, Trust
from accounts.models import KubernetesBinding, KubernetesCluster
from accounts.principal import AuthenticationMethod, ClusterLogin, Principal, PrincipalKind
from accounts.row_seals import Verified, verified
from accounts.validity import account_of

_NO_KEYS = KeySet(())


@dataclass(frozen=True, slots=True)
class SignedToken:
    """A token that the cluster's own key has signed. What it claims is not judged yet."""

    token: Token
    claims: Claims
    cluster: KubernetesCluster

    @property
    def claimed(self) -> Pod | None:
        return kubernetes.claimed_pod(self.token)


@dataclass(frozen=True, slots=True)
class VerifiedPod:
    """A pod whose token holds: until when, and by which cluster."""

    pod: Pod
    cluster: KubernetesCluster
    expires_at: datetime


def signed_of(credential: KubernetesCredential, held: Verified) -> SignedToken:
    """The signature comes first, whatever the claims say."""
    token = jwt_bearer.take_apart(credential.token)
    claims = jwt_bearer.claims_of(token)
    cluster = held.first(KubernetesCluster, credential.cluster)
    try:
        signed = jwt_bearer.is_signed(token, _NO_KEYS if cluster is None else keys_of(cluster, token.kid))
    except KeysUnavailable:
        jwt_bearer.is_signed(token, _NO_KEYS)
        raise NotAuthenticated("jwt-keys-unavailable") from None
    if cluster is None:
        raise NotAuthenticated("cluster-unknown")
    if not signed:
        raise NotAuthenticated("jwt-signature")
    return SignedToken(token, claims, cluster)


def pod_of(signed: SignedToken, now: datetime) -> VerifiedPod:
    """Whom the token is of, if the cluster takes it."""
    cluster = signed.cluster
    if not cluster.enabled:
        raise NotAuthenticated("cluster-disabled")
    pod = kubernetes.judge(signed.token, signed.claims, trust_of(cluster), now)
    return VerifiedPod(pod, cluster, signed.claims.expires_at)


def principal_of(proven: VerifiedPod, app: UUID | None, held: Verified) -> Principal:
    """The app that the pod is bound to, or the one of several that was named."""
    cluster = proven.cluster
    rows = held.of(KubernetesBinding, cluster.id)
    bound = kubernetes.chosen((bound_of(row) for row in rows), proven.pod, app)
    of_app = verified([bound.app])
    if account_of(of_app, bound.app) != cluster.account_id:
        raise NotAuthenticated("principal-gone")
    return Principal(
        PrincipalKind.APP,
        bound.app,
        cluster.account_id,
        AuthenticationMethod.KUBERNETES,
        proof_version=of_app.versions[bound.app],
        expires_at=proven.expires_at,
        opened_by=ClusterLogin(cluster.id, bound.id, cluster.trust_version),
    )


def bound_of(row: KubernetesBinding) -> Bound:
    return Bound(row.id, row.namespace, row.service_account, row.app_id)


def warm(credential: KubernetesCredential) -> None:
    """Have the keys at hand that judging the token will ask for, so that no transaction waits for a network."""
    token = jwt_bearer.take_apart(credential.token)
    cluster = verified([credential.cluster]).first(KubernetesCluster, credential.cluster)
    if cluster is not None and cluster.enabled:
        keys_of(cluster, token.kid)


def sentence(reason: str, cluster: KubernetesCluster) -> str:
    """Why a token was refused, for whoever manages the cluster."""
    return kubernetes.SENTENCES[reason].format(
        issuer=cluster.issuer,
        audience=cluster.audience,
        seconds=cluster.max_token_seconds,
        algorithms=", ".join(cluster.algorithms),
        keys=cluster.keys.get("url", ""),
    )


# -- settings ------------------------------------------------------------------------------------------------------


def trust_of(cluster: KubernetesCluster) -> Trust:
    return Trust(
        cluster.issuer,
        cluster.audience,
        frozenset(cluster.algorithms),
        timedelta(seconds=cluster.max_token_seconds),
    )


def keys_of(cluster: KubernetesCluster, kid: str | None) -> KeySet:
    """Pasted, or fetched when they are wanted. Raises KeysUnavailable."""
    if cluster.keys["kind"] == "fetched":
        return app_tokens.keys_of({"keys": cluster.keys}, kid)
    return _pasted(json.dumps({"keys": cluster.keys["keys"]}))


@lru_cache(maxsize=256)
def _pasted(document: str) -> KeySet:
    return jwk.key_set(document.encode())
