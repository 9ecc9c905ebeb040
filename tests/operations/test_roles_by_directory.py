"""Roles of the account's own by the groups of a directory: given by who holds them, held in its sessions only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from accounts.models import ExternalGrant, IdentityProvider
from accounts.principal import Principal
from kms.operations.errors import AccessDenied, Conflict, NotFound
from kms.operations.executor import execute
from kms.operations.external_roles import (
    CreateExternalRole,
    ExternalRoleView,
    GetExternalRole,
    Given,
    UpdateExternalRole,
)
from kms.operations.lifecycle import DeleteObject
from kms.operations.queries import GetObject
from kms.operations.roles import DeleteRole, GetOwnPermissions, RoleDetails, RoleView, UpdateRole
from policies.explanation import Place
from policies.permissions import Permission, with_implied
from policies.sources import sources_of
from policies.system_roles import SYSTEM_ROLE_ID, RoleKind
from tests.kit.tenants import Tenant, new_tenant, unique
from tests.operations.test_roles import give, person, role, rotation

GROUP_AUDITOR = SYSTEM_ROLE_ID[RoleKind.GROUP, "auditor"]


@pytest.fixture
def provider(tenant: Tenant) -> IdentityProvider:
    return IdentityProvider.objects.create(account=tenant.account, kind="oidc", name="directory")


def ids(roles: Iterable[RoleView]) -> frozenset[UUID]:
    return frozenset(each.id for each in roles)


def said(tenant: Tenant, provider: IdentityProvider, *roles: RoleView, by: Principal | None = None) -> ExternalRoleView:
    """A group of the directory means these roles, on the account or in the tenant's group."""
    inside = [each for each in roles if each.details.kind is RoleKind.GROUP]
    on_account = [each for each in roles if each.details.kind is RoleKind.ACCOUNT]
    groups = {tenant.group.id: Given(user_roles=ids(inside))} if inside else {}
    command = CreateExternalRole(unique("operators"), provider.id, "oidc", groups, account_roles=ids(on_account))
    made: ExternalRoleView = execute(by or tenant.alice, command)
    return made


def counted_in(tenant: Tenant, provider: IdentityProvider, view: ExternalRoleView) -> Principal:
    """Somebody without any role, whom the directory counts in the group, in a session that it vouched for."""
    who = person(tenant)
    ExternalGrant.objects.create(role=view.row, user_id=who.id)
    return replace(who, provider=provider.id)


def test_roles_hold_in_the_providers_sessions_and_in_no_other(tenant: Tenant, provider: IdentityProvider) -> None:
    rotating = role(tenant, RoleKind.GROUP, {Permission.OBJECT_ROTATE})
    looking = role(tenant, RoleKind.ACCOUNT, {Permission.ROLE_GET}, all_groups_role=GROUP_AUDITOR)
    who = counted_in(tenant, provider, said(tenant, provider, rotating, looking))
    key, elsewhere = tenant.key(), tenant.key(group=tenant.new_group())
    execute(who, rotation(key))
    assert execute(who, GetObject(elsewhere)).row.id == elsewhere.id
    held = execute(who, GetOwnPermissions())
    assert Permission.ROLE_GET in held.account
    for beyond in (rotation(elsewhere), DeleteObject(tenant.key())):
        with pytest.raises(AccessDenied):
            execute(who, beyond)
    other = IdentityProvider.objects.create(account=tenant.account, kind="oidc", name="another")
    for outside in (replace(who, provider=None), replace(who, provider=other.id)):
        with pytest.raises(NotFound):
            execute(outside, rotation(key))


def test_what_changes_in_the_role_or_in_what_the_group_means_holds_at_once(
    tenant: Tenant, provider: IdentityProvider
) -> None:
    made = role(tenant, RoleKind.GROUP, {Permission.OBJECT_GET})
    view = said(tenant, provider, made)
    who, key = counted_in(tenant, provider, view), tenant.key()
    with pytest.raises(AccessDenied):
        execute(who, rotation(key))
    execute(
        tenant.alice, UpdateRole(made.id, details=RoleDetails(RoleKind.GROUP, frozenset({Permission.OBJECT_ROTATE})))
    )
    execute(who, rotation(key))
    other = role(tenant, RoleKind.GROUP, {Permission.OBJECT_GET})
    mapped = {tenant.group.id: Given(user_roles=frozenset({other.id}))}
    execute(tenant.alice, UpdateExternalRole(view.row.id, set_groups=mapped))
    with pytest.raises(AccessDenied):
        execute(who, rotation(key))
    execute(tenant.alice, UpdateExternalRole(view.row.id, remove_groups=frozenset({tenant.group.id})))
    with pytest.raises(NotFound):
        execute(who, rotation(key))


