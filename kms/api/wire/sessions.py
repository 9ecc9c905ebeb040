"""/sys/v1/session on the wire."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from accounts.credentials import BasicCredential, looks_like_app, parse_authorization, token_in
from accounts.errors import NotAuthenticated
from kms.api.wire import webauthn
from kms.api.wire.auth_app_name import BY_APP_NAME, app_name_credential
from kms.api.wire.auth_ldap import LDAP_BASIC, ldap_credential
from kms.api.wire.auth_oidc import OAUTH_CODE, oidc_credential
from kms.api.wire.auth_saml import SAML_RESPONSE, saml_credential
from kms.api.wire.base import Endpoint, Request, Response, WireCall, WireError, nothing, unsupported
from kms.api.wire.discovery import provider_of
from kms.operations.sessions import (
    LoggedIn,
    LogIn,
    Reauthenticate,
    RefreshSession,
    SelectAccount,
    TerminateSession,
)
from kms.operations.sign_on.by_certificate import CertificateCredential
from kms.operations.sign_on.by_ldap import LdapCredential
from kms.operations.sign_on.by_oidc import OidcCredential


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
    name: Any = None
    acct_id: Any = None
    code: Any = None
    idp_id: Any = None
    state: Any = None
    iss: Any = None
    response: Any = None
    id: Any = None
    region: Any = None
    headers: Any = None
    account_name: Any = None  # the CLI sends it along, and selects the account in a call of its own


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


def _refuse_unserved(body: AuthRequest) -> None:
    unsupported(bind_to=body.bind_to, token_type=None if body.token_type in (None, "Bearer") else body.token_type)


def _oidc(body: AuthRequest) -> OidcCredential:
    return oidc_credential(
        provider_of(body.idp_id), code=body.code, state=body.state, iss=body.iss, email=body.email or body.user_email
    )


def _ldap(body: AuthRequest) -> LdapCredential:
    return ldap_credential(
        provider_of(body.idp_id), email=body.email or body.user_email, password=body.password, acct_id=body.acct_id
    )


# Logins whose credential is all in the body; the others stand in the header, or may.
_OF_BODY: Mapping[str, Callable[[AuthRequest], Any]] = {
    OAUTH_CODE: _oidc,
    BY_APP_NAME: lambda body: app_name_credential(body.acct_id, body.name, body.password),
    LDAP_BASIC: _ldap,
    SAML_RESPONSE: lambda body: saml_credential(body.response, body.id),
}


def _credential(call: WireCall) -> Any:
    body = call.body
    if body is not None and body.method in _OF_BODY:
        _refuse_unserved(body)
        return _OF_BODY[body.method](body)
    credential = parse_authorization(call.authorization)
    if body is not None and body.method not in (None, "password"):
        raise WireError(f"Not supported by this server: authentication method {body.method!r:.40}")
    if body is not None:
        _refuse_unserved(body)
    token = token_in(credential)
    if token is not None:
        return token
    if isinstance(credential, BasicCredential):
        # As the vendor's clients log in with a certificate: no secret is empty, so the password says which is meant.
        if not credential.password and looks_like_app(credential):
            return CertificateCredential(credential.username)
        return credential
    email = None if body is None else body.email or body.user_email
    if email and body.password:
        return BasicCredential(email, body.password)
    raise NotAuthenticated("no-credential", "Give an e-mail and password, or an API key, as Basic authorization")


def logged_in(result: LoggedIn) -> AuthResponse:
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
        logged_in,
        body=AuthRequest,
        optional_body=True,
        anonymous=True,
    ),
    Endpoint("Reauthenticate", "POST", f"{_PATH}/reauth", lambda _call: Reauthenticate(), logged_in),
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
