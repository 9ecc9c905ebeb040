"""Roles of an account's own: what they give, who may give them, and that nobody gives more than they hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from uuid import UUID

import pytest

from accounts.models import GroupMembership, Membership, User
from accounts.principal import AuthenticationMethod, Principal, PrincipalKind
from kms.operations.apps import CreateApp
from kms.operations.command import Command, ObjectRef
from kms.operations.errors import AccessDenied, Conflict, NotFound
from kms.operations.executor import execute
from kms.operations.invitations import InviteUser, ProcessInvitations
from kms.operations.lifecycle import DeleteObject
from kms.operations.making import ObjectTemplate
from kms.operations.queries import GetObject, Page
from kms.operations.roles import (
    CreateRole,
    DeleteRole,
    GetOwnPermissions,
    GetRole,
    ListRoles,
    RoleDetails,
    RoleView,
    UpdateRole,
)
from kms.operations.rotating import RotateObject
from kms.operations.users import GetUser, UpdateUser
from policies.permissions import Permission, Scope, in_scope, with_implied
from policies.system_roles import SYSTEM_ROLE_ID, RoleKind
from tests.kit.tenants import Tenant, new_tenant, unique

ACCOUNT_ADMINISTRATOR = SYSTEM_ROLE_ID[RoleKind.ACCOUNT, "administrator"]
GROUP_ADMINISTRATOR = SYSTEM_ROLE_ID[RoleKind.GROUP, "administrator"]


def role(tenant: Tenant, kind: RoleKind, permissions: Iterable[Permission], **more: object) -> RoleView:
    details = RoleDetails(kind, frozenset(permissions), **more)  # type: ignore[arg-type]
    made: RoleView = execute(tenant.alice, CreateRole(unique("role"), details))
    return made


def person(tenant: Tenant) -> Principal:
    """A member of the account, without any role."""
    user = User.objects.create(email=f"{unique('p')}@example.org", email_verified=True)
    Membership.objects.create(user=user, account=tenant.account, role="")
    return Principal(PrincipalKind.USER, user.id, tenant.account.id, AuthenticationMethod.PASSWORD)


def give(tenant: Tenant, who: Principal, *roles: RoleView) -> None:
    """Roles on the account, or in the tenant's group, as their kind is."""
    on_account = frozenset(each.id for each in roles if each.details.kind is RoleKind.ACCOUNT)
    in_group = frozenset(each.id for each in roles if each.details.kind is RoleKind.GROUP)
    change = UpdateUser(who.id, role="", roles=on_account) if on_account else UpdateUser(who.id)
    if in_group:
        change = UpdateUser(who.id, set_groups={tenant.group.id: ""}, group_roles={tenant.group.id: in_group})
    execute(tenant.alice, change)


@pytest.fixture
def officer(tenant: Tenant) -> Principal:
    """A rotation officer of the tenant's group."""
    who = person(tenant)
    give(tenant, who, role(tenant, RoleKind.GROUP, {Permission.OBJECT_ROTATE}))
    return who


def rotation(key: ObjectRef) -> Command:
    return RotateObject(key, ObjectTemplate(None, ""))


def test_an_officer_rotates_and_sees_and_does_nothing_else(tenant: Tenant, officer: Principal) -> None:
    key = tenant.key()
    assert execute(officer, GetObject(key)).row.id == key.id
    execute(officer, rotation(key))
    with pytest.raises(AccessDenied):
        execute(officer, DeleteObject(tenant.key()))


def test_a_role_in_one_group_is_nothing_in_another(tenant: Tenant, officer: Principal) -> None:
    with pytest.raises(NotFound):
        execute(officer, GetObject(tenant.key(group=tenant.new_group())))


def test_a_role_for_all_groups_holds_in_each_also_in_those_made_later(tenant: Tenant) -> None:
    who, inside = person(tenant), role(tenant, RoleKind.GROUP, {Permission.OBJECT_ROTATE})
    give(tenant, who, role(tenant, RoleKind.ACCOUNT, set(), all_groups_role=inside.id))
    execute(who, rotation(tenant.key(group=tenant.new_group())))


def test_a_change_of_a_role_holds_for_its_holders_at_once(tenant: Tenant) -> None:
    who, made = person(tenant), role(tenant, RoleKind.GROUP, {Permission.OBJECT_GET})
    give(tenant, who, made)
    key = tenant.key()
    with pytest.raises(AccessDenied):
        execute(who, rotation(key))
    details = RoleDetails(RoleKind.GROUP, frozenset({Permission.OBJECT_ROTATE}))
    execute(tenant.alice, UpdateRole(made.id, details=details))
    execute(who, rotation(key))
    execute(tenant.alice, UpdateRole(made.id, details=RoleDetails(RoleKind.GROUP, frozenset())))
    with pytest.raises(NotFound):
        execute(who, GetObject(key))


