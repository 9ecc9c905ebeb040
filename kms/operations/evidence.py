"""What an account's auditor takes home: the entries of a period as evidence, and the report of it.

The account's own entries are whole; of the others' there are hashes alone, so that all of it can be verified. A long
stretch is read in parts. It must not know the wire or HTTP; it changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

from kms.audit import bundle, retention, tree
from kms.audit.checkpoint import verifier_key
from kms.audit.entry import Category, Detail
from kms.audit.merkle import complete_subtrees
from kms.audit.period import Period, Stretch, leaves_of, written
from kms.operations.authority import resolve_on_account
from kms.operations.command import Call, CarryOut, Command, Operation, control
from kms.operations.errors import InvalidRequest
from kms.operations.period_report import ReportRecord, is_for, write_report
from kms.operations.record_key import record_signer
from kms.operations.witnesses import has_witnesses
from policies.permissions import Permission

PART = 2_000
# Of a report all is read at once, and kept in memory.
MOST_REPORTED = 200_000


@dataclass(frozen=True, slots=True)
class ExportEvidence(Command):
    """A part of the bundle of a period: ``after`` leaves and under the checkpoint over ``size`` as the part before it
    said; None at first."""

    period: Period
    after: int | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class ReportPeriod(Command):
    """The report of a period, of the account alone."""

    period: Period


@dataclass(frozen=True, slots=True)
class Part:
    """``lines`` from ``start`` on. ``before`` are the hashes of what came before the bundle, with its first part."""

    first: int
    start: int
    size: int
    lines: tuple[bytes, ...]
    checkpoint: str
    key: str
    before: tuple[bytes, ...]


def export_evidence(call: Call, command: ExportEvidence, _payload: None) -> Part:
    stretch, signer = _stretch(command.period), record_signer()
    signed = bundle.covering(command.size or stretch.end, witnessed=command.size is None and has_witnesses())
    size = signed.checkpoint_id
    start = stretch.first if command.after is None else command.after
    if command.size not in (None, size) or not stretch.first <= start <= size:
        raise InvalidRequest("The record was not exported so far like this: begin again")
    lines = tuple(tree.lines(start, min(start + PART, size)))
    own = str(call.account)
    call.details["returned"] = len(lines)
    read = tree.reader()
    return Part(
        first=stretch.first,
        start=start,
        size=size,
        lines=tuple(line if is_for(line, own) else bundle.withheld(line) for line in lines),
        checkpoint=bundle.noted(signed),
        key=verifier_key(signer.name, signer.spki),
        before=tuple(read(*each) for each in complete_subtrees(0, stretch.first)),
    )


def _stretch(period: Period) -> Stretch:
    if period.start >= period.end:
        raise InvalidRequest("The period ends before it begins")
    stretch = leaves_of(period)
    if stretch is None:
        raise InvalidRequest("Nothing of this period is sealed")
    if stretch.first < retention.kept_from():
        raise InvalidRequest("Entries of this period were moved out of the database: the operator has them in bundles")
    return stretch


def report_period(call: Call, command: ReportPeriod, _payload: None) -> tuple[UUID, Stretch]:
    """What is asked for is recorded; it is counted afterwards, as a long transaction would hold up the sealer."""
    stretch = _stretch(command.period)
    if bundle.covering(stretch.end).checkpoint_id - stretch.first > MOST_REPORTED:
        raise InvalidRequest(f"More than {MOST_REPORTED} entries are in this period: choose a shorter one")
    assert call.account is not None  # what is resolved on the account has one
    return call.account, stretch


def write_files(carry_out: CarryOut, command: ReportPeriod, found: tuple[UUID, Stretch]) -> Mapping[str, str]:
    """The report's files by name, and the key beside them."""
    account, stretch = found
    with TemporaryDirectory() as name:
        folder = Path(name) / "report"
        reported = write_report(carry_out, ReportRecord(folder, command.period, account), stretch)
        files = {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.iterdir())}
    return {**files, "verifier.key": reported.key + "\n"}


def _describe(command: Any) -> Mapping[str, Detail]:
    part = "" if getattr(command, "after", None) is None else f", after={command.after}"
    return {"fields": f"from={written(command.period.start)}, to={written(command.period.end)}{part}"}


_on_account = resolve_on_account(Permission.AUDIT_READ_ACCOUNT)
_operation = control(Category.OTHER)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(ExportEvidence, "record.evidence", _on_account, export_evidence, describe=_describe),
    _operation(ReportPeriod, "record.period", _on_account, report_period, describe=_describe, afterwards=write_files),
)
