"""A database's superuser rewrites history, in every way there is; the auditor has an export and an old checkpoint.

Each forgery begins with a good bundle, or with the rows themselves, and is as careful as somebody can be who has all
the rows and no key: hashes, roots and proofs are computed anew. The verifier must find each.
"""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from psycopg.types.json import Jsonb

from accounts.clock import clock
from kms.audit import bundle, keystead_verify
from kms.audit.checkpoint import Checkpoint, signed_note, verifier_key
from kms.audit.merkle import Frontier, leaf_hash
from kms.audit.models import AuditSignature
from kms.audit.sealer import Sealer
from kms.audit.tree import RecordDamaged
from kms.objects import keystore
from kms.operations.record_key import record_signer
from tests.audit.helpers import owner_connection
from tests.audit.test_sealing import newest, written


@dataclass
class Evidence:
    """What the auditor holds: the key, a checkpoint of an earlier visit, and the bundle of this one."""

    key: keystead_verify.Key
    old: keystead_verify.Checkpoint
    folder: Path

    @property
    def lines(self) -> list[bytes]:
        return (self.folder / "entries.jsonl").read_bytes().splitlines()

    @lines.setter
    def lines(self, lines: list[bytes]) -> None:
        (self.folder / "entries.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))

    def verify(self) -> None:
        keystead_verify.verify_bundle(self.folder, self.key, self.old)


@pytest.fixture(scope="module")
def good(installation: None, tmp_path_factory: pytest.TempPathFactory, django_db_blocker: object) -> Evidence:
    folder = tmp_path_factory.mktemp("evidence")
    with django_db_blocker.unblock():  # type: ignore[attr-defined]  # pytest-django's
        sealer, signer = Sealer(keystore.deployment_id(), record_signer), record_signer()
        written(40)
        sealer.turn(clock.now())
        old = newest()
        written(40)
        sealer.turn(clock.now())
        bundle.write(folder / "good", start=max(0, old.size - 20))
    key = keystead_verify.Key.parse(verifier_key(signer.name, signer.spki))
    evidence = Evidence(key, old, folder / "good")
    evidence.verify()
    return evidence


@pytest.fixture
def evidence(good: Evidence, tmp_path: Path) -> Evidence:
    shutil.copytree(good.folder, tmp_path / "copy")
    return Evidence(good.key, good.old, tmp_path / "copy")


def edited(lines: list[bytes], place: int) -> list[bytes]:
    fields = json.loads(lines[place])
    fields["outcome"] = "denied"
    return [*lines[:place], json.dumps(fields, separators=(",", ":")).encode(), *lines[place + 1 :]]


# What is done to the entries, at a place.
FORGERIES: dict[str, Callable[[list[bytes], int], list[bytes]]] = {
    "deleted": lambda lines, at: lines[:at] + lines[at + 1 :],
    "inserted": lambda lines, at: [*lines[:at], lines[at].replace(b'"v":1', b'"v":1,"x":0'), *lines[at:]],
    "doubled": lambda lines, at: [*lines[: at + 1], *lines[at:]],
    "swapped": lambda lines, at: [*lines[: at - 1], lines[at], lines[at - 1], *lines[at + 1 :]],
    "edited": edited,
    "spaced": lambda lines, at: [*lines[:at], lines[at] + b" ", *lines[at + 1 :]],
    "cut off": lambda lines, at: lines[:at],
    "cut at the start": lambda lines, at: lines[at:],
    "replaced by its neighbour": lambda lines, at: [*lines[:at], lines[at - 1], *lines[at + 1 :]],
}
PLACES = (1, 19, 20, 21, 40, -2, -1)


def rechained(evidence: Evidence, sign: Callable[[bytes], bytes] | None, spki: bytes) -> None:
    """A checkpoint over what is there now, signed by whatever the forger has."""
    before = json.loads((evidence.folder / "before.json").read_text())
    frontier = Frontier(before["size"], [base64.b64decode(each) for each in before["hashes"]])
    for line in evidence.lines:
        list(frontier.append(leaf_hash(line)))
    note = (evidence.folder / "checkpoint").read_text()
    text = Checkpoint(evidence.old.origin, frontier.size, frontier.root()).text()
    if sign is None:
        forged = text + "\n" + note.partition("\n\n")[2]
    else:
        forged = signed_note(text, evidence.key.name, spki, sign)
    (evidence.folder / "checkpoint").write_text(forged)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("forgery", FORGERIES)
def test_changed_entries_are_found(evidence: Evidence, forgery: str, place: int) -> None:
    lines = evidence.lines
    evidence.lines = FORGERIES[forgery](lines, place % len(lines))
    assert evidence.lines != lines
    with pytest.raises(keystead_verify.DoesNotHold):
        evidence.verify()


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_new_chain_under_the_old_signature_is_found(evidence: Evidence, forgery: str) -> None:
    evidence.lines = FORGERIES[forgery](evidence.lines, 30)
    rechained(evidence, None, b"")
    with pytest.raises(keystead_verify.DoesNotHold):
        evidence.verify()


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_new_chain_under_another_key_is_found(evidence: Evidence, forgery: str) -> None:
    evidence.lines = FORGERIES[forgery](evidence.lines, 30)
    stranger = ec.generate_private_key(ec.SECP256R1())
    spki = stranger.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    rechained(evidence, lambda data: stranger.sign(data, ec.ECDSA(SHA256())), spki)
    with pytest.raises(keystead_verify.DoesNotHold):
        evidence.verify()


@pytest.mark.parametrize("forgery", [name for name in FORGERIES if not name.startswith("cut")])
def test_whoever_gets_the_token_to_sign_a_new_past_meets_the_old_checkpoint(evidence: Evidence, forgery: str) -> None:
    """The worst case: the server itself signs. What was seen before an earlier visit cannot be changed even so."""
    evidence.lines = FORGERIES[forgery](evidence.lines, 10)
    signer = record_signer()
    rechained(evidence, signer.sign, signer.spki)
    with pytest.raises(keystead_verify.DoesNotHold):
        evidence.verify()


def test_an_older_bundle_does_not_pass_for_the_newer(evidence: Evidence) -> None:
    """A rollback: everything is good and signed, and less than what was seen."""
    newer = keystead_verify.opened((evidence.folder / "checkpoint").read_text(), evidence.key)
    evidence.old = keystead_verify.Checkpoint(newer.origin, newer.size + 5, newer.root)
    with pytest.raises(keystead_verify.DoesNotHold):
        evidence.verify()


def test_another_logs_checkpoint_is_none(evidence: Evidence) -> None:
    evidence.old = keystead_verify.Checkpoint(evidence.old.origin + "0", evidence.old.size, evidence.old.root)
    with pytest.raises(keystead_verify.DoesNotHold, match="two logs"):
        evidence.verify()


@pytest.mark.parametrize("name", ["checkpoint", "before.json", "entries.jsonl"])
def test_each_byte_of_a_file_counts(evidence: Evidence, name: str) -> None:
    """Nothing in a bundle may be changed and still hold, but for white space of JSON."""
    path = evidence.folder / name
    good = path.read_bytes()
    for place in range(0, len(good), max(1, len(good) // 150)):
        if name == "before.json" and good[place : place + 1].isspace():
            continue
        path.write_bytes(good[:place] + bytes([good[place] ^ 0x01]) + good[place + 1 :])
        with pytest.raises((keystead_verify.DoesNotHold, keystead_verify.Unreadable)):
            evidence.verify()


STATEMENTS = (
    "DELETE FROM audit_entry WHERE sequence = %(sequence)s",
    "UPDATE audit_entry SET outcome = 'denied' WHERE sequence = %(sequence)s",
    "UPDATE audit_entry SET time = time - interval '1 day' WHERE sequence = %(sequence)s",
    "UPDATE audit_entry SET actor_id = gen_random_uuid() WHERE sequence = %(sequence)s",
    'UPDATE audit_entry SET details = \'{"name": "other"}\' WHERE sequence = %(sequence)s',
    "UPDATE audit_leaf SET hash = sha256('x') WHERE sequence = %(sequence)s",
    "UPDATE audit_leaf SET sequence = -sequence WHERE sequence = %(sequence)s",
    "DELETE FROM audit_leaf WHERE sequence = %(sequence)s",
)


def exported_and_verified(good: Evidence, folder: Path, *, start: int) -> None:
    bundle.write(folder, start=start)
    keystead_verify.verify_bundle(folder, good.key, None)


@pytest.mark.parametrize("statement", STATEMENTS)
def test_rows_changed_under_the_server_are_found(good: Evidence, tmp_path: Path, statement: str) -> None:
    """By the database's owner, triggers switched off. The change is taken back, as other tests need the tree."""
    sealer = Sealer(keystore.deployment_id(), record_signer)
    (sequence,) = written(1)
    sealer.turn(clock.now())
    written(3)
    sealer.turn(clock.now())
    with owner_connection() as owner:
        owner.autocommit = True
        kept = owner.execute("SELECT * FROM audit_entry WHERE sequence = %s", [sequence]).fetchone()
        leaf = owner.execute("SELECT * FROM audit_leaf WHERE sequence = %s", [sequence]).fetchone()
        assert kept is not None
        assert leaf is not None
        with _triggers_off(owner):
            owner.execute(statement, {"sequence": sequence})
        try:
            with pytest.raises((keystead_verify.DoesNotHold, RecordDamaged)):
                exported_and_verified(good, tmp_path / "bundle", start=max(0, leaf[0] - 5))
        finally:
            with _triggers_off(owner):
                owner.execute("DELETE FROM audit_entry WHERE sequence = %s", [sequence])
                owner.execute("DELETE FROM audit_leaf WHERE index = %s", [leaf[0]])
                _put_back(owner, "audit_entry", kept)
                _put_back(owner, "audit_leaf", leaf)
    assert AuditSignature.objects.exists()


@contextlib.contextmanager
def _triggers_off(owner: psycopg.Connection[Any]) -> Iterator[None]:
    tables = ("audit_entry", "audit_leaf")
    for table in tables:
        owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    try:
        yield
    finally:
        for table in tables:
            owner.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


def _put_back(owner: psycopg.Connection[Any], table: str, row: tuple[Any, ...]) -> None:
    row = tuple(Jsonb(value) if isinstance(value, dict) else value for value in row)
    places = ", ".join(["%s"] * len(row))
    owner.execute(f"INSERT INTO {table} VALUES ({places})", row)  # noqa: S608 - a test's own table
