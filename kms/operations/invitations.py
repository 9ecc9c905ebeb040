"""Invitations to an account: made by its administrators, mailed, accepted or refused by who was invited.

It must not know the wire or HTTP, nor how mail travels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from accounts import addresses, codes
from accounts.models import AccountRole, CodePurpose, GroupMembership, Membership, User
from kms.audit.entry import Category, Detail
from kms.crypto.errors import ParameterInvalid
from kms.operations.authority import account_target
from kms.operations.command import Call, Command, Operation, Resolved, control
from kms.operations.errors import Conflict, NotFound
from kms.operations.groups import groups_to_join
from kms.operations.held_roles import set_account_roles, set_group_roles
from kms.operations.mailed_codes import code_of, mail, refused, resolve_public
from kms.operations.passwords import checked_password, set_password
from kms.operations.quorum_places import guards_of_administrators, guards_of_places, role_places
from kms.operations.users import GroupRoles, UserView, resolve_own, resolve_user, user_target, view_of
from kms.secret import SecretBytes
from policies.permissions import Permission


@dataclass(frozen=True, slots=True)
class InviteUser(Command):
    """``initial_password`` sets up a user who is new to this server; an existing user keeps their own.

    Roles are as in ``UpdateUser``. They are given now, so whoever invites holds all of it now; they count from the
    acceptance on. A mail says so, with a code for who is new or was never confirmed.
    """

    email: str
    role: str
    groups: GroupRoles = field(default_factory=dict)
    roles: frozenset[UUID] = frozenset()
    group_roles: Mapping[UUID, frozenset[UUID]] = field(default_factory=dict)
    first_name: str = ""
    last_name: str = ""
    description: str = ""
    initial_password: SecretBytes | None = None


@dataclass(frozen=True, slots=True)
class ResendInvitation(Command):
    """Mail it again, with a new code; the older one is void then."""

    user: UUID


@dataclass(frozen=True, slots=True)
class AcceptInvitation(Command):
    """With the code that was mailed: the person chooses a password, and is in."""

    user: UUID
    code: SecretBytes
    new_password: SecretBytes


@dataclass(frozen=True, slots=True)
class ProcessInvitations(Command):
    """Logged in: accept and reject what is pending."""

    accepted: frozenset[UUID] = frozenset()
    rejected: frozenset[UUID] = frozenset()


@dataclass(frozen=True, slots=True)
class ListInvitations(Command):
    """What is pending for the caller."""


# -- handlers ------------------------------------------------------------------------------------------------------


def invite_user(call: Call, command: InviteUser, *_groups: Any) -> UserView:
    email = checked_address(command.email)
    user = _known_user(email) or _new_user(command, email)
    if Membership.objects.filter(user=user, account_id=call.account).exists():
        raise Conflict("already-a-member", "The user is a member of this account already")
    _refuse_unconfirmed_stranger(user, call)
    membership = Membership.objects.create(
        user=user, account_id=call.account, role=command.role, invitation_pending=True
    )
    set_account_roles(call, membership, command.roles)
    for group, role in command.groups.items():
        inside = GroupMembership.objects.create(user=user, group_id=group, role=role)
        set_group_roles(call, inside, command.group_roles.get(group, frozenset()))
    call.touched.insert(0, user_target(user.id, call.account))
    mail(call, CodePurpose.INVITATION, user.email, account=call.account)
    return view_of(call, user)


def checked_address(text: str) -> str:
    """An address that mail can be sent to, in its one spelling."""
    try:
        return addresses.checked(text)
    except ValueError as error:
        raise ParameterInvalid(f"user_email {error}") from None


def _known_user(email: str) -> User | None:
    """Who has this address. One who never confirmed it and belongs nowhere is what an earlier invitation left behind:
    whoever made it may know the password, or have enrolled factors, so nothing of it is kept."""
    user = User.objects.select_for_update().filter(email=email).first()
    if user is None or user.email_verified or Membership.objects.filter(user=user).exists():
        return user
    user.delete()
    return None


def _refuse_unconfirmed_stranger(user: User, call: Call) -> None:
    """Whoever first invited an address may know its password. Until the person has confirmed the address, nobody else
    can be sure whom they are letting in."""
    elsewhere = Membership.objects.filter(user=user).exclude(account_id=call.account).exists()
    if elsewhere and not user.email_verified:
        raise Conflict("email-not-confirmed", "The address has not been confirmed yet, so it cannot be invited")


def _new_user(command: InviteUser, email: str) -> User:
    user = User(
        email=email, first_name=command.first_name, last_name=command.last_name, description=command.description
    )
    if command.initial_password is None:
        user.set_unusable_password()
    else:
        user.set_password(checked_password(command.initial_password, user))
    user.save()
    return user


def resend_invitation(call: Call, _command: ResendInvitation, payload: tuple[User, Membership]) -> None:
    user, membership = payload
    if not membership.invitation_pending:
        raise Conflict("not-pending", "The user has accepted already")
    mail(call, CodePurpose.INVITATION, user.email, account=call.account)


def accept_invitation(call: Call, command: AcceptInvitation, _payload: None) -> None:
    """The code came to the address, so the address is theirs. What else was known of the user's password is over."""
    user, row = code_of(call, CodePurpose.INVITATION, command.user, command.code)
    pending = Membership.objects.filter(user=user, account=row.account, invitation_pending=True)
    if not pending.update(invitation_pending=False):
        raise refused("invitation-gone")
    codes.spend(row, call.now)
    user.email_verified = True
    set_password(user, command.new_password, call.now)
    call.details["account"] = str(row.account_id)


