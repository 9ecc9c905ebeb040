"""An entry as the columns of its row. Pure: it knows the table's shape and no database."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

import msgspec

from kms.audit.entry import AuditEntry, Detail

TABLE = "audit_entry"

# Column, and its SQL type. Groups and details are unnested as text: ragged arrays do not unnest.
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

# The record says what was asked for; it is no place to keep megabytes of it.
LONGEST_TEXT = 1024

_encode = msgspec.json.Encoder().encode
_ESCAPES = str.maketrans({'"': '\\"', "\\": "\\\\"})


def row_of(entry: AuditEntry) -> tuple[str, ...]:
    """The values of COLUMNS, in order, as elements of array literals."""
    return (
        _uuid(entry.account),
        _text(entry.actor_kind),
        _uuid(entry.actor_id),
        _text(entry.method),
        _uuid(entry.session),
        _text(entry.action),
        _text(entry.category),
        _text(entry.severity),
        _text(entry.outcome),
        _text(entry.reason),
        _text(entry.object_kind),
        _uuid(entry.object_id),
        '"{' + ",".join(group.hex for group in entry.groups) + '}"',
        "NULL" if entry.client_ip is None else _text(entry.client_ip),
        entry.request_id.hex,
        str(entry.duration_us),
        _details(entry.details) if entry.details else '"{}"',
    )


def _uuid(value: UUID | None) -> str:
    return "NULL" if value is None else value.hex


def _text(value: str) -> str:
    """A quoted element (PostgreSQL §8.15.2). Escaping here costs a tenth of the driver's general array dumper."""
    return f'"{value.translate(_ESCAPES)}"'


def _details(details: Mapping[str, Detail]) -> str:
    """As JSON. Callers' words are cut at LONGEST_TEXT; what jsonb may not hold is shown as another character.

    An odd name must not stay unrecorded, nor fail the entries of others in its batch.
    """
    with contextlib.suppress(UnicodeEncodeError):
        encoded = _encode(dict(details)).decode()
        if len(encoded) <= LONGEST_TEXT and "\\u0000" not in encoded:
            return _text(encoded)
    tame = {name: _tamed(value) if isinstance(value, str) else value for name, value in details.items()}
    return _text(_encode(tame).decode())


def _tamed(value: str) -> str:
    return value[:LONGEST_TEXT].replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def array(elements: Iterable[str]) -> str:
    return "{" + ",".join(elements) + "}"


def columns_of(entries: Sequence[AuditEntry]) -> dict[str, str]:
    """One array literal per column, for ``unnest``."""
    turned = zip(*map(row_of, entries), strict=True)
    return {name: array(values) for (name, _), values in zip(COLUMNS, turned, strict=True)}
