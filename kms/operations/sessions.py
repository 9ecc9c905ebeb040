"""Sessions: log in, refresh, prove oneself again, select an account, log out.

It must not know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from accounts import sessions
from accounts.activity import activities
from accounts.models import Membership, Session
from accounts.principal import Principal, PrincipalKind
from accounts.second_factor import Lack
from kms.audit.entry import CallContext, Category, Detail
from kms.operations.command import Call, Command, Operation, Resolved, control
from kms.operations.errors import AccessDenied, CredentialStale, InvalidRequest, NotFound
from kms.operations.own_factors import Offer, offer
from kms.operations.sign_on.methods import method_of
from policies.decision import Target
from policies.facts import ELSEWHERE, known_of
from policies.permissions import Permission
from policies.versions import share_lock_subjects


@dataclass(frozen=True, slots=True)
class LogIn(Command):
    """Exchange a credential for a session. Carried out as the anonymous principal.

    ``credential`` is of a type that kms.operations.sign_on.methods knows.
    """

    credential: Any


@dataclass(frozen=True, slots=True)
class RefreshSession(Command):
    """Extend the current session, up to the end of the proof that it came from."""


@dataclass(frozen=True, slots=True)
class Reauthenticate(Command):
    """Trade the current session for a new one with a new token. It proves nothing anew: the time of login stays."""


@dataclass(frozen=True, slots=True)
class TerminateSession(Command):
    """End the current session."""


@dataclass(frozen=True, slots=True)
class SelectAccount(Command):
    account: UUID


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """``token`` is shown once. ``expires_in`` seconds. ``lack`` is what is still to be done before it is of use, and
    ``offer`` what may be shown then."""

    principal: PrincipalKind
    entity: UUID
    session: UUID
    token: str
    expires_in: int
    lack: Lack | None = None
    offer: Offer | None = None


# -- handlers ------------------------------------------------------------------------------------------------------


def log_in(call: Call, command: LogIn, _payload: None) -> LoggedIn:
    principal = method_of(command.credential).prove(call, command.credential)
    _hold(principal)
    call.details.update(_who(principal))
    return _issue(call, principal, call.now)


def _hold(principal: Principal) -> None:
    """What was proven holds until the session is there: who takes a credential away ends the sessions that it finds."""
    subject = principal.proof_subject
    if principal.proof_version is not None and share_lock_subjects([subject])[subject] != principal.proof_version:
        raise CredentialStale


def _who(principal: Principal) -> Mapping[str, Detail]:
    account = None if principal.account is None else str(principal.account)
    return {"account": account, "subject": str(principal.id), "role": principal.kind, "login_method": principal.method}


def _issue(call: Call, principal: Principal, proven_at: datetime, **carried: Any) -> LoggedIn:
    session, token = sessions.issue(
        principal, principal.method, call.now, proven_at, client_ip=call.context.client_ip, **carried
    )
    call.touched.insert(0, Target(principal.kind, principal.id, principal.account))
    known = known_of(replace(principal, session=session.id))
    if known.outside(call.context.client_ip):  # no session either, that could be used from elsewhere
        raise AccessDenied(ELSEWHERE.code, ELSEWHERE.message)
    activities.note(principal.id, call.now, call.context.client_ip)
    call.details["session"] = str(session.id)
    lifetime = int((session.expires_at - call.now).total_seconds())
    lack = known.facts.lack
    offered = offer(session, principal.id, call.now) if lack is Lack.PROOF else None
    return LoggedIn(principal.kind, principal.id, session.id, token, lifetime, lack, offered)


def refresh_session(call: Call, _command: RefreshSession, session: Session) -> None:
    sessions.extend(session, call.now)


def reauthenticate(call: Call, _command: Reauthenticate, session: Session) -> LoggedIn:
    """A second factor that was shown stays shown, as the time of login stays, and the end of what was proven then."""
    sessions.terminate(session, call.now)
    return _issue(
        call,
        replace(call.principal, expires_at=session.proof_ends_at),
        session.authenticated_at,
        second_factor=session.second_factor,
        second_factor_at=session.second_factor_at,
    )


def terminate_session(call: Call, _command: TerminateSession, session: Session) -> None:
    sessions.terminate(session, call.now)


def select_account(call: Call, command: SelectAccount, session: Session) -> None:
    """Whom one account's identity provider vouched for stays in that account: its word means nothing elsewhere."""
    if session.provider_id is not None and session.account_id != command.account:
        raise AccessDenied("vouched-for", "This login counts in one account only; log in again for another")
    membership = Membership.objects.filter(
        user_id=call.principal.id, account_id=command.account, invitation_pending=False
    ).first()
    if membership is None:
        raise NotFound("The account does not exist", "not-a-member")
    if not membership.enabled:
        raise AccessDenied("user-disabled", "The user is disabled in this account")
    session.account_id = command.account
    session.save(update_fields=["account"])
    call.details["account"] = str(command.account)
    call.touched.insert(0, Target("session", session.id, command.account))


# -- resolution ----------------------------------------------------------------------------------------------------


def _resolve_login(_call: Call, _command: LogIn) -> Sequence[Resolved]:
    return (Resolved(Permission.SESSION_CREATE, Target("server")),)


def _resolve_session(call: Call, command: Command) -> Sequence[Resolved]:
    target = Target("session", call.principal.session, call.principal.account)
    session = None
    if call.principal.session is not None:
        session = Session.objects.select_for_update(of=("self",)).filter(id=call.principal.session).first()
    if session is None and call.principal.kind is not PrincipalKind.ANONYMOUS:
        raise InvalidRequest("This needs a session; an API key on the call itself has none")
    if isinstance(command, SelectAccount) and call.principal.kind is PrincipalKind.APP:
        raise InvalidRequest("An app belongs to one account and selects none")
    return (Resolved(Permission.SESSION_MANAGE, target, session),)


def _describe_login(command: LogIn) -> Mapping[str, Detail]:
    """The name that was tried: an app's id or an e-mail address, cut short in case a secret was pasted there."""
    return {"email": method_of(command.credential).named(command.credential)[:64]}


def _admit(_principal: Principal, command: LogIn, context: CallContext) -> None:
    method_of(command.credential).admit(command.credential, context)


_operation = control(Category.AUTHENTICATION)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(LogIn, "session.create", _resolve_login, log_in, describe=_describe_login, admit=_admit),
    _operation(RefreshSession, "session.refresh", _resolve_session, refresh_session, on_self=True),
    _operation(Reauthenticate, "session.reauthenticate", _resolve_session, reauthenticate, on_self=True),
    _operation(TerminateSession, "session.terminate", _resolve_session, terminate_session, on_self=True),
    _operation(SelectAccount, "session.select-account", _resolve_session, select_account, on_self=True),
)
