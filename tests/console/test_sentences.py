"""Quorums in words, and what is said against them. Pure: no server, no browser."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from kms.console.quorums import guards, tree
from kms.console.quorums.dangers import dangers_of
from kms.console.quorums.sentences import sentence_of, short_of
from kms.console.quorums.tree import Node, Place, Unreadable, read, written

ALICE, BOB, CAROL, DAVE, BACKUP, CHIEF = (f"00000000-0000-0000-0000-00000000000{n}" for n in range(6))
NAMES = {ALICE: "Alice", BOB: "Bob", CAROL: "Carol", DAVE: "Dave", BACKUP: "backup", CHIEF: "Security officer"}


def user(identity: str) -> dict[str, str]:
    return {"user": identity}


def quorum(n: int, *members: dict[str, Any], **asked: bool) -> dict[str, Any]:
    return {"quorum": {"n": n, "members": list(members), **asked}}


@pytest.mark.parametrize(
    ("policy", "sentence"),
    [
        (None, ""),
        (user(ALICE), "Alice must approve."),
        (quorum(1, user(ALICE), user(BOB)), "Either Alice or Bob must approve."),
        (quorum(2, user(ALICE), user(BOB)), "Alice and Bob must approve."),
        (quorum(2, *map(user, (ALICE, BOB, CAROL))), "Any 2 of Alice, Bob and Carol must approve."),
        (
            quorum(2, *map(user, (ALICE, BOB, CAROL)), require_2fa=True),
            "Any 2 of Alice, Bob and Carol must approve, each with a second factor.",
        ),
        (
            quorum(1, user(ALICE), require_password=True, require_2fa=True),
            "Alice must approve, with a password and a second factor.",
        ),
        (
            quorum(2, user(ALICE), user(BOB), quorum(1, user(CAROL), user(DAVE), require_password=True)),
            "Any 2 of Alice, Bob and (either Carol or Dave, each with a password) must approve.",
        ),
        (
            quorum(1, {"app": BACKUP}, {"role": CHIEF}),
            "Either the app backup or someone with the role Security officer must approve.",
        ),
        ({"policy": user(ALICE), "manage_groups": True}, "Alice must approve."),
        ({**quorum(1, user(ALICE)), "protect_crypto_operations": True}, "Alice must approve."),
    ],
)
def test_a_policy_is_said_in_a_sentence(policy: dict[str, Any] | None, sentence: str) -> None:
    assert sentence_of(policy, NAMES) == sentence


def test_who_is_not_known_by_name_is_said_by_id() -> None:
    assert sentence_of(user(ALICE), {}) == "User 00000000 must approve."


def test_a_badge_counts_the_outermost() -> None:
    assert short_of(quorum(2, user(ALICE), user(BOB), quorum(1, user(CAROL)))) == "2 of 3"
    assert short_of(None) == ""


# -- trees ---------------------------------------------------------------------------------------------------------


def test_a_tree_is_written_as_it_was_read() -> None:
    inner = quorum(1, user(CAROL), {"role": CHIEF}, require_password=True, require_2fa=False)
    policy = quorum(2, user(ALICE), inner, {"app": BACKUP}, require_password=False, require_2fa=True)
    assert written(read(policy)) == policy


@pytest.mark.parametrize(
    "wrong",
    [
        {"quorum": 1},
        {"quorum": {"n": 1}},
        {"quorum": {"n": "1", "members": []}},
        {"quorum": {"n": 1, "members": [3]}},
        {"user": "nobody"},
        {"group": ALICE},
        {"quorum": {"n": 1, "members": [user(ALICE)] * 129}},
    ],
)
def test_what_is_no_tree_is_not_read(wrong: dict[str, Any]) -> None:
    with pytest.raises(Unreadable):
        read(wrong)


def test_a_tree_is_not_read_deeper_than_any_quorum_goes() -> None:
    deep: dict[str, Any] = user(ALICE)
    for _ in range(7):
        deep = quorum(1, deep)
    with pytest.raises(Unreadable):
        read(deep)


def test_members_go_in_and_out_of_quorums() -> None:
    root = read(quorum(2, *map(user, (ALICE, BOB, CAROL))))
    tree.indent(root, (1,))
    tree.add(root, (1,), Place("user", DAVE))
    assert sentence_of(written(root), NAMES) == "Any 2 of Alice, (either Bob or Dave) and Carol must approve."
    tree.outdent(root, (1, 0))
    assert sentence_of(written(root), NAMES) == "Any 2 of Alice, Dave, Bob and Carol must approve."
    tree.outdent(root, (1, 0))
    tree.remove(root, (0,))
    assert sentence_of(written(root), NAMES) == "Any 2 of Dave, Bob and Carol must approve."


def test_fewer_members_ask_for_no_more_than_there_are() -> None:
    root = read(quorum(2, user(ALICE), user(BOB)))
    tree.remove(root, (0,))
    assert root.n == 1


@pytest.mark.parametrize("path", [(), (9,), (0, 0), (-1,)])
def test_a_place_that_is_not_there_changes_nothing(path: tuple[int, ...]) -> None:
    root = read(quorum(1, user(ALICE), user(BOB)))
    with pytest.raises(Unreadable):
        tree.remove(root, path)
    assert len(root.members) == 2


# -- dangers -------------------------------------------------------------------------------------------------------


def said(policy: dict[str, Any], viewer: str = DAVE, without: frozenset[str] = frozenset()) -> str:
    return " ".join(danger.text for danger in dangers_of(read(policy), NAMES, viewer, without))


@pytest.mark.parametrize(
    ("policy", "word"),
    [
        (quorum(3, user(ALICE), user(BOB)), "asks for 3 approvals"),
        (quorum(0, user(ALICE)), "no approval at all"),
        (quorum(1, user(ALICE), quorum(1)), "without members"),
        (quorum(1, user(ALICE), user(ALICE)), "twice"),
        (quorum(1, {"app": BACKUP}, user(ALICE), require_2fa=True), "app"),
    ],
)
def test_what_is_impossible_is_said_to_be(policy: dict[str, Any], word: str) -> None:
    found = dangers_of(read(policy), NAMES, DAVE)
    assert [danger for danger in found if danger.impossible and word in danger.text]


def test_what_will_be_regretted_is_said() -> None:
    assert "only one named" in said(user(DAVE))
    assert "When one is away" in said(quorum(2, user(ALICE), user(BOB)))
    assert "several places" in said(quorum(1, user(ALICE), quorum(1, user(ALICE), user(BOB))))
    asked = quorum(1, user(ALICE), user(BOB), require_2fa=True)
    assert "for Bob, who" in said(asked, without=frozenset([BOB]))


def test_a_sound_policy_has_nothing_said_against_it() -> None:
    assert said(quorum(2, *map(user, (ALICE, BOB, CAROL)), require_2fa=True)) == ""
    assert dangers_of(Node(), NAMES, ALICE) == []


# -- what is guarded -----------------------------------------------------------------------------------------------


def test_each_way_of_guarding_has_words_of_its_own() -> None:
    ways: list[dict[str, Any]] = [
        {},
        {"protect_manage_operations": True},
        {"protect_manage_operations": False},
        {"protect_permissions": ["ROTATE_SOBJECTS"]},
        {"protect_crypto_operations": True},
    ]
    told = [guards.sentences_of("group", {"user": ALICE, **way}) for way in ways]
    assert all(one != another for one, another in itertools.combinations(told, 2))
    assert "rotation" in told[3][-1]
