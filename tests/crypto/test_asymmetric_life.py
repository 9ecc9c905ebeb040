"""Keys that live outside the token, or in it: made, handed out, exported and rotated, every kind does it alike."""

from __future__ import annotations

from typing import Any

import pytest

from kms.crypto.asymmetric import load_private, public_der
from kms.crypto.operation import KeyOperation
from kms.crypto.registry import algorithm_of
from kms.operations.command import ObjectRef
from kms.operations.creation import CreateObject
from kms.operations.executor import execute
from kms.operations.lifecycle import ExportObject
from kms.operations.making import ObjectTemplate
from kms.operations.queries import GetObject
from kms.operations.rotating import RotateObject
from tests.crypto.curve_lab import holds, public_of, signed
from tests.kit.tenants import Tenant, unique

SHAPES: dict[str, dict[str, Any]] = {
    "RSA": {"kind": "RSA", "size": 2048},
    "NistP256": {"kind": "EC", "curve": "NistP256"},
    "BrainpoolP384R1": {"kind": "EC", "curve": "BrainpoolP384R1"},
    "Ed25519": {"kind": "EC", "curve": "Ed25519"},
    "Ed448": {"kind": "EC", "curve": "Ed448"},
    "DSA": {"kind": "DSA", "size": 2048},
    "ML-DSA": {"kind": "MLDSA", "curve": "MlDsa65"},
}
OTHERS: dict[str, dict[str, Any]] = {
    "X25519": {"kind": "EC", "curve": "X25519"},
    "X448": {"kind": "EC", "curve": "X448"},
    "ML-KEM": {"kind": "MLKEM", "curve": "MlKem768"},
}
signing = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
every = pytest.mark.parametrize("shape", (SHAPES | OTHERS).values(), ids=SHAPES | OTHERS)


def hash_for(shape: dict[str, Any]) -> dict[str, Any]:
    hashed_by_the_caller = shape["kind"] in ("RSA", "DSA") or shape.get("curve") in ("NistP256", "BrainpoolP384R1")
    return {"hash": "SHA256"} if hashed_by_the_caller else {}


@signing
def test_a_transient_key_signs_and_is_kept_nowhere(tenant: Tenant, shape: dict[str, Any]) -> None:
    template = ObjectTemplate(None, group=tenant.group.id, transient=True, **shape)
    blob = execute(tenant.app, CreateObject(template)).transient
    key = ObjectRef(transient=blob)
    assert holds(tenant, key, b"data", signed(tenant, key, b"data", **hash_for(shape)), **hash_for(shape))


@every
def test_an_exportable_key_is_made_and_read_out(tenant: Tenant, shape: dict[str, Any]) -> None:
    spec = {name: value for name, value in shape.items() if name != "kind"}
    defaults = algorithm_of(shape["kind"]).defaults
    possible = defaults & algorithm_of(shape["kind"]).operations_of(
        algorithm_of(shape["kind"]).generation_spec(
            size=spec.get("size"), curve=spec.get("curve"), public_exponent=None
        )
    )
    key = tenant.key(shape["kind"], operations=[*possible, KeyOperation.EXPORT], **spec)
    private = load_private(execute(tenant.app, ExportObject(key)).value)
    assert private is not None
    assert public_der(private.public_key()) == bytes(execute(tenant.app, GetObject(key)).row.public_key)


@every
def test_a_rotated_key_has_a_successor_of_the_same_shape(tenant: Tenant, shape: dict[str, Any]) -> None:
    spec = {name: value for name, value in shape.items() if name != "kind"}
    old = tenant.key(shape["kind"], name=unique("rotated"), **spec)
    before = public_of(tenant, old)
    changes = ObjectTemplate(name=None, kind=shape["kind"])
    new = execute(tenant.alice, RotateObject(old, changes)).row
    kept = execute(tenant.app, GetObject(old)).row
    assert (new.kind, new.size, new.curve) == (kept.kind, kept.size, kept.curve)
    assert public_of(tenant, ObjectRef(id=new.id)) != before
