"""Security objects found among very many: by part of a name, state, dates and quorums, in any order, page by page.

A page goes on after an object, not after a value, so nothing is lost or shown twice where values tie. Whatever is asked
for, a page is found in one of two ways: by walking a little way along the order, which is short when many match, and
else by gathering what matches and sorting it, which is short when few do. It must not know the wire, HTTP or rights.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import BooleanField, Expression, F, Func, Q, QuerySet, Value
from django.db.models.functions import Coalesce
from django.db.models.lookups import GreaterThan, LessThanOrEqual

from kms.objects.models import NEVER, SecurityObject
from kms.objects.state import KeyState
from kms.operations.errors import InvalidRequest
from kms.operations.in_time import TookTooLong, in_time

# How far along the order is looked before what matches is gathered.
WALK = 2_000
# What gathering may take; a page is not waited for longer.
GATHER_MILLISECONDS, GATHER_MEMORY = 1_000, "32MB"
# Shorter texts than this have no part that the index knows (migration 0006).
TRIGRAM = 3


@dataclass(frozen=True, slots=True)
class Narrowing:
    """What a listing is narrowed to, beside what equals something. ``guarded``: handling it needs a quorum, or not."""

    search: str = ""
    state: KeyState | None = None
    size: int | None = None
    expires_before: datetime | None = None
    rotates_before: datetime | None = None
    guarded: bool | None = None

    @property
    def sought(self) -> Q:
        """What an index knows of the search, where rows are gathered by it. ``condition`` holds besides."""
        if len(self.search) < TRIGRAM:
            return Q()
        parts = (Func(side, function="keystead_trigrams") for side in (F("name"), Value(self.search)))
        return Q(Func(*parts, template="(%(expressions)s)", arg_joiner=" @> ", output_field=BooleanField()))

    def condition(self, now: datetime, guarding: Collection[UUID]) -> Q:
        """``guarding`` are the groups whose own quorum stands before something."""
        found = Q()
        if self.search:
            found &= Q(name__icontains=self.search)
        if self.state is not None:
            found &= in_state(self.state, now)
        if self.size is not None:
            found &= Q(size=self.size)
        if self.expires_before is not None:
            expiry = dated("deactivation_date")
            found &= Q(GreaterThan(expiry, now), LessThanOrEqual(expiry, self.expires_before))
        if self.rotates_before is not None:
            found &= Q(LessThanOrEqual(dated("rotates_at"), self.rotates_before))
        if self.guarded is not None:
            behind = Q(quorum__isnull=False) | Q(group_id__in=list(guarding))
            found &= behind if self.guarded else ~behind
        return found


def in_state(state: KeyState, now: datetime) -> Q:
    """Rows whose state is this at ``now``: state.effective_state as a query (tests compare the two)."""
    stored = Q(state=state)
    begun, over = Q(activation_date__lte=now), Q(deactivation_date__lte=now)
    waited = Q(state=KeyState.PRE_ACTIVE) & begun
    active = stored | waited if state is KeyState.ACTIVE else Q(state=KeyState.ACTIVE) | waited
    match state:
        case KeyState.PRE_ACTIVE:
            return stored & (Q(activation_date__isnull=True) | Q(activation_date__gt=now))
        case KeyState.ACTIVE:
            return active & (Q(deactivation_date__isnull=True) | Q(deactivation_date__gt=now))
        case KeyState.DEACTIVATED:
            return stored | (active & over)
        case _:
            return stored


def dated(column: str) -> Coalesce:
    """A date as the index has it."""
    return Coalesce(F(column), Value(NEVER))


@dataclass(frozen=True, slots=True)
class Order:
    """By a column and, where values tie, by id. An object without a date comes where "never" would."""

    column: str
    descending: bool

    @property
    def value(self) -> Expression | F:
        return dated(self.column) if self.column in ("deactivation_date", "rotates_at") else F(self.column)

    def along(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """In this order, as an index has it."""
        return rows.order_by(*(self._directed(part) for part in self._parts))

    def gathered(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """In this order, in a way that no index has it: what matches is found by the conditions, then sorted."""
        sought = (Func(part, template="(SELECT %(expressions)s)") for part in self._parts)
        return rows.order_by(*(self._directed(part) for part in sought))

    def between(self, rows: QuerySet[Any], after: SecurityObject | None, until: SecurityObject | None) -> QuerySet[Any]:
        """What comes after one row and not after another."""
        if after is not None:
            rows = rows.filter(self._compared("<" if self.descending else ">", after))
        return rows if until is None else rows.filter(self._compared(">=" if self.descending else "<=", until))

    @property
    def _parts(self) -> list[Expression | F]:
        return [F("id")] if self.column == "id" else [self.value, F("id")]

    def _directed(self, part: Expression | F) -> Any:
        return part.desc() if self.descending else part.asc()

    def _compared(self, how: str, row: SecurityObject) -> Func:
        """As a comparison of rows (SQL's, not ours), for which an index over both columns is enough."""
        at = [Value(row.id)] if self.column == "id" else [Value(self._of(row)), Value(row.id)]
        sides = [Func(*side, template="ROW(%(expressions)s)") for side in (self._parts, at)]
        return Func(*sides, template="(%(expressions)s)", arg_joiner=f" {how} ", output_field=BooleanField())

    def _of(self, row: SecurityObject) -> Any:
        found = getattr(row, self.column)
        return NEVER if found is None else found


def page_of_objects(
    everything: QuerySet[SecurityObject],
    visible: QuerySet[SecurityObject],
    matching: QuerySet[SecurityObject],
    order: Order,
    after: UUID | None,
    limit: int,
    *,
    narrowed: bool,
    sought: Q,
) -> list[SecurityObject]:
    """The first of ``matching`` after that object, which is a ``visible`` one.

    ``everything`` is what an index walks along: the account's, seen or not. ``narrowed``: less than that may match, and
    no index has what does in this order. ``sought`` is how what matches is gathered.
    """
    begin = None if after is None else visible.filter(id=after).first()
    if after is not None and begin is None:
        raise InvalidRequest("after names no object that you may see here")
    if not narrowed:
        return list(order.along(order.between(matching, begin, None))[:limit])
    until = order.along(order.between(everything.only("id", order.column), begin, None))[WALK : WALK + 1].first()
    found = list(order.along(order.between(matching, begin, until))[:limit])
    if until is None or len(found) == limit:
        return found
    return _gathered(order.gathered(order.between(matching.filter(sought), begin, None))[:limit])


def _gathered(rows: QuerySet[SecurityObject]) -> list[SecurityObject]:
    try:
        with in_time(GATHER_MILLISECONDS), connection.cursor() as cursor:
            # Without room for each row's place whole pages are remembered, and every name there is taken apart again.
            cursor.execute("SELECT set_config('work_mem', %s, true)", [GATHER_MEMORY])
            return list(rows)
    except TookTooLong as error:
        raise InvalidRequest(
            "There are too many objects to look through; narrow it, or give more of the name"
        ) from error
