"""Whether enough people have approved: a pure function over a policy's tree. No Django, no clock, no I/O.

It is monotone in approvals, never met when empty, never by the requester, and no person fills two places of one tree.
An app stands for the person who made it, so nobody approves with an app of theirs what they asked for themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from policies.permissions import Permission

# Bounds on a tree, counting all of it. Which of the nested quorums are to be met is tried out, so their number is what
# a judgement costs: 2 to the power of it at worst (tests/bench/quorums.py). A tree past a bound is met by nobody.
MAX_DEPTH, MAX_PLACES, MAX_NESTED = 4, 64, 12


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
    if _oversize(quorum) is not None:
        return False
    counted = [vote for vote in votes if vote.person != requester]
    top = _Reading.of(counted).read(quorum, _NOTHING)
    return top is not None and _can_all_be_met((_as_row(top),), _Seating())


def faults(quorum: Quorum) -> str | None:
    """In a sentence, why no policy may have this quorum. None: it may."""
    return _oversize(quorum) or _malformed(quorum, _NOTHING) or _unattainable(quorum)


def places(quorum: Quorum) -> Iterator[Member]:
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

    def and_of(self, quorum: Quorum) -> _Asked:
        return _Asked(self.password or quorum.require_password, self.second_factor or quorum.require_second_factor)


_NOTHING = _Asked(password=False, second_factor=False)


def _showed(vote: Vote, asked: _Asked) -> bool:
    return (vote.password or not asked.password) and (vote.second_factor or not asked.second_factor)


def _fills(place: Member, vote: Vote) -> bool:
    if place.kind is MemberKind.ROLE:
        return vote.kind is MemberKind.USER and place.id in vote.roles
    return place.kind is vote.kind and place.id == vote.id


# --- what may be written --------------------------------------------------------------------------------------------


def _nested(quorum: Quorum) -> tuple[Quorum, ...]:
    return tuple(member for member in quorum.members if isinstance(member, Quorum))


def _oversize(quorum: Quorum) -> str | None:
    """Looks no deeper than the bound, whatever it is handed."""
    level: tuple[Quorum, ...] = (quorum,)
    nested, seats, depth = -1, 0, 0
    while level:
        depth += 1
        nested += len(level)
        if depth > MAX_DEPTH:
            return f"A quorum is nested at most {MAX_DEPTH} deep"
        if nested > MAX_NESTED:
            return f"A quorum has at most {MAX_NESTED} quorums within it"
        below = tuple(member for each in level for member in _nested(each))
        seats += sum(len(each.members) for each in level) - len(below)
        level = below
    return f"A quorum has at most {MAX_PLACES} members in all" if seats > MAX_PLACES else None


def _malformed(quorum: Quorum, above: _Asked) -> str | None:
    asked = above.and_of(quorum)
    named = [member for member in quorum.members if isinstance(member, Member) and member.kind is not MemberKind.ROLE]
    if not quorum.members:
        return "A quorum has at least one member"
    if quorum.n < 1:
        return "A quorum asks for at least one approval"
    if quorum.n > len(quorum.members):
        return "A quorum asks for no more approvals than it has members"
    if len(set(named)) < len(named):
        return "A quorum names the same user or app only once"
    if asked != _NOTHING and any(member.kind is MemberKind.APP for member in named):
        return "A quorum that requires a password or a second factor has no apps as members"
    return next((fault for each in _nested(quorum) if (fault := _malformed(each, asked))), None)


def _unattainable(quorum: Quorum) -> str | None:
    """With everybody's approval, and for each place of a role somebody who holds just that."""
    everybody = [_vote_for(place, UUID(int=number)) for number, place in enumerate(places(quorum), start=1)]
    if quorum_met(quorum, _NOBODY, everybody):
        return None
    return "Not even the approval of everybody would meet this quorum, as nobody counts twice"


_NOBODY = UUID(int=0)


def _vote_for(place: Member, holder: UUID) -> Vote:
    if place.kind is MemberKind.ROLE:
        return Vote(MemberKind.USER, holder, holder, frozenset({place.id}), password=True, second_factor=True)
    return Vote(place.kind, place.id, place.id, password=True, second_factor=True)


# --- the search -----------------------------------------------------------------------------------------------------
# Persons are bits, so that a place is a number: everybody who may fill it. A person's votes are one bit.


