"""Transient keys: the caller holds them, sealed; nobody changes a byte, nobody else uses them, nobody for long."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.clock import clock
from accounts.models import AppGroup
from kms.audit.models import AuditRecord
from kms.crypto.algorithm import CipherParameters, SignatureParameters
from kms.crypto.errors import ParameterInvalid
from kms.crypto.operation import KeyOperation
from kms.objects.models import SecurityObject
from kms.objects.state import Cryptoperiod
from kms.operations import transient
from kms.operations.command import ObjectRef
from kms.operations.creation import CreateObject, ImportObject
from kms.operations.cryptographic import Batch, Decrypt, Encrypt, Sign, WrapKey
from kms.operations.errors import AccessDenied, InvalidRequest, NotFound
from kms.operations.executor import execute
from kms.operations.lifecycle import DeleteObject, ExportObject
from kms.operations.making import ObjectTemplate
from kms.operations.queries import GetObject
from kms.operations.updating import UpdateObject
from kms.secret import SecretBytes
from policies.permissions import Permission
from tests.kit.tenants import Tenant, new_tenant

GCM = CipherParameters("GCM")


def made(tenant: Tenant, kind: str = "AES", **fields: Any) -> bytes:
    if kind == "AES":
        fields.setdefault("size", 256)
    operations = fields.pop("operations", None)
    template = ObjectTemplate(
        None,
        kind,
        tenant.group.id,
        operations=None if operations is None else frozenset(map(KeyOperation, operations)),
        transient=True,
        **fields,
    )
    view = execute(tenant.app, CreateObject(template))
    assert view.transient is not None
    blob: bytes = view.transient
    return blob


def encrypt(tenant: Tenant, blob: bytes, data: bytes = b"data") -> Any:
    return execute(tenant.app, Encrypt(ObjectRef(transient=blob), "AES", GCM, data)).value


def test_a_transient_key_works_and_leaves_no_row(tenant: Tenant) -> None:
    blob = made(tenant)
    sealed = encrypt(tenant, blob)
    parameters = CipherParameters("GCM", sealed.iv, tag=sealed.tag)
    back = execute(tenant.app, Decrypt(ObjectRef(transient=blob), "AES", parameters, sealed.ciphertext))
    assert back.value == b"data"
    assert not SecurityObject.objects.filter(account=tenant.account).exists()


def test_its_use_is_recorded_with_its_group_and_not_with_the_blob(tenant: Tenant) -> None:
    blob = made(tenant)
    encrypt(tenant, blob)
    found = AuditRecord.objects.get(account_id=tenant.account.id, action="object.encrypt")
    assert (found.outcome, found.groups) == ("done", [tenant.group.id])
    assert blob.hex()[-32:] not in str(found.details)


@pytest.mark.parametrize("kind", ["RSA", "EC"])
def test_a_transient_pair_signs(tenant: Tenant, kind: str) -> None:
    blob = made(tenant, kind, **({"size": 2048} if kind == "RSA" else {"curve": "NistP256"}))
    command = Sign(ObjectRef(transient=blob), SignatureParameters("SHA256"), data=b"x")
    assert execute(tenant.app, command).value


def test_another_account_cannot_use_it(tenant: Tenant) -> None:
    blob, other = made(tenant), new_tenant()
    with pytest.raises(InvalidRequest, match="not valid"):
        encrypt(other, blob)
    found = AuditRecord.objects.get(account_id=other.account.id, action="object.encrypt")
    assert (found.outcome, found.reason) == ("failed", "transient-key-invalid")


def test_an_app_of_another_group_cannot_use_it(tenant: Tenant) -> None:
    blob = made(tenant)
    outsider = tenant.new_app(group=tenant.new_group())
    with pytest.raises(NotFound):
        execute(outsider, Encrypt(ObjectRef(transient=blob), "AES", GCM, b""))


def test_a_right_that_is_taken_away_is_gone_for_transient_keys_too(tenant: Tenant) -> None:
    blob = made(tenant)
    encrypt(tenant, blob)
    AppGroup.objects.filter(app_id=tenant.app.id).update(permissions=[Permission.OBJECT_DECRYPT])
    with pytest.raises(AccessDenied):
        encrypt(tenant, blob)


def test_it_does_only_what_it_was_made_for(tenant: Tenant) -> None:
    blob = made(tenant, operations=["decrypt"])
    with pytest.raises(AccessDenied, match="does not permit the operation encrypt"):
        encrypt(tenant, blob)


def test_a_flipped_bit_anywhere_is_refused_alike(tenant: Tenant) -> None:
    blob = made(tenant)
    encrypt(tenant, blob)
    for position in range(len(blob)):
        altered = bytearray(blob)
        altered[position] ^= 1 << position % 8
        with pytest.raises(InvalidRequest) as caught:
            encrypt(tenant, bytes(altered))
        assert caught.value.reason == "transient-key-invalid", position


@pytest.mark.parametrize("bit", [1, 0x80])
def test_a_flipped_bit_in_any_attribute_is_refused_alike(tenant: Tenant, bit: int) -> None:
    """The top bit makes the attributes no text at all, the lowest often another valid value."""
    blob = made(tenant)
    length = int.from_bytes(blob[:4], "big")
    for position in range(4, 4 + length):
        altered = bytearray(blob)
        altered[position] ^= bit
        with pytest.raises(InvalidRequest, match="not valid"):
            encrypt(tenant, bytes(altered))


def test_a_shortened_or_lengthened_blob_is_refused(tenant: Tenant) -> None:
    blob = made(tenant)
    for altered in (blob + b"\0", b"\0" + blob, *(blob[:end] for end in range(0, len(blob), 7))):
        with pytest.raises(InvalidRequest, match="not valid"):
            encrypt(tenant, altered)


def test_any_bytes_are_refused_alike(tenant: Tenant) -> None:
    @given(st.binary(max_size=300))
    def check(blob: bytes) -> None:
        with pytest.raises(InvalidRequest, match="not valid"):
            encrypt(tenant, blob)

    check()


def rewritten(blob: bytes, **changes: Any) -> bytes:
    """The blob with attributes of the forger's choice over the same sealed key."""
    length = int.from_bytes(blob[:4], "big")
    names = transient._Attributes.__struct_fields__
    attributes = dict(zip(names, json.loads(blob[4 : 4 + length]), strict=True))
    encoded = msgspec.json.encode(list({**attributes, **changes}.values()))
    return len(encoded).to_bytes(4, "big") + encoded + blob[4 + length :]


