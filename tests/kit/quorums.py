"""Quorums set as rows, for tests of what stands behind them."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from accounts.clock import clock
from accounts.models import Group
from accounts.principal import Principal
from policies.models import ApprovalRequest, GroupPolicy
from policies.permissions import Permission
from policies.quorum import Member, MemberKind, Quorum
from policies.stored import stored_tree
from tests.kit.tenants import Tenant


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


def ask(tenant: Tenant, by: Principal, *, policies: Iterable[UUID] | None = None) -> ApprovalRequest:
    """A request for approval as a row, for tests that are about something else than how requests are made."""
    now = clock.now()
    return ApprovalRequest.objects.create(
        account=tenant.account,
        requester_kind=by.kind,
        requester_id=by.id,
        requester_method=by.method,
        method="POST",
        operation="/crypto/v1/keys/destroy",
        body_sealed=b"",
        digest=secrets.token_bytes(32),
        action="object.destroy",
        groups=[tenant.group.id],
        policies=list(policies or [tenant.group.id]),
        created_at=now,
        expires_at=now + timedelta(days=1),
    )
