"""Quorum policies in rows: what was written is read again, and what does not read is met by nobody."""

from __future__ import annotations

import copy
import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.permissions import Permission
from policies.quorum import Guard, Member, MemberKind, Quorum, Vote, quorum_met
from policies.stored import UNREADABLE, guard_of, stored_tree, tree_of
from tests.policies.quorum_oracle import ROLES, STRANGER, USERS, ballots, quorums
from tests.policies.strategies import permission_sets

SUBJECT = UUID(int=301)
ANN, BOB = USERS[:2]
TWO = Quorum(2, (Member(MemberKind.USER, ANN), Quorum(1, (Member(MemberKind.USER, BOB),))))
# Everybody says yes, with all they have.
EVERYBODY = frozenset(Vote(MemberKind.USER, user, user, frozenset(ROLES), True, True) for user in USERS)


def _as_a_row_keeps_it(tree: Any) -> Any:
    return json.loads(json.dumps(tree))


@given(quorums)
def test_a_tree_that_was_stored_is_read_as_it_was(quorum: Quorum) -> None:
    assert tree_of(_as_a_row_keeps_it(stored_tree(quorum))) == quorum


@given(quorums, ballots)
def test_a_tree_that_was_stored_is_met_as_it_was(quorum: Quorum, votes: frozenset[Vote]) -> None:
    read = tree_of(_as_a_row_keeps_it(stored_tree(quorum)))
    assert quorum_met(read, STRANGER, votes) is quorum_met(quorum, STRANGER, votes)


@given(quorums, quorums)
def test_two_trees_that_differ_are_stored_differently(one: Quorum, other: Quorum) -> None:
    assert (stored_tree(one) == stored_tree(other)) is (one == other)


_junk: st.SearchStrategy[Any] = st.sampled_from(
    [None, "", "many", [], {}, "user", ["user"], {"kind": "user"}, {"n": 1}, {"members": []}]
)


@pytest.mark.parametrize("key", ["n", "members", "require_password", "require_second_factor"])
@given(quorum=quorums)
def test_a_tree_without_one_of_its_parts_is_met_by_nobody(key: str, quorum: Quorum) -> None:
    damaged = stored_tree(quorum)
    del damaged[key]
    assert not quorum_met(tree_of(damaged), STRANGER, EVERYBODY)


@pytest.mark.parametrize("n", [None, "", "many", "two", [], {}, [1], {"n": 1}])
def test_a_number_that_does_not_read_is_met_by_nobody(n: Any) -> None:
    assert quorum_met(tree_of(stored_tree(TWO)), STRANGER, EVERYBODY)
    assert not quorum_met(tree_of({**stored_tree(TWO), "n": n}), STRANGER, EVERYBODY)


@pytest.mark.parametrize("key", ["n", "require_password", "require_second_factor"])
@pytest.mark.parametrize("value", [None, 1.0, "true", "false", [], {}])
def test_one_part_that_is_not_as_it_was_written_makes_the_whole_unreadable(key: str, value: Any) -> None:
    assert tree_of({**stored_tree(TWO), key: value}) == UNREADABLE


@pytest.mark.parametrize("key", ["require_password", "require_second_factor"])
@pytest.mark.parametrize("value", [0, 1])
def test_a_number_is_no_yes_or_no(key: str, value: int) -> None:
    assert tree_of({**stored_tree(TWO), key: value}) == UNREADABLE


@given(st.lists(_junk, min_size=1, max_size=3), st.integers(0, 2))
def test_members_that_do_not_read_fill_no_place(junk: list[Any], n: int) -> None:
    assert not quorum_met(tree_of({**stored_tree(TWO), "n": n, "members": junk}), STRANGER, EVERYBODY)


@pytest.mark.parametrize("members", [None, 7, "", "many", {}, {"members": []}, {"kind": "user", "id": str(ANN)}])
def test_members_that_are_no_list_fill_no_place(members: Any) -> None:
    assert not quorum_met(tree_of({**stored_tree(TWO), "n": 1, "members": members}), STRANGER, EVERYBODY)


