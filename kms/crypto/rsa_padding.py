"""Taking RSA's encryption paddings off without telling how: OAEP, and PKCS#1 v1.5 with implicit rejection.

The encoded message comes from the token's raw decryption (RFC 8017 §5.1.2). Whoever learns *where* a padding is wrong
decrypts the message (Manger 2001; Bleichenbacher 1998), so every byte is looked at, nothing ends early, and sums of
flags take the place of branches, as far as Python allows. Pure: it must not know keys, tokens or the wire.
"""

from __future__ import annotations

import hashlib
import hmac

from kms.crypto import digest as hashing

_SEPARATOR = 0x01
_PS_BYTES = 8  # RFC 8017 §7.2.1: a padding string has at least so many
_LENGTHS = 128  # candidates for the length of a synthetic message
_BLOCK = 32  # of HMAC-SHA-256


def mgf1(hash_name: str, seed: bytes, length: int) -> bytes:
    """RFC 8017 §B.2.1."""
    count = -(-length // hashing.digest_size(hash_name))
    parts = (hashing.digest(hash_name, seed + counter.to_bytes(4, "big")) for counter in range(count))
    return b"".join(parts)[:length]


def oaep_room(width: int, hash_name: str) -> int:
    """How many bytes fit under a modulus of ``width`` bytes; negative when the hash is too wide for it."""
    return width - 2 * hashing.digest_size(hash_name) - 2


def pkcs1_v15_room(width: int) -> int:
    return width - _PS_BYTES - 3


def open_oaep(encoded: bytes, hash_name: str, label: bytes) -> bytes | None:
    """EME-OAEP decoding (RFC 8017 §7.1.2 step 3); None for every way in which it can be wrong."""
    size = hashing.digest_size(hash_name)
    masked_seed, masked_db = encoded[1 : 1 + size], encoded[1 + size :]
    seed = _xor(masked_seed, mgf1(hash_name, masked_db, size))
    db = _xor(masked_db, mgf1(hash_name, seed, len(masked_db)))
    bad = 1 - _is_zero(encoded[0])
    bad |= 1 - hmac.compare_digest(db[:size], hashing.digest(hash_name, label))
    start, looking = 0, 1
    for position in range(size, len(db)):
        separator = _is_zero(db[position] ^ _SEPARATOR)
        bad |= looking & (1 - separator) & (1 - _is_zero(db[position]))
        looking &= 1 - separator
        start += looking
    bad |= looking
    message = db[size + start + 1 :]
    return None if bad else message


def open_pkcs1_v15(encoded: bytes, ciphertext: bytes, secret: bytes, *, malformed: int = 0) -> bytes:
    """EME-PKCS1-v1_5 decoding that never fails: what is malformed yields a message of the same looks.

    That message is a function of ``secret`` (32 bytes that only the key's holder has) and the ciphertext, so that it
    is the same each time, and nobody can tell it from what a sender wrote: implicit rejection as in
    draft-irtf-cfrg-rsa-guidance-08 §7.2 and OpenSSL since 3.2. ``malformed`` is 1 for one that is so anyhow.
    """
    width = len(encoded)
    derivation_key = hmac.digest(secret, ciphertext, hashlib.sha256)
    synthetic = _pseudo_random(derivation_key, b"message", width)
    synthetic_start = width - _synthetic_length(derivation_key, width - 2 - _PS_BYTES)
    good = (1 - malformed) & _is_zero(encoded[0]) & _is_zero(encoded[1] ^ 2)
    separator, looking = 2, 1
    for position in range(2, width):
        looking &= 1 - _is_zero(encoded[position])
        separator += looking
    good &= 1 - looking
    good &= _less(_PS_BYTES + 1, separator)
    start = good * (separator + 1) + (1 - good) * synthetic_start
    mask = good * 0xFF
    chosen = bytes((real & mask) | (made & ~mask & 0xFF) for real, made in zip(encoded, synthetic, strict=True))
    return chosen[start:]


def _synthetic_length(derivation_key: bytes, limit: int) -> int:
    """The last of the candidates below ``limit``: no reduction modulo, so nearly uniform."""
    candidates = _pseudo_random(derivation_key, b"length", 2 * _LENGTHS)
    mask = (1 << limit.bit_length()) - 1
    length = 0
    for position in range(0, len(candidates), 2):
        candidate = int.from_bytes(candidates[position : position + 2], "big") & mask
        fits = _less(candidate, limit)
        length = fits * candidate + (1 - fits) * length
    return length


def _pseudo_random(key: bytes, label: bytes, length: int) -> bytes:
    """The draft's IRPRF: HMAC-SHA-256 over a counter, the label and the length in bits."""
    bits = (length * 8).to_bytes(2, "big")
    blocks = range(-(-length // _BLOCK))
    return b"".join(hmac.digest(key, i.to_bytes(2, "big") + label + bits, hashlib.sha256) for i in blocks)[:length]


def _xor(one: bytes, other: bytes) -> bytes:
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).to_bytes(len(one), "big")


def _is_zero(value: int) -> int:
    """1 for 0, and 0 for 1 to 255."""
    return (value - 1) >> 8 & 1


def _less(one: int, other: int) -> int:
    """1 when ``one`` is below ``other``, both under 2^16."""
    return (one - other) >> 16 & 1
