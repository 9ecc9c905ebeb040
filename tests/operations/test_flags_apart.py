"""Fine flags, each alone: a role with one opens exactly its own, and a role with every other one does not open it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from accounts.clock import clock
from accounts.models import (
    AccountRoleGrant,
    AppRole,
    ExternalRole,
    ExternalRoleGroup,
    Group,
    GroupMembership,
    GroupRoleGrant,
    IdentityProvider,
    Membership,
    Role,
)
from accounts.principal import Principal
from kms.api.wire.flags import ACCOUNT_FLAGS, GROUP_FLAGS
from kms.operations.accounts import UpdateAccount
from kms.operations.apps import CreateApp, DeleteApp, GetApp, GetAppCredential, ListApps, ResetAppSecret, UpdateApp
from kms.operations.command import Command
from kms.operations.custodians import CustodianPolicy
from kms.operations.demanding import PolicyChange
from kms.operations.errors import AccessDenied, Conflict, InvalidRequest, NotFound
from kms.operations.executor import execute
from kms.operations.external_roles import (
    CreateExternalRole,
    DeleteExternalRole,
    GetExternalRole,
    Given,
    SyncExternalRole,
    UpdateExternalRole,
)
from kms.operations.groups import UpdateGroup
from kms.operations.invitations import InviteUser
from kms.operations.queries import Page
from kms.operations.roles import CreateRole, DeleteRole, RoleDetails, UpdateRole
from kms.operations.statistics import ReadStatistics, Span, Subject
from kms.operations.users import RemoveUser, UpdateUser
from policies.models import GroupPolicy
from policies.permissions import Permission, Scope, in_scope, with_implied
from policies.stored import stored_tree
from policies.system_roles import RoleKind
from tests.kit.quorums import users
from tests.kit.tenants import Tenant, new_tenant, new_user, unique, user_principal


class Holder:
    """A user whose rights are those of two roles of the account's own, on the account and in the tenant's group."""

    def __init__(self, tenant: Tenant) -> None:
        user = new_user()
        member = Membership.objects.create(user=user, account=tenant.account, role="")
        inside = GroupMembership.objects.create(user=user, group=tenant.group, role="")
        self.principal = user_principal(user, tenant.account.id)
        self._roles = {kind: _role(tenant, kind) for kind in RoleKind}
        AccountRoleGrant.objects.create(membership=member, user=user, role=self._roles[RoleKind.ACCOUNT])
        GroupRoleGrant.objects.create(membership=inside, user=user, role=self._roles[RoleKind.GROUP])

    def with_only(self, permissions: Collection[Permission]) -> Principal:
        for kind, role in self._roles.items():
            role.permissions = sorted(set(permissions) & _SCOPED[kind])
            role.save()
        return self.principal


_SCOPED = {RoleKind.ACCOUNT: in_scope(Scope.ACCOUNT), RoleKind.GROUP: in_scope(Scope.GROUP)}


def _role(tenant: Tenant, kind: RoleKind) -> Role:
    return Role.objects.create(
        account=tenant.account, kind=kind, name=unique("role"), creator_kind="user", creator_id=tenant.alice.id
    )


def spare(tenant: Tenant, *, inside: bool = False) -> Principal:
    """A member without a role, in the group or not."""
    user = new_user()
    Membership.objects.create(user=user, account=tenant.account, role="")
    if inside:
        GroupMembership.objects.create(user=user, group=tenant.group, role="")
    return user_principal(user, tenant.account.id)


def administrative(tenant: Tenant) -> Principal:
    """An administrative app that is in the group as well."""
    return tenant.new_app([], role=AppRole.ADMIN)


def directory(tenant: Tenant) -> IdentityProvider:
    return IdentityProvider.objects.create(account=tenant.account, kind="oidc", name=unique("directory"))


def external(tenant: Tenant, **mapping: Any) -> ExternalRole:
    role = ExternalRole.objects.create(account=tenant.account, provider=directory(tenant), name=unique("operators"))
    if mapping:
        ExternalRoleGroup.objects.create(role=role, account=tenant.account, group=tenant.group, **mapping)
    return role


def own_role(tenant: Tenant) -> Role:
    return _role(tenant, RoleKind.GROUP)


def by(tenant: Tenant) -> CustodianPolicy:
    """Of whoever is here and one more, both."""
    return CustodianPolicy(users(2, [tenant.alice.id, spare(tenant).id]))


def keeping(tenant: Tenant, policy: CustodianPolicy | None) -> Group:
    """The group, with these custodians so far."""
    kept = None if policy is None or policy.quorum is None else stored_tree(policy.quorum)
    GroupPolicy.objects.update_or_create(
        group=tenant.group, defaults={"account_id": tenant.account.id, "custodians": kept}
    )
    return tenant.group


@dataclass(frozen=True)
class Case:
    """``make`` is a command that needs ``own`` and, beside it, ``also``: to see what it is about, or to give it."""

    own: Permission
    make: Callable[[Tenant], Command]
    also: frozenset[Permission] = frozenset()

    def needs(self) -> frozenset[Permission]:
        return self.also | {self.own}


_P = Permission
_SEES_USERS, _SEES_ROLES = frozenset({_P.USER_GET}), frozenset({_P.EXTERNAL_ROLE_GET})
_SEES_BOTH = frozenset({_P.USER_GET, _P.GROUP_GET})
_QUIET = {"common": {"log": {"level": "error"}}}
_NOTHING = RoleDetails(RoleKind.GROUP, frozenset())
_ENCRYPTING = Given(app_permissions=frozenset({_P.OBJECT_ENCRYPT}))
CASES = {
    "see an administrative app": Case(_P.ADMIN_APP_GET, lambda t: GetApp(administrative(t).id)),
    "create one": Case(_P.ADMIN_APP_CREATE, lambda _t: CreateApp(unique("app"), role=AppRole.ADMIN), _SEES_USERS),
    "change one": Case(_P.ADMIN_APP_UPDATE, lambda t: UpdateApp(administrative(t).id, description="changed")),
    "take one from its group": Case(
        _P.ADMIN_APP_UPDATE, lambda t: UpdateApp(administrative(t).id, remove_groups=frozenset({t.group.id}))
    ),
    "replace its key": Case(_P.ADMIN_APP_UPDATE, lambda t: ResetAppSecret(administrative(t).id)),
    "delete one": Case(_P.ADMIN_APP_DELETE, lambda t: DeleteApp(administrative(t).id)),
    "read its key": Case(_P.ADMIN_APP_SECRET_READ, lambda t: GetAppCredential(administrative(t).id)),
    "see an app": Case(_P.APP_GET, lambda t: GetApp(t.new_app([]).id)),
    "read an app's key": Case(_P.APP_SECRET_READ, lambda t: GetAppCredential(t.new_app([]).id)),
    "add to a group": Case(
        _P.GROUP_USERS_ADD, lambda t: UpdateUser(spare(t).id, set_groups={t.group.id: ""}), _SEES_BOTH
    ),
    "change a role in a group": Case(
        _P.GROUP_USERS_ROLE, lambda t: UpdateUser(spare(t, inside=True).id, set_groups={t.group.id: ""}), _SEES_BOTH
    ),
    "remove from a group": Case(
        _P.GROUP_USERS_REMOVE,
        lambda t: UpdateUser(spare(t, inside=True).id, remove_groups=frozenset({t.group.id})),
        _SEES_BOTH,
    ),
    "invite": Case(_P.USER_INVITE, lambda _t: InviteUser(f"{unique('u')}@example.org", "")),
    "invite into a group": Case(
        _P.USER_INVITE,
        lambda t: InviteUser(f"{unique('u')}@example.org", "", {t.group.id: ""}),
        frozenset({_P.GROUP_USERS_ADD, _P.GROUP_GET}),
    ),
    "change a role": Case(_P.USER_UPDATE_ROLE, lambda t: UpdateUser(spare(t).id, role="")),
    "enable": Case(_P.USER_UPDATE_STATE, lambda t: UpdateUser(spare(t).id, enabled=True)),
    "remove a user": Case(_P.USER_DELETE, lambda t: RemoveUser(spare(t).id)),
    "see what a directory means": Case(_P.EXTERNAL_ROLE_GET, lambda t: GetExternalRole(external(t).id)),
    "say it": Case(_P.EXTERNAL_ROLE_CREATE, lambda t: CreateExternalRole("operators", directory(t).id, "oidc")),
    "rename it": Case(_P.EXTERNAL_ROLE_MANAGE, lambda t: UpdateExternalRole(external(t).id, name="renamed")),
    "ask the directory": Case(_P.EXTERNAL_ROLE_SYNC, lambda t: SyncExternalRole(external(t).id)),
    "unsay it": Case(_P.EXTERNAL_ROLE_DELETE, lambda t: DeleteExternalRole(external(t).id)),
    "map users": Case(
        _P.EXTERNAL_ROLE_MAP_USERS,
        lambda t: UpdateExternalRole(external(t, user_role="auditor").id, remove_groups=frozenset({t.group.id})),
        _SEES_ROLES,
    ),
    "map apps": Case(
        _P.EXTERNAL_ROLE_MAP_APPS,
        lambda t: UpdateExternalRole(external(t).id, set_groups={t.group.id: _ENCRYPTING}),
        _SEES_ROLES,
    ),
    "map apps where users were mapped": Case(
        _P.EXTERNAL_ROLE_MAP_APPS,
        lambda t: UpdateExternalRole(external(t, user_role="auditor").id, set_groups={t.group.id: _ENCRYPTING}),
        _SEES_ROLES | {_P.EXTERNAL_ROLE_MAP_USERS},
    ),
    "set the account's clients": Case(
        _P.ACCOUNT_CLIENTS, lambda t: UpdateAccount(t.account.id, policy=PolicyChange(clients=_QUIET))
    ),
    "set a group's clients": Case(
        _P.GROUP_CLIENTS, lambda t: UpdateGroup(t.group.id, policy=PolicyChange(clients=_QUIET))
    ),
    "name custodians": Case(
        _P.GROUP_CUSTODIANS_CREATE, lambda t: UpdateGroup(keeping(t, None).id, policy=PolicyChange(custodians=by(t)))
    ),
    "change custodians": Case(
        _P.GROUP_CUSTODIANS_UPDATE, lambda t: UpdateGroup(keeping(t, by(t)).id, policy=PolicyChange(custodians=by(t)))
    ),
    "take custodians away": Case(
        _P.GROUP_CUSTODIANS_DELETE,
        lambda t: UpdateGroup(keeping(t, by(t)).id, policy=PolicyChange(custodians=CustodianPolicy())),
    ),
    "set an app's clients": Case(_P.APP_UPDATE, lambda t: UpdateApp(t.new_app([]).id, clients=_QUIET)),
    "create a role": Case(_P.ROLE_CREATE, lambda _t: CreateRole(unique("role"), _NOTHING)),
    "change a role of the account's": Case(_P.ROLE_UPDATE, lambda t: UpdateRole(own_role(t).id, description="changed")),
    "delete a role": Case(_P.ROLE_DELETE, lambda t: DeleteRole(own_role(t).id)),
}
FLAGS = frozenset({*ACCOUNT_FLAGS.values(), *GROUP_FLAGS.values()})


@pytest.fixture(scope="module")
def place(installation: None, django_db_blocker: Any) -> Tenant:
    with django_db_blocker.unblock():
        return new_tenant()


@pytest.fixture(scope="module")
def holder(place: Tenant, django_db_blocker: Any) -> Holder:
    with django_db_blocker.unblock():
        return Holder(place)


def opens(who: Principal, command: Command) -> bool:
    """Whether it is carried out, or fails for another reason than a right."""
    try:
        execute(who, command)
    except (AccessDenied, NotFound):
        return False
    except InvalidRequest:
        return True
    return True


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_flag_alone_opens_its_own_and_all_the_others_do_not(case: Case, place: Tenant, holder: Holder) -> None:
    """Rights add up and nothing takes one away, so what many flags do not open, none of them does."""
    assert opens(holder.with_only(case.needs()), case.make(place))
    for one in case.needs():
        others = {flag for flag in FLAGS if one not in with_implied(frozenset({flag}))}
        assert not opens(holder.with_only(others), case.make(place)), one


@pytest.mark.parametrize(
    "everything",
    [
        _P.ADMIN_APP_MANAGE,
        _P.GROUP_USERS_MANAGE,
        _P.USER_MANAGE,
        _P.EXTERNAL_ROLE_MANAGE,
        _P.ROLE_MANAGE,
        _P.GROUP_CUSTODIANS_MANAGE,
    ],
)
def test_who_manages_does_all_of_it(everything: Permission, place: Tenant, holder: Holder) -> None:
    implied = with_implied(frozenset({everything}))
    cases = [case for case in CASES.values() if case.own in implied]
    assert len(cases) >= 3
    for case in cases:
        assert opens(holder.with_only({everything, *case.also}), case.make(place))


# -- administrative apps -------------------------------------------------------------------------------------------


def test_who_administers_a_group_has_nothing_of_an_administrative_app_in_it(place: Tenant) -> None:
    boss, theirs = spare(place), administrative(place)
    GroupMembership.objects.create(user_id=boss.id, group=place.group, role="administrator")
    assert execute(boss, GetAppCredential(place.app.id)).current.secret
    for command in (GetApp, GetAppCredential, ResetAppSecret, DeleteApp, UpdateApp):
        with pytest.raises(NotFound):
            execute(boss, command(theirs.id))
    now = clock.now()
    with pytest.raises(NotFound):
        execute(boss, ReadStatistics(Subject.APP, Span(now - timedelta(hours=1), now), theirs.id))


def test_administrative_apps_are_listed_to_those_who_see_them(place: Tenant, holder: Holder) -> None:
    theirs, ours = administrative(place), place.new_app([])

    def listed(*permissions: Permission) -> set[Any]:
        return {view.row.id for view in execute(holder.with_only(permissions), ListApps(Page()))}

    assert listed(_P.ADMIN_APP_GET) >= {theirs.id}
    assert ours.id not in listed(_P.ADMIN_APP_GET)
    assert listed(_P.APP_GET) >= {ours.id}
    assert theirs.id not in listed(_P.APP_GET)
    assert listed(_P.APP_GET, _P.ADMIN_APP_GET) >= {ours.id, theirs.id}
    assert {view.row.id for view in execute(theirs, ListApps(Page()))} == {theirs.id}


def test_an_administrative_app_needs_no_group_and_another_does(place: Tenant) -> None:
    execute(place.alice, CreateApp(unique("app"), role=AppRole.ADMIN))
    out = frozenset({place.group.id})
    execute(place.alice, UpdateApp(administrative(place).id, remove_groups=out))
    with pytest.raises(Conflict):
        execute(place.alice, UpdateApp(place.new_app([]).id, remove_groups=out))


def test_who_creates_an_administrative_app_gives_it_nothing_they_lack(place: Tenant, holder: Holder) -> None:
    with pytest.raises(AccessDenied) as refused:
        execute(holder.with_only({_P.ADMIN_APP_CREATE}), CreateApp(unique("app"), role=AppRole.ADMIN))
    assert refused.value.reason == "beyond-own"


def test_an_administrative_app_comes_into_a_group_by_those_who_create_apps_there(place: Tenant, holder: Holder) -> None:
    command = CreateApp(unique("app"), role=AppRole.ADMIN, groups={place.group.id: frozenset()})
    held = {_P.ADMIN_APP_CREATE, _P.USER_GET, _P.GROUP_GET}
    with pytest.raises(AccessDenied):
        execute(holder.with_only(held), command)
    execute(holder.with_only({*held, _P.APP_CREATE}), command)
