"""What AES has alone: GCM with IVs of any length, CCM, and key wrapping as a mode for data."""

from __future__ import annotations

import os

import pytest
from cryptography.hazmat.primitives import keywrap
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from cryptography.hazmat.primitives.ciphers.modes import GCM
from hypothesis import given, settings
from hypothesis import strategies as st

from kms.crypto.algorithm import CipherParameters
from kms.crypto.errors import ParameterInvalid
from kms.hsm.errors import DataRejected
from tests.crypto.cipher_lab import CipherLab
from tests.crypto.local_cipher import run
from tests.kit.tenants import new_tenant

few = settings(max_examples=20, deadline=None)


@pytest.fixture(scope="module", params=[16, 24, 32])
def lab(request: pytest.FixtureRequest, installation: None) -> CipherLab:
    return CipherLab(new_tenant(), "AES", os.urandom(request.param))


# -- GCM -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [8, 11, 12, 13, 16, 17, 60, 128])
def test_gcm_takes_ivs_of_other_lengths_than_twelve(lab: CipherLab, length: int) -> None:
    iv, data = os.urandom(length), os.urandom(100)
    made = lab.encrypt(CipherParameters("GCM", iv), data)
    assert made.ciphertext == run(lab.oracle, GCM(iv), data)
    assert lab.decrypt(CipherParameters("GCM", iv, tag=made.tag), made.ciphertext) == data


def test_nothing_new_is_encrypted_under_an_iv_that_comes_again_soon(lab: CipherLab) -> None:
    with pytest.raises(ParameterInvalid, match="at least 8 bytes"):
        lab.encrypt(CipherParameters("GCM", bytes(7)), b"data")


@pytest.mark.parametrize("mode", ["GCM", "CCM"])
@few
@given(data=st.data())
def test_any_flipped_bit_is_refused(lab: CipherLab, mode: str, data: st.DataObject) -> None:
    plaintext, aad = data.draw(st.binary(max_size=40)), data.draw(st.binary(min_size=1, max_size=40))
    made = lab.encrypt(CipherParameters(mode, None, aad), plaintext)
    parts = {"iv": made.iv or b"", "aad": aad, "tag": made.tag or b"", "ciphertext": made.ciphertext}
    name = data.draw(st.sampled_from([name for name, part in parts.items() if part]))
    place = data.draw(st.integers(0, len(parts[name]) * 8 - 1))
    flipped = bytearray(parts[name])
    flipped[place // 8] ^= 1 << place % 8
    parts[name] = bytes(flipped)
    with pytest.raises(DataRejected):
        lab.decrypt(CipherParameters(mode, parts["iv"], parts["aad"], tag=parts["tag"]), parts["ciphertext"])


# -- CCM -----------------------------------------------------------------------------------------------------------


@few
@given(
    data=st.binary(max_size=70),
    aad=st.binary(max_size=40),
    nonce=st.integers(7, 13).flatmap(lambda size: st.binary(min_size=size, max_size=size)),
    tag_bits=st.sampled_from([64, 80, 96, 112, 128]),
)
def test_ccm_computes_what_cryptography_does_and_back(
    lab: CipherLab, data: bytes, aad: bytes, nonce: bytes, tag_bits: int
) -> None:
    made = lab.encrypt(CipherParameters("CCM", nonce, aad, tag_bits), data)
    expected = AESCCM(lab.material, tag_length=tag_bits // 8).encrypt(nonce, data, aad)
    assert made.ciphertext + (made.tag or b"") == expected
    assert lab.decrypt(CipherParameters("CCM", nonce, aad, tag=made.tag), made.ciphertext) == data


def test_ccm_makes_a_nonce_and_a_whole_tag_by_itself(lab: CipherLab) -> None:
    made = lab.encrypt(CipherParameters("CCM"), b"data")
    assert (len(made.iv or b""), len(made.tag or b"")) == (12, 16)


@pytest.mark.parametrize("mode", ["GCM", "CCM"])
def test_decryption_needs_iv_and_tag(lab: CipherLab, mode: str) -> None:
    made = lab.encrypt(CipherParameters(mode), b"data")
    with pytest.raises(ParameterInvalid, match="needs the iv"):
        lab.decrypt(CipherParameters(mode, tag=made.tag), made.ciphertext)
    with pytest.raises(ParameterInvalid, match="needs the tag"):
        lab.decrypt(CipherParameters(mode, made.iv), made.ciphertext)


# -- KW and KWP ----------------------------------------------------------------------------------------------------


@few
@given(data=st.binary(min_size=1, max_size=70))
def test_data_is_wrapped_with_padding_and_back(lab: CipherLab, data: bytes) -> None:
    made = lab.encrypt(CipherParameters("KWP"), data)
    assert made.ciphertext == keywrap.aes_key_wrap_with_padding(lab.material, data)
    assert lab.decrypt(CipherParameters("KWP"), made.ciphertext) == data


@few
@given(blocks=st.integers(2, 10))
def test_whole_blocks_are_wrapped_and_back(lab: CipherLab, blocks: int) -> None:
    data = os.urandom(blocks * 8)
    made = lab.encrypt(CipherParameters("KW"), data)
    assert made.ciphertext == keywrap.aes_key_wrap(lab.material, data)
    assert lab.decrypt(CipherParameters("KW"), made.ciphertext) == data


@pytest.mark.parametrize(("mode", "length"), [("KW", 0), ("KW", 8), ("KW", 17), ("KWP", 0)])
def test_what_does_not_fit_key_wrapping_is_refused(lab: CipherLab, mode: str, length: int) -> None:
    with pytest.raises(ParameterInvalid):
        lab.encrypt(CipherParameters(mode), bytes(length))


@pytest.mark.parametrize("mode", ["KW", "KWP"])
def test_what_was_not_wrapped_so_does_not_open(lab: CipherLab, mode: str) -> None:
    wrapped = lab.encrypt(CipherParameters(mode), bytes(16)).ciphertext
    for wrong in (wrapped[:-1] + bytes([wrapped[-1] ^ 1]), wrapped[:-8], wrapped[:-1], bytes(24), b""):
        with pytest.raises(DataRejected):
            lab.decrypt(CipherParameters(mode), wrong)
