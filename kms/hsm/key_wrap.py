"""RFC 5649 over any AES block function, for lengths that a token's own KWP gets wrong.

Pure: it must not know the token; the caller lends it one-block encryption.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

_ALTERNATIVE_IV = b"\xa6\x59\x59\xa6"  # RFC 5649 §3


def wrap_with_padding(encrypt_block: Callable[[bytes], bytes], material: bytes) -> bytes:
    """RFC 5649 §4.1: pad to 8 bytes, keep the true length in the initial value, then RFC 3394 §2.2.1."""
    register = _ALTERNATIVE_IV + struct.pack(">I", len(material))
    padded = material + bytes(-len(material) % 8)
    if len(padded) == 8:
        return encrypt_block(register + padded)
    blocks = [padded[i : i + 8] for i in range(0, len(padded), 8)]
    step = 0
    for _ in range(6):
        for index, block in enumerate(blocks):
            step += 1
            output = encrypt_block(register + block)
            register = (int.from_bytes(output[:8], "big") ^ step).to_bytes(8, "big")
            blocks[index] = output[8:]
    return register + b"".join(blocks)
