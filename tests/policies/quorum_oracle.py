"""A slow judge of quorums that is plainly right, and the small trees and votes that Hypothesis draws for it.

It tries all ways in which persons fill places, each person one place at most. It shares nothing with the real judge but
its dataclasses.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from uuid import UUID

from hypothesis import strategies as st

from policies.quorum import MAX_DEPTH, MAX_NESTED, MAX_PLACES, Member, MemberKind, Quorum, Vote

# Where a place is in its tree: the number of the member at each level, from the top.
Path = tuple[int, ...]


def met_by_trying_everything(quorum: Quorum, requester: UUID, votes: Iterable[Vote]) -> bool:
    if not _is_within_bounds(quorum):
        return False
    return any(_is_met(quorum, (), filled) for filled in _ways(quorum, requester, tuple(votes)))


def _is_within_bounds(quorum: Quorum) -> bool:
    every = _quorums_in(quorum, 1)
    seats = [member for each, _ in every for member in each.members if isinstance(member, Member)]
    return len(every) - 1 <= MAX_NESTED and max(depth for _, depth in every) <= MAX_DEPTH and len(seats) <= MAX_PLACES


def _quorums_in(quorum: Quorum, depth: int) -> list[tuple[Quorum, int]]:
    nested = [member for member in quorum.members if isinstance(member, Quorum)]
    return [(quorum, depth), *(found for each in nested for found in _quorums_in(each, depth + 1))]


def _ways(quorum: Quorum, requester: UUID, votes: tuple[Vote, ...]) -> set[frozenset[Path]]:
    """Every set of places that can be filled at once: person by person, who fills one place or stays out."""
    ways: set[frozenset[Path]] = {frozenset()}
    for person in {vote.person for vote in votes} - {requester}:
        open_to = {
            path
            for path, place, password, second_factor in _listed(quorum, (), False, False)
            for vote in votes
            if vote.person == person and _suits(place, password, second_factor, vote)
        }
        ways = ways | {way | {path} for way in ways for path in open_to}
    return ways


def _listed(node: Quorum, at: Path, password: bool, second_factor: bool) -> list[tuple[Path, Member, bool, bool]]:
    """Every place, where it is, and whether it asks for a password and for a second factor."""
    password = password or node.require_password
    second_factor = second_factor or node.require_second_factor
    found: list[tuple[Path, Member, bool, bool]] = []
    for number, member in enumerate(node.members):
        if isinstance(member, Quorum):
            found = found + _listed(member, (*at, number), password, second_factor)
        else:
            found = [*found, ((*at, number), member, password, second_factor)]
    return found


def _suits(place: Member, password: bool, second_factor: bool, vote: Vote) -> bool:
    if password and not vote.password:
        return False
    if second_factor and not vote.second_factor:
        return False
    if place.kind == MemberKind.USER:
        return vote.kind == MemberKind.USER and vote.id == place.id
    if place.kind == MemberKind.APP:
        return vote.kind == MemberKind.APP and vote.id == place.id
    return vote.kind == MemberKind.USER and place.id in vote.roles


def _is_met(node: Member | Quorum, at: Path, filled: frozenset[Path]) -> bool:
    if isinstance(node, Member):
        return at in filled
    met = [member for number, member in enumerate(node.members) if _is_met(member, (*at, number), filled)]
    return 1 <= node.n <= len(met)


# --- what Hypothesis draws ------------------------------------------------------------------------------------------

USERS = tuple(UUID(int=n) for n in range(201, 206))
ROLES = tuple(UUID(int=n) for n in range(221, 224))
# Who stands behind each app: one has two apps, and the last app is nobody's but its own.
OWNERS = {
    UUID(int=211): USERS[0],
    UUID(int=212): USERS[0],
    UUID(int=213): USERS[1],
    UUID(int=214): USERS[2],
    UUID(int=215): UUID(int=215),
}
APPS = tuple(OWNERS)
STRANGER = UUID(int=299)

members = (
    st.sampled_from(USERS).map(lambda user: Member(MemberKind.USER, user))
    | st.sampled_from(APPS).map(lambda app: Member(MemberKind.APP, app))
    | st.sampled_from(ROLES).map(lambda role: Member(MemberKind.ROLE, role))
)
# A flag that is set seldom enough for votes to count now and then.
_seldom = st.sampled_from([False, False, False, True])
_counts = st.sampled_from([1, 1, 2, 2, 3, 4, 0, -1])


def _quorum_over(nodes: st.SearchStrategy[Member | Quorum]) -> st.SearchStrategy[Quorum]:
    return st.builds(Quorum, _counts, st.lists(nodes, max_size=4).map(tuple), _seldom, _seldom)


_nodes: st.SearchStrategy[Member | Quorum] = st.recursive(members, _quorum_over, max_leaves=8)
quorums = _nodes.map(lambda node: node if isinstance(node, Quorum) else Quorum(1, (node,)))

_often = st.sampled_from([True, True, False])
# Built without flatmap and from the sets of roles that there are: most of the tests' time goes into drawing votes.
_SETS_OF_ROLES = [frozenset(some) for many in range(len(ROLES) + 1) for some in combinations(ROLES, many)]
votes_of_users = st.builds(
    lambda user, roles, password, second_factor: Vote(MemberKind.USER, user, user, roles, password, second_factor),
    st.sampled_from(USERS),
    st.sampled_from(_SETS_OF_ROLES),
    _often,
    _often,
)
votes_of_apps = st.builds(
    lambda app, password, second_factor: Vote(
        MemberKind.APP, app, OWNERS[app], password=password, second_factor=second_factor
    ),
    st.sampled_from(APPS),
    _often,
    _often,
)
# A reviewer has one vote. More users than apps: they fit more places.
ballots = st.lists(votes_of_users | votes_of_users | votes_of_apps, max_size=8, unique_by=lambda v: (v.kind, v.id)).map(
    frozenset
)
requesters = st.sampled_from([STRANGER, STRANGER, *USERS, APPS[-1]])
