"""What needs somebody's attention: keys that end soon, rotations that are due, calls that were refused; and how many
objects there are, and how much is done. All of it as far as the caller may see it. It must not know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.db import models
from django.db.models import Case, Count, F, Q, QuerySet, Value, When
from django.db.models.functions import Trunc

from kms.audit.entry import Category, Outcome
from kms.audit.models import AuditRecord
from kms.objects.models import SecurityObject
from kms.objects.state import KeyState
from kms.operations.command import Call, Command, Operation, control
from kms.operations.errors import InvalidRequest
from kms.operations.in_time import TookTooLong, in_time
from kms.operations.queries import resolve_listing, visible_audit, visible_objects

MAX_DAYS = 366
LISTED = 10
# A dashboard waits no longer than this for one of its parts, and shows that there was too much to count.
PART_MILLISECONDS = 1_500
_OVER = (KeyState.DESTROYED, KeyState.DELETED, KeyState.COMPROMISED, KeyState.DEACTIVATED)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ReadDuties(Command):
    """What comes up in the next ``days``, and what was refused in as many past ones."""

    days: int = 30


@dataclass(frozen=True, slots=True)
class ReadActivity(Command):
    """How many calls ended how, in each of the last ``days``."""

    days: int = 7


@dataclass(frozen=True, slots=True)
class CountObjects(Command):
    """How many objects there are of each kind in each state."""


@dataclass(frozen=True, slots=True)
class Due:
    """An object and the moment at which something happens to it."""

    row: SecurityObject
    at: datetime


@dataclass(frozen=True, slots=True)
class Duties:
    """The first of each, soonest first. ``refused`` is None when there were too many entries to count."""

    ending: tuple[Due, ...]
    rotating: tuple[Due, ...]
    refused: int | None


@dataclass(frozen=True, slots=True)
class Counted:
    """``rows`` are None when it took too long."""

    rows: tuple[tuple[Any, ...], ...] | None


def read_duties(call: Call, command: ReadDuties, _payload: None) -> Duties:
    until = call.now + timedelta(days=_checked(command.days))
    living = visible_objects(call).exclude(state__in=_OVER).filter(enabled=True)
    ending = living.filter(deactivation_date__gt=call.now, deactivation_date__lte=until)
    rotating = living.filter(rotates_at__lte=until)
    since = call.now - timedelta(days=command.days)
    refused = AuditRecord.objects.filter(visible_audit(call), account_id=call.account, time__gte=since)
    return Duties(
        _soonest(ending, "deactivation_date"),
        _soonest(rotating, "rotates_at"),
        _in_time(lambda: refused.filter(outcome=Outcome.DENIED).count()),
    )


def read_activity(call: Call, command: ReadActivity, _payload: None) -> Counted:
    """By the hour for up to two days, else by the day, in UTC."""
    part = "hour" if _checked(command.days) <= 2 else "day"
    rows = AuditRecord.objects.filter(
        visible_audit(call),
        account_id=call.account,
        time__gte=call.now - timedelta(days=command.days),
        category=Category.CRYPTOGRAPHIC,
    )
    begins = Trunc("time", part, output_field=models.DateTimeField())
    counted = rows.annotate(begins=begins).values_list("begins", "outcome").annotate(calls=Count("*"))
    return Counted(_in_time(lambda: tuple(counted.order_by("begins", "outcome"))))


def count_objects(call: Call, _command: CountObjects, _payload: None) -> Counted:
    rows = visible_objects(call).filter(deletion_date__isnull=True)
    state = _state(call.now)
    counted = rows.annotate(now_in=state).values_list("kind", "now_in").annotate(number=Count("*"))
    return Counted(_in_time(lambda: tuple(counted.order_by("kind", "now_in"))))


def _state(now: datetime) -> Case:
    """``objects.state.effective_state`` for the database (tests/operations compares the two)."""
    begun = Q(state=KeyState.PRE_ACTIVE, activation_date__lte=now) | Q(state=KeyState.ACTIVE)
    return Case(
        When(begun & Q(deactivation_date__lte=now), then=Value(KeyState.DEACTIVATED.value)),
        When(begun, then=Value(KeyState.ACTIVE.value)),
        default=F("state"),
        output_field=models.CharField(),
    )


def _soonest(rows: QuerySet[SecurityObject], column: str) -> tuple[Due, ...]:
    return tuple(Due(row, getattr(row, column)) for row in rows.order_by(column)[:LISTED])


def _in_time(ask: Callable[[], T]) -> T | None:
    try:
        with in_time(PART_MILLISECONDS):
            return ask()
    except TookTooLong:
        return None


def _checked(days: int) -> int:
    if not 1 <= days <= MAX_DAYS:
        raise InvalidRequest(f"days is 1 to {MAX_DAYS}")
    return days


_operation = control(Category.OTHER)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(ReadDuties, "duties.read", resolve_listing, read_duties),
    _operation(ReadActivity, "duties.read-activity", resolve_listing, read_activity),
    _operation(CountObjects, "duties.count-objects", resolve_listing, count_objects),
)
