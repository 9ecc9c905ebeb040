"""Keys from keys over HTTP: what clients send, what they read, and what is refused by name."""

from __future__ import annotations

import base64
import os
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import load_der_public_key

from kms.crypto.asymmetric import public_der
from kms.operations.command import ObjectRef
from tests.api.test_bad_input import plain_error
from tests.crypto.test_hierarchical import BIP32_VECTORS, HARDENED, SEED_1, XPUB_1, base58check
from tests.kit.tenants import Tenant, unique
from tests.operations.material import ec_key, spki

CRYPTO = "/crypto/v1"


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def sent(client: httpx.Client, tenant: Tenant, path: str, status: int = 201, **body: Any) -> Any:
    response = client.post(f"{CRYPTO}/{path}", json=body, auth=tenant.api_key())
    if status >= 400:
        return plain_error(response, status)
    assert response.status_code == status, response.text
    return response.json()


def wanted(kind: str = "SECRET", size: int | None = 256, **fields: Any) -> dict[str, Any]:
    named = {} if fields.get("transient") else {"name": unique("d")}
    return {**named, "key_type": kind, "key_ops": ["EXPORT"], **({} if size is None else {"key_size": size}), **fields}


def value_of(client: httpx.Client, tenant: Tenant, made: Any) -> bytes:
    return base64.b64decode(sent(client, tenant, "keys/export", 200, kid=made["kid"])["value"])


@pytest.fixture
def tenant(tenant: Tenant) -> Tenant:
    """With an app whose default group takes what it makes."""
    tenant.app = tenant.new_app()
    return tenant


def kid(ref: ObjectRef) -> dict[str, str]:
    return {"kid": str(ref.id)}


HKDF_SHA256 = {"hkdf": {"hash_alg": "SHA256", "salt": b64(b"salt"), "info": b64(b"info")}}


# -- derivation ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_path", [False, True])
def test_a_derived_key_is_shown_with_its_parent(tenant: Tenant, client: httpx.Client, by_path: bool) -> None:
    material = os.urandom(32)
    key = tenant.imported("AES", material, operations=["derive"])
    path = f"keys/{key.id}/derive" if by_path else "derive"
    named: dict[str, Any] = {} if by_path else {"key": kid(key)}
    made = sent(client, tenant, path, mechanism=HKDF_SHA256, **named, **wanted())
    assert made["key_creation_method"] == {"method": "Derive"}
    assert (made["origin"], made["links"]) == ("FortanixHSM", {"parent": str(key.id)})
    assert value_of(client, tenant, made) == HKDF(hashes.SHA256(), 32, b"salt", b"info").derive(material)
    parent = client.get(f"{CRYPTO}/keys/{key.id}", auth=tenant.api_key()).json()
    assert parent["links"]["subkeys"] == [made["kid"]]


def test_everything_a_new_object_can_have_is_taken(tenant: Tenant, client: httpx.Client) -> None:
    key = tenant.key(operations=["derive"])
    fields: dict[str, Any] = {
        "description": "d",
        "custom_metadata": {"a": "b"},
        "enabled": False,
        "state": "PreActive",
        "activation_date": "21310101T000000Z",
        "deactivation_date": "21320101T000000Z",
        "export_policy": {"$type": "Wrapped", "by": {"$type": "Any"}, "allow_weakening": False},
    }
    made = sent(client, tenant, "derive", key=kid(key), mechanism=HKDF_SHA256, **wanted("AES", **fields))
    assert {name: made[name] for name in fields} == fields


@pytest.mark.parametrize(
    "mechanism",
    [{}, {**HKDF_SHA256, "bip32_master_key": {"network": "mainnet"}}],
    ids=["none", "two"],
)
def test_a_mechanism_is_exactly_one(tenant: Tenant, client: httpx.Client, mechanism: Any) -> None:
    key = tenant.key(operations=["derive"])
    assert "exactly one of" in sent(client, tenant, "derive", 400, key=kid(key), mechanism=mechanism, **wanted())


@pytest.mark.parametrize("name", ["scrypt", "kbkdf"])
def test_other_mechanisms_are_unknown(tenant: Tenant, client: httpx.Client, name: str) -> None:
    key = tenant.key(operations=["derive"])
    said = sent(client, tenant, "derive", 400, key=kid(key), mechanism={name: {}}, **wanted())
    assert f"unknown field `{name}`" in said


def test_encrypt_data_names_no_key_of_its_own(tenant: Tenant, client: httpx.Client) -> None:
    key = tenant.key(operations=["derive"])
    data = {"plain": b64(bytes(32)), "alg": "AES", "mode": "ECB", "key": kid(key)}
    assert "key" in sent(client, tenant, "derive", 400, key=kid(key), mechanism={"encrypt_data": data}, **wanted())
    del data["key"]
    assert sent(client, tenant, "derive", key=kid(key), mechanism={"encrypt_data": data}, **wanted())


def test_the_key_is_named_once(tenant: Tenant, client: httpx.Client) -> None:
    key = tenant.key(operations=["derive"])
    body = {"key": kid(key), "mechanism": HKDF_SHA256, **wanted()}
    assert "named in the path" in sent(client, tenant, f"keys/{key.id}/derive", 400, **body)


