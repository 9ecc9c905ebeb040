"""A cipher over data that comes in parts: what comes out is what one call on all of it would give.

The caller carries the state, plain values that hold up to a block of data and, for GCM, the hash subkey: whoever keeps
it seals it. GCM is GCTR and GHASH side by side (SP 800-38D §7), so that decryption answers before the tag is known;
nothing of it may be trusted until ``tag`` agrees. It must not know where keys and states live, rows or the wire.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import msgspec

from kms.crypto import block_chain, ghash
from kms.crypto.block_chain import BLOCK_MODES, ChainState
from kms.crypto.block_modes import DecipheringBlockCipher, xor
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.crypto.ghash import GhashState

GCM = "GCM"
MODES = BLOCK_MODES | {"CTR", "OFB", "CFB", GCM}


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the cipher stands. ``ghash`` and ``j0`` (the pre-counter block) are GCM's."""

    chain: ChainState
    ghash: GhashState | None = None
    j0: bytes = field(default=b"", repr=False)

    @property
    def mode(self) -> str:
        return self.chain.mode if self.ghash is None else GCM

    def to_bytes(self) -> bytes:
        ghash_bytes = b"" if self.ghash is None else self.ghash.to_bytes()
        chain = self.chain
        return msgspec.msgpack.encode(
            (chain.mode, chain.encrypting, chain.block, chain.chain, chain.pending, ghash_bytes, self.j0)
        )

    @classmethod
    def from_bytes(cls, packed: bytes) -> Progress:
        """Of bytes that ``to_bytes`` made: the caller knows that they are unaltered."""
        mode, encrypting, block, chain, pending, hashed, j0 = msgspec.msgpack.decode(packed, type=_Packed)
        state = ChainState(mode, encrypting, block, chain, pending)
        return cls(state, GhashState.from_bytes(hashed) if hashed else None, j0)


_Packed = tuple[str, bool, int, bytes, bytes, bytes, bytes]


def check_mode(mode: str) -> None:
    if mode not in MODES:
        raise AlgorithmUnsupported(f"{mode} mode takes its data whole: use one call")


def begin(
    cipher: DecipheringBlockCipher, mode: str, *, encrypting: bool, iv: bytes | None = None, aad: bytes = b""
) -> Progress:
    """Before any data. AlgorithmUnsupported for modes that need to see all of it first."""
    check_mode(mode)
    if mode != GCM:
        if aad:
            raise ParameterInvalid(f"{mode} mode takes no additional data")
        return Progress(block_chain.begin(mode, encrypting=encrypting, block=cipher.block, iv=iv))
    subkey = cipher.ecb(bytes(ghash.BLOCK))
    j0 = ghash.gcm_j0(subkey, iv or b"")
    counter = j0[:12] + ((int.from_bytes(j0[12:], "big") + 1) % (1 << 32)).to_bytes(4, "big")
    chain = block_chain.begin("GCTR", encrypting=encrypting, block=cipher.block, iv=counter)
    return Progress(chain, ghash.absorb_aad(ghash.begin(subkey), aad), j0)


def absorb_aad(progress: Progress, aad: bytes) -> Progress:
    """More additional data, which comes before all other."""
    if progress.ghash is None:
        raise ParameterInvalid(f"{progress.mode} mode takes no additional data")
    return replace(progress, ghash=ghash.absorb_aad(progress.ghash, aad))


def advance(cipher: DecipheringBlockCipher, progress: Progress, data: bytes) -> tuple[bytes, Progress]:
    """What can be answered after ``data``, and where the cipher stands then."""
    output, chain = block_chain.advance(cipher, progress.chain, data)
    if progress.ghash is None:
        return output, replace(progress, chain=chain)
    ciphertext = output if chain.encrypting else data
    return output, replace(progress, chain=chain, ghash=ghash.absorb(progress.ghash, ciphertext))


def finish(cipher: DecipheringBlockCipher, progress: Progress) -> bytes:
    """The last of the output. DataRejected when it was not padded."""
    return block_chain.finish(cipher, progress.chain)


def tag(cipher: DecipheringBlockCipher, progress: Progress, bits: int) -> bytes:
    """GCM's tag over all that was answered."""
    assert progress.ghash is not None
    return xor(ghash.digest(progress.ghash), cipher.ecb(progress.j0))[: bits // 8]
