"""``python -m tests.bench.verifier``: how fast an auditor verifies a long record, beside SHA-256 of the same bytes.

The bundle is made here, of entries as a busy server writes them, under a key of the bench's own; what is measured is
keystead_verify.py, as auditors run it. CPU time, so that the machine's other work does not count.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from kms.audit import keystead_verify
from kms.audit.checkpoint import Checkpoint, signed_note, verifier_key
from kms.audit.leaf import line_of
from kms.audit.merkle import Frontier, leaf_hash

ACCOUNT, APP, GROUP, KEY = (str(UUID(int=number)) for number in range(1, 5))
NAME = "keystead/bench/record"
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
DETAILS = '{"mode": "GCM", "algorithm": "AES", "input_bytes": 32, "output_bytes": 32, "object_version": 1}'


def lines(entries: int) -> Iterator[bytes]:
    for number in range(1, entries + 1):
        when = BEGAN + timedelta(microseconds=500 * number)
        request = str(UUID(int=number))
        who = (ACCOUNT, "app", APP, "api-key", None)
        what = ("object.encrypt", "cryptographic", "info", "done", "granted", "object", KEY, [GROUP])
        yield line_of((number, f"{when:%Y-%m-%dT%H:%M:%S.%fZ}", *who, *what, "192.0.2.7", request, 180, DETAILS))


def make(folder: Path, entries: int) -> int:
    """A whole bundle; how many bytes of entries are in it."""
    key, frontier, size = ec.generate_private_key(ec.SECP256R1()), Frontier(), 0
    with (folder / "entries.jsonl").open("wb") as file:
        for line in lines(entries):
            size += file.write(line + b"\n")
            for _ in frontier.append(leaf_hash(line)):
                pass
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    text = Checkpoint(f"{NAME}/1", entries, frontier.root()).text()
    note = signed_note(text, NAME, spki, lambda data: key.sign(data, ec.ECDSA(SHA256())))
    (folder / "checkpoint").write_text(note, encoding="utf-8")
    (folder / "before.json").write_text(json.dumps({"size": 0, "hashes": []}), encoding="utf-8")
    (folder.parent / "verifier.key").write_text(verifier_key(NAME, spki) + "\n", encoding="ascii")
    return size


def verified(folder: Path) -> tuple[float, str]:
    """CPU seconds, and what it said."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, str(Path(keystead_verify.__file__)), "bundle", str(folder)]
    done = subprocess.run(
        [*command, "--key", str(folder.parent / "verifier.key")], capture_output=True, text=True, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used, f"{done.stdout.strip()}; {after.ru_maxrss // 1024} MB at most"


def hashed(folder: Path) -> float:
    """CPU seconds for SHA-256 of the same lines, one by one: nobody verifies with less."""
    started = time.process_time()
    with (folder / "entries.jsonl").open("rb") as file:
        for line in file:
            hashlib.sha256(line)
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000, help="in the bundle (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="keystead-verifier-") as temporary:
        folder = Path(temporary) / "bundle"
        folder.mkdir()
        size = make(folder, options.entries)
        seconds, said = verified(folder)
        ceiling = hashed(folder)
    print(f"{options.entries:,} entries, {size / 1e9:.2f} GB: {said}")
    print(f"verified: {options.entries / seconds:>12,.0f} entries/s of one core")
    print(f"hashed:   {options.entries / ceiling:>12,.0f} entries/s; ratio {ceiling / seconds:.2f}")


if __name__ == "__main__":
    main()
