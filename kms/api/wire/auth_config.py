"""How people log in, on the wire: auth_config of accounts, and /sys/v1/identity_providers, which is ours.

The vendor's accounts have one provider by OAuth, one by SAML and several directories; ours have any number of each, and
auth_config shows the oldest of the first two. Secrets go in and never come out: one that is left empty stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from accounts.models import IdentityProvider, ProviderKind
from accounts.second_factor import Requirement
from accounts.sso.kinds import kind_of
from accounts.sso.oidc import CLIENT_SECRET
from accounts.sso.tls import wire_tls
from kms.api.wire.auth_ldap import AuthConfigLdap, WireLdap, ldap_settings, wire_ldap
from kms.api.wire.base import Endpoint, Request, Response, WireCall, nothing, path_id, unsupported, wire_time
from kms.api.wire.discovery import idp_id
from kms.operations.authentication_settings import (
    STEP_UP_SECONDS,
    AuthenticationChange,
    AuthenticationView,
    PasswordRules,
    SignOnSettings,
    single_of,
)
from kms.operations.providers import (
    CreateProvider,
    DeleteProvider,
    GetProvider,
    ListProviders,
    ProviderSettings,
    TryProvider,
    TrySettings,
    UpdateProvider,
)
from kms.secret import SecretBytes

_SAML_NAME = "SAML"


class AuthConfigPassword(Request):
    """``allow_totp`` and ``step_up_seconds`` are ours: the vendor's second factor is FIDO2, and it asks once."""

    require_2fa: bool
    administrators_only: bool
    allow_totp: bool = False
    step_up_seconds: int | None = None


class AuthConfigOauth(Request):
    """With an ``issuer``, which is ours, the endpoints are discovered; so are the four after it."""

    idp_name: str
    client_id: str
    idp_icon_url: str = ""
    idp_authorization_endpoint: str = ""
    idp_token_endpoint: str = ""
    idp_userinfo_endpoint: str | None = None
    idp_requires_basic_auth: bool = True
    tls: dict[str, Any] | None = None
    client_secret: str = ""
    auth_params: dict[str, Any] | None = None
    issuer: str = ""
    scopes: list[str] | None = None
    groups_claim: str = ""
    self_provision_role: str = ""


class AuthConfig(Request):
    password: AuthConfigPassword | None = None
    oauth: AuthConfigOauth | None = None
    saml: str | None = None
    ldap: dict[UUID, AuthConfigLdap] | None = None
    signed_jwt: Any = None
    vcd: Any = None


def authentication_change(
    given: AuthConfig | None,
    *,
    add_ldap: list[AuthConfigLdap] | None,
    mod_ldap: dict[UUID, AuthConfigLdap] | None,
    del_ldap: list[UUID] | None,
) -> AuthenticationChange | None:
    """auth_config is taken as a whole, as the vendor's clients send it: what it leaves out is turned off, but for
    directories, which have fields of their own to be removed by."""
    if given is None and add_ldap is None and mod_ldap is None and del_ldap is None:
        return None
    changed = {**((given.ldap if given is not None else None) or {}), **(mod_ldap or {})}
    return AuthenticationChange(
        None if given is None else _sign_on(given),
        {provider: _directory(body) for provider, body in changed.items()},
        tuple(_directory(body) for body in add_ldap or []),
        frozenset(del_ldap or []),
    )


def _sign_on(given: AuthConfig) -> SignOnSettings:
    unsupported(signed_jwt=given.signed_jwt, vcd=given.vcd)
    single = {
        ProviderKind.OIDC: None if given.oauth is None else _oauth(given.oauth),
        ProviderKind.SAML: None if not given.saml else ProviderSettings(_SAML_NAME, "", {"metadata": given.saml}),
    }
    return SignOnSettings(None if given.password is None else _rules(given.password), single)


