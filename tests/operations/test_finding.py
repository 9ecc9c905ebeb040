"""Things are found by name and named by id: what a caller may see of them, and nothing else."""

from __future__ import annotations

import uuid

import pytest

from kms.operations.errors import InvalidRequest
from kms.operations.executor import execute
from kms.operations.finding import MAX_IDS, MAX_TEXT, FindThings, NameThings, Thing
from tests.kit.tenants import Tenant, new_tenant


@pytest.fixture(scope="module")
def tenant(installation: None, django_db_blocker: pytest.FixtureRequest) -> Tenant:
    with django_db_blocker.unblock():  # type: ignore[attr-defined]  # pytest-django's, which is not typed
        made = new_tenant()
        made.member("member")
        return made


def kinds(found: list[Thing]) -> set[tuple[str, str]]:
    return {(thing.kind, thing.name) for thing in found}


def test_a_name_finds_every_kind_that_has_it(tenant: Tenant) -> None:
    tenant.new_group("Ledger of payments")
    key = tenant.key(name="ledger key").id
    found = execute(tenant.alice, FindThings("ledger"))
    assert kinds(found) == {("group", "Ledger of payments"), ("object", "ledger key")}
    assert [thing.about for thing in found if thing.id == key] == ["AES"]


def test_an_id_finds_what_it_is_of(tenant: Tenant) -> None:
    assert kinds(execute(tenant.alice, FindThings(f" {tenant.group.id} "))) == {("group", tenant.group.name)}


def test_ids_are_named_whatever_they_are_of(tenant: Tenant) -> None:
    key = tenant.key().id
    assert key is not None
    wanted = (tenant.group.id, tenant.app.id, tenant.alice.id, tenant.account.id, key, uuid.uuid4())
    found = execute(tenant.alice, NameThings(wanted))
    assert {thing.id: thing.kind for thing in found} == {
        tenant.group.id: "group",
        tenant.app.id: "app",
        tenant.alice.id: "user",
        tenant.account.id: "account",
        key: "object",
    }


def test_what_is_not_to_be_seen_is_neither_found_nor_named(tenant: Tenant) -> None:
    apart = tenant.new_group("sealed off")
    key = tenant.key(name="sealed off key", group=apart).id
    assert key is not None
    for who in (tenant.app, new_tenant().alice):
        assert execute(who, FindThings("sealed off")) == []
        assert execute(who, NameThings((apart.id, key, tenant.alice.id))) == []
    member = tenant.member("member")  # who may see the account's users
    assert execute(member, FindThings("sealed off")) == []
    named = execute(member, NameThings((apart.id, key, tenant.alice.id)))
    assert [(thing.kind, thing.id) for thing in named] == [("user", tenant.alice.id)]


@pytest.mark.parametrize("text", ["", "  ", "x" * (MAX_TEXT + 1)])
def test_what_is_looked_for_is_neither_nothing_nor_endless(tenant: Tenant, text: str) -> None:
    with pytest.raises(InvalidRequest):
        execute(tenant.alice, FindThings(text))


def test_not_any_number_of_ids_is_named_at_once(tenant: Tenant) -> None:
    with pytest.raises(InvalidRequest):
        execute(tenant.alice, NameThings(tuple(uuid.uuid4() for _ in range(MAX_IDS + 1))))
