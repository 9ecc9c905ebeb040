"""What a role would newly allow and deny, before it is saved: the account's last calls, decided as they would be then.

The change is made as it would be, with all that stands against making it, looked at, and undone. Rights are what is
compared: the state of keys and the age of a person's proof were the moment's. It must not know the wire or HTTP.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from accounts.models import AccountRoleGrant, Group, GroupMembership, GroupRoleGrant, Membership, Role
from accounts.principal import AuthenticationMethod, Principal, PrincipalKind
from kms.audit.entry import Category
from kms.audit.models import AuditRecord
from kms.operations.authority import absent, account_target, group_target
from kms.operations.command import Call, Command, Operation, Resolved, control
from kms.operations.errors import AccessDenied, NotFound
from kms.operations.held_roles import NO_ROLES, own_roles, set_account_roles, set_group_roles
from kms.operations.roles import CreateRole, RoleDetails, UpdateRole, create_role, role_target, update_role
from kms.operations.users import user_target
from policies.decision import AccessRequest, Allow, Decision, Deny, Facts, Target, decide
from policies.facts import known_of
from policies.permissions import CATALOGUE, Permission, permissions_named
from policies.system_roles import SYSTEM_ROLES, RoleKind, SystemRole

MAX_CALLS, MAX_EXAMPLES, MAX_HOLDERS = 10_000, 100, 100
# Each is looked up twice while the change holds the role.
MAX_ACTORS = 500
# What makes a target visible, where an entry of the record names no more than its kind.
_SEEN = {
    "object": Permission.OBJECT_GET,
    "group": Permission.GROUP_GET,
    "app": Permission.APP_GET,
    "user": Permission.USER_GET,
    "role": Permission.ROLE_GET,
}


@dataclass(frozen=True, slots=True)
class SimulateRole(Command):
    """The role with these details, against the account's last ``calls``."""

    role: UUID
    details: RoleDetails | None
    calls: int = MAX_CALLS


@dataclass(frozen=True, slots=True)
class SimulateNewRole(Command):
    """A role that is not there yet, in the hands of these users: on the account, or in these groups."""

    name: str
    details: RoleDetails
    holders: tuple[UUID, ...]
    groups: tuple[UUID, ...] = ()
    calls: int = MAX_CALLS


class Change(StrEnum):
    ALLOWED = "newly_allowed"
    NEEDS_APPROVAL = "newly_needs_approval"
    DENIED = "newly_denied"


@dataclass(frozen=True, slots=True)
class Attempt:
    """What somebody asked for, once or often."""

    actor: UUID
    permission: Permission
    kind: str
    target: UUID | None
    groups: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class Changed:
    """How many attempts, how many calls they were, and the first of them."""

    attempts: int
    calls: int
    examples: tuple[tuple[Attempt, int], ...]


@dataclass(frozen=True, slots=True)
class Simulation:
    """``actors`` are holders of the role who made ``calls`` of those since ``since``."""

    actors: int
    calls: int
    since: datetime | None
    changes: Mapping[Change, Changed]


# -- handlers ------------------------------------------------------------------------------------------------------


def simulate_role(call: Call, command: SimulateRole, found: Role | SystemRole, _audit: None) -> Simulation:
    _must_hold(call, Permission.ROLE_UPDATE)
    attempts = _attempts(call, _holders_of(found.id), command.calls)
    before = _facts_of(call, attempts)
    with _undone():
        update_role(_apart(call), UpdateRole(found.id, details=command.details), found)
        after = _facts_of(call, attempts)
    return _compared(call, attempts, before, after)


def simulate_new_role(call: Call, command: SimulateNewRole, *_visible: None) -> Simulation:
    _must_hold(call, Permission.ROLE_CREATE)
    attempts = _attempts(call, command.holders, command.calls)
    before = _facts_of(call, attempts)
    with _undone():
        apart = _apart(call)
        role = create_role(apart, CreateRole(command.name, command.details), None)
        if command.details.kind is RoleKind.ACCOUNT:
            _must_hold(call, Permission.USER_UPDATE_ROLE)
            _give_on_account(apart, command.holders, role.id)
        for group in command.groups:
            _must_hold_in(call, group, Permission.GROUP_USERS_ROLE)
            _give_in_group(apart, command.holders, group, role.id)
        after = _facts_of(call, attempts)
    return _compared(call, attempts, before, after)


@contextmanager
def _undone() -> Iterator[None]:
    """What is written inside is read inside, and then never was."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def _apart(call: Call) -> Call:
    """The call without its record, for a change that is not made."""
    return replace(call, grants=[], details={}, touched=[])


def _must_hold(call: Call, permission: Permission) -> None:
    """Nobody simulates what they could not save. No quorum and no proof is asked for: nothing is saved."""
    if permission not in call.facts.account:
        raise AccessDenied("not-granted", f"No permission to {CATALOGUE[permission].sentence}")


def _must_hold_in(call: Call, group: UUID, permission: Permission) -> None:
    if not call.facts.holds(permission, group):
        raise AccessDenied("not-granted", f"No permission to {CATALOGUE[permission].sentence}")


# -- the record ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Attempts:
    """The distinct ones, the latest first, with how often each was made."""

    counted: Counter[Attempt]
    since: datetime | None

    def actors(self) -> set[UUID]:
        return {attempt.actor for attempt in self.counted}


def _attempts(call: Call, holders: Iterable[UUID], limit: int) -> _Attempts:
    """What these asked for in the account's last calls."""
    recent = AuditRecord.objects.filter(account_id=call.account).order_by("-sequence")[:limit]
    rows = AuditRecord.objects.filter(
        sequence__in=recent.values("sequence"),
        actor_kind=PrincipalKind.USER,
        actor_id__in=list(holders),
        details__has_key="permission",
    ).order_by("-sequence")
    counted, actors = Counter[Attempt](), set[UUID]()
    for actor, name, kind, target, groups in rows.values_list(
        "actor_id", "details__permission", "object_kind", "object_id", "groups"
    ):
        if actor not in actors and len(actors) == MAX_ACTORS:
            continue
        actors.add(actor)
        for permission in permissions_named([name]):
            counted[Attempt(actor, permission, kind, target, tuple(groups))] += 1
    return _Attempts(counted, min(recent.values_list("time", flat=True), default=None))


