"""HMAC keys (RFC 2104, FIPS 198-1): with SHA-1 and SHA-2 in the token, with other hashes over material it lends."""

from __future__ import annotations

import hmac

from kms.crypto import digest as hashing
from kms.crypto.algorithm import Algorithm, Described, Key, LentKey
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.crypto.operation import MANAGEMENT, KeyOperation
from kms.hsm.module import Hmac as HmacMechanism
from kms.hsm.module import KeySpec
from kms.secret import SecretBytes

# SP 800-131A rev 2 §10: keys under 112 bits are disallowed. The upper end is the vendor's.
MIN_BITS, MAX_BITS = 112, 8192
TOKEN_HASHES = ("SHA1", "SHA224", "SHA256", "SHA384", "SHA512")


class Hmac(Algorithm):
    kind = "HMAC"
    operations = MANAGEMENT | {KeyOperation.MAC_GENERATE, KeyOperation.MAC_VERIFY, KeyOperation.DERIVE}
    defaults = frozenset({KeyOperation.MAC_GENERATE, KeyOperation.MAC_VERIFY, KeyOperation.APP_MANAGEABLE})

    def generation_spec(self, *, size: int | None, curve: str | None, public_exponent: int | None) -> KeySpec:
        if size is None:
            raise ParameterInvalid(f"an HMAC key needs key_size: {MIN_BITS} to {MAX_BITS} bits")
        return KeySpec(self.kind, _checked_size(size))

    def describe(self, material: SecretBytes, *, size: int | None, curve: str | None) -> Described:
        bits = _checked_size(len(material) * 8)
        if size is not None and size != bits:
            raise ParameterInvalid(f"key_size is {size}, but the value has {bits} bits")
        return Described(KeySpec(self.kind, bits), material)

    def mac(self, key: Key, hash_name: str | None, data: bytes) -> bytes:
        if hash_name is None:
            raise ParameterInvalid("alg is needed: the hash of the HMAC, such as SHA256")
        if isinstance(key, LentKey):
            return hmac.new(key.material.reveal(), data, hashing.constructor(hash_name)).digest()
        if hash_name in TOKEN_HASHES:
            return key.mac(HmacMechanism(hash_name), data)
        hashing.constructor(hash_name)
        raise AlgorithmUnsupported(
            f"HMAC with {hash_name} is computed outside the cryptographic module, which this key never leaves: "
            f"use one of {', '.join(TOKEN_HASHES)}, or a key with the EXPORT operation"
        )

    def mac_needs_material(self, hash_name: str | None) -> bool:
        return hash_name not in TOKEN_HASHES and hash_name in hashing.HASHES


def _checked_size(bits: int) -> int:
    if bits % 8 or not MIN_BITS <= bits <= MAX_BITS:
        raise ParameterInvalid(f"an HMAC key has {MIN_BITS} to {MAX_BITS} bits, in whole bytes, not {bits}")
    return bits
