"""What the token at hand offers, and that what it lacks is refused before it is tried on a caller's key."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kms.hsm.errors import MechanismRefused
from kms.hsm.key_material import CURVES
from kms.hsm.module import AesKwp, KeySpec, OpenedKey, Usage
from kms.hsm.offer import Offer
from kms.hsm.pkcs11 import Pkcs11Module
from kms.secret import SecretBytes
from tests.hsm.token_place import CURVES_HERE, ON_KRYOPTIC

DES3 = KeySpec("DES3", 168)
EVERY_CURVE = [KeySpec("EC", CURVES[name]().key_size, name) for name in sorted(CURVES)]
LACKING = [*(spec for spec in EVERY_CURVE if spec.curve not in CURVES_HERE), *([DES3] if ON_KRYOPTIC else [])]


def test_the_token_offers_what_we_know_of_it(module: Pkcs11Module) -> None:
    assert {spec.curve for spec in EVERY_CURVE if module.supports(spec)} == set(CURVES_HERE)
    assert module.supports(DES3) is not ON_KRYOPTIC
    for spec in (KeySpec("AES", 256), KeySpec("HMAC", 160), KeySpec("RSA", 2048)):
        assert module.supports(spec)


@pytest.mark.parametrize(
    "spec", [KeySpec("AES", 100), KeySpec("EC", 256, "P-256"), KeySpec("EC", 256), KeySpec("SEED", 128)], ids=str
)
def test_what_nobody_has_is_not_offered(module: Pkcs11Module, spec: KeySpec) -> None:
    assert not module.supports(spec)


def test_an_offer_needs_both_the_mechanisms_and_the_curve(module: Pkcs11Module) -> None:
    whole, p256 = module._connection.attachment().offer, KeySpec("EC", 256, "NistP256")
    assert whole.holds(p256)
    assert not Offer(whole.mechanisms, frozenset()).holds(p256)
    assert not Offer(frozenset(), whole.curves).holds(p256)
    assert Offer(whole.mechanisms, frozenset()).holds(KeySpec("RSA", 2048))


@pytest.mark.skipif(not LACKING, reason="SoftHSM has every kind and every curve that we know")
def test_what_the_token_lacks_is_refused_and_said(module: Pkcs11Module) -> None:
    wrapping = _wrapping(module)
    for spec in LACKING:
        material = _material(spec)
        for attempt in (
            lambda spec=spec: module.generate(spec, binding=b"row"),
            lambda spec=spec: module.generate_material(spec),
            lambda spec=spec, material=material: module.import_key(spec, material, binding=b"row"),
            lambda spec=spec: module.unwrap_import(spec, wrapping, AesKwp(), bytes(40), binding=b"row"),
        ):
            with pytest.raises(MechanismRefused, match=spec.curve or spec.kind):
                attempt()


def _wrapping(module: Pkcs11Module) -> OpenedKey:
    spec = KeySpec("AES", 256)
    blob = module.generate(spec, binding=b"row").blob
    return module.open(spec, blob, binding=b"row", usage=Usage.WRAP | Usage.UNWRAP, cache_key=os.urandom(8))


def _material(spec: KeySpec) -> SecretBytes:
    if spec.kind == "DES3":
        return SecretBytes(os.urandom(24))
    key = ec.generate_private_key(CURVES[spec.curve or ""]())
    return SecretBytes(
        key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def test_an_empty_token_in_another_slot_does_not_hide_ours(scenario: Callable[[str], None]) -> None:
    scenario("beside_an_empty_slot")


@pytest.mark.skipif(shutil.which("pkcs11-tool") is None, reason="pkcs11-tool (Debian package opensc) is not installed")
def test_a_token_that_an_operator_initialised_is_taken(scenario: Callable[[str], None]) -> None:
    scenario("made_by_an_operator")
