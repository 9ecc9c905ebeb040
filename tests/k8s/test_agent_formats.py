"""A value in every form: what one of its readers makes of it is what it was."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from k8s.agent.formats import ContentUnfit, rendered
from k8s.agent.values import Value
from k8s.delivery import Content, Format

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
NAMES = st.from_regex(re.compile(r"X_[A-Z0-9_]{1,12}", re.ASCII), fullmatch=True)


def made(raw: bytes, form: Format, key: str = "db-user") -> bytes:
    return rendered(Content(secret=key, format=form), {key: Value("SECRET", raw)})


@settings(max_examples=20, deadline=None)
@given(st.dictionaries(NAMES, TEXT, min_size=1, max_size=5))
def test_a_shell_that_sources_env_has_the_members(members: dict[str, str]) -> None:
    written = made(json.dumps(members).encode(), Format.ENV)
    done = subprocess.run(
        ["/bin/sh", "-c", 'set -a; eval "$1"; exec env -0', "sh", written],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        check=True,
    )
    found = dict(line.split(b"=", 1) for line in done.stdout.split(b"\0") if line.startswith(b"X_"))
    assert found == {name.encode(): value.encode() for name, value in members.items()}


def java(content: str) -> dict[str, str]:
    """java.util.Properties.load, for files without continued lines."""
    pairs = {}
    for line in content.splitlines():
        match = re.fullmatch(r"((?:[^\\=: ]|\\.)*)=(.*)", line)
        assert match, line
        pairs[_unescaped(match[1])] = _unescaped(match[2].lstrip(" \t\f"))
    return pairs


def _unescaped(text: str) -> str:
    letters = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
    plain = re.sub(
        r"\\(u[0-9a-f]{4}|.)",
        lambda match: chr(int(match[1][1:], 16)) if len(match[1]) == 5 else letters.get(match[1], match[1]),
        text,
    )
    return plain.encode("utf-16-be", "surrogatepass").decode("utf-16-be")


@settings(deadline=None)
@given(st.dictionaries(TEXT, TEXT, min_size=1, max_size=5))
def test_java_has_the_members(members: dict[str, str]) -> None:
    written = made(json.dumps(members).encode(), Format.PROPERTIES)
    assert written.isascii()
    assert java(written.decode()) == members


@settings(deadline=None)
@given(TEXT)
def test_what_is_no_object_is_one_member_named_by_its_key(text: str) -> None:
    raw = b" " + text.encode()
    if Value("SECRET", raw).members() is not None:
        return
    assert json.loads(made(raw, Format.JSON)) == {"db-user": " " + text}
    assert java(made(raw, Format.PROPERTIES).decode()) == {"db-user": " " + text}
    assert made(raw, Format.ENV).startswith(b"DB_USER=")


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_bytes_are_bytes(raw: bytes) -> None:
    assert made(raw, Format.RAW) == made(raw, Format.AUTO) == raw
    assert bytes.fromhex(made(raw, Format.HEX).decode()) == raw
    assert base64.b64decode(made(raw, Format.BASE64)) == raw


@settings(deadline=None)
@given(st.binary(max_size=60), st.sampled_from(list(Format)))
def test_any_bytes_in_any_format_are_made_or_refused_in_a_sentence(raw: bytes, form: Format) -> None:
    said = ""
    try:
        made(raw, form)
    except ContentUnfit as error:
        said = str(error)
    assert re.match("$|the secret 'db-user' (is|has|begins) ", said)


def test_numbers_and_members_stay_as_they_are_written() -> None:
    raw = b'{"A": 1.10, "B": true, "C": null, "D": {"e": [1.0]}, "E": 123456789012345678901234567890}'
    assert made(raw, Format.ENV).decode().splitlines() == [
        "A=1.10", "B=true", "C=", "D='{\"e\":[1.0]}'", "E=123456789012345678901234567890",
    ]  # fmt: skip
    assert made(raw, Format.JSON) == raw


def test_a_bundle_is_pem_after_pem_in_the_order_that_was_asked_for() -> None:
    values = {"a": Value("CERTIFICATE", b"a" * 100), "b": Value("RSA", b"b"), "c": Value("EC", b"c", public=True)}
    text = rendered(Content(bundle=("b", "a", "c")), values).decode()
    assert re.findall("-----BEGIN (.*)-----", text) == ["PRIVATE KEY", "CERTIFICATE", "PUBLIC KEY"]
    assert text.endswith("-----END PUBLIC KEY-----\n")
    assert max(map(len, text.splitlines())) <= 64


@pytest.mark.parametrize(
    ("raw", "form", "words"),
    [
        (b"\xff", Format.JSON, "not text"),
        (b"\0", Format.ENV, "NUL"),
        (b'{"two words": 1}', Format.ENV, "name is not a variable's"),
        (b"plain", Format.PEM, "not PEM already"),
        (b"-----BEGIN \xff", Format.PEM, "not ASCII"),
    ],
)
def test_what_cannot_be_is_refused_without_its_value(raw: bytes, form: Format, words: str) -> None:
    with pytest.raises(ContentUnfit, match=words) as caught:
        made(raw, form)
    assert "two words" not in str(caught.value)


def test_a_value_does_not_show_itself() -> None:
    assert "hidden" not in repr(Value("SECRET", b"hidden"))