def test_rights_of_several_roles_add_up(tenant: Tenant, officer: Principal) -> None:
    more = role(tenant, RoleKind.GROUP, {Permission.OBJECT_DELETE})
    held = execute(tenant.alice, GetUser(officer.id)).group_roles[tenant.group.id]
    own = frozenset({*held, more.id})
    execute(tenant.alice, UpdateUser(officer.id, set_groups={tenant.group.id: ""}, group_roles={tenant.group.id: own}))
    assert execute(officer, GetOwnPermissions()).groups[tenant.group.id] == with_implied(
        frozenset({Permission.OBJECT_ROTATE, Permission.OBJECT_DELETE})
    )


@pytest.mark.parametrize("permission", sorted(in_scope(Scope.ACCOUNT)))
def test_nobody_gives_a_permission_that_they_lack(permission: Permission, tenant: Tenant) -> None:
    """Who holds every right on the account but one, by the roles' own door."""
    who, held = person(tenant), in_scope(Scope.ACCOUNT)
    lacking = frozenset(p for p in held if permission not in with_implied(frozenset({p})))
    give(tenant, who, role(tenant, RoleKind.ACCOUNT, lacking))
    mine = execute(who, GetOwnPermissions()).account
    if permission in mine:
        return  # everybody in an account holds it
    details = RoleDetails(RoleKind.ACCOUNT, frozenset({permission}))
    with pytest.raises(AccessDenied):
        execute(who, CreateRole(unique("role"), details))


def doors(tenant: Tenant, who: Principal) -> dict[str, Command]:
    """Every way to give an administrator's rights, as a command of somebody's."""
    target, group = person(tenant), tenant.group.id
    everything = RoleDetails(RoleKind.ACCOUNT, frozenset(), all_groups_role=GROUP_ADMINISTRATOR)
    own = role(tenant, RoleKind.GROUP, {Permission.GROUP_DELETE})
    return {
        "user": UpdateUser(target.id, role="administrator"),
        "self": UpdateUser(who.id, role="administrator"),
        "invitation": InviteUser(f"{unique('u')}@example.org", "administrator"),
        "group": UpdateUser(target.id, set_groups={group: "administrator"}),
        "group by invitation": InviteUser(f"{unique('u')}@example.org", "member", {group: "administrator"}),
        "own role in a group": UpdateUser(target.id, set_groups={group: ""}, group_roles={group: frozenset({own.id})}),
        "own role by invitation": InviteUser(
            f"{unique('u')}@example.org", "", {group: ""}, group_roles={group: frozenset({own.id})}
        ),
        "role for all groups": CreateRole(unique("role"), everything),
        "role": CreateRole(unique("role"), RoleDetails(RoleKind.ACCOUNT, frozenset({Permission.ACCOUNT_DELETE}))),
        "app": CreateApp(unique("app"), groups={group: frozenset({Permission.OBJECT_EXPORT})}),
    }


DOORS = (
    "user",
    "self",
    "invitation",
    "group",
    "group by invitation",
    "own role in a group",
    "own role by invitation",
    "role for all groups",
    "role",
    "app",
)


@pytest.mark.parametrize("door", DOORS)
def test_no_door_gives_more_than_its_keeper_holds(door: str, tenant: Tenant) -> None:
    who = person(tenant)
    keeper = role(tenant, RoleKind.ACCOUNT, {Permission.USER_MANAGE, Permission.ROLE_MANAGE})
    in_group = role(
        tenant, RoleKind.GROUP, {Permission.GROUP_GET, Permission.GROUP_USERS_MANAGE, Permission.APP_MANAGE}
    )
    give(tenant, who, keeper)
    give(tenant, who, in_group)
    with pytest.raises(AccessDenied) as refused:
        execute(who, doors(tenant, who)[door])
    assert refused.value.reason == "beyond-own"
    execute(tenant.alice, doors(tenant, tenant.alice)[door])  # an administrator holds it all


@pytest.mark.parametrize(
    "name",
    [
        "administrator",
        " Account Administrator",
        "ACCOUNTADMINISTRATOR",
        "\uff41dministrator",
        "group-auditor",
        "Member ",
    ],
)
def test_no_role_looks_like_one_of_the_systems(name: str, tenant: Tenant) -> None:
    with pytest.raises(Conflict):
        execute(tenant.alice, CreateRole(name, RoleDetails(RoleKind.GROUP, frozenset())))


@pytest.mark.parametrize("command", [UpdateRole, DeleteRole])
def test_the_systems_roles_are_listed_and_cannot_be_changed(command: Callable[..., Command], tenant: Tenant) -> None:
    assert ACCOUNT_ADMINISTRATOR in {view.id for view in execute(tenant.alice, ListRoles(Page())).views}
    with pytest.raises(Conflict):
        execute(tenant.alice, command(ACCOUNT_ADMINISTRATOR))


