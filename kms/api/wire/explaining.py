"""/sys/v1/explain and simulations of roles on the wire: ours, beside the vendor's paths.

Permissions are named by our words or the vendor's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from kms.api.wire.base import (
    Endpoint,
    Parameters,
    Request,
    Response,
    WireCall,
    WireError,
    parameters,
    path_id,
    wire_time,
)
from kms.api.wire.flags import ACCOUNT_FLAGS, GROUP_FLAGS
from kms.api.wire.groups import checked_name
from kms.api.wire.names import APP_PERMISSIONS
from kms.api.wire.quorum_policies import GroupApprovalPolicy, Remove, group_policy, wire_tree
from kms.api.wire.roles import RoleRequest, details_of
from kms.operations.explaining import AccessExplained, ExplainAccess, TargetKind
from kms.operations.quorum_policies import NO_POLICY
from kms.operations.simulating import (
    MAX_CALLS,
    MAX_HOLDERS,
    Attempt,
    Changed,
    SimulateGroupPolicy,
    SimulateNewRole,
    SimulateRole,
    Simulation,
)
from policies.decision import Allow, Deny, NeedsApproval
from policies.explanation import Origin, Place, Source, SourceKind, Standing
from policies.permissions import CATALOGUE, Permission
from policies.system_roles import RoleKind

_FLAGS = {**ACCOUNT_FLAGS, **GROUP_FLAGS}
_WORDS: Mapping[str, Permission] = {**APP_PERMISSIONS, **_FLAGS, **{p.value: p for p in Permission}}
_FLAG_OF = {permission: flag for flag, permission in _FLAGS.items()}


class ExplainParams(Parameters):
    permission: str
    principal: UUID | None = None
    object: UUID | None = None
    group: UUID | None = None
    app: UUID | None = None
    user: UUID | None = None


class ExplainResponse(Response, omit_defaults=False):
    """``rule`` is the check that decides; ``sources`` are what gives the permission here, ``missing`` groups where
    it is asked for and not held."""

    allowed: bool
    needs_approval: bool
    reason: str
    message: str
    rule: str
    principal: Mapping[str, UUID]
    permission: Mapping[str, str]
    target: Mapping[str, UUID | None]
    checks: list[Mapping[str, Any]]
    sources: list[Mapping[str, Any]]
    forbids: list[Mapping[str, str]]
    missing: list[UUID]
    quorums: list[Mapping[str, Any]]


def permission_named(word: str) -> Permission:
    if word not in _WORDS:
        raise WireError("Invalid request: unknown permission (docs/permissions.md lists them)")
    return _WORDS[word]


def _explain(call: WireCall) -> ExplainAccess:
    wanted = parameters(call, ExplainParams)
    given = [(kind, found) for kind in TargetKind if (found := getattr(wanted, kind.value, None)) is not None]
    if len(given) > 1:
        raise WireError("Invalid request: give at most one of object, group, app and user")
    kind, target = given[0] if given else (TargetKind.ACCOUNT, None)
    return ExplainAccess(permission_named(wanted.permission), wanted.principal, kind, target)


def _explained(found: AccessExplained) -> ExplainResponse:
    request, explanation = found.request, found.explanation
    decision, spec = explanation.decision, CATALOGUE[request.permission]
    return ExplainResponse(
        allowed=isinstance(decision, Allow),
        needs_approval=isinstance(decision, NeedsApproval),
        reason=decision.reason,
        message=_message(decision, spec.sentence),
        rule=explanation.rule,
        principal={request.principal.kind: request.principal.id},
        permission={"sentence": spec.sentence, **_named(request.permission)},
        target={request.target.kind: request.target.id},
        checks=[
            {"rule": check.rule, "met": check.refused is None, **({"reason": check.refused} if check.refused else {})}
            for check in explanation.checks
        ],
        sources=[_source(origin) for origin in explanation.origins],
        forbids=[{"reason": forbid.code, "message": forbid.message} for forbid in explanation.forbids],
        missing=list(explanation.missing),
        quorums=[_quorum(standing) for standing in explanation.quorums],
    )


def _message(decision: Allow | Deny | NeedsApproval, sentence: str) -> str:
    if isinstance(decision, Deny):
        return decision.message
    return f"May {sentence}" if isinstance(decision, Allow) else f"May {sentence} once a quorum has approved"


def _named(permission: Permission) -> dict[str, str]:
    flag = _FLAG_OF.get(permission)
    return {"name": permission.value, **({"flag": flag} if flag else {})}


def _source(origin: Origin) -> dict[str, Any]:
    source = origin.source
    return {
        "kind": source.kind,
        "name": source.name,
        **({"role_id": source.id} if source.id is not None and source.kind is not SourceKind.EXTERNAL_ROLE else {}),
        **({"external_role_id": source.id} if source.kind is SourceKind.EXTERNAL_ROLE else {}),
        "place": _place(source),
        "by": [_named(permission) for permission in _in_order(origin.by)],
    }


def _place(source: Source) -> dict[str, Any]:
    return {"group_id": source.group} if source.place is Place.GROUP else {source.place.value: True}


def _in_order(permissions: Iterable[Permission]) -> list[Permission]:
    wanted = frozenset(permissions)
    return [permission for permission in CATALOGUE if permission in wanted]


def _quorum(standing: Standing) -> dict[str, Any]:
    return {"subject": standing.guard.subject, "met": standing.met, "policy": wire_tree(standing.guard.quorum)}


# -- simulations ---------------------------------------------------------------------------------------------------


class SimulateRequest(RoleRequest):
    """The body of a change of the role. ``calls`` are how many of the account's last ones are looked at."""

    calls: int | None = None


