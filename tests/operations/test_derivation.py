"""Keys derived through the corridor: the material is what the standards say, and only who may derives and creates."""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFCMAC, KBKDFHMAC, CounterLocation
from cryptography.hazmat.primitives.kdf.kbkdf import Mode as KBKDFMode

from kms.crypto.algorithm import CipherParameters
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.crypto.options import CipherOptions, ExportRule, KeyOptions
from kms.objects import keystore
from kms.objects.models import SecurityObject
from kms.objects.state import Cryptoperiod, KeyState
from kms.operations.command import ObjectRef
from kms.operations.cryptographic import Encrypt
from kms.operations.derivation import (
    CounterKdf,
    DeriveKey,
    EncryptData,
    Hkdf,
    PasswordKdf,
)
from kms.operations.errors import AccessDenied, InvalidRequest, NotFound
from kms.operations.executor import execute
from policies.permissions import Permission
from policies.system_roles import APP_GRANTABLE
from tests.crypto.test_kdf import published
from tests.kit.tenants import Tenant, new_tenant
from tests.operations.deriving import derive, last_entry, row_of, template, value_of

HKDF_SHA256 = Hkdf("SHA256", b"salt", b"info")
IV = bytes(range(16))
EXPORTED = ["derive", "export"]


# -- HKDF ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("hash_name", "vector"), list(published()))
def test_rfc_5869s_vectors_come_out_of_lent_material(tenant: Tenant, hash_name: str, vector: dict[str, str]) -> None:
    key = tenant.imported("SECRET", bytes.fromhex(vector["IKM"]), operations=["derive"])
    assert row_of(key).protection == keystore.SOFTWARE
    mechanism = Hkdf(hash_name, bytes.fromhex(vector.get("salt", "")), bytes.fromhex(vector.get("info", "")))
    made = derive(tenant, key, mechanism, size=int(vector["L"]) * 8)
    assert value_of(tenant, made).hex() == vector["OKM"]


def test_rfc_5869s_vectors_come_out_of_the_token(tenant: Tenant) -> None:
    """The one whose input is long enough for the token to hold it unpadded (A.2 and A.5: 80 bytes)."""
    taken = [vector for vector in published() if len(vector.values[1]["IKM"]) == 160]
    assert len(taken) == 2
    for hash_name, vector in (found.values for found in taken):
        key = tenant.imported("HMAC", bytes.fromhex(vector["IKM"]), operations=["derive"])
        assert row_of(key).protection == keystore.TOKEN
        mechanism = Hkdf(hash_name, bytes.fromhex(vector["salt"]), bytes.fromhex(vector["info"]))
        made = derive(tenant, key, mechanism, size=int(vector["L"]) * 8)
        assert value_of(tenant, made).hex() == vector["OKM"]


@pytest.mark.parametrize("hash_name", ["SHA1", "SHA224", "SHA256", "SHA384", "SHA512"])
@pytest.mark.parametrize("salt", [b"", b"salt", bytes(200)], ids=["none", "short", "longer than a block"])
def test_a_key_in_the_token_and_the_same_key_lent_give_the_same(tenant: Tenant, hash_name: str, salt: bytes) -> None:
    material = os.urandom(32)
    inside = tenant.imported("AES", material, operations=["derive"])
    sealed = tenant.imported("AES", material, operations=EXPORTED)
    assert (row_of(inside).protection, row_of(sealed).protection) == (keystore.TOKEN, keystore.SEALED)
    oracles = {"SHA1": hashes.SHA1(), "SHA512": hashes.SHA512()}  # noqa: S303
    oracle = oracles.get(hash_name) or getattr(hashes, hash_name)()
    expected = HKDF(oracle, 40, salt, b"info").derive(material)
    for key in (inside, sealed):
        assert value_of(tenant, derive(tenant, key, Hkdf(hash_name, salt, b"info"), size=320)) == expected


def test_a_generated_key_derives_the_same_twice_and_another_for_other_info(tenant: Tenant) -> None:
    key = tenant.key(operations=["derive"])
    made = [value_of(tenant, derive(tenant, key, Hkdf("SHA256", b"", info), size=256)) for info in (b"a", b"a", b"b")]
    assert made[0] == made[1] != made[2]


def test_hashes_that_the_token_lacks_need_a_key_that_may_be_lent(tenant: Tenant) -> None:
    mechanism = Hkdf("SHA3_256")
    with pytest.raises(AlgorithmUnsupported, match="stays there"):
        derive(tenant, tenant.key(operations=["derive"]), mechanism, size=256)
    material = os.urandom(32)
    made = derive(tenant, tenant.imported("AES", material, operations=EXPORTED), mechanism, size=256)
    assert value_of(tenant, made) == HKDF(hashes.SHA3_256(), 32, None, b"").derive(material)