# -- trees of keys -------------------------------------------------------------------------------------------------


def test_the_vendors_wallet_plug_in_finds_its_way(tenant: Tenant, client: httpx.Client) -> None:
    """m/0'/1 over transient keys: a size of 0 that says nothing, an extended public key, a deterministic signature."""
    seed = tenant.imported("HMAC", bytes.fromhex(SEED_1), operations=["derive", "export"])
    keyed = wanted("BIP32", 0, key_ops=None, transient=True)
    root = sent(
        client, tenant, "derive", key=kid(seed), mechanism={"bip32_master_key": {"network": "mainnet"}}, **keyed
    )
    assert base64.b64decode(root["pub_key"]) == base58check(XPUB_1)
    assert root["bip32"] == {"network": "mainnet"}
    mechanism = {"bip32_hardened_child": {"index": HARDENED}}
    child = sent(client, tenant, "derive", key={"transient_key": root["transient_key"]}, mechanism=mechanism, **keyed)
    weak = {"bip32_weak_child": {"index": 1}}
    leaf = sent(client, tenant, "transform", key={"transient_key": child["transient_key"]}, mechanism=weak, **keyed)
    signed = {"key": {"transient_key": leaf["transient_key"]}, "hash_alg": "SHA256", "hash": b64(bytes(32))}
    signatures = {
        sent(client, tenant, "sign", 200, deterministic_signature=True, **signed)["signature"] for _ in range(2)
    }
    assert len(signatures) == 1
    point = base64.b64decode(leaf["pub_key"])[45:]
    ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), point).verify(
        base64.b64decode(signatures.pop()), bytes(32), ec.ECDSA(Prehashed(hashes.SHA256()))
    )


def test_a_kept_key_of_a_tree_shows_its_path(tenant: Tenant, client: httpx.Client) -> None:
    seed = tenant.imported("SECRET", bytes.fromhex(SEED_1), operations=["derive"])
    ops = ["DERIVEKEY", "TRANSFORM", "EXPORT"]
    root = sent(
        client,
        tenant,
        "derive",
        key=kid(seed),
        mechanism={"bip32_master_key": {"network": "mainnet"}},
        **wanted("BIP32", None, key_ops=ops),
    )
    assert root["bip32"] == {"network": "mainnet", "derivation_path": []}
    mechanism = {"bip32_hardened_child": {"index": HARDENED}}
    child = sent(client, tenant, "derive", key={"kid": root["kid"]}, mechanism=mechanism, **wanted("BIP32", None))
    assert child["bip32"] == {"network": "mainnet", "derivation_path": [HARDENED]}
    assert value_of(client, tenant, child) == base58check(BIP32_VECTORS[0][2][1])


def test_slip10_says_its_curve(tenant: Tenant, client: httpx.Client) -> None:
    seed = tenant.imported("SECRET", bytes.fromhex(SEED_1), operations=["derive"])
    fields = wanted("SLIP10", None, elliptic_curve="Ed25519", key_ops=["SIGN", "DERIVEKEY"])
    root = sent(client, tenant, "derive", key=kid(seed), mechanism={"slip10_master_key": {}}, **fields)
    assert (root["elliptic_curve"], root["slip10"]) == ("Ed25519", {"derivation_path": []})
    mechanism = {"slip10_hardened_child": {"index": HARDENED + 44}}
    child = sent(client, tenant, "derive", key={"kid": root["kid"]}, mechanism=mechanism, **wanted("SLIP10", None))
    assert child["slip10"] == {"derivation_path": [HARDENED + 44]}


def test_an_index_of_the_wrong_half_is_refused(tenant: Tenant, client: httpx.Client) -> None:
    public = tenant.imported("BIP32", base58check(XPUB_1))
    for index in (HARDENED, 2**32, -1):
        mechanism = {"bip32_weak_child": {"index": index}}
        assert sent(client, tenant, "transform", 400, key=kid(public), mechanism=mechanism, **wanted("BIP32", None))


# -- agreement -----------------------------------------------------------------------------------------------------


def test_an_inline_public_key_is_agreed_with(tenant: Tenant, client: httpx.Client) -> None:
    ours, theirs = tenant.key("EC", curve="NistP256", operations=["agree"]), ec.generate_private_key(ec.SECP256R1())
    inline = {"inline": {"value": b64(public_der(theirs.public_key())), "obj_type": "EC"}}
    body = wanted(private_key=kid(ours), public_key=inline, mechanism="diffie_hellman")
    made = sent(client, tenant, "agree", **body)
    assert made["key_creation_method"] == {"method": "Agree"}
    shown = client.get(f"{CRYPTO}/keys/{ours.id}", auth=tenant.api_key()).json()["pub_key"]
    public: Any = load_der_public_key(base64.b64decode(shown))
    assert value_of(client, tenant, made) == theirs.exchange(ec.ECDH(), public)


