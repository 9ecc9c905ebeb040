"""Modes of operation over a block cipher whose key is elsewhere: OFB, CFB, CTR, CCM and CMAC (SP 800-38A, -38B, -38C).

A token offers ECB and CBC, and each call to it costs more than the cipher itself. So every mode here is one or two
calls, however long the data. It must not know where the key lives, the names of algorithms, rows, rights or the wire.
"""

from __future__ import annotations

import hmac
from typing import Protocol

from kms.crypto.errors import ParameterInvalid
from kms.hsm.errors import DataRejected

CCM_BLOCK = 16
CCM_NONCE = range(7, 14)
CCM_TAGS = range(4, 17, 2)
# SP 800-38B §5.3: the constant that doubling reduces by, for each size of block in bytes.
CMAC_REDUCTION = {8: 0x1B, 16: 0x87}


class BlockCipher(Protocol):
    """A block cipher under one key, wherever the key lives. ``block`` is its size in bytes."""

    @property
    def block(self) -> int: ...

    def ecb(self, data: bytes) -> bytes:
        """Encrypt whole blocks, each by itself."""

    def cbc(self, iv: bytes, data: bytes) -> bytes:
        """Encrypt whole blocks, chained, without padding."""


class DecipheringBlockCipher(BlockCipher, Protocol):
    """A block cipher that also runs backwards."""

    def ecb_decrypt(self, data: bytes) -> bytes:
        """Decrypt whole blocks, each by itself."""

    def cbc_decrypt(self, iv: bytes, data: bytes) -> bytes:
        """Decrypt whole chained blocks, without looking for padding."""


def xor(left: bytes, right: bytes) -> bytes:
    """Of two strings of one length. Through integers: a megabyte takes less than a millisecond."""
    return (int.from_bytes(left, "big") ^ int.from_bytes(right, "big")).to_bytes(len(left), "big")


def counter_blocks(first: bytes, count: int, *, counting: int | None = None) -> bytes:
    """``count`` blocks from ``first`` on, whose last ``counting`` bytes count upwards and wrap around (all by default).

    SP 800-38A appendix B.1: the standard incrementing function.
    """
    width = len(first) if counting is None else counting
    prefix, start, end = first[:-width], int.from_bytes(first[-width:], "big"), 1 << (8 * width)
    before_wrap = min(count, end - start)
    numbers = [number.to_bytes(width, "big") for number in range(start, start + before_wrap)]
    numbers += [number.to_bytes(width, "big") for number in range(count - before_wrap)]
    # Joined with the prefix between the numbers: one copy, not one a block.
    return prefix + prefix.join(numbers) if numbers else b""


# -- stream modes --------------------------------------------------------------------------------------------------


def ctr(cipher: BlockCipher, counter: bytes, data: bytes, *, counting: int | None = None) -> bytes:
    """CTR (SP 800-38A §6.5) in one ECB call, in either direction; data of any length.

    ``counter`` is the first counter block. A counter of another size than the block: ParameterInvalid.
    """
    check_iv("CTR", cipher, counter)
    if not data:
        return b""
    keystream = cipher.ecb(counter_blocks(counter, _blocks(cipher, data), counting=counting))
    return xor(data, keystream[: len(data)])


def ofb(cipher: BlockCipher, iv: bytes, data: bytes) -> bytes:
    """OFB (SP 800-38A §6.4) in one CBC call, in either direction; data of any length.

    O_1 = E(IV), O_i = E(O_i-1): CBC of zeros. An IV of another size than the block: ParameterInvalid.
    """
    check_iv("OFB", cipher, iv)
    if not data:
        return b""
    keystream = cipher.cbc(iv, bytes(_blocks(cipher, data) * cipher.block))
    return xor(data, keystream[: len(data)])


def cfb_encrypt(cipher: BlockCipher, iv: bytes, plaintext: bytes) -> bytes:
    """CFB with a whole block of feedback (SP 800-38A §6.3; CFB128, CFB64) in one CBC call; data of any length.

    The keystream is Y_1 = E(IV), Y_i = E(C_i-1) = E(P_i-1 xor Y_i-1): CBC over a block of zeros and then the plaintext.
    An IV of another size than the block: ParameterInvalid.
    """
    check_iv("CFB", cipher, iv)
    if not plaintext:
        return b""
    fed_back = plaintext[: (_blocks(cipher, plaintext) - 1) * cipher.block]
    keystream = cipher.cbc(iv, bytes(cipher.block) + fed_back)
    return xor(plaintext, keystream[: len(plaintext)])


def cfb_decrypt(cipher: BlockCipher, iv: bytes, ciphertext: bytes) -> bytes:
    """The inverse of ``cfb_encrypt`` in one ECB call: every block of feedback is known.

    An IV of another size than the block: ParameterInvalid.
    """
    check_iv("CFB", cipher, iv)
    if not ciphertext:
        return b""
    fed_back = ciphertext[: (_blocks(cipher, ciphertext) - 1) * cipher.block]
    return xor(ciphertext, cipher.ecb(iv + fed_back)[: len(ciphertext)])


def check_iv(mode: str, cipher: BlockCipher, iv: bytes) -> None:
    if len(iv) != cipher.block:
        raise ParameterInvalid(f"the IV in {mode} mode has {cipher.block} bytes, not {len(iv)}")


