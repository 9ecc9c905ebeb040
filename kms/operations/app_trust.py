"""What an app's proof of itself rests on: a secret, a certificate, authorities, an issuer's keys, a directory.

Each is checked when it is saved, so that nothing is kept that could never hold, or that would hold for anybody. It must
not know the wire, HTTP or how a proof is judged.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from django.conf import settings

from accounts import jwk, mtls, outbound, subjects
from accounts.certificates import PresentedCertificate
from accounts.credentials import MAX_APP_SECRET_BYTES, MIN_APP_SECRET_BYTES
from accounts.errors import NotAuthenticated
from accounts.jwt_bearer import MAX_TEXT
from accounts.models import CredentialKind, IdentityProvider, ProviderKind
from kms.crypto.errors import ParameterInvalid
from kms.secret import SecretBytes

DEFAULT_SECRET_BYTES = 64
MAX_ISSUERS, MAX_AUDIENCES, MAX_SUBJECTS, MAX_CLAIMED = 16, 16, 64, 256
MAX_AUTHORITIES, MAX_LISTS = 16, 16
MIN_CACHE_SECONDS, DEFAULT_CACHE_SECONDS, MAX_CACHE_SECONDS = 10, 300, 86_400
MIN_AGE_SECONDS, DEFAULT_AGE_SECONDS, MAX_AGE_SECONDS = 1, 86_400, 31 * 86_400
# A caller's own secret: what 192 bits take as base64url, and not one letter many times.
_OWN_SECRET = re.compile(rb"[A-Za-z0-9_-]{32,172}")
_MIN_DIFFERENT = 12

Config = dict[str, Any]


@dataclass(frozen=True, slots=True)
class NewSecret:
    """``size`` bytes of our own making, or what the caller brought."""

    size: int = DEFAULT_SECRET_BYTES
    brought: SecretBytes | None = None


@dataclass(frozen=True, slots=True)
class PinnedCertificate:
    """DER or PEM."""

    certificate: bytes


@dataclass(frozen=True, slots=True)
class TrustedAuthorities:
    """Certificates of authorities, and whom they must have certified."""

    certificates: tuple[bytes, ...]
    subjects: tuple[Mapping[str, Any], ...]
    check_revocation: bool = False
    revocation_lists: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredKeys:
    """Public keys by ``kid``, as DER or PEM."""

    keys: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class FetchedKeys:
    """``authorities`` are of the server at the URL; none are the system's."""

    url: str
    cache_seconds: int = DEFAULT_CACHE_SECONDS
    authorities: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class SignedTokens:
    """Whose tokens are taken, by which keys, and what must be in them. None is the default of each."""

    issuers: tuple[str, ...]
    keys: StoredKeys | FetchedKeys
    audiences: tuple[str, ...] | None = None
    subjects: tuple[str, ...] = ()
    algorithms: tuple[str, ...] | None = None
    max_age: int = DEFAULT_AGE_SECONDS
    once: bool = False


@dataclass(frozen=True, slots=True)
class DirectoryLogin:
    """The account's directory knows the app by its name, and checks its password."""

    provider: UUID


NewCredential = NewSecret | PinnedCertificate | TrustedAuthorities | SignedTokens | DirectoryLogin


def checked_secret(wanted: NewSecret) -> SecretBytes | None:
    """The caller's own secret, or None for one that is to be made."""
    if wanted.brought is None:
        if not MIN_APP_SECRET_BYTES <= wanted.size <= MAX_APP_SECRET_BYTES:
            bounds = f"{MIN_APP_SECRET_BYTES} to {MAX_APP_SECRET_BYTES}"
            raise ParameterInvalid(f"secret_size is {bounds} bytes, not {wanted.size}")
        return None
    text = wanted.brought.reveal()
    if not _OWN_SECRET.fullmatch(text) or len(set(text)) < _MIN_DIFFERENT:
        raise ParameterInvalid("a secret of your own is 32 to 172 random characters of base64url; or give its size")
    return wanted.brought


