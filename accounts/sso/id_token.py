"""The checks of an ID token (OpenID Connect Core 1.0 §3.1.3.7), on top of those of any signed token. Pure.

It must not know where keys or tokens come from, nor users.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from accounts.errors import NotAuthenticated
from accounts.jwk import KeySet, strict_object
from accounts.jwt_bearer import Token, is_signed

LEEWAY = timedelta(seconds=60)
# An ID token comes straight from the token endpoint; one that was issued long ago is somebody's old one.
MAX_AGE = timedelta(minutes=10)
# §3.1.3.6: the hash of the signature's algorithm. Ed25519 hashes with SHA-512 (RFC 8032 §5.1).
_HASHES: Mapping[str, str] = {"256": "sha256", "384": "sha384", "512": "sha512", "EdDSA": "sha512"}


@dataclass(frozen=True, slots=True)
class Expected:
    """What this login expects. ``algorithms`` are those that the provider says it signs with."""

    issuer: str
    client_id: str
    nonce: str = field(repr=False)
    algorithms: frozenset[str]
    max_auth_age: int | None = None


def check(
    token: Token, keys: KeySet, expected: Expected, *, access_token: str | None, now: datetime
) -> Mapping[str, Any]:
    """The claims of the token, or NotAuthenticated."""
    if token.algorithm not in expected.algorithms:
        raise NotAuthenticated("id-token-algorithm")
    if not is_signed(token, keys):
        raise NotAuthenticated("id-token-signature")
    try:
        claims = strict_object(token.payload)
    except ValueError:
        raise NotAuthenticated("id-token-malformed") from None
    for holds, reason in (
        (claims.get("iss") == expected.issuer, "id-token-issuer"),
        (_is_for(claims, expected.client_id), "id-token-audience"),
        (_equal(claims.get("nonce"), expected.nonce), "id-token-nonce"),
        (_goes_with(claims.get("at_hash"), access_token, token.algorithm), "id-token-access-token"),
    ):
        if not holds:
            raise NotAuthenticated(reason)
    _check_times(claims, expected, now)
    return claims


def _is_for(claims: Mapping[str, Any], client_id: str) -> bool:
    """For this client, and for it alone unless the token says that it was issued to it (``azp``)."""
    audience, party = claims.get("aud"), claims.get("azp", client_id)
    if audience == client_id or audience == [client_id]:
        return bool(party == client_id)
    several = isinstance(audience, list) and client_id in audience
    return several and claims.get("azp") == client_id


def _goes_with(stated: Any, access_token: str | None, algorithm: str) -> bool:
    """A stated ``at_hash`` is the left half of the access token's hash; without one there is nothing to compare."""
    if stated is None:
        return True
    if access_token is None:
        return False
    digest = hashlib.new(_HASHES.get(algorithm) or _HASHES[algorithm[-3:]], access_token.encode()).digest()
    return _equal(stated, base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode())


def _check_times(claims: Mapping[str, Any], expected: Expected, now: datetime) -> None:
    expires, issued = _time(claims.get("exp")), _time(claims.get("iat"))
    if expires is None or expires + LEEWAY <= now:
        raise NotAuthenticated("id-token-expired")
    if issued is None or issued - LEEWAY > now or now - issued > MAX_AGE:
        raise NotAuthenticated("id-token-issued-at")
    if "nbf" in claims and ((_time(claims["nbf"]) or datetime.max.replace(tzinfo=UTC)) - LEEWAY > now):
        raise NotAuthenticated("id-token-not-yet-valid")
    if expected.max_auth_age is None:
        return
    authenticated = _time(claims.get("auth_time"))
    if authenticated is None or now - authenticated > timedelta(seconds=expected.max_auth_age) + LEEWAY:
        raise NotAuthenticated("id-token-login-too-old")


def _time(value: Any) -> datetime | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _equal(stated: Any, expected: str) -> bool:
    return isinstance(stated, str) and hmac.compare_digest(stated.encode(), expected.encode())