# -- holders -------------------------------------------------------------------------------------------------------


def _holders_of(role: UUID) -> tuple[UUID, ...]:
    """Whose rights change with the role: by holding it, or an account role that has it in all groups."""
    on_account = AccountRoleGrant.objects.filter(Q(role_id=role) | Q(role__all_groups_role=role))
    in_groups = GroupRoleGrant.objects.filter(role_id=role)
    return tuple(on_account.values_list("user_id", flat=True).union(in_groups.values_list("user_id", flat=True)))


def _give_on_account(call: Call, holders: Iterable[UUID], role: UUID) -> None:
    for membership in Membership.objects.filter(user_id__in=holders, account_id=call.account):
        own, _ = own_roles([membership.user_id], call.account).get(membership.user_id, NO_ROLES)
        set_account_roles(call, membership, frozenset({*own, role}))


def _give_in_group(call: Call, holders: Iterable[UUID], group: UUID, role: UUID) -> None:
    for user in holders:
        membership, _ = GroupMembership.objects.get_or_create(user_id=user, group_id=group, defaults={"role": ""})
        _, own = own_roles([user], call.account).get(user, NO_ROLES)
        set_group_roles(call, membership, frozenset({*own.get(group, ()), role}))


def _facts_of(call: Call, attempts: _Attempts) -> Mapping[UUID, Facts]:
    """As right after a login of theirs. Read under no version, so that nothing of it is remembered."""
    return {user: known_of(_principal(call, user), {}).facts for user in attempts.actors()}


def _principal(call: Call, user: UUID) -> Principal:
    return Principal(PrincipalKind.USER, user, call.account, AuthenticationMethod.NONE)


# -- comparison ----------------------------------------------------------------------------------------------------


def _compared(call: Call, attempts: _Attempts, before: Mapping[UUID, Facts], after: Mapping[UUID, Facts]) -> Simulation:
    changed: dict[Change, list[tuple[Attempt, int]]] = {change: [] for change in Change}
    for attempt, times in attempts.counted.items():
        request = _request(call, attempt)
        change = _change(decide(request, before[attempt.actor]), decide(request, after[attempt.actor]))
        if change is not None:
            changed[change].append((attempt, times))
    calls = attempts.counted.total()
    call.details.update(items=calls, returned=sum(map(len, changed.values())))
    changes = {change: _counted(found) for change, found in changed.items()}
    return Simulation(len(before), calls, attempts.since, changes)


def _request(call: Call, attempt: Attempt) -> AccessRequest:
    see = None if attempt.target == attempt.actor else _SEEN.get(attempt.kind)
    target = Target(attempt.kind, attempt.target, call.account, attempt.groups, see)
    return AccessRequest(_principal(call, attempt.actor), attempt.permission, target, call.now)


def _change(before: Decision, after: Decision) -> Change | None:
    if isinstance(before, Deny) == isinstance(after, Deny):
        return None
    if isinstance(after, Deny):
        return Change.DENIED
    return Change.ALLOWED if isinstance(after, Allow) else Change.NEEDS_APPROVAL


def _counted(found: Sequence[tuple[Attempt, int]]) -> Changed:
    return Changed(len(found), sum(times for _, times in found), tuple(found[:MAX_EXAMPLES]))


# -- resolution ----------------------------------------------------------------------------------------------------


def _audit(call: Call) -> Resolved:
    """Examples are of the record, so they are for whoever may read it."""
    return Resolved(Permission.AUDIT_READ_ACCOUNT, account_target(call))


def _resolve_role(call: Call, command: SimulateRole) -> Sequence[Resolved]:
    found = SYSTEM_ROLES.get(command.role) or Role.objects.filter(id=command.role, account_id=call.account).first()
    if found is None:
        raise NotFound(absent("role"))
    return (Resolved(Permission.ROLE_GET, role_target(found, call.account), found), _audit(call))


def _resolve_new(call: Call, command: SimulateNewRole) -> Sequence[Resolved]:
    users = Membership.objects.filter(user_id__in=command.holders, account_id=call.account)
    groups = list(Group.objects.filter(id__in=command.groups, account_id=call.account))
    if users.count() != len(set(command.holders)):
        raise NotFound(absent("user"))
    if len(groups) != len(set(command.groups)):
        raise NotFound(absent("group"))
    visible = [Resolved(Permission.USER_GET, user_target(user, call.account)) for user in command.holders]
    visible += [Resolved(Permission.GROUP_GET, group_target(group)) for group in groups]
    return (*visible, _audit(call))


_operation = control(Category.OTHER)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(SimulateRole, "role.simulate", _resolve_role, simulate_role),
    _operation(SimulateNewRole, "role.simulate-new", _resolve_new, simulate_new_role),
)
