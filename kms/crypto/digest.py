"""Hash functions without a key (FIPS 180-4, FIPS 202, RFC 7693, ISO 10118-3). Nothing secret passes here."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any

from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid

# Name -> (hashlib's name, digest size in bytes).
HASHES: dict[str, tuple[str, int]] = {
    "SHA1": ("sha1", 20),
    "SHA224": ("sha224", 28),
    "SHA256": ("sha256", 32),
    "SHA384": ("sha384", 48),
    "SHA512": ("sha512", 64),
    "SHA3_224": ("sha3_224", 28),
    "SHA3_256": ("sha3_256", 32),
    "SHA3_384": ("sha3_384", 48),
    "SHA3_512": ("sha3_512", 64),
    "BLAKE2B256": ("blake2b", 32),
    "BLAKE2B384": ("blake2b", 48),
    "BLAKE2B512": ("blake2b", 64),
    "BLAKE2S256": ("blake2s", 32),
    "RIPEMD160": ("ripemd160", 20),
}


def digest(hash_name: str, data: bytes) -> bytes:
    made: bytes = constructor(hash_name)(data).digest()
    return made


def constructor(hash_name: str) -> Callable[..., Any]:
    """As `hashlib` has them, for constructions over a hash."""
    name, size = _known(hash_name)
    if name == "blake2b":  # BLAKE2's digest size is a parameter of the hash, not a truncation (RFC 7693 §2.1)
        return partial(hashlib.blake2b, digest_size=size)
    return partial(hashlib.new, name, usedforsecurity=True)


def digest_size(hash_name: str) -> int:
    """In bytes."""
    return _known(hash_name)[1]


def check_digest(hash_name: str, value: bytes) -> None:
    """A digest handed in by a caller must be as long as its hash says."""
    expected = digest_size(hash_name)
    if len(value) != expected:
        raise ParameterInvalid(f"a {hash_name} hash is {expected} bytes, not {len(value)}")


def _known(hash_name: str) -> tuple[str, int]:
    try:
        return HASHES[hash_name]
    except KeyError:
        raise AlgorithmUnsupported(f"the hash {hash_name} is not supported") from None
