"""An entry as the columns of its row. Pure: it knows the table's shape and no database."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from kms.audit.entry import AuditEntry

TABLE = "audit_entry"

# Column, and the SQL type its values travel as. Groups and details travel as text: ragged arrays do not unnest.
COLUMNS: tuple[tuple[str, str], ...] = (
    ("account_id", "uuid"),
    ("actor_kind", "text"),
    ("actor_id", "uuid"),
    ("method", "text"),
    ("session_id", "uuid"),
    ("action", "text"),
    ("category", "text"),
    ("severity", "text"),
    ("outcome", "text"),
    ("reason", "text"),
    ("object_kind", "text"),
    ("object_id", "uuid"),
    ("groups", "text"),
    ("client_ip", "text"),
    ("request_id", "uuid"),
    ("duration_us", "int8"),
    ("details", "text"),
)
_CASTS = {"groups": "::uuid[]", "client_ip": "::inet", "details": "::jsonb"}
NAMES = ", ".join(name for name, _ in COLUMNS)
SELECTED = ", ".join(f"r.{name}{_CASTS.get(name, '')}" for name, _ in COLUMNS)
UNNESTED = ", ".join(f"%({name})s::{kind}[]" for name, kind in COLUMNS)

_encode = msgspec.json.Encoder().encode


def row_of(entry: AuditEntry) -> tuple[object, ...]:
    """The values of COLUMNS, in order."""
    return (
        entry.account,
        entry.actor_kind,
        entry.actor_id,
        entry.method,
        entry.session,
        entry.action,
        entry.category,
        entry.severity,
        entry.outcome,
        entry.reason,
        entry.object_kind,
        entry.object_id,
        "{" + ",".join(str(group) for group in entry.groups) + "}",
        entry.client_ip,
        entry.request_id,
        entry.duration_us,
        _encode(dict(entry.details)).decode() if entry.details else "{}",
    )


def columns_of(entries: Sequence[AuditEntry]) -> dict[str, list[object]]:
    """The same, turned on its side for ``unnest``."""
    turned = zip(*map(row_of, entries), strict=True)
    return {name: list(values) for (name, _), values in zip(COLUMNS, turned, strict=True)}