def trust_of(wanted: NewCredential, account: UUID, now: datetime) -> tuple[CredentialKind, Config]:
    """The kind and the settings of what is no secret."""
    if isinstance(wanted, PinnedCertificate):
        return CredentialKind.CERTIFICATE, _pinned(wanted, now)
    if isinstance(wanted, TrustedAuthorities):
        return CredentialKind.TRUSTED_CA, _authorities(wanted, now)
    if isinstance(wanted, SignedTokens):
        return CredentialKind.SIGNED_JWT, _tokens(wanted, account, now)
    if isinstance(wanted, DirectoryLogin):
        return CredentialKind.LDAP, _directory(wanted, account)
    return CredentialKind.SECRET, {}


def expiry_of(kind: str, config: Mapping[str, Any]) -> datetime | None:
    """When a pinned certificate ends."""
    if kind != CredentialKind.CERTIFICATE:
        return None
    return x509.load_der_x509_certificate(base64.b64decode(config["certificate"])).not_valid_after_utc


# -- certificates --------------------------------------------------------------------------------------------------


def _pinned(wanted: PinnedCertificate, now: datetime) -> Config:
    certificate = _certificate(wanted.certificate, "the certificate")
    der = certificate.public_bytes(Encoding.DER)
    config = {"certificate": _text_of(der)}
    try:
        mtls.verify(PresentedCertificate(der), CredentialKind.CERTIFICATE, config, now)
    except NotAuthenticated as refused:
        raise ParameterInvalid(f"nobody can log in with this certificate: {refused.reason}") from None
    return config


def _authorities(wanted: TrustedAuthorities, now: datetime) -> Config:
    if not 0 < len(wanted.certificates) <= MAX_AUTHORITIES:
        raise ParameterInvalid(f"trust 1 to {MAX_AUTHORITIES} certificate authorities")
    if not 0 < len(wanted.subjects) <= MAX_SUBJECTS:
        raise ParameterInvalid(f"name 1 to {MAX_SUBJECTS} subjects: an authority certifies others too")
    for rule in wanted.subjects:
        try:
            subjects.check(rule)
        except ValueError as error:
            raise ParameterInvalid(f"subject: {error}") from None
    if len(wanted.revocation_lists) > MAX_LISTS:
        raise ParameterInvalid(f"at most {MAX_LISTS} revocation lists")
    return {
        "ca_certificates": [_text_of(_authority(each, now)) for each in wanted.certificates],
        "subjects": [dict(rule) for rule in wanted.subjects],
        "check_revocation": wanted.check_revocation,
        "crls": [_text_of(_revocation_list(each)) for each in wanted.revocation_lists],
    }


def _authority(encoded: bytes, now: datetime) -> bytes:
    certificate = _certificate(encoded, "a CA certificate")
    try:
        is_authority = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        is_authority = False
    if not is_authority:
        raise ParameterInvalid("a CA certificate is none: its basic constraints do not say CA (RFC 5280 §4.2.1.9)")
    if certificate.not_valid_after_utc <= now:
        raise ParameterInvalid("a CA certificate has expired")
    return certificate.public_bytes(Encoding.DER)


def _certificate(encoded: bytes, what: str) -> x509.Certificate:
    load = x509.load_pem_x509_certificate if encoded.startswith(b"-----") else x509.load_der_x509_certificate
    try:
        return load(encoded)
    except ValueError:
        raise ParameterInvalid(f"{what} is not an X.509 certificate as DER or PEM") from None


def _revocation_list(encoded: bytes) -> bytes:
    load = x509.load_pem_x509_crl if encoded.startswith(b"-----") else x509.load_der_x509_crl
    try:
        return load(encoded).public_bytes(Encoding.DER)
    except ValueError:
        raise ParameterInvalid("a revocation list is not one as DER or PEM") from None


def _text_of(der: bytes) -> str:
    return base64.b64encode(der).decode()


# -- tokens --------------------------------------------------------------------------------------------------------


