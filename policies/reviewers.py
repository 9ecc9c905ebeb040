"""Rows to votes: which approvals of a request count now, and who stands behind whom. The only reader of that.

An approval counts while its reviewer could still give it: enabled, a member who may review, holding the roles that the
policy names. What was shown with it was shown then.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from accounts.models import AccountRoleGrant, App, Membership
from accounts.principal import AuthenticationMethod, Principal, PrincipalKind
from policies.facts import known_of, read_versions
from policies.models import Approval, ApprovalRequest
from policies.permissions import Permission
from policies.quorum import Approved, MemberKind, Vote
from policies.system_roles import SYSTEM_ROLE_ID, RoleKind

# An app that was made by an app that was made by an app: nobody has more of these.
_LONGEST_CHAIN = 8


def approved_so_far(request: ApprovalRequest) -> Approved:
    """The votes that count now, for what was asked and nothing else."""
    given = [each for each in request.approvals.all() if bytes(each.digest) == bytes(request.digest)]
    votes = (vote_of(request.account_id, each) for each in given)
    requester = person_behind(request.account_id, PrincipalKind(request.requester_kind), request.requester_id)
    return Approved(request.id, requester, frozenset(vote for vote in votes if vote is not None))


def vote_of(account: UUID, approval: Approval) -> Vote | None:
    """None: whoever gave it is no reviewer any more."""
    shown = (approval.password, approval.second_factor)
    if approval.reviewer_kind == PrincipalKind.APP:
        return _vote_of_app(account, approval.reviewer_id, *shown)
    return _vote_of_user(account, approval.reviewer_id, *shown)


def _vote_of_app(account: UUID, app: UUID, password: bool, second_factor: bool) -> Vote | None:
    if not App.objects.filter(id=app, account_id=account, enabled=True, account__enabled=True).exists():
        return None
    person = person_behind(account, PrincipalKind.APP, app)
    return Vote(MemberKind.APP, app, person, password=password, second_factor=second_factor)


def _vote_of_user(account: UUID, user: UUID, password: bool, second_factor: bool) -> Vote | None:
    reviewer = Principal(PrincipalKind.USER, user, account, AuthenticationMethod.NONE)
    facts = known_of(reviewer, read_versions([user])).facts
    if facts.forbids or Permission.APPROVAL_REVIEW not in facts.account:
        return None
    return Vote(MemberKind.USER, user, user, roles_held(account, user), password, second_factor)


def roles_held(account: UUID, user: UUID) -> frozenset[UUID]:
    """The ids of the roles that a user holds on the account, the system's among them."""
    member = Membership.objects.filter(account_id=account, user_id=user, enabled=True, invitation_pending=False).first()
    if member is None:
        return frozenset()
    custom = AccountRoleGrant.objects.filter(membership=member).values_list("role_id", flat=True)
    system = SYSTEM_ROLE_ID.get((RoleKind.ACCOUNT, member.role))
    return frozenset(custom) | (frozenset() if system is None else {system})


def person_behind(account: UUID, kind: PrincipalKind, identity: UUID) -> UUID:
    """A user, or the user who made an app, by way of other apps or not. An app that nobody is known to have made."""
    for _ in range(_LONGEST_CHAIN):
        if kind is not PrincipalKind.APP:
            break
        made = App.objects.filter(id=identity, account_id=account).values_list("creator_kind", "creator_id").first()
        if made is None or made[0] not in (PrincipalKind.APP, PrincipalKind.USER):
            break
        kind, identity = PrincipalKind(made[0]), made[1]
    return identity


def subjects_behind(request: ApprovalRequest, given: Iterable[Approval]) -> list[UUID]:
    """Whose change can change whether the quorum is met: to be held while that is judged."""
    reviewers = {approval.reviewer_id for approval in given}
    return sorted(reviewers | {request.requester_id, request.account_id})
