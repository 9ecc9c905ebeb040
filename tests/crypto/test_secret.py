"""A secret comes out by ``reveal()`` and by nothing else."""

from __future__ import annotations

import copy
import json
import logging
import pickle
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kms.secret import SecretBytes

CANARY = b"canary-71b2"
SECRET = SecretBytes(CANARY)

LEAKS: dict[str, Callable[[], object]] = {
    "str": lambda: str(SECRET),
    "format": lambda: f"{SECRET}",
    "percent": lambda: "%s" % SECRET,  # noqa: UP031 - the form under test
    "hash": lambda: hash(SECRET),
    "key": lambda: {SECRET: 1},
    "set": lambda: {SECRET},
    "json": lambda: json.dumps(SECRET),
    "msgspec": lambda: msgspec.json.encode(SECRET),
    "pickle": lambda: pickle.dumps(SECRET),
    "copy": lambda: copy.copy(SECRET),
    "deep copy": lambda: copy.deepcopy(SECRET),
    "bytes": lambda: bytes(SECRET),  # type: ignore[call-overload]  # that is the test
    "concatenation": lambda: b"" + SECRET,  # type: ignore[operator]  # that is the test
    "iteration": lambda: list(SECRET),  # type: ignore[call-overload]  # that is the test
    "vars": lambda: vars(SECRET),
}


@pytest.mark.parametrize("leak", LEAKS.values(), ids=LEAKS)
def test_a_secret_refuses(leak: Callable[[], object]) -> None:
    with pytest.raises(TypeError) as caught:
        leak()
    assert CANARY.decode() not in str(caught.value)


def test_its_repr_says_how_long_it_is_and_no_more() -> None:
    assert repr(SECRET) == f"SecretBytes(<{len(CANARY)} bytes>)"
    assert repr([SECRET]) == f"[SecretBytes(<{len(CANARY)} bytes>)]"


def test_a_log_line_with_one_is_lost_rather_than_written(caplog: pytest.LogCaptureFixture) -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, "secret %s", (SECRET,), None)
    with pytest.raises(TypeError):
        record.getMessage()


@given(st.binary(), st.binary())
def test_secrets_are_equal_when_their_bytes_are_and_never_to_bytes(left: bytes, right: bytes) -> None:
    assert (SecretBytes(left) == SecretBytes(right)) is (left == right)
    assert SecretBytes(left) != left
    assert bool(SecretBytes(left)) is bool(left)
    assert len(SecretBytes(left)) == len(left)


@given(st.binary())
def test_what_goes_in_comes_out_unchanged_and_unshared(content: bytes) -> None:
    source = bytearray(content)
    held = SecretBytes(source)
    source.extend(b"changed later")
    assert held.reveal() == content
    assert SecretBytes(memoryview(content)).reveal() == content