FORGERIES: dict[str, dict[str, Any]] = {
    "never expires": {"expires_at": "2999-01-01T00:00:00Z"},
    "expired already": {"expires_at": "2000-01-01T00:00:00Z"},
    "a time without a zone": {"expires_at": "2999-01-01T00:00:00"},
    "operations": {"operations": ["encrypt", "export"]},
    "unknown operations": {"operations": ["fly"]},
    "unknown kind": {"kind": "ROT13"},
    "released": {"protection": "sealed"},
    "size": {"size": -1},
}


@pytest.mark.parametrize("changes", FORGERIES.values(), ids=FORGERIES)
def test_forged_attributes_are_refused_before_they_are_looked_at(tenant: Tenant, changes: dict[str, Any]) -> None:
    blob = made(tenant)
    assert rewritten(blob) == blob
    with pytest.raises(InvalidRequest, match="not valid"):
        encrypt(tenant, rewritten(blob, **changes))


def test_another_group_written_into_it_is_refused(tenant: Tenant) -> None:
    blob, other = made(tenant), tenant.new_group()
    with pytest.raises(InvalidRequest, match="not valid"):
        encrypt(tenant, rewritten(blob, group=str(other.id)))


def test_another_account_written_into_it_is_refused_there(tenant: Tenant) -> None:
    other = new_tenant()
    forged = rewritten(made(tenant), account=str(other.account.id), group=str(other.group.id))
    with pytest.raises(InvalidRequest, match="not valid"):
        encrypt(other, forged)


