"""Every setting that takes an address, with every address that must not be called: refused when it is saved, or when it
is used. The settings are found in the wire's own types, so that a new one joins the sweep or fails here."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Callable, Iterator
from typing import Any, get_args

import httpx
import msgspec
import pytest

from accounts import jwks, revocation
from accounts.clock import clock
from accounts.jwks import FetchedKeys, KeysUnavailable
from accounts.kubernetes_login import keys_of
from accounts.models import AppCredential, IdentityProvider, KubernetesCluster
from accounts.principal import ANONYMOUS, AuthenticationMethod
from accounts.sessions import issue
from kms.api.routes import ENDPOINTS
from kms.operations.discovery import DiscoverSignOn
from kms.operations.executor import execute
from kms.operations.providers import TryProvider
from tests.kit.http import serving
from tests.kit.tenants import Tenant, new_tenant, unique
from tests.kit.urls import FORBIDDEN_URLS, RESOLVED_URLS, forbidden_resolver
from tests.operations import test_log_shipping, test_webhooks

PUBLIC = "https://login.example.org"
OAUTH = {
    "idp_name": "Directory",
    "client_id": "keystead",
    "client_secret": "x",
    "idp_authorization_endpoint": f"{PUBLIC}/authorize",
    "idp_token_endpoint": f"{PUBLIC}/token",
    "idp_userinfo_endpoint": f"{PUBLIC}/userinfo",
}
LDAP = {
    "name": "Directory",
    "dn_resolution": {"method": "search-by-mail"},
    "tls": {"mode": "required"},
    "base_dn": "dc=example,dc=org",
}
JWT = {"valid_issuers": ["https://issuer.example.org"], "audiences": ["keystead"], "subjects": ["s"]}


@dataclasses.dataclass(frozen=True)
class Setting:
    """How a client sets it: method, path and body of the request that holds the address."""

    method: str
    path: str
    body: Callable[[str], Any]
    status: int = 200


def oauth(**changed: Any) -> dict[str, Any]:
    password = {"require_2fa": False, "administrators_only": False}
    return {"auth_config": {"password": password, "oauth": {**OAUTH, **changed}}}


def ldap(url: str) -> dict[str, Any]:
    return {**LDAP, "ldap_url": url.replace("https", "ldaps", 1)}


def openid(config: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "oidc", "name": "x", "config": {"client_id": "x", **config}, "secrets": {"client_secret": "x"}}


def endpoints(**changed: str) -> dict[str, Any]:
    names = ("authorization_endpoint", "token_endpoint", "userinfo_endpoint")
    return {**{name: f"{PUBLIC}/{name}" for name in names}, **changed}


def oauth_with(name: str) -> Callable[[str], Any]:
    return lambda url: oauth(**{name: url})


def openid_with(name: str) -> Callable[[str], Any]:
    return lambda url: openid(endpoints(**{name: url}))


_ACCOUNT, _PROVIDERS = "/sys/v1/accounts/{account}", "/sys/v1/identity_providers"
_ALONE = dict.fromkeys(("idp_authorization_endpoint", "idp_token_endpoint", "idp_userinfo_endpoint"))
SETTINGS: dict[str, Setting] = {
    "AuthConfigOauth.issuer": Setting(
        "PATCH",
        _ACCOUNT,
        lambda url: oauth(issuer=url, idp_authorization_endpoint="", idp_token_endpoint="", idp_userinfo_endpoint=None),
    ),
    **{f"AuthConfigOauth.{name}": Setting("PATCH", _ACCOUNT, oauth_with(name)) for name in _ALONE},
    "AuthConfigLdap.ldap_url": Setting("PATCH", _ACCOUNT, lambda url: {"add_ldap": [ldap(url)]}),
    "SigningKeys.url": Setting(
        "POST",
        "/sys/v1/apps",
        lambda url: {
            "name": unique("app"),
            "add_groups": {"{group}": []},
            "credential": {
                "signedjwt": {**JWT, "signing_keys": {"kind": "fetched", "url": url, "cache_duration": 300}}
            },
        },
        201,
    ),
    "WireJwks.url": Setting(
        "POST",
        "/sys/v1/kubernetes/clusters",
        lambda url: {"name": unique("cluster"), "issuer": "https://issuer.example.org", "jwks": {"url": url}},
        201,
    ),
    "config.issuer": Setting("POST", _PROVIDERS, lambda url: openid({"issuer": url}), 201),
    **{
        f"config.{name}": Setting("POST", _PROVIDERS, openid_with(name), 201)
        for name in ("authorization_endpoint", "token_endpoint", "userinfo_endpoint")
    },
    "config.url": Setting(
        "POST",
        _PROVIDERS,
        lambda url: {
            "kind": "ldap",
            "name": "x",
            "config": {"url": url.replace("https", "ldaps", 1), "base_dn": "dc=example,dc=org"},
        },
        201,
    ),
    "ldap/test": Setting("POST", "/sys/v1/ldap/test", lambda url: {"ldap": ldap(url)}),
}
# Fields that read like addresses and are shown or compared, never called.
NEVER_CALLED = {
    "AuthConfigOauth.idp_icon_url": "browsers show it",
    "AuthConfigLdap.icon_url": "browsers show it",
    "NewProvider.icon_url": "browsers show it",
    "ChangedProvider.icon_url": "browsers show it",
    "SignedJwt.valid_issuers": "compared with a token's",
    "NewClusterRequest.issuer": "compared with a token's",
    "ClusterRequest.issuer": "compared with a token's",
    "OauthConfig.redirect_uris": "refused: apps do not log people in here",
    "TlsConfig.validate_hostname": "a flag",
    "AppRequest.ip_address_policy": "who may call us",
    "Subject.ip_address": "compared with a certificate's",
    "SyslogLoggingConfig.use_fqdn_hostname": "a flag",
    "SplunkLoggingConfig.use_fqdn_hostname": "a flag",
    "S3LoggingConfig.addressing_style": "one of two words",
}
# Settings that are swept, with the same addresses, where what is sent to them is tested.
SWEPT_THERE = {
    "ApprovalWebhook.url": test_webhooks,
    "WebhookLoggingConfig.url": test_log_shipping,
    "SplunkLoggingConfig.host": test_log_shipping,
    "SyslogLoggingConfig.host": test_log_shipping,
    "S3LoggingConfig.endpoint": test_log_shipping,
}
_WORDS = ("url", "uri", "endpoint", "issuer", "host", "address", "metadata_location")


def address_fields(kind: Any, seen: set[Any]) -> Iterator[str]:
    """Fields of a request's type, and of the types in it, whose names say address."""
    for inner in get_args(kind):
        yield from address_fields(inner, seen)
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)) or kind in seen:
        return
    seen.add(kind)
    for field in msgspec.structs.fields(kind):
        if any(word in field.name for word in _WORDS):
            yield f"{kind.__name__}.{field.name}"
        yield from address_fields(field.type, seen)


