"""RSA signatures (RFC 8017): PKCS#1 v1.5 and PSS over a digest."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from kms.crypto.algorithm import Algorithm, Described, Key, Message, SignatureParameters, token_key
from kms.crypto.asymmetric import described, load_private, load_public, public_der
from kms.crypto.digest import digest_size
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.crypto.operation import MANAGEMENT, KeyOperation
from kms.crypto.options import KeyOptions
from kms.hsm.module import KeySpec, RsaPkcs1v15, RsaPss, SignMechanism
from kms.secret import SecretBytes

# SP 800-131A rev 2 §3: generate from 2048 bits; older keys are imported to verify and decrypt what exists.
MIN_GENERATED, MIN_IMPORTED, MAX_BITS = 2048, 1024, 8192
HASHES: dict[str, hashes.HashAlgorithm] = {
    "SHA1": hashes.SHA1(),  # noqa: S303 - verification of old signatures; the token refuses nothing here either
    "SHA224": hashes.SHA224(),
    "SHA256": hashes.SHA256(),
    "SHA384": hashes.SHA384(),
    "SHA512": hashes.SHA512(),
}


class Rsa(Algorithm):
    kind = "RSA"
    asymmetric = True
    operations = MANAGEMENT | {
        KeyOperation.SIGN,
        KeyOperation.VERIFY,
        KeyOperation.ENCRYPT,
        KeyOperation.DECRYPT,
        KeyOperation.WRAP,
        KeyOperation.UNWRAP,
    }
    defaults = frozenset(operations - {KeyOperation.EXPORT, KeyOperation.HIGH_VOLUME})

    def generation_spec(self, *, size: int | None, curve: str | None, public_exponent: int | None) -> KeySpec:
        if size is None:
            raise ParameterInvalid("an RSA key needs key_size: 2048 to 8192")
        if size % 256 or not MIN_GENERATED <= size <= MAX_BITS:
            raise ParameterInvalid(f"an RSA key is generated with 2048 to 8192 bits in steps of 256, not {size}")
        exponent = public_exponent if public_exponent is not None else 65537
        # FIPS 186-5 §A.1.1: odd, above 2^16, below 2^256.
        if exponent % 2 == 0 or not 2**16 < exponent < 2**32:
            raise ParameterInvalid(f"an RSA public exponent is odd and from 65537 to 2^32, not {exponent}")
        return KeySpec(self.kind, size, public_exponent=exponent)

    def describe(self, material: SecretBytes, *, size: int | None, curve: str | None) -> Described:
        key = load_private(material)
        public = load_public(material.reveal()) if key is None else key.public_key()
        if not isinstance(public, rsa.RSAPublicKey):
            raise ParameterInvalid("the value is not an RSA key")
        if not MIN_IMPORTED <= public.key_size <= MAX_BITS:
            raise ParameterInvalid(f"an RSA key has {MIN_IMPORTED} to {MAX_BITS} bits, not {public.key_size}")
        if public.key_size % 8:
            raise AlgorithmUnsupported(f"an RSA key of {public.key_size} bits is no whole number of bytes wide")
        if size is not None and size != public.key_size:
            raise ParameterInvalid(f"key_size is {size}, but the key has {public.key_size} bits")
        spec = KeySpec(self.kind, public.key_size, public_exponent=public.public_numbers().e)
        return described(spec, key, public)

    def public_of(self, material: SecretBytes) -> bytes | None:
        key = load_private(material)
        return None if key is None else public_der(key.public_key())

    def sign(self, key: Key, parameters: SignatureParameters, message: Message, *, options: KeyOptions) -> bytes:
        mechanism = _mechanism(parameters)
        return token_key(key).sign(mechanism, message.hashed(mechanism.hash))

    def verify(
        self,
        public: bytes,
        parameters: SignatureParameters,
        message: Message,
        signature: bytes,
        *,
        options: KeyOptions,
    ) -> bool:
        mechanism = _mechanism(parameters)
        digest = message.hashed(mechanism.hash)
        key = load_public(public)
        assert isinstance(key, rsa.RSAPublicKey)
        try:
            key.verify(signature, digest, _padding(mechanism), Prehashed(HASHES[mechanism.hash]))
        except InvalidSignature:
            return False
        return True


def _mechanism(parameters: SignatureParameters) -> RsaPkcs1v15 | RsaPss:
    if parameters.hash is None:
        raise ParameterInvalid("hash_alg is needed")
    if parameters.hash not in HASHES:
        raise AlgorithmUnsupported(f"RSA signatures with {parameters.hash} are not supported")
    if parameters.padding in (None, "PKCS1_V15"):
        return RsaPkcs1v15(parameters.hash)
    mgf_hash = parameters.mgf_hash or parameters.hash
    if mgf_hash not in HASHES:
        raise AlgorithmUnsupported(f"PSS with MGF1 over {mgf_hash} is not supported")
    return RsaPss(parameters.hash, mgf_hash, digest_size(parameters.hash))


def _padding(mechanism: SignMechanism) -> padding.PKCS1v15 | padding.PSS:
    if isinstance(mechanism, RsaPss):
        return padding.PSS(padding.MGF1(HASHES[mechanism.mgf_hash]), mechanism.salt_length)
    return padding.PKCS1v15()
