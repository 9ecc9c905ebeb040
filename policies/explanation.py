"""Why a decision is as it is: every rule on the way, which of them decides, and where the rights come from.

Pure: no Django, no clock, no I/O. The verdict is ``decide``'s own; the rules are told apart here a second time, and
tests hold the two together. It must not know rows, the wire or who may ask.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from accounts.principal import PrincipalKind
from policies.decision import AccessRequest, Decision, Facts, Forbid, decide, guards_of
from policies.permissions import CATALOGUE, EVERYWHERE, Permission, PermissionSpec, Scope, with_implied
from policies.quorum import Approved, Guard, quorum_met


class Rule(StrEnum):
    """What a call must get past, in this order."""

    PERMISSION = "permission"  # it is in the catalogue
    CALLER = "caller"  # somebody, with a session that has not ended, whom nothing forbids everything
    LOGIN = "login"  # which is finished
    OWN_LOGIN = "own-login"  # and not an identity provider's word, for what concerns the person everywhere
    ACCOUNT = "account"  # is selected
    VISIBLE = "visible"  # the target is there for the caller
    GRANTED = "granted"  # some role or membership gives the permission
    TARGET = "target"  # whose state and policies do not stand against it
    FRESH = "fresh-proof"  # the person proved themselves lately
    QUORUM = "quorum"  # everybody who must approve has


class SourceKind(StrEnum):
    SYSTEM_ROLE = "system-role"
    CUSTOM_ROLE = "custom-role"
    EXTERNAL_ROLE = "external-role"
    APP_GROUP = "app-permissions"
    ADMINISTRATIVE_APP = "administrative-app"
    MEMBERSHIP = "membership"


class Place(StrEnum):
    """Where a source gives what it gives."""

    ACCOUNT = "account"
    ALL_GROUPS = "all-groups"
    GROUP = "group"


@dataclass(frozen=True, slots=True)
class Source:
    """One role or membership in one place, with the permissions that it names. What they imply comes along.

    ``id`` is a role's, of the account's own or an external one; ``group`` is set where ``place`` is GROUP.
    """

    kind: SourceKind
    name: str
    place: Place
    permissions: frozenset[Permission]
    id: UUID | None = None
    group: UUID | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """A source that gives what was asked for; ``by`` are the permissions it names that are or imply it."""

    source: Source
    by: frozenset[Permission]


@dataclass(frozen=True, slots=True)
class Check:
    """One rule, and the reason code when it is not met."""

    rule: Rule
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """A quorum before what was asked, and whether what has been approved so far meets it."""

    guard: Guard
    met: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """``rule`` is the one that decides: the first that is not met, or the last that had to be.

    ``missing`` are groups of the target in which the permission is asked for and not held.
    """

    decision: Decision
    rule: Rule
    checks: tuple[Check, ...]
    origins: tuple[Origin, ...]
    forbids: tuple[Forbid, ...]
    missing: tuple[UUID, ...]
    quorums: tuple[Standing, ...]


def explain(request: AccessRequest, facts: Facts, sources: Iterable[Source] = ()) -> Explanation:
    checks = tuple(_checks(request, facts))
    deciding = next((check for check in checks if check.refused is not None), checks[-1])
    return Explanation(
        decide(request, facts),
        deciding.rule,
        checks,
        tuple(_origins(request, sources)),
        (*facts.forbids, *request.target.forbids),
        _missing(request, facts),
        tuple(Standing(guard, _met(guard, request.approved)) for guard in guards_of(request, facts)),
    )


def _checks(request: AccessRequest, facts: Facts) -> Iterator[Check]:
    """Every rule that applies to the permission, met or not."""
    spec = CATALOGUE.get(request.permission)
    if spec is None:
        yield Check(Rule.PERMISSION, "unknown-permission")
        return
    yield Check(Rule.PERMISSION)
    if spec.scope is Scope.PUBLIC:
        return
    if spec.scope is Scope.HOST:
        yield Check(Rule.CALLER, None if request.principal.kind is PrincipalKind.SYSTEM else "not-the-host")
        return
    yield Check(Rule.CALLER, _forbidden(request, facts))
    yield Check(Rule.LOGIN, facts.lack if facts.lack is not None and facts.lack not in spec.finishes else None)
    if spec.identity:
        yield Check(Rule.OWN_LOGIN, None if request.principal.provider is None else "vouched-for")
    if spec.scope is not Scope.SELF:
        yield from _checks_of_rights(request, spec, facts)
    yield Check(Rule.TARGET, _code(request.target.forbids))
    if spec.sensitive:
        yield Check(Rule.FRESH, None if _fresh(request, facts) else "step-up-needed")
    if spec.scope is not Scope.SELF:
        unmet = any(not _met(guard, request.approved) for guard in guards_of(request, facts))
        yield Check(Rule.QUORUM, "approval-needed" if unmet else None)


def _checks_of_rights(request: AccessRequest, spec: PermissionSpec, facts: Facts) -> Iterator[Check]:
    yield Check(Rule.ACCOUNT, "no-account-selected" if request.principal.account is None else None)
    inside = request.target.account == request.principal.account
    yield Check(Rule.VISIBLE, None if inside and _seen(request, facts) else "not-visible")
    yield Check(Rule.GRANTED, None if _held(request, spec, facts) else "not-granted")


def _forbidden(request: AccessRequest, facts: Facts) -> str | None:
    principal = request.principal
    if principal.kind is PrincipalKind.ANONYMOUS:
        return "anonymous"
    if principal.expires_at is not None and principal.expires_at <= request.now:
        return "session-expired"
    return _code(facts.forbids)


def _code(forbids: tuple[Forbid, ...]) -> str | None:
    return min((forbid.code for forbid in forbids), default=None)


def _anywhere(facts: Facts, groups: Iterable[UUID]) -> frozenset[Permission]:
    """What is held in any of these groups."""
    return facts.all_groups.union(*(facts.groups.get(group, frozenset()) for group in groups))


def _seen(request: AccessRequest, facts: Facts) -> bool:
    see = request.target.see
    return see is None or see in facts.account | _anywhere(facts, request.target.groups)


def _held(request: AccessRequest, spec: PermissionSpec, facts: Facts) -> bool:
    if spec.scope is Scope.ACCOUNT:
        return request.permission in facts.account
    if request.permission in facts.all_groups:
        return True
    groups = request.target.groups
    return bool(groups) and len(_lacking(request, facts)) < (1 if spec.everywhere else len(groups))


def _lacking(request: AccessRequest, facts: Facts) -> tuple[UUID, ...]:
    return tuple(group for group in request.target.groups if not facts.holds(request.permission, group))


def _missing(request: AccessRequest, facts: Facts) -> tuple[UUID, ...]:
    spec = CATALOGUE.get(request.permission)
    in_groups = spec is not None and spec.scope is Scope.GROUP
    return _lacking(request, facts) if in_groups and request.target.account == request.principal.account else ()


def _fresh(request: AccessRequest, facts: Facts) -> bool:
    if facts.step_up is None:
        return True
    proven = facts.step_up.proven_at
    return proven is not None and (request.now - proven).total_seconds() <= facts.step_up.seconds


def _met(guard: Guard, approved: Approved | None) -> bool:
    return approved is not None and quorum_met(guard.quorum, approved.requester, approved.votes)


# -- where rights come from ----------------------------------------------------------------------------------------


def _origins(request: AccessRequest, sources: Iterable[Source]) -> Iterator[Origin]:
    """The sources of the permission that count on this target."""
    for source in sources:
        if not _counts(request, source):
            continue
        by = frozenset(named for named in source.permissions if _gives(request.permission, named, source.place))
        if by:
            yield Origin(source, by)


def _gives(wanted: Permission, named: Permission, place: Place) -> bool:
    """Held in every group, some permissions are held on the account as well, and nothing else of them is."""
    implied = with_implied(frozenset({named}))
    if place is Place.ALL_GROUPS and CATALOGUE[wanted].scope is Scope.ACCOUNT:
        implied = with_implied(frozenset(EVERYWHERE[p] for p in implied if p in EVERYWHERE))
    return wanted in implied


def _counts(request: AccessRequest, source: Source) -> bool:
    spec = CATALOGUE.get(request.permission)
    if spec is None or spec.scope not in (Scope.ACCOUNT, Scope.GROUP):
        return False
    if spec.scope is Scope.ACCOUNT:
        return source.place is not Place.GROUP
    if source.place is Place.GROUP:
        return source.group in request.target.groups
    return source.place is Place.ALL_GROUPS
