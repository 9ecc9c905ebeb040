"""Formats that could be read in more than one way, and formats that chance makes: a token is read as its text was."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from kms.crypto.errors import ParameterInvalid
from tests.crypto.test_fpe_advanced import CIPHER, DIGITS, LETTERS, concat, form, literal, part, token_of

# -- formats that read tokens otherwise than texts -----------------------------------------------------------------

HEX = [["0", "9"], ["a", "f"]]


@given(st.text("0123456789abcdef", min_size=8, max_size=8))
def test_a_token_is_read_by_the_alternative_that_made_it(text: str) -> None:
    root = {"or": [part(8, 8), part(8, 8, HEX)]}
    token = token_of(root, text)
    assert token.isdecimal() == text.isdecimal()


@given(st.text("abc", min_size=1, max_size=5), st.text("0123456789abcdef", min_size=7, max_size=7))
def test_a_greedy_part_does_not_swallow_what_stood_behind_it(head: str, tail: str) -> None:
    root = concat(part(1, 12, [["a", "f"]]), part(1, 1), part(6, 6, HEX))
    token = token_of(root, f"{head}4{tail[1:]}")
    assert token[len(head)].isdecimal()


def test_a_text_that_only_tokens_are_read_otherwise_than_is_refused() -> None:
    """Its token would be taken apart in another way, so nobody could read it."""
    root = concat(part(6, 8, cipher_char_set=[["a", "j"]]), part(2, 4, [["k", "t"]], cipher_char_set=[["a", "j"]]))
    with pytest.raises(ParameterInvalid, match="in one way and its tokens in another"):
        form(root).encrypt(CIPHER, b"", "123456kk")


def test_the_parser_does_not_go_back() -> None:
    with pytest.raises(ParameterInvalid, match="does not fit"):
        form(concat(part(1, 9), part(6, 6))).encrypt(CIPHER, b"", "123456789")


def test_an_alternative_that_fails_half_way_leaves_nothing_behind() -> None:
    root = {"or": [concat(part(3, 3), part(3, 3), literal("!")), part(6, 6)]}
    assert token_of(root, "123456").isdecimal()
    assert token_of(root, "123456!").endswith("!")


def test_an_entangled_format_stops_soon() -> None:
    nested: dict[str, Any] = part(1, 1, LETTERS)
    for _ in range(3):
        nested = {"or": [concat({"multiple": nested}, literal("!")), part(1, 1, LETTERS)]}
    with pytest.raises(ParameterInvalid, match="too entangled"):
        form({"multiple": nested}).encrypt(CIPHER, b"", "a" * 4096)


def test_a_text_longer_than_a_token_should_be_is_refused() -> None:
    root = part(6, 4294967295)
    assert len(token_of(root, "1" * 4096)) == 4096
    with pytest.raises(ParameterInvalid, match="at most 4096 characters, not 4097"):
        form(root).encrypt(CIPHER, b"", "1" * 4097)


# -- any format ----------------------------------------------------------------------------------------------------

Case = tuple[dict[str, Any], str]
ALPHABETS = {"0123456789": DIGITS, "abcdef": [["a", "f"]], "xyz01": [["x", "z"], ["0", "1"]]}


@st.composite
def parts(draw: st.DrawFn, depth: int = 2) -> Case:
    """A part and a text that was written for it (which a greedy parser need not take)."""
    kind = draw(st.sampled_from(["encrypted", "literal"] + (["or", "concat", "multiple"] if depth else [])))
    if kind == "encrypted":
        characters = draw(st.sampled_from(sorted(ALPHABETS)))
        least = draw(st.integers(1, 3))
        most = least + draw(st.integers(0, 4))
        text = draw(st.text(characters, min_size=least, max_size=most))
        places = st.lists(st.integers(-most, most - 1), max_size=2)
        return part(least, most, ALPHABETS[characters], preserve=draw(places), mask=draw(places)), text
    if kind == "literal":
        choices = draw(st.lists(st.text("-/ab0", max_size=2), min_size=1, max_size=3))
        return literal(*choices), draw(st.sampled_from(choices))
    if kind == "multiple":
        inner, text = draw(parts(depth - 1))
        assume(text)
        return {"multiple": concat(inner, literal(";"))}, f"{text};" * draw(st.integers(0, 3))
    children = draw(st.lists(parts(depth - 1), min_size=1, max_size=3))
    if kind == "or":
        return {"or": [child for child, _ in children]}, draw(st.sampled_from([text for _, text in children]))
    return concat(*[child for child, _ in children]), "".join(text for _, text in children)


# Drawing a format takes longer than reading it; on a busy machine the clock says nothing about either.
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(parts(), st.text("0123456789", min_size=6, max_size=8), st.binary(max_size=4))
def test_whatever_a_format_takes_comes_back_as_it_was(case: Case, tail: str, tweak: bytes) -> None:
    root, text = case
    made = form(concat(root, literal("|"), part(6, 8)))
    try:
        token = made.encrypt(CIPHER, tweak, f"{text}|{tail}")
    except ParameterInvalid as refusal:
        assume("does not fit" not in str(refusal))
        raise
    assert len(token) == len(text) + 1 + len(tail)
    assert made.decrypt(CIPHER, tweak, token) == f"{text}|{tail}"
    # A token is a text of the format itself.
    assert made.decrypt(CIPHER, tweak, made.encrypt(CIPHER, tweak, token)) == token
    shown = made.decrypt(CIPHER, tweak, token, masked=True)
    assert all(seen in (character, "*") for seen, character in zip(shown, f"{text}|{tail}", strict=True))
