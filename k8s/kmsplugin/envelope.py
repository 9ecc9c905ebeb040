"""What the API server keeps in etcd for us, byte by byte. Pure; it must not know how anything is encrypted.

    version 1 | key 16 | IV 12 | tag 16 | data

The key is the id of the security object, another one after each rotation. Version, key and the name of the cluster are
authenticated with the data (AES-GCM's additional data).
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

VERSION = 1
KEY_BYTES, IV_BYTES, TAG_BYTES = 16, 12, 16
OVERHEAD = 1 + KEY_BYTES + IV_BYTES + TAG_BYTES
MAX_BYTES = 1024  # kube-apiserver refuses more
MAX_PLAINTEXT = MAX_BYTES - OVERHEAD
_PURPOSE = b"keystead kubernetes kms plugin"


class Malformed(ValueError):
    """Not one of our envelopes, or one that does not fit."""


@dataclass(frozen=True, slots=True)
class Envelope:
    key: UUID
    iv: bytes
    tag: bytes
    data: bytes

    def packed(self) -> bytes:
        if len(self.iv) != IV_BYTES or len(self.tag) != TAG_BYTES or not self.data:
            raise Malformed("the server's IV, tag or ciphertext is not of the size that was asked for")
        packed = bytes([VERSION]) + self.key.bytes + self.iv + self.tag + self.data
        if len(packed) > MAX_BYTES:
            raise Malformed(f"the ciphertext has {len(packed)} bytes, and the API server takes {MAX_BYTES}")
        return packed


def unpacked(ciphertext: bytes) -> Envelope:
    if not OVERHEAD < len(ciphertext) <= MAX_BYTES:
        raise Malformed(f"a ciphertext of this plugin has {OVERHEAD + 1} to {MAX_BYTES} bytes, not {len(ciphertext)}")
    if ciphertext[0] != VERSION:
        raise Malformed("the ciphertext is not of this plugin, or of a later version of it")
    key, iv, tag = 1 + KEY_BYTES, 1 + KEY_BYTES + IV_BYTES, OVERHEAD
    return Envelope(UUID(bytes=ciphertext[1:key]), ciphertext[key:iv], ciphertext[iv:tag], ciphertext[tag:])


def additional_data(key: UUID, cluster: str) -> bytes:
    """What a ciphertext is for: nothing else that is encrypted under the same key opens here, nor another cluster's."""
    parts = (_PURPOSE, bytes([VERSION]), key.bytes, cluster.encode())
    return b"".join(len(part).to_bytes(2, "big") + part for part in parts)
