"""Check values and hashes of keys: right, for whoever may, and of nothing that they would give away."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import pytest
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

from kms.api.wire.sobject import wire_material
from kms.audit.models import AuditRecord
from kms.crypto import digest as hashing
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.crypto.operation import KeyOperation
from kms.hsm.module import KeySpec
from kms.objects import keystore
from kms.objects.models import SecurityObject
from kms.operations.command import ObjectRef
from kms.operations.creation import CreateObject
from kms.operations.errors import AccessDenied, InvalidRequest, NotFound
from kms.operations.executor import execute
from kms.operations.inspection import DigestObject, GetCheckValue, VerifyCheckValue
from kms.operations.lifecycle import ExportObject
from kms.operations.making import ObjectTemplate
from kms.secret import SecretBytes
from policies.permissions import Permission
from policies.system_roles import APP_GRANTABLE
from tests.kit.tenants import Tenant, new_tenant
from tests.operations.deriving import last_entry, row_of
from tests.operations.material import ec_key, pkcs8, rsa_key, spki

# Two keys of each kind of block cipher, by what they are when nobody may export them.
MATERIAL = {
    "AES": os.urandom(32),
    "DES3": bytes.fromhex("0123456789abcdef23456789abcdef01456789abcdef0123"),
    "DES": bytes.fromhex("0123456789abcdef"),
    "SEED": os.urandom(16),
}


def expected(kind: str, method: str) -> str:
    material = MATERIAL[kind]
    cipher: Any = {
        "AES": lambda: algorithms.AES(material),
        "DES3": lambda: TripleDES(material),
        "DES": lambda: TripleDES(material * 3),
    }[kind]()
    if method == "cmac":
        mac = CMAC(cipher)
        mac.update(bytes(cipher.block_size // 8))
        return mac.finalize()[:3].hex().upper()
    encryptor = Cipher(cipher, modes.ECB()).encryptor()  # noqa: S305 - of one block of zeros
    return encryptor.update(bytes(cipher.block_size // 8))[:3].hex().upper()


# -- check values --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["encrypt", "cmac"])
@pytest.mark.parametrize("kind", ["AES", "DES3", "DES"])
@pytest.mark.parametrize("exportable", [False, True])
def test_a_check_value_is_the_start_of_an_encrypted_block(
    tenant: Tenant, kind: str, method: str, exportable: bool
) -> None:
    operations = ["encrypt", "export"] if exportable else ["encrypt"]
    key = tenant.imported(kind, MATERIAL[kind], operations=operations)
    found = execute(tenant.app, GetCheckValue(key, method))
    assert found.value == expected(kind, method)
    if method == "encrypt":
        assert found.value == row_of(key).kcv
    for right, value in ((True, found.value.lower()), (False, "000000")):
        command = VerifyCheckValue(kind, SecretBytes(MATERIAL[kind]), value, method)
        assert execute(tenant.app, command) is right


def test_seed_keys_have_one_too(tenant: Tenant) -> None:
    key = tenant.imported("SEED", MATERIAL["SEED"], operations=["encrypt"])
    value = execute(tenant.app, GetCheckValue(key)).value
    assert execute(tenant.app, VerifyCheckValue("SEED", SecretBytes(MATERIAL["SEED"]), value)) is True


def test_a_transient_key_has_one(tenant: Tenant) -> None:
    wanted = ObjectTemplate(None, "AES", tenant.group.id, size=256, transient=True)
    made = execute(tenant.app, CreateObject(wanted))
    assert len(execute(tenant.app, GetCheckValue(ObjectRef(transient=made.transient))).value) == 6


@pytest.mark.parametrize("kind", ["HMAC", "SECRET", "EC"])
def test_kinds_without_a_block_have_none(tenant: Tenant, kind: str) -> None:
    key = tenant.imported("SECRET", b"x") if kind == "SECRET" else tenant.key(kind, **_shape(kind))
    with pytest.raises(InvalidRequest, match="no key check value"):
        execute(tenant.app, GetCheckValue(key))
    with pytest.raises(InvalidRequest, match="no key check value"):
        execute(tenant.app, VerifyCheckValue(kind, SecretBytes(bytes(32)), "000000"))


def _shape(kind: str) -> dict[str, Any]:
    return {"size": 256} if kind == "HMAC" else {"curve": "NistP256"}


@pytest.mark.parametrize("value", ["", "00000", "0000000", "00000g", "\uff100000"])
def test_what_is_no_check_value_is_refused(tenant: Tenant, value: str) -> None:
    with pytest.raises(ParameterInvalid, match="6 hexadecimal digits"):
        execute(tenant.app, VerifyCheckValue("AES", SecretBytes(bytes(16)), value))


def test_material_of_the_wrong_length_is_refused(tenant: Tenant) -> None:
    with pytest.raises(ParameterInvalid):
        execute(tenant.app, VerifyCheckValue("AES", SecretBytes(bytes(15)), "000000"))


def test_verification_keeps_nothing_and_records_no_material(tenant: Tenant) -> None:
    material = os.urandom(32)
    before = SecurityObject.objects.count()
    execute(tenant.app, VerifyCheckValue("AES", SecretBytes(material), "ABCDEF"))
    assert SecurityObject.objects.count() == before
    entry = AuditRecord.objects.get(account_id=tenant.account.id, action="data.check-value")
    assert (entry.outcome, entry.details["result"]) == ("done", False)
    assert material.hex() not in str(entry.details)
    assert "ABCDEF" not in str(entry.details)


# -- digests -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hash_name", ["SHA1", "SHA224", "SHA256", "SHA384", "SHA512"])
@pytest.mark.parametrize(("kind", "length"), [("AES", 32), ("HMAC", 64), ("HMAC", 100), ("DES3", 24)])
def test_a_key_in_the_token_is_hashed_there(tenant: Tenant, kind: str, length: int, hash_name: str) -> None:
    material = MATERIAL["DES3"] if kind == "DES3" else os.urandom(length)
    key = tenant.imported(kind, material, operations=["mac-generate"])
    row = row_of(key)
    assert row.protection == (keystore.TOKEN if keystore.in_token(KeySpec(row.kind, row.size)) else keystore.SOFTWARE)
    found = execute(tenant.app, DigestObject(key, hash_name)).value
    assert found == hashlib.new(hash_name.lower(), material).digest()


@pytest.mark.parametrize("hash_name", ["SHA256", "SHA3_512", "BLAKE2B256", "RIPEMD160"])
def test_an_exportable_key_is_hashed_by_any_hash(tenant: Tenant, hash_name: str) -> None:
    for kind, material in (("AES", os.urandom(16)), ("HMAC", os.urandom(20)), ("SECRET", b"hunter2"), ("OPAQUE", b"o")):
        key = tenant.imported(kind, material, operations=["export"])
        assert execute(tenant.app, DigestObject(key, hash_name)).value == hashing.digest(hash_name, material)


@pytest.mark.parametrize("kind", ["EC", "RSA"])
def test_an_exportable_pair_is_hashed_as_it_is_exported(tenant: Tenant, kind: str) -> None:
    material = pkcs8(ec_key() if kind == "EC" else rsa_key())
    key = tenant.imported(kind, material, operations=["sign", "export"])
    view = execute(tenant.alice, ExportObject(key))
    shown = wire_material(view.row, view.value, view.form)
    assert execute(tenant.app, DigestObject(key, "SHA256")).value == hashlib.sha256(shown).digest()


def test_a_public_key_is_hashed_as_it_is(tenant: Tenant) -> None:
    key = tenant.imported("EC", spki(ec_key()), operations=["verify"])
    assert execute(tenant.app, DigestObject(key, "SHA256")).value == hashlib.sha256(spki(ec_key())).digest()


def test_what_would_give_something_away_or_cannot_be_is_refused_with_the_reason(tenant: Tenant) -> None:
    pair = tenant.key("EC", curve="NistP256")
    with pytest.raises(InvalidRequest, match="private key is hashed only"):
        execute(tenant.app, DigestObject(pair, "SHA256"))
    secret = tenant.imported("SECRET", b"hunter2", operations=["derive"])
    with pytest.raises(InvalidRequest, match="could be guessed"):
        execute(tenant.app, DigestObject(secret, "SHA256"))
    with pytest.raises(AlgorithmUnsupported, match="stays there"):
        execute(tenant.app, DigestObject(tenant.key(), "SHA3_256"))
    with pytest.raises(AlgorithmUnsupported, match="512 bits or more"):
        execute(tenant.app, DigestObject(tenant.key("HMAC", size=256), "SHA256"))
    with pytest.raises(AlgorithmUnsupported, match="SSL3"):
        execute(tenant.app, DigestObject(tenant.key(), "SSL3"))


def test_keys_that_are_lent_are_hashed_outside(tenant: Tenant) -> None:
    key = tenant.imported("DES", MATERIAL["DES"], operations=["encrypt"])
    assert row_of(key).protection == keystore.SOFTWARE
    assert execute(tenant.app, DigestObject(key, "SHA3_256")).value == hashlib.sha3_256(MATERIAL["DES"]).digest()


# -- who may, and when ---------------------------------------------------------------------------------------------


def test_hashing_a_key_is_a_permission_of_its_own(tenant: Tenant) -> None:
    key = tenant.key()
    app = tenant.new_app(APP_GRANTABLE - {Permission.OBJECT_CALCULATE_DIGEST})
    with pytest.raises(AccessDenied):
        execute(app, DigestObject(key, "SHA256"))
    assert execute(app, GetCheckValue(key)).value


def test_what_belongs_to_another_account_is_not_there(tenant: Tenant) -> None:
    theirs = new_tenant().key()
    for command in (DigestObject(theirs, "SHA256"), GetCheckValue(theirs)):
        with pytest.raises(NotFound):
            execute(tenant.app, command)


@pytest.mark.parametrize(
    ("state", "allowed"),
    [("pre-active", True), ("deactivated", True), ("compromised", True), ("destroyed", False)],
)
def test_a_key_is_looked_at_as_long_as_it_exists(tenant: Tenant, state: str, allowed: bool) -> None:
    key = tenant.key()
    SecurityObject.objects.filter(id=str(key.id)).update(state=state)
    for command in (DigestObject(key, "SHA256"), GetCheckValue(key)):
        if allowed:
            assert execute(tenant.app, command).value
        else:
            with pytest.raises(AccessDenied, match=state):
                execute(tenant.app, command)


def test_both_are_recorded_with_the_key(tenant: Tenant) -> None:
    key = tenant.key(operations=[KeyOperation.ENCRYPT.value])
    digest = execute(tenant.app, DigestObject(key, "SHA256")).value
    value = execute(tenant.app, GetCheckValue(key, "cmac")).value
    entry = last_entry(tenant, "object.digest")
    details = {"hash": "SHA256", "permission": "object.calculate-digest"}
    assert (entry.outcome, entry.object_id, entry.details) == ("done", key.id, details)
    entry = last_entry(tenant, "object.check-value")
    details = {"mechanism": "cmac", "permission": "object.get"}
    assert (entry.outcome, entry.object_id, entry.details) == ("done", key.id, details)
    assert digest.hex() not in str(entry.details)
    assert value not in str(entry.details)
