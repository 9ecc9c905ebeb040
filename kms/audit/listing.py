"""Pages of the record, newest first, under any filters and however many entries there are.

The newest entries are walked through, as are those of a month that is written to: it has no index but the account's.
In the others, the database takes whichever index finds the least: a few months at a time, so that nothing is read that
is far older than the page. It must not know who may see what.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, Q, QuerySet

from kms.audit.models import AuditRecord
from kms.audit.months import months

Rows = QuerySet[AuditRecord]

# Of the newest entries, whatever the filters: some 10 ms, and most pages are full by then.
WALKED = 20_000


@dataclass(frozen=True, slots=True)
class _Span:
    """Of time; None is without an end. ``until`` is not in it."""

    since: datetime | None
    until: datetime | None
    searchable: bool = False
    months: int = 1


def page(rows: Rows, narrowed: Q, *, before: int | None, offset: int, limit: int) -> list[AuditRecord]:
    """Of an account's ``rows``, narrowed by filters, those before the entry of this number."""
    if before is not None:
        rows = rows.filter(_before(before))
    if not narrowed:
        return list(_newest_first(rows)[offset : offset + limit])
    found: list[AuditRecord] = []
    for span in _spans(rows):
        inside = rows.filter(narrowed, _within(span))
        if offset:
            count = inside.count()
            if count <= offset:
                offset -= count
                continue
        ordered = _searched(inside) if span.searchable else _newest_first(inside)
        found += ordered[offset : offset + limit - len(found)]
        offset = 0
        if len(found) >= limit:
            break
    return found


def _before(sequence: int) -> Q:
    """By time, as that is what months are of. The entry itself may be gone; the newest that is older will do."""
    last = (
        AuditRecord.objects.filter(sequence__lte=sequence).order_by("-sequence").values_list("sequence", "time").first()
    )
    if last is None:
        return Q(pk__in=())
    number, time = last
    if number < sequence:
        return Q(time__lte=time, sequence__lt=sequence)
    return Q(time__lte=time) & (Q(time__lt=time) | Q(sequence__lt=sequence))


def _newest_first(rows: Rows) -> Rows:
    return rows.order_by("-time", "-sequence")


def _searched(rows: Rows) -> Rows:
    """The same order, by a value that is in no index: a walk through the month is not taken for a short way."""
    moment: Any = F("time") + timedelta(0)
    return rows.order_by(moment.desc(), "-sequence")


def _within(span: _Span) -> Q:
    since = Q() if span.since is None else Q(time__gte=span.since)
    return since if span.until is None else since & Q(time__lt=span.until)


def _spans(rows: Rows) -> Iterator[_Span]:
    """All of time, the newest first: what is walked, then months to search, in twos, fours, eights."""
    edge = _newest_first(rows).values_list("time", flat=True)[WALKED : WALKED + 1].first()
    yield _Span(edge, None)
    if edge is None:
        return
    run, most = None, 1
    for span in _months_before(edge):
        if run is None:
            run = span
        elif span.searchable == run.searchable and (not span.searchable or run.months < most):
            run = _Span(span.since, run.until, span.searchable, run.months + 1)
        else:
            yield run
            run, most = span, most * 2 if run.searchable else most
    if run is not None:
        yield run


def _months_before(until: datetime) -> Iterator[_Span]:
    """Without gaps. What lies between months, or before them, is in the net."""
    for month in months():
        if month.since < until:
            if month.until < until:
                yield _Span(month.until, until)
            yield _Span(month.since, min(month.until, until), month.searchable)
            until = month.since
    yield _Span(None, until)
