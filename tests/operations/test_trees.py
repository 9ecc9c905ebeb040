"""Trees of keys through the corridor: BIP32's vectors, SLIP-0010's curves, and what a child may give away."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from kms.crypto.algorithm import CipherParameters, SignatureParameters
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.crypto.hierarchical import HARDENED, MAIN
from kms.crypto.operation import KeyOperation
from kms.crypto.options import ExportRule, KeyOptions
from kms.objects import keystore
from kms.operations.command import ObjectRef
from kms.operations.cryptographic import Sign, Verify
from kms.operations.derivation import EncryptData, HardenedChild, Hkdf, MasterKey, Mechanism, TransformKey
from kms.operations.errors import AccessDenied, InvalidRequest
from kms.operations.executor import execute
from kms.operations.lifecycle import RemovePrivateKey
from kms.operations.managed_object import ObjectView
from kms.operations.updating import UpdateObject
from tests.crypto.test_hierarchical import BIP32_VECTORS, PATH_1, SEED_1, XPUB_1, base58check
from tests.kit.tenants import Tenant
from tests.operations.deriving import derive, ref, row_of, template, value_of

HKDF_SHA256 = Hkdf("SHA256", b"salt", b"info")


def seed(tenant: Tenant, value: str = SEED_1, kind: str = "SECRET") -> ObjectRef:
    return tenant.imported(kind, bytes.fromhex(value), operations=["derive"])


def transform(tenant: Tenant, key: ObjectRef, index: int, kind: str = "BIP32", **fields: Any) -> ObjectView:
    command = TransformKey(key, kind, index, template(tenant, kind, **fields))
    view: ObjectView = execute(tenant.app, command)
    return view


def walked(tenant: Tenant, start: ObjectRef, path: list[int], **fields: Any) -> list[ObjectView]:
    """The BIP32 keys along a path, from the seed's master key."""
    views = [derive(tenant, start, MasterKey("BIP32"), "BIP32", **fields)]
    for index in path:
        parent = ref(views[-1])
        if index < HARDENED:
            views.append(transform(tenant, parent, index, **fields))
        else:
            views.append(derive(tenant, parent, HardenedChild("BIP32", index), "BIP32", **fields))
    return views


TREE = ["sign", "verify", "derive", "transform", "export"]


@pytest.mark.parametrize(("value", "path", "expected"), BIP32_VECTORS)
def test_bip32s_vectors_come_out(tenant: Tenant, value: str, path: list[int], expected: list[str]) -> None:
    views = walked(tenant, seed(tenant, value), path, operations=TREE)
    assert [value_of(tenant, view) for view in views] == [base58check(text) for text in expected]
    assert row_of(ref(views[-1])).options["derivation_path"] == path
    assert row_of(ref(views[-1])).parent == views[-2].row.id


def test_the_seed_may_be_in_the_token_and_gives_the_same(tenant: Tenant) -> None:
    """A seed of 512 bits, the size that BIP39 makes."""
    value, _, expected = BIP32_VECTORS[1]
    key = seed(tenant, value, "HMAC")
    assert row_of(key).protection == keystore.TOKEN
    made = derive(tenant, key, MasterKey("BIP32"), "BIP32", operations=TREE)
    assert value_of(tenant, made) == base58check(expected[0])


def test_transient_keys_walk_the_tree_and_sign(tenant: Tenant) -> None:
    """What the vendor's wallet plug-in does: a chain of transient keys, a deterministic signature at its end."""
    *_, last = walked(tenant, seed(tenant), PATH_1, operations=None, transient=True)
    digest = hashes.Hash(hashes.SHA256())
    digest.update(b"a transaction")
    hashed = digest.finalize()
    parameters = SignatureParameters("SHA256", deterministic=True)
    signatures = [execute(tenant.app, Sign(ref(last), parameters, digest=hashed)).value for _ in range(2)]
    assert signatures[0] == signatures[1]
    shown = bytes(last.row.public_key or b"")
    assert len(shown) == 78
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), shown[45:])
    key.verify(signatures[0], b"a transaction", ec.ECDSA(hashes.SHA256()))
    assert execute(tenant.app, Verify(ref(last), parameters, signatures[0], digest=hashed)).value is True
    assert execute(tenant.app, Verify(ref(last), parameters, signatures[0], digest=bytes(32))).value is False


def test_an_imported_public_key_has_weak_children_and_cannot_sign(tenant: Tenant) -> None:
    public = tenant.imported("BIP32", base58check(XPUB_1), operations=["verify", "transform"])
    private = derive(tenant, seed(tenant), MasterKey("BIP32"), "BIP32", operations=TREE)
    made = transform(tenant, public, 7, operations=["verify", "export"])
    assert made.row.public_only
    assert value_of(tenant, made) == bytes(transform(tenant, ref(private), 7, operations=TREE).row.public_key or b"")
    with pytest.raises(ParameterInvalid, match="cannot have the operations sign"):
        transform(tenant, public, 8, operations=["sign"])
    with pytest.raises(AccessDenied):
        derive(tenant, public, HardenedChild("BIP32", HARDENED), "BIP32")


def test_without_its_private_half_a_key_still_has_weak_children(tenant: Tenant) -> None:
    private = derive(tenant, seed(tenant), MasterKey("BIP32"), "BIP32", operations=TREE)
    expected = bytes(transform(tenant, ref(private), 7, operations=TREE).row.public_key or b"")
    execute(tenant.alice, RemovePrivateKey(ref(private)))
    made = transform(tenant, ref(private), 7, operations=["verify"])
    assert bytes(made.row.public_key or b"") == expected


