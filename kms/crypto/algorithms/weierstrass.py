"""ECDSA and ECDH over short Weierstrass curves: NIST's, secp256k1 and brainpool's (FIPS 186-5 §6, SEC 2, RFC 5639).

Signatures are DER (RFC 3279 §2.2.3) outside. The token holds NIST's curves and secp256k1, as far as it offers them;
the others are lent to `cryptography`.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from kms.crypto.algorithm import Key, LentKey, Message, SignatureParameters
from kms.crypto.asymmetric import PrivateKey, PublicKey, load_private, refuse_variant
from kms.crypto.curve_family import CurveFamily
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.crypto.operation import KeyOperation
from kms.hsm.module import Ecdsa
from kms.secret import SecretBytes

HASHES: dict[str, hashes.HashAlgorithm] = {
    "SHA1": hashes.SHA1(),  # noqa: S303 - old signatures are still verified
    "SHA224": hashes.SHA224(),
    "SHA256": hashes.SHA256(),
    "SHA384": hashes.SHA384(),
    "SHA512": hashes.SHA512(),
    "SHA3_224": hashes.SHA3_224(),
    "SHA3_256": hashes.SHA3_256(),
    "SHA3_384": hashes.SHA3_384(),
    "SHA3_512": hashes.SHA3_512(),
}
_CURVES: dict[str, ec.EllipticCurve] = {
    "NistP192": ec.SECP192R1(),
    "NistP224": ec.SECP224R1(),
    "NistP256": ec.SECP256R1(),
    "NistP384": ec.SECP384R1(),
    "NistP521": ec.SECP521R1(),
    "SecP256K1": ec.SECP256K1(),
    "BrainpoolP256R1": ec.BrainpoolP256R1(),
    "BrainpoolP384R1": ec.BrainpoolP384R1(),
    "BrainpoolP512R1": ec.BrainpoolP512R1(),
}
_NAMES = {curve.name: name for name, curve in _CURVES.items()}


class Weierstrass(CurveFamily):
    sizes = {name: curve.key_size for name, curve in _CURVES.items()}
    operations = frozenset({KeyOperation.SIGN, KeyOperation.VERIFY, KeyOperation.AGREE})

    def curve_of(self, public: PublicKey) -> str | None:
        return _NAMES.get(public.curve.name) if isinstance(public, ec.EllipticCurvePublicKey) else None

    def generate(self, curve: str) -> PrivateKey:
        return ec.generate_private_key(_CURVES[curve])

    def sign(self, key: Key, parameters: SignatureParameters, message: Message) -> bytes:
        digest, hash_algorithm = _digest(parameters, message)
        deterministic = bool(parameters.deterministic)
        if isinstance(key, LentKey):
            scheme = ec.ECDSA(Prehashed(hash_algorithm), deterministic_signing=deterministic)
            return _private(key).sign(digest, scheme)
        if deterministic:
            raise AlgorithmUnsupported(
                "the key is in the token, which signs with fresh randomness; RFC 6979 is for keys that can be exported"
            )
        raw = key.sign(Ecdsa(), digest)
        half = len(raw) // 2
        return encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))

    def verify(self, public: PublicKey, parameters: SignatureParameters, message: Message, signature: bytes) -> bool:
        digest, hash_algorithm = _digest(parameters, message)
        assert isinstance(public, ec.EllipticCurvePublicKey)
        try:
            public.verify(signature, digest, ec.ECDSA(Prehashed(hash_algorithm)))
        except InvalidSignature:
            return False
        return True

    def agree(self, key: Key, peer: PublicKey) -> SecretBytes:
        """Cofactor Diffie-Hellman (SP 800-56A §5.7.1.2): all these curves have cofactor 1.

        `cryptography` has seen to it that the peer's point is on the curve, when it loaded the key.
        """
        assert isinstance(peer, ec.EllipticCurvePublicKey)
        if isinstance(key, LentKey):
            return SecretBytes(_private(key).exchange(ec.ECDH(), peer))
        return key.agree(peer.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))


def _private(key: LentKey) -> ec.EllipticCurvePrivateKey:
    found = load_private(key.material)
    assert isinstance(found, ec.EllipticCurvePrivateKey)
    return found


def _digest(parameters: SignatureParameters, message: Message) -> tuple[bytes, hashes.HashAlgorithm]:
    refuse_variant(parameters, "an EC signature")
    if parameters.padding is not None:
        raise ParameterInvalid("an EC signature takes no mode")
    if parameters.hash is not None and parameters.hash not in HASHES:
        raise AlgorithmUnsupported(f"ECDSA with {parameters.hash} is not supported")
    return message.hashed(parameters.hash), HASHES[parameters.hash or ""]
