"""Block cipher modes in pieces of any size: the caller carries the state, the result is that of one call.

A state is plain values, so that it can be sealed and kept between requests; it may hold up to a block of the caller's
data. It must not know where keys or states live, rows, rights or the wire.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, replace

from kms.crypto.block_modes import DecipheringBlockCipher, cfb_decrypt, cfb_encrypt, ctr, ofb
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.hsm.errors import DataRejected

BLOCK_MODES = frozenset({"ECB", "CBC", "CBCNOPAD"})
# GCTR is the CTR of GCM (SP 800-38D §6.5): only the last 32 bits of the counter block count.
STREAM_MODES = frozenset({"CTR", "GCTR", "OFB", "CFB"})
COUNTING = {"CTR": None, "GCTR": 4}


@dataclass(frozen=True, slots=True)
class ChainState:
    """Where a stream of data stands.

    ``chain`` is what the next block is chained to: the last block of ciphertext (CBC, CFB) or of keystream (OFB), or
    the next counter block (CTR). ``pending`` is input that has no whole block yet. A stream mode has answered for it
    already: its length is the offset into the keystream block, and only CFB needs the bytes themselves.
    """

    mode: str
    encrypting: bool
    block: int
    chain: bytes
    pending: bytes = b""


def begin(mode: str, *, encrypting: bool, block: int, iv: bytes | None = None) -> ChainState:
    """The state before any data. ``iv`` is one block (for CTR the first counter block), and absent for ECB."""
    if mode not in BLOCK_MODES | STREAM_MODES:
        raise AlgorithmUnsupported(f"{mode} mode is not offered in parts")
    if mode == "ECB":
        if iv is not None:
            raise ParameterInvalid("ECB mode takes no iv")
        return ChainState(mode, encrypting, block, b"")
    if iv is None:
        raise ParameterInvalid(f"{mode} mode needs the iv")
    if len(iv) != block:
        raise ParameterInvalid(f"the IV in {mode} mode has {block} bytes, not {len(iv)}")
    return ChainState(mode, encrypting, block, iv)


def advance(cipher: DecipheringBlockCipher, state: ChainState, data: bytes) -> tuple[bytes, ChainState]:
    """What can be answered after ``data``, and the state after it, in at most one call of the cipher."""
    _check_block(cipher, state)
    if state.mode in STREAM_MODES:
        return _advance_stream(cipher, state, data)
    held = state.pending + data
    ready = len(held) // state.block * state.block
    if state.mode == "CBC" and not state.encrypting and ready == len(held):
        # The last block carries the padding, and which one is the last shows only at the end.
        ready = max(0, ready - state.block)
    output, chain = _whole_blocks(cipher, state, held[:ready])
    return output, replace(state, chain=chain, pending=held[ready:])


def finish(cipher: DecipheringBlockCipher, state: ChainState) -> bytes:
    """The last of the output.

    ParameterInvalid when the data ended inside a block; DataRejected when the padding is wrong, with one message for
    every cause, so that an answer does not help to guess plaintext (Vaudenay 2002).
    """
    _check_block(cipher, state)
    if state.mode in STREAM_MODES:
        return b""
    if state.mode == "CBC" and state.encrypting:
        return _whole_blocks(cipher, state, padded(state.pending, state.block))[0]
    if state.mode == "CBC":
        if len(state.pending) != state.block:
            raise ParameterInvalid(f"a padded CBC ciphertext is whole blocks of {state.block} bytes, at least one")
        return unpadded(_whole_blocks(cipher, state, state.pending)[0], state.block)
    if state.pending:
        raise ParameterInvalid(f"{state.mode} mode takes whole blocks of {state.block} bytes")
    return b""


def padded(data: bytes, block: int) -> bytes:
    """PKCS#7 (RFC 5652 §6.3)."""
    count = block - len(data) % block
    return data + bytes([count]) * count


def unpadded(data: bytes, block: int) -> bytes:
    """The inverse of ``padded``; anything that ``padded`` does not make is DataRejected."""
    count = data[-1] if data else 0
    expected = bytes([count]) * count
    well = 1 <= count <= block and len(data) % block == 0 and hmac.compare_digest(data[-count:], expected)
    if not well:
        raise DataRejected("the padding is wrong")
    return data[:-count]


def _check_block(cipher: DecipheringBlockCipher, state: ChainState) -> None:
    if cipher.block != state.block:
        raise ParameterInvalid(f"the state belongs to a cipher with blocks of {state.block} bytes, not {cipher.block}")


def _whole_blocks(cipher: DecipheringBlockCipher, state: ChainState, data: bytes) -> tuple[bytes, bytes]:
    """The answer to whole blocks, and what the next block is chained to."""
    if not data:
        return b"", state.chain
    if state.mode == "ECB":
        return (cipher.ecb(data) if state.encrypting else cipher.ecb_decrypt(data)), b""
    if state.encrypting:
        output = cipher.cbc(state.chain, data)
        return output, output[-state.block :]
    return cipher.cbc_decrypt(state.chain, data), data[-state.block :]


def _advance_stream(cipher: DecipheringBlockCipher, state: ChainState, data: bytes) -> tuple[bytes, ChainState]:
    """The pending bytes are run again in front of the new ones: that costs part of a block, and never a second call."""
    if not data:
        return b"", state
    offset = len(state.pending)
    held = state.pending + data
    blocks = len(held) // state.block
    rest = held[blocks * state.block :]
    if state.mode in COUNTING:
        output = ctr(cipher, state.chain, held, counting=COUNTING[state.mode])
        return output[offset:], replace(state, chain=_counted(state, blocks), pending=bytes(len(rest)))
    if state.mode == "OFB":
        output = ofb(cipher, state.chain, held)
        # Ciphertext xor plaintext is the keystream that the next block is made of.
        keystream = _last_block(state, blocks, output, held)
        return output[offset:], replace(state, chain=keystream, pending=bytes(len(rest)))
    output = (cfb_encrypt if state.encrypting else cfb_decrypt)(cipher, state.chain, held)
    ciphertext = output if state.encrypting else held
    chain = ciphertext[(blocks - 1) * state.block : blocks * state.block] if blocks else state.chain
    return output[offset:], replace(state, chain=chain, pending=rest)


def _counted(state: ChainState, blocks: int) -> bytes:
    """The counter block that comes ``blocks`` later."""
    width = COUNTING[state.mode] or state.block
    number = (int.from_bytes(state.chain[-width:], "big") + blocks) % (1 << (8 * width))
    return state.chain[:-width] + number.to_bytes(width, "big")


def _last_block(state: ChainState, blocks: int, output: bytes, held: bytes) -> bytes:
    if not blocks:
        return state.chain
    part = slice((blocks - 1) * state.block, blocks * state.block)
    return bytes(left ^ right for left, right in zip(output[part], held[part], strict=True))
