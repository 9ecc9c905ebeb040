"""What the operator of the host does with the record: exports it for an auditor, and drops months that were exported.

No edge on the network reaches these. It must not know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kms.audit import bundle, fact_moves, retention
from kms.audit.checkpoint import verifier_key
from kms.audit.entry import Category, Detail
from kms.audit.retention import NotRetainable, Part
from kms.operations.authority import resolve_on_record
from kms.operations.command import Call, CarryOut, Command, Operation, control
from kms.operations.errors import InvalidRequest
from kms.operations.record_key import record_signer
from kms.operations.witnesses import has_witnesses
from policies.permissions import Permission


@dataclass(frozen=True, slots=True)
class ExportRecord(Command):
    """Entries from ``start`` on into an empty folder; ``old`` is the size of the checkpoint that the auditor kept.

    Without ``start`` all that are kept; without ``end`` up to the newest checkpoint, else to the first over so many.
    """

    folder: Path
    start: int | None = None
    old: int = 0
    end: int | None = None
    progress: Callable[[int], None] = lambda _done: None


@dataclass(frozen=True, slots=True)
class Exported:
    """``key`` verifies it. The auditor has it from elsewhere: who forges a bundle would forge a key with it."""

    entries: int
    key: str
    start: int


@dataclass(frozen=True, slots=True)
class RetainMonth(Command):
    """Drop a month; ``size`` is where its bundle ends, and ``digest`` that of ``sha256sum * | sha256sum`` in it."""

    part: Part
    size: int
    digest: str


def export_record(_call: Call, command: ExportRecord, _payload: None) -> None:
    """What is asked for is recorded; it is written afterwards, as a long transaction would hold up the sealer."""
    try:
        size = bundle.newest().checkpoint_id
    except bundle.NothingSealed:
        raise InvalidRequest("Nothing is sealed yet") from None
    start = _start(command)
    if not 0 <= start <= size or not 0 <= command.old <= size:
        raise InvalidRequest(f"The record has {size} sealed entries")
    if start < retention.kept_from():
        raise InvalidRequest(
            f"The entries {start} to {retention.kept_from()} are not in the database any more: they are in the bundles "
            f"of the months that were dropped. Export from {retention.kept_from()} on"
        )


def _start(command: ExportRecord) -> int:
    return retention.kept_from() if command.start is None else command.start


def write_bundle(_carry_out: CarryOut, command: ExportRecord, _nothing: None) -> Exported:
    signer = record_signer()
    start = _start(command)
    written = bundle.write(
        command.folder,
        start=start,
        upto=None if command.end is None else bundle.covering(command.end),
        old=command.old,
        witnessed=has_witnesses(),
        progress=command.progress,
    )
    return Exported(written, verifier_key(signer.name, signer.spki), start)


def retain_month(call: Call, command: RetainMonth, _payload: None) -> None:
    fact_moves.say_again(command.part.month.name)
    try:
        retention.drop(command.part)
    except NotRetainable as error:
        raise InvalidRequest(f"Nothing was dropped: {error}") from None
    call.details["size"] = command.size


def _describe(command: ExportRecord) -> Mapping[str, Detail]:
    start = "kept" if command.start is None else command.start
    end = "" if command.end is None else f", end={command.end}"
    return {"fields": f"start={start}, old={command.old}{end}"}


def _describe_month(command: RetainMonth) -> Mapping[str, Detail]:
    part = command.part
    return {
        "name": part.month.name,
        "fields": f"first={part.first}, last={part.last}",
        "items": part.entries,
        "items_digest": command.digest,
    }


_operation = control(Category.ADMINISTRATIVE)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(
        ExportRecord,
        "record.export",
        resolve_on_record(Permission.RECORD_EXPORT),
        export_record,
        describe=_describe,
        afterwards=write_bundle,
    ),
    _operation(
        RetainMonth,
        retention.ACTION,
        resolve_on_record(Permission.RECORD_RETAIN),
        retain_month,
        describe=_describe_month,
        irreversible=True,
    ),
)
