"""Keys in components: for how many, wrapped or bare, there and back, and nothing of them left behind."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap_with_padding

from accounts.principal import Principal, PrincipalKind
from kms.audit.models import AuditRecord
from kms.crypto.algorithm import CipherParameters, LentKey
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.crypto.operation import KeyOperation
from kms.crypto.options import ExportRule, KeyOptions
from kms.hsm.module import KeySpec
from kms.objects.models import SecurityObject
from kms.operations import check_value
from kms.operations.command import ObjectRef
from kms.operations.custodians import MAX_CUSTODIANS, Custodian
from kms.operations.custody import Component, ExportComponents, ImportComponents, SplitKey, Wrapping
from kms.operations.errors import AccessDenied, InvalidRequest, NotFound
from kms.operations.executor import execute
from kms.operations.lifecycle import ExportObject
from kms.operations.making import ObjectTemplate
from kms.secret import SecretBytes
from policies.permissions import Permission
from tests.faults.test_canaries import WHOLE, spellings
from tests.kit.tenants import Tenant, new_tenant, unique
from tests.operations.test_transient import made

KWP = CipherParameters("KWP")
SHAPES: dict[str, dict[str, Any]] = {
    "AES-128": {"kind": "AES", "size": 128},
    "AES-256": {"kind": "AES", "size": 256},
    "HMAC of 13 bytes": {"kind": "HMAC", "size": 120},
    "DES": {"kind": "DES", "size": 56},
    "DES3": {"kind": "DES3", "size": 168},
    "DES3 of two keys": {"kind": "DES3", "size": 112},
}


def some(tenant: Tenant, count: int = 2) -> tuple[Custodian, ...]:
    """The administrator and new apps."""
    return (custodian(tenant.alice), *(custodian(tenant.new_app()) for _ in range(count - 1)))


def custodian(principal: Principal) -> Custodian:
    return Custodian(principal.kind, principal.id)


def split(tenant: Tenant, key: ObjectRef, custodians: Sequence[Custodian], **fields: Any) -> SplitKey:
    result: SplitKey = execute(tenant.app, ExportComponents(key, tuple(custodians), **fields))
    return result


def joined(tenant: Tenant, parts: Sequence[Component], **fields: Any) -> ObjectRef:
    wrapping = fields.pop("wrapping", None)
    custodians = fields.pop("custodians", tuple(part.custodian for part in parts))
    operations = fields.pop("operations", ["export"])
    template = ObjectTemplate(
        unique("joined"),
        fields.pop("kind", "AES"),
        tenant.group.id,
        operations=frozenset(map(KeyOperation, operations)),
        **fields,
    )
    view = execute(tenant.alice, ImportComponents(template, custodians, tuple(parts), wrapping))
    return ObjectRef(id=view.row.id)


def exported(tenant: Tenant, key: ObjectRef) -> bytes:
    value: bytes = execute(tenant.app, ExportObject(key)).value.reveal()
    return value


def xor(values: Sequence[bytes]) -> bytes:
    return functools.reduce(lambda left, right: bytes(map(operator.xor, left, right)), values)


def exportable(tenant: Tenant, kind: str = "AES", **fields: Any) -> ObjectRef:
    return tenant.key(kind, operations=["export"], **fields)


def row(key: ObjectRef) -> SecurityObject:
    return SecurityObject.objects.get(id=str(key.id))


def kcv(kind: str, size: int, material: bytes, method: str = check_value.ENCRYPT) -> str:
    return check_value.compute(kind, LentKey(KeySpec(kind, size), SecretBytes(material)), method)


# -- there and back ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("count", [2, 3, MAX_CUSTODIANS])
def test_the_components_are_the_key_and_come_back_as_it(tenant: Tenant, shape: dict[str, Any], count: int) -> None:
    key = exportable(tenant, **shape)
    holders = some(tenant, count)
    result = split(tenant, key, holders)
    values = [part.value.reveal() for part in result.components]
    assert [part.custodian for part in result.components] == list(holders)
    assert xor(values) == exported(tenant, key)
    assert len(set(values)) == count
    back = joined(tenant, result.components, kind=shape["kind"], check_value=result.check_value)
    assert exported(tenant, back) == exported(tenant, key)
    assert (row(back).creation, row(back).size) == ("components", row(key).size)


@pytest.mark.parametrize("label", ["AES-256", "DES", "DES3"])
def test_key_and_components_come_with_their_check_values(tenant: Tenant, label: str) -> None:
    shape = SHAPES[label]
    key = exportable(tenant, **shape)
    result = split(tenant, key, some(tenant))
    assert result.check_value == row(key).kcv
    assert result.check_value_cmac == kcv(shape["kind"], shape["size"], exported(tenant, key), check_value.CMAC)
    for part in result.components:
        assert part.check_value == kcv(shape["kind"], shape["size"], part.value.reveal())


def test_what_has_no_check_value_comes_without(tenant: Tenant) -> None:
    result = split(tenant, exportable(tenant, "HMAC", size=256), some(tenant))
    assert (result.check_value, result.check_value_cmac) == (None, None)
    assert {part.check_value for part in result.components} == {None}


def test_no_two_splits_are_alike(tenant: Tenant) -> None:
    key, holders = exportable(tenant), some(tenant)
    first, second = (split(tenant, key, holders) for _ in range(2))
    assert {part.value.reveal() for part in first.components}.isdisjoint(
        part.value.reveal() for part in second.components
    )


def test_a_key_of_components_can_stay_in_the_token(tenant: Tenant) -> None:
    parts = split(tenant, exportable(tenant), some(tenant)).components
    back = joined(tenant, parts, operations=["encrypt"])
    assert (row(back).protection, row(back).never_exportable) == ("token", True)


def test_a_transient_key_is_split_too(tenant: Tenant) -> None:
    blob = made(tenant, operations=["encrypt", "export"])
    assert split(tenant, ObjectRef(transient=blob), some(tenant)).check_value


def test_des_components_are_joined_with_odd_parity(tenant: Tenant) -> None:
    """Custodians' components each have odd parity, so that of two the sum has even: tokens want it odd."""
    one, two = bytes.fromhex("0123456789abcdef"), bytes.fromhex("fedcba9876543211")
    holders = some(tenant)
    parts = [Component(who, SecretBytes(value)) for who, value in zip(holders, (one, two), strict=True)]
    value = exported(tenant, joined(tenant, parts, kind="DES"))
    assert all(byte.bit_count() % 2 for byte in value)
    assert [byte >> 1 for byte in value] == [byte >> 1 for byte in xor([one, two])]


