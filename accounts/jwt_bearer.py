"""A signed token (JWT, RFC 7519, as a JWS, RFC 7515) taken apart, verified and judged. Pure: no Django, clock or I/O.

Nothing in a token says how it is to be verified: not which algorithm (it must be one that the key is for), not which
key (``kid`` picks among keys that are trusted already; ``jwk``, ``jku``, ``x5c`` and ``x5u`` are not looked at). RFC
8725 lists what went wrong elsewhere. It must not know rows, or where keys come from.
"""

from __future__ import annotations

import base64
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

from accounts.errors import NotAuthenticated
from accounts.jwk import ALGORITHMS, KeySet, VerificationKey, key_of, strict_object

MAX_TOKEN = 16 * 1024
MAX_TEXT = 512
MAX_AUDIENCES = 16
LEEWAY = timedelta(seconds=60)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_VERIFIERS: Mapping[str, Any] = MappingProxyType({name: get_default_algorithms()[name] for name in ALGORITHMS})
_TYPES = frozenset({None, "jwt", "at+jwt", "application/jwt", "application/at+jwt"})


@dataclass(frozen=True, slots=True)
class TokenCredential:
    """A token, with the app that it is shown for, or None when it is to say so itself."""

    token: str = field(repr=False)
    app: UUID | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """What a token says before anybody has verified it."""

    algorithm: str
    kid: str | None
    signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    payload: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Claims:
    issuer: str
    subject: str
    audiences: frozenset[str]
    expires_at: datetime
    issued_at: datetime | None
    not_before: datetime | None
    token_id: str


@dataclass(frozen=True, slots=True)
class Rules:
    """What an app takes. Subjects are exact, or begin as one that ends in ``*``. Without audience nothing is taken."""

    issuers: frozenset[str]
    audiences: frozenset[str]
    subjects: tuple[str, ...]
    algorithms: frozenset[str]
    max_age: timedelta
    once: bool = False


def looks_like_token(text: str) -> bool:
    """Session tokens and API keys are base64url, which has no dot."""
    return "." in text


# -- the envelope --------------------------------------------------------------------------------------------------


def take_apart(token: str) -> Token:
    """The compact serialization (RFC 7515 §3.1), and nothing else: five parts would be an encrypted token."""
    if len(token) > MAX_TOKEN:
        raise NotAuthenticated("jwt-too-long")
    parts = token.split(".")
    if len(parts) != 3:
        raise NotAuthenticated("jwt-malformed")
    try:
        header, payload, signature = (_octets(part) for part in parts)
        stated = strict_object(header)
    except ValueError:
        raise NotAuthenticated("jwt-malformed") from None
    algorithm, kid, kind = stated.get("alg"), stated.get("kid"), stated.get("typ")
    if not isinstance(kid, str | None) or not isinstance(kind, str | None):
        raise NotAuthenticated("jwt-malformed")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise NotAuthenticated("jwt-algorithm")
    # No extension is understood here, so none may be critical (§4.1.11); b64 (RFC 7797) is one that must be.
    if "crit" in stated or "b64" in stated:
        raise NotAuthenticated("jwt-critical-extension")
    if (kind and kind.lower()) not in _TYPES or "cty" in stated or "enc" in stated or "zip" in stated:
        raise NotAuthenticated("jwt-type")
    return Token(algorithm, kid, token.rpartition(".")[0].encode("ascii"), signature, payload)


def is_signed(token: Token, keys: KeySet) -> bool:
    """By the one key of the set that is meant. Where none is, the same work is done with a key that is nobody's."""
    key = keys.find(token.kid, token.algorithm)
    verified = _verified(token, key or _decoy(token.algorithm))
    return verified and key is not None


def _verified(token: Token, key: VerificationKey) -> bool:
    return bool(_VERIFIERS[token.algorithm].verify(token.signed, key.key, token.signature))


def _octets(text: str) -> bytes:
    """base64url without padding, in its one canonical spelling (RFC 7515 §2; RFC 4648 §3.5)."""
    octets = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if base64.urlsafe_b64encode(octets).rstrip(b"=").decode() != text:
        raise ValueError("not canonical")
    return octets


@functools.cache
def _decoy(algorithm: str) -> VerificationKey:
    """A key for the work's sake: what it says of a signature is thrown away."""
    if algorithm.startswith("ES"):
        curve = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}[algorithm]
        return key_of(None, ec.derive_private_key(7, curve).public_key())
    if algorithm == "EdDSA":
        return key_of(None, ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key())
    return key_of(None, rsa.RSAPublicNumbers(65537, (1 << 2047) + 12345).public_key())


# -- the claims ----------------------------------------------------------------------------------------------------


def claims_of(token: Token) -> Claims:
    """The registered claims (RFC 7519 §4.1) as their types; who issued it, for whom and until when must be said."""
    try:
        stated = strict_object(token.payload)
        audience = stated["aud"]
        audiences = [audience] if isinstance(audience, str) else audience
        if not isinstance(audiences, list) or not 0 < len(audiences) <= MAX_AUDIENCES:
            raise ValueError("no audience")
        return Claims(
            issuer=_text(stated["iss"]),
            subject=_text(stated["sub"]),
            audiences=frozenset(_text(name) for name in audiences),
            expires_at=_time(stated["exp"]),
            issued_at=_time(stated["iat"]) if "iat" in stated else None,
            not_before=_time(stated["nbf"]) if "nbf" in stated else None,
            token_id=_text(stated["jti"]) if "jti" in stated else "",
        )
    except (ValueError, KeyError, OverflowError):
        raise NotAuthenticated("jwt-claims") from None


def judge(claims: Claims, rules: Rules, app: UUID, now: datetime) -> None:
    """Raise NotAuthenticated unless the rules take these claims at this time. Expiry has no leeway."""
    for holds, reason in (
        (claims.issuer in rules.issuers, "jwt-issuer"),
        (bool(claims.audiences & rules.audiences), "jwt-audience"),
        (_is_subject(claims.subject, rules.subjects, app), "jwt-subject"),
        (claims.expires_at > now, "jwt-expired"),
        ((claims.not_before or now) <= now + LEEWAY, "jwt-not-yet-valid"),
        ((claims.issued_at or now) <= now + LEEWAY, "jwt-issued-in-the-future"),
        (claims.expires_at - (claims.issued_at or now) <= rules.max_age, "jwt-lives-too-long"),
        (bool(claims.token_id) or not rules.once, "jwt-without-id"),
    ):
        if not holds:
            raise NotAuthenticated(reason)


def _is_subject(subject: str, accepted: tuple[str, ...], app: UUID) -> bool:
    """Without subjects, the token must be about the app itself: its issuer signs for others too."""
    if not accepted:
        return subject == str(app)
    return any(
        subject.startswith(pattern[:-1]) if pattern.endswith("*") else subject == pattern for pattern in accepted
    )


def _text(value: Any) -> str:
    """Text that can be looked up: half a surrogate pair, which JSON lets through (RFC 8259 §8.2), cannot."""
    if not isinstance(value, str) or not 0 < len(value.encode()) <= MAX_TEXT or "\0" in value:
        raise ValueError("not a text")
    return value


def _time(value: Any) -> datetime:
    """A NumericDate (RFC 7519 §2), which may have a fraction; true and false are no numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("not a time")
    return _EPOCH + timedelta(seconds=value)
