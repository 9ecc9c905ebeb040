"""Users in an account: list, get, update, remove, delete. The last administrator cannot be lost.

It must not know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q

from accounts import codes, sessions
from accounts.models import AccountRole, AccountRoleGrant, GroupMembership, Membership, TotpDevice, User
from accounts.principal import PrincipalKind
from kms.audit.entry import Category
from kms.operations.authority import absent, resolve_on_account
from kms.operations.command import Call, Command, Operation, Resolved, control
from kms.operations.errors import AccessDenied, Conflict, InvalidRequest, NotFound
from kms.operations.external_roles import external_group_roles
from kms.operations.groups import groups_to_join
from kms.operations.held_roles import NO_ROLES, own_roles, set_account_roles, set_group_roles
from kms.operations.own_factors import Device, devices_of, devices_of_all
from kms.operations.queries import Page, paged
from kms.operations.quorum_places import (
    guards_of_administrators,
    guards_of_places,
    refuse_named,
    refuse_named_anywhere,
    role_places,
)
from policies import versions as fact_versions
from policies.decision import Target
from policies.permissions import Permission
from policies.quorum import Member, MemberKind
from policies.system_roles import SYSTEM_ROLES, RoleKind

GroupRoles = Mapping[UUID, str]


@dataclass(frozen=True, slots=True)
class ListUsers(Command):
    """``text`` is a part of the address, ``role`` one of the account's own or of the system's, wherever it is held."""

    page: Page
    group: UUID | None = None
    role: UUID | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class GetUser(Command):
    user: UUID


@dataclass(frozen=True, slots=True)
class UpdateUser(Command):
    """Change what is not None. Names are a person's own; role, state and groups are the administrators'.

    ``role`` is the system's, "" for none; ``roles`` and, by group, ``group_roles`` are ids of the account's own. They
    are set together: whoever gets one of them in a place loses there what is not named.
    """

    user: UUID
    role: str | None = None
    enabled: bool | None = None
    first_name: str | None = None
    last_name: str | None = None
    description: str | None = None
    set_groups: GroupRoles = field(default_factory=dict)
    remove_groups: frozenset[UUID] = frozenset()
    roles: frozenset[UUID] | None = None
    group_roles: Mapping[UUID, frozenset[UUID]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RemoveUser(Command):
    """Take a user out of the account; the person remains a user of the server."""

    user: UUID


@dataclass(frozen=True, slots=True)
class DeleteOwnUser(Command):
    """The caller leaves the server: every account, and the user itself."""


@dataclass(frozen=True, slots=True)
class DeleteStaleUser(Command):
    """Delete a user that was made by an invitation and that nobody ever took for theirs."""

    user: UUID


@dataclass(frozen=True, slots=True)
class ListOwnAccounts(Command):
    """The accounts that the caller belongs to."""


@dataclass(frozen=True, slots=True)
class UserView:
    """``groups`` are given by hand, ``external`` by an identity provider's groups as they were last asked for.

    ``phone``: they have one-time passwords as a second factor, beside the ``devices`` that they may have.
    """

    user: User
    membership: Membership | None
    groups: GroupRoles
    devices: tuple[Device, ...] = ()
    external: GroupRoles = field(default_factory=dict)
    logged_in_at: datetime | None = None
    roles: tuple[UUID, ...] = ()
    group_roles: Mapping[UUID, tuple[UUID, ...]] = field(default_factory=dict)
    phone: bool = False


# -- handlers ------------------------------------------------------------------------------------------------------


def list_users(call: Call, command: ListUsers, _payload: None) -> list[UserView]:
    members = Membership.objects.filter(account_id=call.account).select_related("user")
    if command.group is not None:
        members = members.filter(user__group_memberships__group_id=command.group)
    if command.role is not None:
        members = members.filter(_holding(call, command.role))
    rows = list(paged(members.filter(user__email__icontains=command.text), command.page))
    roles = GroupMembership.objects.filter(user__in=[m.user_id for m in rows], group__account_id=call.account)
    by_user: dict[UUID, dict[UUID, str]] = {}
    for user, group, role in roles.values_list("user_id", "group_id", "role"):
        by_user.setdefault(user, {})[group] = role
    call.details["returned"] = len(rows)
    devices = devices_of_all(m.user_id for m in rows)
    external = external_group_roles([m.user_id for m in rows], call.account)
    logins = sessions.last_logins((m.user_id for m in rows), call.account)
    own = own_roles((m.user_id for m in rows), call.account)
    phones = _with_phones(m.user_id for m in rows)
    return [
        UserView(
            m.user,
            m,
            by_user.get(m.user_id, {}),
            devices.get(m.user_id, ()),
            external.get(m.user_id, {}),
            logins.get(m.user_id),
            *own.get(m.user_id, NO_ROLES),
            phone=m.user_id in phones,
        )
        for m in rows
    ]


def _holding(call: Call, role: UUID) -> Q:
    """Whoever holds the role by hand: on the account, or in a group of it."""
    known = SYSTEM_ROLES.get(role)
    if known is None:
        held = Q(role_grants__role_id=role)
        inside = GroupMembership.objects.filter(role_grants__role_id=role, group__account_id=call.account)
    else:
        held = Q(role=known.name) if known.kind is RoleKind.ACCOUNT else Q(pk__in=())
        named = known.name if known.kind is RoleKind.GROUP else None
        inside = GroupMembership.objects.filter(role=named, group__account_id=call.account)
    return held | Q(user_id__in=inside.values("user_id"))


def get_user(call: Call, _command: GetUser, payload: tuple[User, Membership | None]) -> UserView:
    return _view(call, *payload)


def update_user(call: Call, command: UpdateUser, payload: tuple[User, Membership], *_groups: Any) -> UserView:
    user, membership = payload
    call.details.update(role=command.role, enabled=command.enabled)
    for name in ("first_name", "last_name", "description"):
        if getattr(command, name) is not None:
            setattr(user, name, getattr(command, name))
    user.save(update_fields=["first_name", "last_name", "description"])
    demoted = command.role not in (None, AccountRole.ADMINISTRATOR) or command.enabled is False
    if demoted:
        _keep_an_administrator(membership)
    if command.role is not None:
        membership.role = command.role
        set_account_roles(call, membership, command.roles or frozenset())
    if command.enabled is not None:
        membership.enabled = command.enabled
    membership.save(update_fields=["role", "enabled"])
    for group, role in command.set_groups.items():
        inside, _ = GroupMembership.objects.update_or_create(user=user, group_id=group, defaults={"role": role})
        set_group_roles(call, inside, command.group_roles.get(group, frozenset()))
    GroupMembership.objects.filter(user=user, group_id__in=command.remove_groups).delete()
    return _view(call, user, membership)


def remove_user(call: Call, _command: RemoveUser, payload: tuple[User, Membership]) -> None:
    user, membership = payload
    _keep_an_administrator(membership)
    refuse_named(call, Member(MemberKind.USER, user.id))
    GroupMembership.objects.filter(user=user, group__account_id=call.account).delete()
    membership.delete()


def delete_own_user(_call: Call, _command: DeleteOwnUser, user: User) -> None:
    refuse_named_anywhere(user.id)
    for membership in Membership.objects.filter(user=user).order_by("account_id"):
        _keep_an_administrator(membership)
    user.delete()


def delete_stale_user(_call: Call, _command: DeleteStaleUser, payload: tuple[User, Membership]) -> None:
    """Whether a confirmed user belongs elsewhere is none of this account's business, so both are refused alike."""
    user, membership = payload
    elsewhere = Membership.objects.filter(user=user).exclude(pk=membership.pk).exists()
    if user.email_verified or elsewhere or not membership.invitation_pending:
        raise Conflict("not-stale", "The user is somebody's; remove them from the account instead")
    user.delete()


