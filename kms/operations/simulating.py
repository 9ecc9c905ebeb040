"""What a role or a group's quorum would newly allow and deny, before it is saved: the last calls, decided anew.

The change is made as it would be, with all that stands against making it, looked at, and undone. Rights are what is
compared: the state of keys, their own quorums and the age of a person's proof were the moment's. It must not know the
wire or HTTP.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from accounts.models import AccountRoleGrant, Group, GroupMembership, GroupRoleGrant, Membership, Role
from accounts.principal import AuthenticationMethod, Principal, PrincipalKind
from kms.audit.entry import Category
from kms.audit.models import AuditRecord
from kms.operations import quorum_policies
from kms.operations.authority import absent, account_target, group_target
from kms.operations.command import Call, Command, Operation, Resolved, control
from kms.operations.errors import AccessDenied, NotFound
from kms.operations.held_roles import NO_ROLES, own_roles, set_account_roles, set_group_roles
from kms.operations.quorum_policies import QuorumPolicy
from kms.operations.roles import CreateRole, RoleDetails, UpdateRole, create_role, role_target, update_role
from kms.operations.users import user_target
from policies.decision import AccessRequest, Allow, Decision, Deny, Facts, NeedsApproval, Target, decide
from policies.facts import known_of
from policies.models import GroupPolicy
from policies.permissions import CATALOGUE, Permission, permissions_named
from policies.quorum import Guard
from policies.stored import guard_of
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


@dataclass(frozen=True, slots=True)
class SimulateGroupPolicy(Command):
    """The group with this quorum, against those of the account's last ``calls`` that concerned it."""

    group: UUID
    policy: QuorumPolicy
    calls: int = MAX_CALLS


class Change(StrEnum):
    ALLOWED = "newly_allowed"
    NEEDS_APPROVAL = "newly_needs_approval"
    DENIED = "newly_denied"


_CHANGE: Mapping[type[Decision], Change] = MappingProxyType(
    {Allow: Change.ALLOWED, NeedsApproval: Change.NEEDS_APPROVAL, Deny: Change.DENIED}
)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What somebody asked for, once or often."""

    actor_kind: PrincipalKind
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
    """``actors`` whom the change could concern made ``calls`` of those since ``since``."""

    actors: int
    calls: int
    since: datetime | None
    changes: Mapping[Change, Changed]


# -- handlers ------------------------------------------------------------------------------------------------------


def simulate_role(call: Call, command: SimulateRole, found: Role | SystemRole, _audit: None) -> Simulation:
    _must_hold(call, Permission.ROLE_UPDATE)
    attempts = _attempts(call, _by_users(_holders_of(found.id)), command.calls)
    before = _facts_of(call, attempts)
    with _undone():
        update_role(_apart(call), UpdateRole(found.id, details=command.details), found)
        after = _facts_of(call, attempts)
    return _compared(call, attempts, before, after)


def simulate_new_role(call: Call, command: SimulateNewRole, *_visible: None) -> Simulation:
    _must_hold(call, Permission.ROLE_CREATE)
    attempts = _attempts(call, _by_users(command.holders), command.calls)
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


def simulate_group_policy(call: Call, command: SimulateGroupPolicy, row: GroupPolicy, _audit: None) -> Simulation:
    _must_hold_in(call, command.group, Permission.GROUP_QUORUM)
    attempts = _attempts(call, Q(groups__contains=[command.group]), command.calls)
    before = _facts_of(call, attempts)
    with _undone():
        quorum_policies.write(_apart(call), row, command.policy)
    guard = guard_of(command.group, row.quorum, row.guarded)
    after = {actor: _guarded(facts, command.group, guard) for actor, facts in before.items()}
    return _compared(call, attempts, before, after)


def _guarded(facts: Facts, group: UUID, guard: Guard | None) -> Facts:
    """The same rights where the group's quorum is this one."""
    demand = replace(facts.demands.of_group(group), guard=guard)
    return replace(facts, demands=replace(facts.demands, groups={**facts.demands.groups, group: demand}))


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

    def actors(self) -> set[tuple[PrincipalKind, UUID]]:
        return {(attempt.actor_kind, attempt.actor) for attempt in self.counted}


def _by_users(holders: Iterable[UUID]) -> Q:
    return Q(actor_kind=PrincipalKind.USER, actor_id__in=list(holders))


def _attempts(call: Call, concerned: Q, limit: int) -> _Attempts:
    """What was asked for in those of the account's last calls that the change could concern."""
    recent = AuditRecord.objects.filter(account_id=call.account).order_by("-time", "-sequence")[:limit]
    since = min(recent.values_list("time", flat=True), default=None)
    if since is None:
        return _Attempts(Counter(), None)
    rows = AuditRecord.objects.filter(
        concerned,
        account_id=call.account,
        time__gte=since,
        actor_kind__in=(PrincipalKind.USER, PrincipalKind.APP),
        details__has_key="permission",
    ).order_by("-time", "-sequence")
    counted, actors = Counter[Attempt](), set[UUID]()
    columns = ("actor_kind", "actor_id", "details__permission", "object_kind", "object_id", "groups")
    for actor_kind, actor, name, kind, target, groups in rows.values_list(*columns):
        if actor not in actors and len(actors) == MAX_ACTORS:
            continue
        actors.add(actor)
        for permission in permissions_named([name]):
            counted[Attempt(PrincipalKind(actor_kind), actor, permission, kind, target, tuple(groups))] += 1
    return _Attempts(counted, since)


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
    return {actor: known_of(_principal(call, kind, actor), {}).facts for kind, actor in attempts.actors()}


def _principal(call: Call, kind: PrincipalKind, identity: UUID) -> Principal:
    return Principal(kind, identity, call.account, AuthenticationMethod.NONE)


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
    principal = _principal(call, attempt.actor_kind, attempt.actor)
    return AccessRequest(principal, attempt.permission, target, call.now)


def _change(before: Decision, after: Decision) -> Change | None:
    return None if type(before) is type(after) else _CHANGE[type(after)]


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


def _resolve_group(call: Call, command: SimulateGroupPolicy) -> Sequence[Resolved]:
    group = Group.objects.filter(id=command.group, account_id=call.account).first()
    if group is None:
        raise NotFound(absent("group"))
    row = GroupPolicy.objects.filter(group=group).first() or GroupPolicy(group=group, account_id=call.account)
    target = group_target(group)
    return (Resolved(Permission.GROUP_GET, target, row), Resolved(Permission.AUDIT_READ, target))


_operation = control(Category.OTHER)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(SimulateRole, "role.simulate", _resolve_role, simulate_role),
    _operation(SimulateNewRole, "role.simulate-new", _resolve_new, simulate_new_role),
    _operation(SimulateGroupPolicy, "group.simulate-policy", _resolve_group, simulate_group_policy),
)
