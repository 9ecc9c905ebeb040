"""Checkpoints of the record as signed notes, in the formats of C2SP (tlog-checkpoint, signed-note). Pure.

A checkpoint is three lines: whose log, how many entries, the root. A signed note is text, an empty line, and lines of
signatures. Ours are ECDSA on P-256 with SHA-256 (signature type 2), which every token offers.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

_ECDSA = b"\x02"
_KEY_ID_BYTES = 4


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """``origin`` names the log; an epoch's log is a log of its own. ``root`` is 32 bytes."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def signed_note(text: str, name: str, spki: bytes, sign: Callable[[bytes], bytes]) -> str:
    """``sign`` gives an ASN.1 ECDSA signature over SHA-256 of what it is given; ``spki`` is its public key, DER."""
    signature = base64.b64encode(_key_id(spki) + sign(text.encode())).decode()
    return f"{text}\n\N{EM DASH} {name} {signature}\n"


def verifier_key(name: str, spki: bytes) -> str:
    """The public key as verifiers of signed notes are given it: name, key id, type and key."""
    return f"{name}+{_key_id(spki).hex()}+{base64.b64encode(_ECDSA + spki).decode()}"


def _key_id(spki: bytes) -> bytes:
    return hashlib.sha256(spki).digest()[:_KEY_ID_BYTES]
