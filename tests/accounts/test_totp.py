"""One-time passwords: RFC 6238's vectors, the window, and spellings of a code."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts import totp

KEY = b"12345678901234567890"
# RFC 6238 Appendix B, SHA-1.
VECTORS = [
    (59, "94287082"),
    (1111111109, "07081804"),
    (1111111111, "14050471"),
    (1234567890, "89005924"),
    (2000000000, "69279037"),
    (20000000000, "65353130"),
]
NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
STEP = totp.step_at(NOW)


@pytest.mark.parametrize(("seconds", "code"), VECTORS)
def test_the_vectors_of_rfc_6238(seconds: int, code: str) -> None:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    assert totp.code_of(KEY, totp.step_at(moment), digits=8) == code


def step_of(code: str, last_step: int = -1) -> int | None:
    return totp.step_of(KEY, code, now=NOW, last_step=last_step)


@pytest.mark.parametrize("offset", range(-4, 5))
def test_a_code_holds_one_step_to_either_side(offset: int) -> None:
    held = step_of(totp.code_of(KEY, STEP + offset))
    assert held == (STEP + offset if abs(offset) <= 1 else None)


@given(st.integers(-1, 1), st.integers(-2, 2))
def test_no_code_of_the_last_step_taken_or_an_earlier_one_holds(offset: int, last: int) -> None:
    held = step_of(totp.code_of(KEY, STEP + offset), last_step=STEP + last)
    assert held == (STEP + offset if offset > last else None)


@given(st.text(alphabet=st.sampled_from([*"0123456789 ", "\u00a0", "\u2003", "\t", "-"]), max_size=12))
def test_only_six_digits_are_a_code_and_spaces_are_all_that_is_let_through(text: str) -> None:
    typed = totp.as_typed(text)
    assert typed == (text.replace(" ", "") if len(text.replace(" ", "")) == 6 and typed else None)
    assert typed is None or (typed.isascii() and typed.isdigit())


@pytest.mark.parametrize(
    "spell",
    [
        lambda code: code[:-1],
        lambda code: code + "0",
        lambda code: "0" + code,
        lambda code: code.lstrip("0") if code.startswith("0") else "",
        lambda code: code.translate({ord("0") + n: ord("\uff10") + n for n in range(10)}),  # full-width
        lambda code: code.translate({ord("0") + n: ord("\u0660") + n for n in range(10)}),  # Arabic-Indic
        lambda code: code + "\n",
        lambda code: "+" + code,
        lambda code: code[:3] + "\u00a0" + code[3:],
        lambda code: code[:3] + "-" + code[3:],
        lambda code: code[:3] + "_" + code[3:],
        lambda code: "",
    ],
)
def test_other_spellings_are_no_code(spell: object) -> None:
    codes = [totp.code_of(KEY, step) for step in (STEP - 1, STEP, STEP + 1)]
    assert callable(spell)
    assert [step_of(spell(code)) for code in codes] == [None, None, None]


def test_a_code_that_begins_with_noughts_needs_them() -> None:
    step = next(step for step in range(10_000) if totp.code_of(KEY, step).startswith("00"))
    code, now = totp.code_of(KEY, step), datetime.fromtimestamp(step * 30, UTC)
    assert totp.step_of(KEY, code, now=now, last_step=-1) == step
    assert totp.step_of(KEY, code.lstrip("0"), now=now, last_step=-1) is None


def test_what_the_qr_code_says() -> None:
    uri = urlsplit(totp.provisioning_uri(KEY, issuer="Keystead", label="a b+c@example.org"))
    assert (uri.scheme, uri.netloc, unquote(uri.path)) == ("otpauth", "totp", "/Keystead:a b+c@example.org")
    said = {name: value for name, (value,) in parse_qs(uri.query).items()}
    assert said.pop("secret") == "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    assert said == {"issuer": "Keystead", "algorithm": "SHA1", "digits": "6", "period": "30"}


def test_keys_have_160_bits_and_differ() -> None:
    keys = {totp.new_key() for _ in range(50)}
    assert len(keys) == 50
    assert {len(key) for key in keys} == {20}
