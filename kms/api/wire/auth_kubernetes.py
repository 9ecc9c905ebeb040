"""/sys/v1/session/auth/kubernetes on the wire: a pod shows the token of its service account. The route is ours."""

from __future__ import annotations

from uuid import UUID

from accounts.credentials import BearerCredential, parse_authorization
from accounts.errors import NotAuthenticated
from accounts.kubernetes import KubernetesCredential
from kms.api.wire.base import Endpoint, Request, WireCall
from kms.api.wire.sessions import logged_in
from kms.operations.sessions import LogIn


class KubernetesAuthRequest(Request):
    """``app_id`` where the service account is bound to several apps."""

    cluster_id: UUID
    app_id: UUID | None = None


def _log_in(call: WireCall) -> LogIn:
    credential = parse_authorization(call.authorization)
    if not isinstance(credential, BearerCredential):
        raise NotAuthenticated("no-credential", "Give the service account's token as Bearer authorization")
    return LogIn(KubernetesCredential(credential.token, call.body.cluster_id, call.body.app_id))


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "AuthenticateKubernetes",
        "POST",
        "/sys/v1/session/auth/kubernetes",
        _log_in,
        logged_in,
        body=KubernetesAuthRequest,
        anonymous=True,
    ),
)
