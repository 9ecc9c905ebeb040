"""HKDF against RFC 5869's vectors, with keys that the process holds and with one that only hashes itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cryptography_vectors
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from kms.crypto import digest as hashing
from kms.crypto import kdf
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.hsm.errors import MechanismRefused
from kms.secret import SecretBytes

ORACLES: dict[str, Any] = {
    "SHA1": hashes.SHA1,
    "SHA224": hashes.SHA224,
    "SHA256": hashes.SHA256,
    "SHA384": hashes.SHA384,
    "SHA512": hashes.SHA512,
    "SHA3_256": hashes.SHA3_256,
    "SHA3_512": hashes.SHA3_512,
}
TOKEN_HASHES = ["SHA1", "SHA224", "SHA256", "SHA384", "SHA512"]


class SelfHashing:
    """What a key in the token offers of its value: nothing but hashes of it."""

    def __init__(self, value: bytes) -> None:
        self._bytes = value

    def digest(self, hash_name: str, prefix: bytes = b"") -> bytes:
        return hashing.digest(hash_name, prefix + self._bytes)


class Padded:
    def digest(self, hash_name: str, prefix: bytes = b"") -> bytes:
        raise MechanismRefused("the token holds this key padded")


def published() -> Iterator[Any]:
    for name, hash_name in (("rfc-5869-HKDF-SHA1.txt", "SHA1"), ("rfc-5869-HKDF-SHA256.txt", "SHA256")):
        with cryptography_vectors.open_vector_file(f"KDF/{name}", "r") as lines:
            fields: dict[str, str] = {}
            for line in lines:
                field, equals, value = (part.strip() for part in line.partition("="))
                if equals:
                    fields[field] = value
                if field == "OKM":
                    yield pytest.param(hash_name, fields, id=f"{hash_name}-{fields['COUNT']}")
                    fields = {}


@pytest.mark.parametrize(("hash_name", "vector"), list(published()))
def test_the_published_vectors_come_out(hash_name: str, vector: dict[str, str]) -> None:
    ikm, salt, info = (bytes.fromhex(vector.get(name, "")) for name in ("IKM", "salt", "info"))
    for prk in (
        kdf.extract(hash_name, salt, SecretBytes(ikm)),
        kdf.extract_inside(hash_name, salt, SelfHashing(ikm)),
    ):
        assert prk.reveal().hex() == vector["PRK"]
        assert kdf.expand(hash_name, prk, info, int(vector["L"])).reveal().hex() == vector["OKM"]


def test_there_are_seven_of_them() -> None:
    assert len(list(published())) == 7


@given(
    st.sampled_from(list(ORACLES)), st.binary(max_size=300), st.binary(max_size=40), st.binary(min_size=1), st.data()
)
def test_it_agrees_with_another_implementation(hash_name: str, salt: bytes, info: bytes, ikm: bytes, data: Any) -> None:
    size = hashing.digest_size(hash_name)
    length = data.draw(st.one_of(st.integers(1, 4 * size), st.just(255 * size)))
    expected = HKDF(ORACLES[hash_name](), length, salt, info).derive(ikm)
    prk = kdf.extract(hash_name, salt, SecretBytes(ikm))
    assert kdf.expand(hash_name, prk, info, length).reveal() == expected


@given(st.sampled_from(TOKEN_HASHES), st.binary(max_size=300), st.binary(min_size=1))
def test_a_key_that_only_hashes_itself_gives_the_same(hash_name: str, salt: bytes, ikm: bytes) -> None:
    assert kdf.extract_inside(hash_name, salt, SelfHashing(ikm)) == kdf.extract(hash_name, salt, SecretBytes(ikm))


@pytest.mark.parametrize("hash_name", [name for name in hashing.HASHES if name not in ORACLES])
def test_every_hash_of_the_server_works(hash_name: str) -> None:
    prk = kdf.extract(hash_name, b"salt", SecretBytes(b"key"))
    assert len(prk) == hashing.digest_size(hash_name)
    assert len(kdf.expand(hash_name, prk, b"", 100)) == 100


def test_hashes_that_the_token_lacks_are_refused_for_keys_that_stay_there() -> None:
    with pytest.raises(AlgorithmUnsupported, match="stays there"):
        kdf.extract_inside("SHA3_256", b"", SelfHashing(b"key"))
    with pytest.raises(AlgorithmUnsupported, match="STREEBOG256"):
        kdf.extract_inside("STREEBOG256", b"", SelfHashing(b"key"))


def test_keys_that_the_token_holds_padded_are_refused_with_the_way_out() -> None:
    with pytest.raises(AlgorithmUnsupported, match="512 bits or more"):
        kdf.extract_inside("SHA256", b"", Padded())


@pytest.mark.parametrize("length", [0, 255 * 32 + 1])
def test_what_hkdf_cannot_give_is_refused(length: int) -> None:
    with pytest.raises(ParameterInvalid, match="8 to 65280 bits"):
        kdf.expand("SHA256", SecretBytes(bytes(32)), b"", length)


@given(st.binary(min_size=24, max_size=24))
def test_parity_is_odd_and_changes_nothing_else(value: bytes) -> None:
    adjusted = kdf.with_odd_parity(SecretBytes(value)).reveal()
    assert all(byte.bit_count() % 2 for byte in adjusted)
    assert [byte & 0xFE for byte in adjusted] == [byte & 0xFE for byte in value]
