"""The record as evidence: its newest checkpoint, that it extends an older one, that an entry is in it, and its tiles.

Whoever reads an account's log may have the proofs of its entries; a checkpoint says nothing of anybody. It must not
know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from kms.audit import bundle
from kms.audit.checkpoint import verifier_key
from kms.audit.entry import Category
from kms.audit.models import AuditLeaf, AuditRecord
from kms.audit.tiles import Tile
from kms.audit.tree import tile_hashes
from kms.operations.authority import resolve_on_account
from kms.operations.command import Call, Command, Operation, control
from kms.operations.errors import NotFound
from kms.operations.record_key import record_signer
from kms.operations.witnesses import has_witnesses, standing
from policies.permissions import Permission

Proof = Mapping[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class GetCheckpoint(Command):
    """The newest signed checkpoint, with the key that it is verified by, and how far each witness has come."""


@dataclass(frozen=True, slots=True)
class ProveGrowth(Command):
    """That the newest checkpoint extends the one over ``size`` entries."""

    size: int


@dataclass(frozen=True, slots=True)
class ProveEntry(Command):
    """That an entry of the account is in the record, as it is."""

    sequence: int


@dataclass(frozen=True, slots=True)
class GetTile(Command):
    """Hashes of the tree, for whoever computes proofs themselves. They say nothing of the entries."""

    tile: Tile


def get_checkpoint(_call: Call, _command: GetCheckpoint, _payload: None) -> Proof:
    signer = record_signer()
    note = _sealed(lambda: bundle.noted(bundle.newest(witnessed=has_witnesses())))
    return {"checkpoint": note, "key": verifier_key(signer.name, signer.spki), "witnesses": standing()}


def prove_growth(_call: Call, command: ProveGrowth, _payload: None) -> Proof:
    return _sealed(lambda: bundle.consistency(command.size, witnessed=has_witnesses()))


def prove_entry(call: Call, command: ProveEntry, _payload: None) -> Proof:
    """An entry of another account looks absent."""
    row = AuditRecord.objects.filter(sequence=command.sequence, account_id=call.account).first()
    leaf = None if row is None else AuditLeaf.objects.filter(sequence=row.sequence).first()
    if row is None or leaf is None:
        raise NotFound("The record has no such entry, it is not sealed yet, or it is not kept any more")
    return _sealed(lambda: bundle.entry_proof(leaf, witnessed=has_witnesses()))


def get_tile(_call: Call, command: GetTile, _payload: None) -> bytes:
    size = _sealed(bundle.newest).checkpoint_id
    if not command.tile.within(size):
        raise NotFound("The record has no such tile yet")
    return tile_hashes(command.tile)


def _sealed(read: Callable[[], T]) -> T:
    try:
        return read()
    except bundle.NothingSealed:
        raise NotFound("The record has no checkpoint over this yet") from None


_on_record = resolve_on_account(Permission.AUDIT_READ_ACCOUNT)
_operation = control(Category.OTHER)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(GetCheckpoint, "record.checkpoint", _on_record, get_checkpoint),
    _operation(ProveGrowth, "record.prove-growth", _on_record, prove_growth),
    _operation(ProveEntry, "record.prove-entry", _on_record, prove_entry),
    _operation(GetTile, "record.tile", _on_record, get_tile),
)
