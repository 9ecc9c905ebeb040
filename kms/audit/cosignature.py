"""Witnesses' keys, what they are asked, and the lines that they sign: C2SP tlog-witness and tlog-cosignature. Pure.

A witness remembers how far a log had come and signs checkpoints that extend that. It must not know how one is reached.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

SIZE_TYPE = "text/x.tlog.size"
LONGEST_LINE = 512
_ED25519_COSIGNATURE = b"\x04"
_KEY_ID_BYTES, _TIME_BYTES, _KEY_BYTES = 4, 8, 32


@dataclass(frozen=True, slots=True)
class WitnessKey:
    """A verifier key of signature type 4: ``name+id+base64(type || public key)``."""

    name: str
    id: bytes
    public: bytes

    @property
    def label(self) -> str:
        return f"{self.name}+{self.id.hex()}"


@dataclass(frozen=True, slots=True)
class Witness:
    """``url`` is the prefix that checkpoints are submitted under."""

    key: WitnessKey
    url: str

    @property
    def address(self) -> str:
        return f"{self.url.rstrip('/')}/add-checkpoint"


def witness_key(text: str) -> WitnessKey:
    """ValueError says what is wrong with the text."""
    try:
        name, identity, encoded = text.split("+", 2)
        raw = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        raise ValueError("is not a verifier key: name+id+key") from None
    if raw[:1] != _ED25519_COSIGNATURE or len(raw) != 1 + _KEY_BYTES:
        raise ValueError("is not a key of signature type 4 (Ed25519 cosignature)")
    identifier = hashlib.sha256(f"{name}\n".encode() + raw).digest()[:_KEY_ID_BYTES]
    if not name or identity != identifier.hex():
        raise ValueError("does not have the id that its name and key make")
    return WitnessKey(name, identifier, raw[1:])


def submission(old: int, proof: Sequence[bytes], note: str) -> bytes:
    """The body of ``add-checkpoint``: the size that the witness knows, that the note extends it, and the note."""
    lines = [f"old {old}", *(base64.b64encode(each).decode() for each in proof)]
    return ("\n".join(lines) + f"\n\n{note}").encode()


def known_size(body: bytes) -> int | None:
    """The size that a witness says it knows, in its answer to another; None: it says none."""
    text = body.decode("ascii", errors="replace").removesuffix("\n")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None


def cosigned(key: WitnessKey, text: str, body: bytes) -> str | None:
    """The line of a witness's answer that is a signature of this key's over the checkpoint; None: there is none."""
    for line in body.decode(errors="replace").splitlines():
        if len(line) <= LONGEST_LINE and _holds(key, text, line):
            return line
    return None


def _holds(key: WitnessKey, text: str, line: str) -> bool:
    dash, name, encoded = [*line.split(" "), "", ""][:3]
    try:
        blob = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        return False
    if dash != "\N{EM DASH}" or name != key.name or blob[:_KEY_ID_BYTES] != key.id:
        return False
    time = int.from_bytes(blob[_KEY_ID_BYTES : _KEY_ID_BYTES + _TIME_BYTES], "big")
    signature = blob[_KEY_ID_BYTES + _TIME_BYTES :]
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(
            signature, f"cosignature/v1\ntime {time}\n{text}".encode()
        )
    except (InvalidSignature, ValueError):
        return False
    return True
