"""Custodians of key components: who may be one, and whom a group names for its keys, so many of them.

A group without such a policy takes components of anybody who may be a custodian. It must not know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from accounts.models import App, Membership, Role
from accounts.principal import AuthenticationMethod, Principal, PrincipalKind
from kms.crypto.errors import ParameterInvalid
from kms.operations.authority import absent
from kms.operations.command import Call
from kms.operations.errors import AccessDenied, NotFound
from policies.facts import known_of, read_versions
from policies.models import AccountPolicy, GroupPolicy
from policies.permissions import Permission
from policies.quorum import Member, MemberKind, Quorum, Vote, faults, may_fill, places, quorum_met
from policies.reviewers import person_behind, roles_held
from policies.stored import stored_tree, tree_of
from policies.system_roles import SYSTEM_ROLES, RoleKind

MIN_CUSTODIANS, MAX_CUSTODIANS = 2, 16
# Nobody is left out for having asked: who asks for components may be one of those that they are for.
_NOBODY = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Custodian:
    """A user or an app of the account."""

    kind: PrincipalKind
    id: UUID

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


@dataclass(frozen=True, slots=True)
class CustodianPolicy:
    """``quorum`` None takes the policy away."""

    quorum: Quorum | None = None


# -- the policy of a group -------------------------------------------------------------------------------------------


def needs(row: AccountPolicy | GroupPolicy, wanted: CustodianPolicy) -> Iterator[Permission]:
    if wanted.quorum is None:
        yield Permission.GROUP_CUSTODIANS_DELETE
    elif isinstance(row, GroupPolicy) and row.custodians is not None:
        yield Permission.GROUP_CUSTODIANS_UPDATE
    else:
        yield Permission.GROUP_CUSTODIANS_CREATE


def write(call: Call, row: AccountPolicy | GroupPolicy, wanted: CustodianPolicy) -> None:
    if not isinstance(row, GroupPolicy):
        raise ParameterInvalid("Custodians are named by groups")
    if wanted.quorum is not None:
        _check(call.account, wanted.quorum)
    row.custodians = None if wanted.quorum is None else stored_tree(wanted.quorum)


def custodians_in(row: GroupPolicy) -> Quorum | None:
    """What was set, to be shown."""
    return None if row.custodians is None else tree_of(row.custodians)


def _check(account: UUID, quorum: Quorum) -> None:
    fault = faults(quorum)
    if fault is not None:
        raise ParameterInvalid(fault)
    if _requires_proof(quorum):
        raise ParameterInvalid("custodian_policy requires no password or second factor: components come without one")
    named = set(places(quorum))
    if len(named) < MIN_CUSTODIANS and all(place.kind is not MemberKind.ROLE for place in named):
        raise ParameterInvalid(f"custodian_policy names at least {MIN_CUSTODIANS} custodians")
    _refuse_strangers(account, named)


def _requires_proof(quorum: Quorum) -> bool:
    nested = (member for member in quorum.members if isinstance(member, Quorum))
    return quorum.require_password or quorum.require_second_factor or any(map(_requires_proof, nested))


def _refuse_strangers(account: UUID, named: set[Member]) -> None:
    system = {role.id for role in SYSTEM_ROLES.values() if role.kind is RoleKind.ACCOUNT}
    members = Membership.objects.filter(account_id=account, invitation_pending=False)
    known: dict[MemberKind, Any] = {
        MemberKind.USER: members.values_list("user_id", flat=True),
        MemberKind.APP: App.objects.filter(account_id=account).values_list("id", flat=True),
        MemberKind.ROLE: Role.objects.filter(account_id=account, kind=RoleKind.ACCOUNT).values_list("id", flat=True),
    }
    columns = {MemberKind.USER: "user_id__in", MemberKind.APP: "id__in", MemberKind.ROLE: "id__in"}
    for kind, rows in known.items():
        wanted = {place.id for place in named if place.kind is kind} - system
        if set(rows.filter(**{columns[kind]: wanted})) != wanted:
            raise ParameterInvalid("custodian_policy names a user, app or account role that this account does not have")


# -- those who are named in a request --------------------------------------------------------------------------------


def check_custodians(call: Call, group: UUID, custodians: Sequence[Custodian]) -> None:
    """They are enough, each once, may all be custodians, and are whom the group of the key asks for."""
    if not MIN_CUSTODIANS <= len(custodians) <= MAX_CUSTODIANS:
        raise ParameterInvalid(f"a key has {MIN_CUSTODIANS} to {MAX_CUSTODIANS} custodians, not {len(custodians)}")
    if len(set(custodians)) != len(custodians):
        raise ParameterInvalid("a custodian is named twice, and would hold two components")
    standing = [_standing(call.account, custodian) for custodian in custodians]
    policy = GroupPolicy.objects.filter(group_id=group, account_id=call.account).first()
    quorum = None if policy is None else custodians_in(policy)
    if quorum is None:
        return
    if not all(may_fill(quorum, vote) for vote in standing):
        raise AccessDenied("custodian-not-named", "The group's custodian policy does not name each of these custodians")
    if not quorum_met(quorum, _NOBODY, standing):
        raise AccessDenied("custodians-too-few", "The group's custodian policy asks for more custodians, or others")


def _standing(account: UUID, custodian: Custodian) -> Vote:
    """Who they count as now. An app counts as whoever made it, so that nobody holds two components by way of one."""
    if custodian.kind is PrincipalKind.APP:
        return _of_app(account, custodian.id)
    return _of_user(account, custodian.id)


def _of_app(account: UUID, app: UUID) -> Vote:
    if not App.objects.filter(id=app, account_id=account, enabled=True).exists():
        raise NotFound(absent("app"))
    return Vote(MemberKind.APP, app, person_behind(account, PrincipalKind.APP, app))


def _of_user(account: UUID, user: UUID) -> Vote:
    principal = Principal(PrincipalKind.USER, user, account, AuthenticationMethod.NONE)
    facts = known_of(principal, read_versions([user])).facts
    if facts.forbids:
        raise NotFound(absent("user"))
    if Permission.CUSTODIAN not in facts.account:
        raise AccessDenied("not-a-custodian", "One who is named may not be a custodian of key components")
    return Vote(MemberKind.USER, user, user, roles_held(account, user))