def _rules(given: AuthConfigPassword) -> PasswordRules:
    demanded = Requirement.ANY if given.allow_totp else Requirement.FIDO2
    default = STEP_UP_SECONDS if given.require_2fa else 0
    return PasswordRules(
        everyone=not given.administrators_only,
        second_factor=demanded if given.require_2fa else Requirement.NONE,
        step_up_seconds=(default if given.step_up_seconds is None else given.step_up_seconds) or None,
    )


def _oauth(given: AuthConfigOauth) -> ProviderSettings:
    config = {
        "issuer": given.issuer,
        "authorization_endpoint": given.idp_authorization_endpoint,
        "token_endpoint": given.idp_token_endpoint,
        "userinfo_endpoint": given.idp_userinfo_endpoint,
        "client_id": given.client_id,
        "basic_auth": given.idp_requires_basic_auth,
        "scopes": given.scopes,
        "groups_claim": given.groups_claim,
        "self_provision_role": given.self_provision_role,
        "auth_params": given.auth_params,
        "tls": given.tls,
    }
    secrets = {CLIENT_SECRET: SecretBytes(given.client_secret.encode())} if given.client_secret else {}
    return ProviderSettings(given.idp_name, given.idp_icon_url, config, secrets)


def _directory(given: AuthConfigLdap) -> ProviderSettings:
    settings = ldap_settings(given)
    return ProviderSettings(settings.name, settings.icon_url, settings.config, settings.secrets)


# -- responses -----------------------------------------------------------------------------------------------------


class WirePassword(Response, omit_defaults=False):
    require_2fa: bool
    administrators_only: bool
    allow_totp: bool
    step_up_seconds: int


class WireOauth(Response, omit_defaults=False):
    """The secret is never shown."""

    idp_name: str
    idp_icon_url: str
    idp_authorization_endpoint: str
    idp_token_endpoint: str
    idp_userinfo_endpoint: str | None
    idp_requires_basic_auth: bool
    tls: Mapping[str, Any]
    client_id: str
    issuer: str
    scopes: list[str]
    groups_claim: str
    self_provision_role: str
    auth_params: Mapping[str, Any]
    client_secret: str = ""


class WireAuthConfig(Response):
    password: WirePassword
    oauth: WireOauth | None = None
    saml: str | None = None
    ldap: Mapping[str, WireLdap] | None = None


def wire_auth_config(view: AuthenticationView | None) -> WireAuthConfig | None:
    if view is None:
        return None
    of_kind = {kind: [row for row in view.providers or () if row.kind == kind and row.enabled] for kind in ProviderKind}
    oauth, saml = single_of(of_kind[ProviderKind.OIDC]), single_of(of_kind[ProviderKind.SAML])
    directories = {str(row.id): wire_ldap(row) for row in of_kind[ProviderKind.LDAP]}
    return WireAuthConfig(
        password=WirePassword(
            require_2fa=view.rules.second_factor is not Requirement.NONE,
            administrators_only=not view.rules.everyone,
            allow_totp=view.rules.second_factor is Requirement.ANY,
            step_up_seconds=view.rules.step_up_seconds or 0,
        ),
        oauth=None if oauth is None else _wire_oauth(oauth),
        saml=None if saml is None else saml.config["metadata"],
        ldap=directories or None,
    )


def _wire_oauth(row: IdentityProvider) -> WireOauth:
    config = row.config
    return WireOauth(
        idp_name=row.name,
        idp_icon_url=row.icon_url,
        idp_authorization_endpoint=config["authorization_endpoint"],
        idp_token_endpoint=config["token_endpoint"],
        idp_userinfo_endpoint=config["userinfo_endpoint"] or None,
        idp_requires_basic_auth=config["basic_auth"],
        tls=wire_tls(config["tls"]),
        client_id=config["client_id"],
        issuer=config["issuer"],
        scopes=config["scopes"],
        groups_claim=config["groups_claim"],
        self_provision_role=config["self_provision_role"],
        auth_params=config["auth_params"],
    )


