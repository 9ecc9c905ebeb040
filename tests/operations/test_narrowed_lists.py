"""Lists of groups and users, narrowed by a part of the name or by a role; the catalogue that roles are made of."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from accounts.models import GroupMembership, GroupRoleGrant, User
from accounts.principal import Principal
from kms.api.wire.base import WireError, searched
from kms.operations.executor import execute
from kms.operations.groups import ListGroups
from kms.operations.permission_lists import ListPermissions
from kms.operations.queries import Page
from kms.operations.roles import CreateRole, RoleDetails, RoleView
from kms.operations.users import ListUsers
from policies.permissions import CATALOGUE, Permission, Scope
from policies.system_roles import SYSTEM_ROLE_ID, RoleKind
from tests.kit.tenants import Tenant, new_tenant


def groups(who: Principal, text: str) -> set[str]:
    return {row.name for row in execute(who, ListGroups(Page(), text))}


def users(who: Principal, **asked: Any) -> set[UUID]:
    return {view.user.id for view in execute(who, ListUsers(Page(), **asked))}


def test_groups_are_narrowed_by_a_part_of_the_name_among_those_one_sees() -> None:
    tenant = new_tenant()
    tenant.new_group("Ledger signing")
    tenant.new_group("old LEDGER")
    assert groups(tenant.alice, "ledger") == {"Ledger signing", "old LEDGER"}
    assert groups(tenant.alice, "") >= {"Ledger signing", tenant.group.name}
    assert groups(tenant.member("member"), "ledger") == set()


def test_users_are_narrowed_by_a_part_of_the_address() -> None:
    tenant = new_tenant()
    carol, other = tenant.member("member"), tenant.member("member")
    email = User.objects.get(id=carol.id).email
    assert users(tenant.alice, text=email[:14].upper()) == {carol.id}
    assert other.id in users(tenant.alice, text="@example.org")


def test_users_are_narrowed_by_a_role_wherever_it_is_held() -> None:
    tenant, elsewhere = new_tenant(), new_tenant()
    auditor, carol = tenant.member("auditor"), tenant.member("member")
    details = RoleDetails(RoleKind.GROUP, frozenset({Permission.OBJECT_ROTATE}))
    role: RoleView = execute(tenant.alice, CreateRole("Operator", details))
    inside = GroupMembership.objects.create(user_id=carol.id, group=tenant.group, role="")
    GroupRoleGrant.objects.create(membership=inside, user_id=carol.id, role_id=role.id)
    assert users(tenant.alice, role=role.id) == {carol.id}
    assert users(tenant.alice, role=SYSTEM_ROLE_ID[RoleKind.ACCOUNT, "auditor"]) == {auditor.id}
    assert users(tenant.alice, role=SYSTEM_ROLE_ID[RoleKind.GROUP, "administrator"]) == {tenant.alice.id}
    assert users(elsewhere.alice, role=role.id) == set()


def test_the_catalogue_has_what_a_role_can_give_and_is_the_same_for_everybody() -> None:
    tenant: Tenant = new_tenant()
    found = execute(tenant.member("member"), ListPermissions())
    assert set(found) == {name for name, spec in CATALOGUE.items() if spec.scope in (Scope.ACCOUNT, Scope.GROUP)}
    assert found == execute(tenant.alice, ListPermissions())


@pytest.mark.parametrize("text", ["x" * 257, "a\0b"])
def test_what_is_no_part_of_a_name_is_refused(text: str) -> None:
    with pytest.raises(WireError):
        searched(text)
