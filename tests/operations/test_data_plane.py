"""The data plane: decided on cached facts, validated in the commit, recorded once."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.models import Account, App, AppGroup
from kms.audit.models import AuditRecord
from kms.crypto.algorithm import CipherParameters, SignatureParameters
from kms.crypto.operation import KeyOperation
from kms.operations.command import ObjectRef
from kms.operations.creation import UnwrapKey
from kms.operations.cryptographic import Batch, Decrypt, Encrypt, GenerateMac, Sign, Verify, VerifyMac, WrapKey
from kms.operations.errors import AccessDenied, NotFound
from kms.operations.executor import execute
from kms.operations.lifecycle import DeleteObject
from kms.operations.making import ObjectTemplate
from kms.operations.updating import UpdateObject
from policies.permissions import Permission
from tests.kit.tenants import Tenant, new_tenant, unique
from tests.kit.threads import each

GCM = CipherParameters("GCM")


def encrypt(tenant: Tenant, key: ObjectRef, data: bytes = b"data") -> Any:
    return execute(tenant.app, Encrypt(key, "AES", GCM, data)).value


def entries(tenant: Tenant, action: str) -> list[AuditRecord]:
    return list(AuditRecord.objects.filter(account_id=tenant.account.id, action=action).order_by("sequence"))


def test_what_is_encrypted_comes_back(tenant: Tenant) -> None:
    key = tenant.key()
    made = encrypt(tenant, key, b"attack at dawn")
    back = execute(tenant.app, Decrypt(key, "AES", CipherParameters("GCM", made.iv, tag=made.tag), made.ciphertext))
    assert back.value == b"attack at dawn"


def test_every_call_leaves_exactly_one_entry(tenant: Tenant) -> None:
    key = tenant.key()
    for _ in range(5):
        encrypt(tenant, key)
    with pytest.raises(NotFound):
        encrypt(tenant, ObjectRef(name="no such key"))
    found = entries(tenant, "object.encrypt")
    assert [entry.outcome for entry in found] == ["done"] * 5 + ["denied"]
    assert found[0].object_id == key.id
    assert found[0].groups == [tenant.group.id]
    assert found[0].details["input_bytes"] == 4


def test_a_concurrent_burst_is_recorded_call_by_call(tenant: Tenant) -> None:
    key = tenant.key()
    made = each(16, lambda _: encrypt(tenant, key).iv, range(200))
    assert len(set(made)) == 200
    assert len(entries(tenant, "object.encrypt")) == 200


@pytest.mark.parametrize(
    "change",
    [
        lambda t: App.objects.filter(id=t.app.id).update(enabled=False),
        lambda t: AppGroup.objects.filter(app_id=t.app.id).update(permissions=["object.decrypt"]),
        lambda t: AppGroup.objects.filter(app_id=t.app.id).delete(),
        lambda t: Account.objects.filter(id=t.account.id).update(enabled=False),
        lambda t: App.objects.filter(id=t.app.id).delete(),
    ],
    ids=["app disabled", "permission taken", "removed from the group", "account disabled", "app deleted"],
)
def test_a_right_that_is_gone_is_refused_by_the_very_next_call(tenant: Tenant, change: Any) -> None:
    """Changed behind the corridor's back, by plain SQL: the version check must not depend on who changed it."""
    key = tenant.key()
    encrypt(tenant, key)
    change(tenant)
    with pytest.raises(Exception, match=r"(?i)disabled|No permission|not exist|no longer"):
        encrypt(tenant, key)


def test_an_operation_that_was_removed_from_the_key_is_refused_by_the_very_next_call(tenant: Tenant) -> None:
    key = tenant.key()
    encrypt(tenant, key)
    execute(tenant.alice, UpdateObject(key, operations=frozenset({KeyOperation.DECRYPT})))
    with pytest.raises(AccessDenied, match="does not permit"):
        encrypt(tenant, key)
    assert entries(tenant, "object.encrypt")[-1].reason == "operation-not-permitted"


def test_a_deleted_key_is_refused_and_its_name_can_be_taken_again(tenant: Tenant) -> None:
    name = unique("k")
    key = tenant.key(name=name)
    encrypt(tenant, ObjectRef(name=name))
    execute(tenant.alice, DeleteObject(key))
    with pytest.raises(NotFound):
        encrypt(tenant, ObjectRef(name=name))
    again = tenant.key(name=name)
    assert execute(tenant.app, Encrypt(ObjectRef(name=name), None, GCM, b"")).key.id == again.id


def test_a_renamed_key_is_found_under_its_new_name_only(tenant: Tenant) -> None:
    old, new = unique("k"), unique("k")
    key = tenant.key(name=old)
    encrypt(tenant, ObjectRef(name=old))
    execute(tenant.alice, UpdateObject(key, name=new))
    encrypt(tenant, ObjectRef(name=new))
    with pytest.raises(NotFound):
        encrypt(tenant, ObjectRef(name=old))


