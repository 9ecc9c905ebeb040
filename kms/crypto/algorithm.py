"""What an algorithm answers for. One file per algorithm stands beside this; the registry lists them.

An algorithm validates meaning (sizes, modes, IVs) and speaks to an opened key. It must not know rows, rights
or the wire.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.crypto.operation import KeyOperation
from kms.hsm.module import KeySpec, OpenedKey
from kms.secret import SecretBytes

Random = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class CipherParameters:
    """``tag_bits`` for encryption, ``tag`` for decryption of an authenticated mode."""

    mode: str | None = None
    iv: bytes | None = None
    aad: bytes | None = None
    tag_bits: int | None = None
    tag: bytes | None = None


@dataclass(frozen=True, slots=True)
class Encrypted:
    ciphertext: bytes
    iv: bytes | None = None
    tag: bytes | None = None


@dataclass(frozen=True, slots=True)
class SignatureParameters:
    """``padding`` is PKCS1_V15 or PSS for RSA, None elsewhere. A hash name is SHA1, SHA256, SHA3_256, ..."""

    hash: str
    padding: str | None = None
    mgf_hash: str | None = None


@dataclass(frozen=True, slots=True)
class Described:
    """What a piece of imported material turned out to be."""

    spec: KeySpec
    material: SecretBytes
    public: bytes | None = None
    public_only: bool = False


class Algorithm:
    """A kind of security object. Subclasses override what their kind can do; the rest refuses.

    ``operations`` are the usages the kind can have at all, ``defaults`` what it gets when none are asked for,
    ``public_operations`` what a public key alone can have.
    """

    kind: str
    operations: frozenset[KeyOperation] = frozenset()
    defaults: frozenset[KeyOperation] = frozenset()
    public_operations: frozenset[KeyOperation] = frozenset(
        {KeyOperation.VERIFY, KeyOperation.EXPORT, KeyOperation.APP_MANAGEABLE}
    )

    def token_capable(self, spec: KeySpec) -> bool:
        """True when the token can hold and use such a key; False keeps it sealed."""
        return True

    def generation_spec(self, *, size: int | None, curve: str | None, public_exponent: int | None) -> KeySpec:
        """The shape of a key to generate, or ParameterInvalid."""
        raise ParameterInvalid(f"{self.kind} objects cannot be generated, only imported")

    def describe(self, material: SecretBytes, *, size: int | None, curve: str | None) -> Described:
        """Parse and check imported material."""
        raise AlgorithmUnsupported(f"{self.kind} objects cannot be imported")

    def public_of(self, material: SecretBytes) -> bytes | None:
        """SubjectPublicKeyInfo (DER) of private material that the server holds."""
        return None

    def encrypt(self, key: OpenedKey, parameters: CipherParameters, plaintext: bytes, random: Random) -> Encrypted:
        raise AlgorithmUnsupported(f"{self.kind} objects cannot encrypt")

    def decrypt(self, key: OpenedKey, parameters: CipherParameters, ciphertext: bytes) -> bytes:
        raise AlgorithmUnsupported(f"{self.kind} objects cannot decrypt")

    def sign(self, key: OpenedKey, parameters: SignatureParameters, digest: bytes) -> bytes:
        raise AlgorithmUnsupported(f"{self.kind} objects cannot sign")

    def verify(self, public: bytes, parameters: SignatureParameters, digest: bytes, signature: bytes) -> bool:
        raise AlgorithmUnsupported(f"{self.kind} objects cannot verify signatures")

    def mac(self, key: OpenedKey, hash_name: str, data: bytes) -> bytes:
        raise AlgorithmUnsupported(f"{self.kind} objects cannot make message authentication codes")
