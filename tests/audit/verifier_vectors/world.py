"""A log of eleven entries, the keys of its world, and evidence about it as a server would hand it out."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from kms.audit.checkpoint import Checkpoint, signed_note, verifier_key
from kms.audit.merkle import complete_subtrees, consistency_proof, folded, inclusion_proof, leaf_hash, range_hash

HOLDS, DOES_NOT_HOLD, UNREADABLE = "holds", "does not hold", "unreadable"

NAME = "keystead/00000000-0000-8000-8000-000000000000/record"
ORIGIN = f"{NAME}/1"
SIZE, OLD, START = 11, 5, 3
NOTHING: Mapping[str, None] = MappingProxyType({})


@dataclass(frozen=True)
class Signing:
    """A key that is known to everybody who reads this, and signs the same text the same way each time."""

    private: ec.EllipticCurvePrivateKey

    @property
    def spki(self) -> bytes:
        return self.private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def sign(self, data: bytes) -> bytes:
        return self.private.sign(data, ec.ECDSA(SHA256(), deterministic_signing=True))


def _signing(words: str) -> Signing:
    return Signing(ec.derive_private_key(int.from_bytes(hashlib.sha256(words.encode()).digest()), ec.SECP256R1()))


SERVER, STRANGER = _signing("a test key of Keystead's verifier"), _signing("somebody else's")
KEY = verifier_key(NAME, SERVER.spki)


def line(number: int, **more: Any) -> bytes:
    """Real ones have more fields; the verifier looks at the time alone."""
    time = f"2026-01-01T00:{number:02}:00.000000Z"
    return json.dumps(
        {"v": 1, "sequence": number + 1, "time": time, "action": "object.sign", "outcome": "done", **more},
        separators=(",", ":"),
    ).encode()


LINES = [line(number) for number in range(SIZE)]


def read_of(lines: Sequence[bytes]) -> Callable[[int, int], bytes]:
    hashes = [leaf_hash(each) for each in lines]
    return lambda level, index: folded(hashes[index << level : (index + 1) << level])


def root_of(lines: Sequence[bytes]) -> bytes:
    return range_hash(read_of(lines), 0, len(lines))


def text_of(lines: Sequence[bytes], origin: str = ORIGIN) -> str:
    return Checkpoint(origin, len(lines), root_of(lines)).text()


def note(text: str, signing: Signing = SERVER, name: str = NAME) -> str:
    return signed_note(text, name, signing.spki, signing.sign)


def note_of(lines: Sequence[bytes]) -> str:
    return note(text_of(lines))


NOTE, OLD_NOTE = note_of(LINES), note_of(LINES[:OLD])


def encoded(hashes: Iterable[bytes]) -> list[str]:
    return [base64.b64encode(each).decode() for each in hashes]


def compact(content: Any) -> str:
    return json.dumps(content)


# -- cases ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """``files`` lie in one folder, where the verifier is called with ``arguments``; what it says holds ``reason``."""

    id: str
    comment: str
    result: str
    reason: str
    files: dict[str, str | None] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()

    def but(
        self,
        case: str,
        comment: str,
        reason: str,
        result: str = DOES_NOT_HOLD,
        files: Mapping[str, str | bytes | None] = NOTHING,
        **more: str | bytes | None,
    ) -> Case:
        """The same with other files (``entries`` for entries.jsonl and so on); None: the file is not there."""
        others = {FILES[name]: _text(content) for name, content in {**files, **more}.items()}
        return replace(self, id=case, comment=comment, result=result, reason=reason, files=self.files | others)

    def called(self, *arguments: str) -> Case:
        return replace(self, arguments=arguments)


FILES = {
    "entries": "entries.jsonl",
    "before": "before.json",
    "consistency": "consistency.json",
    "checkpoint": "checkpoint",
    "proof": "proof.json",
    "key": "key",
    "old": "old",
    "witness": "witness",
}


def _text(content: str | bytes | None) -> str | None:
    """Bytes that are no UTF-8 are lone surrogates in JSON (PEP 383)."""
    return content.decode(errors="surrogateescape") if isinstance(content, bytes) else content


def jsonl(lines: Iterable[bytes]) -> bytes:
    return b"".join(each + b"\n" for each in lines)


def before(lines: Sequence[bytes], start: int) -> str:
    read = read_of(lines)
    hashes = [read(level, index) for level, index in complete_subtrees(0, start)]
    return compact({"size": start, "hashes": encoded(hashes)})


def bundle(start: int = START) -> Case:
    """A bundle from ``start``, verified with the checkpoint of an earlier visit."""
    files: dict[str, str | None] = {
        "entries.jsonl": jsonl(LINES[start:]).decode(),
        "before.json": before(LINES, start),
        "checkpoint": NOTE,
        "key": KEY,
        "old": OLD_NOTE,
    }
    if start > OLD:
        files["consistency.json"] = compact({"proof": encoded(consistency_proof(read_of(LINES), OLD, start))})
    return Case("", "", HOLDS, "", files, ("bundle", ".", "--key", "key", "--old", "old"))


def entry(place: int = 6, size: int = SIZE, **changes: Any) -> Case:
    """``changes`` are parts of the proof's file."""
    proof = {
        "checkpoint": note_of(LINES[:size]),
        "entry": LINES[place].decode(),
        "index": place,
        "proof": encoded(inclusion_proof(read_of(LINES), place, size)),
    }
    files: dict[str, str | None] = {"proof.json": compact(proof | changes), "key": KEY}
    return Case("", "", HOLDS, "", files, ("entry", "proof.json", "--key", "key"))


def growth(old: int = OLD, size: int = SIZE, **changes: Any) -> Case:
    proof = {
        "checkpoint": note_of(LINES[:size]),
        "proof": encoded(consistency_proof(read_of(LINES), old, size)),
    }
    files: dict[str, str | None] = {"proof.json": compact(proof | changes), "key": KEY, "old": note_of(LINES[:old])}
    return Case("", "", HOLDS, "", files, ("consistency", "proof.json", "--key", "key", "--old", "old"))


# -- a witness -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cosigning:
    """C2SP tlog-cosignature, type 4."""

    name: str
    private: Ed25519PrivateKey

    @property
    def _raw(self) -> bytes:
        return b"\x04" + self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    @property
    def _id(self) -> bytes:
        return hashlib.sha256(f"{self.name}\n".encode() + self._raw).digest()[:4]

    @property
    def key(self) -> str:
        return f"{self.name}+{self._id.hex()}+{base64.b64encode(self._raw).decode()}"

    def line(self, text: str, time: int = 1_767_225_600, said: int | None = None) -> str:
        """``said``: the time that it claims, when that is another than the one it signed."""
        signature = self.private.sign(f"cosignature/v1\ntime {time}\n{text}".encode())
        stamp = (time if said is None else said).to_bytes(8)
        return f"\N{EM DASH} {self.name} {base64.b64encode(self._id + stamp + signature).decode()}\n"


def cosigning(name: str) -> Cosigning:
    return Cosigning(name, Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest()))


WITNESS = cosigning("witness.example/one")
