"""Login of a pod with the token of its service account. It must not know the wire or HTTP.

Whoever calls is told one thing, whatever was wrong. The record has the reason and, once the cluster's key has vouched
for it, the pod, in the account whose cluster it is.
"""

from __future__ import annotations

import contextlib

from accounts import kubernetes_login
from accounts.errors import NotAuthenticated
from accounts.jwks import KeysUnavailable
from accounts.kubernetes import KubernetesCredential
from accounts.kubernetes_login import SignedToken
from accounts.principal import Principal
from accounts.row_seals import RowsForged, verified
from kms.audit.entry import CallContext
from kms.operations.command import Call
from kms.operations.kubernetes_clusters import cluster_target
from kms.operations.sign_on.proof import Method
from policies.facts import known_of
from policies.versions import share_lock_subjects


def prove(call: Call, credential: KubernetesCredential) -> Principal:
    """The session ends with the token. The cluster is held until it is there: who changes it ends what it finds."""
    held = verified([credential.cluster], at=share_lock_subjects([credential.cluster]))
    signed = kubernetes_login.signed_of(credential, held)
    note(call, signed)
    proven = kubernetes_login.pod_of(signed, call.now)
    principal = kubernetes_login.principal_of(proven, credential.app, held)
    forbids = known_of(principal).facts.forbids
    if forbids:
        raise NotAuthenticated(forbids[0].code)
    return principal


def note(call: Call, signed: SignedToken) -> None:
    """Before the claims are judged: a wrong audience or a token past its time is what operators look for."""
    call.details["cluster"] = str(signed.cluster.id)
    pod = signed.claimed
    if pod is not None:
        call.details.update(
            namespace=pod.namespace,
            service_account=pod.service_account,
            pod=pod.name,
            pod_uid=pod.uid,
            node=pod.node or None,
        )
    call.touched.insert(0, cluster_target(signed.cluster))


def admit(credential: KubernetesCredential, _context: CallContext) -> None:
    """What is wrong with the token, or with the rows, shows when it is judged, and is recorded then."""
    with contextlib.suppress(NotAuthenticated, KeysUnavailable, RowsForged):
        kubernetes_login.warm(credential)


def _named(credential: KubernetesCredential) -> str:
    return str(credential.cluster)


METHOD = Method(KubernetesCredential, prove, _named, admit)
