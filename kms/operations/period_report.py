"""The report of a period for an auditor: entries, what they come to, who holds which rights; signed as a whole.

The host's operator makes it, of all accounts or of one; of the others' entries there are hashes alone then. What can be
counted is counted by the auditor's own program (kms/audit/keystead_report.py). It must not know the wire or HTTP.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from accounts.clock import clock
from accounts.models import Account, App, Group, Role, User
from kms.audit import bundle, keystead_verify, report_page
from kms.audit.checkpoint import signed_note, verifier_key
from kms.audit.entry import Category, Detail
from kms.audit.fact_moves import ACTION as FACTS
from kms.audit.keystead_report import MANIFEST, Tally, file_hash, manifest_text, place_of
from kms.audit.models import AuditSignature
from kms.audit.period import Period, Stretch, checkpoints_of, leaves_of, written
from kms.objects import keystore
from kms.objects.models import SecurityObject
from kms.operations.authority import resolve_on_record
from kms.operations.command import Call, CarryOut, Command, Operation, control
from kms.operations.errors import InvalidRequest, NotFound
from kms.operations.record_key import record_signer
from kms.operations.rights_held import rights_in
from kms.operations.witnesses import has_witnesses
from policies.permissions import Permission

VERSION = 1


@dataclass(frozen=True, slots=True)
class ReportRecord(Command):
    """A report into an empty folder. ``account`` None: of all of them."""

    folder: Path
    period: Period
    account: UUID | None = None
    progress: Callable[[int], None] = lambda _done: None


@dataclass(frozen=True, slots=True)
class Reported:
    """``key`` verifies it; the auditor has it from elsewhere."""

    entries: int
    key: str


def report_record(_call: Call, command: ReportRecord, _payload: None) -> Stretch:
    """What is asked for is recorded; it is written afterwards, as an export is."""
    if command.period.start >= command.period.end:
        raise InvalidRequest("The period ends before it begins")
    if command.account is not None and not Account.objects.filter(id=command.account).exists():
        raise NotFound("The account does not exist")
    stretch = leaves_of(command.period)
    if stretch is None:
        raise InvalidRequest("Nothing of this period is sealed")
    return stretch


def write_report(_carry_out: CarryOut, command: ReportRecord, stretch: Stretch) -> Reported:
    signer, signed = record_signer(), bundle.covering(stretch.end, witnessed=has_witnesses())
    own = None if command.account is None else str(command.account)
    bundle.write(
        command.folder,
        start=stretch.first,
        upto=signed,
        shown=lambda line: own is None or is_for(line, own),
        progress=command.progress,
    )
    tally = _counted(command, own)
    summary = _summary(command, tally, signed, signed.checkpoint_id - stretch.first)
    (command.folder / "summary.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    (command.folder / "summary.html").write_text(report_page.page(summary), encoding="utf-8")
    text = manifest_text(signer.name, tally.start, tally.end, _hashes(command.folder))
    (command.folder / MANIFEST).write_text(signed_note(text, signer.name, signer.spki, signer.sign), encoding="utf-8")
    return Reported(tally.entries, verifier_key(signer.name, signer.spki))


def is_for(line: bytes, account: str) -> bool:
    """An account's auditors see its entries, and what the server says of the record itself; of nobody else's facts."""
    fields = json.loads(line)
    if fields["account"] is None:
        return str(fields["action"]).startswith("record.") and fields["action"] != FACTS
    return str(fields["account"]) == account


def _counted(command: ReportRecord, account: str | None) -> Tally:
    """As the auditor counts: what is in the file, one entry at a time."""
    tally = Tally(written(command.period.start), written(command.period.end), account)
    for line in keystead_verify.read_lines(command.folder / "entries.jsonl"):
        tally.see(line)
    return tally


def _summary(command: ReportRecord, tally: Tally, signed: AuditSignature, entries: int) -> dict[str, Any]:
    row, figures = signed.checkpoint, tally.figures()
    accounts = [command.account] if command.account else [UUID(each) for each in figures["accounts"] if each]
    there = Account.objects.filter(id__in=accounts).order_by("name")
    return {
        "v": VERSION,
        "deployment": str(keystore.deployment_id()),
        "from": tally.start,
        "to": tally.end,
        "account": tally.account,
        "made": written(clock.now()),
        "record": place_of(keystead_verify.Checkpoint(row.origin, row.size, bytes(row.root)), entries),
        "checkpoints": checkpoints_of(command.period),
        "figures": figures,
        "accounts": {str(account.id): account.name for account in there},
        "rights": {str(account.id): rights_in(account.id) for account in there},
        "names": _names_in(figures),
    }


def _names_in(figures: Mapping[str, Any]) -> dict[str, str]:
    """Of everybody and everything that is shown one by one, as they are called today."""
    shown = set(_ids(figures))
    names: dict[str, str] = {}
    kinds: Sequence[tuple[Any, str]] = (
        (User, "email"),
        (App, "name"),
        (Group, "name"),
        (Role, "name"),
        (SecurityObject, "name"),
    )
    for kind, field in kinds:
        names.update(
            (str(identity), name) for identity, name in kind.objects.filter(id__in=shown).values_list("id", field)
        )
    return names


def _ids(figures: Any) -> set[UUID]:
    """Whatever is an id by its form, alone or in a text."""
    if isinstance(figures, dict):
        return {found for each in (*figures, *figures.values()) for found in _ids(each)}
    if isinstance(figures, list):
        return {found for each in figures for found in _ids(each)}
    return {UUID(found) for found in report_page.ID.findall(figures)} if isinstance(figures, str) else set()


def _hashes(folder: Path) -> dict[str, str]:
    return {path.name: file_hash(path) for path in folder.iterdir()}


def _describe(command: ReportRecord) -> Mapping[str, Detail]:
    period = f"from={written(command.period.start)}, to={written(command.period.end)}"
    return {"fields": period, "account": None if command.account is None else str(command.account)}


_resolve = resolve_on_record(Permission.RECORD_EXPORT)
_operation = control(Category.ADMINISTRATIVE)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(ReportRecord, "record.report", _resolve, report_record, describe=_describe, afterwards=write_report),
)