@pytest.mark.parametrize(
    "member",
    [
        {"kind": "user", "id": "nobody"},
        {"kind": "user", "id": 7},
        {"kind": "user", "id": None},
        {"kind": "user"},
        {"kind": "plugin", "id": str(ANN)},
        {"kind": None, "id": str(ANN)},
        {"kind": ["user"], "id": str(ANN)},
        {"id": str(ANN)},
        {},
        str(ANN),
        None,
        7,
    ],
)
def test_one_member_that_does_not_read_spoils_its_quorum(member: Any) -> None:
    """Nobody knows who was meant, so those who do read are not enough either."""
    any_of_them = {**stored_tree(TWO), "n": 1}
    assert quorum_met(tree_of(any_of_them), STRANGER, EVERYBODY)
    spoilt = {**any_of_them, "members": [*any_of_them["members"], member]}
    assert not quorum_met(tree_of(spoilt), STRANGER, EVERYBODY)


@pytest.mark.parametrize("tree", [{}, {"n": 1}, {"members": []}, {"kind": "user", "id": str(ANN)}, [], "", "all", 7])
def test_what_is_no_tree_at_all_is_met_by_nobody(tree: Any) -> None:
    assert not quorum_met(tree_of(tree), STRANGER, EVERYBODY)


def _spots(tree: Any) -> list[tuple[Any, Any]]:
    """Every part of a stored tree that holds who must approve, as what holds it and where in that it is."""
    found: list[tuple[Any, Any]] = [(tree, "members")]
    for number, member in enumerate(tree["members"]):
        found.append((tree["members"], number))
        found.extend(_spots(member) if "members" in member else [(member, "kind"), (member, "id")])
    return found


@given(quorums, ballots, _junk, st.data())
def test_damage_anywhere_never_makes_a_quorum_easier(
    quorum: Quorum, votes: frozenset[Vote], junk: Any, data: st.DataObject
) -> None:
    damaged = copy.deepcopy(stored_tree(quorum))
    spots = _spots(damaged)
    holder, at = spots[data.draw(st.integers(0, len(spots) - 1))]
    holder[at] = junk
    for ballot in (votes, EVERYBODY):
        assert quorum_met(tree_of(damaged), STRANGER, ballot) <= quorum_met(quorum, STRANGER, ballot)


# --- guards ---------------------------------------------------------------------------------------------------------


@given(quorums, permission_sets)
def test_a_guard_is_read_as_it_was_written(quorum: Quorum, guarded: frozenset[Permission]) -> None:
    names = sorted(permission.value for permission in guarded)
    assert guard_of(SUBJECT, _as_a_row_keeps_it(stored_tree(quorum)), names) == Guard(SUBJECT, quorum, guarded)


@given(quorums, permission_sets, st.lists(st.sampled_from(["object.teleport", "", "OBJECT.GET", "object"])), st.data())
def test_names_that_nobody_knows_are_passed_over_and_the_known_still_guarded(
    quorum: Quorum, guarded: frozenset[Permission], unknown: list[str], data: st.DataObject
) -> None:
    names = data.draw(st.permutations([*(permission.value for permission in guarded), *unknown]))
    guard = guard_of(SUBJECT, stored_tree(quorum), names)
    assert guard is not None
    assert guard.guarded == guarded


@given(permission_sets)
def test_a_row_without_a_quorum_guards_nothing(guarded: frozenset[Permission]) -> None:
    assert guard_of(SUBJECT, None, guarded) is None


@pytest.mark.parametrize("damaged", [{}, {"n": 1}, {"members": []}, {"n": "many", "members": []}])
def test_a_damaged_quorum_still_guards_and_lets_nobody_through(damaged: dict[str, Any]) -> None:
    guard = guard_of(SUBJECT, damaged, [Permission.OBJECT_DELETE.value])
    assert guard is not None
    assert guard.guarded == {Permission.OBJECT_DELETE}
    assert not quorum_met(guard.quorum, STRANGER, EVERYBODY)
