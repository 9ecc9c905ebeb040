"""HMAC with every hash: in the token where it has it, else over material that may leave it for the call."""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import Any

import pytest

from kms.crypto import digest as hashing
from kms.crypto.algorithms.hmac import TOKEN_HASHES
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.operations.command import ObjectRef
from kms.operations.cryptographic import GenerateMac, VerifyMac
from kms.operations.executor import execute
from tests.kit.tenants import Tenant, new_tenant

OTHERS = [name for name in hashing.HASHES if name not in TOKEN_HASHES]
MATERIAL = os.urandom(40)
ORACLE: dict[str, Any] = {
    "SHA3_224": hashlib.sha3_224,
    "SHA3_256": hashlib.sha3_256,
    "SHA3_384": hashlib.sha3_384,
    "SHA3_512": hashlib.sha3_512,
    "BLAKE2B256": lambda data=b"": hashlib.blake2b(data, digest_size=32),
    "BLAKE2B384": lambda data=b"": hashlib.blake2b(data, digest_size=48),
    "BLAKE2B512": hashlib.blake2b,
    "BLAKE2S256": hashlib.blake2s,
    "RIPEMD160": "ripemd160",
}


@pytest.fixture(scope="module")
def owner(installation: None) -> Tenant:
    return new_tenant()


@pytest.fixture(scope="module")
def exportable(owner: Tenant) -> ObjectRef:
    return owner.imported("HMAC", MATERIAL, operations=["mac-generate", "mac-verify", "export"])


@pytest.mark.parametrize("name", hashing.HASHES)
def test_a_key_that_may_leave_the_token_macs_with_every_hash(owner: Tenant, exportable: ObjectRef, name: str) -> None:
    oracle = ORACLE.get(name, name.lower())
    mac = execute(owner.app, GenerateMac(exportable, name, b"data")).value
    assert mac == hmac.new(MATERIAL, b"data", oracle).digest()
    assert execute(owner.app, VerifyMac(exportable, name, b"data", mac)).value is True
    assert execute(owner.app, VerifyMac(exportable, name, b"date", mac)).value is False


@pytest.mark.parametrize("name", OTHERS)
def test_a_key_that_stays_in_the_token_says_what_it_lacks(owner: Tenant, name: str) -> None:
    key = owner.imported("HMAC", MATERIAL)
    with pytest.raises(AlgorithmUnsupported, match="outside the cryptographic module"):
        execute(owner.app, GenerateMac(key, name, b"data"))


@pytest.mark.parametrize("name", ["MD5", "", "sha256", "STREEBOG256", "SSL3"])
def test_hashes_that_nobody_knows_are_refused(owner: Tenant, exportable: ObjectRef, name: str) -> None:
    for key in (exportable, owner.imported("HMAC", MATERIAL)):
        with pytest.raises(AlgorithmUnsupported, match="not supported"):
            execute(owner.app, GenerateMac(key, name, b"data"))


def test_a_hash_is_needed(owner: Tenant, exportable: ObjectRef) -> None:
    with pytest.raises(ParameterInvalid, match="alg is needed"):
        execute(owner.app, GenerateMac(exportable, None, b"data"))
