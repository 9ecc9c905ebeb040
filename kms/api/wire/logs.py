"""/sys/v1/logs on the wire."""

from __future__ import annotations

from datetime import UTC
from typing import Any
from uuid import UUID

from kms.api.wire.base import Endpoint, Parameters, Response, WireCall, WireError, moment_of, parameters
from kms.audit.entry import entry_id, sequence_of
from kms.audit.models import AuditRecord
from kms.operations.queries import MAX_PAGE, ReadAudit

ACTION_TYPES = {
    "ADMINISTRATIVE": "administrative",
    "AUTH": "authentication",
    "CRYPTOOPERATION": "cryptographic",
    "OTHER": "other",
    "RUNPLUGIN": "plugin",
    "CUSTOM": "custom",
}
SEVERITIES = {"INFO": "info", "WARNING": "warning", "ERROR": "error", "CRITICAL": "critical"}
ACTOR_TYPES = {"User": "user", "App": "app", "System": "system", "UnregisteredUser": "anonymous", "Plugin": "plugin"}
_WIRE_ACTION = {category: name for name, category in ACTION_TYPES.items()}
_WIRE_SEVERITY = {severity: name for name, severity in SEVERITIES.items()}
_WIRE_ACTOR = {kind: name for name, kind in ACTOR_TYPES.items()}
_NOBODY = UUID(int=0)


class LogParams(Parameters):
    size: int | None = None
    from_: int | None = None
    range_from: int | None = None
    range_to: int | None = None
    action_type: str | None = None
    actor_type: str | None = None
    actor_id: UUID | None = None
    object_id: UUID | None = None
    previous_id: UUID | None = None
    severity: str | None = None


class Source(Response, omit_defaults=False):
    """The last five are ours: what ``message`` says, taken apart."""

    acct_id: UUID
    action_type: str
    actor_id: UUID
    actor_type: str
    client_ip: str | None
    group_ids: list[UUID]
    message: str
    object_id: UUID
    response_time: dict[str, int]
    severity: str
    time: str
    action: str
    outcome: str
    reason: str
    object_kind: str
    details: dict[str, Any]


def _read(call: WireCall) -> ReadAudit:
    wanted = parameters(
        WireCall(
            call.path,
            {("from_" if name == "from" else name): value for name, value in call.query.items()},
            None,
            call.authorization,
            call.principal,
        ),
        LogParams,
    )
    size = wanted.size if wanted.size is not None else MAX_PAGE
    if size < 0 or (wanted.from_ or 0) < 0:
        raise WireError("Invalid request: size and from are not negative")
    return ReadAudit(
        limit=min(size, MAX_PAGE),
        offset=wanted.from_ or 0,
        before=None if wanted.previous_id is None else sequence_of(wanted.previous_id),
        since=moment_of(wanted.range_from, "range_from"),
        until=moment_of(wanted.range_to, "range_to"),
        categories=_words(wanted.action_type, ACTION_TYPES, "action_type"),
        actor_kinds=_words(wanted.actor_type, ACTOR_TYPES, "actor_type"),
        severities=_words(wanted.severity, SEVERITIES, "severity"),
        actor=wanted.actor_id,
        object_id=wanted.object_id,
    )


def _words(text: str | None, table: dict[str, str], what: str) -> tuple[str, ...]:
    """One word, several with commas, or Go's way of printing a list in a query: [A B]."""
    if not text:
        return ()
    words = text.strip("[]").replace(",", " ").split()
    if set(words) - table.keys():
        raise WireError(f"Invalid request: {what} takes {', '.join(table)}")
    return tuple(table[word] for word in words)


def _message(row: AuditRecord) -> str:
    """One line for a reader: what, how it ended and why, and the details by name."""
    details = " ".join(f"{name}={value}" for name, value in row.details.items() if value is not None)
    subject = f" on {row.object_kind} {row.object_id}" if row.object_id else ""
    return f"{row.action}{subject}: {row.outcome} ({row.reason}){' ' + details if details else ''}"


def _source(row: AuditRecord) -> Source:
    return Source(
        acct_id=row.account_id or _NOBODY,
        action_type=_WIRE_ACTION.get(row.category, "OTHER"),
        actor_id=row.actor_id,
        actor_type=_WIRE_ACTOR.get(row.actor_kind, "System"),
        client_ip=row.client_ip,
        group_ids=row.groups,
        message=_message(row),
        object_id=row.object_id or _NOBODY,
        response_time={"secs": row.duration_us // 1_000_000, "nanos": row.duration_us % 1_000_000 * 1000},
        severity=_WIRE_SEVERITY[row.severity],
        time=row.time.astimezone(UTC).isoformat().replace("+00:00", "Z"),  # RFC 3339 here alone: the Go client asks it
        action=row.action,
        outcome=row.outcome,
        reason=row.reason,
        object_kind=row.object_kind,
        details=row.details,
    )


def _hits(rows: list[AuditRecord]) -> dict[str, Any]:
    return {"hits": [{"_id": str(entry_id(row.sequence)), "_source": _source(row)} for row in rows]}


ENDPOINTS: tuple[Endpoint, ...] = (Endpoint("GetAllLogs", "GET", "/sys/v1/logs", _read, _hits),)
