"""What an algorithm answers for. One file per algorithm stands beside this; the registry lists them.

An algorithm validates meaning (sizes, modes, IVs) and speaks to an opened key. It must not know rows, rights
or the wire.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kms.crypto import digest as hashing
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.crypto.operation import KeyOperation
from kms.crypto.options import KeyOptions, PaddingRule
from kms.hsm.module import KeySpec, OpenedKey, Usage
from kms.secret import SecretBytes

Random = Callable[[int], bytes]


@dataclass(frozen=True, slots=True, repr=False)
class LentKey:
    """Material that the token released for one call, because it does not offer what the call needs.

    The object says so (protection level "software"), and nothing keeps the bytes when the call is over.
    """

    spec: KeySpec
    material: SecretBytes


Key = OpenedKey | LentKey
"""A key in the token, or lent by it. An algorithm says which of the two it takes (``token_capable``)."""


def token_key(key: Key) -> OpenedKey:
    """The key of an algorithm that works in the token only."""
    assert not isinstance(key, LentKey)
    return key


def lent_key(key: Key) -> LentKey:
    """The key of an algorithm that works outside the token only."""
    assert isinstance(key, LentKey)
    return key


@dataclass(frozen=True, slots=True)
class CipherParameters:
    """``tag_bits`` for encryption, ``tag`` for decryption of an authenticated mode.

    ``padding`` (OAEP, PKCS1_V15, RAW_DECRYPT), ``mgf_hash`` and ``label`` are RSA's. ``masked`` hides parts of
    detokenised text.
    """

    mode: str | None = None
    iv: bytes | None = None
    aad: bytes | None = None
    tag_bits: int | None = None
    tag: bytes | None = None
    padding: str | None = None
    mgf_hash: str | None = None
    label: bytes | None = None
    masked: bool = False


@dataclass(frozen=True, slots=True)
class Encrypted:
    ciphertext: bytes
    iv: bytes | None = None
    tag: bytes | None = None


@dataclass(frozen=True, slots=True)
class SignatureParameters:
    """``padding`` is PKCS1_V15 or PSS for RSA, None elsewhere. A hash name is SHA1, SHA256, SHA3_256, ...

    ``variant`` (PURE, PRE_HASH, EXTERNAL_MU) and ``context`` are ML-DSA's (FIPS 204 §5). ``deterministic`` asks for a
    signature without fresh randomness (RFC 6979); None leaves it to the key.
    """

    hash: str | None = None
    padding: str | None = None
    mgf_hash: str | None = None
    variant: str | None = None
    context: bytes | None = None
    deterministic: bool | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """What is signed: ``data`` whole, or a ``digest`` that the caller made. Exactly one is set."""

    data: bytes | None = None
    digest: bytes | None = None

    def hashed(self, hash_name: str | None) -> bytes:
        """The digest by ``hash_name``: computed here, or the caller's, of the right length."""
        if hash_name is None:
            raise ParameterInvalid("hash_alg is needed")
        if (self.data is None) == (self.digest is None):
            raise ParameterInvalid("give either hash or data")
        if self.data is not None:
            return hashing.digest(hash_name, self.data)
        assert self.digest is not None
        hashing.check_digest(hash_name, self.digest)
        return self.digest

    def whole(self, scheme: str) -> bytes:
        """The data itself, for schemes that hash on their own."""
        if self.data is None or self.digest is not None:
            raise ParameterInvalid(f"{scheme} signs data, not a hash")
        return self.data


@dataclass(frozen=True, slots=True)
class Described:
    """What a piece of imported material turned out to be. ``attributes`` are public facts for the object to show."""

    spec: KeySpec
    material: SecretBytes
    public: bytes | None = None
    public_only: bool = False
    attributes: Mapping[str, Any] | None = None


