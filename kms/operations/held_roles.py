"""Who holds which roles of the account's own: given, taken and shown. It must not know the wire or HTTP."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from uuid import UUID

from accounts.models import AccountRoleGrant, GroupMembership, GroupRoleGrant, Membership
from kms.operations.command import Call
from kms.operations.errors import Conflict
from kms.operations.giving import give_account_roles, give_group_roles
from kms.operations.roles import roles_named
from policies.facts import custom_roles
from policies.system_roles import RoleKind

# On the account, and by group.
OwnRoles = tuple[tuple[UUID, ...], Mapping[UUID, tuple[UUID, ...]]]
NO_ROLES: OwnRoles = ((), {})


def set_account_roles(call: Call, membership: Membership, wanted: frozenset[UUID]) -> None:
    """Exactly these, beside the system's role that the membership names. All that is given must be the giver's own."""
    rows = roles_named(call, RoleKind.ACCOUNT, wanted)
    if any(row.exclusive for row in rows) and len(rows) + bool(membership.role) > 1:
        raise Conflict("role-exclusive", "An exclusive role is held alone")
    give_account_roles(call, membership.role, rows, custom_roles(call.account))
    AccountRoleGrant.objects.filter(membership=membership).exclude(role_id__in=wanted).delete()
    for row in rows:
        AccountRoleGrant.objects.get_or_create(membership=membership, role=row, user_id=membership.user_id)


def set_group_roles(call: Call, membership: GroupMembership, wanted: frozenset[UUID]) -> None:
    rows = roles_named(call, RoleKind.GROUP, wanted)
    if any(row.exclusive for row in rows) and len(rows) + bool(membership.role) > 1:
        raise Conflict("role-exclusive", "An exclusive role is held alone")
    give_group_roles(call, membership.group_id, membership.role, rows)
    GroupRoleGrant.objects.filter(membership=membership).exclude(role_id__in=wanted).delete()
    for row in rows:
        GroupRoleGrant.objects.get_or_create(membership=membership, role=row, user_id=membership.user_id)


def own_roles(users: Iterable[UUID], account: UUID) -> dict[UUID, OwnRoles]:
    """What users hold of the account's own roles, in two queries for all of them."""
    wanted = list(users)
    on_account: dict[UUID, list[UUID]] = {}
    held = AccountRoleGrant.objects.filter(user__in=wanted, membership__account_id=account).order_by("role_id")
    for user, role in held.values_list("user_id", "role_id"):
        on_account.setdefault(user, []).append(role)
    in_groups: dict[UUID, dict[UUID, list[UUID]]] = {}
    inside = GroupRoleGrant.objects.filter(user__in=wanted, membership__group__account_id=account).order_by("role_id")
    for user, group, role in inside.values_list("user_id", "membership__group_id", "role_id"):
        in_groups.setdefault(user, {}).setdefault(group, []).append(role)
    return {
        user: (
            tuple(on_account.get(user, ())),
            {group: tuple(roles) for group, roles in in_groups.get(user, {}).items()},
        )
        for user in {*on_account, *in_groups}
    }