def process_invitations(call: Call, command: ProcessInvitations, _payload: None) -> None:
    pending = Membership.objects.select_for_update().filter(user_id=call.principal.id, invitation_pending=True)
    wanted = command.accepted | command.rejected
    known = set(pending.filter(account_id__in=wanted).values_list("account_id", flat=True))
    if known != wanted or command.accepted & command.rejected:
        raise NotFound("There is no such pending invitation")
    pending.filter(account_id__in=command.accepted).update(invitation_pending=False)
    for membership in pending.filter(account_id__in=command.rejected):
        GroupMembership.objects.filter(user_id=call.principal.id, group__account_id=membership.account_id).delete()
        membership.delete()


def list_invitations(call: Call, _command: ListInvitations, _payload: None) -> list[Membership]:
    """An account says its name to whom it invites, as its mail does, and the role that waits there."""
    pending = Membership.objects.filter(user_id=call.principal.id, invitation_pending=True)
    rows = list(pending.select_related("account").prefetch_related("role_grants").order_by("account__name"))
    call.details["returned"] = len(rows)
    return rows


# -- resolution ----------------------------------------------------------------------------------------------------


def _resolve_invitation(call: Call, command: InviteUser) -> Sequence[Resolved]:
    guards = guards_of_places(call, Permission.USER_INVITE, *role_places(command.role, command.roles))
    if command.role == AccountRole.ADMINISTRATOR:
        guards += guards_of_administrators(call, Permission.USER_INVITE)
    return (
        Resolved(Permission.USER_INVITE, replace(account_target(call), guards=guards)),
        *groups_to_join(call, command.groups, Permission.GROUP_USERS_ADD),
    )


def _describe_invitation(command: InviteUser) -> Mapping[str, Detail]:
    return {"email": command.email, "role": command.role}


_operation = control(Category.ADMINISTRATIVE)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(InviteUser, "user.invite", _resolve_invitation, invite_user, describe=_describe_invitation),
    _operation(
        ResendInvitation, "user.resend-invitation", resolve_user(Permission.USER_INVITE, lock=True), resend_invitation
    ),
    _operation(AcceptInvitation, "user.accept-invitation", resolve_public(Permission.CODE_REDEEM), accept_invitation),
    _operation(ListInvitations, "user.list-invitations", resolve_own(Permission.OWN_INVITATIONS), list_invitations),
    _operation(
        ProcessInvitations, "user.process-invitations", resolve_own(Permission.OWN_INVITATIONS), process_invitations
    ),
)