class SimulateNewRequest(SimulateRequest, kw_only=True):
    """The body that would make the role, and who would hold it: users, in groups when it is a role of groups."""

    holders: list[UUID]
    groups: list[UUID] = []


class SimulatePolicyRequest(Request):
    """The body of a change of a group, as far as it is about its quorum."""

    approval_policy: GroupApprovalPolicy | Remove
    calls: int | None = None


class SimulateResponse(Response, omit_defaults=False):
    actors: int
    calls: int
    since: str | None
    newly_allowed: Mapping[str, Any]
    newly_needs_approval: Mapping[str, Any]
    newly_denied: Mapping[str, Any]


def _calls(wanted: int | None) -> int:
    if wanted is not None and not 1 <= wanted <= MAX_CALLS:
        raise WireError(f"Invalid request: calls is 1 to {MAX_CALLS}")
    return wanted or MAX_CALLS


def _simulate(call: WireCall) -> SimulateRole:
    checked_name(call.body.name, needed=False)
    return SimulateRole(path_id(call, "role_id"), details_of(call.body.details), _calls(call.body.calls))


def _simulate_new(call: WireCall) -> SimulateNewRole:
    body: SimulateNewRequest = call.body
    details = details_of(body.details)
    if details is None:
        raise WireError("Invalid request: details are needed")
    if not 1 <= len(body.holders) <= MAX_HOLDERS or len(body.groups) > MAX_HOLDERS:
        raise WireError(f"Invalid request: holders are 1 to {MAX_HOLDERS} users, groups at most as many")
    if (details.kind is RoleKind.GROUP) != bool(body.groups):
        raise WireError("Invalid request: groups are for roles of groups, which need them")
    name = checked_name(body.name, needed=True) or ""
    return SimulateNewRole(name, details, tuple(body.holders), tuple(body.groups), _calls(body.calls))


def _simulate_policy(call: WireCall) -> SimulateGroupPolicy:
    policy = group_policy(call.body.approval_policy) or NO_POLICY
    return SimulateGroupPolicy(path_id(call, "group_id"), policy, _calls(call.body.calls))


def _simulated(found: Simulation) -> SimulateResponse:
    changes = {change.value: _changed(changed) for change, changed in found.changes.items()}
    return SimulateResponse(actors=found.actors, calls=found.calls, since=wire_time(found.since), **changes)


def _changed(changed: Changed) -> dict[str, Any]:
    return {
        "distinct": changed.attempts,
        "calls": changed.calls,
        "examples": [_example(attempt, times) for attempt, times in changed.examples],
    }


def _example(attempt: Attempt, times: int) -> dict[str, Any]:
    return {
        attempt.actor_kind.value: attempt.actor,
        "permission": _named(attempt.permission),
        "target": {attempt.kind: attempt.target},
        "group_ids": attempt.groups,
        "calls": times,
    }


_SIMULATE, _SIMULATE_POLICY = "/sys/v1/roles/{role_id}/simulate", "/sys/v1/groups/{group_id}/simulate_policy"
ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("ExplainAccess", "GET", "/sys/v1/explain", _explain, _explained),
    Endpoint("SimulateRole", "POST", _SIMULATE, _simulate, _simulated, body=SimulateRequest),
    Endpoint("SimulateNewRole", "POST", "/sys/v1/roles/simulate", _simulate_new, _simulated, body=SimulateNewRequest),
    Endpoint("SimulateGroupPolicy", "POST", _SIMULATE_POLICY, _simulate_policy, _simulated, body=SimulatePolicyRequest),
)
