"""Components: all of them are the key, all but one are nothing."""

from __future__ import annotations

import os
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kms.crypto.errors import ParameterInvalid
from kms.crypto.secret_sharing import combine, split
from kms.secret import SecretBytes

keys = st.binary(min_size=1, max_size=64).map(SecretBytes)


@given(keys, st.integers(2, 16))
def test_all_components_together_are_the_key(key: SecretBytes, count: int) -> None:
    parts = split(key, count, os.urandom)
    assert len(parts) == count
    if len(set(map(SecretBytes.reveal, parts))) == count:  # not so for very short keys
        assert combine(parts) == key
        assert combine(parts[::-1]) == key


@given(st.binary(min_size=16, max_size=32).map(SecretBytes), st.integers(3, 6), st.data())
def test_without_one_of_them_another_key_comes_out(key: SecretBytes, count: int, data: st.DataObject) -> None:
    parts = list(split(key, count, os.urandom))
    parts.pop(data.draw(st.integers(0, count - 1)))
    assert combine(parts) != key


def test_every_component_by_itself_is_uniform() -> None:
    """Also the last one, which is computed: of a key of one zero byte, 4096 times."""
    seen = [Counter[int]() for _ in range(3)]
    for _ in range(4096):
        for counted, part in zip(seen, split(SecretBytes(b"\0"), 3, os.urandom), strict=True):
            counted.update(part.reveal())
    for counted in seen:
        # Chi-squared with 255 degrees of freedom: beyond 400 once in 10^8 runs.
        assert sum((counted[value] - 16) ** 2 / 16 for value in range(256)) < 400


@pytest.mark.parametrize(
    ("parts", "says"),
    [((b"12", b"123"), "one length"), ((b"12", b"34", b"12"), "the same"), ((b"", b""), "the same")],
)
def test_what_cannot_be_meant_is_refused(parts: tuple[bytes, ...], says: str) -> None:
    with pytest.raises(ParameterInvalid, match=says):
        combine([SecretBytes(part) for part in parts])
