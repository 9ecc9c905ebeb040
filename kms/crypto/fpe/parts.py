"""What a format is made of, as frozen values that were checked when they were read.

They describe texts and compute nothing. They must not know the wire's spelling, ciphers or keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

# Longer texts are documents, not tokens; every character costs matching and long division.
MAX_TEXT = 4096
DIGITS = ((ord("0"), ord("9")),)


@dataclass(frozen=True, slots=True)
class Alphabet:
    """Ranges of code points, both ends included. A character's numeral is its place in them as listed."""

    ranges: tuple[tuple[int, int], ...]

    @property
    def size(self) -> int:
        return sum(last - first + 1 for first, last in self.ranges)

    @property
    def is_decimal(self) -> bool:
        """The ten ASCII digits in their order, so that a numeral is a digit's value."""
        return self.ranges == DIGITS

    def numeral(self, character: str) -> int | None:
        point, before = ord(character), 0
        for first, last in self.ranges:
            if first <= point <= last:
                return before + point - first
            before += last - first + 1
        return None

    def character(self, numeral: int) -> str:
        for first, last in self.ranges:
            if numeral <= last - first:
                return chr(first + numeral)
            numeral -= last - first + 1
        raise IndexError("no such numeral in the alphabet")


@dataclass(frozen=True, slots=True)
class Selection:
    """Characters of a part: all of them, or those at ``indices``, of which negative ones count from the end."""

    everything: bool = False
    indices: tuple[int, ...] = ()

    def places(self, length: int) -> frozenset[int]:
        if self.everything:
            return frozenset(range(length))
        found = (index if index >= 0 else length + index for index in self.indices)
        return frozenset(place for place in found if 0 <= place < length)

    def is_whole(self, lengths: range) -> bool:
        """True when at each of these lengths either all characters are selected or none."""
        if self.everything or not self.indices:
            return True
        # Longer than the list, a text has a character that is not on it.
        return lengths[-1] <= len(set(self.indices)) and all(len(self.places(n)) in (0, n) for n in lengths)


NOTHING = Selection()


@dataclass(frozen=True, slots=True)
class NumberRule:
    """A number above ``greater``, below ``less`` and none of ``unequal``, which is in order."""

    greater: int | None = None
    less: int | None = None
    unequal: tuple[int, ...] = ()


class DateRole(StrEnum):
    YEAR = "year"
    MONTH = "month"
    DAY = "day"


# Year, then month and day: dates compare as tuples. A date without a year has year 0, one without a day has day 0.
Date = tuple[int, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class DateRule:
    """Parts of these roles make one date, after and before the bounds. ``group`` tells the rules of a format apart."""

    group: int
    roles: frozenset[DateRole]
    after: Date | None = None
    before: Date | None = None


@dataclass(frozen=True, slots=True)
class Encrypted:
    """Characters of an alphabet. ``luhn`` is the group of their checksum, ``date`` the rule of their date.

    A Luhn group begins anew where the part that ``opens`` it does.
    """

    min_length: int
    max_length: int
    alphabet: Alphabet
    cipher_alphabet: Alphabet
    preserve: Selection = NOTHING
    mask: Selection = NOTHING
    number: NumberRule | None = None
    role: DateRole | None = None
    date: DateRule | None = None
    luhn: int | None = None
    opens: int | None = None

    @property
    def lengths(self) -> range:
        return range(self.min_length, min(self.max_length, MAX_TEXT) + 1)

    def alphabet_of(self, *, ciphered: bool) -> Alphabet:
        return self.cipher_alphabet if ciphered else self.alphabet


@dataclass(frozen=True, slots=True)
class Literal:
    """The first of the choices that stands there. It is never encrypted and never masked."""

    choices: tuple[str, ...]
    luhn: int | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """The lengths that a compound part may have, and the Luhn group that begins anew with each of its occurrences."""

    min_length: int = 0
    max_length: int = MAX_TEXT
    opens: int | None = None


@dataclass(frozen=True, slots=True)
class Either:
    """The first alternative that matches."""

    span: Span
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Series:
    """One part after the other. ``date`` begins anew with each occurrence, as a Luhn group does."""

    span: Span
    parts: tuple[Part, ...]
    date: DateRule | None = None


@dataclass(frozen=True, slots=True)
class Repeated:
    """As many occurrences as match."""

    span: Span
    part: Part
    at_least: int
    at_most: int


Part = Encrypted | Literal | Either | Series | Repeated


def leaves(part: Part) -> Iterator[Encrypted]:
    """The encrypted parts, in order."""
    if isinstance(part, Encrypted):
        yield part
    elif isinstance(part, Either | Series):
        for child in part.parts:
            yield from leaves(child)
    elif isinstance(part, Repeated):
        yield from leaves(part.part)


def shortest(part: Part) -> int:
    """The fewest characters that the part can match."""
    if isinstance(part, Encrypted):
        return part.min_length
    if isinstance(part, Literal):
        return min(map(len, part.choices))
    if isinstance(part, Repeated):
        least = part.at_least * shortest(part.part)
    else:
        lengths = [shortest(child) for child in part.parts]
        least = min(lengths) if isinstance(part, Either) else sum(lengths)
    return max(least, part.span.min_length)
