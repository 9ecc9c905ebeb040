"""Whether the record is still the one that this server wrote: the rows against the checkpoint that the token remembers.

A database that was set back, or whose sealed part was changed, is not served: every call is refused until an operator
has opened a new epoch. It must not know how the token keeps it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from kms.audit import tree
from kms.audit.checkpoint import Checkpoint
from kms.audit.errors import RecordUnavailable, RecordUntrusted
from kms.audit.merkle import range_hash
from kms.audit.models import Sealing

# A checkpoint of a log that grew meanwhile is as good; it is written to the token this often at most.
KEEP_SECONDS = 60.0


@dataclass(slots=True)
class Trust:
    """This process's. ``reason`` is set while the record is not, or not yet, found to be ours; ``facts`` while what
    decisions rest on does not add up to it; ``behind`` while entries wait too long to be sealed."""

    reason: str | None = None
    facts: str | None = None
    behind: str | None = None

    @property
    def fault(self) -> str | None:
        return self.reason or self.facts

    def demand(self) -> None:
        if self.fault is not None:
            raise RecordUntrusted(self.fault)
        if self.behind is not None:
            raise RecordUnavailable(self.behind)


trust = Trust()


def packed(checkpoint: Checkpoint) -> bytes:
    return json.dumps([checkpoint.origin, checkpoint.size, checkpoint.root.hex()]).encode()


def unpacked(kept: bytes) -> Checkpoint:
    origin, size, root = json.loads(kept)
    return Checkpoint(str(origin), int(size), bytes.fromhex(root))


def last_known(recall: Callable[[], list[bytes]]) -> Checkpoint | None:
    """The largest checkpoint that the token remembers."""
    return max((unpacked(each) for each in recall()), key=_order, default=None)


def later(one: Checkpoint, other: Checkpoint) -> bool:
    return _order(one) > _order(other)


def _order(checkpoint: Checkpoint) -> tuple[int, int]:
    return epoch_of(checkpoint), checkpoint.size


def epoch_of(checkpoint: Checkpoint) -> int:
    return int(checkpoint.origin.rpartition("/")[2])


def fault(known: Checkpoint | None) -> str | None:
    """What is wrong with the rows, in the light of what the token remembers; None: nothing."""
    if known is None:
        return None
    state = Sealing.objects.filter(id=1).first() or Sealing()
    if state.epoch < epoch_of(known):
        return f"The record was set back to epoch {state.epoch}; the token remembers epoch {epoch_of(known)}"
    if state.size < known.size:
        return f"The record was set back: {state.size} entries are sealed, and the token remembers {known.size}"
    try:
        root = range_hash(tree.reader(), 0, known.size)
    except tree.RecordDamaged as damaged:
        return f"The record is damaged: {damaged}"
    if root != known.root:
        return f"The record was rewritten: its first {known.size} entries are not those that the token remembers"
    return None
