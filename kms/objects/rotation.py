"""When an object is rotated by itself, and what becomes of the one it replaces. Pure: no Django, no clock, no I/O."""

from __future__ import annotations

import calendar
from datetime import datetime, timedelta
from typing import Any

import msgspec

from kms.crypto.errors import ParameterInvalid

MAX_DAYS, MAX_MONTHS = 3660, 120


class RotationPolicy(msgspec.Struct, frozen=True, omit_defaults=True):
    """Every ``days`` or every ``months`` from ``effective_at`` on; exactly one of the two is set.

    ``anchor`` is where the intervals are counted from: ``effective_at``, or when the policy was given. It stays the
    same from key to key, so that neither a late server nor a short month moves the later dates. ``deactivate``: the
    replaced key stops protecting new data. ``copies`` are ids of copies that are rotated along.
    """

    days: int | None = None
    months: int | None = None
    effective_at: datetime | None = None
    deactivate: bool = False
    copies: tuple[str, ...] = ()
    anchor: datetime | None = None

    def checked(self) -> RotationPolicy:
        if (self.days is None) == (self.months is None):
            raise ParameterInvalid("rotation_policy takes interval_days or interval_months")
        for value, limit in ((self.days, MAX_DAYS), (self.months, MAX_MONTHS)):
            if value is not None and not 1 <= value <= limit:
                raise ParameterInvalid(f"a rotation interval is 1 to {MAX_DAYS} days or 1 to {MAX_MONTHS} months")
        return self

    def begun(self, now: datetime) -> RotationPolicy:
        """As it is kept: with its anchor."""
        return msgspec.structs.replace(self, anchor=self.effective_at or now)

    def stored(self) -> dict[str, Any]:
        value: dict[str, Any] = msgspec.to_builtins(self)
        return value


def rotation_of(stored: dict[str, Any] | None) -> RotationPolicy | None:
    return None if stored is None else msgspec.convert(stored, RotationPolicy)


def next_rotation(policy: RotationPolicy, now: datetime) -> datetime:
    """The first of the anchor's intervals after ``now``: what a server slept through is done once, not many times."""
    assert policy.anchor is not None
    steps = max(0, _steps_before(policy, policy.anchor, now))
    while (at := after(policy, policy.anchor, steps)) <= now:
        steps += 1
    return at


def _steps_before(policy: RotationPolicy, start: datetime, now: datetime) -> int:
    """A number of intervals that certainly ends before ``now``, and not long before."""
    if policy.days is not None:
        return (now - start) // timedelta(days=policy.days)
    assert policy.months is not None
    return ((now.year - start.year) * 12 + now.month - start.month) // policy.months - 1


def after(policy: RotationPolicy, start: datetime, steps: int) -> datetime:
    """``steps`` intervals later. A month that is too short for the day ends on its last one."""
    if policy.days is not None:
        return start + timedelta(days=policy.days * steps)
    assert policy.months is not None
    years, month = divmod(start.month - 1 + policy.months * steps, 12)
    year, month = start.year + years, month + 1
    return start.replace(year=year, month=month, day=min(start.day, calendar.monthrange(year, month)[1]))