def list_own_accounts(call: Call, _command: ListOwnAccounts, _payload: None) -> list[Membership]:
    if call.principal.kind is not PrincipalKind.USER:
        raise AccessDenied("users-only", "Only users belong to several accounts")
    rows = Membership.objects.filter(user_id=call.principal.id).prefetch_related("role_grants")
    return list(rows.order_by("account_id"))


# -- helpers -------------------------------------------------------------------------------------------------------


def _keep_an_administrator(leaving: Membership) -> None:
    """Lock all administrators of the account, then look: two who remove each other at once must not both succeed."""
    administrators = Membership.objects.select_for_update().filter(
        account_id=leaving.account_id, role=AccountRole.ADMINISTRATOR, enabled=True, invitation_pending=False
    )
    remaining = [m for m in administrators if m.pk != leaving.pk]
    if leaving.role == AccountRole.ADMINISTRATOR and not remaining:
        raise Conflict("last-administrator", "The account's last administrator cannot be removed or disabled")


def view_of(call: Call, user: User) -> UserView:
    """A user as seen from the selected account."""
    membership = Membership.objects.filter(user=user, account_id=call.principal.account or UUID(int=0)).first()
    return _view(call, user, membership)


def _view(call: Call, user: User, membership: Membership | None) -> UserView:
    account = call.principal.account or UUID(int=0)
    external = external_group_roles([user.id], account).get(user.id, {})
    logins = sessions.last_logins([user.id], call.principal.account)
    own = own_roles([user.id], account).get(user.id, NO_ROLES)
    groups, devices, phone = group_roles(user, call), devices_of(user.id), bool(_with_phones([user.id]))
    return UserView(user, membership, groups, devices, external, logins.get(user.id), *own, phone=phone)


