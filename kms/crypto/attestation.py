"""A statement about a key as an X.509 certificate: its public key, and in an extension what else is claimed of it.

It must not know rows, rights or the wire; the claims are given to it, and so is whoever signs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import cast

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key
from cryptography.x509.oid import NameOID

from kms.crypto.errors import AlgorithmUnsupported
from kms.crypto.operation import KeyOperation
from kms.hsm.token_signer import NO_END, TokenSigner

Claim = str | int | bool | list[str]

# Of a UUID of ours, 3aad17f2-0b01-408e-be05-5571597b5bcd, under the arc that is given to anyone for this. X.667's arc
# 2.25 takes a UUID as one number, and Go's crypto/x509 then refuses the whole certificate.
ARC = "1.2.840.113556.1.8000.2554.15021.6130.2817.16526.48645.5599577.8084429"
CLAIMS = x509.ObjectIdentifier(f"{ARC}.1")
# As an extended key usage it keeps the certificate from being taken for a server's or a client's.
PURPOSE = x509.ObjectIdentifier(f"{ARC}.2")
_UTF8_STRING = 0x0C


@dataclass(frozen=True, slots=True)
class Statement:
    """What is said: of which key, by which public key, when. ``public`` is a SubjectPublicKeyInfo (DER)."""

    subject: str
    public: bytes
    operations: frozenset[KeyOperation]
    claims: Mapping[str, Claim]
    at: datetime


def certified(statement: Statement, authority: bytes, sign_digest: Callable[[bytes], bytes]) -> bytes:
    """The statement (DER), issued by the authority whose certificate is given and whose key ``sign_digest`` uses."""
    issuer = x509.load_der_x509_certificate(authority)
    signer = issuer.public_key()
    assert isinstance(signer, ec.EllipticCurvePublicKey)
    public = _public_key(statement.public)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, statement.subject)])
    serial = x509.random_serial_number()
    builder = (
        x509.CertificateBuilder(issuer.subject, name, public, serial, statement.at, NO_END)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([PURPOSE]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.UnrecognizedExtension(CLAIMS, _encoded(statement.claims)), critical=False)
    )
    usage = _usage(statement.operations)
    if usage is not None:
        builder = builder.add_extension(usage, critical=True)
    return builder.sign(TokenSigner(signer, sign_digest), hashes.SHA256()).public_bytes(Encoding.DER)


def _public_key(der: bytes) -> CertificatePublicKeyTypes:
    try:
        public = cast(CertificatePublicKeyTypes, load_der_public_key(der))
        x509.CertificateBuilder().public_key(public)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise AlgorithmUnsupported("public keys of this kind are in no form that certificates carry") from None
    return public


def _encoded(claims: Mapping[str, Claim]) -> bytes:
    """JSON with sorted names in a DER UTF8String: an extension's value is DER (RFC 5280 §4.2)."""
    text = msgspec.json.encode(claims, order="sorted")
    length = len(text)
    if length < 0x80:
        return bytes([_UTF8_STRING, length]) + text
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([_UTF8_STRING, 0x80 | len(size)]) + size + text


_USAGES = {
    KeyOperation.SIGN: "digital_signature",
    KeyOperation.DECRYPT: "data_encipherment",
    KeyOperation.UNWRAP: "key_encipherment",
    KeyOperation.DECAPSULATE: "key_encipherment",
    KeyOperation.AGREE: "key_agreement",
}


def _usage(operations: frozenset[KeyOperation]) -> x509.KeyUsage | None:
    """RFC 5280 §4.2.1.3, or None: an extension without any bit is not allowed."""
    held = {_USAGES[operation] for operation in operations if operation in _USAGES}
    if not held:
        return None
    return x509.KeyUsage(
        digital_signature="digital_signature" in held,
        content_commitment=False,
        key_encipherment="key_encipherment" in held,
        data_encipherment="data_encipherment" in held,
        key_agreement="key_agreement" in held,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
