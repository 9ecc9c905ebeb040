"""The vendor's ``fpe`` options, read into a format and checked as a whole (schemas FpeOptions, FpeDataPart).

Only this module and ``constraints`` know the vendor's spelling. It must not know keys, rows or rights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from kms.crypto.errors import AlgorithmUnsupported
from kms.crypto.fpe.capacity import check_capacity
from kms.crypto.fpe.constraints import Applies, Demands, check_date, check_numeric, read_demands
from kms.crypto.fpe.fields import UINT32, Fields, refuse, whole
from kms.crypto.fpe.format import Format
from kms.crypto.fpe.parts import (
    MAX_TEXT,
    NOTHING,
    Alphabet,
    DateRule,
    Either,
    Encrypted,
    Literal,
    Part,
    Repeated,
    Selection,
    Series,
    Span,
    shortest,
)

MAX_DEPTH = 16
MAX_PARTS = 500
SURROGATES = range(0xD800, 0xE000)
RADIXES = range(2, 37)

BASIC = ("radix", "min_length", "max_length", "preserve", "mask", "luhn_check", "name")
ADVANCED = ("format", "description", "name")
ENCRYPTED = ("min_length", "max_length", "char_set", "cipher_char_set", "constraints", "preserve", "mask")
COMPOUND = ("constraints", "preserve", "mask", "min_length", "max_length")


def parse(options: Mapping[str, Any]) -> Format:
    """The format, or ParameterInvalid naming the field that is wrong; AlgorithmUnsupported for ``format_v2``."""
    if isinstance(options, Mapping) and options.get("format_v2") is not None:
        raise AlgorithmUnsupported("fpe.format_v2 is not supported; describe the data type with fpe.format")
    if isinstance(options, Mapping) and "format" in options:
        fields = Fields(options, "fpe", ADVANCED)
        for name in ("description", "name"):
            fields.check_text(name)
        root = _Reader().part(fields["format"], Context(fields.at("format")))
    else:
        root = _basic(Fields(options, "fpe", BASIC))
    check_capacity(root)
    return Format(root)


@dataclass(frozen=True, slots=True)
class Covering:
    """A checksum or date of a part above, and how much of this part it applies to.

    ``through`` is False below alternatives and repetitions, where a date must not reach.
    """

    group: int
    applies: Applies
    rule: DateRule | None = None
    through: bool = True


@dataclass(frozen=True, slots=True)
class Context:
    """What the parts above say about this one."""

    path: str
    luhn: Covering | None = None
    date: Covering | None = None
    preserved: bool = False
    masked: bool = False
    depth: int = 0


class _Reader:
    def __init__(self) -> None:
        self._parts = 0
        self._dates: dict[int, list[Encrypted]] = {}

    def part(self, value: Any, context: Context) -> Part:
        self._parts += 1
        if self._parts > MAX_PARTS or context.depth > MAX_DEPTH:
            refuse(context.path, f"goes too far: a format has up to {MAX_PARTS} parts in {MAX_DEPTH} levels")
        kinds = [kind for kind in ("char_set", "literal", "or", "concat", "multiple") if _has(value, kind)]
        if len(kinds) != 1:
            refuse(context.path, "has exactly one of char_set, literal, or, concat, multiple")
        if kinds == ["char_set"]:
            return self._encrypted(Fields(value, context.path, ENCRYPTED), context)
        if kinds == ["literal"]:
            return _literal(Fields(value, context.path, ("literal",)), context)
        repetitions = ("min_repetitions", "max_repetitions") if kinds == ["multiple"] else ()
        return self._compound(kinds[0], Fields(value, context.path, (kinds[0], *repetitions, *COMPOUND)), context)

    def _encrypted(self, fields: Fields, context: Context) -> Encrypted:
        least, most = _lengths(fields, (None, None))
        _check_applies(context, 0)
        demands = read_demands(fields.get("constraints"), fields.at("constraints"), self._parts)
        alphabet = _alphabet(fields, "char_set")
        part = Encrypted(
            least,
            most,
            alphabet,
            _alphabet(fields, "cipher_char_set") if "cipher_char_set" in fields else alphabet,
            preserve=_selection(fields, "preserve", most, all_of=context.preserved),
            mask=_selection(fields, "mask", most, all_of=context.masked),
            number=demands.number,
            role=demands.role,
            luhn=_checksum(demands, context, self._parts),
            opens=self._parts if demands.luhn else None,
        )
        _check_cipher_alphabet(part, fields)
        check_numeric(part, demands)
        return self._dated(part, context)

    def _dated(self, part: Encrypted, context: Context) -> Encrypted:
        """The part as a member of the date above it, if it is a day, month or year."""
        if part.role is None or context.date is None:
            return part
        if not context.date.through:
            refuse(context.path, "is part of a date, which is never below or, nor below multiple")
        dated = replace(part, date=context.date.rule)
        self._dates[context.date.group].append(dated)
        return dated

    def _compound(self, kind: str, fields: Fields, context: Context) -> Part:
        group = self._parts
        demands = read_demands(fields.get("constraints"), fields.at("constraints"), group)
        if demands.number is not None or demands.role is not None:
            refuse(demands.path, "bounds a number: that is said at the encrypted part itself")
        below = _below(kind, fields, context, demands, group)
        if demands.date is not None:
            if kind != "concat" or context.date is not None:
                refuse(demands.path, "has a date: that is said at one concat, with no other date around it")
            self._dates[group] = []
        _checksum(demands, context, group)
        span = Span(*_lengths(fields, (0, MAX_TEXT)), opens=group if demands.luhn else None)
        if kind == "multiple":
            return self._repeated(fields, below, span)
        items = fields.items(kind)
        if not items:
            refuse(fields.at(kind), "is a list of at least one part")
        _check_applies(below, 0 if kind == "or" else len(items))
        parts = tuple(self.part(item, _child(below, f"{kind}[{i}]", i)) for i, item in enumerate(items))
        if kind == "or":
            return Either(span, parts)
        if demands.date is not None:
            check_date(demands.date, self._dates[group], demands.path)
        return Series(span, parts, demands.date)

    def _repeated(self, fields: Fields, below: Context, span: Span) -> Repeated:
        least = fields.integer("min_repetitions", default=0)
        most = fields.integer("max_repetitions", default=max(least, MAX_TEXT))
        if least > most or most == 0:
            refuse(fields.path, "has a max_repetitions of at least 1 and of at least min_repetitions")
        _check_applies(below, 1)
        part = self.part(fields["multiple"], _child(below, "multiple", 0))
        if shortest(part) == 0:
            refuse(fields.at("multiple"), "is repeated, so it must not match an empty text")
        return Repeated(span, part, least, most)


def _checksum(demands: Demands, context: Context, group: int) -> int | None:
    """The Luhn group of a part: its own, or the one above it."""
    if not demands.luhn:
        return context.luhn.group if context.luhn is not None else None
    if context.luhn is not None:
        refuse(demands.path, "has a luhn_check below another one")
    return group


def _below(kind: str, fields: Fields, context: Context, demands: Demands, group: int) -> Context:
    """The context of all subparts; ``_child`` narrows it to one."""
    luhn = Covering(group, demands.applies) if demands.luhn else context.luhn
    if demands.date is not None:
        date: Covering | None = Covering(group, demands.applies, demands.date)
    else:
        date = context.date
        if date is not None and kind != "concat":
            date = replace(date, through=False)
    preserved, masked = fields.flag("preserve"), fields.flag("mask")
    for name, here, above in (("preserve", preserved, context.preserved), ("mask", masked, context.masked)):
        if here and above:
            refuse(fields.at(name), "is said already by a part above")
    return replace(
        context,
        luhn=luhn,
        date=date,
        preserved=preserved or context.preserved,
        masked=masked or context.masked,
        depth=context.depth + 1,
    )


def _child(context: Context, step: str, index: int) -> Context:
    return replace(
        context,
        path=f"{context.path}.{step}",
        luhn=_narrowed(context.luhn, index),
        date=_narrowed(context.date, index),
    )


def _narrowed(covering: Covering | None, index: int) -> Covering | None:
    applies = covering.applies.below(index) if covering is not None else None
    return replace(covering, applies=applies) if covering is not None and applies is not None else None


def _check_applies(context: Context, subparts: int) -> None:
    """A part without numbered subparts (an or has none either) is covered as a whole."""
    for covering in (context.luhn, context.date):
        if covering is None or covering.applies.everywhere:
            continue
        if not subparts:
            refuse(context.path, "is covered by constraints as a whole, so applies_to says all for it")
        if any(index >= subparts for index, _ in covering.applies.subparts):
            refuse(context.path, f"has {subparts} subparts, and applies_to names another one")


def _literal(fields: Fields, context: Context) -> Literal:
    choices = fields.items("literal")
    if not choices or not all(isinstance(choice, str) for choice in choices):
        refuse(fields.at("literal"), "is a list of at least one text")
    _check_applies(context, 0)
    if context.luhn is not None and not all(c.isascii() and c.isdecimal() for c in choices if c):
        refuse(context.path, "is under a luhn_check and is no number; leave it out with applies_to")
    return Literal(tuple(choices), context.luhn.group if context.luhn is not None else None)


def _basic(fields: Fields) -> Encrypted:
    fields.check_text("name")
    radix = fields.integer("radix", RADIXES)
    least, most = _lengths(fields, (None, None))
    luhn = 1 if fields.flag("luhn_check") else None
    if luhn is not None and radix != 10:
        refuse(fields.at("luhn_check"), "is for digits: the radix is 10")
    digits, letters = min(radix, 10), radix - 10
    ranges = [(ord("0"), ord("0") + digits - 1)]
    if letters > 0:
        ranges.append((ord("A"), ord("A") + letters - 1))
    alphabet = Alphabet(tuple(ranges))
    fields.items("preserve")  # must be there, and a list
    return Encrypted(
        least,
        most,
        alphabet,
        alphabet,
        preserve=_selection(fields, "preserve", most),
        mask=_selection(fields, "mask", most),
        luhn=luhn,
        opens=luhn,
    )


def _lengths(fields: Fields, defaults: tuple[int | None, int | None]) -> tuple[int, int]:
    least = fields.integer("min_length", UINT32, defaults[0])
    most = fields.integer("max_length", UINT32, defaults[1])
    if least > most:
        refuse(fields.path, "has a min_length above its max_length")
    if least > MAX_TEXT:
        refuse(fields.at("min_length"), f"is above {MAX_TEXT}, the longest text that is tokenised")
    return least, most


def _selection(fields: Fields, name: str, longest: int, *, all_of: bool = False) -> Selection:
    value = fields.get(name)
    if all_of and value not in (None, [], ()):
        refuse(fields.at(name), "is said already by a part above")
    if all_of or value == "all":
        return Selection(everything=True)
    if value is None:
        return NOTHING
    if not isinstance(value, list | tuple):
        refuse(fields.at(name), "is all or a list of places")
    places = tuple(whole(place, fields.at(name)) for place in value)
    if any(not -longest <= place < longest for place in places):
        refuse(fields.at(name), f"names a place that no text of at most {longest} characters has")
    return Selection(indices=tuple(dict.fromkeys(places)))


def _alphabet(fields: Fields, name: str) -> Alphabet:
    ranges = []
    for pair in fields.items(name):
        if not isinstance(pair, list | tuple) or len(pair) != 2 or not all(_is_character(end) for end in pair):
            refuse(fields.at(name), "is a list of pairs of characters")
        first, last = map(ord, pair)
        if first > last or first in SURROGATES or last in SURROGATES or first < SURROGATES.start <= last:
            refuse(fields.at(name), "has ranges from a lower to a higher character, without surrogates")
        ranges.append((first, last))
    alphabet, ordered = Alphabet(tuple(ranges)), sorted(ranges)
    if any(ordered[i][1] >= ordered[i + 1][0] for i in range(len(ordered) - 1)):
        refuse(fields.at(name), "has ranges that overlap")
    if alphabet.size < 2:
        refuse(fields.at(name), "has at least two characters")
    return alphabet


def _check_cipher_alphabet(part: Encrypted, fields: Fields) -> None:
    if part.cipher_alphabet.size != part.alphabet.size:
        refuse(fields.at("cipher_char_set"), f"has {part.alphabet.size} characters, as many as char_set")
    if part.cipher_alphabet != part.alphabet and part.preserve != NOTHING:
        # A preserved character would stand in a token whose alphabet need not have it.
        refuse(fields.path, "preserves characters and so has no cipher_char_set of its own")


def _is_character(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 1


def _has(value: Any, name: str) -> bool:
    return isinstance(value, Mapping) and value.get(name) is not None
