#!/usr/bin/env python3
"""Verify what a Keystead server exported of its record, trusting nobody: one file, to be read before it is run.

It needs Python 3.11 and `cryptography`, the server's public key as the auditor was given it, and, to see that history
was not rewritten, a checkpoint that the auditor kept from an earlier visit.

    keystead_verify.py bundle FOLDER --key KEY [--old CHECKPOINT]    every entry of an export
    keystead_verify.py entry FILE --key KEY                          one entry, by its inclusion proof
    keystead_verify.py consistency FILE --key KEY --old CHECKPOINT   that a checkpoint extends an older one
    keystead_verify.py selftest keystead_vectors.json                that this copy finds what it must find

With --witness KEY each of the first three demands that this witness cosigned the checkpoint.

Formats: Merkle trees and proofs of RFC 6962 and RFC 9162 §2.1; checkpoints and keys of C2SP tlog-checkpoint and
signed-note, signature type 2 (ECDSA P-256, SHA-256); cosignatures of C2SP tlog-cosignature, type 4 (Ed25519).
Exit status: 0 holds, 1 does not, 2 cannot be read.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import io
import json
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

# The server writes an entry each minute; a longer silence is shown to the auditor.
SILENCE = timedelta(minutes=5)
LARGEST = 2**63 - 1
RESULTS = ("holds", "does not hold", "unreadable")  # by exit status
_SIZE = re.compile("0|[1-9][0-9]{0,18}")
_WITHHELD = re.compile(rb'\{"leaf":"([A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=)"\}')
_TIME = re.compile(rb'"time":"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{6})Z"')


class DoesNotHold(Exception):
    """Something was changed, or is not what it says it is."""


class Unreadable(Exception):
    """The input is not in the format; nothing can be said about it."""


# -- checkpoints ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Witness:
    """The verifier key of somebody who cosigns: ``name+id+base64(4 || Ed25519 public key)``."""

    name: str
    id: bytes
    public: Ed25519PublicKey

    @classmethod
    def parse(cls, text: str) -> Witness:
        name, identifier, raw = _verifier_key(text)
        if raw[:1] != b"\x04" or len(raw) != 33:
            raise Unreadable("the witness's key is not of signature type 4 (Ed25519 cosignature)")
        if identifier != hashlib.sha256(f"{name}\n".encode() + raw).digest()[:4].hex():
            raise Unreadable("the witness's key's id is not that of the key")
        return cls(name, bytes.fromhex(identifier), Ed25519PublicKey.from_public_bytes(raw[1:]))

    def demand(self, text: str, signatures: str) -> None:
        """That one of the lines is this witness's, over this checkpoint."""
        for blob in _signed_by(self, signatures):
            time = int.from_bytes(blob[4:12], "big")
            try:
                self.public.verify(blob[12:], f"cosignature/v1\ntime {time}\n{text}".encode())
            except InvalidSignature:
                raise DoesNotHold(f"the cosignature is not that of the witness {self.name}") from None
            return
        raise DoesNotHold(f"the checkpoint carries no cosignature of the witness {self.name}")


