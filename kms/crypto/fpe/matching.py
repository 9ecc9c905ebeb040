"""A text taken apart by a format: greedy, first choice first, and no way back, as the vendor documents its parser.

It looks at characters and lengths; whether numbers, dates and checksums are right is the domain's question.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kms.crypto.errors import ParameterInvalid
from kms.crypto.fpe.parts import MAX_TEXT, Either, Encrypted, Literal, Part, Repeated, Series

# Alternatives inside repetitions may read a text again and again; this is far above what an honest format needs.
MAX_STEPS = 100_000


# A checksum or a date in a part that is repeated is there several times: the group, and how many pieces came before.
Occurrence = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of the text, and the occurrence of the checksum and of the date that it belongs to."""

    part: Encrypted | Literal
    text: str
    luhn: Occurrence | None = None
    date: Occurrence | None = None

    def is_like(self, other: Piece) -> bool:
        """The same part of the format at the same length, whatever its characters."""
        return (
            self.part is other.part
            and len(self.text) == len(other.text)
            and (self.luhn, self.date) == (other.luhn, other.date)
        )


def match(part: Part, text: str, *, ciphered: bool) -> list[Piece] | None:
    """The pieces of the whole text, or None when it does not fit. ``ciphered`` reads the alphabets of tokens."""
    if len(text) > MAX_TEXT:
        raise ParameterInvalid(f"a text to tokenise has at most {MAX_TEXT} characters, not {len(text)}")
    matcher = _Matcher(text, ciphered)
    end = matcher.match(part, 0, {})
    return matcher.pieces if end == len(text) else None


def alike(pieces: list[Piece], others: list[Piece] | None) -> bool:
    """True when both texts were taken apart the same way."""
    return (
        others is not None
        and len(pieces) == len(others)
        and all(piece.is_like(other) for piece, other in zip(pieces, others, strict=True))
    )


class _Matcher:
    """One pass over one text. A part that does not match leaves no piece behind."""

    def __init__(self, text: str, ciphered: bool) -> None:
        self._text = text
        self._ciphered = ciphered
        self._steps = 0
        self.pieces: list[Piece] = []

    def match(self, part: Part, start: int, scope: Mapping[int, Occurrence]) -> int | None:
        """Where the part ends that begins at ``start``. ``scope`` maps groups to their current occurrences."""
        self._count(1)
        kept = len(self.pieces)
        if isinstance(part, Encrypted):
            end = self._encrypted(part, start, self._opened(scope, part.opens))
        elif isinstance(part, Literal):
            end = self._literal(part, start, scope)
        else:
            end = self._compound(part, start, self._opened(scope, part.span.opens))
            if end is not None and not part.span.min_length <= end - start <= part.span.max_length:
                end = None
        if end is None:
            del self.pieces[kept:]
        return end

    def _encrypted(self, part: Encrypted, start: int, scope: Mapping[int, Occurrence]) -> int | None:
        alphabet = part.alphabet_of(ciphered=self._ciphered)
        end, limit = start, min(len(self._text), start + part.max_length)
        while end < limit and alphabet.numeral(self._text[end]) is not None:
            end += 1
        self._count(end - start)
        if end - start < part.min_length:
            return None
        date = scope[part.date.group] if part.date is not None else None
        self.pieces.append(Piece(part, self._text[start:end], _occurrence(scope, part.luhn), date))
        return end

    def _literal(self, part: Literal, start: int, scope: Mapping[int, Occurrence]) -> int | None:
        for choice in part.choices:
            self._count(1)
            if self._text.startswith(choice, start):
                self.pieces.append(Piece(part, choice, _occurrence(scope, part.luhn)))
                return start + len(choice)
        return None

    def _compound(self, part: Either | Series | Repeated, start: int, scope: Mapping[int, Occurrence]) -> int | None:
        if isinstance(part, Either):
            ends = (self.match(child, start, scope) for child in part.parts)
            return next((end for end in ends if end is not None), None)
        if isinstance(part, Repeated):
            return self._repeated(part, start, scope)
        inner = self._opened(scope, part.date.group if part.date is not None else None)
        position = start
        for child in part.parts:
            end = self.match(child, position, inner)
            if end is None:
                return None
            position = end
        return position

    def _repeated(self, part: Repeated, start: int, scope: Mapping[int, Occurrence]) -> int | None:
        position, count = start, 0
        while count < part.at_most:
            end = self.match(part.part, position, scope)
            if end is None:
                break
            position, count = end, count + 1
        return position if count >= part.at_least else None

    def _opened(self, scope: Mapping[int, Occurrence], group: int | None) -> Mapping[int, Occurrence]:
        return scope if group is None else {**scope, group: (group, len(self.pieces))}

    def _count(self, steps: int) -> None:
        self._steps += steps
        if self._steps > MAX_STEPS:
            raise ParameterInvalid("the format's alternatives and repetitions are too entangled for this text")


def _occurrence(scope: Mapping[int, Occurrence], group: int | None) -> Occurrence | None:
    return None if group is None else scope[group]
