"""Rows to votes: which approvals of a request count now, and who stands behind whom. The only reader of that.

An approval counts while its reviewer could still give it: enabled, a member who may review, holding the roles that the
policy names. What was shown with it was shown then.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from uuid import UUID

from accounts.models import AccountRoleGrant, App, Membership
from accounts.principal import AuthenticationMethod, Principal, PrincipalKind
from accounts.row_seals import verified
from policies.facts import known_of, read_versions
from policies.models import Approval, ApprovalRequest
from policies.permissions import Permission
from policies.quorum import Approved, Guard, Member, MemberKind, Quorum, Vote, may_fill
from policies.system_roles import SYSTEM_ROLE_ID, SYSTEM_ROLES, RoleKind

# An app that was made by an app that was made by an app: nobody has more of these.
_LONGEST_CHAIN = 8
# Of those who hold a role, so many are named where reviewers are shown. All of them may vote.
MAX_SHOWN = 100


def approved_so_far(request: ApprovalRequest, among: Container[UUID] | None = None) -> Approved:
    """The votes that count now, for what was asked and nothing else. ``among``: only those of these reviewers.

    Request and votes fit their seal, or nothing counts (RowsForged).
    """
    written = verified([request.id]).of(Approval, request.id)
    given = [each for each in written if bytes(each.digest) == bytes(request.digest)]
    counted = [each for each in given if among is None or each.reviewer_id in among]
    votes = (vote_of(request.account_id, each) for each in counted)
    requester = person_behind(request.account_id, PrincipalKind(request.requester_kind), request.requester_id)
    return Approved(request.id, requester, frozenset(vote for vote in votes if vote is not None))


def vote_of(account: UUID, approval: Approval) -> Vote | None:
    """None: whoever gave it is no reviewer any more."""
    kind, shown = PrincipalKind(approval.reviewer_kind), (approval.password, approval.second_factor)
    return vote_by(account, kind, approval.reviewer_id, *shown)


def vote_by(
    account: UUID, kind: PrincipalKind, reviewer: UUID, password: bool = False, second_factor: bool = False
) -> Vote | None:
    """What somebody's yes would count as now, given with that. None: nothing, whoever asks."""
    if kind is PrincipalKind.APP:
        return _vote_of_app(account, reviewer, password, second_factor)
    return _vote_of_user(account, reviewer, password, second_factor) if kind is PrincipalKind.USER else None


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


# -- who may review, and what is asked of them ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reviewer:
    """Somebody with a place in a quorum, and what has to be shown with a yes for it to count."""

    kind: MemberKind
    id: UUID
    password: bool = False
    second_factor: bool = False


@dataclass(frozen=True, slots=True)
class _Place:
    member: Member
    password: bool
    second_factor: bool


def suffices(quorum: Quorum, vote: Vote) -> bool:
    """Whether there is a place that the vote fills, with what was shown."""
    return any(
        (vote.password or not place.password) and (vote.second_factor or not place.second_factor)
        for place in _places_of(quorum, vote)
    )


def reviewers_of(account: UUID, guards: Iterable[Guard]) -> tuple[Reviewer, ...]:
    """Who is named in these quorums, or holds a role that is. To be shown; who may vote is judged when they do."""
    guards = tuple(guards)
    found: dict[tuple[MemberKind, UUID], None] = {}
    for guard in guards:
        for place in _with_demands(guard.quorum):
            found.update(dict.fromkeys(_who(account, place.member)))
    return tuple(_reviewer(account, kind, reviewer, guards) for kind, reviewer in found)


def _reviewer(account: UUID, kind: MemberKind, reviewer: UUID, guards: tuple[Guard, ...]) -> Reviewer:
    """What is asked in one place and not in another of the same quorum need not be shown."""
    roles = roles_held(account, reviewer) if kind is MemberKind.USER else frozenset[UUID]()
    vote = Vote(kind, reviewer, reviewer, roles)
    places = [own for guard in guards if (own := tuple(_places_of(guard.quorum, vote)))]
    password = any(all(place.password for place in own) for own in places)
    return Reviewer(kind, reviewer, password, any(all(place.second_factor for place in own) for own in places))


def _who(account: UUID, member: Member) -> list[tuple[MemberKind, UUID]]:
    if member.kind is not MemberKind.ROLE:
        return [(member.kind, member.id)]
    return [(MemberKind.USER, user) for user in holders_of(account, member.id)]


def holders_of(account: UUID, role: UUID) -> list[UUID]:
    """The members who hold a role on the account, the first of them."""
    members = Membership.objects.filter(account_id=account, enabled=True, invitation_pending=False)
    system = SYSTEM_ROLES.get(role)
    if system is None:
        held = members.filter(id__in=AccountRoleGrant.objects.filter(role_id=role).values("membership_id"))
    else:
        held = members.filter(role=system.name) if system.kind is RoleKind.ACCOUNT else members.none()
    return list(held.order_by("user_id").values_list("user_id", flat=True)[:MAX_SHOWN])


def _places_of(quorum: Quorum, vote: Vote) -> Iterator[_Place]:
    return (place for place in _with_demands(quorum) if may_fill(Quorum(1, (place.member,)), vote))


def _with_demands(quorum: Quorum, password: bool = False, second_factor: bool = False) -> Iterator[_Place]:
    """Every place, with what it and all that it is within ask."""
    password, second_factor = password or quorum.require_password, second_factor or quorum.require_second_factor
    for member in quorum.members:
        if isinstance(member, Quorum):
            yield from _with_demands(member, password, second_factor)
        else:
            yield _Place(member, password, second_factor)
