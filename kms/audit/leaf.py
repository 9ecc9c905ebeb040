"""An entry of the record as the bytes that are hashed, exported and verified: one line of JSON. Pure.

Fields are in a fixed order, details by name, times in UTC with microseconds. What is written here is final: a leaf that
was sealed once must be rendered to the same bytes for ever. A change of it is a new ``v``.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

VERSION = 1
# How each column is read, in the order of the line. Text throughout: the database renders it once, the same for ever.
COLUMNS: tuple[tuple[str, str], ...] = (
    ("sequence", "sequence"),
    ("time", """to_char("time" AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""),
    ("account", "account_id::text"),
    ("actor_kind", "actor_kind"),
    ("actor", "actor_id::text"),
    ("method", "method"),
    ("session", "session_id::text"),
    ("action", "action"),
    ("category", "category"),
    ("severity", "severity"),
    ("outcome", "outcome"),
    ("reason", "reason"),
    ("object_kind", "object_kind"),
    ("object", "object_id::text"),
    ("groups", "groups::text[]"),
    ("client_ip", "host(client_ip)"),
    ("request", "request_id::text"),
    ("duration_us", "duration_us"),
    ("details", "details::text"),
)
SELECTED = ", ".join(expression for _, expression in COLUMNS)
_NAMES = tuple(name for name, _ in COLUMNS)
_encode = msgspec.json.Encoder(order=None).encode
_sorted = msgspec.json.Encoder(order="sorted").encode
_decode = msgspec.json.Decoder().decode


def line_of(row: Sequence[object]) -> bytes:
    """The line of a row that was read as COLUMNS, without its end."""
    *plain, details = row
    fields: dict[str, object] = {"v": VERSION, **dict(zip(_NAMES, plain, strict=False))}
    fields["details"] = msgspec.Raw(_sorted(_decode(str(details))))
    return _encode(fields)
