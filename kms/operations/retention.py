"""Months of the record leave the database: exported, verified with the auditor's own program, and only then dropped.

For the operator of the host, as the owner of the tables. Interrupted anywhere, it loses nothing and can be run again.
It must not know the wire or HTTP.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from accounts.clock import clock
from kms.audit import keystead_verify, retention
from kms.audit import trust as trusting
from kms.audit.checkpoint import verifier_key
from kms.audit.months import Month
from kms.audit.retention import NotRetainable, Part
from kms.audit.rows import TABLE
from kms.objects import keystore
from kms.operations.alone import alone
from kms.operations.executor import execute
from kms.operations.fact_sweep import sweep
from kms.operations.record_host import ExportRecord, RetainMonth
from kms.operations.record_key import record_signer
from kms.operations.rescue import host

RETAIN_LOCK = 738_246  # "retain" on a telephone's keys
# PCI DSS v4 10.5.1 wants twelve months, the last three at hand.
LEAST_MONTHS, MONTHS = 12, 13
_DRAFT = ".draft"
_FILES = ("before.json", "checkpoint", "entries.jsonl")


@dataclass(frozen=True, slots=True)
class Retained:
    part: Part
    bundle: Path
    size: int
    digest: str


def retain(folder: Path, keep: int, progress: Callable[[int], None]) -> Iterator[Retained]:
    """Each month that ended ``keep`` months ago or longer, the oldest first. Raises NotRetainable where it stops."""
    with alone(RETAIN_LOCK) as ours:
        if not ours:
            raise NotRetainable("somebody else is at it")
        reason = trusting.fault(trusting.last_known(keystore.module().recall))
        if reason is not None:
            raise NotRetainable(reason)
        _demand_facts()
        now = clock.now()
        passed = now.year * 12 + now.month - 1 - keep
        before = now.replace(passed // 12, passed % 12 + 1, 1, hour=0, minute=0, second=0, microsecond=0)
        for month in retention.due(before):
            yield _retained(folder, month, progress)


def _demand_facts() -> None:
    """What old months say of subjects is said anew as they are: nothing that was brought back may be among them."""
    swept = sweep()
    if swept.found or not swept.adds_up:
        raise NotRetainable("rows were changed past the server: see manage.py sweep_facts")


def _retained(folder: Path, month: Month, progress: Callable[[int], None]) -> Retained:
    part, start = retention.part_of(month), retention.kept_from()
    bundle = folder / month.name.removeprefix(f"{TABLE}_")
    if not bundle.exists():
        _export(bundle, start, max(start, part.end), progress)
    size = _verified(bundle, start, part)
    digest = digest_of(bundle)
    execute(host(), RetainMonth(part, size, digest))
    return Retained(part, bundle, size, digest)


# -- the bundle ----------------------------------------------------------------------------------------------------


def _export(bundle: Path, start: int, end: int, progress: Callable[[int], None]) -> None:
    """Beside its place, and there when it is on the disk: a bundle at its place is whole."""
    draft = bundle.with_name(bundle.name + _DRAFT)
    if draft.exists():
        shutil.rmtree(draft)
    execute(host(), ExportRecord(draft, start, end=end, progress=progress))
    for path in (*draft.iterdir(), draft):
        _sync(path)
    draft.rename(bundle)
    _sync(bundle.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _verified(bundle: Path, start: int, part: Part) -> int:
    """The size of its checkpoint. It is read from the disk, whoever has written it, and has all that is dropped."""
    signer = record_signer()
    key = keystead_verify.Key.parse(verifier_key(signer.name, signer.spki))
    try:
        found = keystead_verify.verify_bundle(bundle, key, None)
    except (keystead_verify.DoesNotHold, keystead_verify.Unreadable) as error:
        raise NotRetainable(f"the bundle {bundle} does not verify, nothing was dropped: {error}") from error
    size = found.checkpoint.size
    if size - found.entries != start or size < part.end:
        raise NotRetainable(f"the bundle {bundle} is of other entries; move it away")
    return size


def digest_of(bundle: Path) -> str:
    """As ``sha256sum * | sha256sum`` says it, so that nobody needs us to compare."""
    lines = [f"{_sha256(bundle / name)}  {name}\n" for name in _FILES]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