@dataclass(frozen=True)
class Key:
    """A verifier key: ``name+id+base64(type || public key)``, and the witnesses who must have signed as well."""

    name: str
    id: bytes
    public: EllipticCurvePublicKey
    witnesses: tuple[Witness, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Key:
        name, identifier, raw = _verifier_key(text)
        try:
            public = load_der_public_key(raw[1:])
        except (ValueError, UnsupportedAlgorithm) as error:
            raise Unreadable("the key is not a verifier key") from error
        if raw[:1] != b"\x02" or not isinstance(public, EllipticCurvePublicKey) or public.curve.name != "secp256r1":
            raise Unreadable("the key is not of signature type 2 (ECDSA P-256)")
        if identifier != hashlib.sha256(raw[1:]).digest()[:4].hex():
            raise Unreadable("the key's id is not that of the key")
        return cls(name, bytes.fromhex(identifier), public)


@dataclass(frozen=True)
class Checkpoint:
    origin: str
    size: int
    root: bytes


def _verifier_key(text: str) -> tuple[str, str, bytes]:
    try:
        name, identifier, encoded = text.strip().split("+", 2)
        raw = _base64(encoded)
    except ValueError as error:
        raise Unreadable("the key is not a verifier key") from error
    if not _shown(name) or " " in name:
        raise Unreadable("the key's name is not in the format")
    return name, identifier, raw


def opened(note: str, key: Key) -> Checkpoint:
    """The checkpoint of a signed note, if the key signed it, and every witness that must have."""
    return _parsed(signed_text(note, key))


def signed_text(note: str, key: Key) -> str:
    text, separator, signatures = note.partition("\n\n")
    if not separator or not signatures.endswith("\n"):
        raise Unreadable("the checkpoint has no signature")
    text += "\n"
    for blob in _signed_by(key, signatures):
        try:
            key.public.verify(blob[4:], text.encode(), ECDSA(SHA256()))
        except InvalidSignature:
            raise DoesNotHold("the signature on the checkpoint is not the key's") from None
        for witness in key.witnesses:
            witness.demand(text, signatures)
        return text
    raise DoesNotHold("the checkpoint carries no signature by the key")


def _signed_by(key: Key | Witness, signatures: str) -> list[bytes]:
    """What the lines that say that they are this key's hold: its id, and a signature."""
    found = []
    for line in signatures[:-1].split("\n"):
        try:
            dash, name, encoded = line.split(" ")
            blob = _base64(encoded)
        except ValueError:
            raise Unreadable("a line of the checkpoint's signatures is none") from None
        if dash != "\N{EM DASH}" or not name or len(blob) < 5:
            raise Unreadable("a line of the checkpoint's signatures is none")
        if name == key.name and blob[:4] == key.id:
            found.append(blob)
    return found


def _parsed(text: str) -> Checkpoint:
    """Exactly three lines."""
    try:
        origin, size, encoded, rest = text.split("\n")
        root = _base64(encoded)
    except ValueError:
        raise Unreadable("the checkpoint is not in the format") from None
    if rest or not _shown(origin) or len(root) != 32 or not _SIZE.fullmatch(size) or int(size) > LARGEST:
        raise Unreadable("the checkpoint is not in the format")
    return Checkpoint(origin, int(size), root)


def _shown(name: str) -> bool:
    """Names are read by people: none looks like another, none moves a terminal's cursor."""
    return bool(name) and name.isascii() and name.isprintable()


# -- trees ---------------------------------------------------------------------------------------------------------


def leaf_hash(line: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + line).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """The right edge of a growing tree: the complete subtrees that make up ``size``, largest first."""

    def __init__(self, size: int, hashes: Iterable[bytes]) -> None:
        self.size, self.hashes = size, list(hashes)
        if size < 0 or len(self.hashes) != bin(size).count("1"):
            raise Unreadable("the hashes of what came before do not fit its size")

    def append(self, leaf: bytes) -> None:
        index = self.size
        while index & 1:
            leaf = node_hash(self.hashes.pop(), leaf)
            index >>= 1
        self.hashes.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        if not self.hashes:
            return hashlib.sha256(b"").digest()
        root = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            root = node_hash(left, root)
        return root


def check_inclusion(leaf: bytes, index: int, size: int, path: list[bytes], root: bytes) -> None:
    """RFC 9162 §2.1.3.2."""
    if not 0 <= index < size:
        raise DoesNotHold("the tree has no such entry")
    first, last, reached = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            raise DoesNotHold("the inclusion proof is too long")
        if first & 1 or first == last:
            reached = node_hash(sibling, reached)
            while not first & 1 and first != 0:
                first, last = first >> 1, last >> 1
        else:
            reached = node_hash(reached, sibling)
        first, last = first >> 1, last >> 1
    if last != 0 or reached != root:
        raise DoesNotHold("the inclusion proof does not lead to the root")


def check_consistency(old: Checkpoint, new: Checkpoint, path: list[bytes]) -> None:
    """RFC 9162 §2.1.4.2."""
    _demand_one_log(old, new)
    if old.size > new.size:
        raise DoesNotHold(f"the log has shrunk from {old.size} entries to {new.size}")
    if old.size in (0, new.size):
        if path or (old.size and old.root != new.root):
            raise DoesNotHold("two roots for one size")
        return
    if old.size & (old.size - 1) == 0:
        path = [old.root, *path]
    if not path:
        raise DoesNotHold("the consistency proof is empty")
    first, last = old.size - 1, new.size - 1
    while first & 1:
        first, last = first >> 1, last >> 1
    before = after = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise DoesNotHold("the consistency proof is too long")
        if first & 1 or first == last:
            before, after = node_hash(sibling, before), node_hash(sibling, after)
            while not first & 1 and first != 0:
                first, last = first >> 1, last >> 1
        else:
            after = node_hash(after, sibling)
        first, last = first >> 1, last >> 1
    if last != 0 or before != old.root or after != new.root:
        raise DoesNotHold("the newer checkpoint does not extend the older one: history was rewritten")


# -- what is verified ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Summary:
    """What was found to hold, for a reader."""

    checkpoint: Checkpoint
    entries: int = 0
    silences: tuple[str, ...] = ()
    withheld: int = 0


def verify_bundle(folder: Path, key: Key, old: Checkpoint | None) -> Summary:
    """Every entry from the bundle's start to the checkpoint, and that the older checkpoint lies on the way."""
    new = opened(read_text(folder / "checkpoint"), key)
    if old is not None:
        _demand_one_log(old, new)
    before = read_json(folder / "before.json")
    tree = Tree(_number(before, "size"), _hashes(before, "hashes"))
    start, met, silences, hidden = tree.size, False, _Silences(), 0
    if old is not None and old.size < start:
        start_point = Checkpoint(new.origin, tree.size, tree.root())
        check_consistency(old, start_point, _hashes(read_json(folder / "consistency.json"), "proof"))
        met = True
    if old is not None and old.size == start:
        _same(old, tree)
        met = True
    for line in read_lines(folder / "entries.jsonl"):
        hashed = withheld(line)
        tree.append(leaf_hash(line) if hashed is None else hashed)
        if hashed is None:
            silences.see(line, tree.size)
        hidden += hashed is not None
        if old is not None and tree.size == old.size:
            _same(old, tree)
            met = True
    if tree.size != new.size:
        raise DoesNotHold(f"the checkpoint is over {new.size} entries, the bundle ends after {tree.size}")
    if tree.root() != new.root:
        raise DoesNotHold("the entries are not those that the checkpoint was signed over")
    if old is not None and not met:
        raise DoesNotHold(f"the older checkpoint is over {old.size} entries: more than there are now")
    return Summary(new, tree.size - start, tuple(silences.found), hidden)


def withheld(line: bytes) -> bytes | None:
    """The hash of an entry that is not for this auditor, and is there so that the others can be verified."""
    found = _WITHHELD.fullmatch(line)
    return _base64(found[1].decode()) if found else None


def verify_entry(proof: dict[str, Any], key: Key) -> Summary:
    checkpoint = opened(_string(proof, "checkpoint"), key)
    leaf = leaf_hash(_string(proof, "entry").encode())
    check_inclusion(leaf, _number(proof, "index"), checkpoint.size, _hashes(proof, "proof"), checkpoint.root)
    return Summary(checkpoint, 1)


def verify_consistency(proof: dict[str, Any], key: Key, old: Checkpoint) -> Summary:
    checkpoint = opened(_string(proof, "checkpoint"), key)
    check_consistency(old, checkpoint, _hashes(proof, "proof"))
    return Summary(checkpoint)


def _demand_one_log(old: Checkpoint, new: Checkpoint) -> None:
    if old.origin != new.origin:
        raise DoesNotHold(f"the checkpoints are of two logs: {old.origin} and {new.origin}")


def _same(old: Checkpoint, tree: Tree) -> None:
    if old.root != tree.root():
        raise DoesNotHold(f"the first {old.size} entries are not those of the older checkpoint: history was rewritten")


class _Silences:
    """Stretches without an entry. A server that was off has them as well: they are shown, and no failure."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self._last: datetime | None = None

    def see(self, line: bytes, number: int) -> None:
        # The time is the third field; parsing every line whole would halve the speed.
        found = _TIME.search(line)
        try:
            time = datetime.fromisoformat(found[1].decode() if found else "")
        except ValueError:
            raise Unreadable(f"entry {number} has no time") from None
        if self._last is not None and time - self._last > SILENCE:
            self.found.append(f"nothing from {self._last} to {time}, before entry {number}")
        self._last = time


# -- reading -------------------------------------------------------------------------------------------------------


def read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise Unreadable(f"{path.name} cannot be read") from error


def read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(read_text(path), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"{path.name} is not JSON, or says something twice") from error
    if not isinstance(found, dict):
        raise Unreadable(f"{path.name} is not an object")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object in which no name comes twice: readers differ in which one counts."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name comes twice")
    return found


def read_lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    raise DoesNotHold("the last line of the entries is cut off")
                yield line[:-1]
    except OSError as error:
        raise Unreadable(f"{path.name} cannot be read") from error


def _base64(text: str) -> bytes:
    """One text for each value: bits that base64 leaves unused are zero."""
    raw = base64.b64decode(text, validate=True)
    if base64.b64encode(raw).decode() != text:
        raise ValueError("not canonical base64")
    return raw


def _number(found: dict[str, Any], name: str) -> int:
    number = found.get(name)
    if type(number) is not int or not 0 <= number <= LARGEST:
        raise Unreadable(f"{name} is not a number from 0 to {LARGEST}")
    return number


def _string(found: dict[str, Any], name: str) -> str:
    text = found.get(name)
    if not isinstance(text, str) or any("\ud800" <= each <= "\udfff" for each in text):
        raise Unreadable(f"{name} is not text")
    return text


def _hashes(found: dict[str, Any], name: str) -> list[bytes]:
    """Each is base64 of 32 bytes."""
    texts = found.get(name)
    try:
        hashes = [_base64(each) for each in texts] if isinstance(texts, list) else [b""]
    except (TypeError, ValueError) as error:
        raise Unreadable(f"{name} is not a list of hashes") from error
    if any(len(each) != 32 for each in hashes):
        raise Unreadable(f"{name} is not a list of hashes")
    return hashes


# -- the program ---------------------------------------------------------------------------------------------------


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Verify what a Keystead server exported of its record.")
    parser.add_argument("what", choices=["bundle", "entry", "consistency", "selftest"])
    parser.add_argument("path", type=Path, help="the folder of a bundle, or the file of a proof or of the cases")
    parser.add_argument("--key", help="the verifier key, or a file that holds it")
    parser.add_argument("--old", type=Path, help="a checkpoint from an earlier visit")
    parser.add_argument("--witness", action="append", default=[], help="the key of a witness who must have cosigned")
    wanted = parser.parse_args(arguments)
    try:
        if wanted.what == "selftest":
            return selftest(read_json(wanted.path))
        if wanted.key is None:
            raise Unreadable("--key is needed: the verifier key as you were given it")
        key = Key.parse(given(wanted.key))
        witnesses = tuple(Witness.parse(given(each)) for each in wanted.witness)
        old = opened(read_text(wanted.old), key) if wanted.old else None
        summary = _verified(wanted.what, wanted.path, replace(key, witnesses=witnesses), old)
    except DoesNotHold as error:
        print(f"DOES NOT HOLD: {error}")
        return 1
    except Unreadable as error:
        print(f"cannot be verified: {error}")
        return 2
    for silence in summary.silences:
        print(f"note: {silence}")
    if summary.withheld:
        print(f"note: of {summary.withheld} entries there is the hash alone: they are withheld from you")
    seen = "" if old is None else f", and extends the {old.size} entries of the older checkpoint"
    seen += "".join(f", witnessed by {each.name}" for each in witnesses)
    print(f"holds: {summary.entries} entries under {summary.checkpoint.origin}, size {summary.checkpoint.size}{seen}")
    return 0


def selftest(published: dict[str, Any]) -> int:
    """Each case is a folder, the shared files or its own in it, and what must be said of them and why."""
    cases, wrong = published.get("cases"), 0
    if not isinstance(cases, list):
        raise Unreadable("the file holds no cases")
    for case in cases:
        with TemporaryDirectory() as folder, contextlib.chdir(folder), redirect_stdout(io.StringIO()) as said:
            for name, content in (published["shared"] | case["files"]).items():
                if content is not None:
                    Path(Path(name).name).write_bytes(content.encode(errors="surrogateescape"))
            status = main(case["arguments"].split())
        if status != RESULTS.index(case["result"]) or case["reason"] not in said.getvalue():
            wrong += 1
            print(f"{case['id']}: must be {case['result']} ({case['reason']}); it was said: {said.getvalue().strip()}")
    print(f"{len(cases) - wrong} of {len(cases)} cases as they must be")
    return min(wrong, 1)


def given(text: str) -> str:
    """A key, or what the file of this name holds."""
    try:
        return Path(text).read_bytes().decode()
    except OSError:  # no file of this name
        return text
    except ValueError as error:
        raise Unreadable("a key cannot be read") from error


def _verified(what: str, path: Path, key: Key, old: Checkpoint | None) -> Summary:
    if what == "bundle":
        return verify_bundle(path, key, old)
    if what == "entry":
        return verify_entry(read_json(path), key)
    if old is None:
        raise Unreadable("--old is needed to verify consistency")
    return verify_consistency(read_json(path), key, old)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