def test_a_role_that_a_directory_gives_is_not_deleted(tenant: Tenant, provider: IdentityProvider) -> None:
    inside, on_account = role(tenant, RoleKind.GROUP, set()), role(tenant, RoleKind.ACCOUNT, set())
    view = said(tenant, provider, inside, on_account)
    for made in (inside, on_account):
        with pytest.raises(Conflict):
            execute(tenant.alice, DeleteRole(made.id))
        exclusive = RoleDetails(made.details.kind, frozenset(), exclusive=True)
        with pytest.raises(Conflict):
            execute(tenant.alice, UpdateRole(made.id, details=exclusive))
    execute(
        tenant.alice,
        UpdateExternalRole(view.row.id, account_role="", remove_groups=frozenset({tenant.group.id})),
    )
    for made in (inside, on_account):
        execute(tenant.alice, DeleteRole(made.id))


def test_a_change_of_something_else_leaves_the_roles(tenant: Tenant, provider: IdentityProvider) -> None:
    inside, on_account = role(tenant, RoleKind.GROUP, set()), role(tenant, RoleKind.ACCOUNT, set())
    view = said(tenant, provider, inside, on_account)
    execute(tenant.alice, UpdateExternalRole(view.row.id, name="renamed"))
    now = execute(tenant.alice, GetExternalRole(view.row.id))
    assert (now.row.own_roles, now.groups) == ([on_account.id], view.groups)
    assert view.groups == {tenant.group.id: Given(user_roles=frozenset({inside.id}))}


@pytest.mark.parametrize("kind", RoleKind)
def test_nobody_gives_by_a_directory_what_they_do_not_hold(
    kind: RoleKind, tenant: Tenant, provider: IdentityProvider
) -> None:
    managing = {Permission.EXTERNAL_ROLE_MANAGE, Permission.USER_UPDATE_ROLE}
    keeper = person(tenant)
    give(tenant, keeper, role(tenant, RoleKind.ACCOUNT, managing))
    give(tenant, keeper, role(tenant, RoleKind.GROUP, {Permission.EXTERNAL_ROLE_MAP}))
    within = {RoleKind.ACCOUNT: Permission.USER_GET, RoleKind.GROUP: Permission.GROUP_GET}[kind]
    beyond = {RoleKind.ACCOUNT: Permission.ACCOUNT_DELETE, RoleKind.GROUP: Permission.GROUP_DELETE}[kind]
    view = said(tenant, provider, role(tenant, kind, {within}), by=keeper)
    more = role(tenant, kind, {beyond})
    with pytest.raises(AccessDenied) as refused:
        said(tenant, provider, more, by=keeper)
    assert refused.value.reason == "beyond-own"
    changes: dict[RoleKind, dict[str, Any]] = {
        RoleKind.ACCOUNT: {"account_role": "", "account_roles": frozenset({more.id})},
        RoleKind.GROUP: {"set_groups": {tenant.group.id: Given(user_roles=frozenset({more.id}))}},
    }
    with pytest.raises(AccessDenied) as refused:
        execute(keeper, UpdateExternalRole(view.row.id, **changes[kind]))
    assert refused.value.reason == "beyond-own"
    execute(tenant.alice, UpdateExternalRole(view.row.id, **changes[kind]))


def test_roles_are_of_this_account_and_of_the_place_and_not_exclusive(
    tenant: Tenant, provider: IdentityProvider
) -> None:
    inside, on_account = role(tenant, RoleKind.GROUP, set()), role(tenant, RoleKind.ACCOUNT, set())
    theirs = role(new_tenant(), RoleKind.ACCOUNT, set())
    for wrong in (inside, theirs):
        with pytest.raises(NotFound):
            execute(tenant.alice, CreateExternalRole("x", provider.id, "oidc", account_roles=frozenset({wrong.id})))
    for wrong in (on_account, theirs):
        groups = {tenant.group.id: Given(user_roles=frozenset({wrong.id}))}
        with pytest.raises(NotFound):
            execute(tenant.alice, CreateExternalRole("x", provider.id, "oidc", groups))
    for kind in RoleKind:
        with pytest.raises(Conflict):
            said(tenant, provider, role(tenant, kind, set(), exclusive=True))


def test_an_explanation_tells_all_that_a_directory_gives(tenant: Tenant, provider: IdentityProvider) -> None:
    rotating = role(tenant, RoleKind.GROUP, {Permission.OBJECT_ROTATE})
    looking = role(tenant, RoleKind.ACCOUNT, {Permission.ROLE_GET}, all_groups_role=rotating.id)
    who = counted_in(tenant, provider, said(tenant, provider, rotating, looking))
    held, told = execute(who, GetOwnPermissions()), sources_of(who)

    def sum_of(place: Place) -> frozenset[Permission]:
        return with_implied(frozenset().union(*(source.permissions for source in told if source.place is place)))

    assert sum_of(Place.ACCOUNT) == held.account
    assert sum_of(Place.ALL_GROUPS) == held.all_groups
    assert sum_of(Place.GROUP) == held.groups[tenant.group.id]
