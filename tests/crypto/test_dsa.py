"""DSA through the corridor, against `cryptography`."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from kms.crypto import digest as hashing
from kms.crypto.algorithm import SignatureParameters
from kms.crypto.algorithms.weierstrass import HASHES
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.crypto.registry import algorithm_of
from kms.operations.cryptographic import Sign
from kms.operations.errors import AccessDenied
from kms.operations.executor import execute
from kms.operations.lifecycle import ExportObject
from kms.operations.queries import GetObject
from kms.secret import SecretBytes
from tests.crypto.curve_lab import der, holds, public_of, signed, spki
from tests.kit.tenants import Tenant


@cache
def theirs(bits: int = 2048) -> dsa.DSAPrivateKey:
    return dsa.generate_private_key(bits)


@pytest.mark.parametrize("bits", [2048, 3072])
def test_signatures_verify_both_ways(tenant: Tenant, bits: int) -> None:
    private = theirs(bits)
    for key in (tenant.key("DSA", size=bits), tenant.imported("DSA", der(private))):
        signature = signed(tenant, key, b"data", hash="SHA256")
        public_of(tenant, key).verify(signature, b"data", hashes.SHA256())
        assert holds(tenant, key, b"data", signature, hash="SHA256")
        assert not holds(tenant, key, b"Data", signature, hash="SHA256")
        assert not holds(tenant, key, b"data", b"", hash="SHA256")
    assert holds(tenant, key, b"data", private.sign(b"data", hashes.SHA512()), hash="SHA512")


@pytest.mark.parametrize("name", HASHES)
def test_every_hash_is_signed_whole_or_truncated_to_the_subgroup(tenant: Tenant, name: str) -> None:
    key, digest = tenant.imported("DSA", der(theirs())), hashing.digest(name, b"data")
    ready = execute(tenant.app, Sign(key, SignatureParameters(name), digest=digest)).value
    theirs().public_key().verify(ready, digest, Prehashed(HASHES[name]))
    assert holds(tenant, key, b"data", ready, hash=name)


def test_a_made_key_has_a_subgroup_of_256_bits_and_stays_here(tenant: Tenant) -> None:
    key = tenant.key("DSA", size=2048)
    row = execute(tenant.app, GetObject(key)).row
    assert (row.size, row.curve, row.protection) == (2048, "256", "software")
    assert public_of(tenant, key).parameters().parameter_numbers().q.bit_length() == 256


@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        ({}, ParameterInvalid, "needs key_size"),
        ({"size": 1024}, ParameterInvalid, "2048 or 3072"),
        ({"size": 4096}, ParameterInvalid, "2048 or 3072"),
        ({"size": 3072, "curve": "224"}, ParameterInvalid, "has 256 bits"),
        ({"size": 2048, "curve": "160"}, ParameterInvalid, "has 256 bits"),
        ({"size": 2048, "curve": "224"}, AlgorithmUnsupported, "such keys are imported"),
    ],
)
def test_sizes_that_are_not_generated_are_refused(
    tenant: Tenant, fields: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        tenant.key("DSA", **fields)


def test_an_old_key_verifies_and_signs_no_more(tenant: Tenant) -> None:
    old = dsa.generate_private_key(1024)  # noqa: S505 - as old ones are
    key = tenant.imported("DSA", der(old))
    assert holds(tenant, key, b"data", old.sign(b"data", hashes.SHA1()), hash="SHA1")  # noqa: S303 - likewise
    with pytest.raises(AccessDenied):
        signed(tenant, key, b"data", hash="SHA256")
    with pytest.raises(ParameterInvalid, match="cannot have the operations sign"):
        tenant.imported("DSA", der(old), operations=["sign", "verify"])


def altered(**changes: int) -> bytes:
    numbers = theirs().public_key().public_numbers()
    domain = numbers.parameter_numbers
    values = {"p": domain.p, "q": domain.q, "g": domain.g, "y": numbers.y, **changes}
    parameters = dsa.DSAParameterNumbers(values["p"], values["q"], values["g"])
    return spki(dsa.DSAPublicNumbers(values["y"], parameters).public_key())


def test_a_key_outside_its_subgroup_is_refused() -> None:
    """Under a generator of 1, anyone signs; others leak the private key's remainders."""
    domain = theirs().public_key().public_numbers().parameter_numbers
    describe = algorithm_of("DSA").describe
    assert describe(SecretBytes(altered()), size=None, curve=None).spec.curve == "256"
    for changes in ({"y": domain.p - 1}, {"y": 1}, {"y": 2}, {"g": 2}, {"q": domain.q - 2}):
        with pytest.raises(ParameterInvalid):
            describe(SecretBytes(altered(**changes)), size=None, curve=None)


def test_a_size_that_contradicts_the_key_is_refused(tenant: Tenant) -> None:
    with pytest.raises(ParameterInvalid, match="key_size is 3072"):
        tenant.imported("DSA", der(theirs()), size=3072)
    with pytest.raises(ParameterInvalid, match="subgroup_size is 224"):
        tenant.imported("DSA", der(theirs()), curve="224")


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ({}, ParameterInvalid),
        ({"hash": "SHA256", "padding": "PSS"}, ParameterInvalid),
        ({"hash": "SHA256", "context": b"c"}, ParameterInvalid),
        ({"hash": "BLAKE2B256"}, AlgorithmUnsupported),
        ({"hash": "SHA256", "deterministic": True}, AlgorithmUnsupported),
    ],
)
def test_wrong_signature_parameters_are_refused(
    tenant: Tenant, parameters: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        signed(tenant, tenant.imported("DSA", der(theirs())), b"data", **parameters)


def test_an_exportable_key_comes_back_whole(tenant: Tenant) -> None:
    key = tenant.imported("DSA", der(theirs()), operations=["sign", "verify", "export"])
    assert execute(tenant.app, ExportObject(key)).value.reveal() == der(theirs())
