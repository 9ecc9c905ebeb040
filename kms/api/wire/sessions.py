"""/sys/v1/session on the wire."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from accounts.credentials import BasicCredential, parse_authorization
from accounts.errors import NotAuthenticated
from kms.api.wire import webauthn
from kms.api.wire.auth_saml import SAML_RESPONSE, saml_credential
from kms.api.wire.base import Endpoint, Request, Response, WireCall, WireError, nothing, unsupported
from kms.operations.sessions import (
    LoggedIn,
    LogIn,
    Reauthenticate,
    RefreshSession,
    SelectAccount,
    TerminateSession,
)


class AuthRequest(Request):
    """The body of a login. Without one the credential is in the header; other methods are not offered yet."""

    method: str | None = None
    email: str | None = None
    user_email: str | None = None
    password: str | None = None
    bind_to: Any = None
    token_type: str | None = None
    app_id: Any = None
    app_name: Any = None
    acct_id: Any = None
    code: Any = None
    idp_id: Any = None
    response: Any = None
    id: Any = None
    region: Any = None
    headers: Any = None


class SelectAccountRequest(Request):
    acct_id: UUID


class AuthResponse(Response):
    """The last four say that the login is not finished, and how to finish it. ``second_factor`` is ours."""

    token_type: str
    expires_in: int
    access_token: str
    entity_id: UUID
    challenge: webauthn.U2fChallenge | None = None
    fido2_assertion_options: webauthn.RequestOptions | None = None
    allowed_mfa_methods: list[webauthn.MfaMethod] | None = None
    second_factor: webauthn.LackingFactor | None = None


class Empty(Response):
    """An object without fields: the vendor's clients parse the body."""


def _credential(call: WireCall) -> Any:
    body = call.body
    if body is not None and body.method == SAML_RESPONSE:
        return saml_credential(body.response, body.id)
    credential = parse_authorization(call.authorization)
    if body is not None and body.method not in (None, "password"):
        raise WireError(f"Not supported by this server: authentication method {body.method!r:.40}")
    if body is not None:
        unsupported(bind_to=body.bind_to, token_type=None if body.token_type in (None, "Bearer") else body.token_type)
    if isinstance(credential, BasicCredential):
        return credential
    email = None if body is None else body.email or body.user_email
    if email and body.password:
        return BasicCredential(email, body.password)
    raise NotAuthenticated("no-credential", "Give an e-mail and password, or an API key, as Basic authorization")


def _logged_in(result: LoggedIn) -> AuthResponse:
    owned = [] if result.offer is None else webauthn.owned_of(result.offer)
    return AuthResponse(
        token_type="Bearer",  # noqa: S106 - the kind of token
        expires_in=result.expires_in,
        access_token=result.token,
        entity_id=result.entity,
        second_factor=None if result.lack is None else webauthn.LackingFactor(lack=result.lack, owned=owned),
        **({} if result.offer is None else webauthn.offered(result.offer)),
    )


_PATH = "/sys/v1/session"
ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "Authenticate",
        "POST",
        f"{_PATH}/auth",
        lambda call: LogIn(_credential(call)),
        _logged_in,
        body=AuthRequest,
        optional_body=True,
        anonymous=True,
    ),
    Endpoint("Reauthenticate", "POST", f"{_PATH}/reauth", lambda _call: Reauthenticate(), _logged_in),
    Endpoint("Refresh", "POST", f"{_PATH}/refresh", lambda _call: RefreshSession(), nothing, status=204),
    Endpoint("Terminate", "POST", f"{_PATH}/terminate", lambda _call: TerminateSession(), nothing, status=204),
    Endpoint(
        "SelectAccount",
        "POST",
        f"{_PATH}/select_account",
        lambda call: SelectAccount(call.body.acct_id),
        lambda _result: Empty(),
        body=SelectAccountRequest,
    ),
)
