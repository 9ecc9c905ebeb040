"""How many objects of each type there are, by state, as rows with a bar each. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

STATES = ("Active", "PreActive", "Deactivated", "Compromised", "Destroyed")
_WIDTH = 240


@dataclass(frozen=True, slots=True)
class Bar:
    """A part of a row's bar: where it begins and how long it is, in the picture's own units."""

    state: str
    number: int
    x: int
    width: int


@dataclass(frozen=True, slots=True)
class Row:
    kind: str
    total: int
    bars: Sequence[Bar]


def rows_of(numbers: Sequence[Mapping[str, Any]]) -> list[Row]:
    """The most numerous first; the longest bar is as wide as the picture, and what is there is at least a line."""
    by_kind: dict[str, dict[str, int]] = {}
    for each in numbers:
        by_kind.setdefault(each["obj_type"], {})[each["state"]] = each["number"]
    most = max((sum(states.values()) for states in by_kind.values()), default=1)
    rows = [_row(kind, states, most) for kind, states in by_kind.items()]
    return sorted(rows, key=lambda row: (-row.total, row.kind))


def _row(kind: str, states: Mapping[str, int], most: int) -> Row:
    bars, x = [], 0
    for state in STATES:
        number = states.get(state, 0)
        if number:
            width = max(round(number / most * _WIDTH), 2)
            bars.append(Bar(state, number, x, width))
            x += width
    return Row(kind, sum(states.values()), bars)