def test_the_key_of_one_under_the_attributes_of_another_is_refused(tenant: Tenant) -> None:
    first, second = made(tenant), made(tenant)
    length = int.from_bytes(first[:4], "big")
    other = int.from_bytes(second[:4], "big")
    with pytest.raises(InvalidRequest, match="not valid"):
        encrypt(tenant, first[: 4 + length] + second[4 + other :])


def test_an_expired_one_is_refused_as_expired(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made to have expired a second ago: the hour is part of what is sealed."""
    monkeypatch.setattr(transient, "LIFETIME", timedelta(seconds=-1))
    blob = made(tenant)
    with pytest.raises(InvalidRequest) as caught:
        encrypt(tenant, blob)
    assert caught.value.reason == "transient-key-expired"


def test_it_is_not_looked_up_exported_changed_or_deleted(tenant: Tenant) -> None:
    ref = ObjectRef(transient=made(tenant, operations=["encrypt", "export"]))
    for command in (GetObject(ref), ExportObject(ref), UpdateObject(ref, name="x"), DeleteObject(ref)):
        with pytest.raises((InvalidRequest, NotFound)):
            execute(tenant.app, command)


def test_one_that_may_be_exported_can_be_wrapped(tenant: Tenant) -> None:
    subject = ObjectRef(transient=made(tenant, operations=["encrypt", "export"]))
    wrapped = execute(tenant.app, WrapKey(tenant.key(), subject, "AES", CipherParameters("KWP"))).ciphertext
    assert len(wrapped) == 40
    plain = ObjectRef(transient=made(tenant))
    with pytest.raises(AccessDenied, match="does not permit the operation export"):
        execute(tenant.app, WrapKey(tenant.key(), plain, "AES", CipherParameters("KWP")))


def test_a_bad_one_in_a_batch_fails_alone(tenant: Tenant) -> None:
    good = ObjectRef(transient=made(tenant))
    items = tuple(Encrypt(ref, "AES", GCM, b"x") for ref in (good, ObjectRef(transient=b"rubbish"), good))
    results = execute(tenant.app, Batch(items))
    assert [type(item.error).__name__ for item in results] == ["NoneType", "InvalidRequest", "NoneType"]


def test_an_imported_key_can_be_transient_too(tenant: Tenant) -> None:
    template = ObjectTemplate(None, "AES", tenant.group.id, transient=True)
    view = execute(tenant.app, ImportObject(template, SecretBytes(bytes(32))))
    zeros = execute(tenant.app, Encrypt(ObjectRef(transient=view.transient), "AES", CipherParameters("ECB"), bytes(16)))
    assert zeros.value.ciphertext.hex() == "dc95c078a2408989ad48a21492842087"  # AES-256 of zeros under zeros


@pytest.mark.parametrize(
    "fields",
    [{"enabled": False}, {"period": Cryptoperiod(deactivation=None, activation=None)}],
    ids=["disabled", "no dates"],
)
def test_what_a_transient_key_cannot_carry_is_not_dropped_in_silence(tenant: Tenant, fields: dict[str, Any]) -> None:
    """A limit that is left out would make a stronger key than was asked for."""
    if fields.get("enabled") is False:
        with pytest.raises(ParameterInvalid, match="transient"):
            made(tenant, **fields)
    else:
        assert made(tenant, **fields)


@pytest.mark.parametrize("days", [-1, 1])
def test_dates_of_a_transient_key_are_refused(tenant: Tenant, days: int) -> None:
    for period in (
        Cryptoperiod(activation=clock.now() + timedelta(days=days)),
        Cryptoperiod(deactivation=clock.now() + timedelta(days=days)),
    ):
        with pytest.raises(ParameterInvalid, match="transient"):
            made(tenant, period=period)
