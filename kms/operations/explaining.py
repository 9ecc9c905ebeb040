"""Why somebody may or may not do something: the decision that would be made now, with all that it rests on.

Everybody may ask about themselves and what they see; about others, who may see roles and whom they ask about. Another's
rights are judged as they are right after a login of their own. It must not know the wire or HTTP; it changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any
from uuid import UUID

from accounts.models import Group, Membership
from accounts.principal import AuthenticationMethod, Principal, PrincipalKind
from kms.audit.entry import Category, Detail
from kms.crypto.operation import KeyOperation
from kms.operations.apps import app_target, find_app
from kms.operations.authority import absent, account_target, group_target
from kms.operations.command import Call, Command, ObjectNeed, ObjectRef, Operation, Resolved, control
from kms.operations.errors import NotFound
from kms.operations.users import user_target
from policies.decision import AccessRequest, Facts, Target
from policies.explanation import Explanation, explain
from policies.facts import known_of
from policies.permissions import Permission
from policies.sources import sources_of

# What a permission does with a key, so that the key's state and the policies on its use are explained as well.
_USES: Mapping[Permission, KeyOperation] = MappingProxyType(
    {
        Permission.OBJECT_ENCRYPT: KeyOperation.ENCRYPT,
        Permission.OBJECT_DECRYPT: KeyOperation.DECRYPT,
        Permission.OBJECT_MASK_DECRYPT: KeyOperation.DECRYPT,
        Permission.OBJECT_SIGN: KeyOperation.SIGN,
        Permission.OBJECT_VERIFY: KeyOperation.VERIFY,
        Permission.OBJECT_MAC_GENERATE: KeyOperation.MAC_GENERATE,
        Permission.OBJECT_MAC_VERIFY: KeyOperation.MAC_VERIFY,
        Permission.OBJECT_WRAP: KeyOperation.WRAP,
        Permission.OBJECT_UNWRAP: KeyOperation.UNWRAP,
        Permission.OBJECT_DERIVE: KeyOperation.DERIVE,
        Permission.OBJECT_TRANSFORM: KeyOperation.TRANSFORM,
        Permission.OBJECT_AGREE: KeyOperation.AGREE,
        Permission.OBJECT_ENCAPSULATE: KeyOperation.ENCAPSULATE,
        Permission.OBJECT_DECAPSULATE: KeyOperation.DECAPSULATE,
        Permission.OBJECT_EXPORT: KeyOperation.EXPORT,
    }
)


class TargetKind(StrEnum):
    ACCOUNT = "account"
    GROUP = "group"
    OBJECT = "object"
    APP = "app"
    USER = "user"


@dataclass(frozen=True, slots=True)
class ExplainAccess(Command):
    """``principal`` None is the caller; the ``target`` is the account's id or nothing where it is the account."""

    permission: Permission
    principal: UUID | None = None
    kind: TargetKind = TargetKind.ACCOUNT
    target: UUID | None = None


@dataclass(frozen=True, slots=True)
class AccessExplained:
    request: AccessRequest
    explanation: Explanation


@dataclass(frozen=True, slots=True)
class _Who:
    """Whose rights, and what must be held to ask about them."""

    principal: Principal
    facts: Facts
    asked: tuple[Resolved, ...] = ()


def explain_access(call: Call, command: ExplainAccess, question: tuple[_Who, Target], *_more: None) -> AccessExplained:
    who, target = question
    request = AccessRequest(who.principal, command.permission, target, call.now)
    explanation = explain(request, who.facts, sources_of(who.principal))
    call.details["result"] = explanation.decision.reason
    return AccessExplained(request, explanation)


# -- resolution ----------------------------------------------------------------------------------------------------


def _resolve(call: Call, command: ExplainAccess) -> Sequence[Resolved]:
    target = _target(call, command)
    who = _who(call, command.principal)
    # Its state and quorums are what is asked about, and no reason not to answer.
    seen = _unless_own(call.principal, replace(target, forbids=(), guards=()))
    question = (who, _unless_own(who.principal, target))
    return (Resolved(seen.see or Permission.LIST_VISIBLE, seen, question), *who.asked)


def _target(call: Call, command: ExplainAccess) -> Target:
    if command.target is None or command.kind is TargetKind.ACCOUNT:
        return account_target(call)
    if command.kind is TargetKind.OBJECT:
        need = ObjectNeed(ObjectRef(id=command.target), command.permission, _USES.get(command.permission))
        return call.authority.resolve_object(call, need).target
    if command.kind is TargetKind.APP:
        return app_target(*find_app(call, command.target, lock=False))
    if command.kind is TargetKind.USER:
        return user_target(_member(call, command.target), call.account)
    group = Group.objects.filter(id=command.target, account_id=call.account).first()
    if group is None:
        raise NotFound(absent("group"))
    return group_target(group)


def _unless_own(principal: Principal, target: Target) -> Target:
    """Everybody sees themselves."""
    return replace(target, see=None) if target.id == principal.id else target


def _who(call: Call, principal: UUID | None) -> _Who:
    if principal is None or principal == call.principal.id:
        return _Who(call.principal, call.facts)
    found = _other(call, principal)
    if found is None:
        raise NotFound(absent(_SOMEBODY))
    other, target = found
    # One kind for both, so that an app that is invisible and a user who is not there look the same.
    seen = Resolved(target.see or Permission.USER_GET, replace(target, kind=_SOMEBODY))
    return _Who(other, known_of(other).facts, (seen, Resolved(Permission.ROLE_GET, account_target(call))))


_SOMEBODY = "principal"


def _other(call: Call, identity: UUID) -> tuple[Principal, Target] | None:
    try:
        row, groups = find_app(call, identity, lock=False)
    except NotFound:
        if not Membership.objects.filter(user_id=identity, account_id=call.account).exists():
            return None
        return _principal(call, PrincipalKind.USER, identity), user_target(identity, call.account)
    return _principal(call, PrincipalKind.APP, identity), app_target(row, groups)


def _principal(call: Call, kind: PrincipalKind, identity: UUID) -> Principal:
    return Principal(kind, identity, call.account, AuthenticationMethod.NONE)


def _member(call: Call, user: UUID) -> UUID:
    if not Membership.objects.filter(user_id=user, account_id=call.account).exists():
        raise NotFound(absent("user"))
    return user


def _describe(command: ExplainAccess) -> Mapping[str, Detail]:
    return {"asked": command.permission, "subject": None if command.principal is None else str(command.principal)}


_operation = control(Category.OTHER)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(ExplainAccess, "access.explain", _resolve, explain_access, describe=_describe),
)
