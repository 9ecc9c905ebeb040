"""Decisions under quorums, named after what Cedar proves of its own: forbid trumps permit, default deny."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.decision import AccessRequest, Allow, Decision, Deny, Facts, Forbid, NeedsApproval, decide
from policies.demands import NO_DEMANDS, Demand, Demands
from policies.permissions import CATALOGUE, Permission, Scope
from policies.quorum import Approved, Guard, Member, MemberKind, Quorum, Vote
from tests.policies.quorum_oracle import (
    USERS,
    ballots,
    met_by_trying_everything,
    quorums,
    requesters,
    votes_of_apps,
    votes_of_users,
)
from tests.policies.strategies import (
    ACCOUNTS,
    APP,
    BOUND,
    EVERYTHING,
    GROUPS,
    NOW,
    PERMISSIONS,
    facts,
    forbids,
    permission_sets,
    requests,
    target_in,
)

ANN, BOB = USERS[:2]
SUBJECTS = tuple(UUID(int=n) for n in range(401, 406))
# Few enough that a guard often guards what is asked.
ASKED = (Permission.OBJECT_ENCRYPT, Permission.OBJECT_DELETE, Permission.GROUP_UPDATE, Permission.ACCOUNT_UPDATE)
ANYBODYS = Quorum(1, (Member(MemberKind.USER, ANN), Member(MemberKind.USER, BOB)))
NOBODYS = Quorum(1, ())

_guarded = st.frozensets(st.sampled_from(ASKED), min_size=1)


def _guards(subject: st.SearchStrategy[UUID]) -> st.SearchStrategy[Guard]:
    return st.builds(Guard, subject, quorums | st.sampled_from([ANYBODYS, NOBODYS]), _guarded)


def _demand(subject: UUID) -> st.SearchStrategy[Demand]:
    return st.builds(Demand, st.none() | _guards(st.just(subject)))


demands = st.builds(
    Demands,
    _demand(ACCOUNTS[0]),
    st.fixed_dictionaries({}, optional={group: _demand(group) for group in GROUPS}),
)
target_guards = st.lists(_guards(st.sampled_from(SUBJECTS)), max_size=3).map(tuple)
approvals = st.builds(Approved, st.just(UUID(int=501)), requesters, ballots)
guarded_requests = st.builds(
    lambda request, permission, guards, approved: replace(
        request, permission=permission, target=replace(request.target, guards=guards), approved=approved
    ),
    requests,
    st.sampled_from(ASKED),
    target_guards,
    st.none() | approvals,
)
guarded_facts = st.builds(lambda known, asked: replace(known, demands=asked), facts, demands)
# Whoever asks holds the right to it: only quorums are between them and it.
entitled = st.builds(
    lambda permission, groups, guards, approved: AccessRequest(
        APP, permission, target_in(groups, guards=guards), NOW, approved
    ),
    st.sampled_from(ASKED),
    st.lists(st.sampled_from(GROUPS), max_size=3, unique=True).map(tuple),
    target_guards,
    st.none() | approvals,
)
entitled_facts = demands.map(lambda asked: replace(EVERYTHING, demands=asked))


def _without_quorums(request: AccessRequest, known: Facts) -> Decision:
    plain = replace(request, target=replace(request.target, guards=()), approved=None)
    return decide(plain, replace(known, demands=NO_DEMANDS))


def _unmet(request: AccessRequest, known: Facts) -> set[UUID]:
    """The subjects of the guards before the request that are not met, looked up the long way."""
    demanded = [known.demands.account, *(known.demands.groups.get(group, Demand()) for group in request.target.groups)]
    every = [*(demand.guard for demand in demanded), *request.target.guards]
    before = [guard for guard in every if guard is not None and request.permission in guard.guarded]
    approved = request.approved
    return {
        guard.subject
        for guard in before
        if approved is None or not met_by_trying_everything(guard.quorum, approved.requester, approved.votes)
    }


def _approved(*users: UUID) -> Approved:
    votes = frozenset(Vote(MemberKind.USER, user, user, password=True, second_factor=True) for user in users)
    return Approved(UUID(int=501), APP.id, votes)


@given(guarded_requests, guarded_facts, forbids, st.booleans())
def test_forbid_trumps_permit_and_approval(
    request: AccessRequest, known: Facts, forbid: Forbid, of_target: bool
) -> None:
    if of_target:
        request = replace(request, target=replace(request.target, forbids=(*request.target.forbids, forbid)))
    else:
        known = replace(known, forbids=(*known.forbids, forbid))
    assert isinstance(decide(request, known), Deny)


@pytest.mark.parametrize("permission", BOUND)
def test_a_forbid_denies_what_a_met_quorum_approved(permission: Permission) -> None:
    guard = Guard(SUBJECTS[0], ANYBODYS, frozenset({permission}))
    request = AccessRequest(APP, permission, target_in(GROUPS, guards=(guard,)), NOW, _approved(ANN))
    forbid = Forbid("x", "no")
    assert decide(request, EVERYTHING) == Allow("approved")
    assert decide(request, replace(EVERYTHING, forbids=(forbid,))) == Deny("x", "no")
    assert decide(replace(request, target=replace(request.target, forbids=(forbid,))), EVERYTHING) == Deny("x", "no")


@given(guarded_requests, demands)
def test_default_deny_whatever_was_approved(request: AccessRequest, asked: Demands) -> None:
    assert isinstance(decide(request, Facts()), Deny)
    assert isinstance(decide(request, Facts(demands=asked)), Deny)


@given(guarded_requests, guarded_facts)
def test_approval_grants_nothing_that_is_not_held(request: AccessRequest, known: Facts) -> None:
    plain = _without_quorums(request, known)
    if isinstance(plain, Deny):
        assert decide(request, known) == plain


@pytest.mark.parametrize("permission", BOUND)
def test_a_met_quorum_gives_no_right_to_who_has_none(permission: Permission) -> None:
    guard = Guard(SUBJECTS[0], ANYBODYS, frozenset({permission}))
    request = AccessRequest(APP, permission, target_in(GROUPS, guards=(guard,)), NOW, _approved(ANN, BOB))
    decision = decide(request, Facts())
    assert isinstance(decision, Deny)
    assert decision.reason == "not-granted"


@given(guarded_requests, guarded_facts)
def test_quorums_never_deny_what_is_held_and_need_approval_at_most(request: AccessRequest, known: Facts) -> None:
    if isinstance(_without_quorums(request, known), Allow):
        assert not isinstance(decide(request, known), Deny)


@given(entitled, entitled_facts)
def test_the_outcome_names_exactly_the_subjects_whose_quorum_is_not_met(request: AccessRequest, known: Facts) -> None:
    decision, unmet = decide(request, known), _unmet(request, known)
    if unmet:
        assert decision == NeedsApproval("approval-needed", tuple(sorted(unmet)))
    else:
        assert decision == Allow("granted" if request.approved is None else "approved")


def test_a_guard_that_is_met_lets_through_and_one_that_is_not_is_named() -> None:
    met = Guard(SUBJECTS[0], ANYBODYS, frozenset({Permission.OBJECT_DELETE}))
    unmet = Guard(SUBJECTS[1], NOBODYS, frozenset({Permission.OBJECT_DELETE}))
    request = AccessRequest(APP, Permission.OBJECT_DELETE, target_in(GROUPS[:1], guards=(met,)), NOW, _approved(BOB))
    assert decide(request, EVERYTHING) == Allow("approved")
    assert decide(replace(request, approved=None), EVERYTHING) == NeedsApproval("approval-needed", (SUBJECTS[0],))
    both = replace(request, target=target_in(GROUPS[:1], guards=(unmet, met)))
    assert decide(both, EVERYTHING) == NeedsApproval("approval-needed", (SUBJECTS[1],))


def test_the_quorums_of_the_account_and_of_each_group_of_the_target_all_stand_before_it() -> None:
    encrypt = frozenset({Permission.OBJECT_ENCRYPT})
    asked = Demands(
        Demand(Guard(ACCOUNTS[0], ANYBODYS, encrypt)),
        {group: Demand(Guard(group, ANYBODYS, encrypt)) for group in GROUPS[:3]},
    )
    known = replace(EVERYTHING, demands=asked)
    request = AccessRequest(APP, Permission.OBJECT_ENCRYPT, target_in(GROUPS[1:3]), NOW)
    assert decide(request, known) == NeedsApproval("approval-needed", (ACCOUNTS[0], GROUPS[1], GROUPS[2]))
    assert decide(replace(request, permission=Permission.OBJECT_DECRYPT), known) == Allow("granted")
    assert decide(replace(request, approved=_approved(ANN)), known) == Allow("approved")


def test_whoever_asked_does_not_approve_it() -> None:
    guard = Guard(SUBJECTS[0], ANYBODYS, frozenset({Permission.OBJECT_DELETE}))
    own = replace(_approved(ANN), requester=ANN)
    request = AccessRequest(APP, Permission.OBJECT_DELETE, target_in(GROUPS[:1], guards=(guard,)), NOW, own)
    assert decide(request, EVERYTHING) == NeedsApproval("approval-needed", (SUBJECTS[0],))
    assert decide(replace(request, approved=replace(_approved(ANN, BOB), requester=ANN)), EVERYTHING) == Allow(
        "approved"
    )


@given(entitled, entitled_facts, st.data())
def test_the_order_of_guards_does_not_matter(request: AccessRequest, known: Facts, data: st.DataObject) -> None:
    target, asked = request.target, known.demands
    shuffled = replace(
        target,
        guards=tuple(data.draw(st.permutations(target.guards))),
        groups=tuple(data.draw(st.permutations(target.groups))),
    )
    turned = replace(asked, groups=dict(data.draw(st.permutations(list(asked.groups.items())))))
    assert decide(replace(request, target=shuffled), replace(known, demands=turned)) == decide(request, known)


@given(entitled, entitled_facts, votes_of_users | votes_of_apps)
def test_one_more_vote_never_names_more_subjects(request: AccessRequest, known: Facts, more: Vote) -> None:
    if request.approved is not None:
        voted = replace(request.approved, votes=request.approved.votes | {more})
        before, after = decide(request, known), decide(replace(request, approved=voted), known)
        named = set(before.policies) if isinstance(before, NeedsApproval) else set()
        assert isinstance(after, Allow) or (isinstance(after, NeedsApproval) and set(after.policies) <= named)


@given(entitled, entitled_facts, _guards(st.sampled_from(SUBJECTS)))
def test_one_more_guard_never_turns_needed_approval_into_allow(
    request: AccessRequest, known: Facts, more: Guard
) -> None:
    guarded = replace(request, target=replace(request.target, guards=(*request.target.guards, more)))
    if isinstance(decide(request, known), NeedsApproval):
        assert isinstance(decide(guarded, known), NeedsApproval)


@given(entitled, entitled_facts, permission_sets, quorums)
def test_a_guard_of_something_else_changes_nothing(
    request: AccessRequest, known: Facts, others: frozenset[Permission], quorum: Quorum
) -> None:
    guard = Guard(SUBJECTS[0], quorum, others - {request.permission})
    guarded = replace(request, target=replace(request.target, guards=(*request.target.guards, guard)))
    assert decide(guarded, known) == decide(request, known)


@given(entitled, entitled_facts)
def test_the_quorum_of_a_group_that_the_target_is_not_in_changes_nothing(request: AccessRequest, known: Facts) -> None:
    elsewhere = next(group for group in GROUPS if group not in request.target.groups)
    closed = Demand(Guard(elsewhere, NOBODYS, frozenset(PERMISSIONS)))
    asked = replace(known.demands, groups={**known.demands.groups, elsewhere: closed})
    assert decide(request, replace(known, demands=asked)) == decide(request, known)


@pytest.mark.parametrize("permission", BOUND)
def test_every_permission_that_roles_grant_can_be_guarded(permission: Permission) -> None:
    closed = Demands(Demand(Guard(ACCOUNTS[0], NOBODYS, frozenset({permission}))))
    request = AccessRequest(APP, permission, target_in(GROUPS), NOW)
    known = replace(EVERYTHING, demands=closed)
    assert decide(request, known) == NeedsApproval("approval-needed", (ACCOUNTS[0],))


@pytest.mark.parametrize("permission", [p for p in PERMISSIONS if CATALOGUE[p].scope is Scope.SELF])
def test_no_quorum_of_an_account_stands_before_what_is_a_persons_own(permission: Permission) -> None:
    closed = Demands(Demand(Guard(ACCOUNTS[0], NOBODYS, frozenset({permission}))))
    request = AccessRequest(APP, permission, target_in(GROUPS), NOW)
    assert decide(request, replace(EVERYTHING, demands=closed)) == Allow("self")


def test_the_quorums_that_name_somebody_are_found_wherever_they_stand_and_however_deep() -> None:
    """By kind and id: an app, a role and a user of the same id are not each other."""

    def guard(subject: UUID, member: Member) -> Guard:
        return Guard(subject, Quorum(1, (Quorum(1, (member, Member(MemberKind.USER, BOB))),)), frozenset(ASKED))

    of_account = guard(ACCOUNTS[0], Member(MemberKind.USER, ANN))
    of_group = guard(GROUPS[1], Member(MemberKind.USER, ANN))
    of_role = guard(GROUPS[2], Member(MemberKind.ROLE, ANN))
    groups = {GROUPS[0]: Demand(), GROUPS[1]: Demand(of_group), GROUPS[2]: Demand(of_role)}
    everywhere = Demands(Demand(of_account), groups)
    assert list(everywhere.naming(MemberKind.USER, ANN)) == [of_account, of_group]
    assert list(everywhere.naming(MemberKind.ROLE, ANN)) == [of_role]
    assert list(everywhere.naming(MemberKind.USER, BOB)) == [of_account, of_group, of_role]
    assert list(everywhere.naming(MemberKind.APP, ANN)) == []
    assert list(Demands(Demand(), groups).naming(MemberKind.USER, ANN)) == [of_group]


@given(demands, st.sampled_from(ASKED))
def test_the_groups_that_guard_something_are_those_whose_own_quorum_stands_before_it(
    asked: Demands, permission: Permission
) -> None:
    before = {guard.subject for group in GROUPS for guard in asked.guards(permission, (group,))}
    assert asked.groups_guarding(permission) == before - {ACCOUNTS[0]}
