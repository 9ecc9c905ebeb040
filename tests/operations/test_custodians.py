"""Whose components make a key: who may be a custodian at all, and whom a group names for its keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import pytest

from accounts.models import Group
from accounts.principal import Principal
from kms.crypto.errors import ParameterInvalid
from kms.crypto.operation import KeyOperation
from kms.operations.custodians import Custodian, CustodianPolicy, custodians_in
from kms.operations.custody import Component, ExportComponents, ImportComponents
from kms.operations.demanding import PolicyChange, policy_of
from kms.operations.errors import AccessDenied, NotFound
from kms.operations.executor import execute
from kms.operations.groups import CreateGroup, GetGroup, UpdateGroup
from kms.operations.making import ObjectTemplate
from kms.operations.roles import CreateRole, RoleDetails
from kms.operations.users import UpdateUser
from kms.secret import SecretBytes
from policies.models import GroupPolicy
from policies.permissions import Permission
from policies.quorum import Member, MemberKind, Quorum
from policies.system_roles import SYSTEM_ROLE_ID, RoleKind
from tests.kit.quorums import users
from tests.kit.tenants import Tenant, new_tenant, unique

WAYS = ("export", "import")


def people(tenant: Tenant, count: int) -> list[Principal]:
    return [tenant.member("member") for _ in range(count)]


def name_custodians(tenant: Tenant, quorum: Quorum | None) -> None:
    execute(tenant.alice, UpdateGroup(tenant.group.id, policy=PolicyChange(custodians=CustodianPolicy(quorum))))


def use(tenant: Tenant, way: str, custodians: Sequence[Principal], *, group: Group | None = None) -> Any:
    """A key leaves to these, or comes from them."""
    named = tuple(Custodian(who.kind, who.id) for who in custodians)
    if way == "export":
        key = tenant.key(operations=["export"], group=group)
        return execute(tenant.alice, ExportComponents(key, named))
    parts = tuple(Component(who, SecretBytes(bytes([7 + n]) * 32)) for n, who in enumerate(named))
    place = (group or tenant.group).id
    template = ObjectTemplate(unique("joined"), "AES", place, operations=frozenset({KeyOperation.EXPORT}))
    return execute(tenant.alice, ImportComponents(template, named, parts))


def refused(tenant: Tenant, way: str, custodians: Sequence[Principal]) -> str:
    with pytest.raises(AccessDenied) as error:
        use(tenant, way, custodians)
    return error.value.reason


@pytest.mark.parametrize("way", WAYS)
def test_enough_of_those_who_are_named_will_do_and_no_fewer_and_nobody_else(way: str, tenant: Tenant) -> None:
    named, others = people(tenant, 3), people(tenant, 2)
    use(tenant, way, others)
    name_custodians(tenant, users(3, [who.id for who in named]))
    assert use(tenant, way, named)
    assert refused(tenant, way, named[:2]) == "custodians-too-few"
    assert refused(tenant, way, [*named[:2], others[0]]) == "custodian-not-named"
    assert refused(tenant, way, [*named, others[0]]) == "custodian-not-named"
    assert refused(tenant, way, others) == "custodian-not-named"
    assert use(tenant, way, others, group=tenant.new_group())
    name_custodians(tenant, None)
    assert use(tenant, way, others)


@pytest.mark.parametrize("way", WAYS)
def test_a_tree_is_met_as_a_quorum_is(way: str, tenant: Tenant) -> None:
    one, two, three, four = people(tenant, 4)
    name_custodians(tenant, Quorum(2, (users(1, [one.id, two.id]), users(1, [three.id, four.id]))))
    assert refused(tenant, way, [one, two]) == "custodians-too-few"
    assert use(tenant, way, [one, three])
    assert use(tenant, way, [one, two, four])


@pytest.mark.parametrize("way", WAYS)
def test_apps_of_one_person_are_one_custodian(way: str, tenant: Tenant) -> None:
    first, second = tenant.new_app(), tenant.new_app()
    (other,) = people(tenant, 1)
    members = (*(Member(MemberKind.APP, app.id) for app in (first, second)), Member(MemberKind.USER, other.id))
    name_custodians(tenant, Quorum(2, members))
    assert refused(tenant, way, [first, second]) == "custodians-too-few"
    assert use(tenant, way, [first, other])


@pytest.mark.parametrize("way", WAYS)
def test_a_role_names_whoever_holds_it_now(way: str, tenant: Tenant) -> None:
    details = RoleDetails(RoleKind.ACCOUNT, frozenset({Permission.CUSTODIAN}))
    role = execute(tenant.alice, CreateRole(unique("custodians"), details)).id
    one, two = people(tenant, 2)
    name_custodians(tenant, Quorum(2, (Member(MemberKind.ROLE, role), Member(MemberKind.ROLE, role))))
    assert refused(tenant, way, [one, two]) == "custodian-not-named"
    for who in (one, two):
        execute(tenant.alice, UpdateUser(who.id, role="", roles=frozenset({role})))
    assert use(tenant, way, [one, two])
    execute(tenant.alice, UpdateUser(two.id, role="member"))
    assert refused(tenant, way, [one, two]) == "custodian-not-named"


@pytest.mark.parametrize("way", WAYS)
def test_who_may_not_be_a_custodian_is_none_whether_a_group_names_them_or_not(way: str, tenant: Tenant) -> None:
    auditor, other = tenant.member("auditor"), tenant.member("member")
    assert refused(tenant, way, [auditor, other]) == "not-a-custodian"
    name_custodians(tenant, users(2, [auditor.id, other.id]))
    assert refused(tenant, way, [auditor, other]) == "not-a-custodian"
    execute(tenant.alice, UpdateUser(auditor.id, role="member"))
    assert use(tenant, way, [auditor, other])
    execute(tenant.alice, UpdateUser(auditor.id, enabled=False))
    with pytest.raises(NotFound):
        use(tenant, way, [auditor, other])


@pytest.mark.parametrize("way", WAYS)
def test_a_policy_that_does_not_read_lets_nobody_through(way: str, tenant: Tenant) -> None:
    named = people(tenant, 2)
    name_custodians(tenant, users(2, [who.id for who in named]))
    GroupPolicy.objects.filter(group=tenant.group).update(custodians={"n": "2", "members": []})
    assert refused(tenant, way, named) == "custodian-not-named"


def test_the_policy_is_shown_and_a_group_is_made_with_one(tenant: Tenant) -> None:
    quorum = users(2, [who.id for who in people(tenant, 2)])
    policy = PolicyChange(custodians=CustodianPolicy(quorum))
    made = execute(tenant.alice, CreateGroup(unique("group"), policy=policy))
    assert custodians_in(policy_of(execute(tenant.alice, GetGroup(made.id)))) == quorum
    assert custodians_in(policy_of(execute(tenant.alice, GetGroup(tenant.group.id)))) is None


def wrong_trees(tenant: Tenant) -> dict[str, Quorum]:
    one, two = (who.id for who in people(tenant, 2))
    stranger = new_tenant()
    return {
        "nobody": Quorum(0, ()),
        "one alone": users(1, [one]),
        "more than there are": users(3, [one, two]),
        "nobody's": users(2, [one, uuid4()]),
        "another account's": users(2, [one, stranger.alice.id]),
        "another account's app": Quorum(2, (Member(MemberKind.USER, one), Member(MemberKind.APP, stranger.app.id))),
        "a role of groups": Quorum(1, (Member(MemberKind.ROLE, SYSTEM_ROLE_ID[RoleKind.GROUP, "auditor"]),)),
        "a password": users(2, [one, two], password=True),
        "a second factor below": Quorum(1, (users(2, [one, two], second_factor=True),)),
    }


def test_what_no_custodians_could_meet_is_not_set(tenant: Tenant) -> None:
    for label, quorum in wrong_trees(tenant).items():
        with pytest.raises(ParameterInvalid):
            name_custodians(tenant, quorum)
        assert not GroupPolicy.objects.filter(group=tenant.group, custodians__isnull=False).exists(), label
