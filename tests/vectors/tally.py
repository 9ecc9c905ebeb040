"""What `make vectors` prints: how many vectors ended in which way, by token, edge and family. It judges nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

# Column of an expectation (wycheproof/outcome.py) -> its heading.
COLUMNS = {
    "valid": "valid accepted",
    "invalid": "invalid refused",
    "decided": "acceptable decided",
    "on purpose": "refused on purpose",
}
_HEADINGS = ("edge", "family", "files", "vectors", *COLUMNS.values())


@dataclass
class _Row:
    files: set[str] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)

    def cells(self, edge: str, family: str) -> tuple[str, ...]:
        numbers = (len(self.files), self.counts.total(), *(self.counts[column] for column in COLUMNS))
        return (edge, family, *map(str, numbers))


class Tally:
    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], _Row] = {}

    def __bool__(self) -> bool:
        return bool(self._rows)

    def add(self, edge: str, family: str, file: str, counts: Mapping[str, int]) -> None:
        row = self._rows.setdefault((edge, family), _Row())
        row.files.add(file)
        row.counts.update(counts)

    def lines(self) -> Iterator[str]:
        """A table with a total for each edge."""
        edges = list(dict.fromkeys(edge for edge, _ in self._rows))
        table = [_HEADINGS]
        for edge in edges:
            rows = {family: row for (of, family), row in self._rows.items() if of == edge}
            table += [row.cells(edge, family) for family, row in rows.items()]
            table.append(_total(rows.values()).cells(edge, "TOTAL"))
        widths = [max(len(line[column]) for line in table) for column in range(len(_HEADINGS))]
        for line in table:
            yield "  ".join(
                cell.ljust(width) if column < 2 else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(line, widths, strict=True))
            )


def _total(rows: Iterable[_Row]) -> _Row:
    total = _Row()
    for row in rows:
        total.files |= row.files
        total.counts.update(row.counts)
    return total
