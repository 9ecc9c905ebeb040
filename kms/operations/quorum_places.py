"""Places in quorums: who has one is not lost, and nobody comes to fill one without that quorum's approval.

It must not know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from uuid import UUID

from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast

from accounts.models import Group, Membership
from kms.objects.models import SecurityObject
from kms.objects.snapshot import guards_of_object
from kms.operations.command import Call
from kms.operations.errors import Conflict
from policies.demand_rows import read_demands
from policies.demands import Demands
from policies.permissions import Permission
from policies.quorum import Guard, Member, MemberKind, places
from policies.system_roles import SYSTEM_ROLE_ID, RoleKind


def role_places(system: str | None, own: frozenset[UUID] = frozenset()) -> tuple[Member, ...]:
    """The places that roles held on the account fill: the system's by its name, the account's own by their ids."""
    named = SYSTEM_ROLE_ID.get((RoleKind.ACCOUNT, system or ""))
    return tuple(Member(MemberKind.ROLE, role) for role in sorted(own | ({named} if named else frozenset())))


def guards_of_places(call: Call, permission: Permission, *wanted: Member) -> tuple[Guard, ...]:
    """The quorums with such a place. They stand before the permission by which somebody would come to fill it."""
    return tuple(
        replace(guard, guarded=guard.guarded | {permission})
        for place in wanted
        for guard in _naming(call.account, call.facts.demands, place)
    )


def guards_of_administrators(call: Call, permission: Permission) -> tuple[Guard, ...]:
    """The account's quorum, if it guards who administers, before a permission by which that changes as well."""
    guard = call.facts.demands.account.guard
    if guard is None or Permission.USER_UPDATE_ROLE not in guard.guarded:
        return ()
    return (replace(guard, guarded=guard.guarded | {permission}),)


def refuse_named(call: Call, place: Member) -> None:
    """Whoever is taken away would leave a place that nobody fills, or that another one could come to fill."""
    for guard in _naming(call.account, call.facts.demands, place):
        raise _named(place, _where(call, guard.subject))


def refuse_named_anywhere(user: UUID) -> None:
    """In every account that the user belongs to: locked, so that no policy names them meanwhile."""
    place = Member(MemberKind.USER, user)
    rows = Membership.objects.select_for_update(of=("self",)).filter(user_id=user).select_related("account")
    for membership in rows.order_by("account_id"):
        for _ in _naming(membership.account_id, read_demands(membership.account_id), place):
            raise _named(place, f"the account {membership.account.name}")


def _named(place: Member, where: str) -> Conflict:
    return Conflict("named-in-quorum", f"The {place.kind} has a place in the quorum of {where}; change that one first")


def _naming(account: UUID, demands: Demands, place: Member) -> Iterator[Guard]:
    yield from demands.naming(place.kind, place.id)
    for row in _objects_with(account, place):
        yield from (guard for guard in guards_of_object(row) if place in places(guard.quorum))


def _objects_with(account: UUID, place: Member) -> QuerySet[SecurityObject]:
    """Few objects have a quorum of their own, and an index of theirs."""
    own = SecurityObject.objects.filter(account_id=account, quorum__isnull=False, deletion_date__isnull=True)
    return own.annotate(written=Cast("quorum", TextField())).filter(written__contains=str(place.id))


def _where(call: Call, subject: UUID) -> str:
    """By name only where the caller sees it."""
    if subject == call.account:
        return "this account"
    group = Group.objects.filter(id=subject, account_id=call.account).first()
    if group is not None:
        return f"the group {group.name}" if _sees(call, Permission.GROUP_GET, group.id) else "a group"
    row = SecurityObject.objects.get(id=subject)
    return f"the object {row.name}" if _sees(call, Permission.OBJECT_GET, row.group_id) else "an object"


def _sees(call: Call, permission: Permission, group: UUID) -> bool:
    return call.facts.holds(permission, group)
