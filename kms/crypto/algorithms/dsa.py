"""DSA (FIPS 186-4): what DSM offers of it, for those who still have such keys. FIPS 186-5 withdrew it for new ones.

SoftHSM has DSA, other tokens have dropped it, and parameters take seconds to make wherever it is done: the material is
lent to `cryptography`. A spec's ``curve`` is the size of the subgroup in bits.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from kms.crypto.algorithm import Described, Key, Message, SignatureParameters, lent_key
from kms.crypto.algorithms.weierstrass import HASHES
from kms.crypto.asymmetric import (
    KeyPairs,
    described,
    load_either,
    load_private,
    load_public,
    private_der,
    refuse_variant,
)
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.crypto.operation import MANAGEMENT, KeyOperation
from kms.crypto.options import KeyOptions
from kms.hsm.module import KeySpec
from kms.secret import SecretBytes

# FIPS 186-4 §4.2: sizes of the modulus and the subgroup. The first is SP 800-131A's legacy use: verification only.
_LEGACY = (1024, 160)
SIZES = (_LEGACY, (2048, 224), (2048, 256), (3072, 256))
# What `cryptography` makes parameters for.
GENERATED = ((2048, 256), (3072, 256))


class Dsa(KeyPairs):
    kind = "DSA"
    token_capable = False
    operations = MANAGEMENT | {KeyOperation.SIGN, KeyOperation.VERIFY}
    defaults = frozenset({KeyOperation.SIGN, KeyOperation.VERIFY, KeyOperation.APP_MANAGEABLE})

    def operations_of(self, spec: KeySpec) -> frozenset[KeyOperation]:
        return self.operations - {KeyOperation.SIGN} if spec.size == _LEGACY[0] else self.operations

    def generation_spec(self, *, size: int | None, curve: str | None, public_exponent: int | None) -> KeySpec:
        if size is None:
            raise ParameterInvalid("a DSA key needs key_size: 2048 or 3072")
        if size not in (2048, 3072):
            raise ParameterInvalid(f"a DSA key is generated with 2048 or 3072 bits, not {size}")
        if curve not in (None, "224", "256") or (size, curve) == (3072, "224"):
            raise ParameterInvalid(f"the subgroup of a DSA key of {size} bits has 256 bits, not {curve}")
        if curve == "224":
            raise AlgorithmUnsupported("the library makes no DSA subgroup of 224 bits; such keys are imported")
        return KeySpec(self.kind, size, curve or "256")

    def generate_material(self, spec: KeySpec) -> SecretBytes:
        return private_der(dsa.generate_private_key(spec.size))

    def describe(self, material: SecretBytes, *, size: int | None, curve: str | None) -> Described:
        key, public = load_either(material)
        if not isinstance(public, dsa.DSAPublicKey):
            raise ParameterInvalid("the value is not a DSA key")
        subgroup = _checked_subgroup(public)
        if size is not None and size != public.key_size:
            raise ParameterInvalid(f"key_size is {size}, but the key has {public.key_size} bits")
        if curve is not None and curve != str(subgroup):
            raise ParameterInvalid(f"subgroup_size is {curve}, but the key's subgroup has {subgroup} bits")
        return described(KeySpec(self.kind, public.key_size, str(subgroup)), key, public)

    def sign(self, key: Key, parameters: SignatureParameters, message: Message, *, options: KeyOptions) -> bytes:
        if parameters.deterministic:
            raise AlgorithmUnsupported("the library signs with DSA by fresh randomness only")
        digest, hash_algorithm = _digest(parameters, message)
        private = load_private(lent_key(key).material)
        assert isinstance(private, dsa.DSAPrivateKey)
        return private.sign(digest, Prehashed(hash_algorithm))

    def verify(
        self,
        public: bytes,
        parameters: SignatureParameters,
        message: Message,
        signature: bytes,
        *,
        options: KeyOptions,
    ) -> bool:
        digest, hash_algorithm = _digest(parameters, message)
        key = load_public(public)
        assert isinstance(key, dsa.DSAPublicKey)
        try:
            key.verify(signature, digest, Prehashed(hash_algorithm))
        except InvalidSignature:
            return False
        return True


def _checked_subgroup(public: dsa.DSAPublicKey) -> int:
    """The subgroup's bits, if generator and key lie in it (SP 800-56A §5.6.2.3.1).

    That p and q are prime is not tested: a key with others than primes weakens no one but its owner.
    """
    numbers = public.public_numbers()
    domain = numbers.parameter_numbers
    p, q, g, y = domain.p, domain.q, domain.g, numbers.y
    found = (p.bit_length(), q.bit_length())
    if found not in SIZES:
        sizes = ", ".join(f"{size} with {subgroup}" for size, subgroup in SIZES)
        raise ParameterInvalid(
            f"a DSA key has one of these sizes with its subgroup's: {sizes}; not {found[0]} with {found[1]}"
        )
    in_group = all(1 < element < p - 1 and pow(element, q, p) == 1 for element in (g, y))
    if (p - 1) % q or not in_group:
        raise ParameterInvalid("the DSA key does not lie in the subgroup of its parameters")
    return found[1]


def _digest(parameters: SignatureParameters, message: Message) -> tuple[bytes, hashes.HashAlgorithm]:
    """The digest's leftmost bits are signed, as many as the subgroup has (FIPS 186-4 §4.6)."""
    refuse_variant(parameters, "a DSA signature")
    if parameters.padding is not None:
        raise ParameterInvalid("a DSA signature takes no mode")
    if parameters.hash is not None and parameters.hash not in HASHES:
        raise AlgorithmUnsupported(f"DSA with {parameters.hash} is not supported")
    return message.hashed(parameters.hash), HASHES[parameters.hash or ""]
