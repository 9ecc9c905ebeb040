"""Rotation by hand: a new key under the old name, the old one still opening what it protected, and nothing gained."""

from __future__ import annotations

import itertools
import threading
import time
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from accounts.clock import clock
from kms.crypto.algorithm import SignatureParameters
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.crypto.operation import KeyOperation
from kms.crypto.options import CipherOptions, ExportRule, KeyOptions, PaddingRule, RsaOptions, options_of
from kms.hsm.errors import BlobRejected
from kms.objects.models import SecurityObject
from kms.objects.publication import Publication
from kms.objects.rotation import RotationPolicy, rotation_of
from kms.objects.state import Cryptoperiod, KeyState
from kms.operations.command import ObjectRef
from kms.operations.copying import CopyObject
from kms.operations.cryptographic import Encrypt, Sign, Verify
from kms.operations.derivation import DeriveKey, Hkdf
from kms.operations.errors import AccessDenied, Conflict, InvalidRequest, NotFound, TooBusy
from kms.operations.executor import execute
from kms.operations.lifecycle import DeleteObject, RemovePrivateKey
from kms.operations.making import ObjectTemplate
from kms.operations.managed_object import ObjectView
from kms.operations.rotating import ReplaceObject, RotateObject
from kms.secret import SecretBytes
from policies.permissions import Permission
from tests.kit.objects import (
    GCM,
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
from tests.operations.material import certificate, ec_key, pkcs8, rsa_key, spki

SHA256 = SignatureParameters("SHA256")


def rotate(tenant: Tenant, key: ObjectRef, **fields: Any) -> ObjectView:
    """``material``, ``deactivate`` and ``stated`` are the command's, the rest the new key's."""
    command = {name: fields.pop(name) for name in ("material", "deactivate", "stated") if name in fields}
    if "material" in command:
        command["material"] = SecretBytes(command["material"])
    fields.setdefault("kind", "")
    view: ObjectView = execute(tenant.alice, RotateObject(key, ObjectTemplate(None, **fields), **command))
    return view


def names(tenant: Tenant) -> list[str]:
    return sorted(SecurityObject.objects.filter(account=tenant.account).values_list("name", flat=True))


# -- names and links -----------------------------------------------------------------------------------------------


def test_the_new_key_has_the_name_and_both_know_each_other(tenant: Tenant) -> None:
    name = unique("rotated")
    old = tenant.key(name=name)
    made = encrypt(tenant, ObjectRef(name=name), b"before")
    view = rotate(tenant, ObjectRef(name=name))
    new = ref_of(view)
    assert new != old
    assert view.row.name == name
    assert row(old).name.startswith(f"{name} (rotated at 20")
    assert (row(old).replacement, row(new).replaced) == (new.id, old.id)
    assert (row(old).replaced, row(new).replacement) == (None, None)
    assert decrypt(tenant, old, made) == b"before"
    after = encrypt(tenant, ObjectRef(name=name), b"after")
    assert decrypt(tenant, new, after) == b"after"
    assert bytes(row(old).blob) != bytes(row(new).blob)
    found = last_entry(tenant, "object.rotate")
    assert (found.object_id, found.details["replaced"]) == (new.id, str(old.id))


def test_a_name_can_be_rotated_more_than_once_in_a_second(tenant: Tenant) -> None:
    name = unique("often")
    chain = [tenant.key(name=name)]
    for _ in range(4):
        chain.append(ref_of(rotate(tenant, ObjectRef(name=name))))
    assert len(set(names(tenant))) == 5
    for older, newer in itertools.pairwise(chain):
        assert (row(older).replacement, row(newer).replaced) == (newer.id, older.id)
        assert row(older).name != name
    assert row(chain[-1]).name == name


def test_a_former_name_that_somebody_took_is_not_in_the_way(tenant: Tenant) -> None:
    key = tenant.key(name="k")
    with_seconds = [clock.now() + timedelta(seconds=ahead) for ahead in range(10)]
    for moment in with_seconds:
        tenant.key(name=f"k (rotated at {moment:%Y%m%dT%H%M%SZ})")
    rotate(tenant, key)
    assert row(key).name.endswith("Z) 2")


def test_a_key_that_was_rotated_is_not_rotated_again(tenant: Tenant) -> None:
    key = tenant.key()
    rotate(tenant, key)
    with pytest.raises(InvalidRequest, match="rotate its replacement"):
        rotate(tenant, key)
    with pytest.raises(InvalidRequest, match="its replacement may rotate"):
        update(tenant, key, rotation=RotationPolicy(days=1))


def test_of_many_rotations_at_once_each_comes_after_another(tenant: Tenant) -> None:
    """By name: whoever comes later rotates the key that the first one made. None is lost and none is done twice."""
    name = unique("wanted")
    current = row(tenant.key(name=name))
    at_once(4, lambda _number: rotate(tenant, ObjectRef(name=name)))
    rows = {found.id: found for found in SecurityObject.objects.filter(account=tenant.account)}
    assert len(rows) == 5
    current = rows[current.id]
    for _ in range(4):
        assert current.replacement is not None
        assert rows[current.replacement].replaced == current.id
        current = rows[current.replacement]
    assert (current.name, current.replacement) == (name, None)


def test_a_name_always_leads_to_a_key_while_it_is_rotated(tenant: Tenant) -> None:
    """On both planes: whoever waits for the old row is led on to the new one, and never told that there is none."""
    name, done = unique("steady"), threading.Event()
    tenant.key(name=name, operations=["derive", "encrypt", "decrypt"])

    def work(number: int) -> int:
        if number == 0:
            for _ in range(6):
                rotate(tenant, ObjectRef(name=name))
                time.sleep(0.05)
            done.set()
            return 0
        count = 0
        while not done.is_set():
            new = ObjectTemplate(unique("derived"), "HMAC", tenant.group.id, size=256)
            execute(tenant.app, DeriveKey(ObjectRef(name=name), Hkdf("SHA256"), new))
            update(tenant, ObjectRef(name=name), description=str(count))
            count += 1
        return count

    assert sum(at_once(3, work)) > 6


def test_a_replacement_that_was_deleted_holds_the_place_no_longer(tenant: Tenant) -> None:
    undo_window(tenant)
    first = tenant.key(name="place")
    second = ref_of(rotate(tenant, first))
    execute(tenant.alice, DeleteObject(second))
    update(tenant, first, name="place")
    third = ref_of(rotate(tenant, first))
    assert (row(third).name, row(third).replaced, row(first).replacement) == ("place", first.id, third.id)
    update(tenant, third, name="elsewhere")
    revert(tenant, second, kept(second))
    assert (row(second).name, row(second).replaced) == ("place", None)
    fourth = tenant.key()
    execute(tenant.alice, DeleteObject(third))
    replace(tenant, first, "first", fourth)
    assert (row(first).replacement, row(fourth).replaced) == (fourth.id, first.id)


# -- what the new key takes from the old ---------------------------------------------------------------------------


def test_what_the_request_leaves_open_the_new_key_takes_from_the_old(tenant: Tenant) -> None:
    options = KeyOptions(cipher=CipherOptions(mode="GCM"), export=ExportRule(wrapped=True))
    old = tenant.key(
        size=192,
        operations=["encrypt", "decrypt", "export"],
        description="described",
        custom_metadata={"a": "b"},
        options=options,
        enabled=False,
    )
    new = row(ref_of(rotate(tenant, old)))
    assert (new.kind, new.size, new.description, new.custom_metadata) == ("AES", 192, "described", {"a": "b"})
    assert frozenset(new.operations) == ops("encrypt", "decrypt", "export")
    assert (options_of(new.options), new.enabled, new.group_id) == (options, False, tenant.group.id)


def test_what_the_request_says_wins(tenant: Tenant) -> None:
    there = tenant.new_group()
    old = tenant.key(size=128, operations=["encrypt", "decrypt"], enabled=False)
    view = rotate(
        tenant,
        old,
        size=256,
        operations=ops("decrypt"),
        description="new",
        custom_metadata={"c": "d"},
        group=there.id,
        stated=frozenset({"enabled"}),
    )
    new = row(ref_of(view))
    assert (new.size, new.operations, new.description, new.custom_metadata) == (256, ["decrypt"], "new", {"c": "d"})
    assert (new.enabled, new.group_id) == (True, there.id)


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("HMAC", {"size": 512}),
        ("DES3", {"size": 168}),
        ("RSA", {"size": 2048}),
        ("EC", {"curve": "NistP384"}),
        ("MLKEM", {"curve": "MlKem768"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_kind_that_is_generated_rotates_to_its_own_shape(
    tenant: Tenant, kind: str, shape: dict[str, Any]
) -> None:
    try:
        old = tenant.key(kind, **shape)
    except AlgorithmUnsupported as error:
        pytest.skip(str(error))
    new = ref_of(rotate(tenant, old))
    assert (row(new).kind, row(new).size, row(new).curve) == (row(old).kind, row(old).size, row(old).curve)
    assert row(new).public_key is None or bytes(row(new).public_key or b"") != bytes(row(old).public_key or b"")


def test_another_curve_is_another_size(tenant: Tenant) -> None:
    new = rotate(tenant, tenant.key("EC", curve="NistP256"), curve="NistP521").row
    assert (new.curve, new.size) == ("NistP521", tenant_size(tenant, "NistP521"))


def tenant_size(tenant: Tenant, curve: str) -> int:
    return row(tenant.key("EC", curve=curve)).size


def test_a_key_is_not_rotated_to_another_kind(tenant: Tenant) -> None:
    with pytest.raises(InvalidRequest, match="is AES and is not rotated to HMAC"):
        rotate(tenant, tenant.key(), kind="HMAC", size=256)


def test_signatures_of_the_old_key_still_verify_with_it(tenant: Tenant) -> None:
    old = tenant.key("EC", curve="NistP256")
    signature = execute(tenant.app, Sign(old, SHA256, data=b"x")).value
    new = ref_of(rotate(tenant, old, deactivate=True))
    assert execute(tenant.app, Verify(old, SHA256, signature, data=b"x")).value is True
    assert execute(tenant.app, Verify(new, SHA256, signature, data=b"x")).value is False
    with pytest.raises(AccessDenied, match="is deactivated"):
        execute(tenant.app, Sign(old, SHA256, data=b"x"))


def test_publication_goes_with_the_name(tenant: Tenant) -> None:
    old = tenant.key("EC", curve="NistP256", publication=Publication(previous=True))
    assert row(ref_of(rotate(tenant, old))).publication == {"previous": True}


# -- states and dates ----------------------------------------------------------------------------------------------


def test_the_old_key_is_deactivated_when_asked(tenant: Tenant) -> None:
    key = tenant.key()
    made = encrypt(tenant, key)
    before = clock.now()
    rotate(tenant, key, deactivate=True)
    assert state(key) is KeyState.DEACTIVATED
    assert abs((row(key).deactivation_date or before - timedelta(days=1)) - before) < timedelta(seconds=30)
    assert decrypt(tenant, key, made) == b"data"
    with pytest.raises(AccessDenied, match="is deactivated"):
        encrypt(tenant, key)


def test_a_compromised_key_gives_its_name_to_a_new_one_and_stays_compromised(tenant: Tenant) -> None:
    key = bring(tenant, tenant.key(pre_active=True), KeyState.COMPROMISED)
    new = ref_of(rotate(tenant, key, deactivate=True))
    assert (state(key), state(new)) == (KeyState.COMPROMISED, KeyState.ACTIVE)


def test_the_successor_of_a_key_that_waits_waits_as_well(tenant: Tenant) -> None:
    waiting = tenant.key(pre_active=True)
    assert state(ref_of(rotate(tenant, waiting))) is KeyState.PRE_ACTIVE
    later = Cryptoperiod(clock.now() + timedelta(days=1), clock.now() + timedelta(days=2))
    dated = ref_of(rotate(tenant, tenant.key(period=later)))
    assert state(dated) is KeyState.PRE_ACTIVE
    assert (row(dated).activation_date, row(dated).deactivation_date) == (later.activation, later.deactivation)
    at_once_active = rotate(tenant, tenant.key(pre_active=True), stated=frozenset({"state"}))
    assert state(ref_of(at_once_active)) is KeyState.ACTIVE


def test_the_new_keys_dates_are_its_own(tenant: Tenant) -> None:
    key = tenant.key(period=Cryptoperiod(deactivation=clock.now() + timedelta(days=1)))
    assert row(ref_of(rotate(tenant, key))).deactivation_date is None
    period = Cryptoperiod(deactivation=clock.now() + timedelta(days=9))
    key = tenant.key()
    assert row(ref_of(rotate(tenant, key, period=period))).deactivation_date == period.deactivation


# -- nothing is gained ---------------------------------------------------------------------------------------------


def test_export_is_never_gained_and_never_lost_by_rotation(tenant: Tenant) -> None:
    confined, free = tenant.key(operations=["encrypt"]), tenant.key(operations=["encrypt", "export"])
    with pytest.raises(InvalidRequest, match="does not make a key exportable"):
        rotate(tenant, confined, operations=ops("encrypt", "export"))
    assert last_reason(tenant, "object.rotate") == ("failed", "export-gained")
    assert len(export(tenant, ref_of(rotate(tenant, free)))) == 32
    gave_up = tenant.key(operations=["encrypt", "export"])
    update(tenant, gave_up, operations=ops("encrypt"))
    with pytest.raises(InvalidRequest, match="does not make a key exportable"):
        rotate(tenant, gave_up, operations=ops("encrypt", "export"))
    with pytest.raises(AccessDenied):
        export(tenant, ref_of(rotate(tenant, gave_up)))


def test_an_export_policy_is_not_weakened_by_rotation(tenant: Tenant) -> None:
    strict = KeyOptions(export=ExportRule(wrapped=True))
    operations = ["encrypt", "export"]
    key = tenant.key(operations=operations, options=strict)
    with pytest.raises(InvalidRequest, match="cannot be weakened"):
        rotate(tenant, key, options=KeyOptions(export=ExportRule()))
    rsa = RsaOptions(signature=(PaddingRule("PSS"),))
    other = tenant.key("RSA", size=2048, operations=["sign", "verify", "export"], options=strict)
    new = rotate(tenant, other, options=KeyOptions(rsa=rsa))
    assert options_of(new.row.options) == KeyOptions(rsa=rsa, export=strict.export)
    loose = tenant.key(operations=operations, options=KeyOptions(export=ExportRule(wrapped=True, may_weaken=True)))
    assert options_of(rotate(tenant, loose, options=KeyOptions(export=ExportRule())).row.options) == KeyOptions()


def test_a_rotation_that_is_refused_changes_nothing(tenant: Tenant) -> None:
    key = tenant.key(name="steady", operations=["encrypt"])
    before = SecurityObject.objects.filter(id=id_of(key)).values().get()
    for fields in ({"operations": ops("sign")}, {"size": 7}, {"kind": "RSA"}):
        with pytest.raises((ParameterInvalid, InvalidRequest)):
            rotate(tenant, key, **fields)
    assert SecurityObject.objects.filter(id=id_of(key)).values().get() == before
    assert names(tenant) == ["steady"]


# -- values that somebody brings -----------------------------------------------------------------------------------


def test_a_secret_is_rotated_to_a_new_value(tenant: Tenant) -> None:
    old = tenant.imported("SECRET", b"first")
    with pytest.raises(ParameterInvalid, match="to a value: give it"):
        rotate(tenant, old)
    new = ref_of(rotate(tenant, old, material=b"second, and longer"))
    assert export(tenant, new) == b"second, and longer"
    assert export(tenant, old) == b"first"
    assert row(new).replaced == old.id
    assert row(new).creation == "import"


def test_a_key_may_be_rotated_to_a_value_too(tenant: Tenant) -> None:
    old = tenant.key(operations=["encrypt", "decrypt"])
    new = ref_of(rotate(tenant, old, material=bytes(range(16))))
    assert (row(new).size, row(new).protection) == (128, "token")
    with pytest.raises(ParameterInvalid):
        rotate(tenant, new, material=bytes(17))


def test_what_has_no_private_key_here_is_rotated_to_a_value_only(tenant: Tenant) -> None:
    public = tenant.imported("RSA", spki(rsa_key()))
    with pytest.raises(ParameterInvalid, match="to a value: give it"):
        rotate(tenant, public)
    new = ref_of(rotate(tenant, public, material=spki(rsa_key(2048, 3))))
    assert row(new).public_only
    stripped = tenant.imported("EC", pkcs8(ec_key()))
    execute(tenant.alice, RemovePrivateKey(stripped))
    with pytest.raises(ParameterInvalid, match="to a value: give it"):
        rotate(tenant, stripped)
    bare = tenant.imported("CERTIFICATE", certificate())
    with pytest.raises(ParameterInvalid, match="to a value: give it"):
        rotate(tenant, bare)


def test_only_what_the_server_can_make_gets_a_policy(tenant: Tenant) -> None:
    policy = RotationPolicy(days=1)
    for key in (tenant.imported("SECRET", b"x"), tenant.imported("EC", spki(ec_key()))):
        with pytest.raises(ParameterInvalid, match="that somebody brings"):
            update(tenant, key, rotation=policy)
    with pytest.raises(ParameterInvalid, match="that somebody brings"):
        tenant.imported("SECRET", b"x", rotation=policy)
    with pytest.raises(ParameterInvalid, match="that somebody brings"):
        rotate(tenant, tenant.imported("SECRET", b"x"), material=b"y", rotation=policy, stated=frozenset({"rotation"}))
    dropped = rotate(
        tenant, tenant.key("EC", curve="NistP256", rotation=policy), material=spki(ec_key()), operations=ops("verify")
    )
    assert (dropped.row.public_only, dropped.row.rotation, dropped.row.rotates_at) == (True, None, None)
    key = tenant.key("EC", curve="NistP256", rotation=policy)
    execute(tenant.alice, RemovePrivateKey(key))
    assert (row(key).rotation, row(key).rotates_at) == (None, None)


# -- the policy goes on --------------------------------------------------------------------------------------------


def test_the_policy_goes_to_the_new_key_in_step_and_leaves_the_old(tenant: Tenant) -> None:
    key = tenant.key(rotation=RotationPolicy(days=30, deactivate=True))
    first, due = rotation_of(row(key).rotation), row(key).rotates_at
    assert first is not None
    new = ref_of(rotate(tenant, key))
    assert (row(key).rotation, row(key).rotates_at) == (None, None)
    assert rotation_of(row(new).rotation) == first
    assert row(new).rotates_at == due


def test_a_policy_in_the_request_replaces_it_and_none_ends_it(tenant: Tenant) -> None:
    stated = frozenset({"rotation"})
    key = tenant.key(rotation=RotationPolicy(days=30))
    new = ref_of(rotate(tenant, key, rotation=RotationPolicy(months=1), stated=stated))
    policy = rotation_of(row(new).rotation)
    assert policy is not None
    assert (policy.days, policy.months) == (None, 1)
    assert row(new).rotates_at is not None
    for wrong in (new, tenant.key()):
        with pytest.raises(InvalidRequest, match="not a copy of this one"):
            rotate(tenant, new, rotation=RotationPolicy(days=1, copies=(str(wrong.id),)), stated=stated)
    last = ref_of(rotate(tenant, new, stated=stated))
    assert (row(last).rotation, row(last).rotates_at) == (None, None)


def test_revoking_destroying_and_deleting_end_the_policy(tenant: Tenant) -> None:
    for to in (KeyState.DEACTIVATED, KeyState.COMPROMISED, KeyState.DESTROYED, KeyState.DELETED):
        key = bring(tenant, tenant.key(pre_active=True, rotation=RotationPolicy(days=30)), to)
        assert (row(key).rotation, row(key).rotates_at) == (None, None), to
        if to is not KeyState.DELETED:
            with pytest.raises(InvalidRequest, match="Only an active object"):
                update(tenant, key, rotation=RotationPolicy(days=1))


# -- copies that follow --------------------------------------------------------------------------------------------


def copied(tenant: Tenant, key: ObjectRef, **fields: Any) -> ObjectRef:
    name = fields.pop("name", None) or unique("copy")
    return ref_of(execute(tenant.alice, CopyObject(key, ObjectTemplate(name, "", **fields))))


def test_copies_follow_when_the_policy_asks_and_keep_their_names_groups_and_operations(tenant: Tenant) -> None:
    there = tenant.new_group()
    member = tenant.new_app(group=there)
    key = tenant.key(operations=["encrypt", "decrypt"])
    follower = copied(tenant, key, name="follower", group=there.id, operations=ops("decrypt"), description="ours")
    bystander = copied(tenant, key, name="bystander")
    update(tenant, key, rotation=RotationPolicy(days=30, copies=(str(follower.id),)))
    made = encrypt(tenant, key, b"old")
    new = ref_of(rotate(tenant, key, deactivate=True))
    after = ObjectRef(name="follower")
    renewed = ref_of(shown(tenant, after))
    fresh = encrypt(tenant, new, b"new")
    there_tenant = Tenant(tenant.account, tenant.alice, there, member)
    assert decrypt(there_tenant, renewed, fresh) == b"new"
    assert decrypt(there_tenant, follower, made) == b"old"
    found = row(renewed)
    assert (found.copied_from, found.replaced, found.group_id) == (new.id, follower.id, there.id)
    assert (found.operations, found.description) == (["decrypt"], "ours")
    assert row(follower).replacement == renewed.id
    assert state(follower) is KeyState.DEACTIVATED
    assert row(bystander).replacement is None
    assert state(bystander) is KeyState.ACTIVE
    policy = rotation_of(row(new).rotation)
    assert policy is not None
    assert policy.copies == (str(renewed.id),)
    entry = last_entry(tenant, "object.rotate")
    assert (entry.object_id, entry.details["items"]) == (new.id, 1)


def test_a_copy_never_may_more_than_the_new_key(tenant: Tenant) -> None:
    key = tenant.key(operations=["encrypt", "decrypt", "export"])
    follower = copied(tenant, key, name="follower")
    update(tenant, key, rotation=RotationPolicy(days=30, copies=(str(follower.id),)))
    rotate(tenant, key, operations=ops("decrypt"))
    renewed = ref_of(shown(tenant, ObjectRef(name="follower")))
    assert (row(renewed).operations, row(renewed).protection) == (["decrypt"], "token")


def test_copies_that_are_gone_or_went_their_own_way_do_not_follow(tenant: Tenant) -> None:
    key = tenant.key()
    deleted, rotated = copied(tenant, key), copied(tenant, key)
    update(tenant, key, rotation=RotationPolicy(days=30, copies=(str(deleted.id), str(rotated.id))))
    execute(tenant.alice, DeleteObject(deleted))
    apart = ref_of(rotate(tenant, rotated))
    new = ref_of(rotate(tenant, key))
    policy = rotation_of(row(new).rotation)
    assert policy is not None
    assert policy.copies == ()
    assert row(apart).copied_from is None
    assert row(rotated).replacement == apart.id


def test_a_policy_names_copies_of_the_key_and_nothing_else(tenant: Tenant) -> None:
    key, other = tenant.key(), tenant.key()
    for stranger in (other, copied(tenant, other), new_tenant().key()):
        with pytest.raises(InvalidRequest, match="not a copy of this one"):
            update(tenant, key, rotation=RotationPolicy(days=1, copies=(str(stranger.id),)))


def test_rotating_copies_takes_the_right_to_rotate_each(tenant: Tenant) -> None:
    there = tenant.new_group()
    key = tenant.key()
    follower = copied(tenant, key, group=there.id)
    update(tenant, key, rotation=RotationPolicy(days=30, copies=(str(follower.id),)))
    with pytest.raises(NotFound):
        execute(tenant.app, RotateObject(key, ObjectTemplate(None, "")))
    assert row(key).replacement is None


# -- an object in another's place ----------------------------------------------------------------------------------


def replace(tenant: Tenant, replaced: ObjectRef, new_name: str, replacement: ObjectRef) -> None:
    execute(tenant.alice, ReplaceObject(replaced, new_name, replacement))


def test_an_object_takes_anothers_name_and_what_it_lacks_of_metadata_and_policy(tenant: Tenant) -> None:
    name = unique("place")
    old = tenant.key(name=name, custom_metadata={"a": "b"}, rotation=RotationPolicy(days=30))
    new = tenant.key()
    policy, due = rotation_of(row(old).rotation), row(old).rotates_at
    made = encrypt(tenant, old)
    replace(tenant, ObjectRef(name=name), "former", new)
    assert (row(old).name, row(new).name) == ("former", name)
    assert (row(old).replacement, row(new).replaced) == (new.id, old.id)
    assert row(new).custom_metadata == {"a": "b"}
    assert rotation_of(row(new).rotation) == policy
    assert (row(new).rotates_at, row(old).rotates_at, row(old).rotation) == (due, None, None)
    assert decrypt(tenant, old, made) == b"data"
    own = tenant.key(custom_metadata={"c": "d"}, rotation=RotationPolicy(days=7))
    replace(tenant, new, "former 2", own)
    assert row(own).custom_metadata == {"c": "d"}
    assert (rotation_of(row(own).rotation) or RotationPolicy()).days == 7


def test_two_objects_may_swap_names(tenant: Tenant) -> None:
    one, other = tenant.key(name="one"), tenant.key(name="other")
    replace(tenant, one, "other", other)
    assert (row(one).name, row(other).name) == ("other", "one")


def test_what_may_not_take_a_place_is_refused_and_nothing_changes(tenant: Tenant) -> None:
    one, other = tenant.key(name="one"), tenant.key(name="other")
    replace(tenant, one, "first", other)
    third = tenant.key(name="third")
    for replaced, replacement in ((one, third), (third, other), (third, third), (third, one), (other, one)):
        with pytest.raises(InvalidRequest):
            replace(tenant, replaced, unique("x"), replacement)
    with pytest.raises(InvalidRequest, match="is AES and is not replaced by one that is HMAC"):
        replace(tenant, third, "x", tenant.key("HMAC", size=256))
    with pytest.raises(Conflict, match="exists already"):
        replace(tenant, third, "first", tenant.key())
    with pytest.raises(Conflict, match="exists already"):
        replace(tenant, third, "third", tenant.key())
    assert (row(third).name, row(third).replacement) == ("third", None)
    with pytest.raises(NotFound):
        replace(tenant, third, "x", new_tenant().key())
    for missing in (ObjectRef(id=UUID(int=5)), ObjectRef(name="nobody"), ObjectRef(transient=b"x")):
        with pytest.raises(NotFound, match="does not exist"):
            replace(tenant, third, "x", missing)


def test_replacing_takes_the_right_on_both(tenant: Tenant) -> None:
    there = tenant.new_group()
    mine, theirs = tenant.key(), tenant.key(group=there)
    with pytest.raises(NotFound):
        execute(tenant.app, ReplaceObject(mine, "x", theirs))
    with pytest.raises(AccessDenied):
        execute(tenant.new_app([Permission.OBJECT_UPDATE]), ReplaceObject(mine, "x", tenant.key()))


def test_rotating_takes_the_right_and_another_group_the_right_to_create_there(tenant: Tenant) -> None:
    key, there = tenant.key(), tenant.new_group()
    app = tenant.new_app([Permission.OBJECT_ROTATE])
    with pytest.raises(NotFound, match="group does not exist"):
        execute(app, RotateObject(key, ObjectTemplate(None, "", group=there.id)))
    with pytest.raises(AccessDenied):
        execute(tenant.new_app([Permission.OBJECT_UPDATE]), RotateObject(key, ObjectTemplate(None, "")))
    assert execute(app, RotateObject(key, ObjectTemplate(None, ""))).row.creator_id == app.id


# -- rows that somebody else changed meanwhile ---------------------------------------------------------------------


def test_changes_that_meet_in_a_rotation_are_all_kept(tenant: Tenant) -> None:
    """``save`` writes every column, so a row that was read before another's change must never be written after it."""
    key = tenant.key(operations=["encrypt", "decrypt", "wrap", "unwrap"])
    made = encrypt(tenant, key)

    def work(number: int) -> None:
        if number == 0:
            rotate(tenant, key)
        else:
            update(tenant, key, custom_metadata={str(number): "x"}, operations=ops("decrypt", "encrypt"))

    at_once(5, work)
    found = row(key)
    assert found.replacement is not None
    assert set(found.custom_metadata) == {"1", "2", "3", "4"}
    assert found.operations == ["decrypt", "encrypt"]
    assert decrypt(tenant, key, made) == b"data"


@pytest.mark.parametrize("deactivate", [False, True])
def test_a_rotation_under_load_loses_no_ciphertext(tenant: Tenant, deactivate: bool) -> None:
    """Everything that was encrypted while the key was rotated under its name decrypts under the key that is named."""
    name, stop = unique("busy"), threading.Event()
    first = tenant.key(name=name, operations=["encrypt", "decrypt"])
    sealed: list[tuple[UUID, Any, bytes]] = []
    refused: list[tuple[bool, str]] = []

    def encrypt_all(number: int) -> None:
        for count in itertools.count():
            if stop.is_set():
                return
            by_name = count % 3 > 0
            data = f"{number}-{count}".encode()
            try:
                done = execute(tenant.app, Encrypt(ObjectRef(name=name) if by_name else first, "AES", GCM, data))
            except (AccessDenied, TooBusy) as error:
                refused.append((by_name, str(getattr(error, "reason", "too-busy"))))
            else:
                sealed.append((done.key.id, done.value, data))

    def rotate_all(_number: int) -> None:
        for _ in range(8):
            time.sleep(0.1)
            rotate(tenant, ObjectRef(name=name), deactivate=deactivate)
        stop.set()

    at_once(5, lambda number: rotate_all(number) if number == 0 else encrypt_all(number))
    assert len({kid for kid, _, _ in sealed}) >= 8, "every generation was used"
    allowed = {(False, "state-deactivated")} if deactivate else set()
    assert set(refused) <= allowed, "the name always leads to an active key"
    for kid, made, data in sealed:
        assert decrypt(tenant, ObjectRef(id=kid), made) == data


def test_a_row_edited_behind_our_back_is_not_rotated_open(tenant: Tenant) -> None:
    """The new key is made anew, so an edited row gives nothing away; a copy of an edited row does not open."""
    key = tenant.key(operations=["encrypt"])
    by_sql(key, operations=["encrypt", "export"])
    new = ref_of(rotate(tenant, key))
    assert KeyOperation.EXPORT in frozenset(map(KeyOperation, row(new).operations))
    with pytest.raises(BlobRejected):
        copied(tenant, key)
