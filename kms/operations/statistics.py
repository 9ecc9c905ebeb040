"""How much is used: cryptographic calls over time by app, group or object, and an account's totals.

Counted from the record itself, so a statistic can be no better than what an auditor reads, and no worse. The cost grows
with the account's entries in the asked-for range. It must not know the wire or HTTP; it changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any
from uuid import UUID

from django.db import connection

from kms.audit.entry import Category, Detail, Outcome
from kms.objects.models import SecurityObject
from kms.operations.apps import app_target, find_app, permission_on, visible_apps
from kms.operations.authority import absent, group_target, object_target
from kms.operations.command import Call, Command, ObjectRef, Operation, Resolved, control
from kms.operations.errors import InvalidRequest, NotFound
from kms.operations.groups import find_group
from kms.operations.in_time import TookTooLong, in_time
from kms.operations.managed_object import named_object
from kms.operations.queries import resolve_listing
from policies.decision import Target
from policies.permissions import Permission

LONGEST_SECONDS = 366 * 86400
MAX_POINTS, MAX_TOP = 1000, 100
STATEMENT_MILLISECONDS = 10_000


class Subject(Enum):
    """By what calls are counted."""

    APP = "app"
    GROUP = "group"
    OBJECT = "object"


@dataclass(frozen=True, slots=True)
class Span:
    """From ``since`` (included) to ``until`` (not), in ``points`` equal parts."""

    since: datetime
    until: datetime
    points: int = 24

    @property
    def seconds(self) -> float:
        return (self.until - self.since).total_seconds()


@dataclass(frozen=True, slots=True)
class ReadStatistics(Command):
    """Of one subject, or of the ``top`` busiest that the caller may see."""

    subject: Subject
    span: Span
    one: UUID | None = None
    top: int = 10


@dataclass(frozen=True, slots=True)
class ReadUsage(Command):
    """An account's totals. ``detailed`` adds the busiest apps and objects."""

    account: UUID
    span: Span
    detailed: bool = False


@dataclass(frozen=True, slots=True)
class Point:
    """The calls of one part of the span, which begins at ``begins``."""

    begins: datetime
    counts: Mapping[UUID, int]

    @property
    def total(self) -> int:
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class Usage:
    """``by_action`` counts calls that were done; tokenising ones (format-preserving encryption) stand apart."""

    by_action: Mapping[str, int]
    tokenising: Mapping[str, int]
    objects: int
    top_apps: Mapping[UUID, int] = field(default_factory=dict)
    top_objects: Mapping[UUID, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.by_action.values()) + sum(self.tokenising.values())


# -- handlers ------------------------------------------------------------------------------------------------------

# What a row is counted for. Names of columns and no caller's word.
_COUNTED = {
    Subject.APP: "CASE WHEN actor_kind = 'app' THEN actor_id END",
    Subject.GROUP: "unnest(groups)",
    Subject.OBJECT: "object_id",
}
_DONE = (
    "FROM audit_entry WHERE account_id = %(account)s AND time >= %(since)s AND time < %(until)s "
    f"AND category = '{Category.CRYPTOGRAPHIC}' AND outcome = '{Outcome.DONE}'"
)
_POINTS = {
    subject: (
        "SELECT part, subject, count(*) FROM ("  # noqa: S608 - columns are ours
        "SELECT least(floor(extract(epoch FROM time - %(since)s) / %(step)s)::int, %(points)s - 1) AS part, "
        f"{column} AS subject {_DONE}) AS counted WHERE subject = ANY(%(subjects)s) GROUP BY part, subject"
    )
    for subject, column in _COUNTED.items()
}
_TOTALS = {
    subject: (
        f"SELECT subject, count(*) AS calls FROM (SELECT {column} AS subject {_DONE}) AS counted "  # noqa: S608 - ours
        "WHERE subject IS NOT NULL GROUP BY subject ORDER BY calls DESC, subject"
    )
    for subject, column in _COUNTED.items()
}
_ACTIONS = f"SELECT action, coalesce(details ->> 'mode', '') = 'FF1', count(*) {_DONE} GROUP BY 1, 2"


def read_statistics(call: Call, command: ReadStatistics, _payload: Any) -> Sequence[Point]:
    """One point a part, in order, empty ones included."""
    span = command.span
    subjects = [command.one] if command.one is not None else _busiest(call, command)
    counted: list[dict[UUID, int]] = [{} for _ in range(span.points)]
    if subjects:
        step = span.seconds / span.points
        rows = _ask(_POINTS[command.subject], call, span, subjects=subjects, step=step, points=span.points)
        for part, subject, count in rows:
            counted[part][subject] = count
    call.details["returned"] = len(subjects)
    step_delta = (span.until - span.since) / span.points
    return [Point(span.since + step_delta * part, counts) for part, counts in enumerate(counted)]


