"""What an OpenID provider says of itself (OpenID Connect Discovery 1.0), and its keys; both kept for a while.

It must not know clients, logins or rows.
"""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from accounts import outbound
from accounts.jwk import ALGORITHMS, KeySet, strict_object
from accounts.jwks import FetchedKeys, KeysUnavailable
from accounts.sso.kind import Config, ProviderFailed
from accounts.sso.tls import trust_of

KEPT_SECONDS = 600.0
# Anybody can start a login; a provider that is down is not asked for each.
FAILED_SECONDS = 10.0
KEYS_SECONDS = 300
_MAX_KEPT = 1000


@dataclass(frozen=True, slots=True)
class Metadata:
    authorization_endpoint: str
    token_endpoint: str
    userinfo_endpoint: str
    jwks_uri: str
    algorithms: frozenset[str]
    names_itself: bool


def metadata_of(issuer: str, tls: Config) -> Metadata:
    """As the issuer said at most ten minutes ago. Raises ProviderFailed."""
    place = _place(issuer, tls)
    with _guard:
        kept = _kept.get(place)
    if kept is not None and time.monotonic() < kept[1]:
        return _or_raise(kept[0])
    try:
        found: Metadata | None = _ask(issuer, tls)
    except (outbound.OutboundRefused, outbound.OutboundFailed, ValueError):
        found = None
    with _guard:
        _kept[place] = found, time.monotonic() + (FAILED_SECONDS if found is None else KEPT_SECONDS)
        _kept.move_to_end(place)
        if len(_kept) > _MAX_KEPT:
            _kept.popitem(last=False)
    return _or_raise(found)


def keys_of(jwks_uri: str, kid: str | None, tls: Config) -> KeySet:
    """The provider's keys; asked for anew when one is named that is not among them (it has rotated)."""
    try:
        return _fetched.keys(_place(jwks_uri, tls), kid, KEYS_SECONDS)
    except KeysUnavailable:
        raise ProviderFailed("the provider's keys cannot be had") from None


def forget(issuer: str, tls: Config) -> None:
    """Whoever tries out new settings wants to know what is so now."""
    with _guard:
        _kept.pop(_place(issuer, tls), None)


def clear() -> None:
    with _guard:
        _kept.clear()
    _fetched.clear()


def _or_raise(found: Metadata | None) -> Metadata:
    if found is None:
        raise ProviderFailed("the issuer's metadata cannot be had")
    return found


def _ask(issuer: str, tls: Config) -> Metadata:
    """§4.1 and §4.3: the document lies under the issuer, and names that very issuer."""
    stated = strict_object(_document(f"{issuer.removesuffix('/')}/.well-known/openid-configuration", tls))
    if stated.get("issuer") != issuer:
        raise ValueError("the metadata is another issuer's")
    endpoints = {name: _endpoint(stated, name) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")}
    signing = stated.get("id_token_signing_alg_values_supported")
    challenges = stated.get("code_challenge_methods_supported")
    if isinstance(challenges, list) and "S256" not in challenges:
        raise ValueError("the provider does not take PKCE with S256")
    return Metadata(
        **endpoints,
        userinfo_endpoint=_endpoint(stated, "userinfo_endpoint") if stated.get("userinfo_endpoint") else "",
        algorithms=ALGORITHMS & frozenset(str(name) for name in signing) if isinstance(signing, list) else _DEFAULT,
        names_itself=stated.get("authorization_response_iss_parameter_supported") is True,
    )


def _endpoint(stated: Mapping[str, Any], name: str) -> str:
    """An address that the server or a browser may be sent to; the provider chooses it, so it is judged as well."""
    url = stated.get(name)
    if not isinstance(url, str):
        raise ValueError(f"{name} is missing")
    outbound.check_url(url)
    return url


def _document(url: str, tls: Config) -> bytes:
    answer = outbound.fetch(url, headers={"Accept": "application/json"}, trust=trust_of(tls))
    if answer.status != 200:
        raise outbound.OutboundFailed(f"the answer was {answer.status}")
    return answer.body


def _place(url: str, tls: Config) -> str:
    """An address and whom it must show itself to be certified by: without the second, one account's pinned authority
    would speak for another account's address."""
    return json.dumps([url, tls])


def _at(place: str) -> bytes:
    url, tls = json.loads(place)
    return _document(url, tls)


_DEFAULT = frozenset({"RS256"})
_kept: OrderedDict[str, tuple[Metadata | None, float]] = OrderedDict()
_guard = threading.Lock()
_fetched = FetchedKeys(_at)
