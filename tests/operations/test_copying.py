"""Copies and kept transient keys: the same material under a new name, and never more rights than it had."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from accounts.clock import clock
from accounts.models import Group
from kms.audit.models import AuditRecord
from kms.crypto.algorithm import CipherParameters, SignatureParameters
from kms.crypto.errors import ParameterInvalid
from kms.crypto.operation import KeyOperation
from kms.crypto.options import CipherOptions, ExportRule, KeyOptions
from kms.hsm.errors import BlobRejected, MechanismRefused
from kms.objects import keystore
from kms.objects.models import SecurityObject
from kms.objects.revocation import Revocation, RevocationCode
from kms.objects.state import Cryptoperiod, KeyState
from kms.operations import transient
from kms.operations.command import ObjectRef
from kms.operations.copying import CopyObject, PersistKey
from kms.operations.creation import ImportObject
from kms.operations.cryptographic import Decrypt, Encrypt, GenerateMac, Sign, Verify
from kms.operations.errors import AccessDenied, Conflict, InvalidRequest, NotFound
from kms.operations.executor import execute
from kms.operations.lifecycle import DeleteObject, DestroyObject, ExportObject, RevokeObject
from kms.operations.making import ObjectTemplate
from kms.operations.managed_object import row_binding
from kms.operations.queries import GetObject
from kms.operations.updating import UpdateObject
from kms.secret import SecretBytes
from policies.permissions import Permission
from tests.kit.tenants import Tenant, new_tenant, unique
from tests.operations.material import ec_key, one_of_each, pkcs8, spki
from tests.operations.test_transient import made, rewritten

GCM = CipherParameters("GCM")
SHA256 = SignatureParameters("SHA256")
HOUR = timedelta(hours=1)


def operations(names: Iterable[str]) -> frozenset[KeyOperation]:
    return frozenset(map(KeyOperation, names))


def template(**fields: Any) -> ObjectTemplate:
    given = fields.pop("operations", None)
    return ObjectTemplate(
        **{"name": unique("copy"), "kind": "", **fields}, operations=None if given is None else operations(given)
    )


def copied(tenant: Tenant, key: ObjectRef, group: Group | None = None, **fields: Any) -> ObjectRef:
    changes = template(**fields, group=None if group is None else group.id)
    return ObjectRef(id=execute(tenant.alice, CopyObject(key, changes)).row.id)


def persisted(tenant: Tenant, blob: bytes, group: Group | None = None, **fields: Any) -> ObjectRef:
    kept = template(**fields, group=None if group is None else group.id)
    return ObjectRef(id=execute(tenant.app, PersistKey(ObjectRef(transient=blob), kept)).row.id)


def row(key: ObjectRef) -> SecurityObject:
    return SecurityObject.objects.get(id=str(key.id))


def same_key(tenant: Tenant, kind: str, first: ObjectRef, second: ObjectRef) -> bool:
    """What one protects, the other opens."""
    if kind == "AES":
        sealed = execute(tenant.app, Encrypt(first, "AES", GCM, b"data")).value
        opened = Decrypt(second, "AES", CipherParameters("GCM", sealed.iv, tag=sealed.tag), sealed.ciphertext)
        return bool(execute(tenant.app, opened).value == b"data")
    if kind == "HMAC":
        return len({execute(tenant.app, GenerateMac(key, "SHA256", b"data")).value for key in (first, second)}) == 1
    signature = execute(tenant.app, Sign(first, SHA256, data=b"data")).value
    return bool(execute(tenant.app, Verify(second, SHA256, signature, data=b"data")).value)


def last_outcome(tenant: Tenant, action: str) -> tuple[str, str]:
    found = AuditRecord.objects.filter(account_id=tenant.account.id, action=action).latest("sequence")
    return found.outcome, found.reason


# -- copies --------------------------------------------------------------------------------------------------------

USES = {"AES": ["encrypt", "decrypt"], "HMAC": ["mac-generate"], "RSA": ["sign", "verify"], "EC": ["sign", "verify"]}
KINDS = [(label, kind) for label, (kind, _) in one_of_each().items() if kind in USES]


@pytest.mark.parametrize(("label", "kind"), KINDS, ids=[label for label, _ in KINDS])
@pytest.mark.parametrize("exportable", [False, True], ids=["in the token", "exportable"])
def test_a_copy_is_the_same_key_under_another_id(tenant: Tenant, label: str, kind: str, exportable: bool) -> None:
    uses = [*USES[kind], "export"] if exportable else USES[kind]
    key = tenant.imported(kind, one_of_each()[label][1], operations=uses)
    copy = copied(tenant, key)
    assert copy.id != key.id
    assert same_key(tenant, kind, key, copy)
    assert same_key(tenant, kind, copy, key)
    assert row(copy).protection == row(key).protection
    assert row(copy).public_key == row(key).public_key


def test_the_material_of_a_token_key_is_never_opened_for_it(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    key = tenant.key("EC", curve="NistP256")

    def opened(*_arguments: Any, **_named: Any) -> Any:
        raise AssertionError("the material was opened")

    for name in ("unseal", "lend", "store", "material"):
        monkeypatch.setattr(keystore, name, opened)
    copied(tenant, key)


def test_what_is_not_a_key_is_copied_too(tenant: Tenant) -> None:
    for kind, material in (
        ("SECRET", b"text"),
        ("CERTIFICATE", one_of_each()["certificate"][1]),
        ("EC", spki(ec_key())),
    ):
        copy = copied(tenant, tenant.imported(kind, material, operations=["export"]))
        assert execute(tenant.app, ExportObject(copy)).value.reveal() == material
    assert row(copy).public_only


def test_a_copy_takes_the_sources_attributes(tenant: Tenant) -> None:
    key = tenant.key(
        operations=["encrypt", "export"],
        description="of the source",
        custom_metadata={"owner": "alice"},
        options=KeyOptions(cipher=CipherOptions(mode="GCM"), export=ExportRule(wrapped=True)),
        period=Cryptoperiod(clock.now() - HOUR, clock.now() + HOUR),
    )
    source, copy = row(key), row(copied(tenant, key))
    same = (
        "kind size curve description custom_metadata operations options kcv activation_date deactivation_date "
        "group_id never_exportable creation enabled state protection"
    )
    for name in same.split():
        assert getattr(copy, name) == getattr(source, name), name
    assert (copy.version, copy.original_operations) == (1, copy.operations)
    assert copy.creator_id == tenant.alice.id


def test_what_the_request_says_goes_before_the_sources(tenant: Tenant) -> None:
    key = tenant.key(operations=["encrypt", "decrypt"], description="old", custom_metadata={"a": "1"})
    copy = row(
        copied(tenant, key, description="new", custom_metadata={"b": "2"}, operations=["decrypt"], enabled=False)
    )
    assert (copy.description, copy.custom_metadata, copy.enabled) == ("new", {"b": "2"}, False)
    assert copy.operations == ["decrypt"]
    with pytest.raises(AccessDenied, match="does not permit the operation encrypt"):
        execute(tenant.app, Encrypt(ObjectRef(id=copy.id), "AES", GCM, b""))


def test_source_and_copy_know_each_other(tenant: Tenant) -> None:
    key = tenant.key()
    first, second = copied(tenant, key), copied(tenant, key)
    assert row(first).copied_from == key.id
    assert set(execute(tenant.alice, GetObject(key)).copies) == {first.id, second.id}


def test_giving_up_export_moves_the_copy_into_the_token_and_leaves_the_source(tenant: Tenant) -> None:
    key = tenant.key(operations=["encrypt", "decrypt", "export"])
    copy = copied(tenant, key, operations=["encrypt", "decrypt"])
    assert (row(copy).protection, row(key).protection) == ("token", "sealed")
    assert same_key(tenant, "AES", key, copy)
    with pytest.raises(AccessDenied):
        execute(tenant.app, ExportObject(copy))
    assert not row(copy).never_exportable  # its material could have left as the source's
    with pytest.raises(MechanismRefused):
        keystore.unseal(bytes(row(copy).blob), binding=row_binding(row(copy)))


def test_a_copys_blob_is_its_own(tenant: Tenant) -> None:
    key = tenant.key()
    copy = copied(tenant, key)
    SecurityObject.objects.filter(id=row(copy).id).update(blob=row(key).blob)
    with pytest.raises(BlobRejected):
        execute(tenant.app, Encrypt(copy, "AES", GCM, b""))


def test_source_and_copy_live_and_die_apart(tenant: Tenant) -> None:
    key = tenant.key()
    copy = copied(tenant, key)
    execute(tenant.alice, DeleteObject(key))
    assert execute(tenant.app, Encrypt(copy, "AES", GCM, b"")).value.tag


@pytest.mark.parametrize("gained", [["encrypt", "decrypt"], ["encrypt", "export"]], ids=["decrypt", "export"])
def test_a_copy_gains_no_operation(tenant: Tenant, gained: list[str]) -> None:
    key = tenant.key(operations=["encrypt"])
    with pytest.raises(InvalidRequest, match="does not permit"):
        copied(tenant, key, operations=gained)
    assert last_outcome(tenant, "object.copy") == ("failed", "operations-gained")


def test_a_copy_has_no_other_options(tenant: Tenant) -> None:
    key = tenant.key(operations=["encrypt", "export"], options=KeyOptions(export=ExportRule(wrapped=True)))
    with pytest.raises(InvalidRequest, match="keeps its source's options"):
        copied(tenant, key, options=KeyOptions(export=ExportRule(wrapped=True, may_weaken=True)))
    copy = copied(tenant, key, options=KeyOptions(export=ExportRule(wrapped=True)))
    with pytest.raises(InvalidRequest, match="wrapped only"):
        execute(tenant.app, ExportObject(copy))


@pytest.mark.parametrize(
    "fields",
    [{"kind": "HMAC"}, {"size": 128}, {"curve": "NistP256"}, {"transient": True}, {"public_exponent": 3}],
    ids=str,
)
def test_a_copy_has_no_other_shape(tenant: Tenant, fields: dict[str, Any]) -> None:
    with pytest.raises((InvalidRequest, ParameterInvalid), match=r"[aA] copy"):
        copied(tenant, tenant.key(), **fields)


def test_a_client_may_name_the_shape(tenant: Tenant) -> None:
    assert copied(tenant, tenant.key(), kind="AES", size=256)


def test_a_check_value_that_does_not_match_stops_the_copy(tenant: Tenant) -> None:
    key = tenant.key()
    assert copied(tenant, key, check_value=row(key).kcv)
    with pytest.raises(ParameterInvalid, match="kcv does not match"):
        copied(tenant, key, check_value="000000")


def test_a_taken_name_is_a_conflict_and_no_name_is_refused(tenant: Tenant) -> None:
    key = tenant.key()
    with pytest.raises(Conflict):
        copied(tenant, key, name=row(key).name)
    with pytest.raises(ParameterInvalid, match="name is needed"):
        copied(tenant, key, name=None)


# -- copies in time ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("date", ["activation", "deactivation"])
def test_a_copy_does_not_outlive_its_source(tenant: Tenant, date: str) -> None:
    key = tenant.key(period=Cryptoperiod(**{date: clock.now() + 2 * HOUR}))
    hours = {"activation": 1, "deactivation": 3}[date]
    with pytest.raises(InvalidRequest, match="before its source or end after"):
        copied(tenant, key, period=Cryptoperiod(**{date: clock.now() + hours * HOUR}))


def test_a_date_does_not_pass_over_whom_the_source_waits_for(tenant: Tenant) -> None:
    key = tenant.key(pre_active=True)
    with pytest.raises(InvalidRequest, match="before its source"):
        copied(tenant, key, period=Cryptoperiod(activation=clock.now() + HOUR))
    assert row(copied(tenant, key)).state == "pre-active"


def test_a_copy_may_live_shorter_and_start_later(tenant: Tenant) -> None:
    now = clock.now()
    key = tenant.key(period=Cryptoperiod(None, now + 3 * HOUR))
    copy = row(copied(tenant, key, period=Cryptoperiod(now + HOUR, now + 2 * HOUR)))
    assert (copy.state, copy.activation_date, copy.deactivation_date) == ("pre-active", now + HOUR, now + 2 * HOUR)
    assert row(copied(tenant, key, pre_active=True)).state == "pre-active"


def revoked(code: RevocationCode) -> Callable[[Tenant, ObjectRef], None]:
    def act(tenant: Tenant, key: ObjectRef) -> None:
        execute(tenant.alice, RevokeObject(key, Revocation(code)))

    return act


def destroyed(tenant: Tenant, key: ObjectRef) -> None:
    revoked(RevocationCode.SUPERSEDED)(tenant, key)
    execute(tenant.alice, DestroyObject(key))


def test_a_copy_of_a_deactivated_key_is_deactivated(tenant: Tenant) -> None:
    key = tenant.key()
    sealed = execute(tenant.app, Encrypt(key, "AES", GCM, b"data")).value
    revoked(RevocationCode.SUPERSEDED)(tenant, key)
    copy = copied(tenant, key)
    assert row(copy).state == KeyState.DEACTIVATED
    with pytest.raises(AccessDenied, match="deactivated"):
        execute(tenant.app, Encrypt(copy, "AES", GCM, b""))
    opened = Decrypt(copy, "AES", CipherParameters("GCM", sealed.iv, tag=sealed.tag), sealed.ciphertext)
    assert execute(tenant.app, opened).value == b"data"


def test_a_copy_of_a_key_whose_time_is_over_is_deactivated(tenant: Tenant) -> None:
    """By its date, before any job has noticed."""
    key = tenant.key()
    SecurityObject.objects.filter(id=row(key).id).update(deactivation_date=clock.now() - HOUR)
    assert row(copied(tenant, key)).state == KeyState.DEACTIVATED


def test_a_copy_of_a_disabled_key_is_disabled(tenant: Tenant) -> None:
    key = tenant.key()
    execute(tenant.alice, UpdateObject(key, enabled=False))
    assert not row(copied(tenant, key, enabled=True)).enabled


@pytest.mark.parametrize(
    ("end", "says"), [(revoked(RevocationCode.KEY_COMPROMISE), "compromised"), (destroyed, "destroyed")]
)
def test_a_compromised_or_destroyed_key_is_not_copied(
    tenant: Tenant, end: Callable[[Tenant, ObjectRef], None], says: str
) -> None:
    key = tenant.key()
    end(tenant, key)
    with pytest.raises(InvalidRequest, match=says):
        copied(tenant, key)


def test_a_deleted_key_is_not_there_to_copy(tenant: Tenant) -> None:
    key = tenant.key()
    execute(tenant.alice, DeleteObject(key))
    with pytest.raises(NotFound):
        copied(tenant, key)


# -- who may copy --------------------------------------------------------------------------------------------------


def test_a_copy_goes_to_another_group_and_is_used_there(tenant: Tenant) -> None:
    key, group = tenant.key(), tenant.new_group()
    copy = copied(tenant, key, group)
    there = tenant.new_app(group=group)
    assert execute(there, Encrypt(copy, "AES", GCM, b"")).value.tag
    with pytest.raises(NotFound):
        execute(there, Encrypt(key, "AES", GCM, b""))


COPYING, CREATING = Permission.OBJECT_COPY, Permission.OBJECT_CREATE


@pytest.mark.parametrize(
    ("held", "says"), [([CREATING], "copy"), ([COPYING], "generate or import")], ids=["no copy", "no create"]
)
def test_copying_takes_the_right_to_copy_and_to_create(tenant: Tenant, held: list[Permission], says: str) -> None:
    key = tenant.key()
    with pytest.raises(AccessDenied, match=says):
        execute(tenant.new_app(held), CopyObject(key, template()))
    assert execute(tenant.new_app([COPYING, CREATING]), CopyObject(key, template()))


def test_copying_to_another_group_takes_the_right_to_create_there(tenant: Tenant) -> None:
    key, group = tenant.key(), tenant.new_group()
    here_only = tenant.new_app([COPYING, CREATING])
    with pytest.raises(NotFound):
        execute(here_only, CopyObject(key, template(group=group.id)))
    there_only = tenant.new_app([COPYING, CREATING], group)
    with pytest.raises(NotFound):
        execute(there_only, CopyObject(key, template(group=group.id)))


def test_nothing_is_copied_from_or_into_another_account(tenant: Tenant) -> None:
    other, key = new_tenant(), tenant.key()
    with pytest.raises(NotFound):
        copied(other, key)
    with pytest.raises(NotFound):
        copied(tenant, key, other.group)
    with pytest.raises(NotFound):
        copied(tenant, ObjectRef(id=uuid4()))
    with pytest.raises(NotFound):
        copied(tenant, ObjectRef(transient=made(tenant)))


def test_a_copy_is_recorded_with_both_ids(tenant: Tenant) -> None:
    key = tenant.key()
    copy = copied(tenant, key)
    found = AuditRecord.objects.get(account_id=tenant.account.id, action="object.copy")
    assert (found.outcome, found.object_id, found.details["subject"]) == ("done", copy.id, str(key.id))


# -- kept transient keys -------------------------------------------------------------------------------------------

SHAPES: dict[str, dict[str, Any]] = {
    "AES": {},
    "HMAC": {"size": 256},
    "RSA": {"size": 2048},
    "EC": {"curve": "NistP256"},
}


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("exportable", [False, True], ids=["in the token", "exportable"])
def test_a_kept_transient_key_is_the_same_key(tenant: Tenant, kind: str, exportable: bool) -> None:
    uses = [*USES[kind], "export"] if exportable else USES[kind]
    blob = made(tenant, kind, **SHAPES[kind], operations=uses)
    kept = persisted(tenant, blob)
    assert same_key(tenant, kind, ObjectRef(transient=blob), kept)
    found = row(kept)
    assert (found.creation, found.group_id, found.state) == ("persist", tenant.group.id, "active")
    assert found.protection == ("sealed" if exportable else "token")
    assert found.never_exportable is not exportable
    assert found.operations == sorted(uses)


def test_what_was_brought_in_is_not_taken_for_born_here(tenant: Tenant) -> None:
    brought = ObjectTemplate(None, "AES", tenant.group.id, transient=True)
    view = execute(tenant.app, ImportObject(brought, SecretBytes(bytes(32))))
    assert view.transient is not None
    assert row(persisted(tenant, view.transient)).creation == "import"


def test_a_public_key_alone_is_kept_as_one(tenant: Tenant) -> None:
    alone = ObjectTemplate(None, "EC", tenant.group.id, transient=True)
    view = execute(tenant.app, ImportObject(alone, SecretBytes(spki(ec_key()))))
    kept = persisted(tenant, view.transient or b"")
    assert row(kept).public_only
    private = tenant.imported("EC", pkcs8(ec_key()), operations=["sign"])
    signature = execute(tenant.app, Sign(private, SHA256, data=b"x")).value
    assert execute(tenant.app, Verify(kept, SHA256, signature, data=b"x")).value is True


def test_it_takes_the_attributes_that_the_request_gives(tenant: Tenant) -> None:
    later = clock.now() + HOUR
    kept = row(
        persisted(
            tenant,
            made(tenant),
            description="kept",
            custom_metadata={"a": "1"},
            enabled=False,
            period=Cryptoperiod(later, None),
        )
    )
    assert (kept.description, kept.custom_metadata, kept.enabled) == ("kept", {"a": "1"}, False)
    assert (kept.state, kept.activation_date) == ("pre-active", later)


def test_operations_are_given_up_and_never_gained(tenant: Tenant) -> None:
    blob = made(tenant, operations=["encrypt", "decrypt", "export"])
    kept = persisted(tenant, blob, operations=["encrypt", "decrypt"])
    assert (row(kept).protection, row(kept).never_exportable) == ("token", False)
    assert same_key(tenant, "AES", ObjectRef(transient=blob), kept)
    with pytest.raises(InvalidRequest, match="does not permit"):
        persisted(tenant, made(tenant, operations=["encrypt"]), operations=["encrypt", "export"])


def test_a_key_can_be_kept_twice_and_works_on_as_transient(tenant: Tenant) -> None:
    blob = made(tenant)
    assert persisted(tenant, blob).id != persisted(tenant, blob).id
    assert execute(tenant.app, Encrypt(ObjectRef(transient=blob), "AES", GCM, b"")).value.tag


def test_an_altered_foreign_or_expired_one_is_refused(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    blob, other = made(tenant, operations=["encrypt"]), new_tenant()
    forged = rewritten(blob, operations=["encrypt", "export"], protection="sealed")
    for where, altered in ((tenant, blob[:-1]), (tenant, b""), (tenant, forged), (other, blob)):
        with pytest.raises(InvalidRequest, match="not valid"):
            persisted(where, altered)
    monkeypatch.setattr(transient, "LIFETIME", timedelta(seconds=-1))
    with pytest.raises(InvalidRequest) as caught:
        persisted(tenant, made(tenant))
    assert caught.value.reason == "transient-key-expired"
    assert not SecurityObject.objects.filter(account__in=[tenant.account, other.account]).exists()


def test_keeping_it_where_it_was_made_is_creating(tenant: Tenant) -> None:
    blob = made(tenant)
    ref, kept = ObjectRef(transient=blob), template(group=tenant.group.id)
    assert execute(tenant.new_app([CREATING]), PersistKey(ref, kept))
    with pytest.raises(AccessDenied, match="generate or import"):
        execute(tenant.new_app([COPYING]), PersistKey(ref, template(group=tenant.group.id)))


def test_keeping_it_in_another_group_is_copying_too(tenant: Tenant) -> None:
    ref, group = ObjectRef(transient=made(tenant)), tenant.new_group()
    there = template(group=group.id)
    for app in (tenant.new_app(group=group), tenant.new_app([CREATING, COPYING])):
        with pytest.raises(NotFound):
            execute(app, PersistKey(ref, there))
    assert execute(tenant.alice, PersistKey(ref, there)).row.group_id == group.id


def test_an_object_is_nothing_to_keep(tenant: Tenant) -> None:
    with pytest.raises(ParameterInvalid, match="transient_key is needed"):
        execute(tenant.app, PersistKey(tenant.key(), template()))


def test_it_is_recorded_with_the_new_id(tenant: Tenant) -> None:
    kept = persisted(tenant, made(tenant))
    found = AuditRecord.objects.get(account_id=tenant.account.id, action="object.persist")
    assert (found.outcome, found.object_id) == ("done", kept.id)