def test_an_hmac_key_that_the_token_holds_padded_is_refused_with_the_way_out(tenant: Tenant) -> None:
    with pytest.raises(AlgorithmUnsupported, match="512 bits or more"):
        derive(tenant, tenant.key("HMAC", size=256, operations=["derive"]), HKDF_SHA256, size=256)
    assert derive(tenant, tenant.key("HMAC", size=512, operations=["derive"]), HKDF_SHA256, size=256)


# -- encrypt_data --------------------------------------------------------------------------------------------------


def test_the_ciphertexts_first_bits_are_the_key(tenant: Tenant) -> None:
    material, plaintext = os.urandom(32), os.urandom(48)
    key = tenant.imported("AES", material, operations=["derive"])
    encryptor = Cipher(algorithms.AES(material), modes.CBC(IV)).encryptor()
    ciphertext = encryptor.update(plaintext)
    mechanism = EncryptData("AES", CipherParameters("CBC", IV), plaintext)
    for size in (256, 384):
        assert value_of(tenant, derive(tenant, key, mechanism, size=size)) == ciphertext[: size // 8]


@pytest.mark.parametrize("mode", ["ECB", "CBCNOPAD", "CTR", "OFB", "CFB", "GCM", "CCM"])
def test_every_mode_that_encrypts_data_derives_a_key_that_works(tenant: Tenant, mode: str) -> None:
    key = tenant.key(operations=["derive", "encrypt"])
    iv = {"ECB": None, "GCM": IV[:12], "CCM": IV[:12]}.get(mode, IV)
    parameters = CipherParameters(mode, iv, tag_bits=128 if mode in ("GCM", "CCM") else None)
    plaintext = os.urandom(32)
    made = derive(tenant, key, EncryptData("AES", parameters, plaintext), "AES", size=256, operations=EXPORTED)
    expected = execute(tenant.app, Encrypt(key, "AES", parameters, plaintext)).value.ciphertext
    assert value_of(tenant, made) == expected
    assert made.row.kcv


def test_what_would_not_be_the_same_key_again_is_refused(tenant: Tenant) -> None:
    key = tenant.key(operations=["derive"])
    with pytest.raises(ParameterInvalid, match="needs the iv"):
        derive(tenant, key, EncryptData("AES", CipherParameters("CBC"), bytes(32)), size=256)


@pytest.mark.parametrize("mode", ["FF1", "KW", "KWP"])
def test_modes_that_do_not_encrypt_data_are_refused(tenant: Tenant, mode: str) -> None:
    key = tenant.key(operations=["derive"])
    with pytest.raises(AlgorithmUnsupported, match="not FF1, KW or KWP"):
        derive(tenant, key, EncryptData("AES", CipherParameters(mode), bytes(32)), size=256)


def test_the_keys_own_mode_counts_and_so_does_its_algorithm(tenant: Tenant) -> None:
    wrapping = tenant.key(operations=["derive"], options=KeyOptions(cipher=CipherOptions(mode="KWP")))
    with pytest.raises(AlgorithmUnsupported, match="not FF1, KW or KWP"):
        derive(tenant, wrapping, EncryptData(None, CipherParameters(), bytes(32)), size=256)
    with pytest.raises(InvalidRequest, match="alg is DES3"):
        derive(tenant, wrapping, EncryptData("DES3", CipherParameters("ECB"), bytes(32)), size=256)


def test_a_ciphertext_too_short_for_the_key_is_refused(tenant: Tenant) -> None:
    key = tenant.key(operations=["derive"])
    with pytest.raises(ParameterInvalid, match="128 bits, fewer"):
        derive(tenant, key, EncryptData("AES", CipherParameters("ECB"), bytes(16)), size=256)


# -- the new key ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "size", "length"),
    [
        ("AES", 128, 16),
        ("AES", 256, 32),
        ("HMAC", 160, 20),
        ("DES", 56, 8),
        ("DES3", 112, 24),
        ("DES3", 168, 24),
        ("SEED", 128, 16),
        ("SECRET", 8, 1),
        ("OPAQUE", 1000, 125),
    ],
)
def test_derived_bytes_become_a_key_of_their_kind(tenant: Tenant, kind: str, size: int, length: int) -> None:
    made = derive(tenant, tenant.key(operations=["derive"]), HKDF_SHA256, kind, size=size)
    assert (made.row.kind, made.row.size) == (kind, size)
    value = value_of(tenant, made)
    assert len(value) == length
    if kind.startswith("DES"):
        assert all(byte.bit_count() % 2 for byte in value)