def _with_phones(users: Iterable[UUID]) -> set[UUID]:
    rows = TotpDevice.objects.filter(user_id__in=list(users), confirmed=True)
    return set(rows.values_list("user_id", flat=True))


def group_roles(user: User, call: Call) -> dict[UUID, str]:
    roles = GroupMembership.objects.filter(user=user, group__account_id=call.principal.account or UUID(int=0))
    return dict(roles.values_list("group_id", "role"))


def user_target(user: UUID, account: UUID) -> Target:
    return Target("user", user, account, (), Permission.USER_GET)


# -- resolution ----------------------------------------------------------------------------------------------------


def resolve_own(permission: Permission) -> Any:
    def resolve(call: Call, _command: Command) -> Sequence[Resolved]:
        return (Resolved(permission, Target("user", call.principal.id, call.principal.account)),)

    return resolve


def _member(call: Call, user: UUID, *, lock: bool = False) -> tuple[User, Membership]:
    if lock and user != call.principal.id:
        fact_versions.announce_change(user)
    rows = Membership.objects.select_for_update(of=("self",)) if lock else Membership.objects.all()
    membership = rows.filter(user_id=user, account_id=call.account).select_related("user").first()
    if membership is None:
        raise NotFound(absent("user"))
    return membership.user, membership


def resolve_user(permission: Permission, *, lock: bool = False) -> Any:
    def resolve(call: Call, command: Any) -> Sequence[Resolved]:
        if permission is Permission.USER_GET and command.user == call.principal.id:
            user = User.objects.get(id=call.principal.id)
            membership = Membership.objects.filter(user=user, account_id=call.principal.account or UUID(int=0)).first()
            own = Target("user", user.id, call.principal.account)
            return (Resolved(Permission.OWN_PROFILE, own, (user, membership)),)
        found = _member(call, command.user, lock=lock)
        return (Resolved(permission, user_target(command.user, call.account), found),)

    return resolve


def _resolve_removal(call: Call, command: RemoveUser) -> Sequence[Resolved]:
    found = _member(call, command.user, lock=True)
    administers = found[1].role == AccountRole.ADMINISTRATOR
    guards = guards_of_administrators(call, Permission.USER_DELETE) if administers else ()
    target = replace(user_target(command.user, call.account), guards=guards)
    return (Resolved(Permission.USER_DELETE, target, found),)