def test_a_role_that_is_held_or_named_is_not_deleted(tenant: Tenant, officer: Principal) -> None:
    (held,) = execute(tenant.alice, GetUser(officer.id)).group_roles[tenant.group.id]
    with pytest.raises(Conflict):
        execute(tenant.alice, DeleteRole(held))
    inside = role(tenant, RoleKind.GROUP, set())
    role(tenant, RoleKind.ACCOUNT, set(), all_groups_role=inside.id)
    with pytest.raises(Conflict):
        execute(tenant.alice, DeleteRole(inside.id))


def test_an_exclusive_role_is_held_alone(tenant: Tenant) -> None:
    who, alone = person(tenant), role(tenant, RoleKind.ACCOUNT, set(), exclusive=True)
    give(tenant, who, alone)
    with pytest.raises(Conflict):
        execute(tenant.alice, UpdateUser(who.id, role="member", roles=frozenset({alone.id})))
    with pytest.raises(Conflict):
        give(tenant, who, alone, role(tenant, RoleKind.ACCOUNT, set()))


def test_a_role_of_another_account_does_not_exist(tenant: Tenant) -> None:
    theirs = role(new_tenant(), RoleKind.ACCOUNT, set())
    for command in (GetRole(theirs.id), UpdateRole(theirs.id), DeleteRole(theirs.id)):
        with pytest.raises(NotFound):
            execute(tenant.alice, command)
    with pytest.raises(NotFound):
        give(tenant, person(tenant), theirs)


def test_the_last_administrator_is_not_lost_to_a_role_of_ones_own(tenant: Tenant) -> None:
    made = role(tenant, RoleKind.ACCOUNT, in_scope(Scope.ACCOUNT))
    with pytest.raises(Conflict):
        execute(tenant.alice, UpdateUser(tenant.alice.id, role="", roles=frozenset({made.id})))


def test_whoever_leaves_a_group_loses_its_roles(tenant: Tenant, officer: Principal) -> None:
    execute(tenant.alice, UpdateUser(officer.id, remove_groups=frozenset({tenant.group.id})))
    with pytest.raises(NotFound):
        execute(officer, GetObject(tenant.key()))
    assert not GroupMembership.objects.filter(user_id=officer.id).exists()


# -- by invitation -------------------------------------------------------------------------------------------------


def invited(tenant: Tenant, *roles: RoleView) -> Principal:
    """Somebody who is invited with these roles, on the account or in the tenant's group."""
    on_account = frozenset(each.id for each in roles if each.details.kind is RoleKind.ACCOUNT)
    in_group = frozenset(each.id for each in roles if each.details.kind is RoleKind.GROUP)
    group = tenant.group.id
    command = InviteUser(
        f"{unique('u')}@example.org", "", {group: ""} if in_group else {}, on_account, {group: in_group}
    )
    view = execute(tenant.alice, command)
    assert (frozenset(view.roles), view.membership.role) == (on_account, "")
    assert frozenset(view.group_roles.get(group, ())) == in_group
    return Principal(PrincipalKind.USER, view.user.id, tenant.account.id, AuthenticationMethod.PASSWORD)


def answer(who: Principal, **accounts: frozenset[UUID]) -> None:
    """Before an account is selected."""
    execute(replace(who, account=None), ProcessInvitations(**accounts))


def test_roles_of_an_invitation_count_from_its_acceptance_on(tenant: Tenant) -> None:
    inside = role(tenant, RoleKind.GROUP, {Permission.OBJECT_ROTATE})
    on_account = role(tenant, RoleKind.ACCOUNT, {Permission.ROLE_GET})
    who, key = invited(tenant, inside, on_account), tenant.key()
    with pytest.raises(AccessDenied):
        execute(who, rotation(key))
    answer(who, accepted=frozenset({tenant.account.id}))
    execute(who, rotation(key))
    execute(who, GetRole(on_account.id))
    with pytest.raises(AccessDenied):
        execute(who, DeleteObject(tenant.key()))


def test_a_rejected_invitation_leaves_no_role_held(tenant: Tenant) -> None:
    made = [role(tenant, RoleKind.GROUP, set()), role(tenant, RoleKind.ACCOUNT, set())]
    who = invited(tenant, *made)
    for each in made:
        with pytest.raises(Conflict):
            execute(tenant.alice, DeleteRole(each.id))
    answer(who, rejected=frozenset({tenant.account.id}))
    for each in made:
        execute(tenant.alice, DeleteRole(each.id))


def test_an_invitation_names_roles_of_this_account_in_their_places_and_exclusive_ones_alone(tenant: Tenant) -> None:
    inside, theirs = role(tenant, RoleKind.GROUP, set()), role(new_tenant(), RoleKind.ACCOUNT, set())
    for wrong in (inside, theirs):
        with pytest.raises(NotFound):
            execute(tenant.alice, InviteUser(f"{unique('u')}@example.org", "", roles=frozenset({wrong.id})))
    alone = role(tenant, RoleKind.ACCOUNT, set(), exclusive=True)
    with pytest.raises(Conflict):
        execute(tenant.alice, InviteUser(f"{unique('u')}@example.org", "member", roles=frozenset({alone.id})))
    invited(tenant, alone)
