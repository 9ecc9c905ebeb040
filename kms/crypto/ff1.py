"""FF1, format-preserving encryption of numeral strings (SP 800-38G revision 1, §5.1), over AES wherever its key lives.

Ten rounds, each one CBC call, and one ECB call more where half of a string is a number of more than 12 bytes. It must
not know alphabets, formats, rows, rights or the wire.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from kms.crypto.block_modes import BlockCipher
from kms.crypto.errors import ParameterInvalid

AES_BLOCK = 16
ROUNDS = 10
RADIXES = range(2, (1 << 16) + 1)
# §5.1: radix^minlen is at least one million. Revision 1 raised it from 100 after attacks on small domains.
MIN_DOMAIN = 1_000_000
MAX_LENGTH = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Shape:
    """What depends on radix and length alone, in the names of §5.1: u and v, their powers of the radix, b and d."""

    radix: int
    length: int
    u: int
    v: int
    power_u: int
    power_v: int
    b: int
    d: int

    @property
    def size(self) -> int:
        """How many strings there are."""
        return self.power_u * self.power_v


@lru_cache(maxsize=256)
def shape_of(radix: int, length: int) -> Shape:
    """The shape of strings of ``length`` numerals; ParameterInvalid outside what SP 800-38G allows."""
    if radix not in RADIXES:
        raise ParameterInvalid(f"FF1 takes a radix from {RADIXES[0]} to {RADIXES[-1]}, not {radix}")
    shortest = shortest_length(radix)
    if not shortest <= length <= MAX_LENGTH:
        raise ParameterInvalid(
            f"FF1 with radix {radix} takes at least {shortest} characters ({MIN_DOMAIN:,} combinations), not {length}"
        )
    u = length // 2
    v = length - u
    power_v = radix**v
    b = ((power_v - 1).bit_length() + 7) // 8
    return Shape(radix, length, u, v, radix**u, power_v, b, 4 * ((b + 3) // 4) + 4)


def shortest_length(radix: int) -> int:
    """The fewest numerals that have a million combinations, and never one alone: each half needs one."""
    length = 2
    while radix**length < MIN_DOMAIN:
        length += 1
    return length


def encrypt(cipher: BlockCipher, numerals: Sequence[int], *, radix: int, tweak: bytes = b"") -> list[int]:
    """Algorithm 7. Numerals are from 0 to below the radix; anything else is ParameterInvalid."""
    shape = shape_of(radix, len(numerals))
    return _numerals(encrypt_number(cipher, _number(numerals, radix), shape=shape, tweak=tweak), shape)


def decrypt(cipher: BlockCipher, numerals: Sequence[int], *, radix: int, tweak: bytes = b"") -> list[int]:
    """Algorithm 8."""
    shape = shape_of(radix, len(numerals))
    return _numerals(decrypt_number(cipher, _number(numerals, radix), shape=shape, tweak=tweak), shape)


def encrypt_number(cipher: BlockCipher, number: int, *, shape: Shape, tweak: bytes = b"") -> int:
    """Algorithm 7 on the number that a string of numerals stands for, the first numeral weighing most."""
    head = _head(cipher, number, shape, tweak)
    a, b = divmod(number, shape.power_v)
    for i in range(ROUNDS):
        modulus = shape.power_v if i % 2 else shape.power_u
        a, b = b, (a + _round(cipher, head, i, b, shape)) % modulus
    return a * shape.power_v + b


def decrypt_number(cipher: BlockCipher, number: int, *, shape: Shape, tweak: bytes = b"") -> int:
    """Algorithm 8 on the number."""
    head = _head(cipher, number, shape, tweak)
    a, b = divmod(number, shape.power_v)
    for i in reversed(range(ROUNDS)):
        modulus = shape.power_v if i % 2 else shape.power_u
        a, b = (b - _round(cipher, head, i, a, shape)) % modulus, a
    return a * shape.power_v + b


def _head(cipher: BlockCipher, number: int, shape: Shape, tweak: bytes) -> bytes:
    """P, and Q up to its last b + 1 bytes (steps 5 and 6.i): the same in every round."""
    if cipher.block != AES_BLOCK:
        raise ParameterInvalid(f"FF1 needs a cipher with blocks of {AES_BLOCK} bytes, not {cipher.block}")
    if not 0 <= number < shape.size:
        raise ParameterInvalid("the number is not below the size of its domain")
    if len(tweak) > MAX_LENGTH:
        raise ParameterInvalid(f"an FF1 tweak has at most {MAX_LENGTH} bytes")
    p = (
        bytes([1, 2, 1])
        + shape.radix.to_bytes(3, "big")
        + bytes([ROUNDS, shape.u % 256])
        + shape.length.to_bytes(4, "big")
        + len(tweak).to_bytes(4, "big")
    )
    return p + tweak + bytes((-len(tweak) - shape.b - 1) % AES_BLOCK)


def _round(cipher: BlockCipher, head: bytes, i: int, half: int, shape: Shape) -> int:
    """y of round ``i`` (steps 6.ii to 6.iv). PRF is CBC-MAC, the last block of CBC."""
    r = cipher.cbc(bytes(AES_BLOCK), head + bytes([i]) + half.to_bytes(shape.b, "big"))[-AES_BLOCK:]
    if shape.d > AES_BLOCK:
        last = int.from_bytes(r, "big")
        count = -(-shape.d // AES_BLOCK)
        r += cipher.ecb(b"".join((last ^ j).to_bytes(AES_BLOCK, "big") for j in range(1, count)))
    return int.from_bytes(r[: shape.d], "big")


def _number(numerals: Sequence[int], radix: int) -> int:
    """NUM_radix (algorithm 1)."""
    number = 0
    for numeral in numerals:
        if not 0 <= numeral < radix:
            raise ParameterInvalid(f"a numeral is not below the radix {radix}")
        number = number * radix + numeral
    return number


def _numerals(number: int, shape: Shape) -> list[int]:
    """STR^m_radix (algorithm 3)."""
    numerals = []
    for _ in range(shape.length):
        number, numeral = divmod(number, shape.radix)
        numerals.append(numeral)
    return numerals[::-1]
