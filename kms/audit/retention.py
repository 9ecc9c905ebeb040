"""What may leave the database: a month that is over, sealed and delivered, once it is in a bundle that was verified.

Leaves and nodes stay, so that every proof goes on to work. Bundles are laid end to end over the leaves: the next begins
where the last one ended, as entries of two months lie mixed where they meet. How far they are is in the record itself.
It must not know where bundles are kept or who asks.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime

from django.db import OperationalError, connection, transaction
from psycopg import sql
from psycopg.errors import LockNotAvailable

from kms.audit.entry import Outcome
from kms.audit.models import AuditRecord, LogSink
from kms.audit.months import Month, months

ACTION = "record.retain"
# Nobody waits behind us for longer; and so often we try.
LOCK_MILLISECONDS, LOCK_ATTEMPTS = 500, 20

_SURVEY = """
SELECT count(*), min(sequence), max(sequence), count(l.index), max(l.index) + 1
FROM {month} e LEFT JOIN audit_leaf l USING (sequence)
"""


class NotRetainable(Exception):
    """The month has to stay, and why."""


@dataclass(frozen=True, slots=True)
class Part:
    """A month as it would leave: its entries by number, and the leaves that they end before."""

    month: Month
    entries: int
    first: int | None
    last: int | None
    end: int


def kept_from() -> int:
    """The first leaf whose entry is in the database with all that follow."""
    told = AuditRecord.objects.filter(account_id__isnull=True, action=ACTION, outcome=Outcome.DONE)
    newest = told.order_by("-time", "-sequence").values_list("details__size", flat=True).first()
    return 0 if newest is None else int(newest)


def due(before: datetime) -> list[Month]:
    """Those that ended by then, the oldest first."""
    return [month for month in reversed(months()) if month.until <= before]


def part_of(month: Month) -> Part:
    """Raises NotRetainable while something of it is in no tree, or waits for a sink."""
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL(_SURVEY).format(month=sql.Identifier(month.name)))
        entries, first, last, sealed, end = cursor.fetchone()
    if sealed != entries:
        raise NotRetainable(f"{entries - sealed} entries of {month.name} are not sealed yet")
    part = Part(month, entries, first, last, end or 0)
    waiting = LogSink.objects.filter(enabled=True, position__lt=part.end).order_by("position").first()
    if waiting is not None:
        raise NotRetainable(
            f"{month.name} may have entries that the {waiting.kind} sink {waiting.id} of account {waiting.account_id} "
            "has not delivered: wait for it, or switch it off"
        )
    return part


def drop(part: Part) -> None:
    """In the caller's transaction, by the tables' owner. What was looked at before is looked at again, locked."""
    with connection.cursor() as cursor:
        # The month alone, and for writers only: the look takes as long as the month is large.
        cursor.execute(sql.SQL("LOCK TABLE {} IN SHARE MODE").format(sql.Identifier(part.month.name)))
    if part_of(part.month) != part:
        raise NotRetainable(f"{part.month.name} has changed since it was exported")
    _lock()
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(part.month.name)))


def _lock() -> None:
    """Of the whole record, for moments. A reader who takes long is let read, and we come again."""
    for _ in range(LOCK_ATTEMPTS):
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL lock_timeout = {LOCK_MILLISECONDS}")
                cursor.execute("LOCK TABLE audit_entry IN ACCESS EXCLUSIVE MODE")
            return
        except OperationalError as error:
            if not isinstance(error.__cause__, LockNotAvailable):
                raise
            time.sleep(LOCK_MILLISECONDS / 1000)
    raise NotRetainable("somebody reads the record for long: try again")