def test_components_of_two_tdea_keys_have_16_bytes(tenant: Tenant) -> None:
    one, two = bytes(range(1, 17)), bytes(range(32, 64, 2))
    values = [kcv("DES3", 112, part + part[:8]) for part in (one, two)]
    parts = [
        Component(who, SecretBytes(part), value)
        for who, part, value in zip(some(tenant), (one, two), values, strict=True)
    ]
    assert row(joined(tenant, parts, kind="DES3")).size == 112


# -- wrapped components --------------------------------------------------------------------------------------------


@pytest.fixture
def wrapping_key(tenant: Tenant) -> tuple[ObjectRef, bytes]:
    material = bytes(range(32))
    key = tenant.imported("AES", material, operations=["wrap", "unwrap", "encrypt", "decrypt"])
    return key, material


@pytest.mark.parametrize("mode", ["KW", "KWP", "ECB"])
def test_wrapped_components_come_back_wrapped(tenant: Tenant, wrapping_key: tuple[ObjectRef, bytes], mode: str) -> None:
    key = exportable(tenant)
    wrapping = Wrapping(wrapping_key[0], "AES", CipherParameters(mode))
    result = split(tenant, key, some(tenant), wrapping=wrapping)
    if mode == "KWP":
        bare = [aes_key_unwrap_with_padding(wrapping_key[1], part.value.reveal()) for part in result.components]
        assert xor(bare) == exported(tenant, key)
        assert [part.check_value for part in result.components] == [kcv("AES", 256, part) for part in bare]
    back = joined(tenant, result.components, wrapping=wrapping, check_value=result.check_value)
    assert exported(tenant, back) == exported(tenant, key)


@pytest.mark.parametrize("mode", ["CTR", "GCM", "CBC"])
def test_a_mode_with_an_iv_does_not_wrap_components(
    tenant: Tenant, wrapping_key: tuple[ObjectRef, bytes], mode: str
) -> None:
    """There is one iv for all: under CTR the ciphertexts of two components add up to the key."""
    iv = bytes(12 if mode == "GCM" else 16)
    for given in (None, iv):
        wrapping = Wrapping(wrapping_key[0], "AES", CipherParameters(mode, given))
        with pytest.raises(AlgorithmUnsupported, match="without an iv"):
            split(tenant, exportable(tenant), some(tenant), wrapping=wrapping)


def test_an_rsa_key_wraps_components(tenant: Tenant) -> None:
    rsa = tenant.key("RSA", size=2048, operations=["wrap", "unwrap", "encrypt", "decrypt"])
    wrapping = Wrapping(rsa, "RSA", CipherParameters(padding="OAEP", mgf_hash="SHA256"))
    key = exportable(tenant)
    result = split(tenant, key, some(tenant), wrapping=wrapping)
    back = joined(tenant, result.components, wrapping=wrapping)
    assert exported(tenant, back) == exported(tenant, key)


