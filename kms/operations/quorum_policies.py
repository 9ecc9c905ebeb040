"""Whose approval an account, a group or an object asks for, and for what: set, changed and taken away.

Whoever changes it needs the approval that it asked for so far: the permission to is among what every policy guards.
It must not know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from accounts.models import App, Membership, Role
from accounts.principal import PrincipalKind
from kms.crypto.errors import ParameterInvalid
from kms.objects.models import SecurityObject
from kms.operations.command import Call
from kms.operations.errors import InvalidRequest
from policies.guarded import (
    AccountProtection,
    GroupProtection,
    Protection,
    account_protection_of,
    group_protection_of,
)
from policies.models import AccountPolicy, GroupPolicy
from policies.permissions import Permission
from policies.quorum import Guard, MemberKind, Quorum, faults, places, quorum_met
from policies.reviewers import reviewers_of, vote_by
from policies.stored import stored_tree, tree_of
from policies.system_roles import SYSTEM_ROLES, RoleKind

# Whoever asks is none of the reviewers here: whether somebody else could ever approve is what is looked at.
_NOBODY = UUID(int=0)
_SILENT = GroupProtection()


@dataclass(frozen=True, slots=True)
class QuorumPolicy:
    """``quorum`` None takes the policy away. ``single``: it was given as one member and no quorum around it."""

    quorum: Quorum | None = None
    protection: Protection = _SILENT
    single: bool = False


NO_POLICY = QuorumPolicy()


def needs(row: AccountPolicy | GroupPolicy, _wanted: QuorumPolicy) -> Iterator[Permission]:
    yield Permission.ACCOUNT_QUORUM if isinstance(row, AccountPolicy) else Permission.GROUP_QUORUM


def write(call: Call, row: AccountPolicy | GroupPolicy, wanted: QuorumPolicy) -> None:
    if wanted.quorum is None:
        row.quorum, row.guarded, row.protection = None, [], None
        return
    kept = AccountProtection if isinstance(row, AccountPolicy) else GroupProtection
    if not isinstance(wanted.protection, kept):
        raise ParameterInvalid("approval_policy says what only another kind of policy can protect")
    check(call, wanted.quorum)
    row.quorum, row.guarded = stored_tree(wanted.quorum), sorted(wanted.protection.guarded())
    row.protection = _choice(wanted)


def policy_in(row: AccountPolicy | GroupPolicy) -> QuorumPolicy:
    """What was set, to be shown."""
    if row.quorum is None:
        return NO_POLICY
    choice = row.protection or {}
    account = isinstance(row, AccountPolicy)
    return QuorumPolicy(
        tree_of(row.quorum),
        account_protection_of(choice) if account else group_protection_of(choice),
        bool(choice.get("single")),
    )


# -- an object's own ------------------------------------------------------------------------------------------------


def stored_on_object(call: Call, wanted: QuorumPolicy) -> dict[str, Any] | None:
    """As the object's row keeps it, checked."""
    if wanted.quorum is None:
        return None
    if not isinstance(wanted.protection, GroupProtection):
        raise ParameterInvalid("approval_policy says what only an account can protect")
    check(call, wanted.quorum)
    guarded = sorted(wanted.protection.guarded_on_object())
    return {"quorum": stored_tree(wanted.quorum), "guarded": guarded, "protection": _choice(wanted)}


def policy_on_object(stored: Mapping[str, Any] | None) -> QuorumPolicy:
    if stored is None:
        return NO_POLICY
    choice = stored.get("protection") or {}
    return QuorumPolicy(tree_of(stored["quorum"]), group_protection_of(choice), bool(choice.get("single")))


def inherit(made: SecurityObject, source: SecurityObject, asked: QuorumPolicy | None) -> None:
    """What is made of a guarded object, or takes its place, is guarded as that was: no way around its policy."""
    if source.quorum is None:
        return
    if asked is not None:
        raise InvalidRequest("The object's approval policy goes along; update it afterwards", "approval-policy-changed")
    made.quorum = source.quorum


def _choice(wanted: QuorumPolicy) -> dict[str, Any]:
    return {**wanted.protection.stored(), "single": wanted.single}


# -- what no policy may ask -----------------------------------------------------------------------------------------


def check(call: Call, quorum: Quorum) -> None:
    """Its shape, that its members are of this account, and that they could meet it."""
    fault = faults(quorum)
    if fault is not None:
        raise ParameterInvalid(fault)
    named: dict[MemberKind, set[UUID]] = {kind: set() for kind in MemberKind}
    for place in places(quorum):
        named[place.kind].add(place.id)
    _hold_users(call.account, named[MemberKind.USER])
    _hold_apps(call.account, named[MemberKind.APP])
    _hold_roles(call.account, named[MemberKind.ROLE])
    if not _attainable(call.account, quorum):
        raise ParameterInvalid("Those who could approve now are too few to ever meet this quorum")


def _hold_users(account: UUID, users: set[UUID]) -> None:
    """Locked, so that nobody who is named is removed meanwhile."""
    members = Membership.objects.select_for_update(no_key=True, of=("self",)).order_by("user_id")
    _refuse_strangers(users, members.filter(account_id=account, user__in=users, invitation_pending=False), "user_id")


def _hold_apps(account: UUID, apps: set[UUID]) -> None:
    rows = App.objects.select_for_update(no_key=True).order_by("id")
    _refuse_strangers(apps, rows.filter(account_id=account, id__in=apps), "id")


def _hold_roles(account: UUID, roles: set[UUID]) -> None:
    """Roles that are held on the account, the system's among them: those of a group are held in one."""
    system = {role.id for role in SYSTEM_ROLES.values() if role.kind is RoleKind.ACCOUNT}
    rows = Role.objects.select_for_update(no_key=True).order_by("id")
    _refuse_strangers(roles - system, rows.filter(account_id=account, kind=RoleKind.ACCOUNT, id__in=roles), "id")


def _refuse_strangers(wanted: set[UUID], rows: Any, column: str) -> None:
    if wanted and set(rows.values_list(column, flat=True)) != wanted:
        raise ParameterInvalid("approval_policy names a user, app or account role that this account does not have")


def _attainable(account: UUID, quorum: Quorum) -> bool:
    """With the yes of everybody who may give one today, whatever has to be shown with it."""
    reviewers = reviewers_of(account, [Guard(account, quorum, frozenset())])
    votes = (
        vote_by(account, PrincipalKind(each.kind.value), each.id, password=True, second_factor=True)
        for each in reviewers
    )
    return quorum_met(quorum, _NOBODY, [vote for vote in votes if vote is not None])