@dataclass(frozen=True, slots=True)
class _Place:
    """``open_to`` are the persons who may fill it. Two places that are open to the same are alike, not the same."""

    open_to: int
    number: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class _Row:
    """``n`` of all this are to be met. Nothing in it is out of reach of those who voted, looked at alone."""

    n: int
    places: tuple[_Place, ...]
    nested: tuple[_Row, ...] = ()


@dataclass(slots=True)
class _Reading:
    """A tree, read for those who voted: what no vote can meet is left out, what any one person can meet is a place."""

    bits: tuple[tuple[Vote, int], ...]
    count: int = 0

    @classmethod
    def of(cls, votes: Iterable[Vote]) -> _Reading:
        number: dict[UUID, int] = {}
        return cls(tuple((vote, 1 << number.setdefault(vote.person, len(number))) for vote in votes))

    def read(self, node: Member | Quorum, asked: _Asked) -> _Place | _Row | None:
        if isinstance(node, Member):
            return self._place(bit for vote, bit in self.bits if _fills(node, vote) and _showed(vote, asked))
        below = asked.and_of(node)
        found = [part for part in (self.read(member, below) for member in node.members) if part is not None]
        if not 1 <= node.n <= len(found):
            return None
        seats = tuple(part for part in found if isinstance(part, _Place))
        nested = tuple(part for part in found if isinstance(part, _Row))
        if node.n == 1 and not nested:
            return self._place(place.open_to for place in seats)
        return _Row(node.n, seats, nested)

    def _place(self, persons: Iterable[int]) -> _Place | None:
        open_to = 0
        for each in persons:
            open_to |= each
        self.count += 1
        return _Place(open_to, self.count) if open_to else None


def _as_row(part: _Place | _Row) -> _Row:
    return part if isinstance(part, _Row) else _Row(1, (part,))


def _can_all_be_met(rows: tuple[_Row, ...], seating: _Seating) -> bool:
    """Whether all the rows can be met at once, by persons who are not yet needed or can be moved."""
    if not rows:
        return True
    row, *others = rows
    rest = tuple(others)
    if row.n > len(row.places) + len(row.nested):
        return False
    if row.n == 0:
        return _can_all_be_met(rest, seating)
    if not row.nested:
        seated = seating.with_row(row)
        return seated is not None and _can_all_be_met(rest, seated)
    first, *more = row.nested
    with_it = (first, _Row(row.n - 1, row.places, tuple(more)), *rest)
    # If it is left out, so are those that are like it: they are no easier to meet.
    without_it = (_Row(row.n, row.places, tuple(each for each in more if each != first)), *rest)
    return _can_all_be_met(with_it, seating) or _can_all_be_met(without_it, seating)


@dataclass(slots=True)
class _Seating:
    """Who fills which place: a matching that grows by augmenting paths, so that nobody is seated for good.

    A row takes its number of places, and may take others of its places instead.
    """

    seat_of: dict[int, _Place] = field(default_factory=dict)
    row_of: dict[int, _Row] = field(default_factory=dict)
    seated: int = 0
    # The places and persons that were looked at on the way to seat one more.
    passed: set[int] = field(default_factory=set)
    asked: int = 0

    def with_row(self, row: _Row) -> _Seating | None:
        """The seating with this row too. None: there is none."""
        more = _Seating(dict(self.seat_of), dict(self.row_of), self.seated)
        for _ in range(row.n):
            more.passed, more.asked = set(), 0
            if not more._fill_one_more(row):
                return None
        return more

    def _fill_one_more(self, row: _Row) -> bool:
        for place in row.places:
            if place.number not in self.row_of and place.number not in self.passed:
                self.passed.add(place.number)
                if self._find_somebody(place):
                    self.row_of[place.number] = row
                    return True
        return False

    def _find_somebody(self, place: _Place) -> bool:
        """Somebody who is free, or who can leave the place they fill."""
        free = place.open_to & ~self.seated
        if free:
            return self._seat(free & -free, place)
        while candidates := place.open_to & ~self.asked:
            person = candidates & -candidates
            self.asked |= person
            if self._can_be_spared(self.seat_of[person]):
                return self._seat(person, place)
        return False

    def _can_be_spared(self, seat: _Place) -> bool:
        """Whether somebody else fills the place, or its row does without it."""
        if self._find_somebody(seat):
            return True
        if self._fill_one_more(self.row_of[seat.number]):
            del self.row_of[seat.number]
            return True
        return False

    def _seat(self, person: int, place: _Place) -> bool:
        self.seated |= person
        self.seat_of[person] = place
        return True
