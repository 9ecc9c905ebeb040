"""The catalogue as data: nothing half added, nothing that nobody could ever hold."""

from __future__ import annotations

import runpy
from collections import Counter
from uuid import UUID

import pytest

from accounts.models import AccountRole, GroupRole
from accounts.principal import PrincipalKind
from policies import permissions, system_roles
from policies.permissions import CATALOGUE, EVERYWHERE, Permission, Scope, in_scope, with_implied
from policies.system_roles import (
    ACCOUNT_ROLES,
    APP_ADMINISTRATOR,
    APP_GRANTABLE,
    APP_MEMBER,
    GROUP_ROLES,
    SYSTEM_ROLES,
    RoleKind,
    grantable_to,
    on_account,
)


def test_every_permission_has_a_spec_and_every_spec_a_permission() -> None:
    assert set(CATALOGUE) == set(Permission)


@pytest.mark.parametrize("permission", list(Permission))
def test_every_permission_can_be_held_by_somebody(permission: Permission) -> None:
    if CATALOGUE[permission].scope in (Scope.PUBLIC, Scope.SELF, Scope.HOST):
        return
    assert permission in grantable_to(PrincipalKind.USER) | grantable_to(PrincipalKind.APP)


def test_no_two_permissions_say_the_same() -> None:
    sentences = Counter(spec.sentence for spec in CATALOGUE.values())
    assert [sentence for sentence, count in sentences.items() if count > 1] == []


def test_sentences_continue_no_permission_to() -> None:
    """They are put after "No permission to": lower case, no full stop."""
    for spec in CATALOGUE.values():
        assert spec.sentence[0].islower()
        assert not spec.sentence.endswith(".")


def test_what_is_implied_exists_and_has_the_scope_of_what_implies_it() -> None:
    for spec in CATALOGUE.values():
        assert spec.implies <= set(CATALOGUE)
        assert {CATALOGUE[p].scope for p in spec.implies} <= {spec.scope}


def test_implication_is_reflexive_and_complete_in_one_step() -> None:
    for permission in Permission:
        once = with_implied(frozenset({permission}))
        assert permission in once
        assert with_implied(once) == once


def test_what_is_implied_follows_from_the_catalogue_alone() -> None:
    """The module is read anew, as what it works out it works out once."""
    fresh = runpy.run_path(permissions.__file__, run_name="policies.permissions")
    implies = {str(p): {str(each) for each in spec.implies} for p, spec in fresh["CATALOGUE"].items()}
    assert implies == {str(p): {str(each) for each in spec.implies} for p, spec in CATALOGUE.items()}
    for permission in fresh["Permission"]:
        reached = {str(permission)}
        for _ in implies:
            reached |= {each for one in reached for each in implies[one]}
        assert {str(each) for each in fresh["with_implied"](frozenset({permission}))} == reached


def test_system_roles_have_the_ids_that_policies_already_name() -> None:
    """Read anew, too. An id that changed would leave quorums with places that nobody fills."""
    fresh = runpy.run_path(system_roles.__file__, run_name="policies.system_roles")["SYSTEM_ROLES"]
    assert {(id_, str(role.kind), role.name, role.id) for id_, role in fresh.items()} == {
        (id_, str(role.kind), role.name, role.id) for id_, role in SYSTEM_ROLES.items()
    }
    ids = {(role.kind, role.name): role.id for role in SYSTEM_ROLES.values()}
    assert ids[RoleKind.ACCOUNT, "administrator"] == UUID("1b14897b-d174-5e5e-9c3c-5670eee5f600")
    assert ids[RoleKind.GROUP, "auditor"] == UUID("70e42e35-a434-5cf5-af7f-c900232377c0")


def test_only_group_permissions_are_asked_for_everywhere() -> None:
    assert {spec.scope for spec in CATALOGUE.values() if spec.everywhere} == {Scope.GROUP}


def test_roles_hold_account_permissions_on_the_account_and_group_permissions_in_groups() -> None:
    for role in ACCOUNT_ROLES.values():
        assert role.account <= in_scope(Scope.ACCOUNT)
        assert role.all_groups <= in_scope(Scope.GROUP)
    for held in GROUP_ROLES.values():
        assert held <= in_scope(Scope.GROUP)
    assert in_scope(Scope.GROUP) >= APP_GRANTABLE


def test_every_role_that_a_row_may_name_has_a_spec() -> None:
    assert set(ACCOUNT_ROLES) == set(AccountRole.values)
    assert set(GROUP_ROLES) == set(GroupRole.values)


def test_no_user_holds_an_operation_on_data_whatever_the_role() -> None:
    """Operations on data under a key are for programs."""
    assert Permission.OBJECT_ENCRYPT not in grantable_to(PrincipalKind.USER)
    assert Permission.OBJECT_DECRYPT not in grantable_to(PrincipalKind.USER)
    assert Permission.OBJECT_SIGN not in grantable_to(PrincipalKind.USER)


def test_what_can_be_given_is_what_some_role_or_membership_gives() -> None:
    of_users = {p for role in ACCOUNT_ROLES.values() for p in (*role.account, *role.all_groups)}
    of_users |= {p for held in GROUP_ROLES.values() for p in held}
    assert grantable_to(PrincipalKind.USER) == of_users
    assert grantable_to(PrincipalKind.APP) == {*APP_GRANTABLE, *APP_MEMBER, *APP_ADMINISTRATOR}


@pytest.mark.parametrize(("in_groups", "on_the_account"), EVERYWHERE.items())
def test_what_is_held_in_every_group_may_be_held_on_the_account(
    in_groups: Permission, on_the_account: Permission
) -> None:
    assert on_account(frozenset(), frozenset({in_groups})) == with_implied(frozenset({on_the_account}))
    assert on_account(frozenset(), frozenset()) == frozenset()
    assert on_account(frozenset({in_groups}), frozenset()) == with_implied(frozenset({in_groups}))


def test_auditors_change_nothing() -> None:
    reading = {
        Permission.ACCOUNT_GET,
        Permission.USER_GET,
        Permission.AUDIT_READ_ACCOUNT,
        Permission.EXTERNAL_ROLE_GET,
        Permission.STATISTICS_READ_ACCOUNT,
        Permission.PLUGIN_LIST,
        Permission.PLUGIN_GET,
        Permission.ROLE_GET,
        Permission.ADMIN_APP_GET,
        Permission.APPROVAL_GET,
        Permission.APPROVAL_GET_ALL,
        Permission.APPROVAL_REVIEW,
        Permission.GROUP_GET,
        Permission.APP_GET,
        Permission.OBJECT_GET,
        Permission.AUDIT_READ,
    }
    auditor = ACCOUNT_ROLES["auditor"]
    assert auditor.account | auditor.all_groups | GROUP_ROLES["auditor"] <= reading


def test_every_permission_says_its_own_noun() -> None:
    """``noun.verb``: what is recorded and sorted by."""
    for permission in Permission:
        noun, separator, verb = permission.value.partition(".")
        assert separator
        assert noun
        assert verb
