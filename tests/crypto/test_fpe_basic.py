"""The simple formats: digits, or digits and capital letters, with preserved and masked places and a checksum."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kms.crypto import ff1
from kms.crypto.errors import ParameterInvalid
from kms.crypto.fpe import parse
from tests.crypto.local_cipher import aes, tdea
from tests.crypto.test_ff1 import KEY_128

CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
CIPHER = aes(bytes.fromhex(KEY_128))


def basic(radix: int, least: int, most: int, preserve: list[int] | None = None, **more: Any) -> dict[str, Any]:
    return {"radix": radix, "min_length": least, "max_length": most, "preserve": preserve or [], **more}


def luhn_holds(digits: str) -> bool:
    """ISO/IEC 7812-1 annex B, from the right: every second digit doubled, its own digits added."""
    doubled = (str(int(digit) * (1 + index % 2)) for index, digit in enumerate(digits[::-1]))
    return sum(int(digit) for number in doubled for digit in number) % 10 == 0


def with_check_digit(digits: str) -> str:
    return next(digits + check for check in "0123456789" if luhn_holds(digits + check))


def at(places: list[int], length: int) -> set[int]:
    return {range(length)[place] for place in places if -length <= place < length}


def unpreserved(preserve: list[int], length: int) -> int:
    return length - len(at(preserve, length))


# -- known answers -------------------------------------------------------------------------------------------------


def test_a_plain_format_is_ff1_as_everybody_computes_it() -> None:
    assert parse(basic(10, 6, 20)).encrypt(CIPHER, b"", "0123456789") == "2433477484"
    tweak = bytes.fromhex("3737373770717273373737")
    assert parse(basic(36, 4, 40)).encrypt(CIPHER, tweak, "0123456789ABCDEFGHI") == "A9TV40MLL9KDU509EUM"


def test_the_preserved_characters_are_the_tweak() -> None:
    form = parse(basic(10, 6, 20, list(range(10))))
    assert form.encrypt(CIPHER, b"", "98765432100123456789") == "98765432106124200773"
    assert form.encrypt(CIPHER, b"98", "76543210980123456789")[:10] == "7654321098"


def test_preserved_characters_at_both_ends_are_joined() -> None:
    form = parse(basic(10, 6, 20, [0, 1, 2, 3, 4, -5, -4, -3, -2, -1]))
    assert form.encrypt(CIPHER, b"", "98765012345678943210") == "98765" + "6124200773" + "43210"


def test_preserved_characters_are_joined_in_the_order_of_the_text() -> None:
    """Whatever order the places are listed in, or a set would have them in."""
    token = parse(basic(10, 6, 20, [8, 1])).encrypt(CIPHER, b"", "0123456789")
    numerals = ff1.encrypt(CIPHER, [0, 2, 3, 4, 5, 6, 7, 9], radix=10, tweak=b"18")
    assert token[0] + token[2:8] + token[9] == "".join(map(str, numerals))


# -- properties ----------------------------------------------------------------------------------------------------


@st.composite
def formats_and_texts(draw: st.DrawFn, *, luhn: bool = False) -> tuple[dict[str, Any], str]:
    radix = 10 if luhn else draw(st.integers(2, 36))
    preserve, mask = (draw(st.lists(st.integers(-8, 7), max_size=6)) for _ in range(2))
    needed = ff1.shortest_length(radix)
    text = draw(st.text(CHARACTERS[:radix], min_size=needed + 12, max_size=needed + 30))
    if luhn:
        text = with_check_digit(text)
    options = basic(radix, needed, needed + 31, preserve, mask=mask, luhn_check=luhn)
    return options, text


@given(st.binary(min_size=16, max_size=16), formats_and_texts(), st.binary(max_size=20))
def test_a_token_keeps_the_format_and_comes_back(key: bytes, case: tuple[dict[str, Any], str], tweak: bytes) -> None:
    options, text = case
    form = parse(options)
    token = form.encrypt(aes(key), tweak, text)
    assert len(token) == len(text)
    assert set(token) <= set(CHARACTERS[: options["radix"]])
    for place in at(options["preserve"], len(text)):
        assert token[place] == text[place]
    assert form.decrypt(aes(key), tweak, token) == text


@given(formats_and_texts())
def test_masked_decryption_hides_exactly_the_masked_characters(case: tuple[dict[str, Any], str]) -> None:
    options, text = case
    form = parse(options)
    shown = form.decrypt(CIPHER, b"", form.encrypt(CIPHER, b"", text), masked=True)
    hidden = at(options["mask"], len(text))
    assert shown == "".join("*" if place in hidden else character for place, character in enumerate(text))


@given(formats_and_texts(luhn=True))
def test_a_token_has_a_right_checksum_where_the_text_must_have_one(case: tuple[dict[str, Any], str]) -> None:
    options, text = case
    form = parse(options)
    token = form.encrypt(CIPHER, b"", text)
    assert luhn_holds(token)
    assert [token[place] for place in at(options["preserve"], len(text))] == [
        text[place] for place in at(options["preserve"], len(text))
    ]
    assert form.decrypt(CIPHER, b"", token) == text


PAYMENT_CARD = basic(10, 13, 19, [0, 1, 2, 3, 4, 5, -4, -3, -2, -1], mask=list(range(12)), luhn_check=True)


@pytest.mark.parametrize("number", ["4111111111111111", "5555555555554444", "6011000990139424"])
def test_a_payment_card_shows_its_first_six_and_last_four(number: str) -> None:
    form = parse(PAYMENT_CARD)
    token = form.encrypt(CIPHER, b"", number)
    assert (token[:6], token[-4:]) == (number[:6], number[-4:])
    assert token != number
    assert luhn_holds(token)
    assert form.decrypt(CIPHER, b"", token) == number
    assert form.decrypt(CIPHER, b"", token, masked=True) == "*" * 12 + number[-4:]


def test_different_texts_have_different_tokens() -> None:
    form = parse(PAYMENT_CARD)
    numbers = [with_check_digit(f"411111{middle:06}111") for middle in range(0, 1000, 7)]
    assert len({form.encrypt(CIPHER, b"", number) for number in numbers}) == len(numbers)


@given(st.integers(1, 4))
def test_no_more_calls_than_ff1_makes(repetition: int) -> None:
    cipher = aes(bytes(16))
    parse(basic(10, 6, 100)).encrypt(cipher, b"", "0123456789" * repetition)
    assert cipher.calls == 10


# -- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("radix", "shortest"), [(2, 20), (10, 6), (16, 5), (36, 4)])
def test_a_format_without_a_million_combinations_is_refused(radix: int, shortest: int) -> None:
    assert parse(basic(radix, 1, shortest))
    with pytest.raises(ParameterInvalid, match=rf"at least 1,000,000 .*: {shortest} characters"):
        parse(basic(radix, 1, shortest - 1))
    with pytest.raises(ParameterInvalid, match=f"{shortest} characters that are not preserved"):
        parse(basic(radix, 1, shortest, [0]))


@pytest.mark.parametrize("text", ["12345", "1", "", "0"])
def test_a_text_without_a_million_combinations_is_refused(text: str) -> None:
    form = parse(basic(10, 0, 10))
    for permute in (form.encrypt, form.decrypt):
        with pytest.raises(ParameterInvalid, match="at least 1,000,000"):
            permute(CIPHER, b"", text)


def test_a_short_card_has_too_few_digits_between_those_that_are_preserved() -> None:
    with pytest.raises(ParameterInvalid, match=r"leaves 100,000 combinations .* here 6 characters"):
        parse(PAYMENT_CARD).encrypt(CIPHER, b"", with_check_digit("37828224631000"))


@pytest.mark.parametrize("text", ["12345", "1" * 13, "12345A", "123 456", "１２３４５６", "123456\n"])  # noqa: RUF001 - wide digits are no digits
def test_a_text_of_another_format_is_refused(text: str) -> None:
    form = parse(basic(10, 6, 12))
    for permute in (form.encrypt, form.decrypt):
        with pytest.raises(ParameterInvalid, match="does not fit the format") as refusal:
            permute(CIPHER, b"", text)
        assert text not in str(refusal.value)


def test_small_letters_are_not_capital_ones() -> None:
    with pytest.raises(ParameterInvalid, match="does not fit"):
        parse(basic(36, 4, 12)).encrypt(CIPHER, b"", "abcdef")


def test_a_wrong_checksum_is_refused() -> None:
    form = parse(PAYMENT_CARD)
    for permute in (form.encrypt, form.decrypt):
        with pytest.raises(ParameterInvalid, match="Luhn checksum is wrong"):
            permute(CIPHER, b"", "4111111111111112")


def test_another_cipher_than_aes_is_refused() -> None:
    with pytest.raises(ParameterInvalid, match="blocks of 16 bytes"):
        parse(basic(10, 6, 12)).encrypt(tdea(bytes(range(24))), b"", "123456")
