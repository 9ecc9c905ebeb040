"""What a directory's groups give here: at login, by a sync, in the next call; and who may say so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from accounts.errors import NotAuthenticated
from accounts.models import ExternalGrant, ExternalRole, Group, IdentityProvider, Session, User
from accounts.principal import ANONYMOUS, AuthenticationMethod, Principal, PrincipalKind
from kms.crypto.errors import ParameterInvalid
from kms.operations.app_credentials import Replacement
from kms.operations.app_trust import DirectoryLogin
from kms.operations.apps import CreateApp
from kms.operations.errors import AccessDenied, Conflict, InvalidRequest, NotFound, ProviderUnavailable
from kms.operations.executor import execute
from kms.operations.external_roles import (
    CreateExternalRole,
    DeleteExternalRole,
    ExternalRoleView,
    Given,
    ListExternalRoles,
    SyncExternalRole,
    UpdateExternalRole,
)
from kms.operations.groups import DeleteGroup, GetGroup, UpdateGroup
from kms.operations.ldap import SearchDirectory, TriedCredentials, TryDirectory
from kms.operations.providers import CreateProvider, UpdateProvider
from kms.operations.sessions import LogIn
from kms.operations.sign_on.by_app_name import AppNameCredential
from kms.operations.sign_on.by_ldap import LdapCredential
from kms.operations.users import GetUser
from policies.permissions import Permission
from tests.kit.tenants import Tenant, new_tenant, unique
from tests.sso.ldap.slapd import BASE, PASSWORD, SERVICES, Slapd, settings_of
from tests.sso.ldap.test_connection import talker
from tests.sso.ldap.test_logins import Make, invited, sealed

USERS = {"administrator": Given("administrator"), "auditor": Given("auditor")}


def principal_of(done: Any) -> Principal:
    session = Session.objects.get(id=done.session)
    kind = PrincipalKind.APP if session.app_id else PrincipalKind.USER
    owner = session.app_id or session.user_id
    assert owner is not None
    return Principal(
        kind,
        owner,
        session.account_id if session.account_id else session.app.account_id,  # type: ignore[union-attr] # an app's
        AuthenticationMethod.LDAP,
        session=session.id,
        provider=session.provider_id,
    )


def log_in(provider: IdentityProvider, user: User) -> Principal:
    return principal_of(execute(ANONYMOUS, LogIn(LdapCredential(provider.id, user.email, PASSWORD))))


def new_role(
    tenant: Tenant, provider: IdentityProvider, name: str, groups: dict[UUID, Given] | None = None, **fields: Any
) -> ExternalRole:
    command = CreateExternalRole(name, provider.id, "ldap", groups or {}, **fields)
    view: ExternalRoleView = execute(tenant.alice, command)
    return view.row


def may(who: Principal, group: Group) -> bool:
    try:
        execute(who, UpdateGroup(group.id, description=unique("d")))
    except (AccessDenied, NotAuthenticated, NotFound):
        return False
    return True


def sees(who: Principal, group: Group) -> bool:
    try:
        execute(who, GetGroup(group.id))
    except (AccessDenied, NotAuthenticated, NotFound):
        return False
    return True


# -- what it gives -------------------------------------------------------------------------------------------------


def test_a_group_of_the_directory_gives_a_role_in_groups_here(tenant: Tenant, slapd: Slapd, provider_of: Make) -> None:
    provider = provider_of(tenant)
    user, dn = invited(tenant, slapd)
    theirs, other = tenant.new_group(), tenant.new_group()
    group = slapd.group(unique("Admins"), [dn])
    new_role(tenant, provider, group.upper(), {theirs.id: USERS["administrator"]})
    who = log_in(provider, user)
    assert may(who, theirs)
    assert not sees(who, other)


def test_it_counts_in_the_directorys_sessions_only(tenant: Tenant, slapd: Slapd, provider_of: Make) -> None:
    provider = provider_of(tenant)
    user, dn = invited(tenant, slapd)
    theirs = tenant.new_group()
    new_role(tenant, provider, slapd.group(unique("g"), [dn]), {theirs.id: USERS["administrator"]})
    log_in(provider, user)
    by_password = Principal(PrincipalKind.USER, user.id, tenant.account.id, AuthenticationMethod.PASSWORD)
    assert not sees(by_password, theirs)


def test_an_account_role_is_given_too_and_only_added(tenant: Tenant, slapd: Slapd, provider_of: Make) -> None:
    provider = provider_of(tenant)
    user, dn = invited(tenant, slapd)
    new_role(tenant, provider, slapd.group(unique("g"), [dn]), account_role="auditor")
    group = tenant.new_group()
    who = log_in(provider, user)
    assert sees(who, group)
    assert not may(who, group)


def test_a_sync_takes_and_gives_at_the_next_call(tenant: Tenant, slapd: Slapd, provider_of: Make) -> None:
    provider = provider_of(tenant)
    first, first_dn = invited(tenant, slapd)
    second, second_dn = invited(tenant, slapd, "auditor")
    theirs = tenant.new_group()
    group = slapd.group(unique("g"), [first_dn])
    role = new_role(tenant, provider, group, {theirs.id: USERS["administrator"]})
    one, two = log_in(provider, first), log_in(provider, second)
    assert (may(one, theirs), may(two, theirs)) == (True, False)
    slapd.take_out_of(group, first_dn)
    slapd.put_into(group, second_dn)
    assert (may(one, theirs), may(two, theirs)) == (True, False)
    view = execute(tenant.alice, SyncExternalRole(role.id))
    assert view.row.last_synced is not None
    assert (may(one, theirs), may(two, theirs)) == (False, True)


def test_who_left_the_directory_loses_what_it_gave(tenant: Tenant, slapd: Slapd, provider_of: Make) -> None:
    provider = provider_of(tenant)
    user, dn = invited(tenant, slapd)
    theirs = tenant.new_group()
    role = new_role(tenant, provider, slapd.group(unique("g"), [dn]), {theirs.id: USERS["administrator"]})
    who = log_in(provider, user)
    slapd.delete(dn)
    execute(tenant.alice, SyncExternalRole(role.id))
    assert not may(who, theirs)


def test_a_login_after_a_move_has_what_the_new_group_gives(tenant: Tenant, slapd: Slapd, provider_of: Make) -> None:
    provider = provider_of(tenant)
    user, dn = invited(tenant, slapd)
    before, after = tenant.new_group(), tenant.new_group()
    old, new = slapd.group(unique("old"), [dn]), slapd.group(unique("new"))
    new_role(tenant, provider, old, {before.id: USERS["administrator"]})
    new_role(tenant, provider, new, {after.id: USERS["administrator"]})
    first = log_in(provider, user)
    slapd.take_out_of(old, dn)
    slapd.put_into(new, dn)
    second = log_in(provider, user)
    for who in (first, second):
        assert (may(who, before), may(who, after)) == (False, True)


CHANGES: dict[str, Callable[[ExternalRole, Group], Any]] = {
    "another name": lambda role, group: UpdateExternalRole(role.id, name=f"cn={unique('x')},{BASE}"),
    "the group taken out": lambda role, group: UpdateExternalRole(role.id, remove_groups=frozenset({group.id})),
    "a weaker role": lambda role, group: UpdateExternalRole(role.id, set_groups={group.id: USERS["auditor"]}),
    "deleted": lambda role, group: DeleteExternalRole(role.id),
    "the provider disabled": lambda role, group: UpdateProvider(role.provider_id, enabled=False),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_role_holds_at_the_next_call(tenant: Tenant, slapd: Slapd, provider_of: Make, change: str) -> None:
    provider = provider_of(tenant)
    user, dn = invited(tenant, slapd)
    theirs = tenant.new_group()
    role = new_role(tenant, provider, slapd.group(unique("g"), [dn]), {theirs.id: USERS["administrator"]})
    who = log_in(provider, user)
    assert may(who, theirs)
    execute(tenant.alice, CHANGES[change](role, theirs))
    assert not may(who, theirs)


def test_a_group_that_is_deleted_here_leaves_the_role(tenant: Tenant, slapd: Slapd, provider_of: Make) -> None:
    gone, stays = tenant.new_group(), tenant.new_group()
    role = new_role(
        tenant, provider_of(tenant), f"cn=a,{BASE}", {gone.id: USERS["auditor"], stays.id: USERS["auditor"]}
    )
    execute(tenant.alice, DeleteGroup(gone.id))
    (view,) = execute(tenant.alice, ListExternalRoles(stays.id))
    assert view.row.id == role.id
    assert set(view.groups) == {stays.id}


def test_a_user_is_shown_with_what_the_directory_gives(tenant: Tenant, slapd: Slapd, provider_of: Make) -> None:
    provider = provider_of(tenant)
    user, dn = invited(tenant, slapd)
    theirs = tenant.new_group()
    group = slapd.group(unique("g"), [dn])
    new_role(tenant, provider, group, {theirs.id: USERS["auditor"]})
    other = slapd.group(unique("h"), [dn])
    new_role(tenant, provider, other, {theirs.id: USERS["administrator"]})
    log_in(provider, user)
    view = execute(tenant.alice, GetUser(user.id))
    assert (dict(view.groups), dict(view.external)) == ({}, {theirs.id: "administrator"})


def test_apps_of_a_directory_get_permissions_by_its_groups(tenant: Tenant, slapd: Slapd, provider_of: Make) -> None:
    provider = provider_of(tenant)
    theirs, name = tenant.new_group(), unique("app")
    credential = Replacement(DirectoryLogin(provider.id))
    execute(tenant.alice, CreateApp(name, None, {tenant.group.id: frozenset()}, credential=credential))
    dn = f"uid={name},{SERVICES}"
    slapd.add(dn, objectClass=["account", "simpleSecurityObject"], uid=name, userPassword=PASSWORD)
    group = slapd.group(unique("g"), [dn])
    given = Given(app_permissions=frozenset({Permission.OBJECT_CREATE}))
    role = new_role(tenant, provider, group, {theirs.id: given})
    who = principal_of(execute(ANONYMOUS, LogIn(AppNameCredential(tenant.account.id, name, PASSWORD))))
    assert sees(who, theirs)
    slapd.take_out_of(group, dn)
    execute(tenant.alice, SyncExternalRole(role.id))
    assert not sees(who, theirs)


# -- who may say so ------------------------------------------------------------------------------------------------


def test_only_administrators_say_what_groups_give(tenant: Tenant, slapd: Slapd, provider_of: Make) -> None:
    provider = provider_of(tenant)
    role = new_role(tenant, provider, f"cn=a,{BASE}")
    commands = [
        CreateExternalRole(f"cn=b,{BASE}", provider.id, "ldap"),
        UpdateExternalRole(role.id, account_role="administrator"),
        DeleteExternalRole(role.id),
        SyncExternalRole(role.id),
        SearchDirectory(provider.id, [("cn", "*")]),
        TryDirectory(settings_of(slapd), sealed()),
    ]
    for who in (tenant.member("auditor"), tenant.member("member"), tenant.app):
        for command in commands:
            with pytest.raises((AccessDenied, NotFound)):
                execute(who, command)


def test_no_other_tenants_group_role_or_directory_is_reached(tenant: Tenant, slapd: Slapd, provider_of: Make) -> None:
    other = new_tenant()
    theirs = new_role(other, provider_of(other), f"cn=a,{BASE}")
    own = new_role(tenant, provider_of(tenant), f"cn=a,{BASE}")
    for command in (
        CreateExternalRole(f"cn=b,{BASE}", theirs.provider_id, "ldap"),
        CreateExternalRole(f"cn=b,{BASE}", own.provider_id, "ldap", {other.group.id: USERS["auditor"]}),
        UpdateExternalRole(own.id, set_groups={other.group.id: USERS["auditor"]}),
        UpdateExternalRole(theirs.id, account_role="administrator"),
        DeleteExternalRole(theirs.id),
        SyncExternalRole(theirs.id),
        SearchDirectory(theirs.provider_id, [("cn", "*")]),
    ):
        with pytest.raises(NotFound):
            execute(tenant.alice, command)
    assert list(execute(tenant.alice, ListExternalRoles(other.group.id))) == []


def test_one_group_has_one_role_however_it_is_spelled(tenant: Tenant, slapd: Slapd, provider_of: Make) -> None:
    provider = provider_of(tenant)
    new_role(tenant, provider, f"cn=Admins,{BASE}")
    for spelling in (f"CN=ADMINS,{BASE}", f"cn=admins , {BASE}"):
        with pytest.raises(Conflict):
            new_role(tenant, provider, spelling)
    for wrong in ("", "admins", "x" * 600, f"cn=\0,{BASE}"):
        with pytest.raises(ParameterInvalid):
            new_role(tenant, provider, wrong)
    with pytest.raises(InvalidRequest):
        execute(tenant.alice, CreateExternalRole("x", provider.id, "oidc"))


def test_a_sync_without_an_answer_changes_nothing(tenant: Tenant, slapd: Slapd, tmp_path: Any) -> None:
    own = Slapd(tmp_path)
    own.start()
    own.populate()
    provider = execute(tenant.alice, CreateProvider("ldap", "D", settings_of(own), sealed()))
    user, dn = invited(tenant, own)
    theirs = tenant.new_group()
    role = new_role(tenant, provider, own.group(unique("g"), [dn]), {theirs.id: USERS["administrator"]})
    who = log_in(provider, user)
    own.stop(kill=True)
    with pytest.raises(ProviderUnavailable):
        execute(tenant.alice, SyncExternalRole(role.id))
    assert may(who, theirs)
    assert ExternalGrant.objects.filter(role=role, user=user).exists()
    execute(tenant.alice, UpdateProvider(provider.id, enabled=False))
    with pytest.raises(InvalidRequest):
        execute(tenant.alice, SyncExternalRole(role.id))


# -- trying and searching ------------------------------------------------------------------------------------------


def test_settings_are_tried_without_being_kept(tenant: Tenant, slapd: Slapd) -> None:
    user, dn = invited(tenant, slapd)
    execute(tenant.alice, TryDirectory(settings_of(slapd), sealed()))
    execute(tenant.alice, TryDirectory(settings_of(slapd), sealed(), TriedCredentials(PASSWORD, email=user.email)))
    execute(tenant.alice, TryDirectory(settings_of(slapd), sealed(), TriedCredentials(PASSWORD, dn=dn)))
    assert not IdentityProvider.objects.filter(account=tenant.account).exists()
    for wrong in (TriedCredentials("wrong", email=user.email), TriedCredentials("", dn=dn)):
        with pytest.raises(InvalidRequest):
            execute(tenant.alice, TryDirectory(settings_of(slapd), sealed(), wrong))


def test_a_test_tells_no_open_port_from_a_closed_one(tenant: Tenant, slapd: Slapd) -> None:
    """Closed, open with another protocol, open with another certificate, a wrong service account: one answer."""
    heard = set()
    with talker(say=b"220 mail ESMTP\r\n") as (port, _):
        for changes in (
            {"url": "ldaps://localhost:1"},
            {"url": f"ldaps://localhost:{port}"},
            {"url": slapd.tls_url, "tls": {"mode": "required"}},
            {"url": "ldaps://does-not-exist.invalid"},
            {"base_dn": "dc=other,dc=org"},
            {"service_dn": f"cn=nobody,{BASE}"},
        ):
            with pytest.raises(ProviderUnavailable) as failed:
                execute(tenant.alice, TryDirectory(settings_of(slapd, **changes), sealed()))
            heard.add((type(failed.value), str(failed.value)))
    assert len(heard) == 1


def test_directories_are_searched_for_groups_to_choose_from(tenant: Tenant, slapd: Slapd, provider_of: Make) -> None:
    provider, name = provider_of(tenant), unique("choose")
    dn = slapd.group(f"{name}*me")
    slapd.group(f"{name}me")
    found = execute(tenant.alice, SearchDirectory(provider.id, [("cn", f"{name}*")], object_class="groupOfNames"))
    assert len(found) == 2
    assert dn in {entry.dn for entry in found}


def test_a_search_is_no_way_to_passwords_or_out_of_the_base(tenant: Tenant, slapd: Slapd, provider_of: Make) -> None:
    provider = provider_of(tenant, base_dn=f"ou=people,{BASE}")
    for filters, base in (
        ([("userPassword", "*")], ""),
        ([("cn=*)(userPassword", "*")], ""),
        ([], ""),
        ([("cn", "*")], BASE),
        ([("cn", "*")], f"ou=groups,{BASE}"),
        ([("cn", "*")], f"x,ou=people,{BASE}"),
    ):
        with pytest.raises(ParameterInvalid):
            execute(tenant.alice, SearchDirectory(provider.id, filters, base))
    injected = [("cn", "*)(userPassword=*"), ("cn", "\0")]
    assert execute(tenant.alice, SearchDirectory(provider.id, injected)) == []
