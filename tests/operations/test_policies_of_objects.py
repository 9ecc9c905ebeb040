"""What an owner fixes for one object: how each policy is set, tightened, loosened and ended, and what endings leave."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from accounts.clock import clock
from kms.crypto.algorithm import CipherParameters, SignatureParameters
from kms.crypto.errors import ParameterInvalid
from kms.crypto.options import CipherOptions, ExportRule, KeyOptions, PaddingRule, RsaOptions, options_of
from kms.objects.publication import Publication
from kms.objects.revocation import Revocation, RevocationCode
from kms.objects.rotation import RotationPolicy
from kms.objects.state import KeyState
from kms.operations.command import ObjectRef
from kms.operations.cryptographic import Sign, WrapKey
from kms.operations.errors import AccessDenied, InvalidRequest
from kms.operations.executor import execute
from kms.operations.lifecycle import DestroyObject, ExportObject, RemovePrivateKey, RevokeObject
from kms.operations.updating import UpdateObject
from policies.permissions import Permission
from tests.kit.objects import SUPERSEDED, export, last_reason, ops, row, state, update
from tests.kit.tenants import Tenant, unique
from tests.operations.material import certificate, ec_key, pkcs8

KWP = CipherParameters("KWP")
ANY = ExportRule(wrapped=True)
FREE = ExportRule()


def rule(*, by: tuple[Any, ...] = (), may_weaken: bool = False) -> ExportRule:
    return ExportRule(wrapped=True, by=tuple(sorted(map(str, by))), may_weaken=may_weaken)


def exportable(tenant: Tenant, found: ExportRule | None = None) -> ObjectRef:
    return tenant.key(operations=["encrypt", "decrypt", "wrap", "export"], options=KeyOptions(export=found))


def wrap(tenant: Tenant, wrapping: ObjectRef, subject: ObjectRef) -> bytes:
    result: bytes = execute(tenant.app, WrapKey(wrapping, subject, "AES", KWP)).ciphertext
    return result


# -- export policies -----------------------------------------------------------------------------------------------


def test_a_wrapped_only_object_leaves_wrapped_and_in_no_other_way(tenant: Tenant) -> None:
    key, wrapping = exportable(tenant, ANY), tenant.key()
    with pytest.raises(InvalidRequest, match="wrapped only"):
        export(tenant, key)
    assert last_reason(tenant, "object.export") == ("failed", "export-wrapped-only")
    assert len(wrap(tenant, wrapping, key)) == 40


def test_a_policy_that_names_wrapping_keys_knows_no_others(tenant: Tenant) -> None:
    named, other = tenant.key(), tenant.key()
    key = exportable(tenant, rule(by=(named.id,)))
    assert len(wrap(tenant, named, key)) == 40
    with pytest.raises(InvalidRequest, match="does not name this wrapping key"):
        wrap(tenant, other, key)
    assert last_reason(tenant, "object.wrap") == ("failed", "export-wrapping-key")


KEY_A, KEY_B = str(uuid4()), str(uuid4())
CHANGES: list[tuple[str, ExportRule | None, ExportRule, bool]] = [
    ("from free to wrapped", None, ANY, True),
    ("from free to named keys", None, rule(by=(KEY_A,)), True),
    ("to the same", ANY, ANY, True),
    ("from any to named keys", ANY, rule(by=(KEY_A,)), True),
    ("to fewer named keys", rule(by=(KEY_A, KEY_B)), rule(by=(KEY_A,)), True),
    ("to free", ANY, FREE, False),
    ("from named to any", rule(by=(KEY_A,)), ANY, False),
    ("to other named keys", rule(by=(KEY_A,)), rule(by=(KEY_B,)), False),
    ("to more named keys", rule(by=(KEY_A,)), rule(by=(KEY_A, KEY_B)), False),
    ("to one that may be weakened", ANY, rule(may_weaken=True), False),
    ("one that may be weakened, to free", rule(may_weaken=True), FREE, True),
    ("one that may be weakened, to any", rule(by=(KEY_A,), may_weaken=True), ANY, True),
    ("one that may be weakened, for good", rule(may_weaken=True), ANY, True),
]


@pytest.mark.parametrize(
    ("before", "after", "allowed"), [change[1:] for change in CHANGES], ids=[change[0] for change in CHANGES]
)
def test_a_policy_is_tightened_always_and_loosened_if_it_said_so(
    tenant: Tenant, before: ExportRule | None, after: ExportRule, allowed: bool
) -> None:
    key = exportable(tenant, before)
    if allowed:
        update(tenant, key, options=KeyOptions(export=after))
        assert options_of(row(key).options).export == (after if after.wrapped else None)
    else:
        with pytest.raises(InvalidRequest, match="cannot be weakened"):
            update(tenant, key, options=KeyOptions(export=after))
        assert last_reason(tenant, "object.update") == ("failed", "export-policy-weakened")
        assert options_of(row(key).options).export == before


def test_a_policy_that_restricts_nothing_is_none(tenant: Tenant) -> None:
    key = exportable(tenant, FREE)
    assert row(key).options == {}
    update(tenant, key, options=KeyOptions(export=FREE))
    assert (row(key).options, row(key).version) == ({}, 1)
    assert len(export(tenant, key)) == 32


# -- options -------------------------------------------------------------------------------------------------------


def test_a_part_that_is_not_mentioned_stays(tenant: Tenant) -> None:
    pss, v15 = RsaOptions(signature=(PaddingRule("PSS"),)), RsaOptions(signature=(PaddingRule("PKCS1_V15"),))
    key = tenant.key("RSA", size=2048, operations=["sign", "export"], options=KeyOptions(rsa=pss, export=ANY))
    sign = Sign(key, SignatureParameters("SHA256", "PKCS1_V15"), data=b"x")
    with pytest.raises((InvalidRequest, ParameterInvalid)):
        execute(tenant.app, sign)
    update(tenant, key, options=KeyOptions(rsa=v15))
    assert options_of(row(key).options) == KeyOptions(rsa=v15, export=ANY)
    assert execute(tenant.app, sign).value


def test_options_of_another_kind_are_refused(tenant: Tenant) -> None:
    rsa = KeyOptions(rsa=RsaOptions(signature=(PaddingRule("PSS"),)))
    with pytest.raises(ParameterInvalid, match="no rsa options"):
        tenant.key(options=rsa)
    with pytest.raises(ParameterInvalid, match="no rsa options"):
        update(tenant, tenant.key(), options=rsa)
    with pytest.raises(ParameterInvalid, match="no cipher options"):
        tenant.key("EC", curve="NistP256", options=KeyOptions(cipher=CipherOptions(mode="GCM")))


def test_changing_policies_takes_the_right_to(tenant: Tenant) -> None:
    key = tenant.key("EC", curve="NistP256", operations=["sign", "verify", "export"])
    changes: list[dict[str, Any]] = [
        {"options": KeyOptions(export=ANY)},
        {"rotation": RotationPolicy(days=1)},
        {"publication": Publication()},
        {"ended": frozenset({"rotation"})},
        {"ended": frozenset({"publication"})},
    ]
    without = tenant.new_app([Permission.OBJECT_UPDATE, Permission.OBJECT_UPDATE_OPERATIONS])
    within = tenant.new_app([Permission.OBJECT_UPDATE_POLICIES])
    for change in changes:
        with pytest.raises(AccessDenied):
            execute(without, UpdateObject(key, **change))
        execute(within, UpdateObject(key, **change))


# -- publication ---------------------------------------------------------------------------------------------------


def test_a_publication_is_set_changed_and_ended(tenant: Tenant) -> None:
    key = tenant.key("EC", curve="NistP256")
    update(tenant, key, publication=Publication(previous=True))
    assert row(key).publication == {"previous": True}
    update(tenant, key, publication=Publication())
    assert row(key).publication == {"previous": False}
    update(tenant, key, ended=frozenset({"publication"}))
    assert row(key).publication is None
    with pytest.raises(ParameterInvalid, match="no public key to publish"):
        update(tenant, tenant.key(), publication=Publication())
    with pytest.raises(ParameterInvalid, match="no public key to publish"):
        tenant.key(publication=Publication())


# -- revocation and endings ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", RevocationCode)
def test_a_reason_leads_to_its_state_and_is_kept(tenant: Tenant, code: RevocationCode) -> None:
    key = tenant.key()
    before = clock.now()
    execute(tenant.alice, RevokeObject(key, Revocation(code, "because")))
    compromised = code in (RevocationCode.KEY_COMPROMISE, RevocationCode.CA_COMPROMISE)
    assert state(key) is (KeyState.COMPROMISED if compromised else KeyState.DEACTIVATED)
    found = row(key)
    assert found.revocation == {"code": code.value, "message": "because"}
    when = found.compromise_date if compromised else found.deactivation_date
    assert when is not None
    assert when > before - timedelta(seconds=1)
    assert (found.compromise_date is None) is not compromised


def test_a_compromise_may_have_happened_before_it_was_known_and_not_after(tenant: Tenant) -> None:
    key, month = tenant.key(), timedelta(days=30)
    ahead = Revocation(RevocationCode.KEY_COMPROMISE, occurred_at=clock.now() + month)
    with pytest.raises(ParameterInvalid, match="lies ahead"):
        execute(tenant.alice, RevokeObject(key, ahead))
    with pytest.raises(ParameterInvalid, match="goes with a compromise only"):
        execute(tenant.alice, RevokeObject(key, Revocation(RevocationCode.SUPERSEDED, occurred_at=clock.now())))
    behind = clock.now() - month
    execute(tenant.alice, RevokeObject(key, Revocation(RevocationCode.KEY_COMPROMISE, occurred_at=behind)))
    assert row(key).compromise_date == behind


def test_destruction_takes_the_material_and_leaves_the_attributes(tenant: Tenant) -> None:
    name = unique("gone")
    key = tenant.key(name=name, description="d", custom_metadata={"a": "b"}, operations=["encrypt", "export"])
    kcv = row(key).kcv
    bring_to_end(tenant, key)
    found = row(key)
    assert bytes(found.blob) == b""
    assert (found.name, found.description, found.custom_metadata, found.kcv) == (name, "d", {"a": "b"}, kcv)
    assert (found.kind, found.size, sorted(found.operations)) == ("AES", 256, ["encrypt", "export"])
    with pytest.raises(AccessDenied, match="is destroyed"):
        execute(tenant.app, ExportObject(key))
    update(tenant, key, description="of a key that was", custom_metadata={"c": "d"}, name=unique("renamed"))
    with pytest.raises(InvalidRequest, match="material is gone"):
        update(tenant, key, operations=ops("encrypt"))
    with pytest.raises(InvalidRequest, match="material is gone"):
        update(tenant, key, options=KeyOptions(export=ANY))


def bring_to_end(tenant: Tenant, key: ObjectRef) -> None:
    execute(tenant.alice, RevokeObject(key, SUPERSEDED))
    execute(tenant.alice, DestroyObject(key))


def test_a_destroyed_certificate_keeps_what_it_said_and_not_itself(tenant: Tenant) -> None:
    key = tenant.imported("CERTIFICATE", certificate())
    bring_to_end(tenant, key)
    found = row(key)
    assert found.attributes["subject"] == "CN=test"
    assert "der" not in found.attributes
    assert bytes(found.blob) == b""


def test_a_public_key_is_left_when_the_private_one_is_removed(tenant: Tenant) -> None:
    key = tenant.imported("EC", pkcs8(ec_key()), operations=["sign", "verify", "export"])
    before = row(key)
    execute(tenant.alice, RemovePrivateKey(key))
    after = row(key)
    assert (after.public_only, after.operations, after.protection) == (True, ["export", "verify"], "sealed")
    assert after.public_key == before.public_key
    assert export(tenant, key) == bytes(before.public_key or b"")
    for refused in (key, tenant.key()):
        with pytest.raises(InvalidRequest, match=r"gone already|no private key to remove"):
            execute(tenant.alice, RemovePrivateKey(refused))
