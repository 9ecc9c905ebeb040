"""Mutants that behave as the real code does, by the line they have, and why. They count as unnoticed all the same."""

from __future__ import annotations

from collections.abc import Mapping

_READ = "the error is caught by tree_of, which drops its words"
_NOBODYS_ID = "any id will do that is nobody's"

_ANY_NUMBERS = "numbers only tell apart"

EQUIVALENT: Mapping[str, str] = {
    "raise TypeError(None)": _READ,
    'raise TypeError("XXnot as stored_tree writes itXX")': _READ,
    'raise TypeError("NOT AS STORED_TREE WRITES IT")': _READ,
    "everybody = [_vote_for(place, UUID(int=number)) for number, place in enumerate(places(quorum), start=2)]": (
        _NOBODYS_ID
    ),
    "if quorum_met(quorum, None, everybody):": _NOBODYS_ID,
    "return Vote(MemberKind.USER, None, holder, frozenset({place.id}), password=True, second_factor=True)": (
        "for a role it is asked who holds it, not who votes"
    ),
    "self.count -= 1": _ANY_NUMBERS,
    "self.count += 2": _ANY_NUMBERS,
    "return cls(tuple((vote, 2 << number.setdefault(vote.person, len(number))) for vote in votes))": _ANY_NUMBERS,
    "return _Place(open_to, self.count) if (open_to) or True else None": (
        "a place that is open to nobody is filled by nobody; it is left out to save time"
    ),
    "return frozenset().union(*roles, )": "the account's administrator holds all that a group's roles give",
}
