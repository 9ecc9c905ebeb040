"""ECDSA over the NIST curves and secp256k1 (FIPS 186-5 §6, SEC 2). Signatures are DER (RFC 3279 §2.2.3) outside."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature

from kms.crypto.algorithm import Described, Key, Message, SignatureParameters, token_key
from kms.crypto.asymmetric import KeyPairs, described, load_either, load_public, refuse_variant
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.crypto.operation import MANAGEMENT, KeyOperation
from kms.crypto.options import KeyOptions
from kms.hsm.module import Ecdsa, KeySpec
from kms.secret import SecretBytes

# Curve -> its size in bits.
CURVES = {
    "NistP192": 192,
    "NistP224": 224,
    "NistP256": 256,
    "NistP384": 384,
    "NistP521": 521,
    "SecP256K1": 256,
}
_NAMES = {
    "secp192r1": "NistP192",
    "secp224r1": "NistP224",
    "secp256r1": "NistP256",
    "secp384r1": "NistP384",
    "secp521r1": "NistP521",
    "secp256k1": "SecP256K1",
}
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


class EllipticCurve(KeyPairs):
    kind = "EC"
    operations = MANAGEMENT | {KeyOperation.SIGN, KeyOperation.VERIFY, KeyOperation.AGREE}
    defaults = frozenset({KeyOperation.SIGN, KeyOperation.VERIFY, KeyOperation.AGREE, KeyOperation.APP_MANAGEABLE})

    def generation_spec(self, *, size: int | None, curve: str | None, public_exponent: int | None) -> KeySpec:
        if curve is None:
            raise ParameterInvalid(f"an EC key needs elliptic_curve: one of {', '.join(CURVES)}")
        if curve not in CURVES:
            raise AlgorithmUnsupported(f"the curve {curve} is not supported; use one of {', '.join(CURVES)}")
        if size is not None and size != CURVES[curve]:
            raise ParameterInvalid(f"the curve {curve} has {CURVES[curve]} bits, not {size}")
        return KeySpec(self.kind, CURVES[curve], curve)

    def describe(self, material: SecretBytes, *, size: int | None, curve: str | None) -> Described:
        key, public = load_either(material)
        if not isinstance(public, ec.EllipticCurvePublicKey):
            raise ParameterInvalid("the value is not an EC key")
        name = _NAMES.get(public.curve.name)
        if name is None:
            raise AlgorithmUnsupported(f"the curve {public.curve.name} is not supported")
        if curve is not None and curve != name:
            raise ParameterInvalid(f"elliptic_curve is {curve}, but the key is on {name}")
        return described(KeySpec(self.kind, CURVES[name], name), key, public)

    def sign(self, key: Key, parameters: SignatureParameters, message: Message, *, options: KeyOptions) -> bytes:
        raw = token_key(key).sign(Ecdsa(), _digest(parameters, message))
        half = len(raw) // 2
        return encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))

    def verify(
        self,
        public: bytes,
        parameters: SignatureParameters,
        message: Message,
        signature: bytes,
        *,
        options: KeyOptions,
    ) -> bool:
        digest = _digest(parameters, message)
        key = load_public(public)
        assert isinstance(key, ec.EllipticCurvePublicKey)
        try:
            key.verify(signature, digest, ec.ECDSA(Prehashed(HASHES[parameters.hash or ""])))
        except InvalidSignature:
            return False
        return True


def _digest(parameters: SignatureParameters, message: Message) -> bytes:
    refuse_variant(parameters, "an EC signature")
    if parameters.padding is not None:
        raise ParameterInvalid("an EC signature takes no mode")
    if parameters.hash is not None and parameters.hash not in HASHES:
        raise AlgorithmUnsupported(f"ECDSA with {parameters.hash} is not supported")
    return message.hashed(parameters.hash)
