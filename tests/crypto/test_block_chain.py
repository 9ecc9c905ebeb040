"""Data in pieces of any size gives what one call gives, and costs one call of the cipher a piece."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from cryptography.hazmat.decrepit.ciphers.modes import CFB, OFB
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC, CTR, Mode
from hypothesis import example, given
from hypothesis import strategies as st

from kms.crypto.block_chain import BLOCK_MODES, STREAM_MODES, ChainState, advance, begin, finish, padded, unpadded
from kms.crypto.block_modes import ctr
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.hsm.errors import DataRejected
from tests.crypto.local_cipher import PLAIN, LocalCipher, aes, run, tdea

KEY = bytes(range(32))
IV = bytes(range(16))
ALL_MODES = sorted(BLOCK_MODES | STREAM_MODES)
modes = st.sampled_from(ALL_MODES)
pieces = st.lists(st.binary(max_size=40), max_size=8)


def in_pieces(cipher: LocalCipher, mode: str, data: Sequence[bytes], *, encrypting: bool, iv: bytes = IV) -> bytes:
    state = begin(mode, encrypting=encrypting, block=cipher.block, iv=None if mode == "ECB" else iv[: cipher.block])
    output = []
    for piece in data:
        part, state = advance(cipher, state, piece)
        output.append(part)
    return b"".join([*output, finish(cipher, state)])


def reference(mode: str, plaintext: bytes, iv: bytes = IV) -> bytes:
    if mode == "GCTR":
        return ctr(aes(KEY), iv, plaintext, counting=4)
    known: dict[str, Mode] = {
        "ECB": PLAIN,
        "CBC": CBC(iv),
        "CBCNOPAD": CBC(iv),
        "CTR": CTR(iv),
        "OFB": OFB(iv),
        "CFB": CFB(iv),
    }
    return run(AES(KEY), known[mode], padded(plaintext, 16) if mode == "CBC" else plaintext)


def fitting(mode: str, data: list[bytes]) -> list[bytes]:
    """The pieces, filled up to whole blocks at the end where the mode asks for that."""
    return [*data, bytes(-sum(map(len, data)) % 16)] if mode in ("ECB", "CBCNOPAD") else data


@given(modes, pieces)
def test_pieces_give_what_one_call_gives(mode: str, data: list[bytes]) -> None:
    data = fitting(mode, data)
    assert in_pieces(aes(KEY), mode, data, encrypting=True) == reference(mode, b"".join(data))


@given(modes, pieces, st.lists(st.integers(0, 400), max_size=8))
def test_pieces_cut_elsewhere_decrypt_to_the_same(mode: str, data: list[bytes], cuts: list[int]) -> None:
    plaintext = b"".join(fitting(mode, data))
    ciphertext = reference(mode, plaintext)
    ends = sorted({min(cut, len(ciphertext)) for cut in cuts} | {0, len(ciphertext)})
    parts = [ciphertext[start:end] for start, end in pairwise(ends)] or [ciphertext]
    assert in_pieces(aes(KEY), mode, parts, encrypting=False) == plaintext


@given(modes, pieces)
def test_blocks_of_8_bytes_go_the_same_ways(mode: str, data: list[bytes]) -> None:
    data = fitting(mode, data)
    cipher = tdea(bytes(range(24)))
    ciphertext = in_pieces(cipher, mode, data, encrypting=True)
    assert ciphertext == in_pieces(cipher, mode, [b"".join(data)], encrypting=True)
    assert in_pieces(cipher, mode, [ciphertext[:5], ciphertext[5:]], encrypting=False) == b"".join(data)


@pytest.mark.parametrize("mode", ["CTR", "GCTR"])
@given(data=pieces)
@example(data=[bytes(16), bytes(17), bytes(40)])
def test_counters_wrap_the_same_in_pieces(mode: str, data: list[bytes]) -> None:
    iv = b"\xff" * 16
    assert in_pieces(aes(KEY), mode, data, encrypting=True, iv=iv) == reference(mode, b"".join(data), iv)


@given(modes, st.booleans(), pieces)
def test_a_piece_costs_at_most_one_call(mode: str, encrypting: bool, data: list[bytes]) -> None:
    cipher = aes(KEY)
    state = begin(mode, encrypting=encrypting, block=16, iv=None if mode == "ECB" else IV)
    for number, piece in enumerate(data, 1):
        _, state = advance(cipher, state, piece)
        assert cipher.calls <= number
        assert len(state.pending) <= 16


@given(st.sampled_from(sorted(STREAM_MODES)), st.booleans(), pieces)
def test_stream_modes_hold_nothing_back(mode: str, encrypting: bool, data: list[bytes]) -> None:
    state = begin(mode, encrypting=encrypting, block=16, iv=IV)
    for piece in data:
        output, state = advance(aes(KEY), state, piece)
        assert len(output) == len(piece)
        if mode != "CFB":
            assert not any(state.pending)
    assert finish(aes(KEY), state) == b""


def test_padded_decryption_holds_back_the_last_block_until_the_end() -> None:
    ciphertext = reference("CBC", bytes(32))
    state = begin("CBC", encrypting=False, block=16, iv=IV)
    first, state = advance(aes(KEY), state, ciphertext[:16])
    assert first == b""
    second, state = advance(aes(KEY), state, ciphertext[16:])
    assert second == bytes(32)
    assert finish(aes(KEY), state) == b""


# -- refusals ------------------------------------------------------------------------------------------------------


@given(st.binary(min_size=16, max_size=16))
def test_wrong_padding_is_one_message_for_every_cause(block: bytes) -> None:
    ciphertext = aes(KEY).cbc(IV, block)
    count = block[-1]
    if 1 <= count <= 16 and block.endswith(bytes([count]) * count):
        assert in_pieces(aes(KEY), "CBC", [ciphertext], encrypting=False) == block[:-count]
    else:
        with pytest.raises(DataRejected, match=r"^the padding is wrong$"):
            in_pieces(aes(KEY), "CBC", [ciphertext], encrypting=False)


@pytest.mark.parametrize(
    "block",
    [
        bytes(16),
        b"\x11" * 16,
        bytes(15) + b"\x02",
        b"\x01" * 14 + b"\x03\x03",
        b"\xff" * 16,
        bytes(15) + b"\x11" * 17,
        b"",
    ],
)
def test_what_padding_never_makes_is_refused(block: bytes) -> None:
    with pytest.raises(DataRejected, match=r"^the padding is wrong$"):
        unpadded(block, 16)


@given(st.binary(max_size=60), st.sampled_from([8, 16]))
def test_padding_comes_off_again(data: bytes, block: int) -> None:
    assert len(padded(data, block)) % block == 0
    assert unpadded(padded(data, block), block) == data


@pytest.mark.parametrize("mode", ["ECB", "CBCNOPAD"])
@pytest.mark.parametrize("encrypting", [True, False])
def test_modes_without_padding_end_on_a_whole_block(mode: str, encrypting: bool) -> None:
    with pytest.raises(ParameterInvalid, match="whole blocks of 16 bytes"):
        in_pieces(aes(KEY), mode, [bytes(17)], encrypting=encrypting)


@pytest.mark.parametrize("length", [0, 1, 15, 17])
def test_a_padded_ciphertext_is_whole_blocks_and_at_least_one(length: int) -> None:
    with pytest.raises(ParameterInvalid, match="at least one"):
        in_pieces(aes(KEY), "CBC", [bytes(length)], encrypting=False)


@pytest.mark.parametrize("mode", ALL_MODES)
def test_a_beginning_takes_one_block_of_iv_but_in_ecb_mode(mode: str) -> None:
    if mode == "ECB":
        with pytest.raises(ParameterInvalid, match="takes no iv"):
            begin(mode, encrypting=True, block=16, iv=IV)
    else:
        with pytest.raises(ParameterInvalid, match="needs the iv"):
            begin(mode, encrypting=True, block=16)
        with pytest.raises(ParameterInvalid, match="16 bytes, not 15"):
            begin(mode, encrypting=True, block=16, iv=IV[:15])


def test_a_mode_that_is_not_chained_is_refused_by_name() -> None:
    with pytest.raises(AlgorithmUnsupported, match="KWP"):
        begin("KWP", encrypting=True, block=16, iv=IV)


@pytest.mark.parametrize("step", [lambda cipher, state: advance(cipher, state, b"x"), finish])
def test_a_state_goes_on_with_a_cipher_of_its_own_block_only(step: object) -> None:
    assert callable(step)
    with pytest.raises(ParameterInvalid, match="blocks of 16 bytes, not 8"):
        step(tdea(bytes(range(24))), ChainState("CBC", True, 16, IV))
