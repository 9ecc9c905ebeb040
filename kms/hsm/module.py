"""The cryptographic module (the FIPS 140 word) as the rest of the house sees it.

No slot, session, CKA_ name or PIN appears here or above. It must not know PKCS#11, Django, accounts or the wire.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Flag, StrEnum, auto
from typing import Protocol, runtime_checkable

from kms.secret import SecretBytes


class Usage(Flag):
    """What an opened key may do inside the token (a subset of the KMIP usage mask)."""

    NONE = 0
    ENCRYPT = auto()
    DECRYPT = auto()
    SIGN = auto()
    MAC = auto()
    WRAP = auto()
    UNWRAP = auto()
    DERIVE = auto()


@dataclass(frozen=True, slots=True)
class KeySpec:
    """The shape of a key. ``size`` is in bits; ``curve`` names a curve or a post-quantum kind's parameter set.

    The token holds AES, DES3, HMAC, RSA and EC over ``NistP192 NistP224 NistP256 NistP384 NistP521 SecP256K1``, as far
    as it offers their mechanisms (``CryptographicModule.supports``).
    """

    kind: str
    size: int
    curve: str | None = None
    public_exponent: int = 65537


# -- mechanisms ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AesGcm:
    """SP 800-38D. ``iv`` 1 to 128 bytes; ``tag_bits`` 96..128 by 8; above the door ciphertext and tag are apart."""

    iv: bytes
    aad: bytes = b""
    tag_bits: int = 128


@dataclass(frozen=True, slots=True)
class AesCbc:
    """SP 800-38A CBC; ``padded`` adds PKCS#7. ``iv`` 16 bytes."""

    iv: bytes
    padded: bool


@dataclass(frozen=True, slots=True)
class AesCtr:
    """SP 800-38A CTR over a 16-byte initial counter block, all 128 bits counting."""

    iv: bytes


@dataclass(frozen=True, slots=True)
class AesEcb:
    """SP 800-38A ECB; data is a multiple of 16 bytes."""


@dataclass(frozen=True, slots=True)
class Des3Cbc:
    """TDEA (SP 800-67) in CBC; ``padded`` adds PKCS#7. ``iv`` 8 bytes."""

    iv: bytes
    padded: bool


@dataclass(frozen=True, slots=True)
class Des3Ecb:
    """TDEA in ECB; data is a multiple of 8 bytes."""


@dataclass(frozen=True, slots=True)
class AesKw:
    """RFC 3394; data is a multiple of 8 bytes, at least 16."""


@dataclass(frozen=True, slots=True)
class AesKwp:
    """RFC 5649; any length of at least 1 byte."""


@dataclass(frozen=True, slots=True)
class Hmac:
    """RFC 2104. ``hash`` is SHA1, SHA224, SHA256, SHA384 or SHA512."""

    hash: str


@dataclass(frozen=True, slots=True)
class Cmac:
    """SP 800-38B over the key's own block cipher; the MAC is one whole block."""


@dataclass(frozen=True, slots=True)
class RsaRaw:
    """RSADP of RFC 8017 §5.1.2, without padding: data and result are as wide as the modulus.

    Padding is checked above the door, where a failure can be hidden (implicit rejection): tokens report it.
    """


@dataclass(frozen=True, slots=True)
class RsaPkcs1v15:
    """RFC 8017 §8.2 over a ready digest: the door prepends DigestInfo for ``hash``."""

    hash: str


@dataclass(frozen=True, slots=True)
class RsaPss:
    """RFC 8017 §8.1 over a ready digest. ``salt_length`` in bytes."""

    hash: str
    mgf_hash: str
    salt_length: int


@dataclass(frozen=True, slots=True)
class Ecdsa:
    """FIPS 186-5 ECDSA over a ready digest; the signature is raw ``r || s``, each the width of the order."""


CipherMechanism = AesGcm | AesCbc | AesCtr | AesEcb | Des3Cbc | Des3Ecb
MacMechanism = Hmac | Cmac
WrapMechanism = AesKw | AesKwp
SignMechanism = RsaPkcs1v15 | RsaPss | Ecdsa


# -- capabilities of an opened key ---------------------------------------------------------------------------------


@runtime_checkable
class CanEncrypt(Protocol):
    def encrypt(self, mechanism: CipherMechanism, plaintext: bytes) -> bytes:
        """Ciphertext; for GCM the tag is appended. Raises MechanismRefused, DataRejected, ModuleUnavailable."""

    def decrypt(self, mechanism: CipherMechanism, ciphertext: bytes) -> bytes:
        """Plaintext; for GCM the tag is expected at the end. A bad tag or padding raises DataRejected."""


@runtime_checkable
class CanSign(Protocol):
    def sign(self, mechanism: SignMechanism, digest: bytes) -> bytes: ...


@runtime_checkable
class CanMac(Protocol):
    def mac(self, mechanism: MacMechanism, data: bytes) -> bytes: ...


@runtime_checkable
class CanWrap(Protocol):
    def wrap(self, mechanism: WrapMechanism, material: SecretBytes) -> bytes:
        """Wrap bytes that the caller already holds (an exportable object's material)."""

    def unwrap(self, mechanism: WrapMechanism, wrapped: bytes) -> SecretBytes:
        """The unwrapped bytes, for objects whose policy lets the server hold them. DataRejected if it doesn't open."""


@runtime_checkable
class CanDecryptRaw(Protocol):
    def decrypt_raw(self, mechanism: RsaRaw, ciphertext: bytes) -> bytes:
        """The encoded message, still padded. It tells an attacker everything: never let it or its errors out."""


