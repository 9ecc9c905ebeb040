"""Notices sinks that do not get their entries, says so once, and once more when they have caught up.

To the record, to the server's own log, and by mail to the account's administrators. What a sink is and how it is told
is log_sinks' and log_shipping's to know; it must not know the wire.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction

from accounts import outbox
from accounts.clock import clock
from accounts.models import AccountRole, Membership, NewsPurpose
from kms.audit import log
from kms.audit.entry import Outcome, of_the_server
from kms.audit.models import LogSink
from kms.audit.trust import trust
from kms.operations.alone import alone
from kms.operations.log_sinks import SinkView, view_of

logger = logging.getLogger(__name__)

WATCH_LOCK = 564_928  # "logwat" on a telephone's keys
# Attempts in a row that failed, which are some five minutes.
MOST_FAILURES = 6


class LogWatch:
    """Every process may run it; one at a time looks. A sink is late when an entry has waited for longer than ``limit``,
    and has caught up when none has waited for half as long: one on the edge is not reported at every turn."""

    def __init__(self, limit: timedelta) -> None:
        self._limit = limit

    def turn(self) -> int:
        """How many sinks there was news of. A record that was set back is shipped to nobody, and nobody is late."""
        if trust.reason is not None:
            return 0
        with alone(WATCH_LOCK) as ours:
            rows = LogSink.objects.filter(enabled=True, account__enabled=True) if ours else LogSink.objects.none()
            return sum(self._looked_at(view_of(row, clock.now())) for row in rows)

    def _looked_at(self, view: SinkView) -> bool:
        row, waited = view.row, timedelta(seconds=view.seconds_behind)
        failing = row.attempts >= MOST_FAILURES
        if row.lagging_since is None and (failing or waited > self._limit):
            return _lags(view, clock.now())
        if row.lagging_since is not None and not row.attempts and waited <= self._limit / 2:
            return _recovered(view)
        return False


def _lags(view: SinkView, now: datetime) -> bool:
    row = view.row
    with transaction.atomic():
        if not LogSink.objects.filter(id=row.id, lagging_since=None).update(lagging_since=now):
            return False
        _record(view, "log-sink.lagging", Outcome.FAILED, "lagging")
        for user, email in _administrators(row):
            outbox.ask(NewsPurpose.LOG_LAGGING, email, now, user=user, account=row.account_id)
    logger.error(
        "sink %s of account %s does not get its entries: %s wait, the first for %s s, after %s attempts (%s)",
        *(row.id, row.account_id, view.entries_behind, view.seconds_behind, row.attempts, row.last_error or "no error"),
    )
    return True


def _recovered(view: SinkView) -> bool:
    row = view.row
    with transaction.atomic():
        if not LogSink.objects.filter(id=row.id, lagging_since__isnull=False).update(lagging_since=None):
            return False
        _record(view, "log-sink.recovered", Outcome.DONE, "recovered")
    logger.warning("sink %s of account %s gets its entries again", row.id, row.account_id)
    return True


def _record(view: SinkView, action: str, outcome: Outcome, reason: str) -> None:
    row = view.row
    log.append(
        of_the_server(
            action,
            outcome,
            reason,
            account=row.account_id,
            object_kind="log-sink",
            object_id=row.id,
            details={"kind": row.kind, "items": view.entries_behind},
        )
    )


def _administrators(row: LogSink) -> list[tuple[UUID, str]]:
    """Whose address is theirs."""
    members = Membership.objects.filter(account=row.account_id, enabled=True, invitation_pending=False)
    able = members.filter(role=AccountRole.ADMINISTRATOR, user__email_verified=True)
    return list(able.values_list("user_id", "user__email"))