def test_every_address_on_the_wire_is_in_the_sweep() -> None:
    seen: set[Any] = set()
    found = {name for endpoint in ENDPOINTS for name in address_fields(endpoint.body, seen)}
    assert found - SETTINGS.keys() - NEVER_CALLED.keys() - SWEPT_THERE.keys() == set(), (
        "a new address: add it to SETTINGS"
    )
    assert all(place.FORBIDDEN_URLS is FORBIDDEN_URLS for place in SWEPT_THERE.values())
    assert found >= {"AuthConfigOauth.issuer", "AuthConfigLdap.ldap_url", "SigningKeys.url"}


@pytest.fixture(scope="module")
def client(installation: None) -> Iterator[httpx.Client]:
    from kms.config.asgi import application

    with serving(application) as opened:
        yield opened


@pytest.fixture(scope="module")
def shared(client: httpx.Client) -> Tenant:
    return new_tenant()


@pytest.fixture
def inner_connections(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is connected to, but for the test's own HTTP; none of the sweep may be."""
    tried: list[Any] = []
    connect_really = socket.create_connection

    def connect(address: tuple[str, int], *arguments: Any, **options: Any) -> socket.socket:
        if address == (client.base_url.host, client.base_url.port):
            return connect_really(address, *arguments, **options)
        tried.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", connect)
    return tried


def administrator(tenant: Tenant) -> dict[str, str]:
    _, token = issue(tenant.alice, AuthenticationMethod.PASSWORD, clock.now(), clock.now())
    return {"Authorization": f"Bearer {token}"}


def send(client: httpx.Client, tenant: Tenant, setting: Setting, url: str, headers: dict[str, str]) -> httpx.Response:
    body = msgspec.json.encode(setting.body(url)).replace(b"{group}", str(tenant.group.id).encode())
    path = setting.path.format(account=tenant.account.id)
    return client.request(setting.method, path, content=body, headers=headers)


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS.keys())
def test_no_setting_is_saved_with_an_address_that_must_not_be_called(
    setting: Setting, client: httpx.Client, shared: Tenant, inner_connections: list[Any]
) -> None:
    ldap_knows = {"ldap://login.example.org/"}  # a directory's own scheme
    saved, headers = [], administrator(shared)
    assert send(client, shared, setting, PUBLIC, headers).status_code in (setting.status, 503)
    for url in FORBIDDEN_URLS:
        if url in ldap_knows and "ldap" in str(setting.body(url)):
            continue
        answer = send(client, shared, setting, url, headers)
        if answer.status_code != 400:
            saved.append((url, answer.status_code))
        assert "Traceback" not in answer.text
    assert saved == []
    assert inner_connections == []


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS.keys())
def test_no_setting_reaches_inside_by_a_name(
    setting: Setting,
    client: httpx.Client,
    shared: Tenant,
    inner_connections: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Names are saved, for what they mean can change; what they mean is judged each time they are used."""
    headers = administrator(shared)
    for url in RESOLVED_URLS:
        answer = send(client, shared, setting, url, headers)
        assert answer.status_code == setting.status or "test" in setting.path, answer.text
    monkeypatch.setattr(socket, "getaddrinfo", forbidden_resolver)
    used = list(use_everything(shared))
    assert inner_connections == []
    assert used or "test" in setting.path, "nothing was saved that could be used"


def use_everything(tenant: Tenant) -> Iterator[str]:
    """Whatever the account has, used as it would be."""
    for row in IdentityProvider.objects.filter(account=tenant.account):
        with pytest.raises(Exception):  # noqa: B017, PT011 - each kind says no in its own way
            execute(tenant.alice, TryProvider(row.id))
        yield row.kind
    execute(ANONYMOUS, DiscoverSignOn(account=tenant.account.id))
    IdentityProvider.objects.filter(account=tenant.account).delete()
    for credential in AppCredential.objects.filter(app__account=tenant.account, kind="signed-jwt"):
        keys = FetchedKeys(jwks._document)
        with pytest.raises(KeysUnavailable):
            keys.keys(credential.config["keys"]["url"], None, 300)
        yield credential.kind
    for cluster in KubernetesCluster.objects.filter(account=tenant.account):
        with pytest.raises(KeysUnavailable):
            keys_of(cluster, None)
        yield cluster.name


@pytest.mark.parametrize("url", [*FORBIDDEN_URLS, *RESOLVED_URLS])
def test_no_revocation_list_is_fetched_from_inside(
    url: str, inner_connections: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its address stands in a certificate."""
    monkeypatch.setattr(socket, "getaddrinfo", forbidden_resolver)
    assert revocation._fetched(url) is None
    assert inner_connections == []
