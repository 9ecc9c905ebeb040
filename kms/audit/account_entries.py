"""The sealed entries of one account, in their final order; and how far behind somebody is who reads them.

It must not know who reads them or where they go.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection

from kms.audit.formats import SealedEntry, sealed_entry
from kms.audit.leaf import SELECTED, line_of
from kms.audit.merkle import leaf_hash
from kms.audit.models import AuditLeaf
from kms.audit.tree import RecordDamaged, numbers

_ENTRIES = (
    f"SELECT index, hash, {SELECTED} FROM audit_leaf JOIN audit_entry USING (sequence) "  # noqa: S608 - constants
    "WHERE index >= %s AND index < %s AND sequence >= %s AND sequence <= %s AND account_id = %s ORDER BY index LIMIT %s"
)
_BEHIND = (
    'SELECT count(*), min("time") FROM audit_leaf JOIN audit_entry USING (sequence) '
    "WHERE index >= %s AND index < %s AND sequence >= %s AND sequence <= %s AND account_id = %s"
)
# Leaves that are looked through to say how far behind somebody is: some 40 ms.
COUNTED = 20_000


@dataclass(frozen=True, slots=True)
class Placed:
    """An entry at its leaf's index."""

    index: int
    entry: SealedEntry


@dataclass(frozen=True, slots=True)
class Lag:
    """Counted over the next COUNTED leaves of everybody's; ``since`` is the time of the oldest entry that waits."""

    entries: int
    since: datetime | None


def end_of_record() -> int:
    """The index after the last leaf."""
    last = AuditLeaf.objects.order_by("-index").values_list("index", flat=True).first()
    return 0 if last is None else last + 1


def entries_between(account: UUID, start: int, end: int, *, most: int) -> list[Placed]:
    """At most so many of the first. One that is not what was sealed is damage, and is not handed on."""
    with connection.cursor() as cursor:
        cursor.execute(_ENTRIES, [start, end, *numbers(start, end), account, most])
        rows = cursor.fetchall()
    return [_placed(index, bytes(hashed), row) for index, hashed, *row in rows]


def _placed(index: int, hashed: bytes, row: list[object]) -> Placed:
    line = line_of(row)
    if leaf_hash(line) != hashed:
        raise RecordDamaged(f"entry {row[0]} is not what was sealed as leaf {index}")
    return Placed(index, sealed_entry(line))


def lag_of(account: UUID, position: int) -> Lag:
    with connection.cursor() as cursor:
        end = position + COUNTED
        cursor.execute(_BEHIND, [position, end, *numbers(position, end), account])
        count, since = cursor.fetchone()
    return Lag(count, since)