def test_an_export_policy_holds_for_components(tenant: Tenant, wrapping_key: tuple[ObjectRef, bytes]) -> None:
    wrapped_only = exportable(tenant, options=KeyOptions(export=ExportRule(wrapped=True)))
    with pytest.raises(InvalidRequest, match="wrapped only"):
        split(tenant, wrapped_only, some(tenant))
    assert split(tenant, wrapped_only, some(tenant), wrapping=Wrapping(wrapping_key[0], "AES", KWP))
    by_another = exportable(tenant, options=KeyOptions(export=ExportRule(wrapped=True, by=(str(uuid4()),))))
    with pytest.raises(InvalidRequest, match="does not name this wrapping key"):
        split(tenant, by_another, some(tenant), wrapping=Wrapping(wrapping_key[0], "AES", KWP))


def test_the_wrapping_key_takes_rights_of_its_own(tenant: Tenant, wrapping_key: tuple[ObjectRef, bytes]) -> None:
    key, holders = exportable(tenant), some(tenant)
    command = ExportComponents(key, holders, Wrapping(wrapping_key[0], "AES", KWP))
    with pytest.raises(AccessDenied, match="wrap exportable objects"):
        execute(tenant.new_app([Permission.OBJECT_EXPORT]), command)
    with pytest.raises(AccessDenied, match="does not permit the operation wrap"):
        execute(tenant.app, replace(command, wrapping=Wrapping(tenant.key(operations=["encrypt"]), "AES", KWP)))
    with pytest.raises(InvalidRequest, match="alg is RSA"):
        execute(tenant.app, replace(command, wrapping=Wrapping(wrapping_key[0], "RSA", KWP)))
    parts = execute(tenant.app, command).components
    back = ImportComponents(ObjectTemplate(unique("k"), "AES", tenant.group.id), holders, parts, command.wrapping)
    with pytest.raises(AccessDenied, match="unwrap"):
        execute(tenant.new_app([Permission.OBJECT_CREATE]), back)


# -- what is refused -----------------------------------------------------------------------------------------------


def test_only_who_may_export_splits_and_only_what_may_be_exported(tenant: Tenant) -> None:
    holders = some(tenant)
    with pytest.raises(AccessDenied, match="does not permit the operation export"):
        split(tenant, tenant.key(), holders)
    with pytest.raises(AccessDenied, match="take an exportable object's material out"):
        execute(tenant.new_app([Permission.OBJECT_ENCRYPT]), ExportComponents(exportable(tenant), holders))
    other = new_tenant()
    with pytest.raises(NotFound):
        execute(other.app, ExportComponents(exportable(tenant), some(other)))


@pytest.mark.parametrize(("kind", "fields"), [("RSA", {"size": 2048}), ("EC", {"curve": "NistP256"})])
def test_a_pair_is_not_split(tenant: Tenant, kind: str, fields: dict[str, Any]) -> None:
    with pytest.raises(ParameterInvalid, match="AES, DES, DES3, HMAC"):
        split(tenant, exportable(tenant, kind, **fields), some(tenant))


def test_a_secret_is_not_split_or_joined(tenant: Tenant) -> None:
    holders = some(tenant)
    with pytest.raises(ParameterInvalid, match="SECRET objects are not"):
        split(tenant, tenant.imported("SECRET", b"text", operations=["export"]), holders)
    parts = [Component(who, SecretBytes(bytes([number]) * 16)) for number, who in enumerate(holders)]
    with pytest.raises(ParameterInvalid, match="SECRET objects are not"):
        joined(tenant, parts, kind="SECRET")


@pytest.mark.parametrize("count", [0, 1, MAX_CUSTODIANS + 1])
def test_one_custodian_is_too_few_and_many_are_too_many(tenant: Tenant, count: int) -> None:
    holders = [Custodian(PrincipalKind.USER, uuid4()) for _ in range(count)]
    with pytest.raises(ParameterInvalid, match=f"2 to 16 custodians, not {count}"):
        split(tenant, exportable(tenant), holders)


def test_custodians_are_of_the_account_and_each_once(tenant: Tenant) -> None:
    key, other = exportable(tenant), new_tenant()
    alice, bob = some(tenant)
    with pytest.raises(ParameterInvalid, match="named twice"):
        split(tenant, key, [alice, alice])
    disabled = custodian(tenant.member("member", enabled=False))
    for stranger in (custodian(other.alice), Custodian(PrincipalKind.USER, tenant.app.id), disabled):
        with pytest.raises(NotFound, match="user does not exist"):
            split(tenant, key, [alice, stranger])
    with pytest.raises(NotFound, match="app does not exist"):
        split(tenant, key, [bob, custodian(other.app)])


