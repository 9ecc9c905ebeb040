"""RSA's encryption paddings come off as `cryptography` and OpenSSL take them off."""

from __future__ import annotations

import hashlib
from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from kms.crypto import rsa_padding
from kms.crypto.algorithms.rsa import HASHES

WIDTHS = (1024, 2048, 3072)
# The oracle's private key operations are Python's own.
few = settings(max_examples=15, deadline=None)
PS = b"\1" * 8


@cache
def key(bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def raw(bits: int, ciphertext: bytes) -> bytes:
    numbers = key(bits).private_numbers()
    plain = pow(int.from_bytes(ciphertext, "big"), numbers.d, numbers.public_numbers.n)
    return plain.to_bytes(bits // 8, "big")


def enciphered(bits: int, encoded: bytes) -> bytes:
    numbers = key(bits).public_key().public_numbers()
    return pow(int.from_bytes(encoded, "big"), numbers.e, numbers.n).to_bytes(bits // 8, "big")


def openssl_secret(bits: int) -> bytes:
    """What the draft and OpenSSL take: the hash of the private exponent, as wide as the modulus."""
    return hashlib.sha256(key(bits).private_numbers().d.to_bytes(bits // 8, "big")).digest()


def malformed(width: int) -> dict[str, bytes]:
    def filled(start: bytes) -> bytes:
        return start + b"x" * (width - len(start))

    return {
        "a first byte that is not zero": filled(b"\1\2" + PS + b"\0"),
        "a signature's block type": filled(b"\0\1" + PS + b"\0"),
        "block type zero": filled(b"\0\0" + PS + b"\0"),
        "no separator": filled(b"\0\2" + PS),
        "a padding string of seven bytes": filled(b"\0\2" + PS[:7] + b"\0"),
        "no padding string": filled(b"\0\2\0"),
        "zeros": bytes(width),
    }


@pytest.mark.parametrize("bits", WIDTHS)
@pytest.mark.parametrize("what", malformed(128))
def test_a_malformed_padding_yields_what_openssl_makes_up(bits: int, what: str) -> None:
    ciphertext = enciphered(bits, malformed(bits // 8)[what])
    made_up = rsa_padding.open_pkcs1_v15(raw(bits, ciphertext), ciphertext, openssl_secret(bits))
    assert made_up == key(bits).decrypt(ciphertext, padding.PKCS1v15())


@pytest.mark.parametrize("bits", WIDTHS)
@few
@given(seed=st.binary(min_size=8, max_size=8))
def test_any_ciphertext_yields_what_openssl_yields(bits: int, seed: bytes) -> None:
    ciphertext = b"\0" + rsa_padding.mgf1("SHA256", seed, bits // 8 - 1)
    opened = rsa_padding.open_pkcs1_v15(raw(bits, ciphertext), ciphertext, openssl_secret(bits))
    assert opened == key(bits).decrypt(ciphertext, padding.PKCS1v15())


@pytest.mark.parametrize("bits", WIDTHS)
@few
@given(data=st.data())
def test_a_well_formed_padding_yields_its_message(bits: int, data: st.DataObject) -> None:
    room = rsa_padding.pkcs1_v15_room(bits // 8)
    message = data.draw(st.binary(max_size=room) | st.binary(min_size=room, max_size=room))
    ciphertext = key(bits).public_key().encrypt(message, padding.PKCS1v15())
    assert rsa_padding.open_pkcs1_v15(raw(bits, ciphertext), ciphertext, b"any secret") == message


def test_what_is_said_to_be_malformed_is_made_up() -> None:
    ciphertext = key(1024).public_key().encrypt(b"message", padding.PKCS1v15())
    encoded, secret = raw(1024, ciphertext), openssl_secret(1024)
    assert rsa_padding.open_pkcs1_v15(encoded, ciphertext, secret) == b"message"
    assert rsa_padding.open_pkcs1_v15(encoded, ciphertext, secret, malformed=1) != b"message"


def test_lengths_that_are_made_up_are_spread_over_all_that_fit() -> None:
    """With a few lengths only, or a bias, one could tell made-up messages from real ones."""
    lengths = [
        len(rsa_padding.open_pkcs1_v15(bytes(128), number.to_bytes(128, "big"), b"secret")) for number in range(4000)
    ]
    room = rsa_padding.pkcs1_v15_room(128)
    assert max(lengths) <= room
    assert len(set(lengths)) == room + 1
    for low in range(0, room, 39):  # thirds
        share = sum(low <= length < low + 39 for length in lengths) / len(lengths)
        assert 0.29 < share < 0.38


@pytest.mark.parametrize("name", HASHES)
@pytest.mark.parametrize("bits", WIDTHS)
@few
@given(data=st.data())
def test_oaep_yields_its_message(bits: int, name: str, data: st.DataObject) -> None:
    room = rsa_padding.oaep_room(bits // 8, name)
    if room < 0:
        return
    message = data.draw(st.binary(max_size=room) | st.binary(min_size=room, max_size=room))
    label = data.draw(st.binary(max_size=40))
    scheme = padding.OAEP(padding.MGF1(HASHES[name]), HASHES[name], label)
    encoded = raw(bits, key(bits).public_key().encrypt(message, scheme))
    assert rsa_padding.open_oaep(encoded, name, label) == message
    assert rsa_padding.open_oaep(encoded, name, label + b"!") is None


def oaep_encoded(db: bytes, *, first: int = 0) -> bytes:
    """EME-OAEP encoding of a data block that need not be right (RFC 8017 §7.1.1 step 2)."""
    seed = bytes(range(20))
    mask = rsa_padding.mgf1("SHA1", seed, len(db))
    masked_db = bytes(a ^ b for a, b in zip(db, mask, strict=True))
    masked_seed = bytes(a ^ b for a, b in zip(seed, rsa_padding.mgf1("SHA1", masked_db, 20), strict=True))
    return bytes([first]) + masked_seed + masked_db


def test_every_flaw_of_an_oaep_block_is_found() -> None:
    empty = hashlib.sha1(b"", usedforsecurity=False).digest()
    good = empty + bytes(60) + b"\1" + b"m" * 26
    assert rsa_padding.open_oaep(oaep_encoded(good), "SHA1", b"") == b"m" * 26
    assert rsa_padding.open_oaep(oaep_encoded(empty + bytes(86) + b"\1"), "SHA1", b"") == b""
    wrong = {
        "first byte": oaep_encoded(good, first=1),
        "label": oaep_encoded(bytes(20) + good[20:]),
        "no separator": oaep_encoded(empty + bytes(87)),
        "another byte than zero before the separator": oaep_encoded(empty + bytes(59) + b"\2\1" + b"m" * 26),
        "all of it": bytes(128),
    }
    for encoded in wrong.values():
        assert rsa_padding.open_oaep(encoded, "SHA1", b"") is None
