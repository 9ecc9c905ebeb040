"""Who has to do with a request for approval: who may see it, who may review it, and what is asked of reviewers.

It must not know what was asked for, the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.db.models import Q, QuerySet

from accounts.principal import PrincipalKind
from kms.objects.models import SecurityObject
from kms.objects.snapshot import guards_of_object
from kms.operations.authority import absent
from kms.operations.command import Call
from kms.operations.errors import NotFound
from policies.decision import Target
from policies.demand_rows import read_demands
from policies.models import ApprovalRequest
from policies.permissions import Permission
from policies.quorum import Guard, may_fill, quorum_met
from policies.reviewers import approved_so_far, vote_by


def target_of(row: ApprovalRequest) -> Target:
    return Target("approval", row.id, row.account_id, tuple(row.groups))


def found(call: Call, request: UUID, *, lock: bool = False) -> ApprovalRequest:
    """The request, held until the transaction ends when it is to be changed. One that is not the caller's to see is
    not there."""
    rows = ApprovalRequest.objects.select_for_update() if lock else ApprovalRequest.objects.all()
    row = rows.filter(id=request, account_id=call.account).first()
    if row is None or not visible(call).filter(id=row.id).exists():
        raise NotFound(absent("approval"))
    return row


def visible(call: Call) -> QuerySet[ApprovalRequest]:
    """What the caller asked for, reviews or has reviewed; beside that, what their roles let them see."""
    rows = ApprovalRequest.objects.filter(account_id=call.account)
    everywhere = call.facts.groups_with(Permission.APPROVAL_GET)
    if Permission.APPROVAL_GET_ALL in call.facts.account:
        return rows
    own = Q(requester_kind=call.principal.kind, requester_id=call.principal.id)
    mine = own | reviewed_by(call.account, call.principal.kind, call.principal.id)
    in_groups = ~Q(groups=[]) if everywhere is None else Q(groups__overlap=list(everywhere))
    return rows.filter(mine | in_groups)


def reviewed_by(account: UUID, kind: PrincipalKind, reviewer: UUID) -> Q:
    """The requests in whose quorums somebody has a place now, or that they have approved or denied."""
    voted = Q(approvals__reviewer_kind=kind, approvals__reviewer_id=reviewer)
    has = ApprovalRequest.objects.filter(voted, account_id=account).values("id")
    decided = Q(id__in=has) | Q(denier_kind=kind, denier_id=reviewer)
    vote = vote_by(account, kind, reviewer)
    if vote is None:
        return decided
    subjects = [guard.subject for guard in _guards(account) if may_fill(guard.quorum, vote)]
    return decided | Q(policies__overlap=subjects) if subjects else decided


def all_met(row: ApprovalRequest, guards: Iterable[Guard]) -> bool:
    """Whether it is worth trying: what is asked of the call is judged for good when it is carried out."""
    guards, approved = tuple(guards), approved_so_far(row)
    return bool(guards) and all(quorum_met(guard.quorum, approved.requester, approved.votes) for guard in guards)


def unmet(row: ApprovalRequest, guards: Iterable[Guard]) -> tuple[Guard, ...]:
    approved = approved_so_far(row)
    return tuple(guard for guard in guards if not quorum_met(guard.quorum, approved.requester, approved.votes))


def _guards(account: UUID) -> list[Guard]:
    """All of the account and its groups, and of those of its objects that have a quorum of their own."""
    demands = read_demands(account)
    guards = [demand.guard for demand in (demands.account, *demands.groups.values()) if demand.guard is not None]
    rows = SecurityObject.objects.filter(account_id=account, quorum__isnull=False)
    return [*guards, *(guard for row in rows for guard in guards_of_object(row))]
