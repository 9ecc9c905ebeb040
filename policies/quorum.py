"""Whether enough people have approved: a pure function over a policy's tree. No Django, no clock, no I/O.

It is monotone in approvals, never met when empty, never by the requester, and no person fills two places of one tree.
An app stands for the person who made it, so nobody approves with an app of theirs what they asked for themselves.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from operator import add, le
from uuid import UUID

from policies.permissions import Permission

# Bounds on a tree, which keep the search for who fills which place small.
MAX_DEPTH, MAX_PLACES, MAX_ROLES = 4, 64, 8


class MemberKind(StrEnum):
    USER = "user"
    APP = "app"
    ROLE = "role"


@dataclass(frozen=True, slots=True)
class Member:
    """A place in a quorum: a user's, an app's, or anybody's who holds a role."""

    kind: MemberKind
    id: UUID


@dataclass(frozen=True, slots=True)
class Quorum:
    """``n`` of the members must approve. What is required here is required of everybody below."""

    n: int
    members: tuple[Member | Quorum, ...]
    require_password: bool = False
    require_second_factor: bool = False


@dataclass(frozen=True, slots=True)
class Vote:
    """An approval as it counts now. ``person`` is who stands behind it; ``roles`` are what that user holds now."""

    kind: MemberKind
    id: UUID
    person: UUID
    roles: frozenset[UUID] = frozenset()
    password: bool = False
    second_factor: bool = False


@dataclass(frozen=True, slots=True)
class Approved:
    """What has been approved so far, by whom, for one request. ``requester`` is the person who asked."""

    request: UUID
    requester: UUID
    votes: frozenset[Vote]


@dataclass(frozen=True, slots=True)
class Guard:
    """A quorum that stands before the permissions it guards. ``subject`` is the account, group or object it is of."""

    subject: UUID
    quorum: Quorum
    guarded: frozenset[Permission]


def quorum_met(quorum: Quorum, requester: UUID, votes: Iterable[Vote]) -> bool:
    counted = frozenset(vote for vote in votes if vote.person != requester)
    return bool(_Search.over(quorum, counted).fillings(quorum, _NOTHING))


def places(quorum: Quorum) -> Iterable[Member]:
    """Every place of the tree."""
    for member in quorum.members:
        if isinstance(member, Quorum):
            yield from places(member)
        else:
            yield member


def may_fill(quorum: Quorum, vote: Vote) -> bool:
    """Whether the one who votes is a reviewer at all, whatever they showed."""
    return any(_fills(place, vote) for place in places(quorum))


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the way down the tree has asked of everybody below."""

    password: bool
    second_factor: bool


_NOTHING = _Asked(password=False, second_factor=False)
# How many of each class fill places. Those who fit one place only are in no class: they stand in nobody's way.
_Filling = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Search:
    """Who fills which place, so that no person fills two.

    Persons who fit several places are taken in classes of those who could stand in for one another: they fit the same
    roles, showed the same, and their own places, if any, are members of one quorum. Then it is enough to count: of a
    class, no more may be used than are in it. A tree of any size that people write has a handful of classes.
    """

    votes: frozenset[Vote]
    class_of: Mapping[UUID, int]
    sizes: tuple[int, ...]

    @classmethod
    def over(cls, quorum: Quorum, votes: frozenset[Vote]) -> _Search:
        keys = {person: key for person, key in _class_keys(quorum, votes)}
        index = {key: number for number, key in enumerate(dict.fromkeys(keys.values()))}
        class_of = {person: index[key] for person, key in keys.items()}
        return cls(votes, class_of, tuple(list(class_of.values()).count(number) for number in index.values()))

    def fillings(self, node: Member | Quorum, asked: _Asked) -> frozenset[_Filling]:
        """The smallest ways to meet the node. Empty: it is not met."""
        if isinstance(node, Member):
            return frozenset(self._one(v.person) for v in self.votes if _fills(node, v) and _showed(v, asked))
        if node.n < 1:
            return frozenset()
        below = _Asked(asked.password or node.require_password, asked.second_factor or node.require_second_factor)
        # by_count[k]: the ways in which k of the members looked at so far are met.
        nobody = frozenset({(0,) * len(self.sizes)})
        by_count = [nobody, *([frozenset[_Filling]()] * node.n)]
        for member in node.members:
            found = self.fillings(member, below)
            for count in range(node.n, 0, -1):
                joined = frozenset(self._joined(by_count[count - 1], found))
                by_count[count] = _smallest(by_count[count] | joined)
        return by_count[node.n]

    def _one(self, person: UUID) -> _Filling:
        return tuple(int(self.class_of.get(person) == number) for number in range(len(self.sizes)))

    def _joined(self, ones: frozenset[_Filling], others: frozenset[_Filling]) -> Iterator[_Filling]:
        for one, other in product(ones, others):
            both = tuple(map(add, one, other))
            if all(map(le, both, self.sizes)):
                yield both


def _class_keys(quorum: Quorum, votes: frozenset[Vote]) -> Iterator[tuple[UUID, Hashable]]:
    """Each person who could fill more than one place, and what those have in common who can stand in for them."""
    every = tuple(_with_parents(quorum))
    for person in {vote.person for vote in votes}:
        own = tuple(vote for vote in votes if vote.person == person)
        fitting = [(place, parent) for place, parent in every if any(_fills(place, vote) for vote in own)]
        if len(fitting) < 2:
            continue
        named = [parent for place, parent in fitting if place.kind is not MemberKind.ROLE]
        roles = frozenset(place.id for place, _ in fitting if place.kind is MemberKind.ROLE)
        if len(own) > 1 or len(named) > 1:
            yield person, person
        else:
            yield person, (roles, tuple(named), own[0].password, own[0].second_factor)


def _with_parents(quorum: Quorum, at: tuple[int, ...] = ()) -> Iterator[tuple[Member, tuple[int, ...]]]:
    """Every place with the way to the quorum it is a member of."""
    for number, member in enumerate(quorum.members):
        if isinstance(member, Quorum):
            yield from _with_parents(member, (*at, number))
        else:
            yield member, at


def _smallest(fillings: frozenset[_Filling]) -> frozenset[_Filling]:
    return frozenset(one for one in fillings if not any(o != one and all(map(le, o, one)) for o in fillings))


def _showed(vote: Vote, asked: _Asked) -> bool:
    return (vote.password or not asked.password) and (vote.second_factor or not asked.second_factor)


def _fills(place: Member, vote: Vote) -> bool:
    if place.kind is MemberKind.ROLE:
        return vote.kind is MemberKind.USER and place.id in vote.roles
    return place.kind is vote.kind and place.id == vote.id