@pytest.mark.parametrize(
    ("kind", "size", "says"),
    [
        ("AES", None, "key_size is needed"),
        ("AES", 0, "no size"),
        ("AES", 100, "no size"),
        ("AES", 64, "128, 192"),
        ("HMAC", 64, "112"),
        ("DES", 64, "no size of DES"),
        ("DES3", 192, "no size of DES3"),
        ("SECRET", 255 * 256 + 8, "65280"),
        ("RSA", 2048, "key_type is one of"),
        ("EC", 256, "key_type is one of"),
        ("CERTIFICATE", 256, "key_type is one of"),
    ],
)
def test_sizes_and_kinds_that_cannot_be_are_refused(tenant: Tenant, kind: str, size: int | None, says: str) -> None:
    with pytest.raises(ParameterInvalid, match=says):
        derive(tenant, tenant.key(operations=["derive"]), HKDF_SHA256, kind, size=size)


def test_a_kind_that_is_not_here_at_all_is_refused_by_name(tenant: Tenant) -> None:
    with pytest.raises(AlgorithmUnsupported, match="ARIA"):
        derive(tenant, tenant.key(operations=["derive"]), HKDF_SHA256, "ARIA", size=128)


def test_the_new_key_carries_what_was_asked_for(tenant: Tenant) -> None:
    parent = tenant.key(operations=["derive"])
    made = derive(
        tenant,
        parent,
        HKDF_SHA256,
        "AES",
        size=256,
        operations=["encrypt", "export"],
        description="derived",
        custom_metadata={"a": "b"},
        period=Cryptoperiod(datetime(2131, 1, 1, tzinfo=UTC)),
        options=KeyOptions(export=ExportRule(wrapped=True)),
        enabled=False,
    )
    row = row_of(ObjectRef(id=made.row.id))
    assert (row.creation, row.parent, row.description, row.custom_metadata) == (
        "derive",
        parent.id,
        "derived",
        {"a": "b"},
    )
    assert (made.state, row.enabled, row.options["export"]) == (KeyState.PRE_ACTIVE, False, {"wrapped": True})


def test_a_derived_key_stays_in_the_token_unless_it_may_be_exported(tenant: Tenant) -> None:
    key = tenant.key(operations=["derive"])
    inside = derive(tenant, key, HKDF_SHA256, "AES", size=256, operations=None)
    assert (inside.row.protection, inside.row.never_exportable) == (keystore.TOKEN, True)
    assert derive(tenant, key, HKDF_SHA256, "AES", size=256).row.protection == keystore.SEALED


def test_a_transient_key_derives_and_is_derived(tenant: Tenant) -> None:
    material = os.urandom(32)
    first = derive(tenant, tenant.imported("AES", material, operations=["derive"]), HKDF_SHA256, "AES", size=256,
                   operations=["derive"], transient=True)  # fmt: skip
    assert first.transient is not None
    second = derive(tenant, ObjectRef(transient=first.transient), Hkdf("SHA512"), size=512)
    middle = HKDF(hashes.SHA256(), 32, b"salt", b"info").derive(material)
    assert value_of(tenant, second) == HKDF(hashes.SHA512(), 64, None, b"").derive(middle)
    assert second.row.parent is None


# -- who may -------------------------------------------------------------------------------------------------------


def test_the_key_must_allow_it(tenant: Tenant) -> None:
    with pytest.raises(AccessDenied, match="derive"):
        derive(tenant, tenant.key(operations=["encrypt"]), HKDF_SHA256, size=256)


@pytest.mark.parametrize("missing", [Permission.OBJECT_DERIVE, "create"])
def test_the_principal_must_be_allowed_both(tenant: Tenant, missing: Any) -> None:
    key = tenant.key(operations=["derive"])
    creating = {Permission.OBJECT_CREATE, Permission.OBJECT_MANAGE}
    app = tenant.new_app(APP_GRANTABLE - (creating if missing == "create" else {missing}))
    with pytest.raises(AccessDenied):
        execute(app, DeriveKey(key, HKDF_SHA256, template(tenant, size=256)))
    assert last_entry(tenant, "object.derive").outcome == "denied"
    assert not SecurityObject.objects.filter(account=tenant.account, creation="derive").exists()


def test_the_new_key_goes_only_where_one_may_create(tenant: Tenant) -> None:
    key, elsewhere = tenant.key(operations=["derive"]), tenant.new_group()
    with pytest.raises(NotFound):
        derive(tenant, key, HKDF_SHA256, size=256, group=elsewhere.id)


