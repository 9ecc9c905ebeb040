"""What lies in etcd, byte by byte. The first test pins the format: what it holds must open for ever."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k8s.kmsplugin.envelope import MAX_BYTES, OVERHEAD, Envelope, Malformed, additional_data, unpacked

KEY = UUID("01234567-89ab-4def-8123-456789abcdef")


def test_the_format_is_what_it_was() -> None:
    packed = Envelope(KEY, b"i" * 12, b"t" * 16, b"data").packed()
    assert packed == b"\x01" + bytes.fromhex("0123456789ab4def8123456789abcdef") + b"i" * 12 + b"t" * 16 + b"data"
    assert additional_data(KEY, "prod").hex() == (
        "001e" + b"keystead kubernetes kms plugin".hex() + "000101" + "0010" + KEY.bytes.hex() + "0004" + b"prod".hex()
    )


@given(st.uuids(), st.binary(min_size=12, max_size=12), st.binary(min_size=16, max_size=16), st.binary(min_size=1))
def test_what_was_packed_is_unpacked(key: UUID, iv: bytes, tag: bytes, data: bytes) -> None:
    envelope = Envelope(key, iv, tag, data)
    if OVERHEAD + len(data) <= MAX_BYTES:
        assert unpacked(envelope.packed()) == envelope


@given(st.binary(max_size=2 * MAX_BYTES))
def test_anything_else_is_malformed_or_an_envelope(raw: bytes) -> None:
    try:
        envelope = unpacked(raw)
    except Malformed:
        assert len(raw) <= OVERHEAD or len(raw) > MAX_BYTES or raw[0] != 1
    else:
        assert envelope.packed() == raw


@pytest.mark.parametrize(
    ("iv", "tag", "data"),
    [(11, 16, 32), (12, 12, 32), (12, 16, 0), (12, 16, MAX_BYTES - OVERHEAD + 1)],
)
def test_what_the_server_returns_in_another_shape_is_not_stored(iv: int, tag: int, data: int) -> None:
    with pytest.raises(Malformed):
        Envelope(KEY, bytes(iv), bytes(tag), bytes(data)).packed()


@given(st.uuids(), st.uuids(), st.text(max_size=20), st.text(max_size=20))
def test_no_two_purposes_have_the_same_additional_data(key: UUID, other: UUID, here: str, there: str) -> None:
    same = additional_data(key, here) == additional_data(other, there)
    assert same == ((key, here) == (other, there))
