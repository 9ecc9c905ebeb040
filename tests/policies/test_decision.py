"""Properties of the one decision, over drawn principals, targets and facts.

The first are what Cedar proves of its own decisions, under the names they have there.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import cast
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.principal import ANONYMOUS, Principal, PrincipalKind
from accounts.second_factor import Lack
from policies.decision import (
    AccessRequest,
    Allow,
    Decision,
    Deny,
    Facts,
    Forbid,
    NeedsApproval,
    StepUp,
    Target,
    decide,
)
from policies.demands import Demand, Demands
from policies.permissions import CATALOGUE, Permission, Scope
from policies.quorum import Approved, Guard, Quorum
from tests.policies.strategies import (
    ACCOUNTS,
    APP,
    BOUND,
    EVERYTHING,
    GROUPS,
    NOW,
    PERMISSIONS,
    facts,
    forbids,
    permission_sets,
    requests,
    target_in,
)

NOT_PUBLIC = [p for p in PERMISSIONS if CATALOGUE[p].scope not in (Scope.PUBLIC, Scope.HOST)]


@given(requests)
def test_default_deny(request: AccessRequest) -> None:
    if isinstance(decide(request, Facts()), Allow):
        assert CATALOGUE[request.permission].scope in (Scope.PUBLIC, Scope.SELF)


@given(requests, facts)
def test_every_outcome_has_a_reason_code(request: AccessRequest, known: Facts) -> None:
    decision = decide(request, known)
    assert decision.reason
    assert len(decision.reason) <= 64  # the record's column
    if isinstance(decision, Deny):
        assert decision.message


@given(requests, facts, forbids, st.booleans())
def test_forbid_trumps_permit(request: AccessRequest, known: Facts, forbid: Forbid, of_target: bool) -> None:
    if of_target:
        request = replace(request, target=replace(request.target, forbids=(*request.target.forbids, forbid)))
    else:
        known = replace(known, forbids=(*known.forbids, forbid))
    if CATALOGUE[request.permission].scope is not Scope.PUBLIC:
        assert isinstance(decide(request, known), Deny)


@pytest.mark.parametrize("permission", BOUND)
def test_a_forbid_denies_even_whoever_holds_everything(permission: Permission) -> None:
    request = AccessRequest(APP, permission, target_in(GROUPS), NOW)
    assert isinstance(decide(request, EVERYTHING), Allow)
    assert isinstance(decide(request, replace(EVERYTHING, forbids=(Forbid("x", "no"),))), Deny)
    assert isinstance(
        decide(replace(request, target=target_in(GROUPS, forbids=(Forbid("x", "no"),))), EVERYTHING), Deny
    )


@given(requests, facts, st.randoms(), st.booleans())
def test_order_and_duplicates_do_not_matter(
    request: AccessRequest, known: Facts, random: object, doubled: bool
) -> None:
    shuffle = random.shuffle  # type: ignore[attr-defined]  # Hypothesis' Random
    times = 2 if doubled else 1
    groups, own, others = [*request.target.groups] * times, [*request.target.forbids] * times, [*known.forbids] * times
    held = list(known.groups.items())
    for part in (groups, own, others, held):
        shuffle(part)
    shuffled = replace(request, target=replace(request.target, groups=tuple(groups), forbids=tuple(own)))
    assert decide(shuffled, replace(known, groups=dict(held), forbids=tuple(others))) == decide(request, known)


@given(requests, facts)
def test_allowed_only_if_explicitly_permitted(request: AccessRequest, known: Facts) -> None:
    """Take this permission from whatever holds it: what roles grant is allowed no longer."""
    taken = replace(
        known,
        account=known.account - {request.permission},
        all_groups=known.all_groups - {request.permission},
        groups={group: held - {request.permission} for group, held in known.groups.items()},
    )
    if request.permission in BOUND:
        assert isinstance(decide(request, taken), Deny)


@given(requests, facts, permission_sets)
def test_slicing_is_sound_a_grant_in_an_unrelated_group_changes_nothing(
    request: AccessRequest, known: Facts, extra: frozenset[Permission]
) -> None:
    elsewhere = next(group for group in GROUPS if group not in request.target.groups)
    more = replace(known, groups={**known.groups, elsewhere: known.groups.get(elsewhere, frozenset()) | extra})
    assert decide(request, more) == decide(request, known)


@given(requests, facts, permission_sets)
def test_slicing_is_sound_a_grant_of_other_permissions_changes_nothing(
    request: AccessRequest, known: Facts, extra: frozenset[Permission]
) -> None:
    other = extra - {request.permission, *([request.target.see] if request.target.see else [])}
    more = replace(
        known,
        account=known.account | other,
        all_groups=known.all_groups | other,
        groups={group: held | other for group, held in known.groups.items()},
    )
    assert decide(request, more) == decide(request, known)


@given(requests, facts, permission_sets)
def test_more_grants_never_turn_allow_into_deny(
    request: AccessRequest, known: Facts, extra: frozenset[Permission]
) -> None:
    if isinstance(decide(request, known), Allow):
        more = replace(known, account=known.account | extra, all_groups=known.all_groups | extra)
        assert isinstance(decide(request, more), Allow)


@given(requests)
def test_an_unknown_permission_is_denied_to_whoever_holds_everything(request: AccessRequest) -> None:
    unknown = cast("Permission", "object.teleport")
    held = frozenset([*PERMISSIONS, unknown])
    known = Facts(held, held, dict.fromkeys(GROUPS, held))
    decision = decide(replace(request, permission=unknown), known)
    assert isinstance(decision, Deny)
    assert decision.reason == "unknown-permission"


@given(requests)
def test_the_anonymous_principal_gets_nothing_but_what_is_public(request: AccessRequest) -> None:
    decision = decide(replace(request, principal=ANONYMOUS), EVERYTHING)
    assert isinstance(decision, Allow) == (CATALOGUE[request.permission].scope is Scope.PUBLIC)


@given(requests, st.sampled_from(BOUND))
def test_another_accounts_target_is_invisible_to_whoever_holds_everything(
    request: AccessRequest, permission: Permission
) -> None:
    principal = replace(APP, account=ACCOUNTS[1])
    target = replace(request.target, account=ACCOUNTS[0])
    decision = decide(replace(request, principal=principal, permission=permission, target=target), EVERYTHING)
    assert decision == Deny("not-visible", "Not found", visible=False)


@given(requests, facts)
def test_no_account_selected_denies_what_accounts_grant(request: AccessRequest, known: Facts) -> None:
    if CATALOGUE[request.permission].scope in (Scope.ACCOUNT, Scope.GROUP):
        decision = decide(replace(request, principal=replace(request.principal, account=None)), known)
        assert isinstance(decision, Deny)


def test_a_target_without_account_belongs_to_nobody() -> None:
    target = replace(target_in(GROUPS), account=None)
    decision = decide(AccessRequest(APP, Permission.OBJECT_ENCRYPT, target, NOW), EVERYTHING)
    assert decision == Deny("not-visible", "Not found", visible=False)


def test_what_may_not_be_seen_is_denied_as_absent_even_with_the_right_to_use_it() -> None:
    held = frozenset({Permission.OBJECT_ENCRYPT})
    request = AccessRequest(APP, Permission.OBJECT_ENCRYPT, target_in(GROUPS[:1], see=Permission.OBJECT_GET), NOW)
    assert decide(request, Facts(groups={GROUPS[0]: held})) == Deny("not-visible", "Not found", visible=False)
    seeing = Facts(groups={GROUPS[0]: held | {Permission.OBJECT_GET}})
    assert isinstance(decide(request, seeing), Allow)


def test_what_may_be_seen_but_not_used_is_denied_openly() -> None:
    request = AccessRequest(APP, Permission.OBJECT_ENCRYPT, target_in(GROUPS[:1], see=Permission.OBJECT_GET), NOW)
    decision = decide(request, Facts(groups={GROUPS[0]: frozenset({Permission.OBJECT_GET})}))
    assert decision == Deny("not-granted", "No permission to encrypt under an object")


@pytest.mark.parametrize("permission", [p for p in BOUND if CATALOGUE[p].scope is Scope.GROUP])
def test_everywhere_asks_for_every_group_and_the_others_for_one(permission: Permission) -> None:
    request = AccessRequest(APP, permission, target_in(GROUPS[:2]), NOW)
    one = Facts(groups={GROUPS[0]: frozenset({permission})})
    both = Facts(groups=dict.fromkeys(GROUPS[:2], frozenset({permission})))
    assert isinstance(decide(request, one), Allow) is not CATALOGUE[permission].everywhere
    assert isinstance(decide(request, both), Allow)
    assert isinstance(decide(request, Facts(all_groups=frozenset({permission}))), Allow)


@pytest.mark.parametrize("permission", [p for p in BOUND if CATALOGUE[p].scope is Scope.GROUP])
def test_a_target_in_no_group_needs_the_right_in_all_groups(permission: Permission) -> None:
    request = AccessRequest(APP, permission, target_in(()), NOW)
    assert isinstance(decide(request, Facts(groups=dict.fromkeys(GROUPS, frozenset(PERMISSIONS)))), Deny)
    assert isinstance(decide(request, Facts(all_groups=frozenset({permission}))), Allow)


@pytest.mark.parametrize("permission", BOUND)
def test_rights_on_the_account_and_in_groups_are_not_each_other(permission: Permission) -> None:
    request = AccessRequest(APP, permission, target_in(GROUPS[:1]), NOW)
    held = frozenset({permission})
    of_account = CATALOGUE[permission].scope is Scope.ACCOUNT
    assert isinstance(decide(request, Facts(account=held)), Allow) is of_account
    assert isinstance(decide(request, Facts(all_groups=held, groups={GROUPS[0]: held})), Allow) is not of_account


def _as(**parts: object) -> Principal:
    return replace(APP, **parts)  # type: ignore[arg-type]


@given(st.sampled_from(NOT_PUBLIC), st.integers(0, 10**9))
def test_an_expired_session_denies_from_its_last_instant_on(permission: Permission, microseconds: int) -> None:
    ended = NOW - timedelta(microseconds=microseconds)
    request = AccessRequest(_as(expires_at=ended), permission, target_in(GROUPS), NOW)
    decision = decide(request, EVERYTHING)
    assert isinstance(decision, Deny)
    assert decision.reason == "session-expired"
    alive = replace(request, principal=_as(expires_at=NOW + timedelta(microseconds=microseconds + 1)))
    assert isinstance(decide(alive, EVERYTHING), Allow)


@pytest.mark.parametrize("permission", NOT_PUBLIC)
@pytest.mark.parametrize("lack", Lack)
def test_an_unfinished_login_opens_only_what_finishes_it(permission: Permission, lack: Lack) -> None:
    request = AccessRequest(APP, permission, target_in(GROUPS), NOW)
    decision = decide(request, replace(EVERYTHING, lack=lack))
    if lack in CATALOGUE[permission].finishes:
        assert isinstance(decision, Allow)
    else:
        assert isinstance(decision, Deny)
        assert decision.reason == lack


def test_what_finishes_a_login_touches_no_account_and_no_key() -> None:
    finishing = {p for p, spec in CATALOGUE.items() if spec.finishes}
    assert finishing
    assert {CATALOGUE[p].scope for p in finishing} == {Scope.SELF}


@given(requests, facts)
def test_an_unfinished_login_never_gets_more_than_a_finished_one(request: AccessRequest, known: Facts) -> None:
    if isinstance(decide(request, known), Allow):
        assert isinstance(decide(request, replace(known, lack=None)), Allow)


@given(st.sampled_from(NOT_PUBLIC), st.none() | st.integers(0, 7200), st.integers(0, 7200))
def test_what_is_sensitive_asks_for_a_proof_as_young_as_the_account_says(
    permission: Permission, age: int | None, seconds: int
) -> None:
    proven_at = None if age is None else NOW - timedelta(seconds=age)
    request = AccessRequest(APP, permission, target_in(GROUPS), NOW)
    decision = decide(request, replace(EVERYTHING, step_up=StepUp(seconds, proven_at)))
    young = age is not None and age <= seconds
    assert isinstance(decision, Allow) is (young or not CATALOGUE[permission].sensitive)
    if isinstance(decision, Deny):
        assert decision.reason == "step-up-needed"


def test_a_proof_is_good_up_to_its_last_instant() -> None:
    request = AccessRequest(APP, Permission.OBJECT_EXPORT, target_in(GROUPS), NOW)
    for late, allowed in ((0, True), (1, False)):
        proven_at = NOW - timedelta(seconds=60, microseconds=late)
        decision = decide(request, replace(EVERYTHING, step_up=StepUp(60, proven_at)))
        assert isinstance(decision, Allow) is allowed


@given(facts, st.sampled_from(BOUND))
def test_the_groups_where_something_is_held_are_those_where_it_is_allowed(known: Facts, permission: Permission) -> None:
    groups = known.groups_with(permission)
    for group in GROUPS:
        assert (groups is None or group in groups) is known.holds(permission, group)
    assert (groups is None) is (permission in known.all_groups)


@given(requests, facts)
def test_a_younger_proof_never_turns_allow_into_deny(request: AccessRequest, known: Facts) -> None:
    if known.step_up is not None and isinstance(decide(request, known), Allow):
        assert isinstance(decide(request, replace(known, step_up=replace(known.step_up, proven_at=NOW))), Allow)


@pytest.mark.parametrize("permission", NOT_PUBLIC)
def test_an_accounts_provider_does_not_vouch_for_the_person_elsewhere(permission: Permission) -> None:
    request = AccessRequest(_as(provider=ACCOUNTS[2]), permission, target_in(GROUPS), NOW)
    decision = decide(request, EVERYTHING)
    assert isinstance(decision, Deny) is CATALOGUE[permission].identity
    if isinstance(decision, Deny):
        assert decision.reason == "vouched-for"


def test_keys_leave_and_logins_change_only_on_a_recent_proof() -> None:
    sensitive = {p for p, spec in CATALOGUE.items() if spec.sensitive}
    assert sensitive >= {Permission.OBJECT_EXPORT, Permission.APP_SECRET_READ, Permission.AUTHENTICATION_MANAGE}


@given(requests, facts)
def test_what_is_the_hosts_is_nobodys_on_the_network(request: AccessRequest, known: Facts) -> None:
    for permission in (p for p, spec in CATALOGUE.items() if spec.scope is Scope.HOST):
        assert isinstance(decide(replace(request, permission=permission), known), Deny)
        itself = replace(request.principal, kind=PrincipalKind.SYSTEM)
        assert isinstance(decide(replace(request, principal=itself, permission=permission), known), Allow)


def _asked(permission: Permission, principal: Principal = APP, target: Target | None = None) -> AccessRequest:
    return AccessRequest(principal, permission, target_in(GROUPS) if target is None else target, NOW)


_OF_SCOPE = {scope: next(p for p in PERMISSIONS if CATALOGUE[p].scope is scope) for scope in Scope}
_EXPORTING = _asked(Permission.OBJECT_EXPORT)
_AGED = replace(EVERYTHING, step_up=StepUp(60, NOW - timedelta(seconds=61)))
_GUARDED = replace(
    EVERYTHING, demands=Demands(Demand(Guard(ACCOUNTS[0], Quorum(1, ()), frozenset({Permission.OBJECT_EXPORT}))))
)


@pytest.mark.parametrize(
    ("request_", "known", "outcome"),
    [
        (_asked(_OF_SCOPE[Scope.PUBLIC], ANONYMOUS), Facts(), Allow("public")),
        (_asked(_OF_SCOPE[Scope.SELF]), Facts(), Allow("self")),
        (_asked(_OF_SCOPE[Scope.HOST], _as(kind=PrincipalKind.SYSTEM)), Facts(), Allow("host")),
        (_EXPORTING, EVERYTHING, Allow("granted")),
        (
            replace(_EXPORTING, approved=Approved(UUID(int=501), APP.id, frozenset())),
            EVERYTHING,
            Allow("approved"),
        ),
        (_EXPORTING, _GUARDED, NeedsApproval("approval-needed", (ACCOUNTS[0],))),
        (
            _asked(cast("Permission", "object.teleport")),
            EVERYTHING,
            Deny("unknown-permission", "This operation is not permitted"),
        ),
        (
            _asked(_OF_SCOPE[Scope.HOST]),
            EVERYTHING,
            Deny("not-the-host", "Only commands on the server's host do this"),
        ),
        (replace(_EXPORTING, principal=ANONYMOUS), EVERYTHING, Deny("anonymous", "Authentication is required")),
        (
            replace(_EXPORTING, principal=_as(expires_at=NOW)),
            EVERYTHING,
            Deny("session-expired", "The session has expired"),
        ),
        (
            _EXPORTING,
            replace(EVERYTHING, lack=Lack.PROOF),
            Deny("second-factor-needed", "Show your second factor first"),
        ),
        (
            _EXPORTING,
            replace(EVERYTHING, lack=Lack.ENROLMENT),
            Deny("second-factor-enrolment-needed", "This account asks for a second factor; enrol one first"),
        ),
        (
            replace(_EXPORTING, principal=_as(account=None)),
            EVERYTHING,
            Deny("no-account-selected", "No account is selected; select one first"),
        ),
        (_EXPORTING, Facts(), Deny("not-granted", "No permission to " + CATALOGUE[Permission.OBJECT_EXPORT].sentence)),
        (
            _EXPORTING,
            replace(EVERYTHING, forbids=(Forbid("app-disabled", "The app is disabled"),)),
            Deny("app-disabled", "The app is disabled"),
        ),
        (
            _asked(Permission.OBJECT_EXPORT, target=target_in(GROUPS, forbids=(Forbid("state", "It is destroyed"),))),
            EVERYTHING,
            Deny("state", "It is destroyed"),
        ),
        (
            _EXPORTING,
            _AGED,
            Deny("step-up-needed", "Prove yourself again to do this: show your second factor, or log in anew"),
        ),
    ],
    ids=lambda part: getattr(part, "reason", ""),
)
def test_each_way_a_call_ends_has_its_code_for_the_record_and_its_sentence_for_the_caller(
    request_: AccessRequest, known: Facts, outcome: Decision
) -> None:
    assert decide(request_, known) == outcome


@pytest.mark.parametrize("permission", [p for p in NOT_PUBLIC if CATALOGUE[p].identity])
def test_whoever_a_provider_vouches_for_is_told_what_to_do(permission: Permission) -> None:
    decision = decide(AccessRequest(_as(provider=ACCOUNTS[2]), permission, target_in(GROUPS), NOW), EVERYTHING)
    told = "Log in with your own password to do this; an account's identity provider won't do"
    assert decision == Deny("vouched-for", told)


def test_what_the_account_may_see_is_seen_in_groups_where_nothing_is_held() -> None:
    held = frozenset({Permission.GROUP_GET})
    target = target_in(GROUPS[:1], see=Permission.GROUP_GET)
    decision = decide(AccessRequest(APP, Permission.OBJECT_ENCRYPT, target, NOW), Facts(account=held))
    assert decision == Deny("not-granted", "No permission to encrypt under an object")
