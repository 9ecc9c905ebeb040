"""A stretch of time as a stretch of the record: which leaves it has, and what was signed meanwhile.

A heartbeat before it and one after it come along, where there are any: by these a reader sees that nothing of the
period is left out. It must not know who asks, or what for.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import connection
from django.db.models import Count, Max, Min

from kms.audit.models import AuditSignature

_WITHIN = (
    "SELECT min(index), max(index) FROM audit_leaf JOIN audit_entry USING (sequence) "
    'WHERE "time" >= %(start)s AND "time" < %(end)s'
)
_BEAT = "SELECT index FROM audit_leaf JOIN audit_entry USING (sequence) WHERE action = 'record.heartbeat'"
_BEAT_BEFORE = f"{_BEAT} AND index < %s ORDER BY index DESC LIMIT 1"
_BEAT_AFTER = f"{_BEAT} AND index > %s ORDER BY index LIMIT 1"


@dataclass(frozen=True, slots=True)
class Period:
    """From ``start`` until before ``end``."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Stretch:
    """Leaves from ``first`` until before ``end``."""

    first: int
    end: int


def written(moment: datetime) -> str:
    """As entries have their times."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def leaves_of(period: Period) -> Stretch | None:
    """None: nothing of this time is sealed."""
    with connection.cursor() as cursor:
        cursor.execute(_WITHIN, {"start": period.start, "end": period.end})
        first, last = cursor.fetchone()
        if first is None:
            return None
        cursor.execute(_BEAT_BEFORE, [first])
        before = cursor.fetchone()
        cursor.execute(_BEAT_AFTER, [last])
        after = cursor.fetchone()
    return Stretch(0 if before is None else before[0], 1 + (last if after is None else after[0]))


def checkpoints_of(period: Period) -> dict[str, Any]:
    """How many were signed, and over how many entries the first and the last of them."""
    rows = AuditSignature.objects.filter(checkpoint__time__gte=period.start, checkpoint__time__lt=period.end)
    return rows.aggregate(count=Count("checkpoint"), first=Min("checkpoint"), last=Max("checkpoint"))
