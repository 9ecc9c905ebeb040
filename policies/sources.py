"""Rows to sources: each role and membership by which somebody holds rights, by name. Only explanations read it.

It tells apart what ``policies.facts`` adds up; a test holds their sum to the facts. No decision rests on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from uuid import UUID

from django.db.models import QuerySet

from accounts.models import (
    AccountRoleGrant,
    App,
    AppRole,
    ExternalGrant,
    ExternalRole,
    ExternalRoleGroup,
    GroupMembership,
    GroupRoleGrant,
    Membership,
    Role,
)
from accounts.principal import Principal, PrincipalKind
from policies.explanation import Place, Source, SourceKind
from policies.facts import custom_roles
from policies.permissions import Permission, permissions_named
from policies.system_roles import (
    ACCOUNT_ROLES,
    APP_ADMINISTRATOR,
    APP_GRANTABLE,
    APP_MEMBER,
    GROUP_ROLES,
    MEMBER,
    SYSTEM_ROLE_ID,
    SYSTEM_ROLES,
    RoleKind,
)


def sources_of(principal: Principal) -> tuple[Source, ...]:
    """Everything that gives the principal rights in its account, whatever may forbid it to use them."""
    if principal.account is None:
        return ()
    if principal.kind is PrincipalKind.APP:
        return tuple(_of_app(principal))
    membership = Membership.objects.filter(
        user_id=principal.id, account_id=principal.account, invitation_pending=False
    ).first()
    return () if membership is None else tuple(_of_user(principal, membership))


# -- people --------------------------------------------------------------------------------------------------------


def _of_user(principal: Principal, membership: Membership) -> Iterator[Source]:
    yield Source(SourceKind.MEMBERSHIP, "member", Place.ACCOUNT, MEMBER)
    yield from _system_role(membership.role)
    custom = custom_roles(membership.account_id)
    for role in AccountRoleGrant.objects.filter(membership=membership).values_list("role_id", flat=True):
        yield from _account_role(custom[role], custom)
    own = GroupMembership.objects.filter(user_id=principal.id, group__account_id=membership.account_id)
    for group, name in own.exclude(role="").values_list("group_id", "role"):
        yield _group_system_role(name, group)
    held = GroupRoleGrant.objects.filter(user_id=principal.id, membership__group__account_id=membership.account_id)
    for role, group in held.values_list("role_id", "membership__group_id"):
        yield _custom(custom[role], Place.GROUP, group)
    yield from _of_directory(principal, custom)


def _system_role(name: str) -> Iterator[Source]:
    """The account role that a membership names, if any: on the account and in every group."""
    if not name:
        return
    spec, role = ACCOUNT_ROLES[name], SYSTEM_ROLE_ID[RoleKind.ACCOUNT, name]
    yield Source(SourceKind.SYSTEM_ROLE, name, Place.ACCOUNT, spec.account, role)
    if spec.all_groups:
        yield Source(SourceKind.SYSTEM_ROLE, name, Place.ALL_GROUPS, spec.all_groups, role)


def _account_role(role: Role, custom: Mapping[UUID, Role]) -> Iterator[Source]:
    """A role of the account's own, and the group role that it has in every group."""
    yield _custom(role, Place.ACCOUNT)
    everywhere = role.all_groups_role
    system = None if everywhere is None else SYSTEM_ROLES.get(everywhere)
    if system is not None and system.kind is RoleKind.GROUP:
        yield Source(SourceKind.SYSTEM_ROLE, system.name, Place.ALL_GROUPS, GROUP_ROLES[system.name], system.id)
    elif everywhere is not None and everywhere in custom:
        yield _custom(custom[everywhere], Place.ALL_GROUPS)


def _custom(role: Role, place: Place, group: UUID | None = None) -> Source:
    return Source(SourceKind.CUSTOM_ROLE, role.name, place, permissions_named(role.permissions), role.id, group)


def _group_system_role(name: str, group: UUID) -> Source:
    role = SYSTEM_ROLE_ID[RoleKind.GROUP, name]
    return Source(SourceKind.SYSTEM_ROLE, name, Place.GROUP, GROUP_ROLES[name], role, group)


def _of_directory(principal: Principal, custom: Mapping[UUID, Role]) -> Iterator[Source]:
    """What the groups of a directory mean here, in a session that the directory's provider vouched for."""
    if principal.provider is None:
        return
    for role in _directory_roles(principal):
        own = (source for each in role.own_roles if each in custom for source in _account_role(custom[each], custom))
        for source in (*_system_role(role.account_role), *own):
            yield replace(source, kind=SourceKind.EXTERNAL_ROLE, name=role.name, id=role.id)
    for mapping in _mappings(principal):
        if mapping.user_role:
            yield _mapped(mapping, GROUP_ROLES[mapping.user_role])
        for each in mapping.own_roles:
            if each in custom:
                yield _mapped(mapping, permissions_named(custom[each].permissions))


def _mappings(principal: Principal) -> QuerySet[ExternalRoleGroup]:
    rows = ExternalRoleGroup.objects.select_related("role")
    return rows.filter(role__in=_directory_roles(principal)) if principal.provider else rows.none()


def _directory_roles(principal: Principal) -> QuerySet[ExternalRole]:
    owner = {"app_id": principal.id} if principal.kind is PrincipalKind.APP else {"user_id": principal.id}
    held = ExternalGrant.objects.filter(**owner, role__provider_id=principal.provider)
    return ExternalRole.objects.filter(id__in=held.values("role_id"), account_id=principal.account)


def _mapped(mapping: ExternalRoleGroup, permissions: frozenset[Permission]) -> Source:
    role = mapping.role
    return Source(SourceKind.EXTERNAL_ROLE, role.name, Place.GROUP, permissions, role.id, mapping.group_id)


# -- programs ------------------------------------------------------------------------------------------------------


def _of_app(principal: Principal) -> Iterator[Source]:
    app = App.objects.filter(id=principal.id).first()
    if app is None:
        return
    if app.role == AppRole.ADMIN:
        yield Source(SourceKind.ADMINISTRATIVE_APP, "administrative app", Place.ACCOUNT, APP_ADMINISTRATOR)
    for group, names in app.group_memberships.values_list("group_id", "permissions"):
        yield Source(SourceKind.APP_GROUP, "app permissions", Place.GROUP, _granted(names), group=group)
    for mapping in _mappings(principal):
        yield _mapped(mapping, _granted(mapping.app_permissions))


def _granted(names: Iterable[str]) -> frozenset[Permission]:
    return APP_MEMBER | permissions_named(names) & APP_GRANTABLE
