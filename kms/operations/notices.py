"""Who is to be told of a request for approval, as rows: written in the call's own transaction, taken out by senders.

Reviewers are told that something is asked, the requester how it ended, the account's webhook both. It must not know
how mail and calls travel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from uuid import UUID

from django.db.models import F, QuerySet

from accounts.clock import clock
from accounts.models import Membership, User
from accounts.outbox import GIVE_UP_AFTER, HOUR, RETRY_AFTER, RETRY_AT_MOST
from accounts.principal import PrincipalKind
from kms.operations.needed_quorums import guards_needed
from policies.models import AccountPolicy, ApprovalEvent, ApprovalRequest, Notice
from policies.quorum import Guard, MemberKind, places
from policies.reviewers import holders_of, person_behind

# Reviewers of one request who are told of it, and mails an hour to one of them: nobody's mailbox is to be filled.
MOST_TOLD, MOST_IN_AN_HOUR = 50, 30


@dataclass(frozen=True, slots=True)
class Sent:
    """What a sender's turn did; ``ours`` is False when another process was at it."""

    ours: bool
    sent: int = 0
    failed: int = 0


def announce(request: ApprovalRequest, event: ApprovalEvent) -> None:
    """In the transaction of what happened to the request. Saying it again changes nothing."""
    now = clock.now()
    people = _reviewers(request, now) if event is ApprovalEvent.ASKED else _requester(request)
    told: list[UUID | None] = list(people)
    if AccountPolicy.objects.filter(account=request.account_id).exclude(webhook_url="").exists():
        told.append(None)
    rows = [Notice(request=request, event=event, user_id=user, created_at=now, not_before=now) for user in told]
    Notice.objects.bulk_create(rows, ignore_conflicts=True)


# -- who -----------------------------------------------------------------------------------------------------------


def _requester(request: ApprovalRequest) -> list[UUID]:
    """Who has gone since is told nothing."""
    wanted = User.objects.filter(id=request.requester_id) if request.requester_kind == PrincipalKind.USER else None
    return [] if wanted is None else list(wanted.values_list("id", flat=True))


def _reviewers(request: ApprovalRequest, now: datetime) -> list[UUID]:
    """Those who could vote, who are named first. Whoever asked is no reviewer, and an app has no mailbox."""
    requester = person_behind(request.account_id, PrincipalKind(request.requester_kind), request.requester_id)
    wanted = dict.fromkeys(_in_places(request.account_id, guards_needed(request)))
    members = _members(request.account_id).filter(user__email_verified=True)
    able = set(members.filter(user_id__in=wanted).values_list("user_id", flat=True)) - {requester}
    able -= _told_often(able, now)
    return list(islice((user for user in wanted if user in able), MOST_TOLD))


def _in_places(account: UUID, guards: tuple[Guard, ...]) -> Iterator[UUID]:
    every = [place for guard in guards for place in places(guard.quorum)]
    yield from (place.id for place in every if place.kind is MemberKind.USER)
    for role in {place.id: None for place in every if place.kind is MemberKind.ROLE}:
        yield from holders_of(account, role)


def _members(account: UUID) -> QuerySet[Membership]:
    return Membership.objects.filter(account=account, enabled=True, invitation_pending=False)


def _told_often(users: set[UUID], now: datetime) -> set[UUID]:
    lately = Notice.objects.filter(user_id__in=users, event=ApprovalEvent.ASKED, created_at__gt=now - HOUR)
    counts: dict[UUID, int] = {}
    for user in lately.values_list("user_id", flat=True):
        assert user is not None  # it was asked for by user
        counts[user] = counts.get(user, 0) + 1
    return {user for user, count in counts.items() if count >= MOST_IN_AN_HOUR}


# -- what is due ---------------------------------------------------------------------------------------------------


def due(now: datetime) -> QuerySet[Notice]:
    """What is to be told of requests that are there, in accounts that are enabled."""
    waiting = Notice.objects.filter(sent_at__isnull=True, not_before__lte=now, request__account__enabled=True)
    return waiting.select_related("request__account", "user").order_by("not_before", "id")


def sent(row: Notice, now: datetime) -> None:
    Notice.objects.filter(pk=row.pk).update(sent_at=now)


def failed(row: Notice, now: datetime) -> timedelta:
    """Try again later, each time after twice as long; returns how much later. ``tidy`` ends it after a day."""
    pause: timedelta = min(RETRY_AFTER * 2 ** min(row.attempts, 10), RETRY_AT_MOST)
    Notice.objects.filter(pk=row.pk).update(attempts=F("attempts") + 1, not_before=now + pause)
    return pause


def put_off(account: UUID, until: datetime) -> None:
    """What else the account's webhook is to be told waits as long, so that it is told in order and called once."""
    waiting = Notice.objects.filter(sent_at__isnull=True, user__isnull=True, request__account=account)
    waiting.filter(not_before__lt=until).update(not_before=until)


def tidy(now: datetime) -> int:
    """Remove what was told, once it does not count any more, what is about nothing, and what could not be told for a
    day. Returns how many the last were."""
    Notice.objects.filter(sent_at__lte=now - HOUR).delete()
    Notice.objects.filter(sent_at__isnull=True, request__isnull=True).delete()
    return Notice.objects.filter(sent_at__isnull=True, created_at__lte=now - GIVE_UP_AFTER).delete()[0]
