"""Key material as numbers: reading what callers import, writing what the server may hold, naming public halves.

It must not know the token; it works on bytes that the process holds anyway.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature

from kms.hsm.errors import DataRejected, MechanismRefused
from kms.hsm.module import KeySpec

CURVES: dict[str, type[ec.EllipticCurve]] = {
    "NistP192": ec.SECP192R1,
    "NistP224": ec.SECP224R1,
    "NistP256": ec.SECP256R1,
    "NistP384": ec.SECP384R1,
    "NistP521": ec.SECP521R1,
    "SecP256K1": ec.SECP256K1,
}

HMAC_FLOOR_BYTES = 64
"""SoftHSM refuses an HMAC key shorter than its hash (at most 64 bytes, SHA-512)."""


SECRET_KINDS = ("AES", "DES3", "HMAC")
DES3_TWO_KEYS, DES3_THREE_KEYS, DES3_BYTES = 112, 168, 24
"""A TDEA key has three keys of 56 bits, written with a parity bit for every seven (SP 800-67 §3.1), or two: then the
first is written again as the third."""


def material_bytes(spec: KeySpec) -> int:
    """How long the value of a secret key of this shape is."""
    return DES3_BYTES if spec.kind == "DES3" else spec.size // 8


def check_spec(spec: KeySpec) -> None:
    """Refuse what no token of ours makes before any call reaches it."""
    if spec.kind == "AES" and spec.size in (128, 192, 256):
        return
    if spec.kind == "DES3" and spec.size in (DES3_TWO_KEYS, DES3_THREE_KEYS):
        return
    if spec.kind == "HMAC" and spec.size >= 8 and spec.size % 8 == 0:
        return
    if spec.kind == "RSA" and 1024 <= spec.size <= 8192 and spec.size % 8 == 0:
        if spec.public_exponent >= 3 and spec.public_exponent % 2:
            return
        raise MechanismRefused(f"RSA public exponent {spec.public_exponent}")
    if spec.kind == "EC":
        curve_of(spec)
        return
    raise MechanismRefused(f"{spec.kind} of {spec.size} bits")


def curve_of(spec: KeySpec) -> ec.EllipticCurve:
    try:
        return CURVES[spec.curve or ""]()
    except KeyError:
        raise MechanismRefused(f"curve {spec.curve}") from None


def padded_hmac_key(material: bytes) -> bytes:
    """Zero-padding to 64 bytes leaves every HMAC unchanged.

    RFC 2104 §2 pads a key with zeros to the hash's block, which is 64 bytes (SHA-1, SHA-224, SHA-256) or 128.
    """
    return material.ljust(HMAC_FLOOR_BYTES, b"\0")


@dataclass(frozen=True, slots=True, repr=False)
class RsaParts:
    """The eight numbers of RFC 8017 §3.2, each in as few big-endian bytes as it needs."""

    modulus: bytes
    public_exponent: bytes
    private_exponent: bytes
    prime_1: bytes
    prime_2: bytes
    exponent_1: bytes
    exponent_2: bytes
    coefficient: bytes

    def to_pkcs8(self) -> bytes:
        number = int.from_bytes
        key = rsa.RSAPrivateNumbers(
            p=number(self.prime_1, "big"),
            q=number(self.prime_2, "big"),
            d=number(self.private_exponent, "big"),
            dmp1=number(self.exponent_1, "big"),
            dmq1=number(self.exponent_2, "big"),
            iqmp=number(self.coefficient, "big"),
            public_numbers=rsa.RSAPublicNumbers(number(self.public_exponent, "big"), number(self.modulus, "big")),
        ).private_key(unsafe_skip_rsa_key_validation=True)  # the token made these numbers a moment ago
        return _pkcs8(key)


@dataclass(frozen=True, slots=True, repr=False)
class EcScalar:
    value: bytes

    def to_pkcs8(self, curve: ec.EllipticCurve) -> bytes:
        return _pkcs8(ec.derive_private_key(int.from_bytes(self.value, "big"), curve))


@dataclass(frozen=True, slots=True, repr=False)
class ParsedPrivateKey:
    parts: RsaParts | EcScalar
    public: bytes


def _pkcs8(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _bytes(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def parse_private_key(spec: KeySpec, der: bytes, *, authenticated: bool = False) -> ParsedPrivateKey:
    """PKCS#8, PKCS#1 or SEC1 DER. ``authenticated``: our own blob held it, so skip the slow RSA primality checks."""
    try:
        key = serialization.load_der_private_key(der, None, unsafe_skip_rsa_key_validation=authenticated)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # "from None": the parser's message may quote what it read.
        raise DataRejected("the private key is not valid PKCS#8, PKCS#1 or SEC1 DER") from None
    if spec.kind == "RSA" and isinstance(key, rsa.RSAPrivateKey):
        return _parsed_rsa(spec, key)
    if spec.kind == "EC" and isinstance(key, ec.EllipticCurvePrivateKey):
        return _parsed_ec(spec, key)
    raise DataRejected(f"the private key is not an {spec.kind} key")


def _parsed_rsa(spec: KeySpec, key: rsa.RSAPrivateKey) -> ParsedPrivateKey:
    if key.key_size != spec.size:
        raise DataRejected(f"the RSA key has {key.key_size} bits, not {spec.size}")
    n = key.private_numbers()
    values = (n.public_numbers.n, n.public_numbers.e, n.d, n.p, n.q, n.dmp1, n.dmq1, n.iqmp)
    return ParsedPrivateKey(RsaParts(*map(_bytes, values)), spki(key.public_key()))


def _parsed_ec(spec: KeySpec, key: ec.EllipticCurvePrivateKey) -> ParsedPrivateKey:
    wanted = curve_of(spec)
    if key.curve.name != wanted.name:
        raise DataRejected(f"the EC key is on {key.curve.name}, not {wanted.name}")
    width = (wanted.key_size + 7) // 8
    scalar = key.private_numbers().private_value.to_bytes(width, "big")
    return ParsedPrivateKey(EcScalar(scalar), spki(key.public_key()))


# -- public halves -------------------------------------------------------------------------------------------------


def spki(key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def rsa_public(modulus: bytes, exponent: bytes) -> rsa.RSAPublicKey:
    try:
        return rsa.RSAPublicNumbers(int.from_bytes(exponent, "big"), int.from_bytes(modulus, "big")).public_key()
    except ValueError:
        raise DataRejected("the RSA modulus or exponent is not valid") from None


def ec_public(curve: ec.EllipticCurve, point: bytes) -> ec.EllipticCurvePublicKey:
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(curve, point)
    except ValueError:
        raise DataRejected("the EC point is not on its curve") from None


def base_point(curve: ec.EllipticCurve) -> bytes:
    """The generator, uncompressed: it is the public key of the private key 1."""
    return (
        ec.derive_private_key(1, curve)
        .public_key()
        .public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    )


def rsa_verifies(public: rsa.RSAPublicKey, signature: bytes, digest: bytes) -> bool:
    try:
        public.verify(signature, digest, padding.PKCS1v15(), Prehashed(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def ec_verifies(public: ec.EllipticCurvePublicKey, signature: bytes, digest: bytes) -> bool:
    half = len(signature) // 2
    der = encode_dss_signature(int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big"))
    try:
        public.verify(der, digest, ec.ECDSA(Prehashed(hashes.SHA256())))
    except InvalidSignature:
        return False
    return True
