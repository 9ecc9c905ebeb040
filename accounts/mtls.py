"""Whether a client's certificate is one that an app trusts: pinned itself, or issued by the app's own authority.

TLS has proven that the caller has the leaf's key. That TLS trusted it counts for nothing here: there the authorities of
all apps are together. It must not know HTTP, sessions or the database; revocation is judged elsewhere.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import ExtensionPolicy, PolicyBuilder, Store, VerificationError

from accounts import subjects
from accounts.certificates import PresentedCertificate
from accounts.errors import NotAuthenticated
from accounts.models import CredentialKind

MAX_INTERMEDIATES = 8
MAX_DEPTH = 4  # authorities between the leaf and the app's own
MIN_RSA_BITS = 2048  # SP 800-57 part 1 §5.6.1: 112 bits of strength

# What the verifier enforces of name constraints (RFC 5280 §4.2.1.10); it passes over other kinds where not critical.
_CONSTRAINED = (x509.DNSName, x509.IPAddress, x509.RFC822Name)

Chain = tuple[x509.Certificate, ...]


@dataclass(frozen=True, slots=True)
class Verified:
    """The leaf first, the app's authority last; a pinned certificate is alone. Good until the first of them ends."""

    chain: Chain
    ends_at: datetime


def verify(presented: PresentedCertificate, kind: str, config: Mapping[str, Any], now: datetime) -> Verified:
    """The chain by which a credential of this kind accepts the certificate; raises NotAuthenticated."""
    leaf = _parsed(presented.leaf)
    _refuse_unusable(leaf, now)
    if kind == CredentialKind.CERTIFICATE:
        if presented.leaf != _decoded(config.get("certificate", "")):
            raise NotAuthenticated("certificate-not-pinned")
        return Verified((leaf,), leaf.not_valid_after_utc)
    if kind != CredentialKind.TRUSTED_CA:
        raise NotAuthenticated("no-certificate-credential")
    chain = _chain(leaf, presented.others, config, now)
    _refuse_issuer_as_leaf(leaf)
    if not subjects.match(leaf, config.get("subjects") or ()):
        raise NotAuthenticated("certificate-subject-differs")
    return Verified(chain, min(certificate.not_valid_after_utc for certificate in chain))


def _parsed(der: bytes) -> x509.Certificate:
    try:
        certificate = x509.load_der_x509_certificate(der)
        # Names and extensions are parsed when they are asked for; nothing below may stumble over them.
        _ = certificate.subject, certificate.issuer, certificate.extensions, certificate.not_valid_after_utc
    except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise NotAuthenticated("certificate-malformed") from None
    return certificate


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise NotAuthenticated("credential-unreadable") from None


# -- the leaf ------------------------------------------------------------------------------------------------------


def _refuse_unusable(leaf: x509.Certificate, now: datetime) -> None:
    """Not in time, too weak a key, or made for something else than a TLS client (RFC 5280 §4.2.1.3 and §4.2.1.12).

    A certificate without key usages is for any: what authorities of one's own mostly issue. Among those that are named
    client authentication must be; "any" beside others does not stand for it, as §4.2.1.12 lets us ask.
    """
    if now < leaf.not_valid_before_utc:
        raise NotAuthenticated("certificate-not-yet-valid")
    if now >= leaf.not_valid_after_utc:
        raise NotAuthenticated("certificate-expired")
    if not _strong(leaf):
        raise NotAuthenticated("certificate-key-weak")
    usage = _extension(leaf, x509.KeyUsage)
    if usage is not None and not usage.digital_signature:
        raise NotAuthenticated("certificate-usage-wrong")
    extended = _extension(leaf, x509.ExtendedKeyUsage)
    if extended is not None and ExtendedKeyUsageOID.CLIENT_AUTH not in extended:
        raise NotAuthenticated("certificate-usage-wrong")


def _strong(leaf: x509.Certificate) -> bool:
    try:
        key = leaf.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return False
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size >= MIN_RSA_BITS
    if isinstance(key, ec.EllipticCurvePublicKey):
        return isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1 | ec.SECP521R1)
    return isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey)


def _refuse_issuer_as_leaf(leaf: x509.Certificate) -> None:
    """An authority does not log in: its key is kept elsewhere, or something is wrong."""
    constraints = _extension(leaf, x509.BasicConstraints)
    if constraints is not None and constraints.ca:
        raise NotAuthenticated("certificate-is-an-authority")


def _extension(certificate: x509.Certificate, kind: type[Any]) -> Any:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


# -- the chain -----------------------------------------------------------------------------------------------------


def _chain(leaf: x509.Certificate, others: Sequence[bytes], config: Mapping[str, Any], now: datetime) -> Chain:
    """From the leaf to one of the app's authorities (RFC 5280 §6), by whatever intermediates came along.

    The rules for authorities are those of the web's (CA/B BR §7.1: basic constraints, key usage, SHA-2, 2048 bits). A
    client needs no alternative name, so the leaf's extensions are judged here.
    """
    if len(others) > MAX_INTERMEDIATES:
        raise NotAuthenticated("certificate-chain-too-long")
    builder = PolicyBuilder().store(_store(tuple(config.get("ca_certificates") or ()))).time(now)
    builder = builder.max_chain_depth(MAX_DEPTH).extension_policies(
        ca_policy=ExtensionPolicy.webpki_defaults_ca(), ee_policy=ExtensionPolicy.permit_all()
    )
    intermediates = [_parsed(other) for other in others]
    try:
        chain = tuple(builder.build_client_verifier().verify(leaf, intermediates).chain)
    except VerificationError:
        raise NotAuthenticated("certificate-not-trusted") from None
    if any(_unenforced(kind) for certificate in chain[1:] for kind in _constraints(certificate)):
        raise NotAuthenticated("certificate-constraints-unsupported")
    return chain


@lru_cache(maxsize=256)
def _store(encoded: tuple[str, ...]) -> Store:
    if not encoded:
        raise NotAuthenticated("credential-unreadable")
    return Store([_parsed(_decoded(text)) for text in encoded])


def _constraints(certificate: x509.Certificate) -> Iterable[x509.GeneralName]:
    found = _extension(certificate, x509.NameConstraints)
    return () if found is None else (*(found.permitted_subtrees or ()), *(found.excluded_subtrees or ()))


def _unenforced(constraint: x509.GeneralName) -> bool:
    return not isinstance(constraint, _CONSTRAINED)
