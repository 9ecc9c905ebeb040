"""Published public keys: for anyone, and nothing else is told to anyone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import load_der_public_key

from accounts.clock import clock
from accounts.principal import ANONYMOUS
from kms.audit.models import AuditRecord
from kms.crypto.operation import KeyOperation
from kms.objects.models import SecurityObject
from kms.objects.publication import Publication
from kms.objects.revocation import Revocation, RevocationCode
from kms.objects.state import Cryptoperiod
from kms.operations.command import ObjectRef
from kms.operations.copying import CopyObject
from kms.operations.errors import NotFound
from kms.operations.executor import execute
from kms.operations.lifecycle import DeleteObject, DestroyObject, RevokeObject
from kms.operations.making import ObjectTemplate
from kms.operations.publishing import ReadPublicKeys
from kms.operations.rotating import RotateObject
from kms.operations.updating import UpdateObject
from tests.kit.http import serving
from tests.kit.tenants import Tenant, new_tenant

ENDED = frozenset({"publication"})


def published(tenant: Tenant, *, previous: bool = False, **fields: Any) -> ObjectRef:
    return tenant.key("EC", curve="NistP256", publication=Publication(previous), **fields)


def row(key: ObjectRef) -> SecurityObject:
    return SecurityObject.objects.get(id=str(key.id))


def read(tenant: Tenant, name: str) -> dict[UUID, bytes]:
    return dict(execute(ANONYMOUS, ReadPublicKeys(tenant.account.id, name)))


def rotated(tenant: Tenant, key: ObjectRef, *, deactivate: bool = False) -> ObjectRef:
    changes = ObjectTemplate(None, "EC")
    return ObjectRef(id=execute(tenant.alice, RotateObject(key, changes, deactivate=deactivate)).row.id)


def test_anyone_reads_a_published_key(tenant: Tenant) -> None:
    key = published(tenant)
    found = read(tenant, row(key).name)
    assert found == {key.id: bytes(row(key).public_key or b"")}
    load_der_public_key(found[row(key).id])


def test_it_ends_when_its_owner_ends_it(tenant: Tenant) -> None:
    key = published(tenant)
    execute(tenant.alice, UpdateObject(key, ended=ENDED))
    with pytest.raises(NotFound):
        read(tenant, row(key).name)
    execute(tenant.alice, UpdateObject(key, publication=Publication()))
    assert read(tenant, row(key).name)


@pytest.mark.parametrize("deactivate", [False, True], ids=["active", "deactivated"])
def test_the_replaced_key_is_listed_when_its_owner_says_so(tenant: Tenant, deactivate: bool) -> None:
    old = published(tenant, previous=True)
    new = rotated(tenant, old, deactivate=deactivate)
    assert read(tenant, row(new).name) == {
        new.id: bytes(row(new).public_key or b""),
        old.id: bytes(row(old).public_key or b""),
    }


def test_the_replaced_key_is_not_listed_unasked(tenant: Tenant) -> None:
    new = rotated(tenant, published(tenant))
    assert list(read(tenant, row(new).name)) == [new.id]


def test_a_compromised_or_destroyed_predecessor_is_not_listed(tenant: Tenant) -> None:
    for code, ends in ((RevocationCode.KEY_COMPROMISE, False), (RevocationCode.SUPERSEDED, True)):
        old = published(tenant, previous=True)
        new = rotated(tenant, old)
        execute(tenant.alice, RevokeObject(old, Revocation(code)))
        if ends:
            execute(tenant.alice, DestroyObject(old))
        assert list(read(tenant, row(new).name)) == [new.id]


def test_the_copy_of_a_published_key_is_not_published(tenant: Tenant) -> None:
    key = published(tenant)
    copy = execute(tenant.alice, CopyObject(key, ObjectTemplate(f"{row(key).name}-copy", "")))
    with pytest.raises(NotFound):
        read(tenant, copy.row.name)


# -- what is not told ----------------------------------------------------------------------------------------------


def unpublished(tenant: Tenant) -> ObjectRef:
    return tenant.key("EC", curve="NistP256")


def symmetric(tenant: Tenant) -> ObjectRef:
    return tenant.key()


def pre_active(tenant: Tenant) -> ObjectRef:
    return published(tenant, period=Cryptoperiod(activation=clock.now() + timedelta(hours=1)))


def disabled(tenant: Tenant) -> ObjectRef:
    key = published(tenant)
    execute(tenant.alice, UpdateObject(key, enabled=False))
    return key


def revoked(code: RevocationCode) -> Callable[[Tenant], ObjectRef]:
    def make(tenant: Tenant) -> ObjectRef:
        key = published(tenant)
        execute(tenant.alice, RevokeObject(key, Revocation(code)))
        return key

    return make


def expired(tenant: Tenant) -> ObjectRef:
    key = published(tenant)
    SecurityObject.objects.filter(id=row(key).id).update(deactivation_date=clock.now() - timedelta(hours=1))
    return key


def deleted(tenant: Tenant) -> ObjectRef:
    key = published(tenant)
    execute(tenant.alice, DeleteObject(key))
    return key


def in_a_disabled_account(tenant: Tenant) -> ObjectRef:
    key = published(tenant)
    tenant.account.enabled = False
    tenant.account.save()
    return key


HIDDEN: dict[str, Callable[[Tenant], ObjectRef]] = {
    "not published": unpublished,
    "symmetric": symmetric,
    "not active yet": pre_active,
    "disabled": disabled,
    "deactivated": revoked(RevocationCode.SUPERSEDED),
    "compromised": revoked(RevocationCode.KEY_COMPROMISE),
    "past its time": expired,
    "deleted": deleted,
    "in a disabled account": in_a_disabled_account,
}


@pytest.fixture(scope="module")
def client(installation: None) -> Any:
    from kms.config.asgi import application

    with serving(application) as opened:
        yield opened


def answer(client: httpx.Client, account: UUID, name: str) -> tuple[int, str, dict[str, str]]:
    response = client.get(f"/crypto/v1/pubkey/{account}/{name}")
    varying = {"date", "x-request-id"}
    return response.status_code, response.text, {k: v for k, v in response.headers.items() if k not in varying}


@pytest.mark.parametrize("make", HIDDEN.values(), ids=HIDDEN)
def test_whatever_is_not_published_answers_as_if_it_were_absent(
    tenant: Tenant, client: httpx.Client, make: Callable[[Tenant], ObjectRef]
) -> None:
    key = make(tenant)
    absent = answer(client, tenant.account.id, "nothing-of-this-name")
    assert absent[0] == 404
    assert answer(client, tenant.account.id, row(key).name) == absent
    assert answer(client, uuid4(), row(key).name) == absent
    assert answer(client, new_tenant().account.id, row(key).name) == absent


def test_a_credential_changes_nothing(tenant: Tenant, client: httpx.Client) -> None:
    key, hidden = published(tenant), unpublished(tenant)
    path = f"/crypto/v1/pubkey/{tenant.account.id}"
    for auth in (None, tenant.api_key(), ("nobody", "wrong")):
        assert client.get(f"{path}/{row(key).name}", auth=auth).status_code == 200
        assert client.get(f"{path}/{row(hidden).name}", auth=auth).status_code == 404


@pytest.mark.parametrize("name", ["a b", "ünïcode", "with/slash", "with%25percent", "q?u#e", "..", "00000000"])
def test_any_name_is_found(tenant: Tenant, client: httpx.Client, name: str) -> None:
    key = published(tenant, name=name)
    response = client.get(httpx.URL(f"/crypto/v1/pubkey/{tenant.account.id}/").join(_quoted(name)))
    assert response.status_code == 200, response.text
    assert list(response.json()) == [str(key.id)]


def _quoted(name: str) -> str:
    return quote(name, safe="").replace(".", "%2E")


@pytest.mark.parametrize("path", ["not-a-uuid/name", "{account}/%00", "{account}/" + "n" * 2049, "{account}/"])
def test_what_is_no_account_or_name_is_refused(tenant: Tenant, client: httpx.Client, path: str) -> None:
    response = client.get(f"/crypto/v1/pubkey/{path.format(account=tenant.account.id)}")
    assert response.status_code in (400, 404), response.text
    assert response.headers["content-type"].startswith("text/plain")


def test_reads_are_recorded_as_nobodys(tenant: Tenant, client: httpx.Client) -> None:
    key = published(tenant, operations=[KeyOperation.SIGN])
    client.get(f"/crypto/v1/pubkey/{tenant.account.id}/{row(key).name}")
    client.get(f"/crypto/v1/pubkey/{tenant.account.id}/hidden-{key.id}")
    found = AuditRecord.objects.filter(action="public-key.read", details__account=str(tenant.account.id))
    denied, done = found.order_by("-sequence")[:2]
    assert (done.outcome, done.object_id, done.actor_kind) == ("done", key.id, "anonymous")
    assert (denied.outcome, denied.reason, denied.object_id) == ("denied", "not-found", None)
