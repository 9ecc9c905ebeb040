"""X25519 and X448, against `cryptography` and RFC 7748."""

from __future__ import annotations

from typing import Any

import cryptography_vectors
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x448 import X448PrivateKey, X448PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from kms.crypto.algorithm import Message, SignatureParameters
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.crypto.options import NO_OPTIONS
from kms.crypto.registry import algorithm_of
from kms.operations.executor import execute
from kms.operations.queries import GetObject
from tests.crypto.curve_lab import der, opened, spki
from tests.kit.tenants import Tenant

THEIRS: dict[str, Any] = {"X25519": X25519PrivateKey, "X448": X448PrivateKey}
every = pytest.mark.parametrize("curve", THEIRS)

# Points of small order (RFC 7748 §7): zero, one, minus one, and one of order eight (curve25519).
LOW_ORDER = {
    "X25519": [
        bytes(32),
        b"\1" + bytes(31),
        (2**255 - 20).to_bytes(32, "little"),
        (325606250916557431795983626356110631294008115727848805560023387167927233504).to_bytes(32, "little"),
        (2**255 - 19).to_bytes(32, "little"),
    ],
    "X448": [bytes(56), b"\1" + bytes(55), (2**448 - 2**224 - 2).to_bytes(56, "little")],
}


@every
def test_both_sides_agree_on_the_same_secret(curve: str, tenant: Tenant) -> None:
    ours, theirs = THEIRS[curve].generate(), THEIRS[curve].generate()
    shared = algorithm_of("EC").agree(opened("EC", der(ours)), spki(theirs))
    assert shared.reveal() == theirs.exchange(ours.public_key())


@pytest.mark.parametrize(("curve", "file"), [("X25519", "X25519/rfc7748.txt"), ("X448", "X448/rfc7748.txt")])
def test_the_published_secrets_are_agreed_on(curve: str, file: str, tenant: Tenant) -> None:
    with cryptography_vectors.open_vector_file(f"asymmetric/{file}", "r") as lines:
        found = dict(line.strip().split(" = ") for line in lines if " = " in line)
    private, public, secret = (bytes.fromhex(found[name]) for name in ("INPUT_SCALAR", "INPUT_U", "OUTPUT_U"))
    theirs = X25519PublicKey if curve == "X25519" else X448PublicKey
    key = opened("EC", der(THEIRS[curve].from_private_bytes(private)))
    assert algorithm_of("EC").agree(key, spki(theirs.from_public_bytes(public))).reveal() == secret


@every
def test_a_point_of_low_order_is_refused(curve: str, tenant: Tenant) -> None:
    """Whatever the private key, the secret would be zero."""
    key = opened("EC", der(THEIRS[curve].generate()))
    kind = X25519PublicKey if curve == "X25519" else X448PublicKey
    for point in LOW_ORDER[curve]:
        with pytest.raises(ParameterInvalid, match="low order"):
            algorithm_of("EC").agree(key, spki(kind.from_public_bytes(point)))


@every
def test_a_peer_on_another_curve_is_refused(curve: str, tenant: Tenant) -> None:
    key = opened("EC", der(THEIRS[curve].generate()))
    other = next(name for name in THEIRS if name != curve)
    for peer in (THEIRS[other].generate(), ec.generate_private_key(ec.SECP256R1())):
        with pytest.raises(ParameterInvalid, match=f"the private key is on {curve}"):
            algorithm_of("EC").agree(key, spki(peer))


@every
def test_keys_agree_and_do_nothing_else(curve: str, tenant: Tenant) -> None:
    row = execute(tenant.app, GetObject(tenant.key("EC", curve=curve))).row
    assert row.operations == ["agree", "app-manageable"]
    with pytest.raises(ParameterInvalid, match=f"{curve} objects cannot have the operations sign"):
        tenant.key("EC", curve=curve, operations=["sign", "agree"])
    private = THEIRS[curve].generate()
    with pytest.raises(AlgorithmUnsupported, match="cannot sign"):
        algorithm_of("EC").sign(opened("EC", der(private)), SignatureParameters(), Message(b"data"), options=NO_OPTIONS)
    with pytest.raises(AlgorithmUnsupported, match="cannot verify"):
        algorithm_of("EC").verify(spki(private), SignatureParameters(), Message(b"data"), b"", options=NO_OPTIONS)