@runtime_checkable
class CanAgree(Protocol):
    def agree(self, peer_point: bytes) -> SecretBytes:
        """ECDH's shared secret Z (SP 800-56A §5.7.1.2) with an uncompressed X9.62 point of the same curve."""


@runtime_checkable
class CanDigest(Protocol):
    def digest(self, hash_name: str, prefix: bytes = b"") -> bytes:
        """The hash of ``prefix`` and the key's value, without the value leaving the token. SHA-1 and SHA-2 only.

        HMAC keys that the token holds padded raise MechanismRefused, because the padding would be hashed along.
        """


class OpenedKey(CanEncrypt, CanSign, CanMac, CanWrap, CanDecryptRaw, CanAgree, CanDigest, Protocol):
    """A key inside the token. What its Usage does not allow raises MechanismRefused."""

    @property
    def spec(self) -> KeySpec:
        """The shape it was opened as, which its blob is bound to."""


# -- the module ----------------------------------------------------------------------------------------------------


class Kept(StrEnum):
    """What the token remembers, each under its label."""

    CHECKPOINT = "record-1"
    OFFICERS = "officers-1"
    ROW_KEY = "row-key-1"


@dataclass(frozen=True, slots=True)
class StoredKey:
    """What PostgreSQL keeps of a new key: the blob, and the SubjectPublicKeyInfo (DER) of an asymmetric one."""

    blob: bytes
    public: bytes | None = None


@dataclass(frozen=True, slots=True)
class ModuleStatus:
    """Facts for the health page. ``generation`` is the master key generation in use, ``mechanisms`` a count."""

    label: str
    manufacturer: str
    model: str
    firmware: str
    generation: int
    open_handles: int
    mechanisms: int


class CryptographicModule(Protocol):
    """The door. ``binding`` is the canonical bytes of a blob's row: a blob opens only under its own binding.

    A *wrapped* blob holds a key that never leaves the token; a *sealed* blob holds bytes that the server may release
    (secrets, opaques, certificates, exportable keys).
    """

    def generate(self, spec: KeySpec, *, binding: bytes) -> StoredKey:
        """A new key made in the token, as a wrapped blob."""

    def import_key(self, spec: KeySpec, material: SecretBytes, *, binding: bytes) -> StoredKey:
        """A wrapped blob of material given by a caller (raw bytes for AES and HMAC, PKCS#8 DER for RSA and EC)."""

    def unwrap_import(
        self, spec: KeySpec, wrapping: OpenedKey, mechanism: WrapMechanism, wrapped: bytes, *, binding: bytes
    ) -> StoredKey:
        """Unwrap inside the token under another object and keep the result as a wrapped blob, never in the clear."""

    def generate_material(self, spec: KeySpec) -> SecretBytes:
        """Fresh material that the server may hold: for exportable keys. Made in the token, then read out."""

    def supports(self, spec: KeySpec) -> bool:
        """True when the token can hold such a key and use it for everything that its kind is for."""

    def seal(self, material: SecretBytes, *, binding: bytes, confined: bool = False) -> bytes:
        """A sealed blob; a ``confined`` one never leaves by ``unseal``."""

    def lend(self, blob: bytes, *, binding: bytes) -> SecretBytes:
        """The bytes of a sealed or confined blob, for one call of an algorithm that the token does not offer."""

    def unseal(self, blob: bytes, *, binding: bytes) -> SecretBytes:
        """The bytes of a sealed blob. A wrapped blob raises MechanismRefused: nothing reads those."""

    def rebind(self, blob: bytes, *, binding: bytes, to: bytes) -> bytes:
        """The same blob under another binding (a bound field was changed on purpose); material stays wrapped."""

    def authenticate(self, blob: bytes, *, binding: bytes) -> None:
        """Check that a blob is ours and bound to this, without opening its key. Raises BlobRejected."""

    def open(self, spec: KeySpec, blob: bytes, *, binding: bytes, usage: Usage, cache_key: bytes) -> OpenedKey:
        """The key as a session object, from the bounded handle cache when ``cache_key`` is known there.

        ``cache_key`` names object, version and row version; it never outlives a re-initialised token. Works for
        wrapped blobs and for sealed ones whose spec the token holds. Raises BlobRejected on a wrong binding.
        """

    def random(self, length: int) -> bytes:
        """``length`` bytes from the token's generator."""

    def attestation_certificate(self) -> bytes:
        """The self-signed certificate (DER) of the token's attestation key."""

    def attest(self, digest: bytes) -> bytes:
        """ECDSA over a SHA-256 digest by the attestation key, raw ``r || s``: for statements about keys only."""

    def status(self) -> ModuleStatus:
        """A known-answer probe and the token's facts; raises ModuleUnavailable or ModuleSealed."""

    def record_certificate(self) -> bytes:
        """The self-signed certificate (DER) of the token's key for the record."""

    def sign_checkpoint(self, digest: bytes) -> bytes:
        """ECDSA over a SHA-256 digest by the record's key, raw ``r || s``: for checkpoints of the record only."""

    def keep(self, value: bytes, what: Kept = Kept.CHECKPOINT) -> None:
        """Let the token remember up to 1 KiB, in place of what it remembered of the same before."""

    def recall(self, what: Kept = Kept.CHECKPOINT) -> list[bytes]:
        """What it remembers: nothing, one value, or two when somebody died in the middle of ``keep``."""
