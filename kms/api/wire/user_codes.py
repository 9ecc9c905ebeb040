"""/sys/v1/users on the wire: passwords, codes that are mailed, invitations by mail."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from kms.api.wire.base import Endpoint, Request, Response, WireCall, nothing, path_id, unsupported
from kms.operations.invitations import AcceptInvitation, ResendInvitation
from kms.operations.own_address import ConfirmAddress, RequestConfirmation
from kms.operations.passwords import ChangePassword, CheckResetCode, RequestPasswordReset, ResetPassword
from kms.secret import SecretBytes


class PasswordChangeRequest(Request):
    current_password: str
    new_password: str


class ForgotPasswordRequest(Request):
    user_email: str
    recaptcha_response: str | None = None


class ValidateTokenRequest(Request):
    reset_token: str


class PasswordResetRequest(Request):
    reset_token: str
    new_password: str


class ConfirmEmailRequest(Request):
    confirm_token: str


class AcceptInviteRequest(Request):
    """Ours: the vendor has no name for it."""

    invite_token: str
    new_password: str


class EmailResponse(Response, omit_defaults=False):
    user_email: str


def _secret(text: str) -> SecretBytes:
    return SecretBytes(text.encode())


def _change(call: WireCall) -> ChangePassword:
    return ChangePassword(_secret(call.body.current_password), _secret(call.body.new_password))


def _forgot(call: WireCall) -> RequestPasswordReset:
    unsupported(recaptcha_response=call.body.recaptcha_response)
    return RequestPasswordReset(call.body.user_email)


def _validate(call: WireCall) -> CheckResetCode:
    return CheckResetCode(_user(call), _secret(call.body.reset_token))


def _reset(call: WireCall) -> ResetPassword:
    return ResetPassword(_user(call), _secret(call.body.reset_token), _secret(call.body.new_password))


def _confirm(call: WireCall) -> ConfirmAddress:
    return ConfirmAddress(_user(call), _secret(call.body.confirm_token))


def _accept(call: WireCall) -> AcceptInvitation:
    return AcceptInvitation(_user(call), _secret(call.body.invite_token), _secret(call.body.new_password))


def _user(call: WireCall) -> UUID:
    return path_id(call, "user_id")


def _email(address: str) -> EmailResponse:
    return EmailResponse(user_email=address)


_PATH = "/sys/v1/users"
_ONE = _PATH + "/{user_id}"


def _post(operation: str, path: str, to_command: Any, **parts: Any) -> Endpoint:
    """Those that answer nothing, but for the two that name the address."""
    answer = parts.pop("answer", nothing)
    status = 204 if answer is nothing else 200
    return Endpoint(operation, "POST", path, to_command, answer, status=status, **parts)


ENDPOINTS: tuple[Endpoint, ...] = (
    _post("ChangePassword", f"{_PATH}/change_password", _change, body=PasswordChangeRequest),
    _post("ForgotPassword", f"{_PATH}/forgot_password", _forgot, body=ForgotPasswordRequest, anonymous=True),
    _post(
        "ValidateToken",
        _ONE + "/validate_token",
        _validate,
        answer=_email,
        body=ValidateTokenRequest,
        anonymous=True,
    ),
    _post("ResetPassword", _ONE + "/reset_password", _reset, body=PasswordResetRequest, anonymous=True),
    _post("ResendConfirmEmail", f"{_PATH}/resend_confirm_email", lambda _call: RequestConfirmation()),
    # The vendor's Python SDK names the user, the others do not.
    _post("ResendConfirmEmailById", _ONE + "/resend_confirm_email", lambda call: RequestConfirmation(_user(call))),
    _post("ConfirmEmail", _ONE + "/confirm_email", _confirm, answer=_email, body=ConfirmEmailRequest),
    _post("ResendInvite", _ONE + "/resend_invite", lambda call: ResendInvitation(_user(call))),
    _post("AcceptInvite", _ONE + "/accept_invite", _accept, body=AcceptInviteRequest, anonymous=True),
)