def _busiest(call: Call, command: ReadStatistics) -> list[UUID]:
    seen = _visible(call, command.subject)
    totals = _ask(_TOTALS[command.subject], call, command.span)
    return [subject for subject, _ in totals if seen is None or subject in seen][: command.top]


def _visible(call: Call, subject: Subject) -> frozenset[UUID] | None:
    """Whose counts the caller may see; None is everybody's in the account."""
    if subject is Subject.GROUP:
        return call.facts.groups_with(Permission.GROUP_GET)
    if call.facts.groups_with(Permission.APP_GET) is None and Permission.ADMIN_APP_GET in call.facts.account:
        return None
    return frozenset(visible_apps(call).values_list("id", flat=True))


def read_usage(call: Call, command: ReadUsage, _payload: Any) -> Usage:
    by_action: dict[str, int] = {}
    tokenising: dict[str, int] = {}
    for action, tokenises, count in _ask(_ACTIONS, call, command.span):
        into = tokenising if tokenises else by_action
        into[action] = into.get(action, 0) + count
    objects = SecurityObject.objects.filter(account_id=call.account, deletion_date__isnull=True).count()
    if not command.detailed:
        return Usage(by_action, tokenising, objects)
    apps, keys = (
        dict(_ask(_TOTALS[subject], call, command.span)[:MAX_TOP]) for subject in (Subject.APP, Subject.OBJECT)
    )
    return Usage(by_action, tokenising, objects, apps, keys)


def _ask(statement: str, call: Call, span: Span, **values: Any) -> list[Any]:
    """The answer, or a refusal once it takes too long: a report must not hold up the server."""
    try:
        with in_time(STATEMENT_MILLISECONDS), connection.cursor() as cursor:
            cursor.execute(statement, {"account": call.account, "since": span.since, "until": span.until, **values})
            found: list[Any] = cursor.fetchall()
            return found
    except TookTooLong as error:
        raise InvalidRequest("There are too many entries in this range; ask for a shorter one") from error


# -- resolution ----------------------------------------------------------------------------------------------------


def _check(span: Span) -> None:
    if not 0 < span.seconds <= LONGEST_SECONDS:
        raise InvalidRequest("The range ends after it begins, and is a year at most")
    if not 1 <= span.points <= MAX_POINTS:
        raise InvalidRequest(f"num_points is 1 to {MAX_POINTS}")


def _resolve(call: Call, command: ReadStatistics) -> Sequence[Resolved]:
    _check(command.span)
    if not 1 <= command.top <= MAX_TOP:
        raise InvalidRequest(f"top_count is 1 to {MAX_TOP}")
    if command.one is None:
        return resolve_listing(call, command)
    return (_RESOLVERS[command.subject](call, command.one),)


def _resolve_app(call: Call, app: UUID) -> Resolved:
    row, groups = find_app(call, app, lock=False)
    if row.id == call.principal.id:
        return Resolved(Permission.OWN_PROFILE, Target("app", row.id, row.account_id, tuple(groups)))
    return Resolved(permission_on(row, Permission.APP_GET), app_target(row, groups))


def _resolve_group(call: Call, group: UUID) -> Resolved:
    return Resolved(Permission.GROUP_GET, group_target(find_group(call, group)))


def _resolve_object(call: Call, key: UUID) -> Resolved:
    row = named_object(call, ObjectRef(id=key), SecurityObject.objects.all(), deleted=True)
    if row is None:
        raise NotFound(absent("object"))
    return Resolved(Permission.OBJECT_GET, object_target(row))


_RESOLVERS = {Subject.APP: _resolve_app, Subject.GROUP: _resolve_group, Subject.OBJECT: _resolve_object}


def _resolve_usage(call: Call, command: ReadUsage) -> Sequence[Resolved]:
    _check(command.span)
    if command.account != call.account:
        raise NotFound(absent("account"), "not-visible")
    return (Resolved(Permission.STATISTICS_READ_ACCOUNT, Target("account", command.account, command.account)),)


def _describe(command: ReadStatistics) -> Mapping[str, Detail]:
    return {"kind": command.subject.value}


_operation = control(Category.OTHER)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(ReadStatistics, "statistics.read", _resolve, read_statistics, describe=_describe),
    _operation(ReadUsage, "statistics.read-account", _resolve_usage, read_usage),
)
