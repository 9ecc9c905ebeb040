"""An authority and the certificate under it, and when the next ones are due. Pure but for time and randomness.

An authority is exchanged in three steps, so that no API server ever meets a certificate that it does not trust yet:
the next one is announced beside the one in use; after a while it signs; the one before it stays trusted to its end.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_SKEW = datetime.timedelta(minutes=5)
_RENEWED_AT = 2 / 3

# The members of the Secret.
CA, CA_KEY, NEXT, NEXT_KEY, PREVIOUS = "ca.crt", "ca.key", "next-ca.crt", "next-ca.key", "previous-ca.crt"
LEAF, LEAF_KEY = "tls.crt", "tls.key"

Kept = Mapping[str, bytes]


@dataclass(frozen=True)
class Lifetimes:
    ca: datetime.timedelta
    leaf: datetime.timedelta
    overlap: datetime.timedelta


def advanced(kept: Kept, names: Sequence[str], lifetimes: Lifetimes, now: datetime.datetime) -> dict[str, bytes]:
    """What is to be kept from now on; equal to ``kept`` if nothing is due. What can't be read is made anew."""
    state = dict(kept) if _usable(kept, now) else _authority(CA, CA_KEY, lifetimes.ca, now)
    if NEXT not in state and _due(_read(state[CA]), now):
        state |= _authority(NEXT, NEXT_KEY, lifetimes.ca, now)
    if NEXT in state and now >= _made(_read(state[NEXT])) + lifetimes.overlap:
        state |= {PREVIOUS: state[CA], CA: state.pop(NEXT), CA_KEY: state.pop(NEXT_KEY)}
        state.pop(LEAF, None)
    if PREVIOUS in state and now >= _read(state[PREVIOUS]).not_valid_after_utc:
        del state[PREVIOUS]
    if LEAF not in state or _stale(state, names, now):
        state |= _leaf(state, names, lifetimes.leaf, now)
    return state


def bundle(kept: Kept) -> bytes:
    """Whom the API server is to trust."""
    return b"".join(kept[name] for name in (CA, NEXT, PREVIOUS) if name in kept)


def _usable(kept: Kept, now: datetime.datetime) -> bool:
    try:
        for certificate, key in ((CA, CA_KEY), (NEXT, NEXT_KEY), (LEAF, LEAF_KEY)):
            if (certificate in kept or certificate == CA) and not _match(kept[certificate], kept[key]):
                return False
        if PREVIOUS in kept:
            _read(kept[PREVIOUS])
    except (KeyError, ValueError, TypeError):
        return False
    return now < _read(kept[CA]).not_valid_after_utc


def _match(certificate: bytes, key: bytes) -> bool:
    return _read(certificate).public_key() == load_pem_private_key(key, None).public_key()


def _stale(state: Kept, names: Sequence[str], now: datetime.datetime) -> bool:
    leaf, ca = _read(state[LEAF]), _read(state[CA])
    try:
        leaf.verify_directly_issued_by(ca)
        found = set(leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except Exception:  # whatever is wrong with it, another is made
        return True
    return found != set(map(_general_name, names)) or _due(leaf, now)


def _due(certificate: x509.Certificate, now: datetime.datetime) -> bool:
    made, end = _made(certificate), certificate.not_valid_after_utc
    return now >= made + _RENEWED_AT * (end - made)


def _made(certificate: x509.Certificate) -> datetime.datetime:
    return certificate.not_valid_before_utc + _SKEW


def _read(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem)


def _authority(certificate: str, key_name: str, life: datetime.timedelta, now: datetime.datetime) -> dict[str, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    # Each has a name of its own: with one name for two keys the verifier would have to try.
    subject = _name(f"Keystead webhook {x509.random_serial_number():x}"[:60])
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    built = (
        _builder(subject, subject, key, life, now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return {certificate: built.public_bytes(Encoding.PEM), key_name: _pem(key)}


def _leaf(state: Kept, names: Sequence[str], life: datetime.timedelta, now: datetime.datetime) -> dict[str, bytes]:
    ca, ca_key = _read(state[CA]), load_pem_private_key(state[CA_KEY], None)
    assert isinstance(ca_key, ec.EllipticCurvePrivateKey), "it is ours"
    key = ec.generate_private_key(ec.SECP256R1())
    life = min(life, ca.not_valid_after_utc - now)
    built = (
        _builder(_name(names[0][:60]), ca.subject, key, life, now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(list(map(_general_name, names))), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    return {LEAF: built.public_bytes(Encoding.PEM), LEAF_KEY: _pem(key)}


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    life: datetime.timedelta,
    now: datetime.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + life)
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