def _tokens(wanted: SignedTokens, account: UUID, now: datetime) -> Config:
    issuers = _names(wanted.issuers, "issuers", MAX_ISSUERS)
    audiences = own_audiences(account) if wanted.audiences is None else _audiences(wanted.audiences, account)
    algorithms = sorted(jwk.ALGORITHMS if wanted.algorithms is None else set(wanted.algorithms))
    if not algorithms or set(algorithms) - jwk.ALGORITHMS:
        raise ParameterInvalid(f"algorithms are some of {', '.join(sorted(jwk.ALGORITHMS))}")
    accepted = _subjects(wanted.subjects)
    if len(issuers) * len(accepted) > MAX_CLAIMED:
        raise ParameterInvalid(f"issuers times subjects are at most {MAX_CLAIMED}")
    if not MIN_AGE_SECONDS <= wanted.max_age <= MAX_AGE_SECONDS:
        raise ParameterInvalid(f"max_age is {MIN_AGE_SECONDS} to {MAX_AGE_SECONDS} seconds")
    return {
        "issuers": issuers,
        "audiences": audiences,
        "subjects": accepted,
        "algorithms": algorithms,
        "max_age": wanted.max_age,
        "once": wanted.once,
        "keys": _keys(wanted.keys, now),
    }


def own_audiences(account: UUID) -> list[str]:
    """The server's address, and the account at it: the second is nobody else's to claim."""
    return [settings.KEYSTEAD.public_url, f"{settings.KEYSTEAD.public_url}/{account}"]


def _audiences(given: Iterable[str], account: UUID) -> list[str]:
    """Addresses under the server's own say which account is meant, so another account's is not taken."""
    names = _names(given, "audiences", MAX_AUDIENCES)
    server = settings.KEYSTEAD.public_url
    if any(name.startswith(f"{server}/") and name not in own_audiences(account) for name in names):
        raise ParameterInvalid(f"an audience under {server}/ is {server}/ and this account's id")
    return names


def _subjects(given: Iterable[str]) -> list[str]:
    names = _names(given, "subjects", MAX_SUBJECTS, least=0)
    if any("*" in name[:-1] or name == "*" for name in names):
        raise ParameterInvalid("a subject is exact, or ends in one * after at least one other character")
    return names


def _names(given: Iterable[str], what: str, most: int, *, least: int = 1) -> list[str]:
    names = list(dict.fromkeys(given))
    if not least <= len(names) <= most:
        raise ParameterInvalid(f"{what} are {least} to {most}")
    if not all(0 < len(name) <= MAX_TEXT for name in names):
        raise ParameterInvalid(f"each of {what} has 1 to {MAX_TEXT} characters")
    return names


def _keys(wanted: StoredKeys | FetchedKeys, now: datetime) -> Config:
    if isinstance(wanted, StoredKeys):
        return {"kind": "stored", "keys": _stored(wanted)}
    return fetched_keys(wanted, now)


def fetched_keys(wanted: FetchedKeys, now: datetime) -> Config:
    """Where a key set is fetched from, or ParameterInvalid."""
    if not MIN_CACHE_SECONDS <= wanted.cache_seconds <= MAX_CACHE_SECONDS:
        raise ParameterInvalid(f"cache_duration is {MIN_CACHE_SECONDS} to {MAX_CACHE_SECONDS} seconds")
    try:
        outbound.check_url(wanted.url)
    except outbound.OutboundRefused as refused:
        raise ParameterInvalid(str(refused)) from None
    if len(wanted.authorities) > MAX_AUTHORITIES:
        raise ParameterInvalid(f"trust at most {MAX_AUTHORITIES} certificate authorities")
    authorities = [_text_of(_authority(each, now)) for each in wanted.authorities]
    fetched = {"kind": "fetched", "url": wanted.url, "cache_duration": wanted.cache_seconds}
    return fetched | ({"ca_certificates": authorities} if authorities else {})


def _stored(wanted: StoredKeys) -> dict[str, str]:
    if not 0 < len(wanted.keys) <= jwk.MAX_KEYS:
        raise ParameterInvalid(f"store 1 to {jwk.MAX_KEYS} keys")
    _names(wanted.keys, "key ids", jwk.MAX_KEYS)
    try:
        return {kid: _text_of(jwk.der_of(jwk.key_of_bytes(kid, key))) for kid, key in wanted.keys.items()}
    except jwk.KeyRejected as refused:
        raise ParameterInvalid(str(refused)) from None


# -- directories ---------------------------------------------------------------------------------------------------


def _directory(wanted: DirectoryLogin, account: UUID) -> Config:
    found = IdentityProvider.objects.filter(id=wanted.provider, account_id=account, kind=ProviderKind.LDAP)
    if not found.exists():
        raise ParameterInvalid("ldap names a directory (identity provider) of this account")
    return {"provider": str(wanted.provider)}
