"""Explanations say of every decision what decides it, and never otherwise than the decision itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import cast
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.principal import ANONYMOUS, PrincipalKind
from accounts.second_factor import Lack
from policies.decision import AccessRequest, Allow, Facts, Forbid, NeedsApproval, StepUp, decide
from policies.explanation import Check, Explanation, Place, Rule, Source, SourceKind, Standing, explain
from policies.permissions import CATALOGUE, EVERYWHERE, Permission, Scope, with_implied
from policies.quorum import Approved, Guard, Member, MemberKind, Quorum, Vote
from tests.policies.quorum_oracle import USERS
from tests.policies.strategies import ACCOUNTS, APP, BOUND, GROUPS, NOW, facts, permission_sets, requests, target_in
from tests.policies.test_decision_quorum import guarded_facts, guarded_requests

ROTATE = Permission.OBJECT_ROTATE


def refused(explanation: Explanation) -> list[str]:
    return [check.refused for check in explanation.checks if check.refused is not None]


# -- the verdict ---------------------------------------------------------------------------------------------------


@given(requests, facts)
def test_the_first_rule_that_is_not_met_is_why_the_decision_is_as_it_is(request: AccessRequest, known: Facts) -> None:
    explanation, decision = explain(request, known), decide(request, known)
    assert explanation.decision == decision
    if isinstance(decision, Allow):
        assert refused(explanation) == []
    else:
        assert refused(explanation)[0] == decision.reason
        deciding = next(check for check in explanation.checks if check.refused is not None)
        assert explanation.rule is deciding.rule


@given(guarded_requests, guarded_facts)
def test_quorums_are_explained_as_they_are_judged(request: AccessRequest, known: Facts) -> None:
    explanation, decision = explain(request, known), decide(request, known)
    assert explanation.decision == decision
    assert (refused(explanation) or [decision.reason])[0] == decision.reason
    if isinstance(decision, NeedsApproval):
        unmet = {each.guard.subject for each in explanation.quorums if not each.met}
        assert unmet == set(decision.policies)
        assert refused(explanation) == ["approval-needed"]


@given(requests)
def test_an_unknown_permission_is_explained_as_one(request: AccessRequest) -> None:
    unknown = replace(request, permission=cast("Permission", "object.teleport"))
    explanation = explain(unknown, Facts())
    assert (explanation.rule, refused(explanation)) == (Rule.PERMISSION, ["unknown-permission"])
    assert explanation.decision == decide(unknown, Facts())


def asked(permission: Permission = ROTATE, groups: tuple[UUID, ...] = GROUPS[:1], **parts: object) -> AccessRequest:
    return AccessRequest(APP, permission, target_in(groups, **parts), NOW)


def holding(permission: Permission = ROTATE, **parts: object) -> Facts:
    return Facts(groups={GROUPS[0]: with_implied(frozenset({permission}))}, **parts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("request_", "known", "rule", "reason"),
    [
        (replace(asked(), principal=ANONYMOUS), Facts(), Rule.CALLER, "anonymous"),
        (replace(asked(), principal=replace(APP, expires_at=NOW)), holding(), Rule.CALLER, "session-expired"),
        (asked(Permission.USER_RESCUE), Facts(), Rule.CALLER, "not-the-host"),
        (asked(), holding(forbids=(Forbid("user-disabled", "no"),)), Rule.CALLER, "user-disabled"),
        (asked(), holding(lack=Lack.PROOF), Rule.LOGIN, Lack.PROOF),
        (
            replace(asked(Permission.SESSION_LIST), principal=replace(APP, provider=ACCOUNTS[2])),
            Facts(),
            Rule.OWN_LOGIN,
            "vouched-for",
        ),
        (replace(asked(), principal=replace(APP, account=None)), holding(), Rule.ACCOUNT, "no-account-selected"),
        (replace(asked(), principal=replace(APP, account=ACCOUNTS[1])), holding(), Rule.VISIBLE, "not-visible"),
        (asked(see=Permission.OBJECT_GET), Facts(), Rule.VISIBLE, "not-visible"),
        (asked(see=Permission.OBJECT_GET), holding(Permission.OBJECT_GET), Rule.GRANTED, "not-granted"),
        (asked(forbids=(Forbid("object-disabled", "no"),)), holding(), Rule.TARGET, "object-disabled"),
        (
            asked(Permission.OBJECT_EXPORT),
            holding(Permission.OBJECT_EXPORT, step_up=StepUp(60, None)),
            Rule.FRESH,
            "step-up-needed",
        ),
        (
            asked(guards=(Guard(UUID(int=400), Quorum(1, ()), frozenset({ROTATE})),)),
            holding(),
            Rule.QUORUM,
            "approval-needed",
        ),
    ],
    ids=lambda value: value.value if isinstance(value, Rule) else "",
)
def test_the_rule_that_decides_is_named(request_: AccessRequest, known: Facts, rule: Rule, reason: str) -> None:
    explanation = explain(request_, known)
    assert (explanation.rule, explanation.decision.reason) == (rule, reason)
    assert refused(explanation)[0] == reason


@pytest.mark.parametrize(
    ("request_", "known"),
    [
        (asked(Permission.ACCOUNT_UPDATE, ()), Facts(account=frozenset({Permission.ACCOUNT_UPDATE}))),
        (asked(), Facts(all_groups=frozenset({ROTATE}))),
        (asked(groups=GROUPS[:2]), holding()),
        (asked(Permission.OBJECT_EXPORT), holding(Permission.OBJECT_EXPORT)),
        (
            asked(Permission.OBJECT_EXPORT),
            holding(Permission.OBJECT_EXPORT, step_up=StepUp(60, NOW - timedelta(seconds=60))),
        ),
    ],
    ids=["on-the-account", "in-all-groups", "in-one-of-its-groups", "no-age-asked-for", "in-its-last-instant"],
)
def test_nothing_stands_against_what_is_allowed(request_: AccessRequest, known: Facts) -> None:
    explanation = explain(request_, known)
    assert explanation.decision == Allow("granted")
    assert refused(explanation) == []
    assert explanation.rule is Rule.QUORUM


FIRST = [Rule.PERMISSION, Rule.CALLER, Rule.LOGIN]
RIGHTS = [Rule.ACCOUNT, Rule.VISIBLE, Rule.GRANTED]


@pytest.mark.parametrize(
    ("request_", "known", "rules"),
    [
        (asked(Permission.SESSION_CREATE), Facts(), [Rule.PERMISSION]),
        (
            replace(asked(Permission.USER_RESCUE), principal=replace(APP, kind=PrincipalKind.SYSTEM)),
            Facts(),
            [Rule.PERMISSION, Rule.CALLER],
        ),
        (asked(Permission.SESSION_MANAGE), Facts(lack=Lack.PROOF), [*FIRST, Rule.TARGET]),
        (asked(Permission.OWN_USER_DELETE), Facts(), [*FIRST, Rule.OWN_LOGIN, Rule.TARGET, Rule.FRESH]),
        (asked(), holding(), [*FIRST, *RIGHTS, Rule.TARGET, Rule.QUORUM]),
        (
            asked(Permission.OBJECT_EXPORT),
            holding(Permission.OBJECT_EXPORT),
            [*FIRST, *RIGHTS, Rule.TARGET, Rule.FRESH, Rule.QUORUM],
        ),
    ],
    ids=["public", "the-hosts", "finishes-a-login", "concerns-the-person", "of-a-role", "of-a-role-and-sensitive"],
)
def test_every_rule_that_applies_is_told_in_order(request_: AccessRequest, known: Facts, rules: list[Rule]) -> None:
    assert explain(request_, known).checks == tuple(Check(rule) for rule in rules)


def test_each_quorum_is_named_with_whether_it_is_met_and_a_requesters_yes_is_none() -> None:
    anns, bobs = (Quorum(1, (Member(MemberKind.USER, user),)) for user in USERS[:2])
    guards = tuple(Guard(UUID(int=400 + n), quorum, frozenset({ROTATE})) for n, quorum in enumerate((anns, bobs)))
    votes = frozenset(Vote(MemberKind.USER, user, user) for user in USERS[:2])
    request = replace(asked(guards=guards), approved=Approved(UUID(int=501), USERS[0], votes))
    explanation = explain(request, holding())
    assert explanation.quorums == (Standing(guards[0], met=False), Standing(guards[1], met=True))
    assert refused(explanation) == ["approval-needed"]
    by_another = explain(replace(request, approved=Approved(UUID(int=501), APP.id, votes)), holding())
    assert (by_another.decision, refused(by_another)) == (Allow("approved"), [])
    nobody_asked = explain(replace(request, approved=None), holding())
    assert [each.met for each in nobody_asked.quorums] == [False, False]


def test_what_stands_against_it_further_on_is_named_as_well() -> None:
    known = replace(Facts(), forbids=(Forbid("app-disabled", "no"),))
    explanation = explain(asked(forbids=(Forbid("object-disabled", "no"),)), known)
    assert explanation.rule is Rule.CALLER
    assert refused(explanation) == ["app-disabled", "not-granted", "object-disabled"]
    assert [forbid.code for forbid in explanation.forbids] == ["app-disabled", "object-disabled"]


def test_the_groups_in_which_it_is_missing_are_named() -> None:
    everywhere = asked(Permission.OBJECT_MOVE, GROUPS[:3])
    explanation = explain(everywhere, holding(Permission.OBJECT_MOVE))
    assert explanation.missing == GROUPS[1:3]
    assert explanation.decision.reason == "not-granted"


def test_nothing_is_said_to_be_missing_in_groups_where_it_is_not_held_or_that_are_anothers() -> None:
    assert explain(asked(Permission.ACCOUNT_UPDATE), Facts()).missing == ()
    assert explain(replace(asked(), principal=replace(APP, account=ACCOUNTS[1])), Facts()).missing == ()


def test_one_group_in_which_it_is_missing_is_enough_where_all_must_give_it() -> None:
    explanation = explain(asked(Permission.OBJECT_MOVE, GROUPS[:2]), holding(Permission.OBJECT_MOVE))
    assert explanation.missing == (GROUPS[1],)
    assert refused(explanation) == ["not-granted"]


# -- where rights come from ----------------------------------------------------------------------------------------

places = st.sampled_from(Place)
sources = st.lists(
    st.builds(
        lambda place, group, permissions: Source(
            SourceKind.CUSTOM_ROLE, "role", place, permissions, group=group if place is Place.GROUP else None
        ),
        places,
        st.sampled_from(GROUPS),
        permission_sets,
    ),
    max_size=4,
)


def sum_of(given_by: list[Source]) -> Facts:
    """What is held by these together, as ``policies.facts`` adds them up."""

    def at(place: Place, group: UUID | None = None) -> frozenset[Permission]:
        found = [source.permissions for source in given_by if (source.place, source.group) == (place, group)]
        return with_implied(frozenset().union(*found))

    everywhere = at(Place.ALL_GROUPS)
    also = with_implied(frozenset(EVERYWHERE[p] for p in everywhere if p in EVERYWHERE))
    return Facts(at(Place.ACCOUNT) | also, everywhere, {group: at(Place.GROUP, group) for group in GROUPS})


@given(requests, st.sampled_from(BOUND), sources)
def test_a_source_is_named_exactly_when_it_gives_the_permission_by_itself(
    request: AccessRequest, permission: Permission, given_by: list[Source]
) -> None:
    """In some group of the target, for what is asked in every one of them."""
    target = replace(request.target, account=APP.account, see=None, forbids=())
    plain = replace(request, principal=APP, permission=permission, target=target)
    named = {origin.source for origin in explain(plain, Facts(), given_by).origins}
    for source in given_by:
        alone = sum_of([source])
        groups = plain.target.groups
        if CATALOGUE[plain.permission].everywhere and source.group in groups:
            groups = (source.group,)
        one = replace(plain, target=replace(plain.target, groups=groups))
        assert (source in named) == isinstance(decide(one, alone), Allow)


@given(requests, sources)
def test_whoever_is_allowed_by_rights_is_told_where_from(request: AccessRequest, given_by: list[Source]) -> None:
    explanation = explain(request, sum_of(given_by), given_by)
    scope = CATALOGUE[request.permission].scope
    if isinstance(explanation.decision, Allow) and scope in (Scope.ACCOUNT, Scope.GROUP):
        assert explanation.origins


def test_a_source_says_by_which_of_its_permissions_it_gives_it() -> None:
    role = Source(
        SourceKind.CUSTOM_ROLE,
        "keepers",
        Place.GROUP,
        frozenset({Permission.OBJECT_MANAGE, Permission.APP_GET}),
        group=GROUPS[0],
    )
    elsewhere, another = replace(role, group=GROUPS[1]), replace(role, permissions=frozenset({Permission.APP_GET}))
    (origin,) = explain(asked(), sum_of([role]), [elsewhere, another, role]).origins
    assert (origin.source, origin.by) == (role, frozenset({Permission.OBJECT_MANAGE}))


def test_reading_the_log_of_every_group_is_named_as_a_source_of_reading_the_accounts() -> None:
    role = Source(SourceKind.CUSTOM_ROLE, "readers", Place.ALL_GROUPS, frozenset({Permission.AUDIT_READ}))
    whole = asked(Permission.AUDIT_READ_ACCOUNT, ())
    (origin,) = explain(whole, sum_of([role]), [role]).origins
    assert origin.by == {Permission.AUDIT_READ}


def test_a_role_in_every_group_is_a_source_of_what_it_names_and_implies() -> None:
    role = Source(SourceKind.CUSTOM_ROLE, "keepers", Place.ALL_GROUPS, frozenset({Permission.OBJECT_MANAGE}))
    (origin,) = explain(asked(), sum_of([role]), [role]).origins
    assert (origin.source, origin.by) == (role, frozenset({Permission.OBJECT_MANAGE}))


@pytest.mark.parametrize("permission", [Permission.SESSION_LIST, cast("Permission", "object.teleport")])
@pytest.mark.parametrize("place", [Place.ACCOUNT, Place.ALL_GROUPS])
def test_no_role_is_a_source_of_what_no_role_grants(permission: Permission, place: Place) -> None:
    role = Source(SourceKind.CUSTOM_ROLE, "all", place, frozenset({permission}))
    assert explain(asked(permission), Facts(), [role]).origins == ()