def _blocks(cipher: BlockCipher, data: bytes) -> int:
    return -(-len(data) // cipher.block)


# -- CCM -----------------------------------------------------------------------------------------------------------


def ccm_encrypt(
    cipher: BlockCipher, nonce: bytes, plaintext: bytes, *, aad: bytes = b"", tag_length: int = 16
) -> tuple[bytes, bytes]:
    """Ciphertext and tag by CCM (SP 800-38C, RFC 3610), in one CBC and one ECB call.

    The nonce has 7 to 13 bytes and must never come twice under a key; with 13 bytes the plaintext is at most 65,535
    bytes, each byte less allows 256 times more. The tag has 4 to 16 bytes, an even number. Else: ParameterInvalid.
    """
    _check_ccm(cipher, nonce, len(plaintext), tag_length)
    mac = _ccm_mac(cipher, nonce, plaintext, aad, tag_length)
    return _ccm_stream(cipher, nonce, plaintext, mac)


def ccm_decrypt(cipher: BlockCipher, nonce: bytes, ciphertext: bytes, tag: bytes, *, aad: bytes = b"") -> bytes:
    """The plaintext, in one ECB and one CBC call, or DataRejected when the tag does not belong to all of the rest.

    Sizes as in ``ccm_encrypt``: ParameterInvalid.
    """
    _check_ccm(cipher, nonce, len(ciphertext), len(tag))
    plaintext, mac = _ccm_stream(cipher, nonce, ciphertext, tag)
    if not hmac.compare_digest(mac, _ccm_mac(cipher, nonce, plaintext, aad, len(tag))):
        raise DataRejected("the tag does not match")
    return plaintext


def _check_ccm(cipher: BlockCipher, nonce: bytes, length: int, tag_length: int) -> None:
    if cipher.block != CCM_BLOCK:
        raise ParameterInvalid(f"CCM mode needs a cipher with blocks of {CCM_BLOCK} bytes, not {cipher.block}")
    if len(nonce) not in CCM_NONCE:
        raise ParameterInvalid(f"the nonce in CCM mode has {CCM_NONCE[0]} to {CCM_NONCE[-1]} bytes, not {len(nonce)}")
    if tag_length not in CCM_TAGS:
        raise ParameterInvalid(f"a CCM tag has {', '.join(map(str, CCM_TAGS))} bytes, not {tag_length}")
    longest = (1 << (8 * (15 - len(nonce)))) - 1
    if length > longest:
        raise ParameterInvalid(f"CCM mode takes at most {longest} bytes under a nonce of {len(nonce)}, not {length}")


def _ccm_mac(cipher: BlockCipher, nonce: bytes, plaintext: bytes, aad: bytes, tag_length: int) -> bytes:
    """SP 800-38C §6.1 steps 1 to 4 with the formatting of its appendix A.2."""
    width = 15 - len(nonce)
    flags = (64 if aad else 0) + 8 * ((tag_length - 2) // 2) + width - 1
    first = bytes([flags]) + nonce + len(plaintext).to_bytes(width, "big")
    formatted = first + _filled(_length_of_aad(aad) + aad) + _filled(plaintext)
    return cipher.cbc(bytes(CCM_BLOCK), formatted)[-CCM_BLOCK:][:tag_length]


def _ccm_stream(cipher: BlockCipher, nonce: bytes, data: bytes, tag: bytes) -> tuple[bytes, bytes]:
    """Data and tag, each xored with its part of the keystream: S_0 belongs to the tag (appendix A.3)."""
    width = 15 - len(nonce)
    counter = bytes([width - 1]) + nonce + bytes(width)
    keystream = cipher.ecb(counter_blocks(counter, 1 + _blocks(cipher, data), counting=width))
    return xor(data, keystream[CCM_BLOCK : CCM_BLOCK + len(data)]), xor(tag, keystream[: len(tag)])


def _length_of_aad(aad: bytes) -> bytes:
    length = len(aad)
    if length == 0:
        return b""
    if length < 0xFF00:
        return length.to_bytes(2, "big")
    if length < 1 << 32:
        return b"\xff\xfe" + length.to_bytes(4, "big")
    return b"\xff\xff" + length.to_bytes(8, "big")


def _filled(data: bytes) -> bytes:
    return data + bytes(-len(data) % CCM_BLOCK)


# -- CMAC ----------------------------------------------------------------------------------------------------------


def cmac(cipher: BlockCipher, data: bytes) -> bytes:
    """The whole CMAC (SP 800-38B §6.2), one block, in one ECB and one CBC call; data of any length.

    The subkeys come from L = E(0), so the two calls cannot be one. A block of neither 8 nor 16 bytes: ParameterInvalid.
    """
    if cipher.block not in CMAC_REDUCTION:
        raise ParameterInvalid(f"CMAC needs a cipher with blocks of 8 or 16 bytes, not {cipher.block}")
    whole = _doubled(cipher.ecb(bytes(cipher.block)))
    split = max(0, _blocks(cipher, data) - 1) * cipher.block
    head, last = data[:split], data[split:]
    if len(last) == cipher.block:
        last = xor(last, whole)
    else:
        last = xor((last + b"\x80").ljust(cipher.block, b"\0"), _doubled(whole))
    return cipher.cbc(bytes(cipher.block), head + last)[-cipher.block :]


def _doubled(value: bytes) -> bytes:
    """Multiplication by x in GF(2^b), SP 800-38B §6.1."""
    bits = 8 * len(value)
    shifted = int.from_bytes(value, "big") << 1
    reduced = (shifted & ((1 << bits) - 1)) ^ (CMAC_REDUCTION[len(value)] * (shifted >> bits))
    return reduced.to_bytes(len(value), "big")
