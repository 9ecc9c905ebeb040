"""From an authorization code to a person: the token request, the ID token, the userinfo.

It must not know rows or users. Raises NotAuthenticated when the provider's word does not hold, and ProviderFailed when
there is none.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote_plus, urlencode

from accounts import outbound
from accounts.errors import NotAuthenticated
from accounts.jwk import strict_object
from accounts.jwt_bearer import take_apart
from accounts.sso import id_token, oidc_metadata
from accounts.sso.kind import Config, ProviderFailed
from accounts.sso.oidc import CALLBACK, Endpoints
from accounts.sso.tls import trust_of

MAX_GROUPS = 1000


@dataclass(frozen=True, slots=True)
class Code:
    """What came back with the browser, and what of this login the server kept."""

    code: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    issuer: str | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """``email`` is empty unless verified; ``groups`` None when the settings name no claim for them."""

    subject: str
    email: str
    groups: frozenset[str] | None
    first_name: str
    last_name: str


@dataclass(frozen=True, slots=True)
class Tokens:
    access: str | None = field(repr=False)
    identity: str | None = field(repr=False)


def person_of(
    config: Config, endpoints: Endpoints, code: Code, *, client_secret: str, public_url: str, now: datetime
) -> Person:
    _check_issuer(config, endpoints, code)
    tokens = _redeem(config, endpoints, code, client_secret=client_secret, public_url=public_url)
    claims = _claims(config, endpoints, code, tokens, now)
    email = claims.get("email") if claims.get("email_verified") is True else None
    return Person(
        subject=_text(claims.get("sub")),
        email=_text(email),
        groups=_groups(config, claims),
        first_name=_text(claims.get("given_name")),
        last_name=_text(claims.get("family_name")),
    )


def _check_issuer(config: Config, endpoints: Endpoints, code: Code) -> None:
    """RFC 9207: the answer of another provider, mixed into this login, names another issuer."""
    if not config["issuer"] or (code.issuer is None and not endpoints.names_itself):
        return
    if code.issuer != config["issuer"]:
        raise NotAuthenticated("another-issuer")


def _redeem(config: Config, endpoints: Endpoints, code: Code, *, client_secret: str, public_url: str) -> Tokens:
    """The token request (RFC 6749 §4.1.3) with the verifier (RFC 7636 §4.5)."""
    form = {
        "grant_type": "authorization_code",
        "code": code.code,
        "redirect_uri": public_url + CALLBACK,
        "code_verifier": code.verifier,
    }
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    if config["basic_auth"]:
        # §2.3.1: both are form-encoded first.
        pair = f"{quote_plus(config['client_id'])}:{quote_plus(client_secret)}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    else:
        form |= {"client_id": config["client_id"], "client_secret": client_secret}
    answer = _call(config, endpoints.token, method="POST", body=urlencode(form).encode(), headers=headers)
    if answer.status in (400, 403):
        raise NotAuthenticated("code-refused")
    if answer.status != 200:
        raise ProviderFailed("the token endpoint answered with an error")
    stated = _object(answer.body)
    return Tokens(_token(stated, "access_token"), _token(stated, "id_token"))


def _claims(config: Config, endpoints: Endpoints, code: Code, tokens: Tokens, now: datetime) -> Mapping[str, Any]:
    """Of the ID token, and what it leaves out of the userinfo. Without an issuer, of the userinfo alone."""
    if not config["issuer"]:
        return _userinfo(config, endpoints, tokens)
    if tokens.identity is None:
        raise NotAuthenticated("id-token-missing")
    token = take_apart(tokens.identity)
    expected = id_token.Expected(
        config["issuer"],
        config["client_id"],
        code.nonce,
        endpoints.algorithms,
        config["auth_params"].get("max_age"),
    )
    keys = oidc_metadata.keys_of(endpoints.jwks_uri, token.kid, config["tls"])
    claims = id_token.check(token, keys, expected, access_token=tokens.access, now=now)
    wanted = ["email", *filter(None, [config["groups_claim"]])]
    if not endpoints.userinfo or tokens.access is None or all(name in claims for name in wanted):
        return claims
    more = _userinfo(config, endpoints, tokens)
    # OpenID Connect Core §5.3.2: another subject's userinfo is not used.
    if more.get("sub") != claims.get("sub"):
        raise NotAuthenticated("userinfo-subject")
    return _joined(claims, more)


def _joined(claims: Mapping[str, Any], more: Mapping[str, Any]) -> Mapping[str, Any]:
    """An address and whether it was verified come from one mouth."""
    if "email" in claims:
        more = {name: value for name, value in more.items() if name not in ("email", "email_verified")}
    else:
        claims = {name: value for name, value in claims.items() if name != "email_verified"}
    return {**more, **claims}


def _userinfo(config: Config, endpoints: Endpoints, tokens: Tokens) -> Mapping[str, Any]:
    if tokens.access is None:
        raise NotAuthenticated("access-token-missing")
    headers = {"Authorization": f"Bearer {tokens.access}", "Accept": "application/json"}
    answer = _call(config, endpoints.userinfo, headers=headers)
    if answer.status != 200:
        raise ProviderFailed("the userinfo endpoint answered with an error")
    return _object(answer.body)


def _call(config: Config, url: str, **parts: Any) -> outbound.Answer:
    try:
        return outbound.fetch(url, trust=trust_of(config["tls"]), **parts)
    except (outbound.OutboundRefused, outbound.OutboundFailed) as error:
        raise ProviderFailed("the provider did not answer") from error


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        return strict_object(body)
    except ValueError:
        raise ProviderFailed("the provider's answer is not JSON") from None


def _token(stated: Mapping[str, Any], name: str) -> str | None:
    """A token that can stand in a header. Others are the provider's mistake, or its attack."""
    value = stated.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or " " in value:
        raise ProviderFailed(f"the provider's {name} is not one")
    return value


def _groups(config: Config, claims: Mapping[str, Any]) -> frozenset[str] | None:
    """A claim that is left out means no group: many providers leave out an empty one."""
    if not config["groups_claim"]:
        return None
    stated = claims.get(config["groups_claim"], [])
    listed = [stated] if isinstance(stated, str) else stated
    if not isinstance(listed, list) or len(listed) > MAX_GROUPS:
        raise NotAuthenticated("groups-unusable")
    return frozenset(name for name in listed if isinstance(name, str))


def _text(value: Any) -> str:
    return value if isinstance(value, str) and "\0" not in value else ""
