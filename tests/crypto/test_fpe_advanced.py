"""Formats of parts: what the vendor's own data types look like, and what random ones do."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kms.crypto.errors import ParameterInvalid
from kms.crypto.fpe import Format, parse
from tests.crypto.local_cipher import aes
from tests.crypto.test_fpe_basic import luhn_holds, with_check_digit

CIPHER = aes(bytes(range(16)))
DIGITS = [["0", "9"]]
LETTERS = [["a", "z"]]
GREEK = [["β", "ω"]]


def part(least: int, most: int, characters: Any = None, **more: Any) -> dict[str, Any]:
    """An encrypted part; what is no field of its own is a constraint."""
    own: dict[str, Any] = {
        name: more.pop(name) for name in ("preserve", "mask", "cipher_char_set", "constraints") if name in more
    }
    built: dict[str, Any] = {"min_length": least, "max_length": most, "char_set": characters or DIGITS, **own}
    if more:
        built["constraints"] = more
    return built


def literal(*choices: str) -> dict[str, Any]:
    return {"literal": list(choices)}


def concat(*parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"concat": list(parts), **more}


def form(root: dict[str, Any]) -> Format:
    return parse({"format": root, "description": "a test"})


def token_of(root: dict[str, Any], text: str, tweak: bytes = b"") -> str:
    """The token, after checking that it comes back and is as long as the text."""
    made = form(root)
    token = made.encrypt(CIPHER, tweak, text)
    assert made.decrypt(CIPHER, tweak, token) == text
    assert len(token) == len(text)
    return token


# -- data types as people have them --------------------------------------------------------------------------------

OCTET = part(1, 3, num_lt=256)
ADDRESS = concat(
    {"multiple": concat(OCTET, literal(".")), "min_repetitions": 2, "max_repetitions": 2}, OCTET, literal("."), OCTET
)


@given(st.lists(st.integers(10, 255), min_size=4, max_size=4))
@example([255, 255, 255, 255])
def test_an_ip_address_stays_one(octets: list[int]) -> None:
    token = token_of(ADDRESS, ".".join(map(str, octets)))
    assert [len(octet) for octet in token.split(".")] == [len(str(octet)) for octet in octets]
    assert all(int(octet) < 256 for octet in token.split("."))


SOCIAL_SECURITY = concat(
    part(3, 3, num_ne=[0, 666], num_lt=900),
    literal("-", " ", ""),
    part(2, 2, num_gt=0),
    literal("-", " ", ""),
    part(4, 4, num_ne=[0], preserve="all"),
)


@given(st.integers(1, 899).filter(lambda n: n != 666), st.integers(1, 99), st.sampled_from(["-", " ", ""]))
def test_an_ssn_without_its_serial_is_too_small_and_with_it_is_not(area: int, group: int, delimiter: str) -> None:
    with pytest.raises(ParameterInvalid, match="at most 100,000 combinations"):
        form(SOCIAL_SECURITY)
    whole = concat(*SOCIAL_SECURITY["concat"][:4], part(4, 4, num_ne=[0]))
    token = token_of(whole, delimiter.join((f"{area:03}", f"{group:02}", "1234")))
    shape = re.fullmatch(rf"(\d{{3}}){delimiter}(\d{{2}}){delimiter}(\d{{4}})", token)
    assert shape is not None
    assert 0 < int(shape[1]) < 900
    assert int(shape[1]) != 666
    assert int(shape[2]) > 0
    assert int(shape[3]) > 0


def calendar_date(year: dict[str, Any], **bounds: Any) -> dict[str, Any]:
    day, month = part(2, 2, date="day"), part(2, 2, date="month")
    return concat(day, literal("."), month, literal("."), year, constraints={"date": {"dmy_date": bounds}})


FIRST, LAST = date(1900, 1, 1), date(2099, 12, 31)
BOUNDED = calendar_date(
    part(4, 4, date="year"),
    after={"year": 1899, "month": 12, "day": 31},
    before={"year": 2100, "month": 1, "day": 1},
)


def read_date(text: str) -> date:
    day, month, year = map(int, text.split("."))
    return date(year, month, day)


@given(st.dates(FIRST, LAST))
@example(FIRST)
@example(LAST)
@example(date(2000, 2, 29))
def test_a_date_stays_a_date_between_its_bounds(day: date) -> None:
    token = read_date(token_of(BOUNDED, f"{day:%d.%m.%Y}"))
    assert FIRST <= token <= LAST


@pytest.mark.parametrize("text", ["31.04.2000", "29.02.1900", "00.01.2000", "01.13.2000", "31.12.1899", "01.01.2100"])
def test_what_is_no_date_or_out_of_bounds_is_refused(text: str) -> None:
    with pytest.raises(ParameterInvalid, match="a number or date in it is not allowed"):
        form(BOUNDED).encrypt(CIPHER, b"", text)


def test_a_number_that_is_preserved_is_held_to_its_bounds_all_the_same() -> None:
    root = concat(part(3, 3, num_gt=5, num_ne=[7], preserve="all"), part(6, 6))
    assert token_of(root, "008123456")[:3] == "008"
    for number in ("005", "007"):
        with pytest.raises(ParameterInvalid, match="a number or date in it is not allowed"):
            form(root).encrypt(CIPHER, b"", f"{number}123456")


def test_a_text_to_which_the_constraints_leave_few_values_is_refused() -> None:
    root = part(6, 7, num_gt=990_000)
    assert token_of(root, "9999999")
    assert token_of(part(6, 7, num_gt=989_999), "999999")
    with pytest.raises(ParameterInvalid, match="leave 9,999 values for this text; at least 10,000"):
        form(root).encrypt(CIPHER, b"", "999999")


def test_a_preserved_year_leaves_too_few_dates_alone_and_enough_beside_others() -> None:
    kept = calendar_date(part(4, 4, date="year", preserve="all"))
    with pytest.raises(ParameterInvalid, match="combinations"):
        form(kept)
    both = concat(kept, literal(" "), part(6, 6))
    token = token_of(both, "29.02.2000 123456")
    assert read_date(token[:10]).year == 2000


def test_a_preserved_day_and_month_leave_the_years_that_have_them() -> None:
    day, month = part(2, 2, date="day", preserve="all"), part(2, 2, date="month", preserve="all")
    kept = concat(day, month, part(4, 4, date="year"), constraints={"date": {"dmy_date": {}}})
    for number in range(30):
        token = token_of(concat(kept, part(6, 6)), f"29022004{number:06}")
        assert token[:4] == "2902"
        assert int(token[4:8]) % 4 == 0


def test_a_month_and_year_and_a_month_and_day_stay_ones() -> None:
    expiry = concat(
        part(2, 2, date="month"),
        literal("/"),
        part(2, 2, date="year"),
        constraints={"date": {"month_year_date": {"after": {"year": 20, "month": 6}}}},
    )
    birthday = concat(part(1, 2, date="month"), literal("/"), part(1, 2, date="day"))
    birthday["constraints"] = {"date": {"month_day_date": {"before": {"month": 12, "day": 31}}}}
    for number in range(30):
        token = token_of(concat(expiry, literal(" "), birthday, literal(" "), part(6, 6)), f"07/20 2/29 {number:06}")
        shape = re.fullmatch(r"(\d\d)/(\d\d) (\d)/(\d\d) \d{6}", token)
        assert shape is not None
        month, year, birth_month, birth_day = map(int, shape.groups())
        assert 1 <= month <= 12
        assert (year, month) > (20, 6)
        assert date(2000, birth_month, birth_day)
        assert birth_day >= 10


def test_a_month_alone_is_a_number_from_1_to_12() -> None:
    for number in range(30):
        token = token_of(concat(part(2, 2, date="month"), part(6, 6)), f"07{number:06}")
        assert 1 <= int(token[:2]) <= 12


def test_numbers_of_one_or_two_digits_have_no_leading_zero_when_they_are_days() -> None:
    varying = concat(part(1, 2, date="day"), literal("|"), part(6, 6))
    assert token_of(varying, "9|123456")[0] != "0"
    assert token_of(varying, "10|123456")[0] != "0"
    with pytest.raises(ParameterInvalid, match="not allowed"):
        form(varying).encrypt(CIPHER, b"", "09|123456")


GROUPED_CARD = concat(
    part(4, 4),
    *[concat(literal("-", " "), part(4, 4)) for _ in range(3)],
    constraints={
        "luhn_check": True,
        "applies_to": {"0": "all", "1": {"1": "all"}, "2": {"1": "all"}, "3": {"1": "all"}},
    },
)


@given(st.text("0123456789", min_size=15, max_size=15), st.sampled_from("- "))
def test_one_checksum_covers_the_parts_that_it_applies_to(digits: str, delimiter: str) -> None:
    number = with_check_digit(digits)
    token = token_of(GROUPED_CARD, delimiter.join(number[start : start + 4] for start in range(0, 16, 4)))
    assert luhn_holds(token.replace(delimiter, ""))
    assert token[4::5] == delimiter * 3


def test_digits_of_a_literal_and_preserved_ones_count_in_the_checksum() -> None:
    prefixed = concat(literal("4"), part(12, 18, preserve=[0, -1]), constraints={"luhn_check": True})
    token = token_of(prefixed, "4111111111111111")
    assert luhn_holds(token)
    assert (token[:2], token[-1]) == ("41", "1")


def test_each_repetition_has_a_checksum_of_its_own() -> None:
    cards = {
        "multiple": concat(part(7, 7, luhn_check=True), literal(";")),
        "min_repetitions": 1,
        "max_repetitions": 3,
    }
    numbers = [with_check_digit("123456"), with_check_digit("654321"), with_check_digit("000000")]
    token = token_of(cards, ";".join(numbers) + ";")
    assert all(luhn_holds(number) for number in token.split(";"))


def test_two_checksums_that_begin_at_one_place_stay_apart() -> None:
    root = concat(part(7, 7, luhn_check=True), part(7, 7), constraints={"luhn_check": True, "applies_to": {"1": "all"}})
    token = token_of(root, with_check_digit("123456") + with_check_digit("222222"))
    assert luhn_holds(token[:7])
    assert luhn_holds(token[7:])


def test_a_part_may_be_optional() -> None:
    root = concat(part(6, 6), {"multiple": concat(literal("-"), part(4, 4)), "max_repetitions": 1})
    assert "-" not in token_of(root, "123456")
    assert token_of(root, "123456-7890")[6] == "-"


def test_repetitions_and_lengths_of_compounds_have_bounds() -> None:
    root = concat({"multiple": part(2, 2), "min_repetitions": 2, "max_repetitions": 3}, literal("/"), part(6, 6))
    assert token_of(root, "1234/123456")
    assert token_of(root, "123456/123456")
    for head in ("12", "12345678"):
        with pytest.raises(ParameterInvalid, match="does not fit"):
            form(root).encrypt(CIPHER, b"", f"{head}/123456")
    bounded = concat(concat(part(1, 4), literal(".", ""), part(0, 4), min_length=3, max_length=5), part(6, 6, LETTERS))
    assert token_of(bounded, "12.3abcdef")
    for head in ("1.", "12.3456"):
        with pytest.raises(ParameterInvalid, match="does not fit"):
            form(bounded).encrypt(CIPHER, b"", f"{head}abcdef")


# -- tokens last ---------------------------------------------------------------------------------------------------

# Tokens that this code made once. They are in people's databases: a change that reads them otherwise loses data.
CARD_TOKEN = "4111119629191111"
MADE = [
    (ADDRESS, "123.123.123.123", "117.199.016.114"),
    (BOUNDED, "29.02.2000", "07.02.1912"),
    (GROUPED_CARD, "4111-1111-1111-1111", "0367-1990-3824-0815"),
    (
        part(13, 19, luhn_check=True, preserve=[0, 1, 2, 3, 4, 5, -4, -3, -2, -1]),
        "4111111111111111",
        "4111119629191111",
    ),
    (concat(part(3, 6, LETTERS), literal("-"), part(4, 4), part(1, 1, GREEK)), "abc-1234β", "saw-2218η"),
]


@pytest.mark.parametrize(("root", "text", "token"), MADE)
def test_a_token_made_by_an_earlier_version_is_read(root: dict[str, Any], text: str, token: str) -> None:
    assert form(root).decrypt(CIPHER, b"", token) == text
    assert form(root).encrypt(CIPHER, b"", text) == token


# -- preserved and masked ------------------------------------------------------------------------------------------


def mail(**domain: Any) -> dict[str, Any]:
    return concat(
        part(1, 64, [["a", "z"], ["0", "9"]], mask=[*range(1, 64)]),
        literal("@"),
        concat(part(1, 60, LETTERS), literal("."), part(2, 10, LETTERS), **domain),
    )


def test_a_compound_is_preserved_and_masked_as_a_whole_but_for_its_literals() -> None:
    root = mail(preserve=True, mask=True)
    token = token_of(root, "alice99@example.com")
    assert token.endswith("@example.com")
    assert not token.startswith("alice99")
    assert form(root).decrypt(CIPHER, b"", token, masked=True) == "a******@*******.***"


def test_the_preserved_domain_is_the_tweak() -> None:
    one, other = (token_of(mail(preserve=True), f"alice99@{domain}") for domain in ("example.com", "example.org"))
    assert one.split("@")[0] != other.split("@")[0]


def test_a_literal_is_no_tweak() -> None:
    root = concat(part(6, 6), literal("-", " "), part(6, 6))
    assert token_of(root, "123456-123456").replace("-", " ") == token_of(root, "123456 123456")


def test_what_the_caller_gives_is_tweak_too() -> None:
    assert token_of(part(6, 6), "123456") != token_of(part(6, 6), "123456", b"tweak")


# -- alphabets -----------------------------------------------------------------------------------------------------


def test_tokens_may_have_an_alphabet_of_their_own() -> None:
    root = concat(part(6, 10, cipher_char_set=[["a", "j"]]), literal("/"), part(3, 3, GREEK))
    token = token_of(root, "1234567/λβμ")
    assert re.fullmatch("[a-j]{7}/[β-ω]{3}", token)
    with pytest.raises(ParameterInvalid, match="does not fit"):
        form(root).encrypt(CIPHER, b"", token)


def test_the_order_of_the_ranges_gives_the_numerals() -> None:
    plain = form(part(4, 9, [["a", "z"], ["0", "9"]]))
    turned = form(part(4, 9, [["0", "9"], ["a", "z"]]))
    swap = str.maketrans("abcdefghijklmnopqrstuvwxyz0123456789", "0123456789abcdefghijklmnopqrstuvwxyz")
    token = plain.encrypt(CIPHER, b"", "token123")
    assert token.translate(swap) == turned.encrypt(CIPHER, b"", "token123".translate(swap))


def test_large_alphabets_and_characters_beyond_16_bits_work() -> None:
    token = token_of(part(2, 9, [["一", "鿿"], ["😀", "🙏"]]), "漢字😀🙏")
    assert re.fullmatch("[一-鿿😀-🙏]{4}", token)