# -- /sys/v1/identity_providers ------------------------------------------------------------------------------------


class NewProvider(Request):
    """``config`` is the kind's, in our words; ``secrets`` are texts by name."""

    kind: str
    name: str
    config: dict[str, Any]
    secrets: dict[str, str] | None = None
    icon_url: str = ""
    enabled: bool = True


class ChangedProvider(Request):
    """``config`` replaces all settings. Secrets that are not given stay, unless the addresses they go to change."""

    name: str | None = None
    icon_url: str | None = None
    enabled: bool | None = None
    config: dict[str, Any] | None = None
    secrets: dict[str, str] | None = None


class TriedProvider(Request):
    """Settings that are not kept. ``provider_id``: the secrets of this one count where none are given."""

    kind: str
    config: dict[str, Any]
    secrets: dict[str, str] | None = None
    provider_id: UUID | None = None


class WireProvider(Response, omit_defaults=False):
    """``config`` is what may be given again; ``derived`` follows from it."""

    provider_id: UUID
    idp_id: str
    kind: str
    name: str
    icon_url: str
    enabled: bool
    config: Mapping[str, Any]
    derived: Mapping[str, Any]
    has_secrets: bool
    created_at: str | None


def _secrets(given: Mapping[str, str] | None) -> dict[str, SecretBytes]:
    return {name: SecretBytes(value.encode()) for name, value in (given or {}).items() if value}


def _create(call: WireCall) -> CreateProvider:
    body: NewProvider = call.body
    return CreateProvider(body.kind, body.name, body.config, _secrets(body.secrets), body.icon_url, body.enabled)


def _try_settings(call: WireCall) -> TrySettings:
    body: TriedProvider = call.body
    return TrySettings(body.kind, body.config, _secrets(body.secrets), body.provider_id)


def _update(call: WireCall) -> UpdateProvider:
    body: ChangedProvider = call.body
    provider = path_id(call, "provider_id")
    return UpdateProvider(provider, body.name, body.icon_url, body.enabled, body.config, _secrets(body.secrets))


def _provider(row: IdentityProvider) -> WireProvider:
    given = kind_of(row.kind).given(row.config)
    return WireProvider(
        provider_id=row.id,
        idp_id=idp_id(row.id),
        kind=row.kind,
        name=row.name,
        icon_url=row.icon_url,
        enabled=row.enabled,
        config=given,
        derived={name: value for name, value in row.config.items() if name not in given},
        has_secrets=row.secret_sealed is not None,
        created_at=wire_time(row.created_at),
    )


def _providers(rows: list[IdentityProvider]) -> list[WireProvider]:
    return [_provider(row) for row in rows]


_PATH = "/sys/v1/identity_providers"
_ONE = _PATH + "/{provider_id}"
ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "ListIdentityProviders", "GET", _PATH, lambda _call: ListProviders(), lambda rows: [*map(_provider, rows)]
    ),
    Endpoint("CreateIdentityProvider", "POST", _PATH, _create, _provider, body=NewProvider, status=201),
    Endpoint("TestProviderSettings", "POST", f"{_PATH}/test", _try_settings, nothing, body=TriedProvider, status=204),
    Endpoint("GetIdentityProvider", "GET", _ONE, lambda call: GetProvider(path_id(call, "provider_id")), _provider),
    Endpoint("UpdateIdentityProvider", "PATCH", _ONE, _update, _provider, body=ChangedProvider),
    Endpoint(
        "DeleteIdentityProvider",
        "DELETE",
        _ONE,
        lambda call: DeleteProvider(path_id(call, "provider_id")),
        nothing,
        status=204,
    ),
    Endpoint(
        "TestIdentityProvider",
        "POST",
        f"{_ONE}/test",
        lambda call: TryProvider(path_id(call, "provider_id")),
        nothing,
        status=204,
    ),
)
