"""Modes composed of ECB and CBC give what NIST published and what an independent implementation computes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.decrepit.ciphers.modes import CFB, OFB
from cryptography.hazmat.primitives import cmac as oracle_cmac
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from hypothesis import example, given
from hypothesis import strategies as st

from kms.crypto.block_modes import (
    ccm_decrypt,
    ccm_encrypt,
    cfb_decrypt,
    cfb_encrypt,
    cmac,
    counter_blocks,
    ctr,
    ofb,
    xor,
)
from kms.crypto.errors import ParameterInvalid
from kms.hsm.errors import DataRejected
from tests.crypto.local_cipher import LocalCipher, aes, run, tdea
from tests.vectors.nist import Vector, sample, vectors

keys = st.sampled_from([16, 24, 32]).flatmap(lambda size: st.binary(min_size=size, max_size=size))
blocks = st.binary(min_size=16, max_size=16)
data = st.binary(max_size=100)


# -- published answers ---------------------------------------------------------------------------------------------


def published(pattern: str, *, aes_sizes: bool = True) -> Iterator[Vector]:
    for size in ("128", "192", "256") if aes_sizes else ("",):
        yield from vectors(f"ciphers/{pattern.format(size)}")


@pytest.mark.parametrize("file", ["OFBMMT{}", "OFBGFSbox{}", "OFBVarKey{}"])
def test_ofb_answers_as_nist_published(file: str) -> None:
    for vector in sample(published(f"AES/OFB/{file}.rsp"), 20):
        cipher, iv = aes(vector.raw("KEY")), vector.raw("IV")
        assert ofb(cipher, iv, vector.raw("PLAINTEXT")) == vector.raw("CIPHERTEXT")
        assert ofb(cipher, iv, vector.raw("CIPHERTEXT")) == vector.raw("PLAINTEXT")


@pytest.mark.parametrize("file", ["CFB128MMT{}", "CFB128GFSbox{}", "CFB128VarKey{}"])
def test_cfb128_answers_as_nist_published(file: str) -> None:
    for vector in sample(published(f"AES/CFB/{file}.rsp"), 20):
        cipher, iv = aes(vector.raw("KEY")), vector.raw("IV")
        assert cfb_encrypt(cipher, iv, vector.raw("PLAINTEXT")) == vector.raw("CIPHERTEXT")
        assert cfb_decrypt(cipher, iv, vector.raw("CIPHERTEXT")) == vector.raw("PLAINTEXT")


def tdea_of(vector: Vector) -> LocalCipher:
    return tdea(vector.raw("KEY1") + vector.raw("KEY2") + vector.raw("KEY3"))


def test_tdea_in_ofb_and_cfb64_answers_as_nist_published() -> None:
    for vector in published("3DES/OFB/TOFBMMT3.rsp", aes_sizes=False):
        assert ofb(tdea_of(vector), vector.raw("IV"), vector.raw("PLAINTEXT")) == vector.raw("CIPHERTEXT")
    for vector in published("3DES/CFB/TCFB64MMT3.rsp", aes_sizes=False):
        cipher, iv = tdea_of(vector), vector.raw("IV")
        assert cfb_encrypt(cipher, iv, vector.raw("PLAINTEXT")) == vector.raw("CIPHERTEXT")
        assert cfb_decrypt(cipher, iv, vector.raw("CIPHERTEXT")) == vector.raw("PLAINTEXT")


def test_cmac_answers_as_nist_published() -> None:
    for size in ("128", "192", "256"):
        for vector in vectors(f"CMAC/nist-800-38b-aes{size}.txt"):
            assert cmac(aes(vector.raw("KEY")), vector.raw("MESSAGE")) == vector.raw("OUTPUT")
    for vector in vectors("CMAC/nist-800-38b-3des.txt"):
        key = vector.raw("KEY1") + vector.raw("KEY2") + vector.raw("KEY3")
        assert cmac(tdea(key), vector.raw("MESSAGE")) == vector.raw("OUTPUT")


# SP 800-38C appendix C, examples 1 to 3: key, nonce, additional data, plaintext, ciphertext, tag.
CCM_KEY = bytes(range(0x40, 0x50))
CCM_EXAMPLES = [
    (bytes(range(0x10, 0x17)), bytes(range(8)), bytes(range(0x20, 0x24)), "7162015b", "4dac255d"),
    (
        bytes(range(0x10, 0x18)),
        bytes(range(16)),
        bytes(range(0x20, 0x30)),
        "d2a1f0e051ea5f62081a7792073d593d",
        "1fc64fbfaccd",
    ),
    (
        bytes(range(0x10, 0x1C)),
        bytes(range(20)),
        bytes(range(0x20, 0x38)),
        "e3b201a9f5b71a7a9b1ceaeccd97e70b6176aad9a4428aa5",
        "484392fbc1b09951",
    ),
]


@pytest.mark.parametrize(("nonce", "aad", "plaintext", "ciphertext", "tag"), CCM_EXAMPLES)
def test_ccm_answers_as_the_standards_examples(
    nonce: bytes, aad: bytes, plaintext: bytes, ciphertext: str, tag: str
) -> None:
    sealed = bytes.fromhex(ciphertext), bytes.fromhex(tag)
    assert ccm_encrypt(aes(CCM_KEY), nonce, plaintext, aad=aad, tag_length=len(sealed[1])) == sealed
    assert ccm_decrypt(aes(CCM_KEY), nonce, *sealed, aad=aad) == plaintext


# -- against an independent implementation -------------------------------------------------------------------------


@given(keys, blocks, data)
@example(bytes(16), b"\xff" * 16, bytes(40))
@example(bytes(16), bytes(8) + b"\xff" * 8, bytes(40))
def test_stream_modes_agree_with_an_independent_implementation(key: bytes, iv: bytes, plaintext: bytes) -> None:
    assert ctr(aes(key), iv, plaintext) == run(AES(key), CTR(iv), plaintext)
    assert ofb(aes(key), iv, plaintext) == run(AES(key), OFB(iv), plaintext)
    assert cfb_encrypt(aes(key), iv, plaintext) == run(AES(key), CFB(iv), plaintext)


@given(keys, blocks, data)
def test_stream_modes_undo_themselves(key: bytes, iv: bytes, plaintext: bytes) -> None:
    assert ctr(aes(key), iv, ctr(aes(key), iv, plaintext)) == plaintext
    assert ofb(aes(key), iv, ofb(aes(key), iv, plaintext)) == plaintext
    assert cfb_decrypt(aes(key), iv, cfb_encrypt(aes(key), iv, plaintext)) == plaintext


@given(keys, data)
def test_cmac_agrees_with_an_independent_implementation(key: bytes, message: bytes) -> None:
    reference = oracle_cmac.CMAC(AES(key))
    reference.update(message)
    assert cmac(aes(key), message) == reference.finalize()


@given(st.binary(min_size=24, max_size=24), data)
def test_cmac_over_tdea_agrees_with_an_independent_implementation(key: bytes, message: bytes) -> None:
    reference = oracle_cmac.CMAC(TripleDES(key))
    reference.update(message)
    assert cmac(tdea(key), message) == reference.finalize()


ccm_inputs = (
    keys,
    st.binary(min_size=7, max_size=13),
    data,
    st.one_of(data, st.just(b"a" * 0xFEFF), st.just(b"a" * 0xFF00)),
    st.sampled_from(range(4, 17, 2)),
)


@given(*ccm_inputs)
def test_ccm_agrees_with_an_independent_implementation(
    key: bytes, nonce: bytes, plaintext: bytes, aad: bytes, tag_length: int
) -> None:
    ciphertext, tag = ccm_encrypt(aes(key), nonce, plaintext, aad=aad, tag_length=tag_length)
    assert ciphertext + tag == AESCCM(key, tag_length).encrypt(nonce, plaintext, aad)
    assert ccm_decrypt(aes(key), nonce, ciphertext, tag, aad=aad) == plaintext


@given(*ccm_inputs, st.data())
def test_ccm_refuses_whatever_was_tampered_with(
    key: bytes, nonce: bytes, plaintext: bytes, aad: bytes, tag_length: int, draw: st.DataObject
) -> None:
    ciphertext, tag = ccm_encrypt(aes(key), nonce, plaintext, aad=aad, tag_length=tag_length)
    parts = {"nonce": nonce, "ciphertext": ciphertext, "tag": tag, "aad": aad}
    name = draw.draw(st.sampled_from([name for name, value in parts.items() if value]))
    place = draw.draw(st.integers(0, len(parts[name]) * 8 - 1))
    parts[name] = xor(parts[name], (1 << place).to_bytes(len(parts[name]), "big"))
    with pytest.raises(DataRejected, match="tag"):
        ccm_decrypt(aes(key), parts["nonce"], parts["ciphertext"], parts["tag"], aad=parts["aad"])


def test_ccm_does_not_take_a_tag_that_was_cut() -> None:
    ciphertext, tag = ccm_encrypt(aes(bytes(16)), bytes(12), b"message")
    with pytest.raises(DataRejected):
        ccm_decrypt(aes(bytes(16)), bytes(12), ciphertext, tag[:8])


# -- few calls -----------------------------------------------------------------------------------------------------


@given(st.integers(1, 2000))
def test_every_mode_costs_one_or_two_calls_however_long_the_data(length: int) -> None:
    counted = {
        1: (
            lambda cipher: ctr(cipher, bytes(16), bytes(length)),
            lambda cipher: ofb(cipher, bytes(16), bytes(length)),
            lambda cipher: cfb_encrypt(cipher, bytes(16), bytes(length)),
            lambda cipher: cfb_decrypt(cipher, bytes(16), bytes(length)),
        ),
        2: (
            lambda cipher: ccm_encrypt(cipher, bytes(12), bytes(length), aad=bytes(length)),
            lambda cipher: cmac(cipher, bytes(length)),
        ),
    }
    for calls, modes in counted.items():
        for mode in modes:
            cipher = aes(bytes(16))
            mode(cipher)
            assert cipher.calls == calls


def test_no_data_is_no_call() -> None:
    cipher = aes(bytes(16))
    for stream in (ctr, ofb, cfb_encrypt, cfb_decrypt):
        assert stream(cipher, bytes(16), b"") == b""
    assert cipher.calls == 0


# -- counters ------------------------------------------------------------------------------------------------------


@given(blocks, st.integers(0, 40), st.sampled_from([2, 4, 16]))
@example(b"\xff" * 16, 3, 16)
@example(b"\xff" * 16, 3, 4)
def test_only_the_counting_bytes_count(first: bytes, count: int, counting: int) -> None:
    made = counter_blocks(first, count, counting=counting)
    prefix, start = first[: 16 - counting], int.from_bytes(first[16 - counting :], "big")
    for index in range(count):
        number = (start + index) % (1 << (8 * counting))
        assert made[16 * index : 16 * index + 16] == prefix + number.to_bytes(counting, "big")
    assert len(made) == 16 * count


# -- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [ctr, ofb, cfb_encrypt, cfb_decrypt])
def test_an_iv_of_another_size_is_refused(stream: object) -> None:
    assert callable(stream)
    for cipher, length in ((aes(bytes(16)), 15), (aes(bytes(16)), 8), (tdea(bytes(range(24))), 16)):
        with pytest.raises(ParameterInvalid, match=f"not {length}$"):
            stream(cipher, bytes(length), b"x")


@pytest.mark.parametrize("length", [0, 6, 14, 16])
def test_ccm_refuses_nonces_of_other_sizes(length: int) -> None:
    with pytest.raises(ParameterInvalid, match="7 to 13 bytes"):
        ccm_encrypt(aes(bytes(16)), bytes(length), b"")
    with pytest.raises(ParameterInvalid, match="7 to 13 bytes"):
        ccm_decrypt(aes(bytes(16)), bytes(length), b"", bytes(16))


@pytest.mark.parametrize("length", [0, 2, 5, 15, 17, 18])
def test_ccm_refuses_tags_of_other_sizes(length: int) -> None:
    with pytest.raises(ParameterInvalid, match="a CCM tag has"):
        ccm_encrypt(aes(bytes(16)), bytes(12), b"", tag_length=length)
    with pytest.raises(ParameterInvalid, match="a CCM tag has"):
        ccm_decrypt(aes(bytes(16)), bytes(12), b"", bytes(length))


def test_ccm_counts_no_further_than_its_nonce_leaves_room() -> None:
    longest = (1 << 16) - 1
    ciphertext, tag = ccm_encrypt(aes(bytes(16)), bytes(13), bytes(longest))
    assert ccm_decrypt(aes(bytes(16)), bytes(13), ciphertext, tag) == bytes(longest)
    with pytest.raises(ParameterInvalid, match="at most 65535 bytes"):
        ccm_encrypt(aes(bytes(16)), bytes(13), bytes(longest + 1))
    assert ccm_encrypt(aes(bytes(16)), bytes(12), bytes(longest + 1))


def test_ccm_is_for_blocks_of_16_bytes() -> None:
    with pytest.raises(ParameterInvalid, match="blocks of 16 bytes, not 8"):
        ccm_encrypt(tdea(bytes(range(24))), bytes(12), b"")


def test_no_cmac_without_a_reduction_for_the_block() -> None:
    wide = aes(bytes(16))
    wide.block = 32
    with pytest.raises(ParameterInvalid, match="8 or 16 bytes, not 32"):
        cmac(wide, b"")


def test_xor_keeps_the_length() -> None:
    for left, right in itertools.product((bytes(4), b"\0\xff\0\xff"), repeat=2):
        assert xor(left, right) == bytes(a ^ b for a, b in zip(left, right, strict=True))
    assert xor(b"", b"") == b""
