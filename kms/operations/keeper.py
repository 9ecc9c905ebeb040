"""What the server does on its own: rotations that are due, and histories whose time is over.

Every process may run it; a database lock lets one at a time, and a rotation that was done is not due any more, whoever
did it. Nothing is remembered between turns, so a restart loses nothing.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection

from accounts.clock import clock
from accounts.principal import SYSTEM_ID, AuthenticationMethod, Principal, PrincipalKind
from kms.objects.models import HistoryItem, SecurityObject
from kms.operations.command import ObjectRef
from kms.operations.errors import EXPECTED, TooBusy
from kms.operations.executor import execute
from kms.operations.rotating import RotateDueObject

logger = logging.getLogger(__name__)

# Any number will do, as long as every process takes the same ("rotate" on a telephone's keys).
KEEPER_LOCK = 768_283
AT_ONCE = 100
RETRY_AFTER = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn did; ``ours`` is False when another process was at it."""

    ours: bool
    rotated: int = 0
    failed: int = 0
    forgotten: int = 0


class Keeper:
    """One process's. It remembers what failed, to try other work first; losing that memory is harmless."""

    def __init__(self) -> None:
        self._retry_at: dict[UUID, datetime] = {}

    def turn(self) -> Turn:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [KEEPER_LOCK])
            if not cursor.fetchone()[0]:
                return Turn(ours=False)
            try:
                return self._work(clock.now())
            finally:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [KEEPER_LOCK])

    def _work(self, now: datetime) -> Turn:
        self._retry_at = {key: at for key, at in self._retry_at.items() if at > now}
        due = SecurityObject.objects.filter(rotates_at__lte=now, deletion_date__isnull=True)
        due = due.exclude(id__in=list(self._retry_at)).order_by("rotates_at")
        outcomes = [self._rotate(*row, now) for row in due.values_list("id", "account_id", "rotates_at")[:AT_ONCE]]
        forgotten, _ = HistoryItem.objects.filter(expires_at__lte=now).delete()
        return Turn(True, outcomes.count(True), outcomes.count(False), forgotten)

    def _rotate(self, object_id: UUID, account: UUID, due: datetime, now: datetime) -> bool:
        try:
            execute(system_of(account), RotateDueObject(ObjectRef(id=object_id), due))
        except (*EXPECTED, TooBusy) as error:
            logger.warning("object %s was due to rotate and did not: %s", object_id, error)
            self._retry_at[object_id] = now + RETRY_AFTER
            return False
        return True


def system_of(account: UUID) -> Principal:
    """The server itself, at work in one account."""
    return Principal(PrincipalKind.SYSTEM, SYSTEM_ID, account, AuthenticationMethod.NONE)
