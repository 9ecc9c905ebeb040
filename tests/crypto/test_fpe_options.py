"""Formats are refused when they are read: by the field that is wrong, in words that hold no data."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.crypto.fpe import Format, parse
from kms.crypto.fpe.reading import MAX_DEPTH, MAX_PARTS
from tests.crypto.test_fpe_advanced import LETTERS, concat, literal, part
from tests.crypto.test_fpe_basic import basic

LUHN = {"luhn_check": True}
DAY, MONTH, YEAR = part(2, 2, date="day"), part(2, 2, date="month"), part(4, 4, date="year")
FULL_DATE: dict[str, Any] = {"date": {"dmy_date": {}}}
END = {"date": {"dmy_date": {"after": {"year": 99_999, "month": 1, "day": 1}}}}
YEAR_0 = {"date": {"dmy_date": {"before": {"year": 1, "month": 1, "day": 1}}}}


def refused(options: Any, message: str) -> None:
    with pytest.raises(ParameterInvalid, match=message):
        parse(options)


def test_format_v2_is_refused_by_name() -> None:
    with pytest.raises(AlgorithmUnsupported, match=r"format_v2 .* fpe\.format"):
        parse({"format_v2": {"variants": []}, "description": "new"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (None, "fpe is an object"),
        ([], "fpe is an object"),
        ({}, "fpe needs radix"),
        ({"format": part(6, 6), "radix": 10}, "fpe has no field radix"),
        ({"format": part(6, 6), "description": 1}, r"fpe\.description is a text"),
        ({"format": "all"}, "exactly one of char_set, literal, or, concat, multiple"),
        ({"format": None}, "fpe needs format"),
        (basic(10, 6, 9, typo=1), "no field typo; there are radix"),
        (basic(1, 6, 9), r"radix is a number from 2 to 36"),
        (basic(37, 6, 9), "radix is a number from 2 to 36"),
        ({**basic(10, 6, 9), "radix": "10"}, r"fpe\.radix is a whole number"),
        ({**basic(10, 6, 9), "radix": True}, r"fpe\.radix is a whole number"),
        (basic(10, 9, 6), "min_length above its max_length"),
        (basic(10, -1, 6), r"min_length is a whole number from 0 on"),
        (basic(10, 6, 1 << 32), "max_length is a number from 0 to 4294967295"),
        (basic(10, 4097, 5000), "min_length is above 4096"),
        ({"radix": 10, "min_length": 6, "max_length": 9}, "needs preserve"),
        ({**basic(10, 6, 9), "preserve": "all"}, "preserve is a list"),
        (basic(10, 6, 9, [9]), "names a place that no text of at most 9 characters has"),
        (basic(10, 6, 9, [-10]), "names a place"),
        (basic(10, 6, 9, ["0"]), "preserve is a whole number"),  # type: ignore[list-item] # the wrong type is the point
        (basic(10, 6, 9, mask={}), "mask is all or a list"),
        (basic(16, 6, 9, luhn_check=True), "luhn_check is for digits"),
        (basic(10, 6, 9, luhn_check=1), "luhn_check is true or false"),
        (basic(10, 6, 9, name=1), "name is a text"),
    ],
)
def test_options_that_make_no_sense_are_refused_by_field(options: Any, message: str) -> None:
    refused(options, message)


def test_null_is_absent() -> None:
    assert isinstance(parse(basic(10, 6, 9, mask=None, luhn_check=None, name=None)), Format)
    nothing = dict.fromkeys(("preserve", "mask", "cipher_char_set", "constraints"))
    root = {**concat({**part(6, 9), **nothing}), **dict.fromkeys(("preserve", "mask", "min_length", "max_length"))}
    assert isinstance(parse({"format": root, "description": None}), Format)


@pytest.mark.parametrize(
    ("root", "message"),
    [
        ({"char_set": [["0", "9"]], "max_length": 6}, "format needs min_length"),
        ({**part(6, 6), "literal": ["-"]}, "exactly one of"),
        ({**part(6, 6), "typo": 1}, r"fpe\.format has no field typo"),
        (part(6, 6, [["9", "0"]]), "ranges from a lower to a higher character"),
        (part(6, 6, [["0", "10"]]), "pairs of characters"),
        (part(6, 6, [["0"]]), "pairs of characters"),
        (part(6, 6, "09"), "char_set is a list"),
        (part(6, 6, {"0": "9"}), "char_set is a list"),
        (part(6, 6, [["0", "9"], ["5", "a"]]), "overlap"),
        (part(6, 6, [["0", "0"]]), "at least two characters"),
        (part(6, 6, [["\ud7ff", "\ue000"]]), "surrogates"),
        (part(6, 6, [["\ud800", "\udfff"]]), "surrogates"),
        (part(6, 6, cipher_char_set=[["a", "i"]]), "cipher_char_set has 10 characters"),
        (part(7, 7, cipher_char_set=[["a", "j"]], preserve=[0]), "preserves characters and so has no cipher_char_set"),
        (literal(), "literal is a list of at least one text"),
        ({"literal": [1]}, "literal is a list of at least one text"),
        ({"or": []}, "or is a list of at least one part"),
        ({"concat": {}}, "concat is a list"),
        ({"multiple": part(0, 6)}, "multiple is repeated, so it must not match an empty text"),
        ({"multiple": literal("a", "")}, "must not match an empty text"),
        ({"multiple": part(6, 6), "min_repetitions": 3, "max_repetitions": 2}, "max_repetitions"),
        ({"multiple": part(6, 6), "max_repetitions": 0}, "max_repetitions"),
        (concat(part(6, 6), preserve=1), "preserve is true or false"),
        (concat(part(6, 6, preserve=[0]), preserve=True), r"concat\[0\].preserve is said already"),
        (concat({"or": [part(6, 6)], "mask": True}, mask=True), r"concat\[0\].mask is said already"),
        (concat(part(6, 6, mask="all"), mask=True), r"mask is said already by a part above"),
    ],
)
def test_parts_that_make_no_sense_are_refused_by_path(root: Any, message: str) -> None:
    refused({"format": root}, message)


@pytest.mark.parametrize(
    ("root", "message"),
    [
        (part(6, 6, typo=1), r"constraints has no field typo"),
        (part(6, 6, num_gt=-1), "num_gt is a whole number"),
        (part(6, 6, num_ne=5), "num_ne is a list"),
        (part(6, 6, num_ne=list(range(1001))), "at most 1000 numbers"),
        (part(6, 6, LETTERS, num_gt=5), "is for numeric parts"),
        (part(6, 6, LETTERS, luhn_check=True), "is for numeric parts"),
        (part(6, 6, [["0", "4"], ["5", "9"]], num_gt=5), "is for numeric parts"),
        (part(6, 6, cipher_char_set=[["a", "j"]], num_gt=5), "is for numeric parts"),
        (part(6, 8, num_gt=5, preserve=[0]), "preserved as a whole or not at all"),
        (part(7, 7, luhn_check=True, num_gt=5), "under a luhn_check, so it has no other constraint"),
        (part(2, 2, luhn_check=True, date="day"), "has a date and so no other constraint"),
        (concat(DAY, part(6, 6), constraints=LUHN), "part of a date, which no luhn_check covers"),
        (concat(part(7, 7, luhn_check=True), constraints=LUHN), "luhn_check below another one"),
        (concat(concat(part(7, 7), constraints=LUHN), constraints=LUHN), "luhn_check below another one"),
        (concat(part(7, 7), literal("-"), constraints=LUHN), "is no number; leave it out with applies_to"),
        (concat(part(7, 7), part(2, 2, LETTERS), constraints=LUHN), "is for numeric parts"),
        (concat(part(7, 7), constraints={"num_gt": 5}), "said at the encrypted part itself"),
        (concat(part(7, 7), constraints={"date": "day"}), "said at the encrypted part itself"),
        (concat(part(7, 7), constraints={**LUHN, "applies_to": {"1": "all"}}), "has 1 subparts"),
        (concat(part(7, 7), constraints={**LUHN, "applies_to": {"x": "all"}}), "from the numbers of subparts"),
        (concat(part(7, 7), constraints={**LUHN, "applies_to": "some"}), "from the numbers of subparts"),
        (concat(part(7, 7), constraints={**LUHN, "applies_to": {"0": {"0": "all"}}}), "covered by constraints as"),
        (concat(literal("7"), constraints={**LUHN, "applies_to": {"0": {"0": "all"}}}), "covered by constraints as"),
        ({"or": [part(7, 7)], "constraints": {**LUHN, "applies_to": {"0": "all"}}}, "covered by constraints as"),
        (part(7, 7, luhn_check=True, applies_to={"0": "all"}), "as a whole, so applies_to says all"),
    ],
)  # fmt: skip
def test_constraints_are_refused_where_the_vendor_refuses_them(root: Any, message: str) -> None:
    refused({"format": root}, message)


@pytest.mark.parametrize(
    ("root", "message"),
    [
        (part(8, 8, date={"dmy_date": {}}), "a whole date, which belongs to a concat"),
        (part(2, 2, date="hour"), "date is day, month, year or an object"),
        (part(2, 2, date={}), "date is one of dmy_date"),
        (part(2, 2, date={"dmy_date": {}, "month_day_date": {}}), "date is one of dmy_date"),
        (part(3, 3, date="day"), "day, whose min_length is 1 or 2 and max_length 2"),
        (part(0, 2, date="month"), "month, whose min_length"),
        (part(1, 4, date="year"), "year, whose min_length is at least 2"),
        (part(2, 6, date="year"), "max_length at most 5"),
        (part(2, 2, date="day", preserve=[0]), "preserved as a whole or not at all"),
        (concat(DAY, MONTH, constraints=FULL_DATE), "needs one part each for day, month, year"),
        (concat(DAY, DAY, MONTH, YEAR, constraints=FULL_DATE), "needs one part each"),
        (
            concat(DAY, MONTH, YEAR, constraints={"date": {"month_year_date": {}}}),
            "one part each for month, year",
        ),
        (concat({"or": [DAY]}, MONTH, YEAR, constraints=FULL_DATE), "never below or, nor below multiple"),
        (concat({"multiple": DAY}, MONTH, YEAR, constraints=FULL_DATE), "never below or, nor below multiple"),
        ({"or": [DAY], "constraints": FULL_DATE}, "said at one concat"),
        (concat(concat(DAY, MONTH, YEAR, constraints=FULL_DATE), constraints=FULL_DATE), "no other date around it"),
        (concat(DAY, MONTH, YEAR, constraints={**FULL_DATE, **LUHN}), "has a date and so no other constraint"),
        (
            concat(part(2, 2, date="day", preserve="all"), MONTH, YEAR, constraints=FULL_DATE),
            "its day and its month together or neither",
        ),
        (
            concat(part(2, 2, date="month", preserve="all"), YEAR, constraints={"date": {"month_year_date": {}}}),
            "its month only together with its year",
        ),
    ],
)
def test_dates_are_refused_where_the_vendor_refuses_them(root: Any, message: str) -> None:
    refused({"format": root}, message)


@pytest.mark.parametrize(
    ("bound", "message"),
    [
        ({"year": 100_000, "month": 1, "day": 1}, "year is a number from 0 to 99999"),
        ({"year": 2000, "month": 13, "day": 1}, "month is a number from 1 to 12"),
        ({"year": 1900, "month": 2, "day": 29}, "day is a number from 1 to 28"),
        ({"year": 2000, "month": 2}, "needs day"),
        ({"month": 2, "day": 1}, "needs year"),
        ("2000-01-01", "before is an object"),
    ],
)
def test_bounds_of_dates_are_dates(bound: Any, message: str) -> None:
    root = concat(DAY, MONTH, YEAR, constraints={"date": {"dmy_date": {"before": bound}}})
    refused({"format": root}, message)


def test_a_bound_of_another_kind_of_date_is_refused() -> None:
    root = concat(MONTH, YEAR, constraints={"date": {"month_year_date": {"after": {"year": 1, "month": 1, "day": 1}}}})
    refused({"format": root}, "no field day")


@pytest.mark.parametrize(
    ("root", "message"),
    [
        (literal("a"), "at most 1 combinations"),
        (part(5, 5), "at most 100,000 combinations .*: 6 characters"),
        ({"or": [part(5, 5), part(4, 4, [["a", "b"]])]}, "at most 100,000 combinations"),
        (concat(part(6, 6), preserve=True), "at most 1 combinations"),
        (part(6, 6, preserve="all"), "at most 1 combinations"),
        ({"multiple": part(1, 1), "max_repetitions": 5}, "at most 100,000 combinations"),
        (part(7, 7, num_gt=500_000, num_lt=500_002), "leave at most 1 values"),
        (part(7, 7, num_gt=9_999_999), "leave at most 0 values"),
        (concat(DAY, MONTH, YEAR, constraints=END), "leave at most 364 values"),
        (concat(DAY, MONTH, YEAR, part(1, 1), constraints=YEAR_0), "leave at most 3,660 values"),
    ],
)  # fmt: skip
def test_formats_without_enough_texts_are_refused_when_they_are_read(root: Any, message: str) -> None:
    refused({"format": root}, message)


def test_formats_are_bounded_in_depth_and_size() -> None:
    deep: dict[str, Any] = part(6, 6)
    for _ in range(MAX_DEPTH):
        deep = concat(deep)
    assert parse({"format": deep})
    refused({"format": concat(deep)}, f"{MAX_DEPTH} levels")
    assert parse({"format": concat(*[part(1, 1)] * (MAX_PARTS - 1))})
    refused({"format": concat(*[part(1, 1)] * MAX_PARTS)}, f"up to {MAX_PARTS} parts")
    for _ in range(5000):
        deep = concat(deep)
    refused({"format": deep}, f"{MAX_DEPTH} levels")


# Names of fields lead rubbish further in than random ones would.
NAMES = st.sampled_from(
    [
        *("format", "radix", "min_length", "max_length", "char_set", "cipher_char_set", "literal", "or", "concat"),
        *("multiple", "min_repetitions", "constraints", "preserve", "mask", "luhn_check", "num_gt", "num_lt", "num_ne"),
        *("date", "applies_to", "dmy_date", "before", "after", "year", "month", "day", "0"),
    ]
)
RUBBISH = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 20), st.sampled_from(["all", "day", "a", ""])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=4)),
    max_leaves=12,
)


# Drawing rubbish takes longer than refusing it; on a busy machine the clock says nothing about either.
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(RUBBISH)
def test_rubbish_is_refused_in_our_own_words(options: Any) -> None:
    for wrapped in (options, {"format": options}, {"format": concat(part(6, 6), options)}):
        with suppress(ParameterInvalid, AlgorithmUnsupported):
            assert isinstance(parse(wrapped), Format)
