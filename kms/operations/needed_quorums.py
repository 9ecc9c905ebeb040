"""The quorums that a request for approval needs, as they are now: what its account, groups and objects say."""

from __future__ import annotations

from collections.abc import Iterator

from kms.objects.models import SecurityObject
from kms.objects.snapshot import guards_of_object
from policies.models import AccountPolicy, ApprovalRequest, GroupPolicy
from policies.quorum import Guard
from policies.stored import guard_of


def guards_needed(request: ApprovalRequest) -> tuple[Guard, ...]:
    return tuple(_guards(request))


def _guards(request: ApprovalRequest) -> Iterator[Guard]:
    needed = {"account_id": request.account_id}
    policies: list[AccountPolicy | GroupPolicy] = [
        *AccountPolicy.objects.filter(**needed, pk__in=request.policies),
        *GroupPolicy.objects.filter(**needed, pk__in=request.policies),
    ]
    for policy in policies:
        guard = guard_of(policy.pk, policy.quorum, policy.guarded)
        if guard is not None:
            yield guard
    for row in SecurityObject.objects.filter(**needed, pk__in=request.policies):
        yield from guards_of_object(row)
