"""Quorum policies as rows keep them, and back. Pure: no Django, no clock, no I/O.

A stored tree that does not read is no policy anybody meets: it guards, and its quorum is never met.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from policies.permissions import permissions_named
from policies.quorum import Guard, Member, MemberKind, Quorum

UNREADABLE = Quorum(1, ())


def stored_tree(quorum: Quorum) -> dict[str, Any]:
    return {
        "n": quorum.n,
        "require_password": quorum.require_password,
        "require_second_factor": quorum.require_second_factor,
        "members": [
            stored_tree(member) if isinstance(member, Quorum) else {"kind": member.kind.value, "id": str(member.id)}
            for member in quorum.members
        ],
    }


def tree_of(stored: Mapping[str, Any]) -> Quorum:
    """A damaged part anywhere makes the whole tree unreadable: a quorum is never weaker than it was meant."""
    try:
        return _read(stored)
    except (KeyError, TypeError, ValueError, AttributeError):
        return UNREADABLE


def _read(stored: Mapping[str, Any]) -> Quorum:
    number, password, factor = stored["n"], stored["require_password"], stored["require_second_factor"]
    if type(number) is not int or type(password) is not bool or type(factor) is not bool:
        raise TypeError("not as stored_tree writes it")
    return Quorum(number, tuple(_member_of(member) for member in stored["members"]), password, factor)


def guard_of(subject: UUID, quorum: Mapping[str, Any] | None, guarded: Iterable[str]) -> Guard | None:
    """The guard that a row describes; None when it has no quorum."""
    if quorum is None:
        return None
    return Guard(subject, tree_of(quorum), permissions_named(name for name in guarded if isinstance(name, str)))


def _member_of(stored: Mapping[str, Any]) -> Member | Quorum:
    if "members" in stored:
        return _read(stored)
    return Member(MemberKind(stored["kind"]), UUID(stored["id"]))
