"""A batch as such: who sends several requests at once, and how many. Each of them is a call of its own.

It must not know what is in a batch, the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kms.audit.entry import Category, Detail
from kms.operations.command import Call, Command, Operation, Plane, Resolved
from policies.decision import Target
from policies.permissions import Permission


@dataclass(frozen=True, slots=True)
class OpenBatch(Command):
    """Recorded before its items, which carry the same request id."""

    items: int
    serial: bool


def open_batch(_call: Call, _command: OpenBatch, _payload: None) -> None:
    """There is nothing to do but to be allowed and recorded."""


def _resolve(_call: Call, _command: OpenBatch) -> Sequence[Resolved]:
    return (Resolved(Permission.BATCH, Target("batch")),)


def _describe(command: OpenBatch) -> Mapping[str, Detail]:
    return {"items": command.items, "mode": "serial" if command.serial else "unordered"}


OPERATIONS: tuple[Operation[Any], ...] = (
    Operation(OpenBatch, "batch.open", Category.OTHER, Plane.DATA, _resolve, open_batch, describe=_describe),
)
