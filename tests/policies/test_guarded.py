"""What each choice of a policy's owner guards: nothing less than always, nothing less for silence, nothing lost."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.guarded import (
    ALWAYS_IN_ACCOUNT,
    ALWAYS_IN_GROUP,
    ALWAYS_ON_OBJECT,
    CHOOSABLE,
    MANAGING,
    SENSITIVE,
    USING,
    AccountProtection,
    GroupProtection,
    account_protection_of,
    group_protection_of,
)
from policies.permissions import CATALOGUE, Permission, Scope
from policies.system_roles import DATA_OPERATIONS, USES_OF_KEYS

maybe = st.none() | st.booleans()
group_choices = st.builds(
    GroupProtection,
    permissions=st.none() | st.frozensets(st.sampled_from(sorted(CHOOSABLE))),
    managing=maybe,
    using=maybe,
)
account_choices = st.builds(AccountProtection, maybe, maybe, maybe, maybe, maybe)
SILENT = GroupProtection()


@given(group_choices)
def test_every_policy_of_a_group_guards_itself_and_the_ways_out(chosen: GroupProtection) -> None:
    ways_out = {Permission.OBJECT_EXPORT, Permission.OBJECT_COPY, Permission.OBJECT_MOVE, Permission.OBJECT_REVERT}
    assert {*ways_out, Permission.GROUP_QUORUM, Permission.GROUP_DELETE, Permission.APP_SECRET_READ} <= ALWAYS_IN_GROUP
    assert {*ways_out, Permission.OBJECT_UPDATE_POLICIES} <= ALWAYS_ON_OBJECT
    assert chosen.guarded() >= ALWAYS_IN_GROUP
    assert chosen.guarded_on_object() >= ALWAYS_ON_OBJECT


@given(account_choices)
def test_every_policy_of_an_account_guards_itself_and_who_administers(chosen: AccountProtection) -> None:
    assert chosen.guarded() >= ALWAYS_IN_ACCOUNT
    assert {Permission.ACCOUNT_QUORUM, Permission.USER_UPDATE_ROLE, Permission.ACCOUNT_DELETE} <= ALWAYS_IN_ACCOUNT


@given(group_choices)
def test_what_was_chosen_is_guarded(chosen: GroupProtection) -> None:
    for guarded in (chosen.guarded(), chosen.guarded_on_object()):
        assert (chosen.permissions or frozenset()) <= guarded
        assert not chosen.managing or guarded >= MANAGING
        assert not chosen.using or guarded >= USING


@given(group_choices)
def test_what_nobody_chose_is_not(chosen: GroupProtection) -> None:
    if chosen.using is not True:
        assert not chosen.guarded() & USING
    if Permission.OBJECT_GET not in (chosen.permissions or ()):
        assert Permission.OBJECT_GET not in chosen.guarded()


@given(maybe)
def test_silence_about_managing_guards_what_is_sensitive_whatever_is_said_of_uses(using: bool | None) -> None:
    assert GroupProtection(using=using).guarded() >= SENSITIVE
    spoken = GroupProtection(managing=False, using=using).guarded()
    assert spoken == GroupProtection(frozenset(), None, using).guarded()
    assert not (spoken - ALWAYS_IN_GROUP) & SENSITIVE


@pytest.mark.parametrize(
    "permission",
    [
        Permission.OBJECT_ROTATE,
        Permission.OBJECT_DELETE,
        Permission.OBJECT_DESTROY,
        Permission.OBJECT_REVOKE,
        Permission.OBJECT_REVERT,
        Permission.OBJECT_DELETE_MATERIAL,
        Permission.OBJECT_UPDATE_OPERATIONS,
        Permission.OBJECT_UPDATE_POLICIES,
        Permission.OBJECT_UPDATE_STATE,
        Permission.GROUP_USERS_ADD,
        Permission.GROUP_USERS_ROLE,
        Permission.GROUP_USERS_REMOVE,
        Permission.GROUP_USERS_MANAGE,
    ],
)
def test_a_policy_that_says_nothing_guards_what_changes_and_ends_keys(permission: Permission) -> None:
    assert permission in SILENT.guarded()


@given(group_choices, group_choices)
def test_choosing_more_never_guards_less(one: GroupProtection, other: GroupProtection) -> None:
    both = GroupProtection(
        (one.permissions or frozenset()) | (other.permissions or frozenset()),
        bool(one.managing or other.managing),
        bool(one.using or other.using),
    )
    spoken = [each for each in (one, other) if each.permissions is not None or each.managing is not None]
    for each in spoken:
        assert each.guarded() <= both.guarded()


@given(account_choices, account_choices)
def test_an_account_that_chooses_more_never_guards_less(one: AccountProtection, other: AccountProtection) -> None:
    both = AccountProtection(
        *(bool(getattr(one, name) or getattr(other, name)) for name in AccountProtection.__slots__)
    )
    assert one.guarded() | other.guarded() == both.guarded()


def test_setting_when_a_key_rotates_by_itself_is_guarded_with_its_rotation() -> None:
    rotation = GroupProtection(frozenset({Permission.OBJECT_ROTATE}))
    assert Permission.OBJECT_UPDATE_POLICIES in rotation.guarded() & rotation.guarded_on_object()


def test_every_permission_on_objects_is_looked_at_managed_or_used() -> None:
    """A new one in the catalogue lands in one of them, and is guarded by whoever guards that."""
    on_objects = {p for p, spec in CATALOGUE.items() if spec.scope is Scope.GROUP and p.startswith("object.")}
    looked_at = {Permission.OBJECT_GET}
    assert looked_at | MANAGING | USING == on_objects
    assert all(not a & b for a, b in itertools.combinations((looked_at, MANAGING, USING), 2))
    assert DATA_OPERATIONS <= USES_OF_KEYS <= USING
    assert looked_at | MANAGING >= CHOOSABLE


def test_only_what_roles_give_is_guarded() -> None:
    """``decide`` asks for no approval of what everybody may do to themselves."""
    everything = GroupProtection(CHOOSABLE, True, True).guarded() | SILENT.guarded()
    everything |= AccountProtection(True, True, True, True, True).guarded()
    assert all(CATALOGUE[p].scope in (Scope.GROUP, Scope.ACCOUNT) for p in everything)


@given(group_choices)
def test_a_groups_choice_is_read_as_it_was_stored(chosen: GroupProtection) -> None:
    assert group_protection_of(json.loads(json.dumps(chosen.stored()))) == chosen


@given(account_choices)
def test_an_accounts_choice_is_read_as_it_was_stored(chosen: AccountProtection) -> None:
    assert account_protection_of(json.loads(json.dumps(chosen.stored()))) == chosen