def test_a_weak_child_is_not_exported_more_freely_than_its_parent(tenant: Tenant) -> None:
    """With its private key and the parent's public one, anybody computes the parent's private key."""
    confined = derive(tenant, seed(tenant), MasterKey("BIP32"), "BIP32", operations=["transform", "derive"])
    with pytest.raises(InvalidRequest, match="gives its parent's away"):
        transform(tenant, ref(confined), 1, operations=["export"])
    assert transform(tenant, ref(confined), 1, operations=["sign"])
    assert derive(tenant, ref(confined), HardenedChild("BIP32", HARDENED), "BIP32", operations=["export"])
    rule = KeyOptions(export=ExportRule(wrapped=True))
    wrapped = derive(tenant, seed(tenant), MasterKey("BIP32"), "BIP32", operations=TREE, options=rule)
    with pytest.raises(InvalidRequest, match="gives its parent's away"):
        transform(tenant, ref(wrapped), 1, operations=["export"])
    assert transform(tenant, ref(wrapped), 1, operations=["export"], options=rule)


@pytest.mark.parametrize("curve", ["SecP256K1", "NistP256", "Ed25519"])
def test_slip10_keys_sign_on_their_curve(tenant: Tenant, curve: str) -> None:
    root = derive(tenant, seed(tenant), MasterKey("SLIP10"), "SLIP10", curve=curve, operations=["derive"])
    child = derive(tenant, ref(root), HardenedChild("SLIP10", HARDENED + 3), "SLIP10", operations=None)
    assert (child.row.curve, child.row.protection) == (curve, keystore.SOFTWARE)
    parameters = SignatureParameters(None if curve == "Ed25519" else "SHA256")
    signature = execute(tenant.app, Sign(ref(child), parameters, data=b"message")).value
    assert execute(tenant.app, Verify(ref(child), parameters, signature, data=b"message")).value is True
    assert execute(tenant.app, Verify(ref(child), parameters, signature, data=b"another")).value is False


def test_slip10_has_weak_children_where_the_curve_has_them(tenant: Tenant) -> None:
    root = derive(tenant, seed(tenant), MasterKey("SLIP10"), "SLIP10", curve="NistP256", operations=TREE)
    assert transform(tenant, ref(root), 5, "SLIP10", operations=TREE).row.creation == "transform"
    with pytest.raises(ParameterInvalid, match="cannot have the operations transform"):
        derive(tenant, seed(tenant), MasterKey("SLIP10"), "SLIP10", curve="Ed25519", operations=TREE)
    edwards = derive(tenant, seed(tenant), MasterKey("SLIP10"), "SLIP10", curve="Ed25519", operations=None)
    assert "transform" not in edwards.row.operations


@pytest.mark.parametrize(
    ("mechanism", "kind", "fields", "error", "says"),
    [
        (MasterKey("BIP32"), "SLIP10", {}, ParameterInvalid, "makes BIP32 keys"),
        (MasterKey("BIP32"), "AES", {}, ParameterInvalid, "makes BIP32 keys"),
        (MasterKey("BIP32"), "BIP32", {"size": 128}, ParameterInvalid, "256 bits"),
        (MasterKey("BIP32"), "BIP32", {"curve": "NistP256"}, ParameterInvalid, "SecP256K1"),
        (MasterKey("BIP32", "moonnet"), "BIP32", {}, ParameterInvalid, "mainnet"),
        (MasterKey("SLIP10"), "SLIP10", {}, ParameterInvalid, "elliptic_curve"),
        (MasterKey("SLIP10"), "SLIP10", {"curve": "X25519"}, AlgorithmUnsupported, "X25519"),
        (HardenedChild("BIP32", HARDENED), "BIP32", {}, InvalidRequest, "not an object of type SECRET"),
    ],
)
def test_trees_that_cannot_be_are_refused(
    tenant: Tenant, mechanism: Mechanism, kind: str, fields: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        derive(tenant, seed(tenant), mechanism, kind, **fields)


def test_a_seed_has_128_to_512_bits(tenant: Tenant) -> None:
    for size in (15, 65):
        with pytest.raises(InvalidRequest, match="128 to 512"):
            derive(tenant, seed(tenant, "00" * size), MasterKey("BIP32"), "BIP32")


def test_a_key_of_a_tree_is_no_input_of_hkdf(tenant: Tenant) -> None:
    root = derive(tenant, seed(tenant), MasterKey("BIP32"), "BIP32", operations=TREE)
    for mechanism in (HKDF_SHA256, EncryptData(None, CipherParameters("ECB"), bytes(32)), MasterKey("BIP32")):
        with pytest.raises(InvalidRequest, match="symmetric key or a secret"):
            derive(tenant, ref(root), mechanism, "BIP32" if isinstance(mechanism, MasterKey) else "SECRET",
                   **({} if isinstance(mechanism, MasterKey) else {"size": 256}))  # fmt: skip


def test_testnet_keys_say_so(tenant: Tenant) -> None:
    made = derive(tenant, seed(tenant), MasterKey("BIP32", "testnet"), "BIP32", operations=TREE)
    assert value_of(tenant, made)[:4].hex() == "04358394"
    assert MAIN == "mainnet"


def test_keys_of_a_tree_lose_operations_and_keep_working(tenant: Tenant) -> None:
    """A change of what the blob is bound to binds it again."""
    root = derive(tenant, seed(tenant), MasterKey("BIP32"), "BIP32", operations=["sign", "verify", "derive"])
    execute(tenant.alice, UpdateObject(ref(root), operations=frozenset({KeyOperation.SIGN})))
    assert execute(tenant.app, Sign(ref(root), SignatureParameters("SHA256"), data=b"x")).value
