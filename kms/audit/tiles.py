"""How the tree's hashes are cut into tiles, and how a tile is named: C2SP tlog-tiles. Pure.

A tile has up to 256 neighbouring hashes of every eighth level, which are the levels that are kept. It must not know
where hashes lie.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

HEIGHT = 8
WIDTH = 1 << HEIGHT
# Eight levels of 256, and indices of eighteen digits, are more than a sequence has numbers for.
_NAME = re.compile(r"(?P<level>[0-7])/(?P<index>(?:x\d{3}/){0,5}\d{3})(?:\.p/(?P<width>[1-9]\d{0,2}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Tile:
    """``width`` hashes of subtrees over ``256 ** level`` leaves each; fewer than 256 at the right edge."""

    level: int
    index: int
    width: int = WIDTH

    def __str__(self) -> str:
        """``0/x001/x234/067``, and ``0/x001/x234/067.p/56`` while it is not full."""
        *above, last = _thousands(self.index)
        name = f"{self.level}/" + "".join(f"x{group:03}/" for group in above) + f"{last:03}"
        return name if self.width == WIDTH else f"{name}.p/{self.width}"

    def within(self, size: int) -> bool:
        """Whether a tree over so many leaves has it."""
        return self.index * WIDTH + self.width <= size >> (HEIGHT * self.level)


def tile_of(name: str) -> Tile | None:
    """Each tile has one name; None: this is nobody's."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    index = int(found["index"].replace("x", "").replace("/", ""))
    tile = Tile(int(found["level"]), index, int(found["width"] or WIDTH))
    return tile if tile.width <= WIDTH and str(tile) == name else None


def _thousands(number: int) -> list[int]:
    groups = [number % 1000]
    while number := number // 1000:
        groups.insert(0, number % 1000)
    return groups
