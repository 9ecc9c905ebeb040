"""The server's letterbox: sends the mails that are due, and makes their codes at that moment.

Every process may run it; a database lock lets one at a time. A code exists in clear between its making and the mail
server only. It must not know the wire, or who asked.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.core.mail import get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.db import transaction

from accounts import codes, outbox
from accounts.clock import clock
from accounts.mail import Mail
from accounts.models import CodePurpose, Membership, NewsPurpose, OneTimeCode, OutgoingMail, User
from kms.operations.alone import alone

logger = logging.getLogger(__name__)

MAILER_LOCK = 624_537  # "mailer" on a telephone's keys
AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class MailTurn:
    """What one turn did; ``ours`` is False when another process was at it."""

    ours: bool
    sent: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class _Prepared:
    row: OutgoingMail
    mail: Mail
    code: OneTimeCode | None


class Mailer:
    """``public_url`` is the origin in the mails' links."""

    def __init__(self, public_url: str) -> None:
        self._public_url = public_url

    def turn(self) -> MailTurn:
        with alone(MAILER_LOCK) as ours:
            return self._work(clock.now()) if ours else MailTurn(ours=False)

    def _work(self, now: datetime) -> MailTurn:
        outbox.tidy(now)
        codes.tidy(now)
        outbox.pass_over_strangers(now)
        rows = list(outbox.due(now)[:AT_ONCE])
        prepared = [found for found in (self._prepare(row, now) for row in rows) if found is not None]
        outcomes = _deliver(prepared, now) if prepared else []
        return MailTurn(True, outcomes.count(True), outcomes.count(False))

    def _prepare(self, row: OutgoingMail, now: datetime) -> _Prepared | None:
        """The mail, with its code made, if there is still reason for it; a new password in between takes it away."""
        with transaction.atomic():
            user = _addressee(row)
            if user is None or not OutgoingMail.objects.select_for_update().filter(pk=row.pk).exists():
                outbox.sent(row, now)
                return None
            code, text, purpose = None, None, purpose_of(row)
            if isinstance(purpose, CodePurpose) and (purpose is not CodePurpose.INVITATION or _needs_password(user)):
                code, text = codes.make(purpose, user, now, email=row.email, account=row.account_id)
            name = "" if row.account is None else row.account.name
            mail = Mail(purpose, row.email, user.id, self._public_url, text, name)
            return _Prepared(row, mail, code)


def purpose_of(row: OutgoingMail) -> CodePurpose | NewsPurpose:
    return CodePurpose(row.purpose) if row.purpose in CodePurpose.values else NewsPurpose(row.purpose)


def _addressee(row: OutgoingMail) -> User | None:
    """Whom the mail is for, locked; None when there is nobody, or no reason any more."""
    whose = row.user_id or User.objects.filter(email=row.email).values_list("id", flat=True).first()
    user = None if whose is None else codes.lock_user(whose)
    return user if user is not None and _has_reason(row, user) else None


def _has_reason(row: OutgoingMail, user: User) -> bool:
    if row.purpose == CodePurpose.INVITATION:
        return _invited(row, user)
    if row.purpose == CodePurpose.CONFIRM_EMAIL:
        return _unconfirmed(row, user)
    if row.purpose in NewsPurpose.values and not _is_member(row, user):
        return False
    return user.email == row.email


def _invited(row: OutgoingMail, user: User) -> bool:
    return Membership.objects.filter(user=user, account=row.account, invitation_pending=True).exists()


def _is_member(row: OutgoingMail, user: User) -> bool:
    own = Membership.objects.filter(user=user, account=row.account, account__enabled=True)
    return own.filter(enabled=True, invitation_pending=False).exists()


def _unconfirmed(row: OutgoingMail, user: User) -> bool:
    """The address is theirs and unconfirmed, or wanted by them and free. Who wants a taken one does not learn it."""
    if user.new_email:
        return user.new_email == row.email and not User.objects.filter(email=row.email).exists()
    return user.email == row.email and not user.email_verified


def _needs_password(user: User) -> bool:
    """Who has confirmed the address and has a password logs in with it. The password of another was given by whoever
    invited first, so it may be known to somebody else: the mail lets them choose their own."""
    return not (user.email_verified and user.has_usable_password())


def _deliver(prepared: Sequence[_Prepared], now: datetime) -> list[bool]:
    """One connection for all. What goes wrong with one mail, or with the connection, leaves the rest for later."""
    mails = get_connection()
    try:
        mails.open()
    except Exception as error:  # of the mail server's making: whatever it is, the mails wait
        mails.close()
        return [_failed(each, error, now) for each in prepared]
    try:
        return [_send(mails, each, now) for each in prepared]
    finally:
        mails.close()


def _send(mails: BaseEmailBackend, prepared: _Prepared, now: datetime) -> bool:
    message = prepared.mail.message()
    message.connection = mails
    try:
        message.send()
    except Exception as error:  # the others are to be sent
        return _failed(prepared, error, now)
    with transaction.atomic():
        if prepared.code is not None:
            codes.supersede(prepared.code)
        outbox.sent(prepared.row, now)
    return True


def _failed(prepared: _Prepared, error: Exception, now: datetime) -> bool:
    """The error's text may hold the address, so the log has its kind only."""
    row = prepared.row
    if prepared.code is not None:
        prepared.code.delete()
    if outbox.failed(row, now):
        logger.warning("mail %s (%s) was not sent and will be tried again: %s", row.pk, row.purpose, _kind(error))
    else:
        logger.error("mail %s (%s) could not be sent for a day and is given up: %s", row.pk, row.purpose, _kind(error))
    return False


def _kind(error: Exception) -> str:
    code = getattr(error, "smtp_code", None) or getattr(error, "errno", None)
    return type(error).__name__ if code is None else f"{type(error).__name__} {code}"
