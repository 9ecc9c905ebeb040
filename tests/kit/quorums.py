"""Quorums set as rows, for tests of what stands behind them."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from accounts.models import Account, Group
from policies.models import AccountPolicy, GroupPolicy
from policies.permissions import Permission
from policies.quorum import Member, MemberKind, Quorum
from policies.stored import stored_tree


def users(number: int, ids: Iterable[UUID], *, password: bool = False, second_factor: bool = False) -> Quorum:
    """``number`` of these users."""
    members = tuple(Member(MemberKind.USER, each) for each in ids)
    return Quorum(number, members, require_password=password, require_second_factor=second_factor)


def guard_group(group: Group, quorum: Quorum, guarded: Iterable[Permission]) -> GroupPolicy:
    return GroupPolicy.objects.create(
        group=group,
        account_id=group.account_id,
        quorum=stored_tree(quorum),
        guarded=sorted(guarded),
    )


def guard_account(account: Account, quorum: Quorum, guarded: Iterable[Permission]) -> AccountPolicy:
    return AccountPolicy.objects.create(account=account, quorum=stored_tree(quorum), guarded=sorted(guarded))
