"""Explanations say of every decision what decides it, and never otherwise than the decision itself."""

from __future__ import annotations

from dataclasses import replace
from typing import cast
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.principal import ANONYMOUS
from accounts.second_factor import Lack
from policies.decision import AccessRequest, Allow, Facts, Forbid, NeedsApproval, StepUp, decide
from policies.explanation import Explanation, Place, Rule, Source, SourceKind, explain
from policies.permissions import CATALOGUE, EVERYWHERE, Permission, Scope, with_implied
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
        (asked(), holding(forbids=(Forbid("user-disabled", "no"),)), Rule.CALLER, "user-disabled"),
        (asked(), holding(lack=Lack.PROOF), Rule.LOGIN, Lack.PROOF),
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
    ],
    ids=lambda value: value.value if isinstance(value, Rule) else "",
)
def test_the_rule_that_decides_is_named(request_: AccessRequest, known: Facts, rule: Rule, reason: str) -> None:
    explanation = explain(request_, known)
    assert (explanation.rule, explanation.decision.reason) == (rule, reason)


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
    (origin,) = explain(asked(), sum_of([role]), [role]).origins
    assert (origin.source, origin.by) == (role, frozenset({Permission.OBJECT_MANAGE}))


def test_reading_the_log_of_every_group_is_named_as_a_source_of_reading_the_accounts() -> None:
    role = Source(SourceKind.CUSTOM_ROLE, "readers", Place.ALL_GROUPS, frozenset({Permission.AUDIT_READ}))
    whole = asked(Permission.AUDIT_READ_ACCOUNT, ())
    (origin,) = explain(whole, sum_of([role]), [role]).origins
    assert origin.by == {Permission.AUDIT_READ}
