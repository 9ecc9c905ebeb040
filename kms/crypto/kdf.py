"""Keys from keys: HKDF (RFC 5869), counter mode (SP 800-108), PBKDF2 (SP 800-132), and derived bytes as material.

The extraction step works on bytes that the process holds or on a key that stays in the token. It must not know rows,
rights or the wire.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

from kms.crypto import digest as hashing
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.hsm.errors import MechanismRefused
from kms.hsm.module import CanDigest
from kms.secret import SecretBytes

# HMAC's block in bytes (RFC 2104 §2) for the hashes that the token computes over a key that stays there.
_TOKEN_BLOCKS = {"SHA1": 64, "SHA224": 64, "SHA256": 64, "SHA384": 128, "SHA512": 128}
_IPAD, _OPAD = 0x36, 0x5C
# RFC 5869 §2.3: L is at most 255 times the hash's length.
_MAX_BLOCKS = 255
# SP 800-132 §5.1 and §5.2. The upper end is ours: a call must end (10 million take some 4 seconds).
MIN_SALT, MIN_ITERATIONS, MAX_ITERATIONS = 16, 1000, 10_000_000


def keyed_hash(hash_name: str, key: bytes, data: bytes) -> bytes:
    """HMAC (RFC 2104) with any of the server's hashes."""
    return hmac.new(key, data, hashing.constructor(hash_name)).digest()


def extract(hash_name: str, salt: bytes, ikm: SecretBytes) -> SecretBytes:
    """HKDF-Extract (RFC 5869 §2.2): HMAC under the salt, of input keying material that the process holds."""
    return SecretBytes(keyed_hash(hash_name, salt, ikm.reveal()))


def extract_inside(hash_name: str, salt: bytes, ikm: CanDigest) -> SecretBytes:
    """The same of a key that stays in the token.

    HMAC(salt, IKM) = H(salt ^ opad || H(salt ^ ipad || IKM)): the token hashes the inner part over the key's value, and
    the outer part is a hash of what it gave us. The salt, which is HMAC's key here, is public.
    """
    block = _TOKEN_BLOCKS.get(hash_name, 0)
    key = (hashing.digest(hash_name, salt) if len(salt) > block else salt).ljust(block, b"\0")
    inner = digest_inside(hash_name, ikm, prefix=bytes(byte ^ _IPAD for byte in key))
    return SecretBytes(hashing.digest(hash_name, bytes(byte ^ _OPAD for byte in key) + inner))


def digest_inside(hash_name: str, key: CanDigest, *, prefix: bytes = b"") -> bytes:
    """The hash of ``prefix`` and the value of a key that stays in the token, or why the token cannot make it."""
    if hash_name not in _TOKEN_BLOCKS:
        hashing.constructor(hash_name)
        raise AlgorithmUnsupported(
            f"the token hashes keys with {', '.join(_TOKEN_BLOCKS)}, not with {hash_name}, and this key stays there"
        )
    try:
        return key.digest(hash_name, prefix)
    except MechanismRefused:
        raise AlgorithmUnsupported(
            "the token holds HMAC keys under 512 bits padded, so it cannot hash their value:"
            " use a key of 512 bits or more, an AES key, or an exportable one"
        ) from None


def expand(hash_name: str, prk: SecretBytes, info: bytes, length: int) -> SecretBytes:
    """HKDF-Expand (RFC 5869 §2.3) to ``length`` bytes."""
    size = hashing.digest_size(hash_name)
    if not 1 <= length <= _MAX_BLOCKS * size:
        raise ParameterInvalid(f"HKDF with {hash_name} gives 8 to {_MAX_BLOCKS * size * 8} bits, not {length * 8}")
    key, block, output = prk.reveal(), b"", b""
    for counter in range(1, -(-length // size) + 1):
        block = keyed_hash(hash_name, key, block + info + bytes([counter]))
        output += block
    return SecretBytes(output[:length])


def counter_mode(prf: Callable[[bytes], bytes], fixed: bytes, length: int) -> SecretBytes:
    """SP 800-108r1 §4.1 to ``length`` bytes, with a 32-bit counter before the fixed input."""
    output, counter = b"", 0
    while len(output) < length:
        counter += 1
        output += prf(counter.to_bytes(4, "big") + fixed)
    return SecretBytes(output[:length])


def fixed_input(label: bytes, context: bytes, length: int) -> bytes:
    """SP 800-108r1 §4: Label || 0x00 || Context || [L]_2, with L in bits over 32."""
    return label + b"\0" + context + (length * 8).to_bytes(4, "big")


def from_password(hash_name: str, password: SecretBytes, salt: bytes, iterations: int, length: int) -> SecretBytes:
    """PBKDF2 (RFC 8018 §5.2) to ``length`` bytes."""
    if hash_name not in _TOKEN_BLOCKS:
        raise AlgorithmUnsupported(f"PBKDF2 takes {', '.join(_TOKEN_BLOCKS)}, not {hash_name}")
    if len(salt) < MIN_SALT:
        raise ParameterInvalid(f"PBKDF2 takes a salt of {MIN_SALT} bytes and more, not {len(salt)}")
    if not MIN_ITERATIONS <= iterations <= MAX_ITERATIONS:
        raise ParameterInvalid(f"PBKDF2 takes {MIN_ITERATIONS} to {MAX_ITERATIONS} iterations, not {iterations}")
    return SecretBytes(hashlib.pbkdf2_hmac(hash_name.lower(), password.reveal(), salt, iterations, length))


def leftmost(secret: SecretBytes, length: int) -> SecretBytes:
    """The first ``length`` bytes."""
    return SecretBytes(secret.reveal()[:length])


def rightmost(secret: SecretBytes, length: int) -> SecretBytes:
    """The last ``length`` bytes."""
    return SecretBytes(secret.reveal()[-length:])


def with_odd_parity(secret: SecretBytes) -> SecretBytes:
    """DES keys as they are written: the lowest bit of each byte makes its number of ones odd (SP 800-67 §3.1)."""
    return SecretBytes(bytes(byte & 0xFE | (byte & 0xFE).bit_count() % 2 ^ 1 for byte in secret.reveal()))
