"""What the server does on its own: rotations that are due, approved calls that nobody has carried out, and tidying.

Every process may run it; a database lock lets one at a time, and a rotation that was done is not due any more, whoever
did it. Nothing is remembered between turns, so a restart loses nothing.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from accounts import sessions, throttle
from accounts.clock import clock
from accounts.models import FactorChallenge, PendingSignOn, SpentToken
from accounts.principal import SYSTEM_ID, AuthenticationMethod, Principal, PrincipalKind
from kms.objects.models import HistoryItem, SecurityObject
from kms.operations import approving
from kms.operations.alone import alone
from kms.operations.command import ObjectRef
from kms.operations.errors import EXPECTED, TooBusy
from kms.operations.executor import execute, execute_approved
from kms.operations.rotating import RotateDueObject

logger = logging.getLogger(__name__)

# Any number will do, as long as every process takes the same ("rotate" on a telephone's keys).
KEEPER_LOCK = 768_283
AT_ONCE = 100
# A while longer than they count, in case a clock is set back.
KEEP_SPENT = timedelta(hours=1)
RETRY_AFTER, RETRY_AT_MOST = timedelta(minutes=5), timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn did; ``ours`` is False when another process was at it."""

    ours: bool
    rotated: int = 0
    failed: int = 0
    forgotten: int = 0
    carried_out: int = 0


@dataclass(frozen=True, slots=True)
class _Failure:
    """Tried again after ``pause``, which doubles each time, so that what cannot succeed does not fill the record."""

    again_at: datetime
    pause: timedelta


class Keeper:
    """One process's. It remembers what failed, to try other work first; losing that memory is harmless."""

    def __init__(self) -> None:
        self._failures: dict[UUID, _Failure] = {}

    def turn(self) -> Turn:
        with alone(KEEPER_LOCK) as ours:
            return self._work(clock.now()) if ours else Turn(ours=False)

    def _work(self, now: datetime) -> Turn:
        """A disabled account's keys wait for it; what is not due any more when its turn comes is not rotated."""
        self._failures = {key: fail for key, fail in self._failures.items() if fail.again_at > now - RETRY_AT_MOST}
        due = SecurityObject.objects.filter(rotates_at__lte=now, deletion_date__isnull=True, account__enabled=True)
        resting = [key for key, failure in self._failures.items() if failure.again_at > now]
        rows = due.exclude(id__in=resting).order_by("rotates_at").values_list("id", "account_id", "rotates_at")
        outcomes = [self._rotate(key, account, at, now) for key, account, at in rows[:AT_ONCE] if at is not None]
        carried_out = approving.carry_out_due(execute_approved, now)
        forgotten, _ = HistoryItem.objects.filter(expires_at__lte=now).delete()
        _tidy(now)
        return Turn(True, outcomes.count(True), outcomes.count(False), forgotten, carried_out)

    def _rotate(self, object_id: UUID, account: UUID, due: datetime, now: datetime) -> bool:
        """One that fails, for whatever reason, holds up no other."""
        try:
            execute(system_of(account), RotateDueObject(ObjectRef(id=object_id), due))
        except Exception as error:
            expected = isinstance(error, (*EXPECTED, TooBusy))
            logger.warning("object %s was due to rotate and did not: %s", object_id, error, exc_info=not expected)
            self._failures[object_id] = self._failed(object_id, now)
            return False
        self._failures.pop(object_id, None)
        return True

    def _failed(self, object_id: UUID, now: datetime) -> _Failure:
        last = self._failures.get(object_id)
        pause = RETRY_AFTER if last is None else min(last.pause * 2, RETRY_AT_MOST)
        return _Failure(now + pause, pause)


def _tidy(now: datetime) -> None:
    """Rows that count for nothing any more, whether they are here or not: each is judged at use."""
    approving.tidy(now)
    throttle.tidy(now)
    sessions.tidy(now)
    sessions.tidy_activity(now)
    SpentToken.objects.filter(expires_at__lt=now - KEEP_SPENT).delete()
    FactorChallenge.objects.filter(expires_at__lt=now - KEEP_SPENT).delete()
    PendingSignOn.objects.filter(expires_at__lt=now - KEEP_SPENT).delete()


def system_of(account: UUID) -> Principal:
    """The server itself, at work in one account."""
    return Principal(PrincipalKind.SYSTEM, SYSTEM_ID, account, AuthenticationMethod.NONE)