def _resolve_own_user(call: Call, _command: DeleteOwnUser) -> Sequence[Resolved]:
    if call.principal.kind is PrincipalKind.APP:
        raise InvalidRequest("Users delete themselves; an app is deleted by an administrator")
    user = codes.lock_user(call.principal.id)
    if user is None and call.principal.kind is PrincipalKind.USER:
        raise NotFound(absent("user"))  # deleted while it called
    return (Resolved(Permission.OWN_USER_DELETE, Target("user", call.principal.id, call.principal.account), user),)


def _resolve_stale(call: Call, command: DeleteStaleUser) -> Sequence[Resolved]:
    codes.lock_user(command.user)
    found = _member(call, command.user, lock=True)
    return (Resolved(Permission.USER_DELETE, user_target(command.user, call.account), found),)


def _resolve_update(call: Call, command: UpdateUser) -> Sequence[Resolved]:
    """Anyone renames themselves; anything more asks for the administrators' rights."""
    found = _member(call, command.user, lock=True)
    groups = [*command.set_groups, *command.remove_groups]
    administrative = command.role is not None or command.enabled is not None
    if command.user == call.principal.id and not administrative and not groups:
        if call.principal.provider is not None:
            raise AccessDenied("vouched-for", "Names are the person's in every account; log in with your own password")
        return (Resolved(Permission.OWN_PROFILE, Target("user", command.user, call.account), found),)
    named = any(getattr(command, name) is not None for name in ("first_name", "last_name", "description"))
    if named and command.user != call.principal.id:
        raise InvalidRequest("A person's names and description are their own to change")
    target = user_target(command.user, call.account)
    gained = _places_gained(command, found[1])
    target = replace(target, guards=guards_of_places(call, Permission.USER_UPDATE_ROLE, *gained))
    needed = [Permission.USER_UPDATE_ROLE] if command.role is not None else []
    needed += [Permission.USER_UPDATE_STATE] if command.enabled is not None else []
    least = Permission.USER_GET if groups else Permission.USER_UPDATE_ROLE
    resolved = [Resolved(permission, target, found) for permission in needed or [least]]
    return (*resolved, *_resolve_groups(call, command))


def _places_gained(command: UpdateUser, membership: Membership) -> set[Member]:
    """What the user would come to fill in quorums, by roles that they do not hold yet."""
    if command.role is None:
        return set()
    held = frozenset(AccountRoleGrant.objects.filter(membership=membership).values_list("role_id", flat=True))
    wanted = role_places(command.role, command.roles or frozenset())
    return {*wanted} - {*role_places(membership.role, held)}


def _resolve_groups(call: Call, command: UpdateUser) -> list[Resolved]:
    """Who comes in, whose role changes, and who leaves: each is a right of its own, in each group."""
    held = GroupMembership.objects.filter(user=command.user, group_id__in=command.set_groups)
    inside = set(held.values_list("group_id", flat=True))
    return [
        *groups_to_join(call, command.set_groups.keys() - inside, Permission.GROUP_USERS_ADD),
        *groups_to_join(call, inside, Permission.GROUP_USERS_ROLE),
        *groups_to_join(call, command.remove_groups, Permission.GROUP_USERS_REMOVE),
    ]


_operation = control(Category.ADMINISTRATIVE)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(ListUsers, "user.list", resolve_on_account(Permission.USER_GET), list_users),
    _operation(GetUser, "user.get", resolve_user(Permission.USER_GET), get_user),
    _operation(UpdateUser, "user.update", _resolve_update, update_user),
    _operation(RemoveUser, "user.remove", _resolve_removal, remove_user, irreversible=True),
    _operation(DeleteOwnUser, "user.delete", _resolve_own_user, delete_own_user, irreversible=True, on_self=True),
    _operation(DeleteStaleUser, "user.delete-stale", _resolve_stale, delete_stale_user, irreversible=True),
    _operation(ListOwnAccounts, "user.list-accounts", resolve_own(Permission.OWN_ACCOUNTS), list_own_accounts),
)
