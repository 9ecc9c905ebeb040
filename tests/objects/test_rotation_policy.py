"""When a rotation policy is due: months that are too short, servers that slept, and policies that make no sense."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kms.crypto.errors import ParameterInvalid
from kms.objects.rotation import MAX_DAYS, MAX_MONTHS, RotationPolicy, next_rotation, rotation_of


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


times = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
intervals = st.integers(1, MAX_DAYS).map(lambda days: RotationPolicy(days=days)) | st.integers(1, MAX_MONTHS).map(
    lambda months: RotationPolicy(months=months)
)


@pytest.mark.parametrize(
    ("anchor", "dates"),
    [
        ("2026-01-31T10:00", ["2026-02-28T10:00", "2026-03-31T10:00", "2026-04-30T10:00", "2026-05-31T10:00"]),
        ("2028-01-30T10:00", ["2028-02-29T10:00", "2028-03-30T10:00"]),
        ("2026-12-15T23:59:59", ["2027-01-15T23:59:59", "2027-02-15T23:59:59"]),
    ],
)
def test_a_short_month_does_not_move_the_dates_after_it(anchor: str, dates: list[str]) -> None:
    policy, now = RotationPolicy(months=1).begun(at(anchor)), at(anchor)
    for date in dates:
        now = next_rotation(policy, now)
        assert now == at(date)


@pytest.mark.parametrize(
    ("months", "anchor", "expected"),
    [
        (12, "2028-02-29T00:00", "2029-02-28T00:00"),
        (48, "2028-02-29T00:00", "2032-02-29T00:00"),
        (13, "2026-11-30T00:00", "2027-12-30T00:00"),
    ],
)
def test_leap_days_and_long_intervals(months: int, anchor: str, expected: str) -> None:
    assert next_rotation(RotationPolicy(months=months).begun(at(anchor)), at(anchor)) == at(expected)


def test_days_are_days_of_24_hours() -> None:
    policy = RotationPolicy(days=1).begun(at("2028-02-28T12:00"))
    assert next_rotation(policy, at("2028-02-28T12:00")) == at("2028-02-29T12:00")
    assert next_rotation(policy, at("2028-02-29T12:00")) == at("2028-03-01T12:00")


def test_what_was_slept_through_is_due_once() -> None:
    policy = RotationPolicy(days=7).begun(at("2026-01-01T00:00"))
    assert next_rotation(policy, at("2026-03-01T05:00")) == at("2026-03-05T00:00")


def test_the_first_rotation_is_when_it_takes_effect_or_an_interval_from_now() -> None:
    now = at("2026-07-24T12:00")
    ahead = RotationPolicy(days=10, effective_at=at("2026-08-01T00:00"))
    assert next_rotation(ahead.begun(now), now) == at("2026-08-01T00:00")
    behind = RotationPolicy(days=10, effective_at=at("2026-07-01T00:00"))
    assert next_rotation(behind.begun(now), now) == at("2026-07-31T00:00")
    assert next_rotation(RotationPolicy(days=10).begun(now), now) == at("2026-08-03T12:00")


@given(intervals, times, times)
def test_the_next_rotation_lies_ahead_and_none_lies_between(
    policy: RotationPolicy, anchor: datetime, now: datetime
) -> None:
    begun = policy.begun(anchor)
    due = next_rotation(begun, now)
    assert due > now
    longest = timedelta(days=policy.days) if policy.days is not None else timedelta(days=31 * (policy.months or 0))
    assert due - now <= max(longest, anchor - now)
    assert next_rotation(begun, due - timedelta(microseconds=1)) == due


@given(intervals, times, times, st.timedeltas(timedelta(), timedelta(days=1000)))
def test_looking_in_between_changes_no_date(
    policy: RotationPolicy, anchor: datetime, earlier: datetime, slept: timedelta
) -> None:
    begun, later = policy.begun(anchor), earlier + slept
    due = next_rotation(begun, earlier)
    while due <= later:
        due = next_rotation(begun, due)
    assert due == next_rotation(begun, later)


@given(intervals, times, st.none() | times, st.booleans(), st.lists(st.uuids().map(str), max_size=3))
def test_a_policy_comes_back_from_the_row_as_it_was(
    policy: RotationPolicy, now: datetime, effective: datetime | None, deactivate: bool, copies: list[str]
) -> None:
    given = RotationPolicy(policy.days, policy.months, effective, deactivate, tuple(copies)).begun(now)
    assert rotation_of(given.stored()) == given
    assert given.anchor == (effective or now)


@pytest.mark.parametrize(
    "policy",
    [
        RotationPolicy(),
        RotationPolicy(days=1, months=1),
        RotationPolicy(days=0),
        RotationPolicy(days=MAX_DAYS + 1),
        RotationPolicy(months=0),
        RotationPolicy(months=MAX_MONTHS + 1),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(policy: RotationPolicy) -> None:
    with pytest.raises(ParameterInvalid, match="interval"):
        policy.checked()
