"""Ed25519 and Ed448 through the corridor, against `cryptography`."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kms.crypto.algorithm import SignatureParameters
from kms.crypto.asymmetric import traditional_der
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.crypto.registry import algorithm_of
from kms.operations.cryptographic import Sign
from kms.operations.executor import execute
from kms.operations.lifecycle import ExportObject
from kms.operations.queries import GetObject
from kms.secret import SecretBytes
from tests.crypto.curve_lab import der, holds, opened, public_of, signed, spki
from tests.kit.tenants import Tenant

THEIRS: dict[str, Any] = {"Ed25519": Ed25519PrivateKey, "Ed448": Ed448PrivateKey}
every = pytest.mark.parametrize("curve", THEIRS)


@every
def test_signatures_verify_both_ways(tenant: Tenant, curve: str) -> None:
    private = THEIRS[curve].generate()
    for key in (tenant.key("EC", curve=curve), tenant.imported("EC", der(private))):
        signature = signed(tenant, key, b"data")
        public_of(tenant, key).verify(signature, b"data")
        assert holds(tenant, key, b"data", signature)
        assert not holds(tenant, key, b"Data", signature)
        assert not holds(tenant, key, b"data", signature[:-1])
        assert not holds(tenant, key, b"data", b"")
    assert signed(tenant, key, b"data") == private.sign(b"data")
    assert holds(tenant, tenant.imported("EC", spki(private)), b"data", private.sign(b"data"))


@every
@pytest.mark.parametrize("deterministic", [None, True, False])
def test_signatures_are_deterministic_whatever_is_asked_for(
    tenant: Tenant, curve: str, deterministic: bool | None
) -> None:
    key = tenant.key("EC", curve=curve)
    assert len({signed(tenant, key, b"data", deterministic=deterministic) for _ in range(3)}) == 1


@every
def test_an_empty_message_is_a_message(tenant: Tenant, curve: str) -> None:
    key = tenant.key("EC", curve=curve)
    assert holds(tenant, key, b"", signed(tenant, key, b""))


@every
def test_a_hash_is_not_signed(tenant: Tenant, curve: str) -> None:
    """It would be another message than the one that was hashed."""
    key = tenant.key("EC", curve=curve)
    with pytest.raises(ParameterInvalid, match="signs data, not a hash"):
        execute(tenant.app, Sign(key, SignatureParameters(), digest=bytes(64)))


def test_the_hash_that_the_scheme_has_inside_may_be_named(tenant: Tenant) -> None:
    """Older clients cannot leave hash_alg out."""
    key = tenant.key("EC", curve="Ed25519")
    assert signed(tenant, key, b"data", hash="SHA512") == signed(tenant, key, b"data")


@pytest.mark.parametrize(("curve", "name"), [("Ed25519", "SHA256"), ("Ed448", "SHA512"), ("Ed448", "SHA3_512")])
def test_any_other_hash_is_refused(tenant: Tenant, curve: str, name: str) -> None:
    key = tenant.key("EC", curve=curve)
    with pytest.raises(ParameterInvalid, match="hashes the data itself"):
        signed(tenant, key, b"data", hash=name)
    with pytest.raises(ParameterInvalid, match="hashes the data itself"):
        holds(tenant, key, b"data", b"", hash=name)


@every
@pytest.mark.parametrize("extra", [{"padding": "PSS"}, {"variant": "PURE"}, {"context": b"here"}])
def test_parameters_of_other_schemes_are_refused(tenant: Tenant, curve: str, extra: dict[str, Any]) -> None:
    with pytest.raises(ParameterInvalid):
        signed(tenant, tenant.key("EC", curve=curve), b"data", **extra)


@every
def test_keys_sign_and_do_nothing_else(tenant: Tenant, curve: str) -> None:
    row = execute(tenant.app, GetObject(tenant.key("EC", curve=curve))).row
    assert row.operations == ["app-manageable", "sign", "verify"]
    with pytest.raises(ParameterInvalid, match=f"{curve} objects cannot have the operations agree"):
        tenant.key("EC", curve=curve, operations=["sign", "agree"])
    private = THEIRS[curve].generate()
    with pytest.raises(AlgorithmUnsupported, match="cannot agree"):
        algorithm_of("EC").agree(opened("EC", der(private)), spki(private))


@every
def test_an_exportable_key_comes_back_as_pkcs8(tenant: Tenant, curve: str) -> None:
    """These keys have no older form (RFC 8410 §7)."""
    private = THEIRS[curve].generate()
    key = tenant.imported("EC", der(private), operations=["sign", "export"])
    assert execute(tenant.app, ExportObject(key)).value.reveal() == der(private)
    assert traditional_der(SecretBytes(der(private))).reveal() == der(private)
