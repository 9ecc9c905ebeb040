"""The sealed tree, read from its rows: roots, proofs, and the entries behind the leaves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db import connection
from django.db.models import QuerySet

from kms.audit.leaf import SELECTED, line_of
from kms.audit.merkle import Read, folded, leaf_hash
from kms.audit.models import AuditLeaf, AuditNode
from kms.audit.sealer import KEPT_LEVELS
from kms.audit.tiles import WIDTH, Tile

# The range of the numbers is said apart: each month is asked once for what it has of it, and not once for each leaf.
_NUMBERS = "SELECT min(sequence), max(sequence) FROM audit_leaf WHERE index >= %s AND index < %s"
_LINES = (
    f"SELECT hash, {SELECTED} FROM audit_leaf JOIN audit_entry USING (sequence) "  # noqa: S608 - built from constants
    "WHERE index >= %s AND index < %s AND sequence >= %s AND sequence <= %s ORDER BY index"
)
_PAGE = 5_000


def reader() -> Read:
    """For one proof: what it read it does not read again."""
    seen: dict[tuple[int, int], bytes] = {}

    def read(level: int, index: int) -> bytes:
        if (level, index) not in seen:
            seen[level, index] = _subtree(level, index)
        return seen[level, index]

    return read


def _subtree(level: int, index: int) -> bytes:
    """From the kept level below: at most 128 neighbours."""
    kept, above = divmod(level, KEPT_LEVELS)
    first, last = index << above, (index + 1) << above
    rows: QuerySet[Any] = AuditLeaf.objects.all() if kept == 0 else AuditNode.objects.filter(level=kept)
    here = rows.filter(index__gte=first, index__lt=last).order_by("index")
    found = [bytes(each) for each in here.values_list("hash", flat=True)]
    if len(found) != last - first:
        raise RecordDamaged(f"the tree lacks hashes at level {level}, index {index}")
    return folded(found)


def tile_hashes(tile: Tile) -> bytes:
    """The tile's bytes: the rows of its level, one after the other, as they are kept."""
    first = tile.index * WIDTH
    rows: QuerySet[Any] = AuditNode.objects.filter(level=tile.level) if tile.level else AuditLeaf.objects.all()
    here = rows.filter(index__gte=first, index__lt=first + tile.width).order_by("index")
    found = [bytes(each) for each in here.values_list("hash", flat=True)]
    if len(found) != tile.width:
        raise RecordDamaged(f"the tree lacks hashes of the tile {tile}")
    return b"".join(found)


class RecordDamaged(Exception):
    """What was sealed is not there any more."""


def numbers(start: int, end: int) -> tuple[int, int]:
    """The smallest and the largest number of the entries at these leaves; (0, -1) where there are none."""
    with connection.cursor() as cursor:
        cursor.execute(_NUMBERS, [start, end])
        smallest, largest = cursor.fetchone()
    return (0, -1) if smallest is None else (smallest, largest)


def lines(start: int, end: int) -> Iterator[bytes]:
    """The entries of these leaves as they were hashed, in order. One that is gone or changed is damage."""
    for first in range(start, end, _PAGE):
        last = min(first + _PAGE, end)
        with connection.cursor() as cursor:
            cursor.execute(_LINES, [first, last, *numbers(first, last)])
            rows = cursor.fetchall()
        if len(rows) < last - first:
            raise RecordDamaged(f"{last - first - len(rows)} of the entries {first} to {last} are not there any more")
        if len(rows) > last - first:
            raise RecordDamaged(f"among the entries {first} to {last} are some with the same number")
        for number, (hashed, *row) in enumerate(rows, first):
            line = line_of(row)
            if leaf_hash(line) != bytes(hashed):
                raise RecordDamaged(f"entry {row[0]} is not what was sealed as leaf {number}")
            yield line
