"""Reading of what a format demands of its numbers, dates and checksums, and of the parts that this applies to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kms.crypto.fpe.calendar import MONTHS, YEARS, days_in, is_leap
from kms.crypto.fpe.fields import Fields, natural, refuse
from kms.crypto.fpe.parts import Date, DateRole, DateRule, Encrypted, NumberRule, Selection

FIELDS = ("luhn_check", "num_gt", "num_lt", "num_ne", "date", "applies_to")
# The vendor's name of a kind of date, and the parts that it consists of.
DATES = {
    "dmy_date": frozenset({DateRole.DAY, DateRole.MONTH, DateRole.YEAR}),
    "month_day_date": frozenset({DateRole.DAY, DateRole.MONTH}),
    "month_year_date": frozenset({DateRole.MONTH, DateRole.YEAR}),
}
ROLE_LENGTHS = {
    DateRole.DAY: (range(1, 3), range(2, 3), "1 or 2 and max_length 2"),
    DateRole.MONTH: (range(1, 3), range(2, 3), "1 or 2 and max_length 2"),
    DateRole.YEAR: (range(2, 6), range(2, 6), "at least 2 and max_length at most 5"),
}
MAX_UNEQUAL = 1000


@dataclass(frozen=True, slots=True)
class Applies:
    """To a part and all below it, or to some of its subparts as far as their own entry says."""

    everywhere: bool = True
    subparts: tuple[tuple[int, Applies], ...] = ()

    def below(self, index: int) -> Applies | None:
        return self if self.everywhere else dict(self.subparts).get(index)


@dataclass(frozen=True, slots=True)
class Demands:
    """The constraints of one part as they were read; ``date`` is a role, or a rule without its group."""

    path: str
    luhn: bool = False
    number: NumberRule | None = None
    role: DateRole | None = None
    date: DateRule | None = None
    applies: Applies = Applies()


def read_demands(value: Any, path: str, group: int) -> Demands:
    """The ``constraints`` of a part; None is none. ``group`` is given to a date that begins here."""
    if value is None:
        return Demands(path)
    fields = Fields(value, path, FIELDS)
    number = _number(fields)
    role, date = _date(fields["date"], fields.at("date"), group) if "date" in fields else (None, None)
    luhn = fields.flag("luhn_check")
    if "date" in fields and (luhn or number is not None):
        refuse(path, "has a date and so no other constraint")
    applies = _applies(fields["applies_to"], fields.at("applies_to")) if "applies_to" in fields else Applies()
    return Demands(path, luhn, number, role, date, applies)


def _number(fields: Fields) -> NumberRule | None:
    if not any(name in fields for name in ("num_gt", "num_lt", "num_ne")):
        return None
    unequal = fields.items("num_ne") if "num_ne" in fields else []
    if len(unequal) > MAX_UNEQUAL:
        refuse(fields.at("num_ne"), f"has at most {MAX_UNEQUAL} numbers")
    numbers = sorted({natural(number, fields.at("num_ne")) for number in unequal})
    return NumberRule(fields.optional_integer("num_gt"), fields.optional_integer("num_lt"), tuple(numbers))


def _applies(value: Any, path: str) -> Applies:
    if value == "all":
        return Applies()
    if not isinstance(value, Mapping):
        refuse(path, "is all or an object from the numbers of subparts")
    subparts = []
    for name, below in value.items():
        if not str(name).isascii() or not str(name).isdecimal():
            refuse(path, "is all or an object from the numbers of subparts")
        subparts.append((int(name), _applies(below, f"{path}.{name}")))
    return Applies(False, tuple(subparts))


def _date(value: Any, path: str, group: int) -> tuple[DateRole | None, DateRule | None]:
    if isinstance(value, str):
        if value not in list(DateRole):
            refuse(path, f"is {', '.join(sorted(DateRole))} or an object")
        return DateRole(value), None
    kinds = Fields(value, path, tuple(DATES))
    given = [kind for kind in DATES if kind in kinds]
    if len(given) != 1:
        refuse(path, f"is one of {', '.join(DATES)}")
    roles = DATES[given[0]]
    bounds = Fields(kinds[given[0]], kinds.at(given[0]), ("before", "after"))
    after, before = (
        _bound(bounds[name], bounds.at(name), roles) if name in bounds else None for name in ("after", "before")
    )
    return None, DateRule(group, roles, after, before)


def _bound(value: Any, path: str, roles: frozenset[DateRole]) -> Date:
    fields = Fields(value, path, tuple(sorted(roles)))
    year = fields.integer("year", YEARS) if DateRole.YEAR in roles else 0
    month = fields.integer("month", MONTHS)
    if DateRole.DAY not in roles:
        return year, (month, 0)
    return year, (month, fields.integer("day", range(1, days_in(month, leap=is_leap(year)) + 1)))


def check_numeric(part: Encrypted, demands: Demands) -> None:
    """What the vendor asks of an encrypted part with constraints of its own."""
    if demands.date is not None:
        refuse(demands.path, "has a whole date, which belongs to a concat; an encrypted part is its day, month or year")
    if not demands.applies.everywhere:
        refuse(demands.path, "covers an encrypted part as a whole, so applies_to says all")
    constrained = part.luhn is not None or demands.number is not None or demands.role is not None
    if constrained and not (part.alphabet.is_decimal and part.cipher_alphabet.is_decimal):
        refuse(demands.path, 'is for numeric parts: char_set and cipher_char_set are [["0", "9"]]')
    bounded = demands.role or (demands.number and (demands.number.greater, demands.number.less) != (None, None))
    if bounded and not part.preserve.is_whole(part.lengths):
        refuse(demands.path, "bounds a number, so the part is preserved as a whole or not at all")
    if part.luhn is not None and (demands.number or demands.role):
        _check_alone_under_checksum(part, demands)
    if demands.role is not None:
        shortest, longest, allowed = ROLE_LENGTHS[demands.role]
        if part.min_length not in shortest or part.max_length not in longest:
            refuse(demands.path, f"makes the part a {demands.role.value}, whose min_length is {allowed}")


def _check_alone_under_checksum(part: Encrypted, demands: Demands) -> None:
    if demands.role is not None:
        refuse(demands.path, "makes the part of a date, which no luhn_check covers")
    if any(part.preserve.places(length) != Selection(True).places(length) for length in part.lengths):
        refuse(demands.path, "is under a luhn_check, so it has no other constraint unless all of it is preserved")


def check_date(rule: DateRule, found: list[Encrypted], path: str) -> None:
    """The parts of a date: each once, and preserved in a way that leaves the rest a date."""
    roles = [part.role for part in found]
    if sorted(map(str, roles)) != sorted(map(str, rule.roles)):
        refuse(path, f"needs one part each for {', '.join(sorted(rule.roles))}, and no other part of a date")
    kept = {part.role for part in found if part.preserve.everything or part.preserve.indices}
    with_day = DateRole.DAY in rule.roles
    if with_day and (DateRole.DAY in kept) != (DateRole.MONTH in kept):
        refuse(path, "preserves its day and its month together or neither")
    if not with_day and DateRole.MONTH in kept and DateRole.YEAR not in kept:
        refuse(path, "preserves its month only together with its year")
