"""ML-DSA through the corridor, against `cryptography` and FIPS 204."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import mldsa

from kms.crypto import digest as hashing
from kms.crypto.algorithm import SignatureParameters
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.operations.command import ObjectRef
from kms.operations.cryptographic import Sign, Verify
from kms.operations.errors import AccessDenied
from kms.operations.executor import execute
from kms.operations.lifecycle import ExportObject
from kms.operations.queries import GetObject
from tests.crypto.curve_lab import der, holds, public_of, signed, spki
from tests.kit.tenants import Tenant

THEIRS: dict[str, Any] = {
    "MlDsa44": mldsa.MLDSA44PrivateKey,
    "MlDsa65": mldsa.MLDSA65PrivateKey,
    "MlDsa87": mldsa.MLDSA87PrivateKey,
}
every = pytest.mark.parametrize("name", THEIRS)
# The hashes that are strong enough for each (FIPS 204 §5.4), and the ends of their object identifiers.
ARCS = {"SHA256": 1, "SHA384": 2, "SHA512": 3, "SHA3_256": 8, "SHA3_384": 9, "SHA3_512": 10}
PREHASHES = {
    "MlDsa44": ["SHA256", "SHA384", "SHA512", "SHA3_256", "SHA3_384", "SHA3_512"],
    "MlDsa65": ["SHA384", "SHA512", "SHA3_384", "SHA3_512"],
    "MlDsa87": ["SHA512", "SHA3_512"],
}


def representative(public: Any, formatted: bytes) -> bytes:
    """mu (FIPS 204 algorithm 7, step 6)."""
    return hashlib.shake_256(hashlib.shake_256(public.public_bytes_raw()).digest(64) + formatted).digest(64)


# -- pure ----------------------------------------------------------------------------------------------------------


@every
@pytest.mark.parametrize("context", [None, b"", b"a context", bytes(255)])
def test_signatures_verify_both_ways(tenant: Tenant, name: str, context: bytes | None) -> None:
    private = THEIRS[name].generate()
    for key in (tenant.key("MLDSA", curve=name), tenant.imported("MLDSA", der(private))):
        signature = signed(tenant, key, b"data", context=context)
        public_of(tenant, key).verify(signature, b"data", context)
        assert holds(tenant, key, b"data", signature, context=context, variant="PURE")
        assert not holds(tenant, key, b"Data", signature, context=context)
        assert not holds(tenant, key, b"data", signature, context=b"another")
        assert not holds(tenant, key, b"data", signature[:-1], context=context)
    assert holds(tenant, key, b"data", private.sign(b"data", context), context=context)
    assert holds(tenant, tenant.imported("MLDSA", spki(private)), b"data", private.sign(b"data"))


@every
def test_signatures_are_hedged(tenant: Tenant, name: str) -> None:
    key = tenant.key("MLDSA", curve=name)
    assert signed(tenant, key, b"data") != signed(tenant, key, b"data")
    with pytest.raises(AlgorithmUnsupported, match="fresh randomness"):
        signed(tenant, key, b"data", deterministic=True)


# -- over a hash ---------------------------------------------------------------------------------------------------


@every
@pytest.mark.parametrize("context", [None, b"a context"])
def test_a_hashed_message_is_signed_as_the_standard_has_it(tenant: Tenant, name: str, context: bytes | None) -> None:
    key = tenant.key("MLDSA", curve=name)
    public = public_of(tenant, key)
    for hash_name in PREHASHES[name]:
        digest = hashing.digest(hash_name, b"data")
        identifier = bytes.fromhex("06096086480165030402") + bytes([ARCS[hash_name]])
        formatted = bytes([1, len(context or b"")]) + (context or b"") + identifier + digest
        parameters = SignatureParameters(hash_name, variant="PRE_HASH", context=context)
        ready = execute(tenant.app, Sign(key, parameters, digest=digest)).value
        public.verify_mu(ready, representative(public, formatted))
        hashed_here = execute(tenant.app, Sign(key, parameters, data=b"data")).value
        assert execute(tenant.app, Verify(key, parameters, hashed_here, digest=digest)).value is True
        pure = SignatureParameters(context=context)
        assert execute(tenant.app, Verify(key, pure, hashed_here, data=digest)).value is False


@every
def test_a_hash_that_is_weaker_than_the_signature_is_refused(tenant: Tenant, name: str) -> None:
    key = tenant.key("MLDSA", curve=name)
    for hash_name in ("SHA1", "SHA224", "SHA3_224", "BLAKE2B512", *(ARCS.keys() - set(PREHASHES[name]))):
        with pytest.raises(AlgorithmUnsupported, match=f"hashed by {hash_name}"):
            signed(tenant, key, b"data", variant="PRE_HASH", hash=hash_name)
    with pytest.raises(ParameterInvalid, match="hash_alg is needed"):
        signed(tenant, key, b"data", variant="PRE_HASH")


# -- over a message representative ---------------------------------------------------------------------------------


@every
def test_an_external_representative_signs_the_pure_message(tenant: Tenant, name: str) -> None:
    key = tenant.key("MLDSA", curve=name)
    public = public_of(tenant, key)
    mu = representative(public, b"\0\1cdata")
    parameters = SignatureParameters(variant="EXTERNAL_MU")
    for message in ({"digest": mu}, {"data": mu}):
        signature = execute(tenant.app, Sign(key, parameters, **message)).value
        public.verify(signature, b"data", b"c")
        assert execute(tenant.app, Verify(key, parameters, signature, **message)).value is True
        assert holds(tenant, key, b"data", signature, context=b"c")
    other = {"digest": bytes(64)}
    assert execute(tenant.app, Verify(key, parameters, signature, **other)).value is False


@pytest.mark.parametrize(
    ("message", "context"),
    [
        ({"digest": bytes(63)}, None),
        ({"data": bytes(65)}, None),
        ({"digest": bytes(64), "data": bytes(64)}, None),
        ({}, None),
        ({"digest": bytes(64)}, b""),
    ],
)
def test_what_is_no_representative_is_refused(tenant: Tenant, message: dict[str, bytes], context: bytes | None) -> None:
    key = tenant.key("MLDSA", curve="MlDsa44")
    with pytest.raises(ParameterInvalid):
        execute(tenant.app, Sign(key, SignatureParameters(variant="EXTERNAL_MU", context=context), **message))


# -- parameters and keys -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parameters",
    [
        {"context": bytes(256)},
        {"hash": "SHA512"},
        {"hash": "SHA512", "variant": "EXTERNAL_MU"},
        {"variant": "OTHER"},
        {"padding": "PSS"},
    ],
)
def test_wrong_signature_parameters_are_refused(tenant: Tenant, parameters: dict[str, Any]) -> None:
    key = tenant.key("MLDSA", curve="MlDsa44")
    with pytest.raises(ParameterInvalid):
        signed(tenant, key, b"data", **parameters)
    with pytest.raises(ParameterInvalid):
        holds(tenant, key, b"data", bytes(2420), **parameters)


def test_a_pure_signature_is_over_data(tenant: Tenant) -> None:
    key = tenant.key("MLDSA", curve="MlDsa44")
    with pytest.raises(ParameterInvalid, match="signs data, not a hash"):
        execute(tenant.app, Sign(key, SignatureParameters(), digest=bytes(64)))


@every
def test_a_key_has_a_parameter_set_and_no_size(tenant: Tenant, name: str) -> None:
    row = execute(tenant.app, GetObject(tenant.key("MLDSA", curve=name))).row
    assert (row.curve, row.protection, row.operations) == (name, "software", ["app-manageable", "sign", "verify"])
    material = der(THEIRS[name].generate())
    with pytest.raises(ParameterInvalid, match="not a key_size"):
        tenant.imported("MLDSA", material, size=256)
    with pytest.raises(ParameterInvalid, match=f"but the key's is {name}"):
        tenant.imported("MLDSA", material, curve=next(other for other in THEIRS if other != name))


def test_other_parameter_sets_are_refused(tenant: Tenant) -> None:
    with pytest.raises(AlgorithmUnsupported, match="MlKem768 is no parameter set"):
        tenant.key("MLDSA", curve="MlKem768")


@every
def test_keys_are_exported_and_public_ones_sign_nothing(tenant: Tenant, name: str) -> None:
    private = THEIRS[name].generate()
    key: ObjectRef = tenant.imported("MLDSA", der(private), operations=["sign", "export"])
    assert execute(tenant.app, ExportObject(key)).value.reveal() == der(private)
    with pytest.raises(AccessDenied):
        signed(tenant, tenant.imported("MLDSA", spki(private)), b"data")
