"""Loading and writing of asymmetric keys in DER, with `cryptography`. It keeps nothing and decides nothing."""

from __future__ import annotations

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
)

from kms.crypto.algorithm import Described
from kms.crypto.errors import ParameterInvalid
from kms.hsm.module import KeySpec
from kms.secret import SecretBytes

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey


def load_private(material: SecretBytes) -> PrivateKey | None:
    """A PKCS#8, PKCS#1 or SEC 1 private key; None when the bytes are not one. An inconsistent key is refused."""
    try:
        key = load_der_private_key(material.reveal(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, PrivateKey) else None


def load_public(der: bytes) -> PublicKey:
    """A SubjectPublicKeyInfo or PKCS#1 public key."""
    try:
        key = load_der_public_key(der)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ParameterInvalid("the value is not a DER-encoded RSA or EC key") from None
    if not isinstance(key, PublicKey):
        raise ParameterInvalid("the value is not an RSA or EC key")
    return key


def public_der(key: PublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def private_der(key: PrivateKey) -> SecretBytes:
    """PKCS#8, the one form that is kept."""
    return SecretBytes(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))


def traditional_der(material: SecretBytes) -> SecretBytes:
    """A kept private key as PKCS#1 (RFC 8017 A.1.2) or SEC 1 (RFC 5915); bytes that are no private key as they are."""
    key = load_private(material)
    if key is None:
        return material
    return SecretBytes(key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()))


def described(spec: KeySpec, key: PrivateKey | None, public: PublicKey) -> Described:
    """An imported pair, or a public key alone (which is its own material: there is nothing to hide)."""
    spki = public_der(public)
    return Described(spec, SecretBytes(spki) if key is None else private_der(key), spki, public_only=key is None)
