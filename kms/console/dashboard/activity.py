"""Calls by day as rows of a table, which the chart beside it is drawn from. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from kms.console.moments import WIRE_TIME


@dataclass(frozen=True, slots=True)
class Day:
    """In UTC, as the record counts."""

    day: date
    done: int
    denied: int
    failed: int

    @property
    def begins(self) -> int:
        """Seconds since 1970."""
        return int(datetime(self.day.year, self.day.month, self.day.day, tzinfo=UTC).timestamp())


@dataclass(frozen=True, slots=True)
class Days:
    rows: Sequence[Day]

    @property
    def total(self) -> int:
        return sum(day.done + day.denied + day.failed for day in self.rows)


def days_of(parts: Sequence[Mapping[str, Any]], days: int, *, today: date | None = None) -> Days:
    """Every day up to today, those without calls too; an hour's numbers count for its day."""
    counted: dict[tuple[date, str], int] = {}
    for part in parts:
        key = datetime.strptime(part["begins"], WIRE_TIME).replace(tzinfo=UTC).date(), part["outcome"]
        counted[key] = counted.get(key, 0) + part["calls"]
    last = today or datetime.now(UTC).date()
    shown = [last - timedelta(days=back) for back in range(days - 1, -1, -1)]
    rows = [Day(day, *(counted.get((day, how), 0) for how in ("done", "denied", "failed"))) for day in shown]
    return Days(rows)