def test_what_belongs_to_another_account_is_not_there(tenant: Tenant) -> None:
    stranger = new_tenant()
    with pytest.raises(NotFound):
        derive(tenant, stranger.key(operations=["derive"]), HKDF_SHA256, size=256)
    with pytest.raises(NotFound):
        derive(tenant, tenant.key(operations=["derive"]), HKDF_SHA256, size=256, group=stranger.group.id)


def test_the_record_names_both_keys_and_no_material(tenant: Tenant) -> None:
    key = tenant.key(operations=["derive"])
    made = derive(tenant, key, Hkdf("SHA256", b"the salt", b"the info"), size=256)
    entry = last_entry(tenant, "object.derive")
    assert (entry.outcome, entry.object_id, entry.details["parent"]) == ("done", made.row.id, str(key.id))
    assert entry.details["mechanism"] == "hkdf"
    assert value_of(tenant, made).hex() not in str(entry.details)
    assert "the info" not in str(entry.details)


def test_a_retired_key_derives_nothing_new(tenant: Tenant) -> None:
    key = tenant.key(operations=["derive"])
    SecurityObject.objects.filter(id=str(key.id)).update(state="deactivated")
    with pytest.raises(AccessDenied, match="deactivated"):
        derive(tenant, key, HKDF_SHA256, size=256)


# -- SP 800-108 and PBKDF2 -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("hash_name", ["SHA1", "SHA256", "SHA512"])
def test_counter_mode_is_the_librarys_for_keys_in_the_token_and_lent(tenant: Tenant, hash_name: str) -> None:
    material = os.urandom(64)
    oracle = KBKDFHMAC(
        {"SHA1": hashes.SHA1(), "SHA256": hashes.SHA256(), "SHA512": hashes.SHA512()}[hash_name],  # noqa: S303
        KBKDFMode.CounterMode,
        72,
        4,
        4,
        CounterLocation.BeforeFixed,
        b"label",
        b"context",
        None,
    ).derive(material)
    mechanism = CounterKdf(hash_name, b"label", b"context")
    inside = tenant.imported("HMAC", material, operations=["derive"])
    assert row_of(inside).protection == keystore.TOKEN
    for key in (inside, tenant.imported("SECRET", material, operations=["derive"])):
        assert value_of(tenant, derive(tenant, key, mechanism, size=576)) == oracle


def test_counter_mode_over_an_aes_keys_cmac_is_the_librarys(tenant: Tenant) -> None:
    material = os.urandom(32)
    oracle = KBKDFCMAC(
        algorithms.AES, KBKDFMode.CounterMode, 32, 4, 4, CounterLocation.BeforeFixed, b"l", b"c", None
    ).derive(material)
    key = tenant.imported("AES", material, operations=["derive"])
    assert row_of(key).protection == keystore.TOKEN
    assert value_of(tenant, derive(tenant, key, CounterKdf(None, b"l", b"c"), size=256)) == oracle


def test_pbkdf2_makes_a_key_of_a_password(tenant: Tenant) -> None:
    password, salt = tenant.imported("SECRET", b"correct horse", operations=["derive"]), os.urandom(16)
    made = derive(tenant, password, PasswordKdf("SHA256", salt, 1000), "AES", size=256)
    assert value_of(tenant, made) == hashlib.pbkdf2_hmac("sha256", b"correct horse", salt, 1000, 32)
    assert last_entry(tenant, "object.derive").details["mechanism"] == "pbkdf2"


@pytest.mark.parametrize(
    ("mechanism", "refused"),
    [
        (PasswordKdf("SHA256", bytes(15), 1000), ParameterInvalid),
        (PasswordKdf("SHA256", bytes(16), 999), ParameterInvalid),
        (PasswordKdf("SHA256", bytes(16), 10_000_001), ParameterInvalid),
        (PasswordKdf("MD5", bytes(16), 1000), AlgorithmUnsupported),
        (CounterKdf(None), ParameterInvalid),
        (CounterKdf("MD5"), AlgorithmUnsupported),
    ],
)
def test_weak_or_missing_parameters_are_refused(tenant: Tenant, mechanism: Any, refused: type[Exception]) -> None:
    key = tenant.imported("SECRET", b"correct horse", operations=["derive"])
    with pytest.raises(refused):
        derive(tenant, key, mechanism, size=256)


def test_pbkdf2_starts_from_a_password_only(tenant: Tenant) -> None:
    with pytest.raises(InvalidRequest, match="a SECRET"):
        derive(tenant, tenant.key(operations=["derive"]), PasswordKdf("SHA256", bytes(16), 1000), size=256)


def test_an_aes_key_has_a_cmac_and_no_hash(tenant: Tenant) -> None:
    with pytest.raises(ParameterInvalid, match="CMAC"):
        derive(tenant, tenant.key(operations=["derive"]), CounterKdf("SHA256"), size=256)
