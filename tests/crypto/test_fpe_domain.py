"""The numbering behind tokens has no gaps and no doubles, counted against what Python's own calendar and a loop say."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kms.crypto import ff1
from kms.crypto.fpe import parse
from kms.crypto.fpe.calendar import calendar, is_leap
from kms.crypto.fpe.domain import Domain
from kms.crypto.fpe.format import _shape
from kms.crypto.fpe.matching import match
from kms.crypto.fpe.reading import Context, _Reader
from tests.crypto.local_cipher import aes
from tests.crypto.test_fpe_advanced import concat, literal, part
from tests.crypto.test_fpe_basic import luhn_holds


def domain_of(root: dict[str, Any], text: str) -> Domain:
    pieces = match(_Reader().part(root, Context("format")), text, ciphered=False)
    assert pieces is not None
    return Domain(pieces, ciphered=False)


def all_texts(domain: Domain) -> list[str]:
    return [domain.text(domain.unrank(number), ciphered=False) for number in range(domain.size)]


LUHN = {"luhn_check": True}
# Root, a text of it, and what a text of the same layout must be.
SMALL = [
    (part(3, 3), "123", lambda text: True),
    (part(3, 3, num_gt=122, num_lt=500, num_ne=[0, 200, 499, 500]), "123", lambda t: 122 < int(t) < 499 and t != "200"),
    (part(3, 3, num_ne=[7, 17, 999], preserve=[-1]), "117", lambda t: t[2] == "7" and int(t) not in (7, 17)),
    (part(3, 3, num_gt=5, preserve="all"), "123", lambda text: text == "123"),
    (part(4, 4, luhn_check=True), "0000", luhn_holds),
    (part(4, 4, luhn_check=True, preserve=[3]), "0000", lambda text: luhn_holds(text) and text[3] == "0"),
    (part(4, 4, luhn_check=True, preserve="all"), "0000", lambda text: text == "0000"),
    (concat(literal("79"), part(2, 2), constraints=LUHN), "7906", lambda t: luhn_holds(t) and t[:2] == "79"),
    (part(2, 2, date="month"), "01", lambda text: 1 <= int(text) <= 12),
    (part(1, 2, date="day"), "10", lambda text: 10 <= int(text) <= 31),
    (part(1, 2, date="day"), "1", lambda text: 1 <= int(text) <= 9),
]  # fmt: skip


@pytest.mark.parametrize(("root", "text", "fits"), SMALL)
def test_the_numbering_is_of_exactly_the_texts_that_fit(root: dict[str, Any], text: str, fits: Any) -> None:
    domain = domain_of(root, text)
    wanted = ["".join(digits) for digits in product("0123456789", repeat=len(text)) if fits("".join(digits))]
    assert sorted(all_texts(domain)) == wanted
    assert domain.text(domain.unrank(domain.rank()), ciphered=False) == text


@given(st.integers(0, 9999), st.integers(0, 9999))
def test_numbers_in_bounds_are_counted(low: int, high: int) -> None:
    domain = domain_of(part(4, 4, num_gt=low, num_lt=high), "0000")
    assert domain.size == len(range(low + 1, high))


# -- dates ---------------------------------------------------------------------------------------------------------


@given(st.dates(date(1, 1, 1), date(9000, 1, 1)), st.integers(2, 2000))
def test_dates_are_numbered_day_by_day(start: date, length: int) -> None:
    after, before = start - timedelta(1) if start > date.min else None, start + timedelta(length)
    dates = calendar(
        range(10_000),
        range(1, 13),
        range(1, 32),
        after=(after.year, (after.month, after.day)) if after else (0, (12, 31)),
        before=(before.year, (before.month, before.day)),
    )
    assert dates.size == length
    for number in {0, 1, length // 2, length - 1}:
        day = start + timedelta(number)
        assert dates.date(number) == (day.year, (day.month, day.day))
        assert dates.number((day.year, (day.month, day.day))) == number
    assert dates.number((before.year, (before.month, before.day))) is None


def test_the_years_are_those_of_the_gregorian_calendar_with_a_leap_year_0() -> None:
    assert [year for year in range(0, 2001, 100) if is_leap(year)] == [0, 400, 800, 1200, 1600, 2000]
    whole = calendar(range(100_000), range(1, 13), range(1, 32), after=None, before=None)
    assert whole.size == 250 * 146_097
    assert whole.date(0) == (0, (1, 1))
    assert whole.date(59) == (0, (2, 29))
    assert whole.date(whole.size - 1) == (99_999, (12, 31))


@pytest.mark.parametrize("bounded", [True, False])
def test_leap_days_alone_are_numbered_by_leap_years(bounded: bool) -> None:
    after = (1900, (2, 28)) if bounded else None
    days = calendar(range(10_000), [2], [29], after=after, before=None)
    years = [year for year in range(1901 if bounded else 0, 10_000) if is_leap(year)]
    assert [days.date(number)[0] for number in range(days.size)] == years
    assert all(days.number((year, (2, 29))) == number for number, year in enumerate(years))
    assert days.number((1901, (2, 29))) is None


def test_months_of_a_year_are_dates_without_a_day() -> None:
    months = calendar(range(100), range(1, 13), None, after=(20, (6, 0)), before=(22, (2, 0)))
    assert [months.date(number) for number in range(months.size)] == (
        [(20, (month, 0)) for month in range(7, 13)] + [(21, (month, 0)) for month in range(1, 13)] + [(22, (1, 0))]
    )


# -- walking -------------------------------------------------------------------------------------------------------


def test_a_walk_goes_on_from_the_first_number_that_stands_for_no_text() -> None:
    root = part(7, 7, num_lt=900_000)
    made, size = parse({"format": root}), 900_000
    shape, cipher = _shape(size, None), aes(bytes(16))
    # A tweak under which a text would become that number.
    before = {bytes([t]): ff1.decrypt_number(cipher, size, shape=shape, tweak=bytes([t])) for t in range(20)}
    tweak, number = next((tweak, number) for tweak, number in before.items() if number < size)
    text = f"{number:07}"
    token = made.encrypt(cipher, tweak, text)
    assert int(token) == ff1.encrypt_number(cipher, size, shape=shape, tweak=tweak)
    assert made.decrypt(cipher, tweak, token) == text


# -- FF1's domain --------------------------------------------------------------------------------------------------


@given(st.integers(10_000, 10**40))
def test_the_domain_of_ff1_is_hardly_larger_than_what_is_put_in_it(size: int) -> None:
    shape = _shape(size, None)
    assert shape.size >= max(size, 1_000_000)
    assert shape.size <= max(size, 1_000_000) * 1.02


@given(st.integers(2, 65_536), st.integers(1, 40))
def test_characters_of_one_alphabet_are_their_own_numeral_string(radix: int, length: int) -> None:
    shape = _shape(radix**length, radix)
    assert shape.size >= 1_000_000
    if radix**length >= 1_000_000:
        assert (shape.radix, shape.length) == (radix, length)
