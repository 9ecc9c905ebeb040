"""A slow judge of whole decisions, in sets: what is held is a relation, what stands in the way is a set.

Of that, what comes first is said. It shares nothing with the real judge but its dataclasses and the catalogue.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import lru_cache
from uuid import UUID

from accounts.principal import PrincipalKind
from policies.decision import AccessRequest, Allow, Decision, Deny, Facts, NeedsApproval
from policies.permissions import CATALOGUE, Permission, PermissionSpec, Scope
from policies.quorum import Approved, Guard, Vote
from tests.policies.quorum_oracle import met_by_trying_everything

# How a decision ended: its kind, its reason, whether the target may be seen, and whose quorums are missing.
Verdict = tuple[str, str, bool, frozenset[UUID]]
# Where something is held: in a group, on the account as such, or in whatever group there may be.
Where = UUID | str
ON_ACCOUNT, ANYWHERE = "on the account", "in any group"
# What stands in the way, at which stage; with the facts' message where they bring one, and whether one may see it.
Obstacle = tuple[str, str, str, bool]
# Whoever has no right to a thing learns nothing of its state, and an unfinished login nothing of rights.
STAGES = ("call", "caller", "session", "forbidden", "login", "vouched", "account", "sight", "grant", "target", "proof")


def verdict_of(decision: Decision) -> Verdict:
    """What of the real judge's decision is compared."""
    if isinstance(decision, NeedsApproval):
        assert sorted(set(decision.policies)) == list(decision.policies)
        return "needs-approval", decision.reason, True, frozenset(decision.policies)
    if isinstance(decision, Allow):
        return "allow", decision.reason, True, frozenset()
    return "deny", decision.reason, decision.visible, frozenset()


def message_of(decision: Decision) -> str:
    return decision.message if isinstance(decision, Deny) else ""


def judged_in_sets(request: AccessRequest, facts: Facts) -> tuple[Verdict, str]:
    """The verdict, and the message when it is one of the facts'."""
    spec = CATALOGUE.get(request.permission)
    obstacles = {("call", "unknown-permission", "", True)} if spec is None else set(_obstacles(request, spec, facts))
    if obstacles:
        _, reason, message, visible = min(obstacles, key=lambda each: (STAGES.index(each[0]), each[1:]))
        return ("deny", reason, visible, frozenset()), message
    if spec is not None and spec.scope in (Scope.PUBLIC, Scope.HOST, Scope.SELF):
        return ("allow", spec.scope.value, True, frozenset()), ""
    unmet = frozenset(guard.subject for guard in _guards(request, facts) if not _met(guard, request.approved))
    if unmet:
        return ("needs-approval", "approval-needed", True, unmet), ""
    return ("allow", "granted" if request.approved is None else "approved", True, frozenset()), ""


def _obstacles(request: AccessRequest, spec: PermissionSpec, facts: Facts) -> Iterator[Obstacle]:
    if spec.scope is Scope.HOST and request.principal.kind is not PrincipalKind.SYSTEM:
        yield "call", "not-the-host", "", True
    if spec.scope in (Scope.PUBLIC, Scope.HOST):
        return
    yield from _of_the_caller(request, spec, facts)
    if spec.scope is not Scope.SELF:
        yield from _of_the_grants(request, spec, facts)
    yield from (("target", forbid.code, forbid.message, True) for forbid in request.target.forbids)
    if spec.sensitive and facts.step_up is not None:
        lasts = timedelta(seconds=facts.step_up.seconds)
        if facts.step_up.proven_at is None or facts.step_up.proven_at + lasts < request.now:
            yield "proof", "step-up-needed", "", True


def _of_the_caller(request: AccessRequest, spec: PermissionSpec, facts: Facts) -> Iterator[Obstacle]:
    caller = request.principal
    if caller.kind is PrincipalKind.ANONYMOUS:
        yield "caller", "anonymous", "", True
    if caller.expires_at is not None and not request.now < caller.expires_at:
        yield "session", "session-expired", "", True
    yield from (("forbidden", forbid.code, forbid.message, True) for forbid in facts.forbids)
    if facts.lack is not None and facts.lack not in spec.finishes:
        yield "login", facts.lack.value, "", True
    if spec.identity and caller.provider is not None:
        yield "vouched", "vouched-for", "", True


def _of_the_grants(request: AccessRequest, spec: PermissionSpec, facts: Facts) -> Iterator[Obstacle]:
    target, held = request.target, _held(request, facts)
    if request.principal.account is None:
        yield "account", "no-account-selected", "", True
    seen_from: set[Where] = {ON_ACCOUNT, ANYWHERE, *target.groups}
    seen = target.see is None or held & {(target.see, where) for where in seen_from}
    if request.principal.account != target.account or not seen:
        yield "sight", "not-visible", "", False
    asked_at: set[Where] = {ON_ACCOUNT} if spec.scope is Scope.ACCOUNT else set(target.groups) or {ANYWHERE}
    wanted = {(request.permission, where) for where in asked_at}
    if not (wanted <= held if spec.everywhere else wanted & held):
        yield "grant", "not-granted", "", True


def _held(request: AccessRequest, facts: Facts) -> set[tuple[Permission, Where]]:
    on_account: set[tuple[Permission, Where]] = {(permission, ON_ACCOUNT) for permission in facts.account}
    groups: set[Where] = {ANYWHERE, *request.target.groups, *facts.groups}
    in_all = {(permission, group) for permission in facts.all_groups for group in groups}
    in_some = {(permission, group) for group, some in facts.groups.items() for permission in some}
    return on_account | in_all | in_some


def _guards(request: AccessRequest, facts: Facts) -> set[Guard]:
    of_groups = [demand for group, demand in facts.demands.groups.items() if group in request.target.groups]
    demands = [facts.demands.account, *of_groups]
    every = {demand.guard for demand in demands} | set(request.target.guards)
    return {guard for guard in every if guard is not None and request.permission in guard.guarded}


def _met(guard: Guard, approved: Approved | None) -> bool:
    return approved is not None and _tried(guard, approved.requester, approved.votes)


@lru_cache(maxsize=100_000)
def _tried(guard: Guard, requester: UUID, votes: frozenset[Vote]) -> bool:
    return met_by_trying_everything(guard.quorum, requester, votes)
