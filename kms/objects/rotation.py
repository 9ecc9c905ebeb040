"""When an object is rotated by itself, and what becomes of the one it replaces. Pure: no Django, no clock, no I/O."""

from __future__ import annotations

import calendar
from datetime import datetime, timedelta
from typing import Any

import msgspec

from kms.crypto.errors import ParameterInvalid

MAX_DAYS, MAX_MONTHS = 3660, 120


class RotationPolicy(msgspec.Struct, frozen=True, omit_defaults=True):
    """Every ``days`` or every ``months`` from ``effective_at`` (an RFC 3339 time) on; exactly one of the two is set.

    ``deactivate``: the replaced key stops protecting new data. ``copies`` are ids of copies that are rotated along.
    """

    days: int | None = None
    months: int | None = None
    effective_at: datetime | None = None
    deactivate: bool = False
    copies: tuple[str, ...] = ()

    def checked(self) -> RotationPolicy:
        if (self.days is None) == (self.months is None):
            raise ParameterInvalid("rotation_policy takes interval_days or interval_months")
        for value, limit in ((self.days, MAX_DAYS), (self.months, MAX_MONTHS)):
            if value is not None and not 1 <= value <= limit:
                raise ParameterInvalid(f"a rotation interval is 1 to {MAX_DAYS} days or 1 to {MAX_MONTHS} months")
        return self

    def stored(self) -> dict[str, Any]:
        value: dict[str, Any] = msgspec.to_builtins(self)
        return value


def rotation_of(stored: dict[str, Any] | None) -> RotationPolicy | None:
    return None if stored is None else msgspec.convert(stored, RotationPolicy)


def first_rotation(policy: RotationPolicy, now: datetime) -> datetime:
    """``effective_at`` when it lies ahead, else one interval from it (or from now)."""
    if policy.effective_at is None:
        return after(policy, now, 1)
    return policy.effective_at if policy.effective_at > now else next_rotation(policy, policy.effective_at, now)


def next_rotation(policy: RotationPolicy, due: datetime, now: datetime) -> datetime:
    """The first time after ``now`` in step with ``due``: what a server slept through is done once, not many times."""
    steps = 1
    if policy.days is not None:
        steps = max(1, (now - due) // timedelta(days=policy.days) + 1)
    while (at := after(policy, due, steps)) <= now:
        steps += 1
    return at


def after(policy: RotationPolicy, start: datetime, steps: int) -> datetime:
    """``steps`` intervals later. A month that is too short for the day ends on its last one."""
    if policy.days is not None:
        return start + timedelta(days=policy.days * steps)
    assert policy.months is not None
    years, month = divmod(start.month - 1 + policy.months * steps, 12)
    year, month = start.year + years, month + 1
    return start.replace(year=year, month=month, day=min(start.day, calendar.monthrange(year, month)[1]))
