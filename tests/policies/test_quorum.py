"""Quorums: the real judge against the slow one, what always holds of it, and examples to read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import combinations, permutations
from random import Random
from time import process_time
from uuid import UUID

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from policies.quorum import Member, MemberKind, Quorum, Vote, faults, may_fill, places, quorum_met
from tests.policies.quorum_oracle import (
    APPS,
    OWNERS,
    ROLES,
    STRANGER,
    USERS,
    ballots,
    members,
    met_by_trying_everything,
    quorums,
    requesters,
    votes_of_apps,
    votes_of_users,
)

ANN, BOB, CAT, DAN, EVE = USERS
ANNS_APP, ANNS_OTHER_APP, BOBS_APP = APPS[:3]
OFFICER, AUDITOR, MANAGER = ROLES
Ballot = frozenset[Vote]


def _user(user: UUID) -> Member:
    return Member(MemberKind.USER, user)


def _app(app: UUID) -> Member:
    return Member(MemberKind.APP, app)


def _role(role: UUID) -> Member:
    return Member(MemberKind.ROLE, role)


def _yes(user: UUID, *roles: UUID, password: bool = False, second_factor: bool = False) -> Vote:
    return Vote(MemberKind.USER, user, user, frozenset(roles), password, second_factor)


def _yes_of_app(app: UUID) -> Vote:
    return Vote(MemberKind.APP, app, OWNERS[app])


def _met(quorum: Quorum, *votes: Vote, requester: UUID = STRANGER) -> bool:
    """The verdict, on which both judges agree."""
    verdict = quorum_met(quorum, requester, votes)
    assert met_by_trying_everything(quorum, requester, votes) is verdict
    return verdict


# --- what always holds ----------------------------------------------------------------------------------------------


@settings(max_examples=500)
@given(quorums, requesters, ballots)
def test_the_judge_says_what_trying_everything_says(quorum: Quorum, requester: UUID, votes: Ballot) -> None:
    assert quorum_met(quorum, requester, votes) is met_by_trying_everything(quorum, requester, votes)


_roles_only = st.sampled_from(ROLES).map(_role) | st.sampled_from(USERS).map(_user)
_groups = st.builds(Quorum, st.integers(1, 3), st.lists(_roles_only, min_size=1, max_size=3).map(tuple))
_crowded = st.builds(Quorum, st.integers(1, 3), st.lists(_roles_only | _groups, min_size=2, max_size=4).map(tuple))


@settings(max_examples=200)
@given(_crowded, st.lists(votes_of_users, min_size=2, max_size=5, unique_by=lambda vote: vote.id))
def test_the_judge_is_right_where_many_fit_many_places(quorum: Quorum, votes: list[Vote]) -> None:
    assert quorum_met(quorum, STRANGER, votes) is met_by_trying_everything(quorum, STRANGER, votes)


@pytest.mark.parametrize("verdict", [True, False])
def test_nested_quorums_of_several_places_come_out_both_ways(verdict: bool) -> None:
    """The draws above would say nothing if every drawn quorum were met, or none."""

    def tells(case: tuple[Quorum, Ballot]) -> bool:
        quorum, votes = case
        nested = any(isinstance(member, Quorum) and member.n > 1 for member in quorum.members)
        return nested and len(votes) > 2 and quorum_met(quorum, STRANGER, votes) is verdict

    quorum, votes = find(
        st.tuples(quorums, ballots),
        tells,
        settings=settings(phases=[Phase.generate], max_examples=2000, derandomize=True, database=None),
    )
    assert met_by_trying_everything(quorum, STRANGER, votes) is verdict


@given(quorums, requesters, ballots, votes_of_users | votes_of_apps)
def test_one_more_vote_never_turns_met_into_unmet(quorum: Quorum, requester: UUID, votes: Ballot, more: Vote) -> None:
    assert quorum_met(quorum, requester, votes | {more}) >= quorum_met(quorum, requester, votes)


@given(quorums, requesters, ballots)
def test_showing_more_or_holding_more_roles_never_turns_met_into_unmet(
    quorum: Quorum, requester: UUID, votes: Ballot
) -> None:
    verdict = quorum_met(quorum, requester, votes)
    assert quorum_met(quorum, requester, {replace(v, password=True, second_factor=True) for v in votes}) >= verdict
    assert quorum_met(quorum, requester, {replace(v, roles=frozenset(ROLES)) for v in votes}) >= verdict


@given(quorums, requesters)
def test_no_quorum_is_met_without_votes(quorum: Quorum, requester: UUID) -> None:
    assert not quorum_met(quorum, requester, ())


@given(ballots, st.integers(-3, 3), st.booleans(), st.booleans())
def test_a_quorum_without_members_is_met_by_nobody(votes: Ballot, n: int, password: bool, second_factor: bool) -> None:
    assert not quorum_met(Quorum(n, (), password, second_factor), STRANGER, votes)


@given(quorums, ballots, st.integers(-3, 0))
def test_none_of_the_members_is_never_enough(quorum: Quorum, votes: Ballot, n: int) -> None:
    assert not quorum_met(replace(quorum, n=n), STRANGER, votes)
    assert not quorum_met(Quorum(1, (replace(quorum, n=n),)), STRANGER, votes)


@given(quorums, ballots, st.integers(1, 3))
def test_more_than_there_are_members_is_met_by_nobody(quorum: Quorum, votes: Ballot, excess: int) -> None:
    assert not quorum_met(replace(quorum, n=len(quorum.members) + excess), STRANGER, votes)


@given(quorums, requesters, ballots)
def test_the_votes_of_the_requester_and_of_their_apps_never_count(
    quorum: Quorum, requester: UUID, votes: Ballot
) -> None:
    others = {vote for vote in votes if requester not in (vote.id, OWNERS.get(vote.id))}
    assert quorum_met(quorum, requester, votes) is quorum_met(quorum, STRANGER, others)


@given(quorums, st.sampled_from(USERS))
def test_the_requester_alone_meets_nothing_with_all_their_apps_and_roles(quorum: Quorum, requester: UUID) -> None:
    own = [_yes(requester, *ROLES), *(_yes_of_app(app) for app, owner in OWNERS.items() if owner == requester)]
    shown = [replace(vote, password=True, second_factor=True) for vote in own]
    assert not quorum_met(quorum, requester, shown)


def _fewest(node: Member | Quorum) -> float:
    """How many persons it takes at least, if each fills one place."""
    if isinstance(node, Member):
        return 1
    cheapest = sorted(_fewest(member) for member in node.members)
    return sum(cheapest[: node.n]) if 1 <= node.n <= len(cheapest) else float("inf")


@given(quorums, requesters, ballots)
def test_one_person_never_fills_two_places(quorum: Quorum, requester: UUID, votes: Ballot) -> None:
    if quorum_met(quorum, requester, votes):
        assert len({vote.person for vote in votes} - {requester}) >= _fewest(quorum)


@given(st.lists(members, min_size=2, max_size=6), st.sampled_from(USERS))
def test_one_person_never_meets_two_of_anything(several: list[Member], person: UUID) -> None:
    own = [_yes(person, *ROLES), *(_yes_of_app(app) for app, owner in OWNERS.items() if owner == person)]
    assert not quorum_met(Quorum(2, tuple(several)), STRANGER, own)
    apart = Quorum(2, tuple(Quorum(1, (member,)) for member in several))
    assert not quorum_met(apart, STRANGER, own)


def _shuffled(quorum: Quorum, data: st.DataObject) -> Quorum:
    inner = [_shuffled(member, data) if isinstance(member, Quorum) else member for member in quorum.members]
    return replace(quorum, members=tuple(data.draw(st.permutations(inner))))


@given(quorums, requesters, ballots, st.data())
def test_the_order_of_votes_and_of_members_does_not_matter(
    quorum: Quorum, requester: UUID, votes: Ballot, data: st.DataObject
) -> None:
    ordered = data.draw(st.permutations(sorted(votes, key=lambda vote: vote.id)))
    verdict = quorum_met(quorum, requester, votes)
    assert quorum_met(_shuffled(quorum, data), requester, [*ordered, *ordered]) is verdict


@given(quorums, requesters, ballots)
def test_what_the_top_requires_only_votes_that_showed_it_count_for(
    quorum: Quorum, requester: UUID, votes: Ballot
) -> None:
    with_password = {vote for vote in votes if vote.password}
    with_second_factor = {vote for vote in votes if vote.second_factor}
    asks_password = replace(quorum, require_password=True)
    asks_second_factor = replace(quorum, require_second_factor=True)
    assert quorum_met(asks_password, requester, votes) is quorum_met(quorum, requester, with_password)
    assert quorum_met(asks_second_factor, requester, votes) is quorum_met(quorum, requester, with_second_factor)


def _asked_below(quorum: Quorum) -> Quorum:
    """The same quorum, with what its top requires written at each of its members instead."""
    wrapped = (member if isinstance(member, Quorum) else Quorum(1, (member,)) for member in quorum.members)
    asked = tuple(
        replace(
            member,
            require_password=member.require_password or quorum.require_password,
            require_second_factor=member.require_second_factor or quorum.require_second_factor,
        )
        for member in wrapped
    )
    return Quorum(quorum.n, asked)


@given(quorums, requesters, ballots, st.booleans(), st.booleans())
def test_what_a_node_requires_is_required_of_everybody_below(
    quorum: Quorum, requester: UUID, votes: Ballot, password: bool, second_factor: bool
) -> None:
    asking = replace(quorum, require_password=password, require_second_factor=second_factor)
    beside = Quorum(1, (asking, _user(EVE)))
    verdict = quorum_met(asking, requester, votes)
    assert quorum_met(_asked_below(asking), requester, votes) is verdict
    assert quorum_met(beside, requester, votes) is quorum_met(
        Quorum(1, (_asked_below(asking), _user(EVE))), requester, votes
    )


@given(quorums, requesters, ballots)
def test_who_is_no_reviewer_makes_no_difference(quorum: Quorum, requester: UUID, votes: Ballot) -> None:
    reviewers = {vote for vote in votes if may_fill(quorum, vote)}
    assert quorum_met(quorum, requester, reviewers) is quorum_met(quorum, requester, votes)


@given(quorums, votes_of_users | votes_of_apps)
def test_who_meets_one_of_the_places_alone_is_a_reviewer(quorum: Quorum, vote: Vote) -> None:
    any_place = Quorum(1, tuple(places(quorum)))
    assert may_fill(quorum, vote) is met_by_trying_everything(any_place, STRANGER, [vote])


# --- examples -------------------------------------------------------------------------------------------------------


def _all_of(members: Iterable[Member]) -> Quorum:
    every = tuple(members)
    return Quorum(len(every), every)


def test_two_of_three() -> None:
    quorum = Quorum(2, (_user(ANN), _user(BOB), _user(CAT)))
    assert not _met(quorum, _yes(ANN))
    assert not _met(quorum, _yes(ANN), _yes(DAN))
    assert _met(quorum, _yes(ANN), _yes(CAT))
    assert not _met(quorum, _yes(ANN), _yes(CAT), requester=CAT)
    assert _met(quorum, _yes(ANN), _yes(BOB), _yes(CAT), requester=CAT)


def test_any_of_them() -> None:
    quorum = Quorum(1, (_user(ANN), _app(BOBS_APP)))
    assert not _met(quorum, _yes(BOB))
    assert _met(quorum, _yes(ANN))
    assert _met(quorum, _yes_of_app(BOBS_APP))


def test_all_of_them() -> None:
    quorum = _all_of([_user(ANN), _user(BOB)])
    assert not _met(quorum, _yes(BOB))
    assert _met(quorum, _yes(ANN), _yes(BOB))
    assert not _met(quorum, _yes(ANN), _yes(BOB), requester=ANN)


def test_a_nested_quorum_is_one_member() -> None:
    quorum = Quorum(2, (_user(ANN), Quorum(2, (_user(BOB), _user(CAT), _user(DAN)))))
    assert not _met(quorum, _yes(BOB), _yes(CAT), _yes(DAN))
    assert not _met(quorum, _yes(ANN), _yes(BOB))
    assert _met(quorum, _yes(ANN), _yes(BOB), _yes(DAN))


def test_several_people_of_one_role_are_the_role_listed_as_often() -> None:
    quorum = _all_of([_role(OFFICER)] * 3)
    assert not _met(quorum, _yes(ANN, OFFICER), _yes(BOB, OFFICER))
    assert not _met(quorum, _yes(ANN, OFFICER), _yes(BOB, OFFICER), _yes(CAT, AUDITOR))
    assert _met(quorum, _yes(ANN, OFFICER), _yes(BOB, OFFICER), _yes(CAT, OFFICER, AUDITOR))


def test_who_holds_both_roles_fills_the_place_that_nobody_else_can() -> None:
    quorum = _all_of([_role(OFFICER), _role(AUDITOR)])
    assert not _met(quorum, _yes(ANN, OFFICER, AUDITOR))
    assert _met(quorum, _yes(ANN, OFFICER, AUDITOR), _yes(BOB, OFFICER))
    assert _met(quorum, _yes(ANN, OFFICER, AUDITOR), _yes(BOB, AUDITOR))


def test_who_is_named_and_holds_the_role_is_one_of_two() -> None:
    quorum = _all_of([_user(ANN), _role(OFFICER)])
    assert not _met(quorum, _yes(ANN, OFFICER))
    assert not _met(quorum, _yes(BOB, OFFICER), _yes(CAT, OFFICER))
    assert _met(quorum, _yes(ANN, OFFICER), _yes(BOB, OFFICER))


def test_who_is_named_in_two_places_fills_one_of_them() -> None:
    quorum = _all_of([_user(ANN), _user(ANN)])
    assert not _met(quorum, _yes(ANN))
    either = Quorum(2, (Quorum(1, (_user(ANN), _user(BOB))), Quorum(1, (_user(ANN), _user(CAT)))))
    assert not _met(either, _yes(ANN))
    assert _met(either, _yes(ANN), _yes(BOB))
    assert _met(either, _yes(ANN), _yes(CAT))


def test_an_app_and_the_person_who_made_it_are_one_person() -> None:
    quorum = Quorum(2, (_user(ANN), _app(ANNS_APP), _app(ANNS_OTHER_APP), _app(BOBS_APP)))
    assert not _met(quorum, _yes(ANN), _yes_of_app(ANNS_APP), _yes_of_app(ANNS_OTHER_APP))
    assert _met(quorum, _yes_of_app(ANNS_APP), _yes_of_app(BOBS_APP))
    assert not _met(quorum, _yes_of_app(ANNS_APP), _yes_of_app(BOBS_APP), requester=ANN)


def test_an_app_holds_no_role_of_a_reviewer() -> None:
    quorum = Quorum(1, (_role(MANAGER),))
    assert not _met(quorum, replace(_yes_of_app(ANNS_APP), roles=frozenset({MANAGER})))
    assert _met(quorum, _yes(ANN, MANAGER))


def test_only_the_branch_that_asks_for_a_second_factor_wants_one() -> None:
    careful = Quorum(1, (_user(BOB), _user(CAT)), require_second_factor=True)
    quorum = Quorum(2, (_user(ANN), careful))
    assert not _met(quorum, _yes(ANN), _yes(BOB, password=True))
    assert _met(quorum, _yes(ANN), _yes(BOB, second_factor=True))
    both = replace(quorum, require_password=True)
    assert not _met(both, _yes(ANN, password=True), _yes(BOB, second_factor=True))
    assert _met(both, _yes(ANN, password=True), _yes(BOB, password=True, second_factor=True))


# --- large trees ----------------------------------------------------------------------------------------------------


def test_sixty_voters_who_are_all_alike_fill_sixty_four_places_but_for_four() -> None:
    """As large as a tree gets: four deep, sixty-four places."""
    eight, sixteen = Quorum(8, (_role(OFFICER),) * 8), Quorum(16, (_role(OFFICER),) * 16)
    voters = [_yes(UUID(int=1000 + number), OFFICER) for number in range(60)]
    below = Quorum(2, (Quorum(2, (sixteen, eight)), eight))
    everybody = Quorum(3, (below, sixteen, sixteen))
    all_but_some = Quorum(3, (replace(below, n=1), sixteen, sixteen))
    assert faults(everybody) is None
    assert not quorum_met(everybody, STRANGER, voters)
    assert quorum_met(all_but_some, STRANGER, voters)
    assert quorum_met(all_but_some, STRANGER, voters[:40])
    assert not quorum_met(all_but_some, STRANGER, voters[:39])


def _hard(random: Random, n: int, size: int) -> Quorum:
    """``n`` of twelve quorums that want the same few people: somebody must be left out, and it matters who."""
    roles = [UUID(int=5000 + number) for number in range(8)]

    def place() -> Member:
        return _user(UUID(int=1000 + random.randrange(40))) if random.random() < 0.5 else _role(random.choice(roles))

    return Quorum(n, tuple(Quorum(size, tuple(place() for _ in range(5))) for _ in range(12)))


@pytest.mark.parametrize("n", [4, 6, 8])
def test_no_tree_within_the_bounds_takes_long_with_two_hundred_voters_of_all_sorts(n: int) -> None:
    random, verdicts = Random(n), set()  # noqa: S311 - draws trees, hides nothing
    for size in (2, 3, 4, 5):
        quorum = _hard(random, n, size)
        voters = [
            _yes(UUID(int=1000 + number), *(UUID(int=5000 + role) for role in range(8) if random.random() < 0.1))
            for number in range(200)
        ]
        for several in (voters[:16], voters):
            started = process_time()
            verdicts.add(quorum_met(quorum, STRANGER, several))
            assert process_time() - started < 1  # some 10 ms; a search that grows with the voters takes minutes
    assert verdicts == {True, False}


def test_a_place_is_given_up_for_another_of_the_same_quorum() -> None:
    """Who came first took a place that only they can fill; they go on to another, so that all find one."""
    pairs = _all_of([_user(ANN), _user(BOB)])
    quorum = Quorum(2, (Quorum(2, (_role(OFFICER), _user(CAT), _user(DAN))), pairs))
    assert _met(quorum, _yes(ANN, OFFICER), _yes(BOB), _yes(CAT), _yes(DAN))
    assert not _met(quorum, _yes(ANN, OFFICER), _yes(BOB), _yes(CAT))


def test_a_place_that_is_being_asked_for_is_not_asked_for_again_on_the_way() -> None:
    """Eve, who sits elsewhere in the quorum, can leave for one of its places; not for the one she is wanted in."""
    five = Quorum(5, (_user(BOB), _user(EVE), _role(OFFICER), _role(MANAGER), _role(AUDITOR)))
    quorum = Quorum(1, (five, Quorum(3, (_user(CAT), _user(BOB), _user(BOB), _user(EVE)))))
    votes = [_yes(CAT, AUDITOR), _yes(BOB, AUDITOR, OFFICER), _yes(EVE, MANAGER, OFFICER), _yes(ANN, AUDITOR, MANAGER)]
    for order in permutations(votes):
        assert _met(quorum, *order)
    for several in combinations(votes, 3):
        assert _met(quorum, *several) is (_yes(ANN, AUDITOR, MANAGER) not in several)
        assert not _met(five, *several)


_large_groups = st.builds(Quorum, st.integers(2, 3), st.lists(_roles_only, min_size=2, max_size=4).map(tuple))
_large = st.builds(
    Quorum, st.integers(1, 3), st.lists(_large_groups | _large_groups | _roles_only, min_size=2, max_size=4).map(tuple)
)


@settings(max_examples=100)
@given(_large, st.lists(votes_of_users, min_size=4, max_size=5, unique_by=lambda vote: vote.id))
def test_the_judge_is_right_where_nested_quorums_want_the_same_people(quorum: Quorum, votes: list[Vote]) -> None:
    assert quorum_met(quorum, STRANGER, votes) is met_by_trying_everything(quorum, STRANGER, votes)


# --- what may be written --------------------------------------------------------------------------------------------

_PAIR = (_user(ANN), _user(BOB))


def _deep(levels: int) -> Quorum:
    return Quorum(1, _PAIR) if levels == 1 else Quorum(1, (_deep(levels - 1), _user(CAT)))


@pytest.mark.parametrize(
    ("quorum", "fault"),
    [
        (Quorum(1, ()), "A quorum has at least one member"),
        (Quorum(1, (_user(ANN), Quorum(1, ()))), "A quorum has at least one member"),
        (Quorum(0, _PAIR), "A quorum asks for at least one approval"),
        (Quorum(1, (_user(CAT), Quorum(-1, _PAIR))), "A quorum asks for at least one approval"),
        (Quorum(3, _PAIR), "A quorum asks for no more approvals than it has members"),
        (Quorum(1, (_user(ANN), _user(ANN))), "A quorum names the same user or app only once"),
        (Quorum(1, (_app(ANNS_APP), _app(ANNS_APP))), "A quorum names the same user or app only once"),
        (
            Quorum(1, (_user(ANN), _app(BOBS_APP)), require_password=True),
            "A quorum that requires a password or a second factor has no apps as members",
        ),
        (
            Quorum(1, (_user(ANN), Quorum(1, (_app(BOBS_APP),))), require_second_factor=True),
            "A quorum that requires a password or a second factor has no apps as members",
        ),
        (_deep(5), "A quorum is nested at most 4 deep"),
        (Quorum(1, tuple(_user(UUID(int=n)) for n in range(65))), "A quorum has at most 64 members in all"),
        (
            Quorum(1, (Quorum(1, (_role(OFFICER),) * 33), Quorum(1, (_role(OFFICER),) * 32))),
            "A quorum has at most 64 members in all",
        ),
        (
            Quorum(1, (*_PAIR, *[_role(OFFICER)] * 31, Quorum(1, (_role(OFFICER),) * 32))),
            "A quorum has at most 64 members in all",
        ),
        (Quorum(1, (Quorum(1, _PAIR),) * 13), "A quorum has at most 12 quorums within it"),
        (Quorum(1, (_deep(2),) * 7), "A quorum has at most 12 quorums within it"),
        (
            Quorum(2, (Quorum(1, (_user(ANN),)), Quorum(1, (_user(ANN),)))),
            "Not even the approval of everybody would meet this quorum, as nobody counts twice",
        ),
    ],
)
def test_what_no_policy_may_have_is_said_in_a_sentence(quorum: Quorum, fault: str) -> None:
    assert faults(quorum) == fault


@pytest.mark.parametrize(
    "quorum",
    [
        Quorum(1, (_user(ANN),)),
        Quorum(2, _PAIR, require_password=True, require_second_factor=True),
        Quorum(3, (_role(OFFICER), _role(OFFICER), _role(OFFICER))),
        Quorum(1, (_role(OFFICER),), require_password=True),
        Quorum(1, (_role(OFFICER),), require_second_factor=True),
        Quorum(3, (_role(OFFICER), _role(AUDITOR), _user(ANN)), require_password=True, require_second_factor=True),
        Quorum(2, (_app(ANNS_APP), Quorum(1, _PAIR, require_password=True))),
        Quorum(2, (Quorum(1, _PAIR), Quorum(1, (_user(ANN), _user(CAT))))),
        Quorum(1, tuple(_user(UUID(int=n)) for n in range(64))),
        Quorum(64, (_role(OFFICER),) * 64),
        Quorum(12, (Quorum(1, (_role(OFFICER),)),) * 12),
        _deep(4),
    ],
)
def test_what_a_policy_may_have_has_no_fault(quorum: Quorum) -> None:
    assert faults(quorum) is None


@pytest.mark.parametrize(
    ("within", "past"),
    [
        (_deep(4), _deep(5)),
        (Quorum(1, (Quorum(1, _PAIR),) * 12), Quorum(1, (Quorum(1, _PAIR),) * 13)),
        (Quorum(1, (_deep(2),) * 6), Quorum(1, (_deep(2),) * 7)),
        (Quorum(1, (_user(ANN), *[_role(OFFICER)] * 63)), Quorum(1, (_user(ANN), *[_role(OFFICER)] * 64))),
    ],
)
def test_a_tree_past_the_bounds_is_met_by_nobody(within: Quorum, past: Quorum) -> None:
    everybody = [_yes(ANN), _yes(BOB, OFFICER), _yes(CAT, OFFICER)]
    assert quorum_met(within, STRANGER, everybody)
    assert not quorum_met(past, STRANGER, everybody)


def _everybody(quorum: Quorum) -> list[Vote]:
    """A vote of everybody who is named, and for each place of a role one by somebody who holds just that."""
    votes = []
    for number, place in enumerate(places(quorum)):
        if place.kind is MemberKind.ROLE:
            votes.append(_yes(UUID(int=900 + number), place.id, password=True, second_factor=True))
        else:
            votes.append(Vote(place.kind, place.id, place.id, password=True, second_factor=True))
    return votes


@given(quorums)
def test_a_tree_without_fault_is_met_by_everybody_together(quorum: Quorum) -> None:
    fault = faults(quorum)
    met = met_by_trying_everything(quorum, STRANGER, _everybody(quorum))
    if fault is None:
        assert met
    if not met:
        assert fault is not None
