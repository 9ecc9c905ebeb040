"""How the server is, in numbers: whether database and token answer, what is not sealed yet, which sinks wait, for how
long. No name of anything that is an account's; sinks by id. It must not know who asks or how it is shown.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db import DatabaseError, connection

from accounts.clock import clock
from accounts.models import FactVersion
from kms.audit.models import AuditCheckpoint, AuditLeaf, LogSink, Sealing
from kms.audit.trust import trust
from kms.hsm.errors import ModuleError
from kms.objects import keystore
from kms.operations.log_sinks import SinkView, view_of
from policies.models import ApprovalRequest, ApprovalStatus

logger = logging.getLogger(__name__)

# Entries that wait are counted as far as this, and looked for so far behind the newest one that is sealed.
MOST_COUNTED = 100_000
# As the sealer looks for them: the bound is said of both sides, as the planner does not infer it.
_UNSEALED = f"""
SELECT count(*) FROM (
    SELECT 1 FROM audit_entry e WHERE sequence > %(after)s
        AND NOT EXISTS (SELECT 1 FROM audit_leaf l WHERE l.sequence = e.sequence AND l.sequence > %(after)s)
    LIMIT {MOST_COUNTED}) AS waiting
"""  # noqa: S608 - built from constants


@dataclass(frozen=True, slots=True)
class SinkSigns:
    sink: UUID
    kind: str
    entries_behind: int
    seconds_behind: int
    lagging: bool


@dataclass(frozen=True, slots=True)
class RecordSigns:
    """``checkpoint_at`` is None before the first one. ``forged_subjects``: whose rows were changed past the server."""

    unsealed_entries: int
    checkpoint_at: datetime | None
    approvals_pending: int
    forged_subjects: int
    sinks: tuple[SinkSigns, ...] = ()


@dataclass(frozen=True, slots=True)
class VitalSigns:
    """``record`` is None where the database does not answer. ``trusted``: the record is ours, and the rows add up."""

    now: datetime
    token_up: bool
    trusted: bool
    record: RecordSigns | None = field(default=None)


def read() -> VitalSigns:
    return VitalSigns(clock.now(), _token_up(), trust.fault is None, _record())


def _token_up() -> bool:
    try:
        keystore.module().status()
    except ModuleError:
        return False
    return True


def _record() -> RecordSigns | None:
    now = clock.now()
    try:
        unsealed = _unsealed()
        checkpoint = AuditCheckpoint.objects.order_by("-size").values_list("time", flat=True).first()
        pending = ApprovalRequest.objects.filter(status=ApprovalStatus.PENDING, expires_at__gt=now).count()
        forged = FactVersion.objects.filter(seal__isnull=True).count()
        sinks = tuple(_of_sink(view_of(row, now)) for row in LogSink.objects.filter(enabled=True).order_by("id"))
    except DatabaseError as error:
        logger.warning("the database did not answer who asked how it is: %s", type(error).__name__)
        return None
    return RecordSigns(unsealed, checkpoint, pending, forged, sinks)


def _unsealed() -> int:
    """The sealer begins from the start each hour, for a moment; we do not."""
    complete = Sealing.objects.values_list("complete_to", flat=True).first() or 0
    newest = AuditLeaf.objects.order_by("-sequence").values_list("sequence", flat=True).first() or 0
    with connection.cursor() as cursor:
        cursor.execute(_UNSEALED, {"after": max(complete, newest - MOST_COUNTED)})
        return int(cursor.fetchone()[0])


def _of_sink(view: SinkView) -> SinkSigns:
    row = view.row
    return SinkSigns(row.id, row.kind, view.entries_behind, view.seconds_behind, row.lagging_since is not None)
