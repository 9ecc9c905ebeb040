"""What an auditor is given: entries, the checkpoint over them and what proves that they follow on what was seen before.

Verified by keystead_verify.py with nothing but the public key. It must not know who may have it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path

from django.db.models import Count

from kms.audit import tree
from kms.audit.merkle import complete_subtrees, consistency_proof, inclusion_proof, leaf_hash
from kms.audit.models import AuditLeaf, AuditSignature

# Evidence may be so much older than the newest checkpoint, for the sake of what witnesses have signed.
WITNESSING = timedelta(minutes=1)


class NothingSealed(Exception):
    """There is no signed checkpoint that covers what is asked for."""


def newest(*, covering: int = 0, witnessed: bool = False) -> AuditSignature:
    """The newest signed checkpoint; with ``witnessed`` one that was cosigned, if such is nearly as new.

    It covers at least so many entries where any does.
    """
    rows = AuditSignature.objects.select_related("checkpoint").order_by("-checkpoint")
    found = rows.first()
    if found is None:
        raise NothingSealed
    if not witnessed:
        return found
    log = rows.filter(checkpoint__origin=found.checkpoint.origin)
    recent = log.filter(checkpoint__time__gte=found.checkpoint.time - WITNESSING, checkpoint__gte=covering)
    counted = recent.annotate(witnesses=Count("checkpoint__cosignatures")).order_by("-witnesses", "-checkpoint")
    return counted.first() or found


def covering(size: int, *, witnessed: bool = False) -> AuditSignature:
    """The smallest signed checkpoint over at least so many entries; the newest, where none is so large.

    With ``witnessed`` the smallest that was cosigned, where one was.
    """
    rows = AuditSignature.objects.select_related("checkpoint").order_by("checkpoint").filter(checkpoint__gte=size)
    cosigned = rows.filter(checkpoint__cosignatures__isnull=False).first() if witnessed else None
    return cosigned or rows.first() or newest(witnessed=witnessed)


def noted(signed: AuditSignature) -> str:
    """The note with the lines of whoever cosigned it."""
    lines = signed.checkpoint.cosignatures.order_by("witness").values_list("line", flat=True)
    return signed.note + "".join(f"{line}\n" for line in lines)


def write(
    folder: Path,
    *,
    start: int = 0,
    old: int = 0,
    witnessed: bool = False,
    progress: Callable[[int], None] = lambda _done: None,
    upto: AuditSignature | None = None,
    shown: Callable[[bytes], bool] = lambda _line: True,
) -> int:
    """A bundle of the entries from ``start`` to a checkpoint, ``upto`` or the newest.

    ``old`` is the size that the auditor knows. Returns how many entries are in it. ``progress`` is told every 10,000.
    Of an entry that is not to be ``shown`` there is the hash alone.
    """
    signed = upto or newest(covering=max(start, old), witnessed=witnessed)
    size = signed.checkpoint_id
    if not 0 <= start <= size or old > size:
        raise NothingSealed
    folder.mkdir(parents=True, exist_ok=True)
    read = tree.reader()
    before = [read(level, index) for level, index in complete_subtrees(0, start)]
    _write_json(folder / "before.json", {"size": start, "hashes": encoded(before)})
    if 0 < old < start:
        _write_json(folder / "consistency.json", {"proof": encoded(consistency_proof(read, old, start))})
    with (folder / "entries.jsonl").open("wb") as file:
        for number, line in enumerate(tree.lines(start, size), 1):
            file.write((line if shown(line) else withheld(line)) + b"\n")
            if number % 10_000 == 0:
                progress(number)
    # Last: a folder without a checkpoint is one that was not finished.
    (folder / "checkpoint").write_text(noted(signed), encoding="utf-8")
    return size - start


def entry_proof(leaf: AuditLeaf, *, witnessed: bool = False) -> dict[str, object]:
    """One entry with its inclusion proof, as keystead_verify.py reads it."""
    signed = newest(covering=leaf.index + 1, witnessed=witnessed)
    if leaf.index >= signed.checkpoint_id:
        raise NothingSealed
    (line,) = tree.lines(leaf.index, leaf.index + 1)
    proof = inclusion_proof(tree.reader(), leaf.index, signed.checkpoint_id)
    return {"checkpoint": noted(signed), "entry": line.decode(), "index": leaf.index, "proof": encoded(proof)}


def consistency(old: int, *, witnessed: bool = False) -> dict[str, object]:
    """That the newest checkpoint extends the one of ``old`` entries."""
    signed = newest(covering=old, witnessed=witnessed)
    if not 0 <= old <= signed.checkpoint_id:
        raise NothingSealed
    proof = consistency_proof(tree.reader(), old, signed.checkpoint_id)
    return {"checkpoint": noted(signed), "proof": encoded(proof)}


def withheld(line: bytes) -> bytes:
    """What stands in for an entry that is not for the reader."""
    return b'{"leaf":"' + base64.b64encode(leaf_hash(line)) + b'"}'


def encoded(hashes: Iterable[bytes]) -> list[str]:
    return [base64.b64encode(each).decode() for each in hashes]


def _write_json(path: Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
