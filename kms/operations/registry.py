"""Every operation there is, as an explicit tuple: a command without an entry here cannot be carried out."""

from __future__ import annotations

from typing import Any

from kms.operations import (
    accounts,
    apps,
    creation,
    cryptographic,
    groups,
    history,
    lifecycle,
    queries,
    rotating,
    sessions,
    updating,
    users,
)
from kms.operations.command import Command, Operation

OPERATIONS: tuple[Operation[Any], ...] = (
    *cryptographic.OPERATIONS,
    *creation.OPERATIONS,
    *lifecycle.OPERATIONS,
    *updating.OPERATIONS,
    *history.OPERATIONS,
    *rotating.OPERATIONS,
    *queries.OPERATIONS,
    *groups.OPERATIONS,
    *apps.OPERATIONS,
    *users.OPERATIONS,
    *accounts.OPERATIONS,
    *sessions.OPERATIONS,
)
_BY_COMMAND: dict[type[Command], Operation[Any]] = {operation.command: operation for operation in OPERATIONS}


def operation_of(command: Command) -> Operation[Any]:
    return _BY_COMMAND[type(command)]
