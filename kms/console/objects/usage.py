"""How often an object was used, as bars in a picture: geometry only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_HEIGHT, _STEP, _WIDTH = 40, 8, 6


@dataclass(frozen=True, slots=True)
class Bar:
    x: int
    y: int
    height: int


@dataclass(frozen=True, slots=True)
class Usage:
    total: int
    most: int
    bars: tuple[Bar, ...]
    width: int
    height: int = _HEIGHT


def usage_of(statistics: Mapping[str, Any] | None) -> Usage | None:
    """Of what the API counts; None where it does not say."""
    if statistics is None:
        return None
    counts = [bucket["doc_count"] for bucket in statistics["time"]["buckets"]]
    most = max(counts, default=0)
    heights = [0 if not count else max(2, round(count / most * (_HEIGHT - 2))) for count in counts]
    bars = tuple(Bar(place * _STEP, _HEIGHT - height, height) for place, height in enumerate(heights) if height)
    return Usage(sum(counts), most, bars, max(len(counts), 1) * _STEP - (_STEP - _WIDTH))
