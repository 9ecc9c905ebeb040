"""OpenID Connect: the settings of a provider, and where to send a browser. It must not know rows, sessions or the wire.

With an ``issuer`` everything else is discovered and the ID token is what counts. Without one, the settings name the
endpoints, as DSM clients do, and what the userinfo endpoint says over TLS counts.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from accounts import outbound
from accounts.models import ProviderKind
from accounts.sso import oidc_metadata
from accounts.sso.kind import Config, Given, Kind, ProviderFailed, SettingInvalid
from accounts.sso.tls import parse_tls, trust_of

CALLBACK = "/sign-on/oauth"
CLIENT_SECRET = "client_secret"  # noqa: S105 - a secret's name
DEFAULT_SCOPES = ["openid", "email", "profile"]
PROMPTS = ("login", "none", "consent", "select_account")
DISPLAYS = ("page", "popup", "touch", "wap")
URLS = ("issuer", "authorization_endpoint", "token_endpoint", "userinfo_endpoint")


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the provider is, as discovered or as set. ``jwks_uri`` is empty where no ID token is asked for."""

    authorization: str
    token: str
    userinfo: str = ""
    jwks_uri: str = ""
    algorithms: frozenset[str] = frozenset()
    names_itself: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """One login on its way: all three are of it alone, and the browser sees only what PKCE makes of the verifier."""

    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)


def parse(settings: Mapping[str, Any], secrets: frozenset[str]) -> Config:
    given = Given(settings)
    config: Config = {name: _url(name, given.text(name)) for name in URLS}
    config |= {
        "client_id": given.text("client_id", needed=True, longest=512),
        "basic_auth": given.flag("basic_auth", default=True),
        "scopes": given.texts("scopes") or DEFAULT_SCOPES,
        "groups_claim": given.text("groups_claim", longest=128),
        "self_provision_role": given.self_provision_role(),
        "auth_params": _auth_params(given.mapping("auth_params")),
        "tls": parse_tls(given.mapping("tls")),
    }
    given.end()
    _check_endpoints(config)
    if any(not scope or not scope.isascii() or not scope.isprintable() or " " in scope for scope in config["scopes"]):
        raise SettingInvalid("scopes are words without blanks (RFC 6749 §3.3)")
    if config["issuer"] and "openid" not in config["scopes"]:
        raise SettingInvalid("scopes must hold openid: it asks for the ID token")
    if CLIENT_SECRET not in secrets:
        raise SettingInvalid("client_secret is needed, anew where the provider's addresses change")
    return config


def endpoints_of(config: Config) -> Endpoints:
    """Asks the provider for what is not set. Raises ProviderFailed."""
    if not config["issuer"]:
        return Endpoints(config["authorization_endpoint"], config["token_endpoint"], config["userinfo_endpoint"])
    found = oidc_metadata.metadata_of(config["issuer"], config["tls"])
    return Endpoints(
        found.authorization_endpoint,
        found.token_endpoint,
        found.userinfo_endpoint,
        found.jwks_uri,
        found.algorithms,
        found.names_itself,
    )


def authorization_url(config: Config, endpoints: Endpoints, request: Request, *, public_url: str) -> str:
    """Complete and ready to be opened: an authorization request (RFC 6749 §4.1.1) with PKCE (RFC 7636), always S256."""
    challenge = base64.urlsafe_b64encode(hashlib.sha256(request.verifier.encode()).digest()).rstrip(b"=").decode()
    parameters = {
        "response_type": "code",
        "client_id": config["client_id"],
        "redirect_uri": public_url + CALLBACK,
        "scope": " ".join(config["scopes"]),
        "state": request.state,
        "nonce": request.nonce,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    parameters |= {name: _joined(value) for name, value in config["auth_params"].items()}
    parts = urlsplit(endpoints.authorization)
    query = [*parse_qsl(parts.query, keep_blank_values=True), *parameters.items()]
    return urlunsplit(parts._replace(query=urlencode(query)))


def probe(config: Config, _secrets: Mapping[str, bytes]) -> None:
    """The metadata is there and its keys can be read. The client's secret is not tried: that takes a person."""
    if config["issuer"]:
        oidc_metadata.forget(config["issuer"], config["tls"])
        found = oidc_metadata.metadata_of(config["issuer"], config["tls"])
        oidc_metadata.keys_of(found.jwks_uri, None, config["tls"])
        return
    try:
        outbound.fetch(config["authorization_endpoint"], trust=trust_of(config["tls"]))
    except (outbound.OutboundFailed, outbound.OutboundRefused) as error:
        raise ProviderFailed("the authorization endpoint did not answer") from error


def secrets_go_to(config: Config) -> Hashable:
    """The client's secret goes to the token endpoint, wherever the issuer or the settings say that is."""
    return config["issuer"], config["token_endpoint"], config["client_id"], tuple(config["tls"]["authorities"])


def _url(name: str, url: str) -> str:
    if url:
        try:
            outbound.check_url(url)
        except (outbound.OutboundRefused, outbound.OutboundFailed) as error:
            raise SettingInvalid(f"{name}: {error}") from error
    return url


def _check_endpoints(config: Config) -> None:
    named = [name for name in URLS[1:] if config[name]]
    if config["issuer"]:
        if named:
            raise SettingInvalid(f"an issuer says itself where things are; leave out {', '.join(named)}")
        if urlsplit(config["issuer"]).query:
            raise SettingInvalid("issuer has no query (OpenID Connect Discovery 1.0 §3)")
    elif set(named) != set(URLS[1:]):
        raise SettingInvalid("give an issuer, or the authorization, token and userinfo endpoints")


def _auth_params(settings: Mapping[str, Any] | None) -> Config:
    if settings is None:
        return {}
    given = Given(settings)
    prompt = given.texts("prompt", choices=PROMPTS)
    found = {
        "display": given.choice("display", *DISPLAYS),
        "max_age": given.number("max_age", lowest=0, highest=10**8),
        "prompt": prompt,
    }
    given.end()
    if "none" in prompt and prompt != ["none"]:
        raise SettingInvalid("auth_params.prompt: none stands alone")
    return {name: value for name, value in found.items() if value not in ("", None, [])}


def _joined(value: Any) -> str:
    return " ".join(value) if isinstance(value, list) else str(value)


KIND = Kind(ProviderKind.OIDC, parse, probe, secrets_go_to, frozenset({CLIENT_SECRET}))
