"""What an undo policy keeps, for how long, and which ways back there are: to every state, never to EXPORT."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from accounts.clock import clock
from kms.crypto.options import ExportRule, KeyOptions, PaddingRule, RsaOptions, options_of
from kms.hsm.errors import BlobRejected
from kms.objects.models import HistoryItem, SecurityObject
from kms.objects.publication import Publication
from kms.objects.rotation import RotationPolicy, rotation_of
from kms.objects.state import KeyState
from kms.operations.accounts import UpdateAccount
from kms.operations.command import ObjectRef
from kms.operations.errors import AccessDenied, Conflict, InvalidRequest, NotFound
from kms.operations.executor import execute
from kms.operations.groups import DeleteGroup, UpdateGroup
from kms.operations.history import RevertObject
from kms.operations.lifecycle import (
    ActivateObject,
    DeleteObject,
    DestroyObject,
    RemovePrivateKey,
    RevokeObject,
)
from kms.operations.making import ObjectTemplate
from kms.operations.rotating import RotateObject
from policies.permissions import Permission
from tests.kit.objects import (
    COMPROMISED,
    HOUR,
    SUPERSEDED,
    bring,
    by_sql,
    decrypt,
    encrypt,
    export,
    id_of,
    kept,
    last_entry,
    last_reason,
    ops,
    ref_of,
    revert,
    row,
    shown,
    state,
    undo_window,
    update,
)
from tests.kit.tenants import Tenant, new_tenant, unique
from tests.kit.threads import at_once
from tests.operations.material import certificate, ec_key, pkcs8

CRYPT = ops("encrypt", "decrypt")


@pytest.fixture
def careful(tenant: Tenant) -> Tenant:
    """A tenant whose group lets changes be taken back for an hour."""
    undo_window(tenant)
    return tenant


def columns(key: ObjectRef) -> dict[str, Any]:
    """All of the row but what a way back changes too: the blob and the version that it is bound to."""
    found = SecurityObject.objects.filter(id=id_of(key)).values().get()
    return {name: value for name, value in found.items() if name not in ("blob", "version")}


# -- each kind of change -------------------------------------------------------------------------------------------

CHANGES: dict[str, Callable[[Tenant, ObjectRef], Any]] = {
    "operations narrowed": lambda t, key: update(t, key, operations=ops("decrypt", "export")),
    "operations widened": lambda t, key: update(t, key, operations=CRYPT | ops("wrap", "export")),
    "deactivation date": lambda t, key: update(t, key, deactivation_date=clock.now() + timedelta(days=3)),
    "rotation policy": lambda t, key: update(t, key, rotation=RotationPolicy(days=3)),
    "group": lambda t, key: update(t, key, group=t.new_group().id),
    "deactivated": lambda t, key: execute(t.alice, RevokeObject(key, SUPERSEDED)),
    "compromised": lambda t, key: execute(t.alice, RevokeObject(key, COMPROMISED)),
    "deleted": lambda t, key: execute(t.alice, DeleteObject(key)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_is_taken_back_whole(careful: Tenant, change: Callable[[Tenant, ObjectRef], Any]) -> None:
    key = careful.key(operations=["encrypt", "decrypt", "export"], rotation=RotationPolicy(days=9))
    made, before = encrypt(careful, key), columns(key)
    change(careful, key)
    assert columns(key) != before
    (item,) = kept(key)
    revert(careful, key, [item])
    assert columns(key) == before
    assert decrypt(careful, key, made) == b"data"
    assert len(export(careful, key)) == 32
    assert kept(key) == []
    entry = last_entry(careful, "object.revert")
    assert (entry.object_id, entry.details["items"], entry.details["object_version"]) == (key.id, 1, row(key).version)


def test_an_activation_is_taken_back(careful: Tenant) -> None:
    key = careful.key(pre_active=True)
    execute(careful.alice, ActivateObject(key))
    revert(careful, key, kept(key))
    assert (state(key), row(key).activation_date) == (KeyState.PRE_ACTIVE, None)


def test_a_destruction_is_taken_back_with_the_material(careful: Tenant) -> None:
    key = careful.key()
    made = encrypt(careful, key)
    execute(careful.alice, RevokeObject(key, SUPERSEDED))
    execute(careful.alice, DestroyObject(key))
    assert bytes(row(key).blob) == b""
    revert(careful, key, kept(key)[-1:])
    assert (state(key), row(key).destruction_date) == (KeyState.DEACTIVATED, None)
    assert decrypt(careful, key, made) == b"data"
    assert len(kept(key)) == 1


def test_a_removed_private_key_comes_back_and_signs(careful: Tenant) -> None:
    from kms.crypto.algorithm import SignatureParameters
    from kms.operations.cryptographic import Sign, Verify

    key = careful.imported("EC", pkcs8(ec_key()), operations=["sign", "verify"])
    sign = Sign(key, SignatureParameters("SHA256"), data=b"x")
    execute(careful.alice, RemovePrivateKey(key))
    with pytest.raises(AccessDenied):
        execute(careful.app, sign)
    revert(careful, key, kept(key))
    assert (row(key).public_only, row(key).protection) == (False, "token")
    signature = execute(careful.app, sign).value
    verify = Verify(key, SignatureParameters("SHA256"), signature, data=b"x")
    assert execute(careful.app, verify).value is True


def test_a_deleted_certificate_comes_back_whole(careful: Tenant) -> None:
    key = careful.imported("CERTIFICATE", certificate())
    before = columns(key)
    execute(careful.alice, DeleteObject(key))
    assert "der" not in row(key).attributes
    revert(careful, key, kept(key))
    assert columns(key) == before
    assert export(careful, key) == certificate()


def test_a_deleted_published_key_is_published_again(careful: Tenant) -> None:
    key = careful.key("EC", curve="NistP256", publication=Publication())
    execute(careful.alice, DeleteObject(key))
    assert row(key).publication is None
    revert(careful, key, kept(key))
    assert row(key).publication == {"previous": False}


def test_several_changes_are_taken_back_together_and_one_after_the_other(careful: Tenant) -> None:
    key = careful.key(operations=["encrypt", "decrypt", "wrap"])
    before = columns(key)
    for operations in (CRYPT, ops("decrypt"), ops("encrypt")):
        update(careful, key, operations=operations)
    execute(careful.alice, RevokeObject(key, SUPERSEDED))
    items = kept(key)
    assert [sorted(item.fields["operations"]) for item in items] == [
        ["decrypt", "encrypt", "wrap"],
        ["decrypt", "encrypt"],
        ["decrypt"],
        ["encrypt"],
    ]
    revert(careful, key, items[3:])
    assert (state(key), row(key).operations) == (KeyState.ACTIVE, ["encrypt"])
    revert(careful, key, reversed(items[1:3]))
    assert row(key).operations == ["decrypt", "encrypt"]
    assert [item.id for item in kept(key)] == [items[0].id]
    revert(careful, key, items[:1])
    assert columns(key) == before


def test_a_way_back_may_jump_over_changes_and_they_are_forgotten(careful: Tenant) -> None:
    key = careful.key(operations=["encrypt", "decrypt"])
    for operations in (ops("encrypt"), ops("decrypt"), ops("encrypt")):
        update(careful, key, operations=operations)
    revert(careful, key, kept(key)[:1])
    assert (row(key).operations, kept(key)) == (["decrypt", "encrypt"], [])


def test_changes_are_kept_in_the_order_in_which_they_were_made(careful: Tenant) -> None:
    """Also when calls that read the clock early had to wait for the row."""
    key = careful.key(operations=["encrypt", "decrypt"])
    at_once(4, lambda number: [update(careful, key, operations=ops(("encrypt", "decrypt")[number % 2])) for _ in "ab"])
    items = kept(key)
    assert len({item.created_at for item in items}) == len(items)
    assert [item.version for item in items] == sorted(item.version for item in items)
    revert(careful, key, items[:1])
    assert decrypt(careful, key, encrypt(careful, key)) == b"data"


def test_a_change_comes_after_the_one_before_it_also_when_clocks_differ(careful: Tenant) -> None:
    key = careful.key(operations=["encrypt", "decrypt"])
    update(careful, key, operations=ops("encrypt"))
    ahead = clock.now() + timedelta(seconds=5)
    HistoryItem.objects.filter(object_id=id_of(key)).update(created_at=ahead)
    update(careful, key, operations=ops("decrypt"))
    first, second = kept(key)
    assert (first.fields["operations"], second.fields["operations"]) == (["decrypt", "encrypt"], ["encrypt"])
    revert(careful, key, [second])
    assert (row(key).operations, [item.id for item in kept(key)]) == (["encrypt"], [first.id])


def test_a_rotation_is_not_undone_but_a_deactivation_with_it_is(careful: Tenant) -> None:
    key = careful.key(rotation=RotationPolicy(days=3))
    new = ref_of(execute(careful.alice, RotateObject(key, ObjectTemplate(None, ""), deactivate=True)))
    (item,) = kept(key)
    revert(careful, key, [item])
    assert state(key) is KeyState.ACTIVE
    assert (row(key).replacement, row(new).replaced) == (new.id, key.id)
    assert (row(key).rotation, row(key).rotates_at) == (None, None)
    assert rotation_of(row(new).rotation) is not None


# -- names and groups ----------------------------------------------------------------------------------------------


def test_a_deleted_object_whose_name_was_taken_comes_back_when_it_is_free(careful: Tenant) -> None:
    key = careful.key(name="wanted")
    execute(careful.alice, DeleteObject(key))
    other = careful.key(name="wanted")
    with pytest.raises(Conflict, match="exists already"):
        revert(careful, key, kept(key))
    assert row(key).state == "deleted"
    update(careful, other, name="other")
    revert(careful, key, kept(key))
    assert shown(careful, ObjectRef(name="wanted")).row.id == key.id


def test_back_to_a_group_takes_the_right_to_create_there(careful: Tenant) -> None:
    there = careful.new_group()
    key = careful.key(group=there)
    execute(careful.alice, UpdateGroup(there.id, undo_seconds=HOUR))
    update(careful, key, group=careful.group.id)
    items = kept(key)
    with pytest.raises(NotFound, match="group does not exist"):
        execute(careful.app, RevertObject(key, (items[0].id,)))
    assert row(key).group_id == careful.group.id
    revert(careful, key, items)
    assert row(key).group_id == there.id


def test_back_to_a_group_that_is_gone_is_not_possible(careful: Tenant) -> None:
    there = careful.new_group()
    execute(careful.alice, UpdateGroup(there.id, undo_seconds=HOUR))
    key = careful.key(group=there)
    update(careful, key, group=careful.group.id)
    execute(careful.alice, DeleteGroup(there.id))
    with pytest.raises(NotFound, match="group does not exist"):
        revert(careful, key, kept(key))


def test_a_group_with_something_to_bring_back_is_not_deleted(careful: Tenant) -> None:
    there = careful.new_group()
    execute(careful.alice, UpdateGroup(there.id, undo_seconds=HOUR))
    key = careful.key(group=there)
    execute(careful.alice, DeleteObject(key))
    with pytest.raises(Conflict, match="can still be brought back"):
        execute(careful.alice, DeleteGroup(there.id))
    HistoryItem.objects.filter(object_id=id_of(key)).update(expires_at=clock.now() - timedelta(seconds=1))
    execute(careful.alice, DeleteGroup(there.id))
    assert not SecurityObject.objects.filter(id=id_of(key)).exists()


# -- windows -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("account", "group", "seconds"),
    [(None, None, None), (60, None, 60), (None, 90, 90), (60, 90, 90), (90, 60, 60), (60, 0, None), (0, 0, None)],
)
def test_the_groups_policy_goes_before_the_accounts(
    tenant: Tenant, account: int | None, group: int | None, seconds: int | None
) -> None:
    if account is not None:
        execute(tenant.alice, UpdateAccount(tenant.account.id, undo_seconds=account))
    if group is not None:
        execute(tenant.alice, UpdateGroup(tenant.group.id, undo_seconds=group))
    key = tenant.key()
    before = clock.now()
    update(tenant, key, operations=ops("encrypt"))
    if seconds is None:
        assert kept(key) == []
        return
    (item,) = kept(key)
    assert abs(item.expires_at - before - timedelta(seconds=seconds)) < timedelta(seconds=10)


def test_without_a_policy_nothing_is_kept_of_anything(tenant: Tenant) -> None:
    keys = [tenant.key(pre_active=True) for _ in range(3)]
    for key, to in zip(keys, (KeyState.COMPROMISED, KeyState.DESTROYED, KeyState.DELETED), strict=True):
        update(tenant, key, operations=ops("encrypt"))
        bring(tenant, key, to)
    execute(tenant.alice, RemovePrivateKey(tenant.imported("EC", pkcs8(ec_key()))))
    assert not HistoryItem.objects.filter(object__account=tenant.account).exists()
    assert [bytes(row(key).blob) for key in keys[1:]] == [b"", b""]


def test_a_changed_policy_is_for_the_changes_that_come(tenant: Tenant) -> None:
    undo_window(tenant, 60)
    key = tenant.key()
    update(tenant, key, operations=ops("encrypt"))
    undo_window(tenant, 6000)
    update(tenant, key, operations=ops("decrypt"))
    undo_window(tenant, 0)
    update(tenant, key, operations=ops("encrypt"))
    first, second = kept(key)
    assert first.expires_at - first.created_at == timedelta(seconds=60)
    assert second.expires_at - second.created_at == timedelta(seconds=6000)


def test_when_its_time_is_over_a_change_stays(careful: Tenant) -> None:
    key = careful.key()
    update(careful, key, operations=ops("encrypt"))
    (item,) = kept(key)
    assert [found.id for found in shown(careful, key).history] == [item.id]
    HistoryItem.objects.filter(id=item.id).update(expires_at=clock.now() - timedelta(seconds=1))
    assert shown(careful, key).history == ()
    with pytest.raises(NotFound, match="its time to be undone is over"):
        revert(careful, key, [item])
    assert last_reason(careful, "object.revert") == ("denied", "history-item-not-found")
    assert row(key).operations == ["encrypt"]


@pytest.mark.parametrize("ending", ["destroyed", "deleted", "private key removed"])
def test_no_older_change_brings_back_material_after_the_time_of_its_removal(tenant: Tenant, ending: str) -> None:
    """Kept under a longer policy than the one in force when the material went, it would outlive that."""
    key = tenant.imported("EC", pkcs8(ec_key()), operations=["sign", "verify"], pre_active=True)
    undo_window(tenant, 30 * 24 * HOUR)
    execute(tenant.alice, ActivateObject(key))
    undo_window(tenant, 60)
    before = clock.now()
    _end(tenant, key, ending)
    assert kept(key)
    assert max(item.expires_at for item in kept(key)) < before + timedelta(seconds=70)


@pytest.mark.parametrize("ending", ["destroyed", "deleted", "private key removed"])
def test_without_a_policy_removed_material_is_gone_with_its_history(tenant: Tenant, ending: str) -> None:
    key = tenant.imported("EC", pkcs8(ec_key()), operations=["sign", "verify"], pre_active=True)
    undo_window(tenant)
    execute(tenant.alice, ActivateObject(key))
    assert kept(key)
    undo_window(tenant, 0)
    _end(tenant, key, ending)
    assert kept(key) == []


def _end(tenant: Tenant, key: ObjectRef, ending: str) -> None:
    if ending == "private key removed":
        execute(tenant.alice, RemovePrivateKey(key))
        return
    execute(tenant.alice, RevokeObject(key, SUPERSEDED))
    execute(tenant.alice, DestroyObject(key) if ending == "destroyed" else DeleteObject(key))


# -- never ---------------------------------------------------------------------------------------------------------


def test_no_way_leads_back_to_export(careful: Tenant) -> None:
    key = careful.key(operations=["encrypt", "decrypt", "export"])
    update(careful, key, operations=ops("encrypt", "export"))
    made_of_old = kept(key)
    update(careful, key, operations=ops("encrypt"))
    assert kept(key) == [], "what was kept would be a way to have it again"
    for item in made_of_old:
        with pytest.raises(NotFound):
            revert(careful, key, [item])
    update(careful, key, operations=ops("decrypt"))
    revert(careful, key, kept(key))
    assert row(key).operations == ["encrypt"]
    with pytest.raises(AccessDenied, match="does not permit the operation export"):
        export(careful, key)


def test_a_history_that_was_written_by_hand_does_not_open(careful: Tenant) -> None:
    """What is in the table is as little trusted as the row: the blob answers for it."""
    key = careful.key(operations=["encrypt", "decrypt"])
    update(careful, key, operations=ops("encrypt"))
    (item,) = kept(key)
    HistoryItem.objects.filter(id=item.id).update(fields={**item.fields, "operations": ["decrypt", "export"]})
    with pytest.raises(InvalidRequest, match="gave up EXPORT"):
        revert(careful, key, [item])
    HistoryItem.objects.filter(id=item.id).update(fields={**item.fields, "operations": ["decrypt", "wrap"]})
    with pytest.raises(BlobRejected):
        revert(careful, key, [item])
    assert last_reason(careful, "object.revert") == ("failed", "integrity-failure")
    other = careful.key(operations=["encrypt", "decrypt"])
    HistoryItem.objects.filter(id=item.id).update(fields=item.fields, blob=row(other).blob)
    with pytest.raises(BlobRejected):
        revert(careful, key, [item])
    assert row(key).operations == ["encrypt"]


def test_a_tightened_export_policy_stays_tight(careful: Tenant) -> None:
    strict = ExportRule(wrapped=True)
    key = careful.key("RSA", size=2048, operations=["sign", "verify", "export"])
    rsa = RsaOptions(signature=(PaddingRule("PSS"),))
    update(careful, key, options=KeyOptions(rsa=rsa))
    update(careful, key, options=KeyOptions(export=strict))
    revert(careful, key, kept(key)[:1])
    assert options_of(row(key).options) == KeyOptions(export=strict)
    with pytest.raises(InvalidRequest, match="wrapped only"):
        export(careful, key)


# -- whose ---------------------------------------------------------------------------------------------------------


def test_items_of_other_objects_and_made_up_ones_are_not_found(careful: Tenant) -> None:
    key, other, foreign = careful.key(), careful.key(), new_tenant()
    undo_window(foreign)
    theirs = foreign.key()
    for tenant, one in ((careful, key), (careful, other), (foreign, theirs)):
        update(tenant, one, operations=ops("encrypt"))
    (mine,), (others,), (foreigns,) = kept(key), kept(other), kept(theirs)
    for ids in ((others.id,), (foreigns.id,), (UUID(int=3),), (mine.id, others.id), (mine.id, UUID(int=3)), ()):
        with pytest.raises(NotFound, match="History item not found"):
            execute(careful.alice, RevertObject(key, ids))
    for tenant, one, item in ((foreign, key, mine), (careful, theirs, foreigns)):
        with pytest.raises(NotFound, match="security object does not exist"):
            revert(tenant, one, [item])
    execute(careful.alice, RevertObject(key, (mine.id, mine.id)))
    assert row(key).operations == sorted(row(key).original_operations)


def test_reverting_takes_the_right_to_revert(careful: Tenant) -> None:
    key = careful.key()
    update(careful, key, operations=ops("encrypt"))
    items = tuple(item.id for item in kept(key))
    with pytest.raises(AccessDenied):
        execute(careful.new_app([Permission.OBJECT_UPDATE_OPERATIONS]), RevertObject(key, items))
    execute(careful.new_app([Permission.OBJECT_REVERT]), RevertObject(key, items))


def test_only_changes_of_consequence_are_kept(careful: Tenant) -> None:
    key = careful.key()
    update(careful, key, name=unique("n"), description="d", custom_metadata={"a": "b"}, enabled=False)
    assert kept(key) == []


def test_nothing_secret_is_in_the_history(careful: Tenant) -> None:
    secret = b"canary-91b7"
    key = careful.imported("SECRET", secret)
    execute(careful.alice, DeleteObject(key))
    (item,) = kept(key)
    assert secret not in bytes(item.blob)
    assert secret.decode() not in json.dumps(item.fields)


def test_a_row_whose_binding_was_edited_is_kept_as_it_is_and_comes_back_shut(careful: Tenant) -> None:
    key = careful.key(operations=["encrypt"])
    by_sql(key, operations=["decrypt", "encrypt"])
    execute(careful.alice, RevokeObject(key, SUPERSEDED))
    with pytest.raises(BlobRejected):
        revert(careful, key, kept(key))
