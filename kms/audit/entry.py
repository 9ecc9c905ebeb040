"""One line of the record. Pure: no Django, no clock, no I/O. Secrets have no field to sit in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any
from uuid import UUID

from accounts.certificates import PresentedCertificate
from accounts.principal import SYSTEM_ID, AuthenticationMethod, PrincipalKind

Detail = str | int | bool | None


class Outcome(StrEnum):
    """The four endings of a call, and the announcement that precedes an irreversible one."""

    ANNOUNCED = "announced"
    DONE = "done"
    DENIED = "denied"
    PENDING = "pending"
    FAILED = "failed"


class Category(StrEnum):
    ADMINISTRATIVE = "administrative"
    AUTHENTICATION = "authentication"
    CRYPTOGRAPHIC = "cryptographic"
    OTHER = "other"


class Severity(StrEnum):
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


# An entry's id outside is a UUID (clients type it so): version 8 (RFC 9562 §5.8) around the sequence number.
_VERSION_8 = (8 << 76) | (2 << 62)
_SEQUENCE_BITS = 62


def entry_id(sequence: int) -> UUID:
    return UUID(int=_VERSION_8 | sequence)


def sequence_of(identity: UUID) -> int:
    return identity.int & ((1 << _SEQUENCE_BITS) - 1)


# Every detail that an entry may carry. A name that is not here cannot enter the record.
ALLOWED_DETAILS = frozenset(
    {
        "algorithm",
        "mode",
        "hash",
        "kind",
        "size",
        "curve",
        "input_bytes",
        "output_bytes",
        "items",
        "items_digest",
        "failed_items",
        "object_version",
        "subject",
        "parent",
        "private_key",
        "public_key",
        "mechanism",
        "name",
        "operations",
        "permission",
        "fields",
        "returned",
        "email",
        "role",
        "account",
        "session",
        "login_method",
        "enabled",
        "result",
        "masked",
        "custodians",
        "wrapping_key",
        "protection",
        "route",
        "revocation",
        "replaced",
        "overlap_seconds",
        "factor",
        "by_password",
        "user_verified",
        "codes_left",
        "epoch",
        "approval",
        "approvers",
        "asked",
        "facts",
        "repeats",
        "cluster",
        "namespace",
        "service_account",
        "pod",
        "pod_uid",
        "node",
        "app",
    }
)


@dataclass(frozen=True, slots=True)
class CallContext:
    """Where a call came from: outside facts that the edge knows and the record wants."""

    client_ip: str | None = None
    request_id: UUID = field(default_factory=lambda: UUID(int=0))
    certificate: PresentedCertificate | None = None


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who (actor, method, address), what (action, object, details), decided how (outcome, reason), in how long.

    The time is the database's, set at insertion. ``duration_us`` ends before the commit that makes the entry durable.
    """

    action: str
    category: Category
    outcome: Outcome
    reason: str
    actor_kind: str
    actor_id: UUID
    method: str
    account: UUID | None = None
    session: UUID | None = None
    object_kind: str = ""
    object_id: UUID | None = None
    groups: tuple[UUID, ...] = ()
    client_ip: str | None = None
    request_id: UUID = field(default_factory=lambda: UUID(int=0))
    duration_us: int = 0
    details: Mapping[str, Detail] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        unknown = self.details.keys() - ALLOWED_DETAILS
        if unknown:
            raise ValueError(f"not allowed in the record: {sorted(unknown)}")

    @property
    def severity(self) -> Severity:
        if self.outcome is Outcome.FAILED:
            return Severity.ERROR
        if self.outcome is Outcome.DENIED:
            return Severity.WARNING
        return Severity.INFO


def of_the_server(
    action: str, outcome: Outcome, reason: str, *, category: Category = Category.OTHER, **more: Any
) -> AuditEntry:
    """What the server does by itself, at nobody's call."""
    return AuditEntry(
        action=action,
        category=category,
        outcome=outcome,
        reason=reason,
        actor_kind=PrincipalKind.SYSTEM,
        actor_id=SYSTEM_ID,
        method=AuthenticationMethod.NONE,
        **more,
    )
