"""Project Wycheproof's corner cases (data/SOURCES.md): the valid ones work, the others are refused in our own words."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kms.crypto.algorithm import CipherParameters, SignatureParameters
from kms.crypto.algorithms.aes import GCM_IV
from kms.crypto.algorithms.hmac import MIN_BITS
from kms.crypto.errors import ParameterInvalid
from kms.hsm.errors import DataRejected
from tests.kit.tenants import Tenant
from tests.vectors.corridor import REFUSED, Lab

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="module")
def lab(tenant: Tenant) -> Lab:
    return Lab(tenant)


def groups(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((DATA / f"{name}_test.json").read_text())["testGroups"]
    return found


def vectors(name: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Every vector of a file with its group."""
    for group in groups(name):
        for vector in group["tests"]:
            yield group, vector


def raw(vector: dict[str, Any], field: str) -> bytes:
    return bytes.fromhex(vector[field])


def test_the_files_are_the_published_ones() -> None:
    listed = dict(re.findall(r"^\| `(\S+)` \| `([0-9a-f]{64})` \|$", (DATA / "SOURCES.md").read_text(), re.M))
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in DATA.glob("*.json")}
    assert found == listed


def test_aes_gcm(lab: Lab) -> None:
    for _, vector in vectors("aes_gcm"):
        what = f"tcId {vector['tcId']}: {vector['comment']}"
        key, iv, aad = lab.key("AES", raw(vector, "key")), raw(vector, "iv"), raw(vector, "aad")
        message, sealed, tag = raw(vector, "msg"), raw(vector, "ct"), raw(vector, "tag")
        opening = CipherParameters("GCM", iv, aad, tag=tag)
        if len(iv) != GCM_IV:
            with pytest.raises(ParameterInvalid, match="12 bytes"):
                lab.encrypt(key, message, CipherParameters("GCM", iv, aad))
            with pytest.raises(ParameterInvalid, match="12 bytes"):
                lab.decrypt(key, sealed, opening)
        elif vector["result"] == "valid":
            made = lab.encrypt(key, message, CipherParameters("GCM", iv, aad, len(tag) * 8))
            assert (made.ciphertext, made.tag, made.iv) == (sealed, tag, iv), what
            assert lab.decrypt(key, sealed, opening) == message, what
        else:
            with pytest.raises(DataRejected):
                lab.decrypt(key, sealed, opening)


def test_aes_cbc_with_padding(lab: Lab) -> None:
    for _, vector in vectors("aes_cbc_pkcs5"):
        what = f"tcId {vector['tcId']}: {vector['comment']}"
        key, parameters = lab.key("AES", raw(vector, "key")), CipherParameters("CBC", raw(vector, "iv"))
        if vector["result"] == "valid":
            assert lab.encrypt(key, raw(vector, "msg"), parameters).ciphertext == raw(vector, "ct"), what
            assert lab.decrypt(key, raw(vector, "ct"), parameters) == raw(vector, "msg"), what
        else:
            with pytest.raises((DataRejected, ParameterInvalid)):
                lab.decrypt(key, raw(vector, "ct"), parameters)


@pytest.mark.parametrize(("name", "mode"), [("aes_wrap", "KW"), ("aes_kwp", "KWP")])
def test_aes_key_wrap(lab: Lab, name: str, mode: str) -> None:
    """Wrapping goes over an object that holds the message, so an empty message has nothing to be wrapped from."""
    for _, vector in vectors(name):
        what = f"tcId {vector['tcId']}: {vector['comment']}"
        key, message, wrapped = lab.key("AES", raw(vector, "key")), raw(vector, "msg"), raw(vector, "ct")
        if vector["result"] == "valid" and message:
            assert lab.wrap(key, mode, message) == wrapped, what
            assert lab.unwrap(key, mode, wrapped) == message, what
        elif vector["result"] != "acceptable":
            with pytest.raises(REFUSED):
                lab.unwrap(key, mode, wrapped)


@pytest.mark.parametrize("hash_name", ["SHA1", "SHA224", "SHA256", "SHA384", "SHA512"])
def test_hmac(lab: Lab, hash_name: str) -> None:
    """Only whole MACs hold: a truncated one would be a weaker promise than the caller asked for."""
    for group, vector in vectors(f"hmac_{hash_name.lower()}"):
        what = f"tcId {vector['tcId']}: {vector['comment']}"
        material, message, tag = raw(vector, "key"), raw(vector, "msg"), raw(vector, "tag")
        if len(material) * 8 < MIN_BITS:
            with pytest.raises(ParameterInvalid, match="an HMAC key has"):
                lab.key("HMAC", material)
            continue
        key = lab.key("HMAC", material)
        whole = group["tagSize"] == len(lab.mac(key, hash_name, b"")) * 8
        if vector["result"] == "valid":
            assert lab.mac(key, hash_name, message)[: len(tag)] == tag, what
        assert lab.mac_holds(key, hash_name, message, tag) is (whole and vector["result"] == "valid"), what


@pytest.mark.parametrize(
    ("name", "kind", "parameters"),
    [
        ("ecdsa_secp256r1_sha256", "EC", SignatureParameters("SHA256")),
        ("rsa_signature_2048_sha256", "RSA", SignatureParameters("SHA256", "PKCS1_V15")),
        ("rsa_pss_2048_sha256_mgf1_32", "RSA", SignatureParameters("SHA256", "PSS", "SHA256")),
    ],
)
def test_signatures(lab: Lab, name: str, kind: str, parameters: SignatureParameters) -> None:
    for group, vector in vectors(name):
        key = lab.key(kind, bytes.fromhex(group["publicKeyDer"]))
        held = lab.holds(key, parameters, raw(vector, "msg"), raw(vector, "sig"))
        if vector["result"] != "acceptable":
            assert held is (vector["result"] == "valid"), f"tcId {vector['tcId']}: {vector['comment']}"
