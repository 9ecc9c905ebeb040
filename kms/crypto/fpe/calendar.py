"""Dates in order, numbered without gaps, so that dates are encrypted as numbers.

The calendar is the proleptic Gregorian one with a leap year 0. It must not know texts or formats.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from kms.crypto.fpe.parts import Date

MONTHS = range(1, 13)
YEARS = range(100_000)
_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def days_in(month: int, *, leap: bool) -> int:
    return 29 if leap and month == 2 else _DAYS[month - 1]


@dataclass(frozen=True, slots=True)
class Calendar:
    """The days of the year that are allowed, in leap years and in others, and where the numbering begins and ends."""

    leap: tuple[tuple[int, int], ...]
    common: tuple[tuple[int, int], ...]
    first: int
    end: int

    @property
    def size(self) -> int:
        return max(0, self.end - self.first)

    def number(self, date: Date) -> int | None:
        """The place of a date among the allowed ones, or None when it is not one of them."""
        year, day = date
        days = self._days(year)
        place = bisect_left(days, day)
        if place == len(days) or days[place] != day:
            return None
        number = self._before(year) + place
        return number - self.first if self.first <= number < self.end else None

    def date(self, number: int) -> Date:
        """The inverse of ``number``."""
        place = number + self.first
        # The last year that begins no later: a year without an allowed day begins where the next one does.
        year = bisect_right(range(YEARS.stop + 1), place, key=self._before) - 1
        return year, self._days(year)[place - self._before(year)]

    def _days(self, year: int) -> tuple[tuple[int, int], ...]:
        return self.leap if is_leap(year) else self.common

    def _before(self, year: int) -> int:
        """How many allowed days there are in the years from 0 to before this one."""
        leaps = (year + 3) // 4 - (year + 99) // 100 + (year + 399) // 400
        return leaps * len(self.leap) + (year - leaps) * len(self.common)


def calendar(
    years: range, months: Iterable[int], days: Iterable[int] | None, *, after: Date | None, before: Date | None
) -> Calendar:
    """The dates of these years, months and days, strictly between the bounds. Without ``days`` a month is one date."""
    months = [month for month in months if month in MONTHS]
    days = None if days is None else list(days)
    leap, common = (
        tuple(
            [(month, 0) for month in months]
            if days is None
            else [(month, day) for month in months for day in days if 1 <= day <= days_in(month, leap=in_leap)]
        )
        for in_leap in (True, False)
    )
    whole = Calendar(leap, common, 0, 0)
    first, end = whole._before(years.start), whole._before(years.stop)
    if after is not None:
        first = max(first, whole._before(after[0]) + bisect_right(whole._days(after[0]), after[1]))
    if before is not None:
        end = min(end, whole._before(before[0]) + bisect_left(whole._days(before[0]), before[1]))
    return Calendar(leap, common, first, end)
