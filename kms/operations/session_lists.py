"""Sessions as lists: one's own, and for administrators those of a member in their account; ended one by one or at once.

What a member does in other accounts, or before an account is selected, is nothing that an account's administrators see
or end. Tokens are never shown. It must not know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from accounts import activity, sessions
from accounts.models import Membership, Session
from accounts.principal import PrincipalKind
from accounts.second_factor import Lack, Owned
from kms.audit.entry import Category, Detail
from kms.operations.authority import absent
from kms.operations.command import Call, Command, Operation, Resolved, control
from kms.operations.errors import InvalidRequest, NotFound
from policies.decision import Target
from policies.facts import factors_owned
from policies.permissions import Permission

MAX_LISTED = 1000


@dataclass(frozen=True, slots=True)
class ListSessions(Command):
    """Of the caller, or of a member of the account."""

    user: UUID | None = None


@dataclass(frozen=True, slots=True)
class GetOwnSession(Command):
    """The session that asks, finished or not."""


@dataclass(frozen=True, slots=True)
class EndSession(Command):
    """One session of the caller, or of a member of the account."""

    session: UUID
    user: UUID | None = None


@dataclass(frozen=True, slots=True)
class EndSessions(Command):
    """All of the caller's other sessions, or all of a member in the account."""

    user: UUID | None = None


@dataclass(frozen=True, slots=True)
class SessionView:
    """``current`` is the one that asks."""

    row: Session
    seen_at: datetime
    current: bool


@dataclass(frozen=True, slots=True)
class OwnSession:
    """``lack`` is what the login still needs before it is of use, ``owned`` the kinds of factor that could be shown."""

    row: Session
    lack: Lack | None
    owned: Owned


def get_own_session(call: Call, _command: GetOwnSession, row: Session) -> OwnSession:
    owned = factors_owned(call.principal.id) if call.principal.kind is PrincipalKind.USER else frozenset()
    return OwnSession(row, call.facts.lack, owned)


def list_sessions(call: Call, _command: ListSessions, rows: QuerySet[Session]) -> Sequence[SessionView]:
    """Those that could still be used, the latest first."""
    found = list(rows.order_by("-created_at")[:MAX_LISTED])
    seen = activity.last_seen(row.id for row in found)
    views = [SessionView(row, seen.get(row.id, row.created_at), row.id == call.principal.session) for row in found]
    used = [view for view in views if view.row.user_id is None or call.now - view.seen_at < sessions.idle_time()]
    call.details["returned"] = len(used)
    return used


def end_session(call: Call, command: EndSession, rows: QuerySet[Session]) -> None:
    row = rows.select_for_update(of=("self",)).filter(id=command.session).first()
    if row is None:
        raise NotFound(absent("session"))
    sessions.terminate(row, call.now)


def end_sessions(call: Call, _command: EndSessions, rows: QuerySet[Session]) -> int:
    """One after the other in one order: each moves a version of its own."""
    locked = rows.order_by("id").select_for_update(of=("self",))
    others = [row for row in locked if row.id != call.principal.session]
    for row in others:
        sessions.terminate(row, call.now)
    call.details["items"] = len(others)
    return len(others)


def _resolve(call: Call, command: ListSessions | EndSession | EndSessions) -> Sequence[Resolved]:
    if command.user is None:
        target = Target("session", call.principal.session, call.principal.account)
        return (Resolved(Permission.SESSION_LIST, target, _own(call)),)
    if not Membership.objects.filter(user_id=command.user, account_id=call.account).exists():
        raise NotFound(absent("user"))
    target = Target("user", command.user, call.account, (), Permission.USER_GET)
    rows = sessions.living(call.now, user_id=command.user, account_id=call.account)
    return (Resolved(Permission.USER_SESSIONS, target, rows),)


def _resolve_this(call: Call, _command: GetOwnSession) -> Sequence[Resolved]:
    target = Target("session", call.principal.session, call.principal.account)
    row = Session.objects.filter(id=call.principal.session).first() if call.principal.session else None
    if row is None and call.principal.kind is not PrincipalKind.ANONYMOUS:
        raise InvalidRequest("This needs a session; an API key on the call itself has none")
    return (Resolved(Permission.SESSION_MANAGE, target, row),)


def _own(call: Call) -> QuerySet[Session]:
    owner = "app_id" if call.principal.kind is PrincipalKind.APP else "user_id"
    return sessions.living(call.now, **{owner: call.principal.id})


def _describe(command: ListSessions | EndSessions) -> Mapping[str, Detail]:
    return {} if command.user is None else {"subject": str(command.user)}


def _describe_one(command: EndSession) -> Mapping[str, Detail]:
    return {"session": str(command.session), "subject": None if command.user is None else str(command.user)}


_operation = control(Category.AUTHENTICATION)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(ListSessions, "session.list", _resolve, list_sessions, describe=_describe),
    _operation(GetOwnSession, "session.get", _resolve_this, get_own_session),
    _operation(EndSession, "session.end", _resolve, end_session, describe=_describe_one),
    _operation(EndSessions, "session.end-all", _resolve, end_sessions, describe=_describe),
)
