"""GHASH (SP 800-38D §6.4) in pieces: the authentication half of GCM where the data comes in parts.

The encrypting half is GCTR of ``block_chain``. A state is plain values and holds the hash subkey H = E(0), with which
tags can be forged: whoever keeps a state seals it. It must not know where keys live, rows, rights or the wire.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from struct import Struct, iter_unpack

from kms.crypto.errors import ParameterInvalid

BLOCK = 16
# SP 800-38D §5.2.1.1, in bytes.
MAX_AAD = (1 << 61) - 1
MAX_DATA = (1 << 36) - 32
MAX_IV = (1 << 61) - 1
# x^128 = x^7 + x^2 + x + 1 with the bits in GCM's order, the lowest power first (§6.3).
REDUCTION = 0xE1 << 120

_PACKED = Struct(">16s16sQQB")


@dataclass(frozen=True, slots=True)
class GhashState:
    """H, the running Y, the lengths so far in bytes, and input that has no whole block yet."""

    subkey: bytes = field(repr=False)
    y: bytes = field(default=bytes(BLOCK), repr=False)
    aad_length: int = 0
    data_length: int = 0
    pending: bytes = field(default=b"", repr=False)

    def to_bytes(self) -> bytes:
        return _PACKED.pack(self.subkey, self.y, self.aad_length, self.data_length, len(self.pending)) + self.pending

    @classmethod
    def from_bytes(cls, packed: bytes) -> GhashState:
        """The inverse of ``to_bytes``; other bytes are ParameterInvalid."""
        head, pending = packed[: _PACKED.size], packed[_PACKED.size :]
        if len(head) != _PACKED.size or head[-1] != len(pending) or len(pending) >= BLOCK:
            raise ParameterInvalid("the bytes are not a GHASH state")
        subkey, y, aad_length, data_length, _ = _PACKED.unpack(head)
        return cls(subkey, y, aad_length, data_length, pending)


def begin(subkey: bytes) -> GhashState:
    """``subkey`` is H, the encryption of a block of zeros."""
    if len(subkey) != BLOCK:
        raise ParameterInvalid(f"the hash subkey has {BLOCK} bytes, not {len(subkey)}")
    return GhashState(subkey)


def absorb_aad(state: GhashState, aad: bytes) -> GhashState:
    """All additional data comes before the first ciphertext; later it is ParameterInvalid."""
    if not aad:
        return state
    if state.data_length:
        raise ParameterInvalid("additional data comes before the ciphertext")
    length = state.aad_length + len(aad)
    if length > MAX_AAD:
        raise ParameterInvalid(f"GCM takes at most {MAX_AAD} bytes of additional data")
    return replace(_absorbed(state, aad), aad_length=length)


def absorb(state: GhashState, ciphertext: bytes) -> GhashState:
    """The next piece of ciphertext, of any length."""
    if not ciphertext:
        return state
    length = state.data_length + len(ciphertext)
    if length > MAX_DATA:
        raise ParameterInvalid(f"GCM takes at most {MAX_DATA} bytes under one IV")
    started = state if state.data_length else _filled(state)
    return replace(_absorbed(started, ciphertext), data_length=length)


def digest(state: GhashState) -> bytes:
    """S of §7.1 step 5. The tag is its leading bytes, xored with E(J0)."""
    lengths = (8 * state.aad_length).to_bytes(8, "big") + (8 * state.data_length).to_bytes(8, "big")
    return _absorbed(_filled(state), lengths).y


def gcm_j0(subkey: bytes, iv: bytes) -> bytes:
    """The first counter block for an IV of any length but none (§7.1 step 2); GCTR starts one behind it."""
    if not 1 <= len(iv) <= MAX_IV:
        raise ParameterInvalid("the IV in GCM mode has at least 1 byte")
    if len(iv) == 12:
        return iv + b"\0\0\0\1"
    padded = iv + bytes(-len(iv) % BLOCK + 8) + (8 * len(iv)).to_bytes(8, "big")
    return _absorbed(begin(subkey), padded).y


def _filled(state: GhashState) -> GhashState:
    return _absorbed(state, bytes(-len(state.pending) % BLOCK))


def _absorbed(state: GhashState, data: bytes) -> GhashState:
    held = state.pending + data
    ready = len(held) // BLOCK * BLOCK
    y = _multiplied(state.subkey, state.y, held[:ready]) if ready else state.y
    return replace(state, y=y, pending=held[ready:])


def _multiplied(subkey: bytes, y: bytes, blocks: bytes) -> bytes:
    """Y = (Y xor X) * H for each block X: a table for each of the 16 places of a byte, so 16 look-ups a block."""
    t0, t1, t2, t3, t4, t5, t6, t7, t8, t9, ta, tb, tc, td, te, tf = _tables(subkey)
    running = int.from_bytes(y, "big")
    for high, low in iter_unpack(">QQ", blocks):
        x0, x1, x2, x3, x4, x5, x6, x7, x8, x9, xa, xb, xc, xd, xe, xf = (running ^ (high << 64 | low)).to_bytes(BLOCK)
        running = (
            t0[x0] ^ t1[x1] ^ t2[x2] ^ t3[x3] ^ t4[x4] ^ t5[x5] ^ t6[x6] ^ t7[x7]
            ^ t8[x8] ^ t9[x9] ^ ta[xa] ^ tb[xb] ^ tc[xc] ^ td[xd] ^ te[xe] ^ tf[xf]
        )  # fmt: skip
    return running.to_bytes(BLOCK, "big")


def _tables(subkey: bytes) -> Iterator[list[int]]:
    """For each place of a byte, the products of all bytes there with H. Made in a quarter of a millisecond."""
    power = int.from_bytes(subkey, "big")
    for _ in range(BLOCK):
        products = []
        for _ in range(8):
            products.append(power)
            power = power >> 1 ^ (REDUCTION if power & 1 else 0)
        table = [0]
        for product in reversed(products):  # the last bit of a byte is its highest power
            table += [product ^ entry for entry in table]
        yield table
