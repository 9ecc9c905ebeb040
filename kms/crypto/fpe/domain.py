"""The texts that share a text's layout and preserved characters, numbered without gaps: what is really enciphered.

Numbers, dates and checksums are not tried until they fit, they are counted (rank and encipher: Bellare, Ristenpart,
Rogaway, Stegers, "Format-Preserving Encryption", SAC 2009). It must not know ciphers, keys or the wire.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Protocol

from kms.crypto.errors import ParameterInvalid
from kms.crypto.fpe.calendar import Calendar, calendar
from kms.crypto.fpe.matching import Occurrence, Piece
from kms.crypto.fpe.parts import DateRole, DateRule, Encrypted

ROLE_RANGES = {DateRole.MONTH: range(1, 13), DateRole.DAY: range(1, 32)}


class Cell(Protocol):
    """Some characters that are numbered together: ``size`` possibilities."""

    @property
    def size(self) -> int: ...

    def read(self, numerals: Sequence[int]) -> int | None:
        """Which possibility stands there; None when it is none of them."""

    def write(self, numerals: list[int], choice: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Character:
    """One free character."""

    place: int
    size: int

    def read(self, numerals: Sequence[int]) -> int | None:
        return numerals[self.place]

    def write(self, numerals: list[int], choice: int) -> None:
        numerals[self.place] = choice


@dataclass(frozen=True, slots=True)
class Number:
    """Digits at ``places`` that make a number of ``allowed``, without those of ``unequal`` (in order, all allowed)."""

    places: tuple[int, ...]
    allowed: range
    unequal: tuple[int, ...]

    @property
    def size(self) -> int:
        return max(0, self.allowed.stop - self.allowed.start) - len(self.unequal)

    def read(self, numerals: Sequence[int]) -> int | None:
        number = decimal(numerals, self.places)
        skipped = bisect_left(self.unequal, number)
        if number not in self.allowed or self.unequal[skipped : skipped + 1] == (number,):
            return None
        return number - self.allowed.start - skipped

    def write(self, numerals: list[int], choice: int) -> None:
        number = self.allowed.start + choice
        for unequal in self.unequal:
            if unequal > number:
                break
            number += 1
        write_decimal(numerals, self.places, number)


@dataclass(frozen=True, slots=True)
class DateCell:
    """The digits of one date, preserved or not: the calendar knows which dates are left."""

    places: dict[DateRole, tuple[int, ...]]
    dates: Calendar

    @property
    def size(self) -> int:
        return self.dates.size

    def read(self, numerals: Sequence[int]) -> int | None:
        year, month, day = (decimal(numerals, self.places.get(role, ())) for role in DateRole)
        return self.dates.number((year, (month, day)))

    def write(self, numerals: list[int], choice: int) -> None:
        year, (month, day) = self.dates.date(choice)
        for role, number in zip(DateRole, (year, month, day), strict=True):
            write_decimal(numerals, self.places.get(role, ()), number)


@dataclass(frozen=True, slots=True)
class Checksum:
    """Digits under the Luhn formula (ISO/IEC 7812-1 annex B). The one at ``dependent`` follows from the others."""

    places: tuple[int, ...]
    dependent: int | None

    def holds(self, numerals: Sequence[int]) -> bool:
        return self._sum(numerals) % 10 == 0

    def complete(self, numerals: list[int]) -> None:
        if self.dependent is not None:
            # Each digit is worth something else in its place, so exactly one of the ten fits.
            for digit in range(10):
                numerals[self.dependent] = digit
                if self.holds(numerals):
                    return

    def _sum(self, numerals: Sequence[int]) -> int:
        total = 0
        for index, place in enumerate(reversed(self.places)):
            doubled = numerals[place] * 2 if index % 2 else numerals[place]
            total += doubled - 9 if doubled > 9 else doubled
        return total


class Domain:
    """Built from the pieces of one text; the same for every text of the same layout and preserved characters."""

    def __init__(self, pieces: Sequence[Piece], *, ciphered: bool) -> None:
        self.pieces = pieces
        self.numerals: list[int] = []
        self.combinations = 1
        self._places: list[range] = []
        self._free: set[int] = set()
        for piece in pieces:
            self._place(piece, ciphered)
        self._checksums = tuple(self._make_checksums())
        self.cells = tuple(self._make_cells())

    @cached_property
    def size(self) -> int:
        """How many texts there are."""
        return prod(cell.size for cell in self.cells)

    @property
    def radix(self) -> int | None:
        """The size of the one alphabet, when there are only characters and all are of one."""
        sizes = {cell.size for cell in self.cells if isinstance(cell, Character)}
        return sizes.pop() if len(sizes) == 1 and all(isinstance(cell, Character) for cell in self.cells) else None

    @property
    def preserved(self) -> str:
        """All preserved characters together."""
        return "".join(
            piece.text[place]
            for piece in self.pieces
            if isinstance(piece.part, Encrypted)
            for place in sorted(piece.part.preserve.places(len(piece.text)))
        )

    def rank(self) -> int:
        """The number of the text that the domain was built from; ParameterInvalid when a constraint does not hold."""
        number = 0
        for cell in self.cells:
            choice = cell.read(self.numerals)
            if choice is None:
                raise ParameterInvalid("the text does not fit the format: a number or date in it is not allowed")
            number = number * cell.size + choice
        if not all(checksum.holds(self.numerals) for checksum in self._checksums):
            raise ParameterInvalid("the text does not fit the format: its Luhn checksum is wrong")
        return number

    def unrank(self, number: int) -> list[int]:
        """The numerals of the text with this number, the inverse of ``rank``."""
        numerals = list(self.numerals)
        for cell in reversed(self.cells):
            number, choice = divmod(number, cell.size)
            cell.write(numerals, choice)
        for checksum in self._checksums:
            checksum.complete(numerals)
        return numerals

    def text(self, numerals: Sequence[int], *, ciphered: bool, hidden: str | None = None) -> str:
        """The numerals as text, with ``hidden`` in place of masked characters."""
        written = []
        for piece, places in zip(self.pieces, self._places, strict=True):
            if not isinstance(piece.part, Encrypted):
                written.append(piece.text)
                continue
            alphabet = piece.part.alphabet_of(ciphered=ciphered)
            characters = [alphabet.character(numerals[place]) for place in places]
            if hidden is not None:
                for place in piece.part.mask.places(len(characters)):
                    characters[place] = hidden
            written.extend(characters)
        return "".join(written)

    # -- building --------------------------------------------------------------------------------------------------

    def _place(self, piece: Piece, ciphered: bool) -> None:
        """Give the piece's characters their places among the numerals: a literal has some only under a checksum."""
        start = len(self.numerals)
        if isinstance(piece.part, Encrypted):
            alphabet = piece.part.alphabet_of(ciphered=ciphered)
            self.numerals.extend(numeral for c in piece.text if (numeral := alphabet.numeral(c)) is not None)
            free = set(range(len(piece.text))) - piece.part.preserve.places(len(piece.text))
            self._free |= {start + place for place in free}
            self.combinations *= alphabet.size ** len(free)
        elif piece.luhn is not None:
            self.numerals.extend(map(int, piece.text))
        self._places.append(range(start, len(self.numerals)))

    def _make_checksums(self) -> Iterable[Checksum]:
        for occurrence in dict.fromkeys(piece.luhn for piece in self.pieces if piece.luhn is not None):
            places = [
                place
                for piece, piece_places in zip(self.pieces, self._places, strict=True)
                if piece.luhn == occurrence
                for place in piece_places
            ]
            yield Checksum(tuple(places), max(self._free.intersection(places), default=None))

    def _make_cells(self) -> Iterable[Cell]:
        dependent = {checksum.dependent for checksum in self._checksums}
        seen: set[Occurrence] = set()
        for piece, places in zip(self.pieces, self._places, strict=True):
            if not isinstance(piece.part, Encrypted):
                continue
            if piece.date is not None and piece.part.date is not None:
                if piece.date not in seen:
                    seen.add(piece.date)
                    yield self._date(piece.date, piece.part.date)
            elif piece.part.number is not None or piece.part.role is not None:
                yield self._number(piece.part, places)
            else:
                for place in places:
                    if place in self._free and place not in dependent:
                        yield Character(place, piece.part.alphabet.size)

    def _number(self, part: Encrypted, places: range) -> Number:
        """Numbers of these digits. Preserved digits are left out: only what fits them counts."""
        free = tuple(place for place in places if place in self._free)
        allowed = allowed_numbers(part, len(places))
        unequal = [number for number in (part.number.unequal if part.number else ()) if number < 10 ** len(places)]
        if len(free) == len(places):
            return Number(free, allowed, tuple(number for number in unequal if number in allowed))
        left_out = []
        for number in unequal:
            digits = dict(zip(places, digits_of(number, len(places)), strict=True))
            if all(place in self._free or digits[place] == self.numerals[place] for place in places):
                left_out.append(decimal(digits, free))
        # Bounds come only with parts that are preserved as a whole: then there is this one number, or none.
        fits = bool(free) or decimal(self.numerals, places) in allowed
        return Number(free, range(10 ** len(free) if fits else 0), tuple(left_out))

    def _date(self, occurrence: Occurrence, rule: DateRule) -> DateCell:
        found = {
            piece.part.role: (piece.part, places)
            for piece, places in zip(self.pieces, self._places, strict=True)
            if piece.date == occurrence and isinstance(piece.part, Encrypted) and piece.part.role is not None
        }

        def values(role: DateRole) -> range:
            part, places = found[role]
            if self._free.issuperset(places):
                return allowed_numbers(part, len(places))
            number = decimal(self.numerals, places)
            return range(number, number + 1)

        dates = calendar(
            values(DateRole.YEAR) if DateRole.YEAR in found else range(1),
            values(DateRole.MONTH),
            values(DateRole.DAY) if DateRole.DAY in found else None,
            after=rule.after,
            before=rule.before,
        )
        return DateCell({role: tuple(places) for role, (_, places) in found.items()}, dates)


def allowed_numbers(part: Encrypted, length: int) -> range:
    """The numbers that a numeric part of this length may be, but for those it must not equal."""
    low, high = 0, 10**length
    if part.role in ROLE_RANGES:
        low, high = ROLE_RANGES[part.role].start, min(high, ROLE_RANGES[part.role].stop)
        if len(part.lengths) > 1 and length > 1:
            # A month or day of one or two digits has no leading zero; one of always two digits may need it.
            low = 10
    if part.number is not None and part.number.greater is not None:
        low = max(low, part.number.greater + 1)
    if part.number is not None and part.number.less is not None:
        high = min(high, part.number.less)
    return range(low, max(low, high))


def decimal(numerals: Sequence[int] | dict[int, int], places: Iterable[int]) -> int:
    number = 0
    for place in places:
        number = number * 10 + numerals[place]
    return number


def digits_of(number: int, length: int) -> list[int]:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 10)
        digits.append(digit)
    return digits[::-1]


def write_decimal(numerals: list[int], places: Sequence[int], number: int) -> None:
    for place, digit in zip(places, digits_of(number, len(places)), strict=True):
        numerals[place] = digit
