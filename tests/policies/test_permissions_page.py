"""docs/permissions.md is what the catalogue, the roles, the vendor's words and the operations say."""

from __future__ import annotations

from collections import Counter

import pytest

from policies.permissions import CATALOGUE, EVERYWHERE, Permission, Scope, in_scope, with_implied
from policies.system_roles import ACCOUNT_ROLES, APP_GRANTABLE, APP_MEMBER, GROUP_ROLES, MEMBER
from tests.policies import permissions_page
from tests.policies.permissions_page import ASKS_FOR_NOTHING, NOTHING, ROOT, named_in, use, uses, words

ONLY_ADMINISTRATORS = "only the system's administrator opens accounts"
# No word of the vendor's means them. Why that is no loss:
WITHOUT_A_WORD = {
    Permission.ACCOUNT_CREATE: ONLY_ADMINISTRATORS,
    Permission.ACCOUNT_GET: "every member has it",
    Permission.PLUGIN_LIST: "every member has it",
    Permission.AUDIT_READ_ACCOUNT: "comes with GET_AUDIT_LOGS in every group",
    Permission.USER_SESSIONS: "comes with UPDATE_USERS_ACCOUNT_ENABLED_STATE",
    Permission.APP_SECRET_RESET: "comes with UPDATE_APPS",
}
# Where permissions are written down, not asked for.
DEFINITIONS = {
    ROOT / "policies" / "permissions.py",
    ROOT / "policies" / "system_roles.py",
    ROOT / "kms" / "api" / "wire" / "flags.py",
    ROOT / "kms" / "api" / "wire" / "names.py",
    ASKS_FOR_NOTHING,
}


def roles_words() -> set[Permission]:
    return {*words().account.values(), *words().group.values()}


def test_the_page_is_the_one_that_would_be_written() -> None:
    assert permissions_page.DOCUMENT.read_text(encoding="utf-8") == permissions_page.document()


def test_the_page_has_one_row_for_every_permission() -> None:
    cells = [
        cell.strip()
        for line in permissions_page.document().splitlines()
        if line.startswith("|")
        for cell in line.split("|")[1:3]
    ]
    rows = Counter(cell for cell in cells if cell.strip("`") in set(Permission))
    assert rows == Counter(f"`{permission}`" for permission in Permission)


def test_a_flag_is_a_permission_of_its_scope() -> None:
    assert set(words().account.values()) <= in_scope(Scope.ACCOUNT)
    assert set(words().group.values()) <= in_scope(Scope.GROUP)
    assert set(words().apps.values()) <= in_scope(Scope.GROUP)


def test_no_permission_has_two_flags_and_no_flag_is_on_the_account_and_in_groups() -> None:
    meant = Counter([*words().account.values(), *words().group.values()])
    assert [permission for permission, count in meant.items() if count > 1] == []
    assert words().account.keys() & words().group.keys() == set()
    assert len(set(words().apps.values())) == len(words().apps)


def test_a_word_of_roles_that_apps_have_too_means_the_same() -> None:
    both = words().group.keys() & words().apps.keys()
    assert both
    assert {word: words().group[word] for word in both} == {word: words().apps[word] for word in both}


def test_every_permission_that_roles_or_apps_give_has_a_word_or_a_reason() -> None:
    given = in_scope(Scope.ACCOUNT) | in_scope(Scope.GROUP)
    assert given - roles_words() - set(words().apps.values()) == WITHOUT_A_WORD.keys()


@pytest.mark.parametrize("permission", [p for p, reason in WITHOUT_A_WORD.items() if reason != ONLY_ADMINISTRATORS])
def test_what_has_no_word_comes_with_something_that_has(permission: Permission) -> None:
    everywhere = {account for group, account in EVERYWHERE.items() if group in roles_words()}
    assert permission in MEMBER | with_implied(frozenset(roles_words() - {permission})) | everywhere


def test_only_the_administrator_holds_what_has_no_word_and_comes_with_nothing() -> None:
    for permission in (p for p, reason in WITHOUT_A_WORD.items() if reason == ONLY_ADMINISTRATORS):
        assert [name for name, role in ACCOUNT_ROLES.items() if permission in role.account] == ["administrator"]


def test_everything_that_apps_can_be_given_has_a_word_or_is_every_apps() -> None:
    assert set(words().apps.values()) == APP_GRANTABLE - APP_MEMBER


def test_an_accounts_administrator_and_auditor_have_in_every_group_what_the_groups_own_have() -> None:
    assert {name: role.all_groups for name, role in ACCOUNT_ROLES.items() if role.all_groups} == GROUP_ROLES


def test_what_the_page_says_opens_nothing_is_asked_for_nowhere() -> None:
    """Not only in the operations: in all of the server's sources."""
    asked: set[Permission] = set()
    for folder in ("kms", "policies", "accounts"):
        for source in set((ROOT / folder).rglob("*.py")) - DEFINITIONS:
            asked |= named_in(source)
    assert asked == uses().keys()
    assert {p for p in Permission if use(p) == NOTHING} & asked == set()


def test_permissions_are_found_where_they_are_asked_for() -> None:
    assert "cryptographic" in uses()[Permission.OBJECT_ENCRYPT]
    assert "inspection" in uses()[Permission.OBJECT_CALCULATE_DIGEST]
    assert uses()[Permission.APPROVAL_REVIEW] == ("policies/reviewers",)
    assert use(Permission.PLUGIN_MANAGE) == NOTHING
    assert use(Permission.OBJECT_MANAGE) == permissions_page.ONLY_IMPLIED


def test_every_permission_without_a_role_says_who_may() -> None:
    assert {CATALOGUE[p].scope for p in Permission} == {Scope.ACCOUNT, Scope.GROUP, *permissions_page.WHO}
