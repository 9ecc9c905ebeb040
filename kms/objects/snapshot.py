"""A security object as the decision and the keystore see it: frozen, complete, cacheable. No rows, no queries."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from kms.crypto.operation import KeyOperation
from kms.crypto.options import NO_OPTIONS, KeyOptions, options_of
from kms.hsm.module import KeySpec
from kms.objects.binding import BoundFields, binding_of
from kms.objects.metadata_policy import Metadata
from kms.objects.models import SecurityObject
from kms.objects.state import Cryptoperiod, KeyState
from kms.objects.usage import Usable
from policies.quorum import Guard
from policies.stored import guard_of


@dataclass(frozen=True, slots=True)
class ObjectSnapshot:
    """``cache_key`` names the opened key: it changes whenever the blob or anything bound to it changes.

    ``metadata`` is what is said of it; of a transient key, nothing.
    """

    id: UUID
    account: UUID
    group: UUID
    name: str
    kind: str
    size: int
    curve: str
    protection: str
    usable: Usable
    blob: bytes
    public_key: bytes | None
    binding: bytes
    cache_key: bytes
    options: KeyOptions = NO_OPTIONS
    public_only: bool = False
    guards: tuple[Guard, ...] = ()
    metadata: Metadata | None = None

    @property
    def spec(self) -> KeySpec:
        return KeySpec(self.kind, self.size, self.curve or None)


def bound_fields(row: SecurityObject, deployment: UUID) -> BoundFields:
    return BoundFields(
        deployment=deployment,
        account=row.account_id,
        object_id=row.id,
        version=row.version,
        kind=row.kind,
        size=row.size,
        curve=row.curve,
        operations=frozenset(KeyOperation(value) for value in row.operations),
        options=options_of(row.options).encoded(),
    )


def usable_of(row: SecurityObject) -> Usable:
    return Usable(
        operations=frozenset(KeyOperation(value) for value in row.operations),
        state=KeyState(row.state),
        period=Cryptoperiod(row.activation_date, row.deactivation_date),
        enabled=row.enabled,
    )


def snapshot_of(row: SecurityObject, deployment: UUID) -> ObjectSnapshot:
    return ObjectSnapshot(
        id=row.id,
        account=row.account_id,
        group=row.group_id,
        name=row.name,
        kind=row.kind,
        size=row.size,
        curve=row.curve,
        protection=row.protection,
        usable=usable_of(row),
        blob=bytes(row.blob),
        public_key=None if row.public_key is None else bytes(row.public_key),
        binding=binding_of(bound_fields(row, deployment)),
        cache_key=row.id.bytes + row.version.to_bytes(8, "big"),
        options=options_of(row.options),
        public_only=row.public_only,
        guards=guards_of_object(row),
        metadata=metadata_of(row, row.created_at),
    )


def metadata_of(row: SecurityObject, created_at: datetime) -> Metadata:
    """``created_at``: a row that is not saved yet has none."""
    period = Cryptoperiod(row.activation_date, row.deactivation_date)
    return Metadata(row.kind, row.description, row.custom_metadata, created_at, period)


def guards_of_object(row: SecurityObject) -> tuple[Guard, ...]:
    """The quorum of the object's own, if it has one."""
    if row.quorum is None:
        return ()
    guard = guard_of(row.id, row.quorum.get("quorum"), row.quorum.get("guarded", ()))
    return () if guard is None else (guard,)
