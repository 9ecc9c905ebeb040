"""A person's e-mail address: confirm it with a code that was mailed, change it to another that is confirmed first.

It must not know the wire or HTTP, nor how mail travels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction

from accounts import codes
from accounts.models import CodePurpose, User
from kms.audit.entry import Category
from kms.operations.authority import absent
from kms.operations.command import Call, Command, Operation, Resolved, control
from kms.operations.errors import Conflict, NotFound
from kms.operations.invitations import checked_address
from kms.operations.mailed_codes import code_of, mail, refused
from kms.operations.passwords import admit_password, demand_password, resolve_own_user
from kms.operations.users import UserView, view_of
from kms.secret import SecretBytes
from policies.permissions import Permission


@dataclass(frozen=True, slots=True)
class RequestConfirmation(Command):
    """Mail the caller a code for their address, or for the one they want. ``user`` may be left out."""

    user: UUID | None = None


@dataclass(frozen=True, slots=True)
class ChangeAddress(Command):
    """The caller's own, with their password: whoever found a session open does not take the user over."""

    user: UUID
    email: str
    password: SecretBytes


@dataclass(frozen=True, slots=True)
class ConfirmAddress(Command):
    """The code shows who reads the mailbox, the session who knows the password: one person must have both.

    Otherwise whoever was first to set up a user for somebody's address would only need them to follow a link.
    """

    user: UUID
    code: SecretBytes


# -- handlers ------------------------------------------------------------------------------------------------------


def request_confirmation(call: Call, _command: RequestConfirmation, user: User) -> None:
    if user.email_verified and not user.new_email:
        raise Conflict("email-confirmed", "The address is confirmed already")
    mail(call, CodePurpose.CONFIRM_EMAIL, user.new_email or user.email, user=user.id)


def change_address(call: Call, command: ChangeAddress, user: User) -> UserView:
    """The old one holds until the new one is confirmed, and whether that is another's is not said."""
    demand_password(call, user, command.password)
    wanted = checked_address(command.email)
    user.new_email = "" if wanted == user.email else wanted
    user.save(update_fields=["new_email"])
    if user.new_email:
        mail(call, CodePurpose.CONFIRM_EMAIL, wanted, user=user.id)
    return view_of(call, user)


def confirm_address(call: Call, command: ConfirmAddress, user: User) -> str:
    _, row = code_of(call, CodePurpose.CONFIRM_EMAIL, command.user, command.code)
    codes.spend(row, call.now)
    if user.new_email:
        codes.void_all(user)  # those that went to the old address
    user.email, user.new_email, user.email_verified = row.email, "", True
    try:
        with transaction.atomic():
            user.save(update_fields=["email", "new_email", "email_verified"])
    except IntegrityError:  # somebody was invited under it meanwhile: the code is worth nothing any more
        raise refused("address-taken") from None
    return user.email


# -- resolution ----------------------------------------------------------------------------------------------------

_resolve_self: Any = resolve_own_user(Permission.OWN_EMAIL)
_About = RequestConfirmation | ChangeAddress | ConfirmAddress


def _resolve_named_self(call: Call, command: _About) -> Sequence[Resolved]:
    """Whoever else is named does not exist, or the code is not theirs."""
    found: Sequence[Resolved] = _resolve_self(call, command)
    if command.user not in (None, call.principal.id):
        if isinstance(command, ConfirmAddress):
            raise refused("code-for-another-user")
        raise NotFound(absent("user"))
    return found


_operation = control(Category.AUTHENTICATION)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(RequestConfirmation, "user.request-confirmation", _resolve_named_self, request_confirmation),
    _operation(
        ChangeAddress,
        "user.change-address",
        _resolve_named_self,
        change_address,
        on_self=True,
        admit=admit_password,
    ),
    _operation(ConfirmAddress, "user.confirm-address", _resolve_named_self, confirm_address, on_self=True),
)
