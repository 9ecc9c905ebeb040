"""The one decision: may this principal do this to that, now. Pure: no Django, no clock, no I/O.

Empty facts deny. Any forbid denies. The order of facts and grants does not matter. A quorum that guards what was asked
is met, or the outcome is that approval is needed. It must not know what is behind a target; whoever asks hands over
everything that could forbid or guard.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

from accounts.principal import Principal, PrincipalKind
from accounts.second_factor import Lack
from policies.demands import NO_DEMANDS, Demands
from policies.permissions import CATALOGUE, Permission, PermissionSpec, Scope
from policies.quorum import Approved, Guard, quorum_met

_NO_GROUPS: Mapping[UUID, frozenset[Permission]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Forbid:
    """Something that forbids whatever was granted. ``code`` goes to the record, ``message`` to the caller."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class StepUp:
    """A person's proof may be ``seconds`` old for what is sensitive, and was last given at ``proven_at``."""

    seconds: int
    proven_at: datetime | None


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a principal: the permissions it holds and what forbids it anything at all.

    ``lack`` is what its login still misses; only what finishes the login goes past it. ``step_up`` is what sensitive
    permissions ask of it; None asks nothing. ``demands`` are those of the account it acts in.
    """

    account: frozenset[Permission] = frozenset()
    all_groups: frozenset[Permission] = frozenset()
    groups: Mapping[UUID, frozenset[Permission]] = field(default_factory=lambda: _NO_GROUPS)
    forbids: tuple[Forbid, ...] = ()
    lack: Lack | None = None
    step_up: StepUp | None = None
    demands: Demands = NO_DEMANDS

    def holds(self, permission: Permission, group: UUID) -> bool:
        return permission in self.all_groups or permission in self.groups.get(group, frozenset())

    def groups_with(self, permission: Permission) -> frozenset[UUID] | None:
        """The groups where the permission is held; None means every group of the account."""
        if permission in self.all_groups:
            return None
        return frozenset(group for group, held in self.groups.items() if permission in held)


@dataclass(frozen=True, slots=True)
class Target:
    """What is acted on. ``see`` is the permission that makes it visible; ``forbids`` are its own state and policy.

    ``guards`` are quorums beside those of its account and groups: its own, and those that somebody named in it is in.
    """

    kind: str
    id: UUID | None = None
    account: UUID | None = None
    groups: tuple[UUID, ...] = ()
    see: Permission | None = None
    forbids: tuple[Forbid, ...] = ()
    guards: tuple[Guard, ...] = ()


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """``approved`` is what reviewers have said yes to so far, for exactly this call."""

    principal: Principal
    permission: Permission
    target: Target
    now: datetime
    approved: Approved | None = None


@dataclass(frozen=True, slots=True)
class Allow:
    reason: str


@dataclass(frozen=True, slots=True)
class Deny:
    """``visible`` is False when the caller may not even know that the target exists."""

    reason: str
    message: str
    visible: bool = True


@dataclass(frozen=True, slots=True)
class NeedsApproval:
    """The right is there, a quorum is not. ``policies`` are the subjects of the guards that are not met."""

    reason: str
    policies: tuple[UUID, ...]


Decision = Allow | Deny | NeedsApproval

_ENDED = Forbid("session-expired", "The session has expired")


def decide(request: AccessRequest, facts: Facts) -> Decision:
    """Forbids first, then grants, then freshness, then quorums. Every outcome carries a reason code."""
    spec = CATALOGUE.get(request.permission)
    if spec is None:
        return Deny("unknown-permission", "This operation is not permitted")
    if spec.scope is Scope.PUBLIC:
        return Allow("public")
    principal, target = request.principal, request.target
    if spec.scope is Scope.HOST:
        return Allow("host") if principal.kind is PrincipalKind.SYSTEM else _NOT_THE_HOST
    forbid = _first_forbid_of_principal(request, facts)
    if forbid is not None:
        return Deny(forbid.code, forbid.message)
    unproven = _unproven(request, spec, facts)
    if unproven is not None:
        return unproven
    if spec.scope is Scope.SELF:
        return _limits(request, spec, facts) or Allow("self")
    if principal.account is None:
        return Deny("no-account-selected", "No account is selected; select one first")
    if target.account != principal.account or not _visible(target, facts):
        return Deny("not-visible", "Not found", visible=False)
    granted = _granted(request.permission, spec.scope, spec.everywhere, target, facts)
    if not granted:
        return Deny("not-granted", f"No permission to {spec.sentence}")
    return _limits(request, spec, facts) or _unapproved(request, facts) or _granted_outcome(request)


def guards_of(request: AccessRequest, facts: Facts) -> tuple[Guard, ...]:
    """Every quorum that stands before the request, met or not."""
    own = (guard for guard in request.target.guards if request.permission in guard.guarded)
    return (*facts.demands.guards(request.permission, request.target.groups), *own)


def _unapproved(request: AccessRequest, facts: Facts) -> NeedsApproval | None:
    unmet = {guard.subject for guard in guards_of(request, facts) if not _met(guard, request.approved)}
    return NeedsApproval("approval-needed", tuple(sorted(unmet))) if unmet else None


def _met(guard: Guard, approved: Approved | None) -> bool:
    return approved is not None and quorum_met(guard.quorum, approved.requester, approved.votes)


def _granted_outcome(request: AccessRequest) -> Allow:
    return Allow("granted" if request.approved is None else "approved")


_NOT_THE_HOST = Deny("not-the-host", "Only commands on the server's host do this")
_LACKING: Mapping[Lack, str] = MappingProxyType(
    {
        Lack.PROOF: "Show your second factor first",
        Lack.ENROLMENT: "This account asks for a second factor; enrol one first",
    }
)
_AGED = Deny("step-up-needed", "Prove yourself again to do this: show your second factor, or log in anew")


def _unproven(request: AccessRequest, spec: PermissionSpec, facts: Facts) -> Deny | None:
    """What the way the principal proved itself does not carry, whatever it was granted."""
    if facts.lack is not None and facts.lack not in spec.finishes:
        return Deny(facts.lack, _LACKING[facts.lack])
    if spec.identity and request.principal.provider is not None:
        return Deny("vouched-for", "Log in with your own password to do this; an account's identity provider won't do")
    return None


def _limits(request: AccessRequest, spec: PermissionSpec, facts: Facts) -> Deny | None:
    """What stands against a right that is held: the target's own state, then the age of the person's proof."""
    forbid = _first(request.target.forbids)
    if forbid is not None:
        return Deny(forbid.code, forbid.message)
    return _AGED if spec.sensitive and facts.step_up is not None and _aged(facts.step_up, request.now) else None


def _aged(asked: StepUp, now: datetime) -> bool:
    return asked.proven_at is None or (now - asked.proven_at).total_seconds() > asked.seconds


def _first(forbids: tuple[Forbid, ...]) -> Forbid | None:
    """One of several, whatever order they came in."""
    return min(forbids, key=lambda forbid: (forbid.code, forbid.message), default=None)


def _first_forbid_of_principal(request: AccessRequest, facts: Facts) -> Forbid | None:
    if request.principal.kind is PrincipalKind.ANONYMOUS:
        return Forbid("anonymous", "Authentication is required")
    expires_at = request.principal.expires_at
    if expires_at is not None and expires_at <= request.now:
        return _ENDED
    return _first(facts.forbids)


def _visible(target: Target, facts: Facts) -> bool:
    if target.see is None:
        return True
    if target.see in facts.account:
        return True
    return any(facts.holds(target.see, group) for group in target.groups) or target.see in facts.all_groups


def _granted(permission: Permission, scope: Scope, everywhere: bool, target: Target, facts: Facts) -> bool:
    if scope is Scope.ACCOUNT:
        return permission in facts.account
    if permission in facts.all_groups:
        return True
    held = [facts.holds(permission, group) for group in target.groups]
    if not held:
        return False
    return all(held) if everywhere else any(held)