def test_users_do_not_encrypt_even_as_administrators(tenant: Tenant) -> None:
    key = tenant.key()
    with pytest.raises(AccessDenied, match="No permission to encrypt"):
        execute(tenant.alice, Encrypt(key, "AES", GCM, b""))


def test_another_accounts_key_does_not_exist(tenant: Tenant) -> None:
    other = new_tenant()
    key = other.key()
    with pytest.raises(NotFound, match="does not exist"):
        encrypt(tenant, key)
    with pytest.raises(NotFound, match="does not exist"):
        encrypt(tenant, ObjectRef(name=str(key.id)))


def test_a_key_in_a_group_without_membership_does_not_exist(tenant: Tenant) -> None:
    key = tenant.key(group=tenant.new_group())
    with pytest.raises(NotFound, match="does not exist"):
        encrypt(tenant, key)
    assert entries(tenant, "object.encrypt")[-1].reason == "not-visible"


@pytest.mark.parametrize(
    ("permission", "refused"),
    [(Permission.OBJECT_ENCRYPT, Decrypt), (Permission.OBJECT_DECRYPT, Encrypt)],
)
def test_an_app_does_only_what_it_was_given(tenant: Tenant, permission: Permission, refused: Any) -> None:
    app = tenant.new_app([permission])
    key = tenant.key()
    parameters = CipherParameters("GCM", bytes(12), tag=bytes(16)) if refused is Decrypt else GCM
    with pytest.raises(AccessDenied):
        execute(app, refused(key, "AES", parameters, b""))


@pytest.mark.parametrize("kind", ["RSA", "EC"])
def test_signatures_verify_and_only_the_right_ones(tenant: Tenant, kind: str) -> None:
    key = tenant.key("RSA", size=2048) if kind == "RSA" else tenant.key("EC", curve="NistP256")
    parameters = SignatureParameters("SHA256")
    signature = execute(tenant.app, Sign(key, parameters, data=b"message")).value
    assert execute(tenant.app, Verify(key, parameters, signature, data=b"message")).value is True
    assert execute(tenant.app, Verify(key, parameters, signature, data=b"massage")).value is False


def test_macs_verify_and_only_the_right_ones(tenant: Tenant) -> None:
    key = tenant.key("HMAC", size=256)
    mac = execute(tenant.app, GenerateMac(key, "SHA256", b"message")).value
    assert execute(tenant.app, VerifyMac(key, "SHA256", b"message", mac)).value is True
    assert execute(tenant.app, VerifyMac(key, "SHA256", b"message", bytes(32))).value is False


@pytest.mark.parametrize("mode", ["GCM", "KW", "KWP"])
def test_a_wrapped_key_unwraps_to_the_same_key(tenant: Tenant, mode: str) -> None:
    wrapping = tenant.key()
    subject = tenant.key(operations=["encrypt", "decrypt", "export"])
    made = encrypt(tenant, subject, b"secret")
    wrapped = execute(tenant.app, WrapKey(wrapping, subject, "AES", CipherParameters(mode)))
    template = ObjectTemplate(unique("u"), "AES", tenant.group.id, operations=frozenset({KeyOperation.DECRYPT}))
    parameters = CipherParameters(mode, wrapped.iv, tag=wrapped.tag)
    view = execute(tenant.app, UnwrapKey(wrapping, "AES", parameters, wrapped.ciphertext, template))
    assert view.row.protection == "token"
    back = Decrypt(ObjectRef(id=view.row.id), "AES", CipherParameters("GCM", made.iv, tag=made.tag), made.ciphertext)
    assert execute(tenant.app, back).value == b"secret"


def test_a_key_that_is_not_exportable_is_not_wrapped(tenant: Tenant) -> None:
    with pytest.raises(AccessDenied, match="does not permit the operation export"):
        execute(tenant.app, WrapKey(tenant.key(), tenant.key(), "AES", CipherParameters("KWP")))


def test_a_batch_ends_item_by_item_and_leaves_one_entry(tenant: Tenant) -> None:
    good, narrow = tenant.key(), tenant.key(operations=["decrypt"])
    hidden = tenant.key(group=tenant.new_group())
    items = [Encrypt(key, "AES", GCM, b"x") for key in (good, narrow, hidden, good)]
    results = execute(tenant.app, Batch((*items, Encrypt(good, "AES", CipherParameters("CBC", bytes(3)), b"x"))))
    assert [type(item.error).__name__ for item in results] == [
        "NoneType",
        "AccessDenied",
        "NotFound",
        "NoneType",
        "ParameterInvalid",
    ]
    (entry,) = entries(tenant, "object.batch")
    assert entry.details["items"] == 5
    assert entry.details["failed_items"] == 3