def test_an_inline_key_elsewhere_is_refused_by_name(tenant: Tenant, client: httpx.Client) -> None:
    ours = tenant.key("EC", curve="NistP256", operations=["agree"])
    inline = {"inline": {"value": b64(spki(ec_key())), "obj_type": "EC"}}
    body = wanted(private_key=inline, public_key=kid(ours), mechanism="diffie_hellman")
    assert "an inline key here" in sent(client, tenant, "agree", 400, **body)
    body = {"key": inline, "hash_alg": "SHA256", "data": b64(b"x"), "signature": b64(b"x")}
    assert "an inline key here" in sent(client, tenant, "verify", 400, **body)
    both = {**inline, **kid(ours)}
    body = wanted(private_key=kid(ours), public_key=both, mechanism="diffie_hellman")
    assert "exactly one of" in sent(client, tenant, "agree", 400, **body)


def test_there_is_one_mechanism_of_agreement(tenant: Tenant, client: httpx.Client) -> None:
    ours = tenant.key("EC", curve="NistP256", operations=["agree"])
    body = wanted(private_key=kid(ours), public_key=kid(ours), mechanism="mqv")
    assert "diffie_hellman" in sent(client, tenant, "agree", 400, **body)


def test_an_encapsulated_key_comes_with_its_ciphertext(tenant: Tenant, client: httpx.Client) -> None:
    key = tenant.key("MLKEM", curve="MlKem768")
    answer = sent(client, tenant, "encapsulate", key=kid(key), **wanted(size=None))
    assert answer["key"]["key_creation_method"] == {"method": "Encapsulate"}
    body = {"key": kid(key), "ciphertext": answer["ciphertext"], **wanted(size=None)}
    made = sent(client, tenant, "decapsulate", **body)
    assert (made["key_creation_method"], made["key_size"]) == ({"method": "Decapsulate"}, 256)
    assert value_of(client, tenant, made) == value_of(client, tenant, answer["key"])


# -- check values and digests --------------------------------------------------------------------------------------


def test_a_check_value_is_asked_for_by_whatever_names_the_key(tenant: Tenant, client: httpx.Client) -> None:
    name = unique("named")
    key = tenant.key(name=name)
    by_id = sent(client, tenant, "keys/kcv", 200, kid=str(key.id))
    assert by_id == sent(client, tenant, "keys/kcv", 200, name=name, kcv_method="Encrypt")
    assert by_id["kid"] == str(key.id)
    assert by_id["kcv"] == client.get(f"{CRYPTO}/keys/{key.id}", auth=tenant.api_key()).json()["kcv"]
    assert sent(client, tenant, "keys/kcv", 200, name=name, kcv_method="Cmac")["kcv"] != by_id["kcv"]
    assert "Encrypt, Cmac" in sent(client, tenant, "keys/kcv", 400, name=name, kcv_method="Sum")
    assert "exactly one of" in sent(client, tenant, "keys/kcv", 400, kcv_method="Encrypt")


def test_a_check_value_is_verified(tenant: Tenant, client: httpx.Client) -> None:
    body = {"value": b64(bytes(16)), "obj_type": "AES"}
    # AES-128 of a block of zeros under a key of zeros begins 66E94B (FIPS 197's cipher; NIST's GCM test case 1 has H).
    assert sent(client, tenant, "keys/kcv/verify", 200, kcv="66E94B", **body) == {"verified": True}
    assert sent(client, tenant, "keys/kcv/verify", 200, kcv="66E94C", **body) == {"verified": False}
    assert sent(client, tenant, "keys/kcv/verify", 200, kcv="763CBC", kcv_method="Cmac", **body) == {"verified": True}


def test_a_transient_key_has_a_digest_and_no_id(tenant: Tenant, client: httpx.Client) -> None:
    made = client.post(
        f"{CRYPTO}/keys",
        json={"obj_type": "AES", "key_size": 256, "transient": True},
        auth=tenant.api_key(),
    ).json()
    answer = sent(client, tenant, "keys/digest", 200, key={"transient_key": made["transient_key"]}, alg="SHA256")
    assert answer.keys() == {"digest"}
    assert len(base64.b64decode(answer["digest"])) == 32


def test_derivation_by_sp_800_108_and_pbkdf2_is_ours(tenant: Tenant, client: httpx.Client) -> None:
    label, salt = base64.b64encode(b"label").decode(), base64.b64encode(bytes(16)).decode()
    key = tenant.key(operations=["derive"])
    made = sent(client, tenant, "derive", 201, key=kid(key), mechanism={"sp800_108": {"label": label}}, **wanted())
    assert made["key_creation_method"] == {"method": "Derive"}
    password = tenant.imported("SECRET", b"a password", operations=["derive"])
    stretched = {"pbkdf2": {"hash_alg": "SHA256", "salt": salt, "iterations": 1000}}
    assert sent(client, tenant, "derive", 201, key=kid(password), mechanism=stretched, **wanted())["key_size"] == 256
    for wrong in ({}, {"label": label, "fixed_input": label}):
        sent(client, tenant, "derive", 400, key=kid(key), mechanism={"sp800_108": wrong}, **wanted())
