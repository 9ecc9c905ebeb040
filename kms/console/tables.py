"""The state of a table is its URL: what is searched for, filtered, sorted by, and after which row it goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.http import QueryDict
from django.utils.functional import Promise

PAGE = 50
# What says where in the table one is, and not which rows are in it.
_PLACE = ("start", "offset", "before")


@dataclass(frozen=True, slots=True)
class Column:
    """``sort`` is the API's name to sort by; empty where it can't be."""

    label: str | Promise
    sort: str = ""
    numeric: bool = False


@dataclass(frozen=True, slots=True)
class Heading:
    """A column's head as it is now: where a click leads, and what ``aria-sort`` says."""

    column: Column
    url: str
    direction: str


@dataclass(frozen=True, slots=True)
class Table:
    """One page of rows. ``more`` is the URL of the next one; ``first`` leads back to the beginning, if not there."""

    rows: Sequence[Any]
    headings: Sequence[Heading]
    more: str
    first: str
    filtered: bool


def table(
    query: QueryDict,
    columns: Sequence[Column],
    rows: Sequence[Any],
    place: Callable[[Any], Mapping[str, str]],
    *,
    sort: str = "",
    filters: Iterable[str] = (),
    size: int = PAGE,
) -> Table:
    """The page that ``rows`` are: they hold one more than ``size`` when there is a next page.

    ``place`` says of the last row how the next page is asked for. ``sort`` is the order without a choice.
    """
    shown = rows[:size]
    more = url(query, **place(shown[-1])) if len(rows) > size else ""
    here = any(name in query for name in _PLACE)
    return Table(
        rows=shown,
        headings=[_heading(query, column, query.get("sort") or sort) for column in columns],
        more=more,
        first=url(query) if here else "",
        filtered=any(query.get(name) for name in filters),
    )


def url(query: QueryDict, **changes: str) -> str:
    """The same table elsewhere in it: places are dropped, what is empty too."""
    kept = {name: value for name, value in query.items() if name not in _PLACE} | changes
    return "?" + urlencode({name: value for name, value in kept.items() if value})


def _heading(query: QueryDict, column: Column, sort: str) -> Heading:
    name, _, order = sort.partition(":")
    if not column.sort or name != column.sort:
        return Heading(column, url(query, sort=f"{column.sort}:asc") if column.sort else "", "")
    down = order == "desc"
    return Heading(
        column, url(query, sort=f"{name}:{'asc' if down else 'desc'}"), "descending" if down else "ascending"
    )