def test_every_custodian_brings_one_component(tenant: Tenant) -> None:
    parts = list(split(tenant, exportable(tenant), some(tenant, 3)).components)
    holders = tuple(part.custodian for part in parts)
    outsider = custodian(tenant.app)
    for brought in (
        parts[:2],
        [*parts, replace(parts[0], custodian=outsider)],
        [*parts[:2], replace(parts[2], custodian=outsider)],
        [*parts[:2], replace(parts[2], custodian=holders[0])],
        [],
    ):
        with pytest.raises(ParameterInvalid, match="exactly one component"):
            joined(tenant, brought, custodians=holders)


def test_a_wrong_component_is_found_by_its_check_value_and_named(tenant: Tenant) -> None:
    parts = list(split(tenant, exportable(tenant), some(tenant)).components)
    value = bytearray(parts[1].value.reveal())
    value[0] ^= 1
    parts[1] = replace(parts[1], value=SecretBytes(value))
    with pytest.raises(ParameterInvalid, match=f"component of app {parts[1].custodian.id}"):
        joined(tenant, parts)


def test_a_wrong_key_is_found_by_its_check_value(tenant: Tenant) -> None:
    first, second = (split(tenant, exportable(tenant), some(tenant)) for _ in range(2))
    mixed = [first.components[0], replace(second.components[1], custodian=first.components[1].custodian)]
    with pytest.raises(ParameterInvalid, match="kcv does not match the key"):
        joined(tenant, mixed, check_value=first.check_value)


def test_check_values_by_cmac_are_compared_as_such(tenant: Tenant) -> None:
    result = split(tenant, exportable(tenant), some(tenant))
    parts = [
        replace(part, check_value=kcv("AES", 256, part.value.reveal(), check_value.CMAC)) for part in result.components
    ]
    cmac = {"check_value": result.check_value_cmac, "check_value_method": check_value.CMAC}
    assert joined(tenant, parts, **cmac)
    with pytest.raises(ParameterInvalid, match="component_kcv"):
        joined(tenant, result.components, **cmac)


@pytest.mark.parametrize("values", [(bytes(16), bytes(32)), (b"\1" * 16, b"\1" * 16), (b"\1" * 15, b"\2" * 15)])
def test_components_that_cannot_be_meant_are_refused(tenant: Tenant, values: tuple[bytes, ...]) -> None:
    parts = [Component(who, SecretBytes(value)) for who, value in zip(some(tenant), values, strict=True)]
    with pytest.raises(ParameterInvalid):
        joined(tenant, parts)
    assert not SecurityObject.objects.filter(account=tenant.account).exists()


def test_a_check_value_for_what_has_none_is_refused(tenant: Tenant) -> None:
    parts = [Component(who, SecretBytes(bytes([n]) * 32), "000000") for n, who in enumerate(some(tenant))]
    with pytest.raises(ParameterInvalid, match="no key check value"):
        joined(tenant, parts, kind="HMAC")


# -- the record ----------------------------------------------------------------------------------------------------


def test_both_ways_are_recorded_with_their_custodians(tenant: Tenant) -> None:
    key, holders = exportable(tenant), (*some(tenant), custodian(tenant.app))
    back = joined(tenant, split(tenant, key, holders).components)
    names = ", ".join(f"{who.kind} {who.id}" for who in holders)
    for action, target in (("object.export-components", key), ("object.import-components", back)):
        found = AuditRecord.objects.get(account_id=tenant.account.id, action=action)
        assert (found.outcome, found.object_id) == ("done", target.id)
        assert (found.details["custodians"], found.details["items"]) == (names, 3)


def test_nothing_of_a_component_is_recorded_logged_or_said(
    tenant: Tenant, wrapping_key: tuple[ObjectRef, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    key = exportable(tenant)
    parts = list(split(tenant, key, some(tenant)).components)
    secrets = [exported(tenant, key), *(part.value.reveal() for part in parts)]
    joined(tenant, parts)
    errors = []
    for wrong in (
        {"parts": parts[:1]},
        {"parts": [parts[0], replace(parts[1], check_value="000000")]},
        {"parts": parts, "check_value": "000000"},
        {"parts": [parts[0], replace(parts[1], value=parts[0].value)]},
        {"parts": parts, "kind": "DES3"},
        {"parts": parts, "wrapping": Wrapping(wrapping_key[0], "AES", KWP)},
    ):
        with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever it is, it must not tell
            joined(tenant, **wrong)
        errors.append(f"{caught.value!r} {caught.value}")
    records = AuditRecord.objects.filter(account_id=tenant.account.id)
    said = "".join([caplog.text, *errors, *(str(values) for values in records.values_list()), repr(parts)]).encode()
    assert b"object.import-components" in said
    for secret in secrets:
        for spelling, written in spellings(secret).items():
            assert len(written) < WHOLE or written not in said, spelling
