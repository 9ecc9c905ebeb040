"""Public keys that their owners publish: anyone reads them, by account and name, without a credential.

One answer for whatever is not published, whyever: it must not tell who has which keys. It must not know the wire or
HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from kms.audit.entry import Category, Detail
from kms.objects.models import SecurityObject
from kms.objects.publication import publication_of
from kms.objects.state import KeyState
from kms.operations.authority import object_target
from kms.operations.command import Call, Command, Operation, Resolved, control
from kms.operations.errors import NotFound
from kms.operations.managed_object import state_of
from policies.decision import Target
from policies.permissions import Permission

# What the replaced key signed is still to be verified; what a compromised one signed is worth nothing.
_PREVIOUS_IN = frozenset({KeyState.ACTIVE, KeyState.DEACTIVATED})


@dataclass(frozen=True, slots=True)
class ReadPublicKeys(Command):
    account: UUID
    name: str


def read_public_keys(call: Call, command: ReadPublicKeys, _payload: None) -> Mapping[UUID, bytes]:
    """SubjectPublicKeyInfo (DER) by object: the key of this name and, when its owner says so, the one it replaced."""
    row = SecurityObject.objects.filter(
        account_id=command.account,
        account__enabled=True,
        name=command.name,
        publication__isnull=False,
        enabled=True,
        deletion_date__isnull=True,
    ).first()
    if row is None or row.public_key is None or state_of(row, call.now) is not KeyState.ACTIVE:
        raise NotFound("There is no published public key of this name")
    call.touched.insert(0, object_target(row))
    found = {row.id: bytes(row.public_key)}
    previous = _previous(row, call.now)
    if previous is not None and previous.public_key is not None:
        found[previous.id] = bytes(previous.public_key)
    call.details["returned"] = len(found)
    return found


def _previous(row: SecurityObject, now: datetime) -> SecurityObject | None:
    publication = publication_of(row.publication)
    if publication is None or not publication.previous or row.replaced is None:
        return None
    previous = SecurityObject.objects.filter(id=row.replaced, account_id=row.account_id).first()
    return previous if previous is not None and state_of(previous, now) in _PREVIOUS_IN else None


def _resolve(_call: Call, _command: ReadPublicKeys) -> Sequence[Resolved]:
    return (Resolved(Permission.PUBLIC_KEY_READ, Target("public-key")),)


def _describe(command: ReadPublicKeys) -> Mapping[str, Detail]:
    return {"account": str(command.account), "name": command.name}


_operation = control(Category.OTHER)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(ReadPublicKeys, "public-key.read", _resolve, read_public_keys, describe=_describe),
)
