"""Mails that are due, as rows: asked for in a call's transaction, taken out by whoever sends them.

It must not know their text, nor whether an address is anybody's: asking costs the same either way.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection
from django.db.models import Exists, F, OuterRef, QuerySet

from accounts.models import CodePurpose, NewsPurpose, OutgoingMail, User

# Nobody's mailbox is to be filled by others. An hour's share, and what of it one account may use in ten minutes.
HOUR, MOST_IN_AN_HOUR = timedelta(hours=1), 10
BURST, MOST_IN_A_BURST = timedelta(minutes=10), 3

RETRY_AFTER, RETRY_AT_MOST = timedelta(seconds=30), timedelta(hours=1)
GIVE_UP_AFTER = timedelta(days=1)

_LOCK_CLASS = 6245  # "mail" on a telephone's keys; every process takes the same


def ask(
    purpose: CodePurpose | NewsPurpose,
    email: str,
    now: datetime,
    *,
    user: UUID | None = None,
    account: UUID | None = None,
) -> bool:
    """Have a mail sent. One that is due already will do. False when the address has had its share for now."""
    with connection.cursor() as cursor:  # lock, then look: there is no row yet to lock
        cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [_LOCK_CLASS, f"{purpose} {email}"])
    lately = OutgoingMail.objects.filter(purpose=purpose, email=email, created_at__gt=now - HOUR)
    seen = list(lately.values_list("account_id", "user_id", "created_at", "sent_at"))
    same = [(at, sent) for of, whose, at, sent in seen if (of, whose) == (account, user)]
    if any(sent is None for _, sent in same):
        return True
    if len(seen) >= MOST_IN_AN_HOUR or sum(at > now - BURST for at, _ in same) >= MOST_IN_A_BURST:
        return False
    OutgoingMail.objects.create(
        purpose=purpose, email=email, user_id=user, account_id=account, created_at=now, not_before=now
    )
    return True


def due(now: datetime) -> QuerySet[OutgoingMail]:
    return OutgoingMail.objects.filter(sent_at__isnull=True, not_before__lte=now).order_by("not_before")


def pass_over_strangers(now: datetime) -> int:
    """Addresses that are nobody's get nothing, and keep nobody waiting, however many were asked for."""
    known = User.objects.filter(email=OuterRef("email"))
    unknown = due(now).filter(purpose=CodePurpose.RESET_PASSWORD).exclude(Exists(known)).order_by()
    return unknown.update(sent_at=now)


def sent(row: OutgoingMail, now: datetime) -> None:
    OutgoingMail.objects.filter(pk=row.pk).update(sent_at=now)


def failed(row: OutgoingMail, now: datetime) -> bool:
    """Try again later, each time after twice as long. False when it has been tried for a day: it is given up."""
    if row.created_at <= now - GIVE_UP_AFTER:
        row.delete()
        return False
    pause = min(RETRY_AFTER * 2 ** min(row.attempts, 10), RETRY_AT_MOST)
    OutgoingMail.objects.filter(pk=row.pk).update(attempts=F("attempts") + 1, not_before=now + pause)
    return True


def tidy(now: datetime) -> None:
    OutgoingMail.objects.filter(sent_at__lte=now - HOUR).delete()
