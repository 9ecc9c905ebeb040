"""Passwords of users: change, forget, set anew with a code that was mailed. Setting one never logs anybody in.

It must not know the wire or HTTP, nor how mail travels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from accounts import addresses, codes, outbox, passwords, throttle
from accounts.models import CodePurpose, Session, User
from accounts.principal import Principal, PrincipalKind
from accounts.throttle import Attempt
from kms.audit.entry import CallContext, Category, Detail
from kms.crypto.errors import ParameterInvalid
from kms.operations import attempts
from kms.operations.authority import absent
from kms.operations.command import Call, Command, Operation, Resolved, control
from kms.operations.errors import AccessDenied, InvalidRequest, NotFound
from kms.operations.mailed_codes import code_of, resolve_public
from kms.secret import SecretBytes
from policies.decision import Target
from policies.permissions import Permission


@dataclass(frozen=True, slots=True)
class ChangePassword(Command):
    """The caller's own. Their other sessions end with it."""

    current: SecretBytes
    new: SecretBytes


@dataclass(frozen=True, slots=True)
class RequestPasswordReset(Command):
    """Have a code mailed to whoever has this address, if anybody has."""

    email: str


@dataclass(frozen=True, slots=True)
class CheckResetCode(Command):
    """Whether a code would be taken, before somebody thinks of a password. It is not used up."""

    user: UUID
    code: SecretBytes


@dataclass(frozen=True, slots=True)
class ResetPassword(Command):
    user: UUID
    code: SecretBytes
    new: SecretBytes


# -- handlers ------------------------------------------------------------------------------------------------------


def change_password(call: Call, command: ChangePassword, user: User) -> None:
    demand_password(call, user, command.current)
    set_password(user, command.new, call.now, keep=call.principal.session)


def request_password_reset(call: Call, command: RequestPasswordReset, _payload: None) -> None:
    """Nobody is looked up here: who has the address is found when the mail is sent, so both cost the same."""
    outbox.ask(CodePurpose.RESET_PASSWORD, addresses.normalised(command.email)[: addresses.MAX_LENGTH], call.now)


def check_reset_code(call: Call, command: CheckResetCode, _payload: None) -> str:
    user, _ = code_of(call, CodePurpose.RESET_PASSWORD, command.user, command.code)
    return user.email


def reset_password(call: Call, command: ResetPassword, _payload: None) -> None:
    """Who reads the mailbox has shown that the address is theirs. Second factors are asked for as ever."""
    user, row = code_of(call, CodePurpose.RESET_PASSWORD, command.user, command.code)
    codes.spend(row, call.now)
    user.email_verified = True
    set_password(user, command.new, call.now)


# -- what the flows with codes share -------------------------------------------------------------------------------


def set_password(user: User, new: SecretBytes, now: datetime, *, keep: UUID | None = None) -> None:
    """On a locked user: the password, if the policy takes it. All codes are void then, and all sessions but one end."""
    user.set_password(checked_password(new, user))
    user.save(update_fields=["password", "email_verified"])
    codes.void_all(user)
    end_sessions(user, now, keep=keep)


def end_sessions(user: User, now: datetime, *, keep: UUID | None = None) -> None:
    running = Session.objects.filter(user=user, terminated_at__isnull=True)
    (running if keep is None else running.exclude(id=keep)).update(terminated_at=now)


def checked_password(password: SecretBytes, user: User) -> str:
    """The text of a password that the policy accepts."""
    try:
        return passwords.checked(_text(password), user)
    except ValueError as error:
        raise ParameterInvalid(str(error)) from None


def demand_password(call: Call, user: User, current: SecretBytes) -> None:
    """The person at a session that is open shows that it is theirs. Its operation has ``admit_password``."""
    if not user.check_password(_text(current)):
        raise AccessDenied("wrong-password", "The current password is not right")
    attempts.clear(Attempt(throttle.PASSWORD, user.id, call.context.client_ip))


def admit_password(principal: Principal, _command: Command, context: CallContext) -> None:
    """The same door as the login's: it is the same secret."""
    if principal.kind is PrincipalKind.USER:
        attempts.reserve(Attempt(throttle.PASSWORD, principal.id, context.client_ip))


def _text(secret: SecretBytes) -> str:
    return secret.reveal().decode()


# -- resolution ----------------------------------------------------------------------------------------------------


def resolve_own_user(permission: Permission) -> Any:
    """The calling user's row, locked."""

    def resolve(call: Call, _command: Command) -> Sequence[Resolved]:
        if call.principal.kind is PrincipalKind.APP:
            raise InvalidRequest("This is about a user; an app has nothing of the kind")
        user = codes.lock_user(call.principal.id)
        if user is None and call.principal.kind is PrincipalKind.USER:
            raise NotFound(absent("user"))  # deleted while it called
        return (Resolved(permission, Target("user", call.principal.id, call.principal.account), user),)

    return resolve


def _describe_request(command: RequestPasswordReset) -> Mapping[str, Detail]:
    """The name that was tried, cut short in case a secret was pasted there."""
    return {"email": command.email[:64]}


_operation = control(Category.AUTHENTICATION)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(
        ChangePassword,
        "user.change-password",
        resolve_own_user(Permission.OWN_PASSWORD),
        change_password,
        on_self=True,
        admit=admit_password,
    ),
    _operation(
        RequestPasswordReset,
        "user.forgot-password",
        resolve_public(Permission.CODE_REQUEST),
        request_password_reset,
        describe=_describe_request,
    ),
    _operation(CheckResetCode, "user.check-code", resolve_public(Permission.CODE_REDEEM), check_reset_code),
    _operation(ResetPassword, "user.reset-password", resolve_public(Permission.CODE_REDEEM), reset_password),
)
