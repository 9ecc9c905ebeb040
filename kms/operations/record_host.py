"""What the operator of the host does with the record: exports it for an auditor.

No edge on the network reaches these. It must not know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kms.audit import bundle
from kms.audit.checkpoint import verifier_key
from kms.audit.entry import Category, Detail
from kms.operations.command import Call, CarryOut, Command, Operation, Resolved, control
from kms.operations.errors import InvalidRequest
from kms.operations.record_key import record_signer
from kms.operations.witnesses import has_witnesses
from policies.decision import Target
from policies.permissions import Permission


@dataclass(frozen=True, slots=True)
class ExportRecord(Command):
    """Entries from ``start`` on into an empty folder; ``old`` is the size of the checkpoint that the auditor kept."""

    folder: Path
    start: int = 0
    old: int = 0
    progress: Callable[[int], None] = lambda _done: None


@dataclass(frozen=True, slots=True)
class Exported:
    """``key`` verifies it. The auditor has it from elsewhere: who forges a bundle would forge a key with it."""

    entries: int
    key: str


def export_record(_call: Call, command: ExportRecord, _payload: None) -> None:
    """What is asked for is recorded; it is written afterwards, as a long transaction would hold up the sealer."""
    try:
        size = bundle.newest().checkpoint_id
    except bundle.NothingSealed:
        raise InvalidRequest("Nothing is sealed yet") from None
    if not 0 <= command.start <= size or not 0 <= command.old <= size:
        raise InvalidRequest(f"The record has {size} sealed entries")


def write_bundle(_carry_out: CarryOut, command: ExportRecord, _nothing: None) -> Exported:
    signer = record_signer()
    written = bundle.write(
        command.folder,
        start=command.start,
        old=command.old,
        witnessed=has_witnesses(),
        progress=command.progress,
    )
    return Exported(written, verifier_key(signer.name, signer.spki))


def _resolve(permission: Permission) -> Any:
    def resolve(_call: Call, _command: Command) -> Sequence[Resolved]:
        return (Resolved(permission, Target("record")),)

    return resolve


def _describe(command: ExportRecord) -> Mapping[str, Detail]:
    return {"fields": f"start={command.start}, old={command.old}"}


_operation = control(Category.ADMINISTRATIVE)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(
        ExportRecord,
        "record.export",
        _resolve(Permission.RECORD_EXPORT),
        export_record,
        describe=_describe,
        afterwards=write_bundle,
    ),
)
