"""Elliptic curve keys through the corridor, against `cryptography`: every curve, in the token and out of it."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from kms.crypto import digest as hashing
from kms.crypto.algorithm import LentKey, Message, SignatureParameters
from kms.crypto.algorithms.ec import CURVES
from kms.crypto.algorithms.weierstrass import HASHES, Weierstrass
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.crypto.options import NO_OPTIONS
from kms.crypto.registry import algorithm_of
from kms.objects import keystore
from kms.operations.command import ObjectRef
from kms.operations.cryptographic import Batch, Sign
from kms.operations.errors import AccessDenied
from kms.operations.executor import execute
from kms.operations.lifecycle import ExportObject
from kms.operations.queries import GetObject
from tests.crypto.curve_lab import der, holds, opened, public_of, signed, spki
from tests.kit.tenants import Tenant

THEIRS = {
    "NistP192": ec.SECP192R1(),
    "NistP224": ec.SECP224R1(),
    "NistP256": ec.SECP256R1(),
    "NistP384": ec.SECP384R1(),
    "NistP521": ec.SECP521R1(),
    "SecP256K1": ec.SECP256K1(),
    "BrainpoolP256R1": ec.BrainpoolP256R1(),
    "BrainpoolP384R1": ec.BrainpoolP384R1(),
    "BrainpoolP512R1": ec.BrainpoolP512R1(),
}
every = pytest.mark.parametrize("curve", THEIRS)
BRAINPOOL = [curve for curve in THEIRS if curve.startswith("Brainpool")]


def test_all_curves_of_the_family_are_tried_here() -> None:
    assert THEIRS.keys() == Weierstrass.sizes.keys()


# -- where keys live -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("curve", CURVES)
def test_a_key_is_as_well_protected_as_the_token_can(tenant: Tenant, curve: str) -> None:
    row = execute(tenant.app, GetObject(tenant.key("EC", curve=curve))).row
    spec = algorithm_of("EC").generation_spec(size=None, curve=curve, public_exponent=None)
    assert row.protection == ("token" if keystore.in_token(spec) else "software")
    assert keystore.in_token(spec) or curve not in ("NistP256", "NistP384", "NistP521")
    assert (row.curve, row.size, row.never_exportable) == (curve, CURVES[curve], True)


@pytest.mark.parametrize("curve", ["SecP192K1", "SecP224K1", "Gost256A"])
def test_curves_that_nothing_here_computes_on_are_refused_with_the_reason(tenant: Tenant, curve: str) -> None:
    with pytest.raises(AlgorithmUnsupported, match=f"{curve} is not supported: neither"):
        tenant.key("EC", curve=curve)


def test_a_curve_or_size_that_contradicts_the_key_is_refused(tenant: Tenant) -> None:
    material = der(ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(ParameterInvalid, match="is on NistP256"):
        tenant.imported("EC", material, curve="SecP256K1")
    with pytest.raises(ParameterInvalid, match="has 256 bits"):
        tenant.imported("EC", material, size=384)


# -- ECDSA ---------------------------------------------------------------------------------------------------------


@every
def test_signatures_verify_both_ways(tenant: Tenant, curve: str) -> None:
    private = ec.generate_private_key(THEIRS[curve])
    for key in (tenant.key("EC", curve=curve), tenant.imported("EC", der(private))):
        signature = signed(tenant, key, b"data", hash="SHA256")
        public_of(tenant, key).verify(signature, b"data", ec.ECDSA(hashes.SHA256()))
        assert holds(tenant, key, b"data", signature, hash="SHA256")
        assert not holds(tenant, key, b"Data", signature, hash="SHA256")
        assert not holds(tenant, key, b"data", signature, hash="SHA384")
    assert holds(tenant, key, b"data", private.sign(b"data", ec.ECDSA(hashes.SHA512())), hash="SHA512")


@pytest.mark.parametrize("name", HASHES)
@pytest.mark.parametrize("curve", ["NistP192", "NistP521", "BrainpoolP256R1"])
def test_every_hash_is_signed_whole_or_truncated_to_the_order(tenant: Tenant, curve: str, name: str) -> None:
    key = tenant.key("EC", curve=curve)
    digest = hashing.digest(name, b"data")
    ready = execute(tenant.app, Sign(key, SignatureParameters(name), digest=digest)).value
    for signature in (ready, signed(tenant, key, b"data", hash=name)):
        public_of(tenant, key).verify(signature, digest, ec.ECDSA(Prehashed(HASHES[name])))
        assert holds(tenant, key, b"data", signature, hash=name)


@given(rubbish=st.binary(max_size=80))
def test_rubbish_is_no_signature(rubbish: bytes) -> None:
    public = spki(ec.derive_private_key(7, ec.BrainpoolP256R1()))
    parameters = SignatureParameters("SHA256")
    assert algorithm_of("EC").verify(public, parameters, Message(b"data"), rubbish, options=NO_OPTIONS) is False


@pytest.mark.parametrize("curve", BRAINPOOL)
def test_a_deterministic_signature_is_the_one_of_rfc_6979(tenant: Tenant, curve: str) -> None:
    private = ec.generate_private_key(THEIRS[curve])
    key = tenant.imported("EC", der(private))
    expected = private.sign(b"data", ec.ECDSA(hashes.SHA384(), deterministic_signing=True))
    assert signed(tenant, key, b"data", hash="SHA384", deterministic=True) == expected
    assert signed(tenant, key, b"data", hash="SHA384") != signed(tenant, key, b"data", hash="SHA384")


def test_deterministic_signatures_on_a_token_curve_need_a_key_that_may_leave_the_token(tenant: Tenant) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    exportable = tenant.imported("EC", der(private), operations=["sign", "verify", "export"])
    expected = private.sign(b"data", ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    assert signed(tenant, exportable, b"data", hash="SHA256", deterministic=True) == expected
    with pytest.raises(AlgorithmUnsupported, match="fresh randomness"):
        signed(tenant, tenant.imported("EC", der(private)), b"data", hash="SHA256", deterministic=True)


@every
def test_wrong_signature_parameters_are_refused(tenant: Tenant, curve: str) -> None:
    key = tenant.key("EC", curve=curve)
    for parameters, error in (
        ({}, ParameterInvalid),
        ({"hash": "SHA256", "padding": "PSS"}, ParameterInvalid),
        ({"hash": "SHA256", "variant": "PURE"}, ParameterInvalid),
        ({"hash": "SHA256", "context": b"c"}, ParameterInvalid),
        ({"hash": "BLAKE2B256"}, AlgorithmUnsupported),
    ):
        with pytest.raises(error):
            signed(tenant, key, b"data", **parameters)
        with pytest.raises(error):
            holds(tenant, key, b"data", b"signature", **parameters)


def test_a_batch_signs_with_token_and_software_keys(tenant: Tenant) -> None:
    keys = [tenant.key("EC", curve=curve) for curve in ("NistP256", "BrainpoolP256R1", "Ed25519")]
    items = [Sign(key, SignatureParameters(None if n == 2 else "SHA256"), data=b"data") for n, key in enumerate(keys)]
    made = execute(tenant.app, Batch((*items, Sign(keys[0], SignatureParameters(), data=b"data"))))
    for item, key, name in zip(made[:3], keys, ("SHA256", "SHA256", None), strict=True):
        assert holds(tenant, key, b"data", item.result.value, hash=name)
    assert isinstance(made[3].error, ParameterInvalid)


# -- ECDH ----------------------------------------------------------------------------------------------------------


@every
def test_both_sides_agree_on_the_same_secret(tenant: Tenant, curve: str) -> None:
    ours, theirs = (ec.generate_private_key(THEIRS[curve]) for _ in range(2))
    shared = algorithm_of("EC").agree(opened("EC", der(ours)), spki(theirs))
    assert shared.reveal() == theirs.exchange(ec.ECDH(), ours.public_key())
    assert len(shared) == -(-CURVES[curve] // 8)


@every
def test_a_peer_on_another_curve_is_refused(tenant: Tenant, curve: str) -> None:
    """Also one of the same size: a point that is no point of the curve lets out the private key piece by piece."""
    key = opened("EC", der(ec.generate_private_key(THEIRS[curve])))
    for other, parameters in THEIRS.items():
        if other != curve:
            with pytest.raises(ParameterInvalid, match=f"on {curve}, and the peer's key on {other}"):
                algorithm_of("EC").agree(key, spki(ec.generate_private_key(parameters)))


@every
def test_a_point_off_the_curve_is_refused(tenant: Tenant, curve: str) -> None:
    key = opened("EC", der(ec.generate_private_key(THEIRS[curve])))
    good = ec.generate_private_key(THEIRS[curve]).public_key()
    point = good.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    encoded = spki(good)
    assert encoded.endswith(point)
    off = encoded[: -len(point)] + point[:-1] + bytes([point[-1] ^ 1])
    infinity = encoded[: -len(point)] + b"\x04" + bytes(len(point) - 1)
    for wrong in (off, infinity, encoded[:-1], b""):
        with pytest.raises(ParameterInvalid):
            algorithm_of("EC").agree(key, wrong)


def test_a_peer_of_another_kind_is_refused(tenant: Tenant) -> None:
    key = opened("EC", der(ec.generate_private_key(ec.SECP256R1())))
    with pytest.raises(ParameterInvalid, match="on no curve"):
        algorithm_of("EC").agree(key, spki(rsa.generate_private_key(65537, 2048)))


# -- public keys ---------------------------------------------------------------------------------------------------


def test_a_public_key_alone_verifies_and_never_signs(tenant: Tenant) -> None:
    private = ec.generate_private_key(ec.BrainpoolP384R1())
    key = tenant.imported("EC", spki(private))
    assert holds(tenant, key, b"data", private.sign(b"data", ec.ECDSA(hashes.SHA256())), hash="SHA256")
    with pytest.raises(AccessDenied):
        signed(tenant, key, b"data", hash="SHA256")
    with pytest.raises(ParameterInvalid, match="cannot have the operations sign"):
        tenant.imported("EC", spki(private), operations=["sign"])


def test_an_exportable_key_of_a_software_curve_comes_back_whole(tenant: Tenant) -> None:
    private = ec.generate_private_key(ec.BrainpoolP256R1())
    key: ObjectRef = tenant.imported("EC", der(private), operations=["sign", "verify", "export"])
    assert execute(tenant.app, ExportObject(key)).value.reveal() == der(private)
    assert isinstance(opened("EC", der(private)), LentKey)
    assert holds(tenant, key, b"data", signed(tenant, key, b"data", hash="SHA256"), hash="SHA256")
