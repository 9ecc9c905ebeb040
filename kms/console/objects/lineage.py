"""Where an object came from and what came of it, as boxes and arrows: geometry for a picture that the template draws.

Versions stand in a row, older ones to the left. What it was made from is above it, what was made from it below.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from kms.console.objects.facts import Badge, size_of, state_badge
from kms.console.objects.frame import asked
from kms.console.visit import Visit
from kms.console.words import word_of

# How many versions are followed each way, and how many relatives of a kind are drawn; the list has the rest.
_STEPS, _DRAWN = 4, 4
_BOX_W, _BOX_H, _GAP_X, _GAP_Y, _EDGE = 200, 56, 64, 68, 2
_NAME = 25

ABOVE: Mapping[str, str | Promise] = {
    "parent": _("Derived from"),
    "copiedFrom": _("Copied from"),
    "wrappingKey": _("Unwrapped with"),
}
BELOW: Mapping[str, str | Promise] = {"copiedTo": _("Copy"), "subkeys": _("Derived key")}


@dataclass(frozen=True, slots=True)
class Relative:
    """``thing`` is None where the viewer may not see it."""

    relation: str
    key: str
    thing: Mapping[str, Any] | None

    @property
    def name(self) -> str:
        return str(self.thing.get("name") or self.key[:8]) if self.thing else self.key[:8]

    @property
    def state(self) -> Badge | None:
        return state_badge(self.thing) if self.thing else None


@dataclass(frozen=True, slots=True)
class Box:
    x: int
    y: int
    relative: Relative
    here: bool = False

    @property
    def label(self) -> str:
        name = self.relative.name
        return name if len(name) <= _NAME else f"{name[: _NAME - 1]}…"

    @property
    def about(self) -> str:
        thing = self.relative.thing
        if thing is None:
            return str(_("Not yours to see"))
        return " · ".join(
            filter(None, [f"{word_of(thing['obj_type'])} {size_of(thing)}".strip(), state_badge(thing).text])
        )


@dataclass(frozen=True, slots=True)
class Arrow:
    """``path`` and the arrow's ``tip`` are SVG's; the words stand at ``x``, ``y``."""

    path: str
    tip: str
    text: str
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class Picture:
    width: int
    height: int
    boxes: Sequence[Box]
    arrows: Sequence[Arrow]
    relatives: Sequence[Relative]
    more: int
    box_width: int = _BOX_W
    box_height: int = _BOX_H


def picture_of(visit: Visit, thing: Mapping[str, Any]) -> Picture:
    """Reads the relatives one by one; there are few."""
    links = thing.get("links", {})
    me = Relative(str(_("This object")), str(thing["kid"]), thing)
    older = list(_followed(visit, thing, "replaced", str(_("Earlier version"))))[::-1]
    newer = list(_followed(visit, thing, "replacement", str(_("Later version"))))
    above = [_relative(visit, str(word), links[name]) for name, word in ABOVE.items() if name in links]
    kept = [(str(word), key) for name, word in BELOW.items() for key in links.get(name, [])]
    below = [_relative(visit, word, key) for word, key in kept[:_DRAWN]]
    return _drawn(me, older, newer, above, below, len(kept) - len(below))


def _relative(visit: Visit, relation: str, key: Any) -> Relative:
    query = {"show_deleted": True}
    return Relative(relation, str(key), asked(visit, "GetSobjectById", query=query, key_id=str(key)))


def _followed(visit: Visit, thing: Mapping[str, Any], link: str, relation: str) -> Iterator[Relative]:
    at: Mapping[str, Any] | None = thing
    for _step in range(_STEPS):
        key = (at or {}).get("links", {}).get(link)
        if key is None:
            return
        found = _relative(visit, relation, key)
        yield found
        at = found.thing


def _drawn(
    me: Relative, older: list[Relative], newer: list[Relative], above: list[Relative], below: list[Relative], more: int
) -> Picture:
    column, row = _BOX_W + _GAP_X, _BOX_H + _GAP_Y
    middle = len(older)
    # The rows above and below are centred on this object, as far as the picture's left edge lets them be.
    first_above = max(0, middle * column - (len(above) - 1) * column // 2)
    first_below = max(0, middle * column - (len(below) - 1) * column // 2)
    level = row if above else 0
    centre = Box(middle * column + _EDGE, level + _EDGE, me, here=True)
    versions = [
        Box(place * column + _EDGE, level + _EDGE, each)
        for place, each in [*enumerate(older), *enumerate(newer, middle + 1)]
    ]
    upper = [Box(first_above + place * column + _EDGE, _EDGE, each) for place, each in enumerate(above)]
    lower = [Box(first_below + place * column + _EDGE, level + row + _EDGE, each) for place, each in enumerate(below)]
    boxes = [*upper, *sorted([*versions, centre], key=lambda box: box.x), *lower]
    line = [box for box in boxes if box.y == centre.y]
    arrows = [_along(one, other) for one, other in pairwise(line)]
    arrows += [_down(box, centre, box.relative.relation) for box in upper]
    arrows += [_down(centre, box, box.relative.relation) for box in lower]
    width = max(box.x for box in boxes) + _BOX_W + _EDGE
    height = max(box.y for box in boxes) + _BOX_H + _EDGE
    return Picture(width, height, boxes, arrows, [*above, *older, *newer, *below], more)


def _along(one: Box, other: Box) -> Arrow:
    x1, x2, y = one.x + _BOX_W, other.x, one.y + _BOX_H // 2
    return Arrow(f"M{x1} {y}H{x2 - 7}", f"M{x2} {y}l-8 -4v8z", str(_("rotated")), (x1 + x2) // 2, y - 6)


def _down(one: Box, other: Box, text: str) -> Arrow:
    x1, y1, x2, y2 = one.x + _BOX_W // 2, one.y + _BOX_H, other.x + _BOX_W // 2, other.y
    half = (y1 + y2) // 2
    path = f"M{x1} {y1}C{x1} {half} {x2} {half} {x2} {y2 - 7}"
    return Arrow(path, f"M{x2} {y2}l-4 -8h8z", text, (x1 + x2) // 2, half + 3)
