"""Why somebody may or may not: as it happens, with where rights come from, and no more than whoever asks may see."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from accounts.models import (
    AccountRoleGrant,
    ExternalGrant,
    ExternalRole,
    ExternalRoleGroup,
    GroupMembership,
    GroupRoleGrant,
    IdentityProvider,
    Membership,
    Role,
)
from accounts.principal import AuthenticationMethod, Principal
from kms.audit.models import AuditRecord
from kms.crypto.algorithm import CipherParameters
from kms.objects.models import SecurityObject
from kms.operations.cryptographic import Encrypt
from kms.operations.errors import AccessDenied, ApprovalRequired, NotFound
from kms.operations.executor import execute
from kms.operations.explaining import AccessExplained, ExplainAccess, TargetKind
from policies.explanation import Place, Rule, Source, SourceKind
from policies.facts import known_of
from policies.permissions import EVERYWHERE, Permission, with_implied
from policies.sources import sources_of
from policies.system_roles import SYSTEM_ROLE_ID, RoleKind
from tests.kit.quorums import guard_group, users
from tests.kit.tenants import Tenant, new_tenant, unique

ROTATE, ENCRYPT = Permission.OBJECT_ROTATE, Permission.OBJECT_ENCRYPT


def explained(by: Principal, permission: Permission, kind: str = "account", target: Any = None, **more: Any) -> Any:
    found: AccessExplained = execute(by, ExplainAccess(permission, kind=TargetKind(kind), target=target, **more))
    return found.explanation


def own_role(tenant: Tenant, kind: RoleKind, *permissions: Permission, **fields: Any) -> Role:
    by = {"creator_kind": "user", "creator_id": tenant.alice.id}
    fields |= {"permissions": [permission.value for permission in permissions], **by}
    return Role.objects.create(account=tenant.account, kind=kind, name=unique("role"), **fields)


def give(tenant: Tenant, user: Principal, role: Role, group: UUID | None = None) -> None:
    if group is None:
        membership = Membership.objects.get(user_id=user.id, account=tenant.account)
        AccountRoleGrant.objects.create(membership=membership, user_id=user.id, role=role)
    else:
        inside, _ = GroupMembership.objects.get_or_create(user_id=user.id, group_id=group, defaults={"role": ""})
        GroupRoleGrant.objects.create(membership=inside, user_id=user.id, role=role)


# -- where rights come from ----------------------------------------------------------------------------------------


def vouched(tenant: Tenant, user: Principal) -> Principal:
    """The user in a session of a provider whose directory counts them among two groups."""
    provider = IdentityProvider.objects.create(account=tenant.account, kind="ldap", name="directory")
    for name, account_role in (("auditors", "auditor"), ("keepers", "")):
        role = ExternalRole.objects.create(
            account=tenant.account, provider=provider, name=name, account_role=account_role
        )
        ExternalRoleGroup.objects.create(
            account=tenant.account, role=role, group=tenant.new_group(), user_role="administrator"
        )
        ExternalGrant.objects.create(role=role, user_id=user.id)
    return Principal(user.kind, user.id, user.account, AuthenticationMethod.LDAP, provider=provider.id)


def everybody(tenant: Tenant) -> dict[str, Principal]:
    group = tenant.group.id
    officer, everywhere, mixed = tenant.member("member"), tenant.member("member"), tenant.member("auditor")
    give(tenant, officer, own_role(tenant, RoleKind.GROUP, ROTATE), group)
    inside = own_role(tenant, RoleKind.GROUP, Permission.AUDIT_READ, Permission.OBJECT_MANAGE)
    give(tenant, everywhere, own_role(tenant, RoleKind.ACCOUNT, Permission.ROLE_MANAGE, all_groups_role=inside.id))
    auditors = SYSTEM_ROLE_ID[RoleKind.GROUP, "auditor"]
    give(tenant, mixed, own_role(tenant, RoleKind.ACCOUNT, Permission.USER_GET, all_groups_role=auditors))
    GroupMembership.objects.create(user_id=mixed.id, group_id=group, role="administrator")
    return {
        "alice": tenant.alice,
        "auditor": tenant.member("auditor"),
        "member": tenant.member("member"),
        "officer": officer,
        "everywhere": everywhere,
        "mixed": mixed,
        "vouched": vouched(tenant, tenant.member("member")),
        "app": tenant.app,
        "blind app": tenant.new_app([]),
        "admin app": tenant.new_app([], role="admin"),
    }


def sum_of(sources: tuple[Source, ...], place: Place, group: UUID | None = None) -> frozenset[Permission]:
    found = [source.permissions for source in sources if (source.place, source.group) == (place, group)]
    return with_implied(frozenset().union(*found))


def test_the_sources_of_rights_add_up_to_the_facts_that_decisions_rest_on(tenant: Tenant) -> None:
    for name, principal in everybody(tenant).items():
        facts, sources = known_of(principal).facts, sources_of(principal)
        everywhere = sum_of(sources, Place.ALL_GROUPS)
        also = frozenset(EVERYWHERE[permission] for permission in everywhere if permission in EVERYWHERE)
        assert with_implied(sum_of(sources, Place.ACCOUNT) | also) == facts.account, name
        assert everywhere == facts.all_groups, name
        groups = {source.group for source in sources if source.group is not None}
        assert {group: sum_of(sources, Place.GROUP, group) for group in groups} == facts.groups, name


def test_nobody_has_sources_who_belongs_to_no_account(tenant: Tenant) -> None:
    outside = Principal(tenant.alice.kind, tenant.alice.id, None, AuthenticationMethod.PASSWORD)
    assert sources_of(outside) == ()
    gone = Principal(tenant.app.kind, uuid4(), tenant.account.id, AuthenticationMethod.API_KEY)
    assert sources_of(gone) == ()
    stranger = Principal(tenant.alice.kind, uuid4(), tenant.account.id, AuthenticationMethod.PASSWORD)
    assert sources_of(stranger) == ()


def test_a_role_is_named_with_what_of_it_gives_the_permission(tenant: Tenant) -> None:
    officer, key = tenant.member("member"), tenant.key()
    role = own_role(tenant, RoleKind.GROUP, Permission.OBJECT_MANAGE)
    give(tenant, officer, role, tenant.group.id)
    found = explained(tenant.alice, ROTATE, "object", key.id, principal=officer.id)
    (origin,) = found.origins
    assert (origin.source.kind, origin.source.id, origin.source.group) == (
        SourceKind.CUSTOM_ROLE,
        role.id,
        tenant.group.id,
    )
    assert origin.by == {Permission.OBJECT_MANAGE}


# -- what would happen ---------------------------------------------------------------------------------------------


def encrypt(tenant: Tenant, by: Principal, key: Any) -> str:
    try:
        execute(by, Encrypt(key, "AES", CipherParameters("CBC", bytes(16)), b"data"))
    except (AccessDenied, ApprovalRequired, NotFound) as error:
        return error.reason
    return "granted"


def test_what_is_explained_is_what_happens(tenant: Tenant) -> None:
    """Enabled and disabled keys, in a guarded group and not, by apps that may, may not and do not see."""
    plain, disabled, other = tenant.key(), tenant.key(), tenant.new_group()
    SecurityObject.objects.filter(id=str(disabled.id)).update(enabled=False)
    guarded = tenant.key(group=other)
    guard_group(other, users(1, [tenant.alice.id]), [ENCRYPT])
    apps = [tenant.app, tenant.new_app([]), tenant.new_app(group=other), tenant.new_app(group=tenant.new_group())]
    seen = set()
    for app in apps:
        for key in (plain, disabled, guarded):
            reason = encrypt(tenant, app, key)
            seen.add(reason)
            assert explained(tenant.alice, ENCRYPT, "object", key.id, principal=app.id).decision.reason == reason
    assert seen >= {"granted", "not-granted", "not-visible", "approval-needed"}
    assert len(seen) == 5


def test_the_quorum_that_stands_before_it_is_named(tenant: Tenant) -> None:
    key, quorum = tenant.key(), users(1, [tenant.alice.id, tenant.member("member").id], second_factor=True)
    guard_group(tenant.group, quorum, [ENCRYPT])
    found = explained(tenant.alice, ENCRYPT, "object", key.id, principal=tenant.app.id)
    assert found.rule is Rule.QUORUM
    (standing,) = found.quorums
    assert (standing.guard.subject, standing.guard.quorum, standing.met) == (tenant.group.id, quorum, False)


def test_a_disabled_user_is_told_from_one_without_rights(tenant: Tenant) -> None:
    absent = tenant.member("administrator", enabled=False)
    found = explained(tenant.alice, ROTATE, "group", tenant.group.id, principal=absent.id)
    assert (found.rule, found.decision.reason) == (Rule.CALLER, "user-disabled")
    assert [check.rule for check in found.checks if check.refused] == [Rule.CALLER]
    assert found.origins


# -- who may ask ---------------------------------------------------------------------------------------------------


def test_everybody_asks_about_themselves_on_what_they_see(tenant: Tenant) -> None:
    key, member = tenant.key(), tenant.member("member")
    assert explained(tenant.new_app([]), ENCRYPT, "object", key.id).decision.reason == "not-granted"
    assert explained(member, Permission.ROLE_UPDATE).decision.reason == "not-granted"
    assert explained(member, Permission.USER_GET, "user", member.id).decision.reason == "granted"
    for kind, target in (("object", key.id), ("group", tenant.group.id), ("app", tenant.app.id)):
        with pytest.raises(NotFound) as hidden:
            explained(member, ENCRYPT, kind, target)
        with pytest.raises(NotFound) as missing:
            explained(member, ENCRYPT, kind, uuid4())
        assert str(hidden.value) == str(missing.value)


def test_an_app_asks_about_itself_as_what_is_asked_about(tenant: Tenant) -> None:
    blind = tenant.new_app([])
    assert explained(blind, Permission.APP_UPDATE, "app", blind.id).decision.reason == "not-granted"


def test_others_are_asked_about_by_whoever_sees_roles_and_them(tenant: Tenant) -> None:
    auditor, member = tenant.member("auditor"), tenant.member("member")
    assert explained(auditor, ROTATE, principal=member.id).decision.reason == "not-granted"
    assert explained(auditor, ROTATE, principal=tenant.app.id).decision.reason == "not-granted"
    with pytest.raises(AccessDenied):
        explained(member, ROTATE, principal=auditor.id)  # members see users, and no roles


def test_who_is_not_there_and_who_is_not_seen_look_the_same(tenant: Tenant) -> None:
    member, strangers = tenant.member("member"), new_tenant()
    said = set()
    for nobody in (tenant.app.id, uuid4(), strangers.alice.id, strangers.app.id):
        with pytest.raises(NotFound) as error:
            explained(member, ROTATE, principal=nobody)
        said.add(str(error.value))
    assert len(said) == 1


def test_the_record_says_what_was_asked_about_whom(tenant: Tenant) -> None:
    explained(tenant.alice, ROTATE, principal=tenant.app.id)
    entry = AuditRecord.objects.filter(account_id=tenant.account.id).latest("sequence")
    assert entry.action == "access.explain"
    assert entry.details["asked"] == "object.rotate"
    assert entry.details["subject"] == str(tenant.app.id)
    assert entry.details["result"] == "not-granted"