class Algorithm:
    """A kind of security object. Subclasses override what their kind can do; the rest refuses.

    ``operations`` are the usages the kind can have at all, ``defaults`` what it gets when none are asked for,
    ``public_operations`` what a public key alone can have. ``token_capable`` says whether the algorithm works with a
    key in the token; whether the token in use offers the mechanisms is the token's to say.
    """

    kind: str
    operations: frozenset[KeyOperation] = frozenset()
    defaults: frozenset[KeyOperation] = frozenset()
    public_operations: frozenset[KeyOperation] = frozenset(
        {KeyOperation.VERIFY, KeyOperation.EXPORT, KeyOperation.APP_MANAGEABLE}
    )
    token_capable: bool = True
    asymmetric: bool = False
    check_values: bool = False

    def operations_of(self, spec: KeySpec) -> frozenset[KeyOperation]:
        """What a key of this shape can have at all; less than the kind's where curves or sizes differ."""
        return self.operations

    def generation_spec(self, *, size: int | None, curve: str | None, public_exponent: int | None) -> KeySpec:
        """The shape of a key to generate, or ParameterInvalid. ``curve`` may be a parameter set."""
        raise ParameterInvalid(f"{self.kind} objects cannot be generated, only imported")

    def generate_material(self, spec: KeySpec) -> SecretBytes:
        """A new key made in this process, for kinds that no token of ours makes. PKCS#8 DER when asymmetric."""
        raise AlgorithmUnsupported(f"the cryptographic module makes no {self.kind} key of this shape")

    def describe(self, material: SecretBytes, *, size: int | None, curve: str | None) -> Described:
        """Parse and check imported material."""
        raise AlgorithmUnsupported(f"{self.kind} objects cannot be imported")

    def public_of(self, material: SecretBytes) -> bytes | None:
        """SubjectPublicKeyInfo (DER) of private material that the server holds."""
        return None

    def possible_operations(self, options: KeyOptions, *, public_only: bool = False) -> frozenset[KeyOperation]:
        """What an object with these options can be used for."""
        return self.operations & self.public_operations if public_only else self.operations

    def check_options(self, options: KeyOptions, spec: KeySpec) -> None:
        """Refuse options that make no sense for the kind. The base takes none but those of any kind."""
        options.refuse_specific(self.kind)

    def padding_of(self, parameters: CipherParameters | SignatureParameters, options: KeyOptions) -> PaddingRule | None:
        """The padding that such a call comes to under these options; None for kinds that do not pad."""
        return None

    def cipher_usage(self, parameters: CipherParameters, options: KeyOptions) -> Usage:
        """What a key is opened for that encrypts or decrypts so."""
        return Usage.ENCRYPT | Usage.DECRYPT

    def encrypt(
        self, key: Key, parameters: CipherParameters, plaintext: bytes, random: Random, *, options: KeyOptions
    ) -> Encrypted:
        raise AlgorithmUnsupported(f"{self.kind} objects cannot encrypt")

    def decrypt(self, key: Key, parameters: CipherParameters, ciphertext: bytes, *, options: KeyOptions) -> bytes:
        raise AlgorithmUnsupported(f"{self.kind} objects cannot decrypt")

    def public_encrypt(
        self, public: bytes, parameters: CipherParameters, plaintext: bytes, *, options: KeyOptions
    ) -> Encrypted:
        """Encryption under a public key (SubjectPublicKeyInfo, DER), which needs no token."""
        raise AlgorithmUnsupported(f"{self.kind} objects cannot encrypt")

    def sign_needs_material(self, parameters: SignatureParameters) -> bool:
        """Whether such a signature is made outside the token only, so that a key that may be lent should be."""
        return False

    def sign(self, key: Key, parameters: SignatureParameters, message: Message, *, options: KeyOptions) -> bytes:
        raise AlgorithmUnsupported(f"{self.kind} objects cannot sign")

    def verify(
        self,
        public: bytes,
        parameters: SignatureParameters,
        message: Message,
        signature: bytes,
        *,
        options: KeyOptions,
    ) -> bool:
        raise AlgorithmUnsupported(f"{self.kind} objects cannot verify signatures")

    def mac(self, key: Key, hash_name: str | None, data: bytes) -> bytes:
        """HMAC by ``hash_name``, or CMAC when the key is a block cipher's and no hash is named."""
        raise AlgorithmUnsupported(f"{self.kind} objects cannot make message authentication codes")

    def mac_needs_material(self, hash_name: str | None) -> bool:
        """Whether such a MAC is made outside the token only, so that a key that may be lent should be."""
        return False

    def check_value(self, key: Key, *, cmac: bool) -> bytes:
        """The first 3 bytes of an encrypted block of zeros, or of its CMAC (ANSI X9.24-1)."""
        raise AlgorithmUnsupported(f"{self.kind} objects have no key check value")

    def agree(self, key: Key, peer: bytes) -> SecretBytes:
        """The raw shared secret with a peer's public key (SubjectPublicKeyInfo, DER) of the same parameters."""
        raise AlgorithmUnsupported(f"{self.kind} objects cannot agree on keys")

    def encapsulate(self, public: bytes) -> tuple[SecretBytes, bytes]:
        """A fresh shared secret and its ciphertext under a public key (FIPS 203 §7.2)."""
        raise AlgorithmUnsupported(f"{self.kind} objects cannot encapsulate keys")

    def decapsulate(self, key: Key, ciphertext: bytes) -> SecretBytes:
        raise AlgorithmUnsupported(f"{self.kind} objects cannot decapsulate keys")
