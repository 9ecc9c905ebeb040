"""GHASH in pieces, joined with GCTR, is the GCM that everybody else computes."""

from __future__ import annotations

import itertools

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import GCM
from hypothesis import given
from hypothesis import strategies as st

from kms.crypto import block_chain, ghash
from kms.crypto.block_modes import xor
from kms.crypto.errors import ParameterInvalid
from kms.crypto.ghash import GhashState
from tests.crypto.local_cipher import aes
from tests.vectors.nist import sample, vectors

pieces = st.lists(st.binary(max_size=40), max_size=6)


def gcm_in_parts(key: bytes, iv: bytes, aad: list[bytes], plaintext: list[bytes]) -> tuple[bytes, bytes]:
    """As multi-part encryption does it, with the hash state packed and unpacked between all pieces."""
    cipher = aes(key)
    subkey = cipher.ecb(bytes(16))
    chain = block_chain.begin("GCTR", encrypting=True, block=16, iv=ghash.gcm_j0(subkey, iv))
    # The first block of GCTR belongs to the tag.
    for_tag, chain = block_chain.advance(cipher, chain, bytes(16))
    packed = ghash.begin(subkey).to_bytes()
    for piece in aad:
        packed = ghash.absorb_aad(GhashState.from_bytes(packed), piece).to_bytes()
    ciphertext = b""
    for piece in plaintext:
        part, chain = block_chain.advance(cipher, chain, piece)
        packed = ghash.absorb(GhashState.from_bytes(packed), part).to_bytes()
        ciphertext += part
    return ciphertext, xor(ghash.digest(GhashState.from_bytes(packed)), for_tag)


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=8, max_size=40), pieces, pieces)
def test_gcm_in_parts_agrees_with_an_independent_implementation(
    key: bytes, iv: bytes, aad: list[bytes], plaintext: list[bytes]
) -> None:
    encryptor = Cipher(AES(key), GCM(iv)).encryptor()
    encryptor.authenticate_additional_data(b"".join(aad))
    ciphertext = encryptor.update(b"".join(plaintext)) + encryptor.finalize()
    assert gcm_in_parts(key, iv, aad, plaintext) == (ciphertext, encryptor.tag)


@pytest.mark.parametrize("size", [128, 192, 256])
def test_gcm_in_parts_answers_as_nist_published(size: int) -> None:
    ivs = set()
    for vector in sample(vectors(f"ciphers/AES/GCM/gcmEncryptExtIV{size}.rsp"), 2):
        made, tag = gcm_in_parts(vector.raw("Key"), vector.raw("IV"), [vector.raw("AAD")], [vector.raw("PT")])
        assert made == vector.raw("CT")
        assert tag.startswith(vector.raw("Tag"))
        ivs.add(len(vector.raw("IV")))
    assert ivs > {1, 12}


# RFC 8452 appendix A and the GCM specification's test case 2 give the hash itself.
def test_the_hash_of_a_published_example() -> None:
    state = ghash.begin(bytes.fromhex("66e94bd4ef8a2c3b884cfa59ca342b2e"))
    state = ghash.absorb(state, bytes.fromhex("0388dace60b6a392f328c2b971b2fe78"))
    assert ghash.digest(state).hex() == "f38cbb1ad69223dcc3457ae5b6b0f885"


@given(st.binary(min_size=16, max_size=16), pieces, pieces)
def test_where_the_pieces_are_cut_does_not_matter(subkey: bytes, aad: list[bytes], data: list[bytes]) -> None:
    whole = ghash.absorb(ghash.absorb_aad(ghash.begin(subkey), b"".join(aad)), b"".join(data))
    cut = ghash.begin(subkey)
    for piece in aad:
        cut = ghash.absorb_aad(cut, piece)
    for piece in data:
        cut = ghash.absorb(cut, piece)
    assert cut == whole
    assert GhashState.from_bytes(cut.to_bytes()) == cut


def test_additional_data_and_data_are_told_apart() -> None:
    start = ghash.begin(b"\x42" * 16)
    splits = [
        ghash.digest(ghash.absorb(ghash.absorb_aad(start, bytes(cut)), bytes(32 - cut))) for cut in (0, 1, 16, 17, 32)
    ]
    assert len(set(splits)) == len(splits)


@given(st.binary(max_size=40))
def test_an_iv_of_12_bytes_is_its_own_first_counter(iv: bytes) -> None:
    if len(iv) == 12:
        assert ghash.gcm_j0(bytes(16), iv) == iv + b"\0\0\0\1"
    elif iv:
        assert len(ghash.gcm_j0(b"\x42" * 16, iv)) == 16


# -- refusals ------------------------------------------------------------------------------------------------------


def test_additional_data_after_the_ciphertext_is_refused() -> None:
    state = ghash.absorb(ghash.begin(bytes(16)), b"x")
    with pytest.raises(ParameterInvalid, match="before the ciphertext"):
        ghash.absorb_aad(state, b"late")
    assert ghash.absorb_aad(state, b"") == state


def test_lengths_that_gcm_does_not_allow_are_refused() -> None:
    with pytest.raises(ParameterInvalid, match="at most 68719476704 bytes"):
        ghash.absorb(GhashState(bytes(16), data_length=ghash.MAX_DATA), b"x")
    with pytest.raises(ParameterInvalid, match="additional data"):
        ghash.absorb_aad(GhashState(bytes(16), aad_length=ghash.MAX_AAD), b"x")
    with pytest.raises(ParameterInvalid, match="at least 1 byte"):
        ghash.gcm_j0(bytes(16), b"")
    with pytest.raises(ParameterInvalid, match="16 bytes, not 15"):
        ghash.begin(bytes(15))


def test_bytes_that_are_no_state_are_refused() -> None:
    packed = ghash.absorb(ghash.begin(bytes(16)), b"abc").to_bytes()
    rubbish = [packed[:-1], packed + b"x", b"", packed[:48], packed[:48] + bytes([16]) + bytes(16)]
    for wrong in rubbish:
        with pytest.raises(ParameterInvalid, match="not a GHASH state"):
            GhashState.from_bytes(wrong)


def test_a_state_does_not_show_what_forges_tags() -> None:
    state = ghash.absorb(ghash.begin(b"\x42" * 16), b"pending")
    shown = repr(state)
    assert not any(str(value) in shown for value in itertools.chain((state.subkey, state.y, state.pending)))
