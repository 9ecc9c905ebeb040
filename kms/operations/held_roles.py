"""Who holds which roles of the account's own: given, taken and shown. It must not know the wire or HTTP."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from accounts.models import AccountRoleGrant, GroupMembership, GroupRoleGrant, Membership, Role
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
    rows = _to_hold(call, RoleKind.ACCOUNT, membership.role, wanted)
    give_account_roles(call, membership.role, rows, custom_roles(call.account) if rows else {})
    _hold(AccountRoleGrant.objects.all(), membership, rows)


def set_group_roles(call: Call, membership: GroupMembership, wanted: frozenset[UUID]) -> None:
    """As ``set_account_roles``, in one group."""
    rows = _to_hold(call, RoleKind.GROUP, membership.role, wanted)
    give_group_roles(call, membership.group_id, membership.role, rows)
    _hold(GroupRoleGrant.objects.all(), membership, rows)


def _to_hold(call: Call, kind: RoleKind, system: str, wanted: frozenset[UUID]) -> list[Role]:
    rows = roles_named(call, kind, wanted)
    if any(row.exclusive for row in rows) and len(rows) + bool(system) > 1:
        raise Conflict("role-exclusive", "An exclusive role is held alone")
    return rows


def _hold(grants: QuerySet[Any], membership: Membership | GroupMembership, rows: list[Role]) -> None:
    """The grants of this membership are of these roles and no other."""
    grants.filter(membership=membership).exclude(role__in=rows).delete()
    for row in rows:
        grants.get_or_create(membership=membership, role=row, user_id=membership.user_id)


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
