"""FF1 answers as NIST's samples, comes back, and refuses what SP 800-38G revision 1 refuses."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kms.crypto import ff1
from kms.crypto.errors import ParameterInvalid
from tests.crypto.local_cipher import aes, tdea

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
KEY_128 = "2B7E151628AED2A6ABF7158809CF4F3C"
KEY_192 = KEY_128 + "EF4359D8D580AA4F"
KEY_256 = KEY_192 + "7F036D6F04FC6A94"
TWEAK_10 = "39383736353433323130"
TWEAK_36 = "3737373770717273373737"
TEXT_36 = "0123456789abcdefghi"

# NIST's FF1 samples 1 to 9 (csrc.nist.gov, "Examples with Intermediate Values"): key, radix, tweak, text, result.
SAMPLES = [
    (KEY_128, 10, "", "0123456789", "2433477484"),
    (KEY_128, 10, TWEAK_10, "0123456789", "6124200773"),
    (KEY_128, 36, TWEAK_36, TEXT_36, "a9tv40mll9kdu509eum"),
    (KEY_192, 10, "", "0123456789", "2830668132"),
    (KEY_192, 10, TWEAK_10, "0123456789", "2496655549"),
    (KEY_192, 36, TWEAK_36, TEXT_36, "xbj3kv35jrawxv32ysr"),
    (KEY_256, 10, "", "0123456789", "6657667009"),
    (KEY_256, 10, TWEAK_10, "0123456789", "1001623463"),
    (KEY_256, 36, TWEAK_36, TEXT_36, "xs8a0azh2avyalyzuwd"),
]


def numerals(text: str) -> list[int]:
    return [DIGITS.index(character) for character in text]


@pytest.mark.parametrize(("key", "radix", "tweak", "text", "result"), SAMPLES)
def test_nists_samples(key: str, radix: int, tweak: str, text: str, result: str) -> None:
    cipher, raw_tweak = aes(bytes.fromhex(key)), bytes.fromhex(tweak)
    assert ff1.encrypt(cipher, numerals(text), radix=radix, tweak=raw_tweak) == numerals(result)
    assert ff1.decrypt(cipher, numerals(result), radix=radix, tweak=raw_tweak) == numerals(text)


def by_the_book(key: bytes, text: list[int], radix: int, tweak: bytes) -> list[int]:
    """Algorithm 7 of SP 800-38G, step by step, with numbers and strings as it has them, block by block."""

    def num(string: list[int]) -> int:
        return sum(numeral * radix**place for place, numeral in enumerate(reversed(string)))

    def prf(data: bytes) -> bytes:
        y = bytes(16)
        for start in range(0, len(data), 16):
            y = aes(key).ecb(bytes(a ^ b for a, b in zip(y, data[start : start + 16], strict=True)))
        return y

    n, t = len(text), len(tweak)
    u, v = n // 2, n - n // 2
    a, b = text[:u], text[u:]
    # CEILING(v * LOG2(radix)) without floating point: the bits of the largest number.
    width = -(-(radix**v - 1).bit_length() // 8)
    d = 4 * -(-width // 4) + 4
    p = bytes([1, 2, 1, *radix.to_bytes(3, "big"), 10, u % 256, *n.to_bytes(4, "big"), *t.to_bytes(4, "big")])
    for i in range(10):
        q = tweak + bytes((-t - width - 1) % 16) + bytes([i]) + num(b).to_bytes(width, "big")
        r = prf(p + q)
        s = r + b"".join(
            aes(key).ecb(bytes(x ^ y for x, y in zip(r, j.to_bytes(16, "big"), strict=True)))
            for j in range(1, -(-d // 16))
        )
        m = u if i % 2 == 0 else v
        c = (num(a) + int.from_bytes(s[:d], "big")) % radix**m
        a, b = b, [c // radix**place % radix for place in reversed(range(m))]
    return a + b


@st.composite
def strings(draw: st.DrawFn) -> tuple[int, list[int]]:
    radix = draw(st.one_of(st.integers(2, 100), st.sampled_from([255, 256, 65535, 65536])))
    shortest = ff1.shortest_length(radix)
    return radix, draw(st.lists(st.integers(0, radix - 1), min_size=shortest, max_size=shortest + 40))


@given(st.binary(min_size=32, max_size=32), strings(), st.binary(max_size=40))
def test_what_was_encrypted_comes_back(key: bytes, string: tuple[int, list[int]], tweak: bytes) -> None:
    radix, text = string
    result = ff1.encrypt(aes(key), text, radix=radix, tweak=tweak)
    assert len(result) == len(text)
    assert all(0 <= numeral < radix for numeral in result)
    assert ff1.decrypt(aes(key), result, radix=radix, tweak=tweak) == text


@given(st.binary(min_size=16, max_size=16), strings(), st.binary(max_size=40))
@example(bytes(16), (2, [1] * 600), b"")  # u is not below 256
@example(bytes(16), (65536, [65535] * 60), b"tweak")
def test_every_string_is_encrypted_by_the_book(key: bytes, string: tuple[int, list[int]], tweak: bytes) -> None:
    radix, text = string
    assert ff1.encrypt(aes(key), text, radix=radix, tweak=tweak) == by_the_book(key, text, radix, tweak)


@given(strings(), st.binary(max_size=40), st.binary(max_size=40))
def test_another_tweak_is_another_permutation(string: tuple[int, list[int]], one: bytes, other: bytes) -> None:
    radix, text = string
    shape = ff1.shape_of(radix, len(text))
    same = [
        ff1.encrypt_number(aes(bytes(16)), number, shape=shape, tweak=one)
        == ff1.encrypt_number(aes(bytes(16)), number, shape=shape, tweak=other)
        for number in range(3)
    ]
    assert all(same) == (one == other)


def test_numbers_and_numerals_are_the_same_strings() -> None:
    shape = ff1.shape_of(10, 10)
    number = ff1.encrypt_number(aes(bytes.fromhex(KEY_128)), 123456789, shape=shape)
    assert number == 2433477484
    assert ff1.decrypt_number(aes(bytes.fromhex(KEY_128)), number, shape=shape) == 123456789
    assert shape.size == 10**10


@pytest.mark.parametrize(("radix", "length", "calls"), [(10, 6, 10), (10, 56, 10), (65536, 12, 10), (65536, 13, 20)])
def test_a_round_costs_one_call_and_a_second_only_for_long_numbers(radix: int, length: int, calls: int) -> None:
    cipher = aes(bytes(16))
    ff1.encrypt(cipher, [1] * length, radix=radix, tweak=bytes(100))
    assert cipher.calls == calls


# -- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("radix", "shortest"), [(2, 20), (10, 6), (36, 4), (999, 3), (1000, 2), (65536, 2)])
def test_domains_below_a_million_are_refused_with_the_shortest_length(radix: int, shortest: int) -> None:
    assert ff1.encrypt(aes(bytes(16)), [0] * shortest, radix=radix)
    for length in range(shortest):
        with pytest.raises(ParameterInvalid, match=rf"at least {shortest} characters \(1,000,000 combinations\)"):
            ff1.encrypt(aes(bytes(16)), [0] * length, radix=radix)
        with pytest.raises(ParameterInvalid, match=f"not {length}$"):
            ff1.decrypt(aes(bytes(16)), [0] * length, radix=radix)


@pytest.mark.parametrize("radix", [-1, 0, 1, 65537])
def test_a_radix_outside_2_to_65536_is_refused(radix: int) -> None:
    with pytest.raises(ParameterInvalid, match="radix from 2 to 65536"):
        ff1.encrypt(aes(bytes(16)), [0] * 20, radix=radix)


@pytest.mark.parametrize("numeral", [-1, 10, 1 << 70])
def test_a_numeral_of_another_radix_is_refused(numeral: int) -> None:
    with pytest.raises(ParameterInvalid, match="below the radix 10"):
        ff1.encrypt(aes(bytes(16)), [0, 1, 2, 3, 4, numeral], radix=10)


@pytest.mark.parametrize("number", [-1, 10**6])
def test_a_number_outside_its_domain_is_refused(number: int) -> None:
    for permute in (ff1.encrypt_number, ff1.decrypt_number):
        with pytest.raises(ParameterInvalid, match="below the size"):
            permute(aes(bytes(16)), number, shape=ff1.shape_of(10, 6))


def test_ff1_is_for_blocks_of_16_bytes() -> None:
    with pytest.raises(ParameterInvalid, match="blocks of 16 bytes, not 8"):
        ff1.encrypt(tdea(bytes(range(24))), [0] * 6, radix=10)
