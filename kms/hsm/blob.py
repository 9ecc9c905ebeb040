"""The bytes that PostgreSQL keeps of a key: layout and authenticated header.

Pure: it must not know the token, a session or how anything is encrypted.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from kms.hsm.errors import BlobRejected

IV_BYTES = 12
TAG_BYTES = 16
_HEADER = struct.Struct(">BI")
_AAD_DOMAIN = b"keystead key blob\x00"


class Version(IntEnum):
    """How the inside of the GCM layer is to be read. 0 is never valid, so that zeroed rows don't open."""

    WRAPPED = 1  # KWP under kek-g: opens inside the token only
    SINGLE_CALL = 2  # reserved: C_UnwrapKey with AES-GCM and AAD in one call; SoftHSM 2.6.1 lacks it
    SEALED = 3  # bytes the server may release
    CONFINED = 4  # bytes the server never releases, but which the token's KWP would alter (see pkcs11.py on HMAC)


@dataclass(frozen=True, slots=True)
class Blob:
    version: Version
    generation: int
    iv: bytes
    sealed: bytes

    def to_bytes(self) -> bytes:
        return _HEADER.pack(self.version, self.generation) + self.iv + self.sealed


def parse(blob: bytes) -> Blob:
    if len(blob) < _HEADER.size + IV_BYTES + TAG_BYTES:
        raise BlobRejected("the blob is too short")
    number, generation = _HEADER.unpack_from(blob)
    try:
        version = Version(number)
    except ValueError:
        raise BlobRejected(f"the blob has the unknown version {number}") from None
    if version is Version.SINGLE_CALL:
        raise BlobRejected("blob version 2 is reserved")
    body = blob[_HEADER.size :]
    return Blob(version, generation, body[:IV_BYTES], body[IV_BYTES:])


def aad(version: Version, generation: int, binding: bytes) -> bytes:
    """Unambiguous because everything before ``binding`` has a fixed width and nothing follows it."""
    return _AAD_DOMAIN + _HEADER.pack(version, generation) + binding
