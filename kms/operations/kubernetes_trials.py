"""Would this token get in, as whom, and if not why: for those who manage the cluster. No session is opened.

It must not know the wire or HTTP; it changes nothing.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from accounts import kubernetes_login
from accounts.errors import NotAuthenticated
from accounts.jwks import KeysUnavailable
from accounts.kubernetes import KubernetesCredential, Pod
from accounts.models import KubernetesCluster
from accounts.principal import Principal
from accounts.row_seals import RowsForged, verified
from kms.audit.entry import CallContext, Category
from kms.operations.command import Call, Command, Operation, control
from kms.operations.kubernetes_clusters import resolve_cluster
from policies.facts import known_of


@dataclass(frozen=True, slots=True)
class TryToken(Command):
    """``app`` is what the login would name."""

    cluster: UUID
    token: str = field(repr=False)
    app: UUID | None = None

    @property
    def credential(self) -> KubernetesCredential:
        return KubernetesCredential(self.token, self.cluster, self.app)


@dataclass(frozen=True, slots=True)
class Verdict:
    """``app`` when it would get in; else the reason as the record has it, and a sentence. ``pod`` once it is proven."""

    app: UUID | None = None
    reason: str = ""
    sentence: str = ""
    pod: Pod | None = None


def try_token(call: Call, command: TryToken, row: KubernetesCluster) -> Verdict:
    held = verified([row.id])
    pod = None
    try:
        proven = kubernetes_login.pod_of(kubernetes_login.signed_of(command.credential, held), call.now)
        pod = proven.pod
        principal = kubernetes_login.principal_of(proven, command.app, held)
        forbids = known_of(principal).facts.forbids
        if forbids:
            raise NotAuthenticated(forbids[0].code)
    except NotAuthenticated as refused:
        call.details["result"] = refused.reason
        return Verdict(None, refused.reason, kubernetes_login.sentence(refused.reason, row), pod)
    call.details.update(result="accepted", app=str(principal.id))
    return Verdict(principal.id, pod=pod)


def _admit(_principal: Principal, command: TryToken, _context: CallContext) -> None:
    with contextlib.suppress(NotAuthenticated, KeysUnavailable, RowsForged):
        kubernetes_login.warm(command.credential)


OPERATIONS: tuple[Operation[Any], ...] = (
    control(Category.ADMINISTRATIVE)(TryToken, "cluster.test-token", resolve_cluster(), try_token, admit=_admit),
)
