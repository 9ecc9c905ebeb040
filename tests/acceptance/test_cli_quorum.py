"""The vendor's command line client sets quorum policies, and is told where one stands in its way."""

from __future__ import annotations

from tests.acceptance.conftest import Cli, unique

NEEDS_APPROVAL = "This operation requires approval"


def own_id(cli: Cli) -> str:
    """Of whoever is logged in here."""
    lines = [line.split() for line in cli("list-users").out.splitlines()]
    return next(user for user, email in lines if email == cli.server.email)


def test_a_group_is_made_with_a_quorum_and_guarded_by_it(administrator: Cli) -> None:
    name = unique("guarded")
    policy = ("--add-quorum-policy", "--n", "1", "--users", own_id(administrator))
    group = administrator("create-group", "--name", name, *policy, "--require-password").out
    assert NEEDS_APPROVAL in administrator.refused("delete-group", "--group-id", group)
    assert NEEDS_APPROVAL in administrator.refused("update-group", "--group-id", group, *policy)


def test_a_group_is_given_a_quorum_later(administrator: Cli) -> None:
    name = unique("guarded")
    group = administrator("create-group", "--name", name).out
    policy = ("--add-quorum-policy", "--n", "1", "--users", own_id(administrator))
    assert administrator("update-group", "--name", name, *policy).last == group
    assert NEEDS_APPROVAL in administrator.refused("delete-group", "--name", name)


def test_a_quorum_that_asks_for_more_than_it_has_is_refused(administrator: Cli) -> None:
    policy = ("--add-quorum-policy", "--n", "2", "--users", own_id(administrator))
    refused = administrator.refused("create-group", "--name", unique("never"), *policy)
    assert "no more approvals than it has members" in refused
