"""What the operator of the host does with the record: exports it for an auditor, and opens a new epoch of it.

No edge on the network reaches these. It must not know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kms.audit import bundle
from kms.audit.checkpoint import Checkpoint, verifier_key
from kms.audit.entry import Category, Detail
from kms.audit.merkle import Frontier
from kms.audit.models import Sealing
from kms.audit.sealer import origin
from kms.audit.trust import epoch_of, last_known, packed
from kms.objects import keystore
from kms.operations.command import Call, CarryOut, Command, Operation, Resolved, control
from kms.operations.errors import InvalidRequest
from kms.operations.record_key import record_signer
from kms.operations.row_key import forget_row_key
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


@dataclass(frozen=True, slots=True)
class OpenEpoch(Command):
    """Go on with the record as it is, although the token remembers another: after a restore from a backup.

    The epoch's log is one of its own, so that every auditor sees that there was a break.
    """


@dataclass(frozen=True, slots=True)
class Opened:
    epoch: int
    size: int


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
    written = bundle.write(command.folder, start=command.start, old=command.old, progress=command.progress)
    return Exported(written, verifier_key(signer.name, signer.spki))


def open_epoch(call: Call, _command: OpenEpoch, _payload: None) -> Checkpoint:
    Sealing.objects.get_or_create(id=1)
    state = Sealing.objects.select_for_update().get(id=1)
    state.epoch = 1 + max(state.epoch, _remembered())
    state.save()
    call.details.update(epoch=state.epoch, size=state.size)
    root = Frontier(state.size, map(bytes, state.frontier)).root()
    return Checkpoint(origin(keystore.deployment_id(), state.epoch), state.size, root)


def _remembered() -> int:
    known = last_known(keystore.module().recall)
    return 0 if known is None else epoch_of(known)


def remember_epoch(_carry_out: CarryOut, _command: OpenEpoch, checkpoint: Checkpoint) -> Opened:
    keystore.module().keep(packed(checkpoint))
    forget_row_key()
    return Opened(epoch_of(checkpoint), checkpoint.size)


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
    _operation(
        OpenEpoch, "record.open-epoch", _resolve(Permission.RECORD_EPOCH), open_epoch, afterwards=remember_epoch
    ),
)
