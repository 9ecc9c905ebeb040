"""Codes that are mailed: made, redeemed, voided. It knows no mail, no passwords and no edge.

256 bits each, so that there is nothing to guess; good once, for one purpose, one person and one address. What makes a
code void or old is judged when it is used.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Q

from accounts.models import CodePurpose, OneTimeCode, OutgoingMail, User

CODE_BYTES = 32
LIFETIME = {
    CodePurpose.INVITATION: timedelta(days=7),
    CodePurpose.CONFIRM_EMAIL: timedelta(days=2),
    CodePurpose.RESET_PASSWORD: timedelta(hours=1),
}


class CodeNotValid(Exception):
    """Not a code, or not one for this. ``reason`` is for the record; outside, all of them look the same."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def make(
    purpose: CodePurpose, user: User, now: datetime, *, email: str, account: UUID | None = None
) -> tuple[OneTimeCode, str]:
    """A new code and its row. The older of its kind hold until ``supersede``: this one may never arrive."""
    code = secrets.token_urlsafe(CODE_BYTES)
    row = OneTimeCode.objects.create(
        purpose=purpose,
        user=user,
        account_id=account,
        email=email,
        digest=_digest(purpose, user.id, code),
        created_at=now,
        expires_at=now + LIFETIME[purpose],
    )
    return row, code


def supersede(row: OneTimeCode) -> None:
    """This one has arrived: the older of its kind are void."""
    kind = Q(purpose=row.purpose, user_id=row.user_id, account_id=row.account_id)
    OneTimeCode.objects.filter(kind, id__lt=row.id).delete()


def void_all(user: User) -> None:
    """For a new password: whoever holds an old code, or has asked for one, must not replace it."""
    OneTimeCode.objects.filter(user=user, used_at__isnull=True).delete()
    asked = OutgoingMail.objects.filter(purpose=CodePurpose.RESET_PASSWORD, email=user.email, sent_at__isnull=True)
    asked.delete()


def lock_user(user: UUID) -> User | None:
    """The row that everything about a person's password, address and codes waits for. Sessions may still be made."""
    return User.objects.select_for_update(no_key=True).filter(id=user).first()


def look_up(purpose: CodePurpose, user: User | None, claimed: UUID, code: str, *, now: datetime) -> OneTimeCode:
    """The code's row, locked, if it is good for this now; CodeNotValid otherwise.

    ``user`` is the row of ``claimed``, locked, or None: who does not exist is asked for in the same way.
    """
    digest = _digest(purpose, claimed, code)
    row = OneTimeCode.objects.select_for_update().filter(digest=digest).first()
    if row is None or user is None:
        raise CodeNotValid("unknown-code")
    if row.used_at is not None:
        raise CodeNotValid("code-used")
    if row.expires_at <= now:
        raise CodeNotValid("code-expired")
    wanted = user.new_email or user.email if purpose is CodePurpose.CONFIRM_EMAIL else user.email
    if row.email != wanted:
        raise CodeNotValid("code-for-another-address")
    return row


def spend(row: OneTimeCode, now: datetime) -> None:
    row.used_at = now
    row.save(update_fields=["used_at"])


def tidy(now: datetime) -> None:
    """Nothing waits for this: an expired code is refused while it is still there."""
    OneTimeCode.objects.filter(expires_at__lte=now - timedelta(days=1)).delete()


def _digest(purpose: CodePurpose, user: UUID, code: str) -> bytes:
    """Of the purpose and the person too, so that a code of one kind or person does not exist for another."""
    return hashlib.sha256(b"\0".join((b"keystead code v1", purpose.encode(), user.bytes, code.encode()))).digest()
