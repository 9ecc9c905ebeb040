"""Loading and writing of asymmetric keys in DER, with `cryptography`. It keeps nothing and decides nothing."""

from __future__ import annotations

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, mldsa, mlkem, rsa, x448, x25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
)

from kms.crypto.algorithm import Algorithm, Described, SignatureParameters
from kms.crypto.errors import ParameterInvalid
from kms.hsm.module import KeySpec
from kms.secret import SecretBytes

PrivateKey = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
    | x25519.X25519PrivateKey
    | x448.X448PrivateKey
    | dsa.DSAPrivateKey
    | mldsa.MLDSA44PrivateKey
    | mldsa.MLDSA65PrivateKey
    | mldsa.MLDSA87PrivateKey
    | mlkem.MLKEM768PrivateKey
    | mlkem.MLKEM1024PrivateKey
)
PublicKey = (
    rsa.RSAPublicKey
    | ec.EllipticCurvePublicKey
    | ed25519.Ed25519PublicKey
    | ed448.Ed448PublicKey
    | x25519.X25519PublicKey
    | x448.X448PublicKey
    | dsa.DSAPublicKey
    | mldsa.MLDSA44PublicKey
    | mldsa.MLDSA65PublicKey
    | mldsa.MLDSA87PublicKey
    | mlkem.MLKEM768PublicKey
    | mlkem.MLKEM1024PublicKey
)
# Of kinds that have a parameter set: a spec says so, and a rotated key asks its successor to be the same.
NO_SIZE = 0


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
        raise ParameterInvalid("the value is not a DER-encoded key of a supported kind") from None
    if not isinstance(key, PublicKey):
        raise ParameterInvalid("the value is not a key of a supported kind")
    return key


def load_either(material: SecretBytes) -> tuple[PrivateKey | None, PublicKey]:
    """A private key with its public half, or a public key alone."""
    key = load_private(material)
    return (None, load_public(material.reveal())) if key is None else (key, key.public_key())


def public_der(key: PublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def private_der(key: PrivateKey) -> SecretBytes:
    """PKCS#8, the one form that is kept."""
    return SecretBytes(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))


def traditional_der(material: SecretBytes) -> SecretBytes:
    """A kept private key as PKCS#1 (RFC 8017 A.1.2) or SEC 1 (RFC 5915); what has neither form comes as it is."""
    key = load_private(material)
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        return material
    return SecretBytes(key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()))


def described(spec: KeySpec, key: PrivateKey | None, public: PublicKey) -> Described:
    """An imported pair, or a public key alone (which is its own material: there is nothing to hide)."""
    spki = public_der(public)
    return Described(spec, SecretBytes(spki) if key is None else private_der(key), spki, public_only=key is None)


def refuse_variant(parameters: SignatureParameters, scheme: str) -> None:
    """ML-DSA's parameters mean nothing elsewhere; ignoring a context would lose a domain separation."""
    for name, value in (("variant", parameters.variant), ("context", parameters.context)):
        if value is not None:
            raise ParameterInvalid(f"{scheme} takes no {name}")


class KeyPairs(Algorithm):
    """What every kind with a public half has in common."""

    asymmetric = True

    def public_of(self, material: SecretBytes) -> bytes | None:
        key = load_private(material)
        return None if key is None else public_der(key.public_key())
