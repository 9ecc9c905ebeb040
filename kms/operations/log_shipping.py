"""Ships an account's sealed entries to its sinks: in order, at least once, each sink by itself. And tries a sink.

Every process runs it. A sink's cursor moves in the statement that notes the delivery, so that what a dead process
shipped and did not note is shipped again. It must not know the wire.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import F, Q

from accounts.clock import clock
from accounts.models import Account
from accounts.outbound import OutboundFailed, OutboundRefused
from kms.audit.account_entries import end_of_record, entries_between
from kms.audit.entry import Category, Outcome, Severity
from kms.audit.formats import SealedEntry, sealed_entry
from kms.audit.models import LogSink, LogSinkKind
from kms.audit.tally import tally
from kms.audit.tree import RecordDamaged
from kms.audit.trust import trust
from kms.operations.alone import alone
from kms.operations.authority import absent
from kms.operations.command import Call, CarryOut, Command, Operation, Resolved, control
from kms.operations.errors import NotFound
from kms.operations.log_deliveries import Batch, deliver
from kms.operations.log_sinks import find_sink
from policies.decision import Target
from policies.permissions import Permission

logger = logging.getLogger(__name__)

# In one call; in one turn of one sink; and of everybody's leaves looked through at once.
MOST_ENTRIES, MOST_BYTES = 500, 512 * 1024
TURN_SECONDS = 5.0
WINDOW = 10_000
# How long an entry waits for others to become one object with.
GATHER = timedelta(seconds=30)
RETRY_AFTER, RETRY_AT_MOST = timedelta(seconds=5), timedelta(minutes=10)


# -- turns ---------------------------------------------------------------------------------------------------------


class LogShipper:
    """Several threads run it, each shipping to sinks that no other is at, so that a slow one holds up one thread."""

    def turn(self) -> int:
        """How many entries were delivered. Sinks that work come first; of those that do not, one is tried.

        A record that was set back is shipped to nobody before somebody has said that this was meant.
        """
        if trust.reason is not None:
            return 0
        end, shipped, tried = end_of_record(), 0, False
        for sink, attempts in _due(end, clock.now()):
            if attempts and tried:
                break
            # No row is locked meanwhile: a transaction that waits for somebody would hold up the sealer.
            with alone(_lock_of(sink)) as ours:
                if ours:
                    tried = tried or attempts > 0
                    shipped += sum(_ship(sink, end))
        return shipped


def _due(end: int, now: datetime) -> list[tuple[UUID, int]]:
    waiting = LogSink.objects.filter(_may_be_called(now), position__lt=end)
    return list(waiting.order_by("attempts", "position").values_list("id", "attempts"))


def _may_be_called(now: datetime) -> Q:
    return Q(enabled=True) & (Q(not_before=None) | Q(not_before__lte=now))


def _lock_of(sink: UUID) -> int:
    return int.from_bytes(sink.bytes[:8], "big", signed=True)


def _ship(sink: UUID, end: int) -> Iterator[int]:
    """Batch by batch, each on the sink as it is then."""
    over = time.monotonic() + TURN_SECONDS
    while time.monotonic() < over:
        row = LogSink.objects.filter(_may_be_called(clock.now()), id=sink).first()
        if row is None or row.position >= end:
            return
        try:
            yield _ship_batch(row, end)
        except Exception as error:  # of the receiver's making: whatever it is, other sinks get theirs
            _failed(row, error)
            return


def _ship_batch(row: LogSink, end: int) -> int:
    until = row.batch_end or min(row.position + WINDOW, end)
    found = entries_between(row.account_id, row.position, until, most=MOST_ENTRIES)
    if not found:
        _advance(row, until)
        return 0
    batch = found[: _fitting([len(placed.entry.line) for placed in found])]
    full = len(found) == MOST_ENTRIES or len(batch) < len(found)
    if row.batch_end is None and not full and _gathers(row, batch[0].entry.time):
        return 0
    first, last = batch[0].index, batch[-1].index
    # Noted before it is sent: whoever tries it after us sends the same entries by the same name.
    if not LogSink.objects.filter(id=row.id, position=row.position).update(batch_end=last + 1):
        return 0
    deliver(row, Batch(f"{first:012}-{last:012}", [placed.entry for placed in batch]))
    _advance(row, last + 1, delivered_at=clock.now(), attempts=0, not_before=None, last_error="")
    return len(batch)


def _gathers(row: LogSink, since: datetime) -> bool:
    """Whether more entries are waited for, where each batch becomes a thing of its own."""
    if row.kind != LogSinkKind.S3 or clock.now() >= since + GATHER:
        return False
    return bool(LogSink.objects.filter(id=row.id).update(not_before=since + GATHER))


def _fitting(sizes: Sequence[int]) -> int:
    """How many of the first are sent together: at least one."""
    total, count = 0, 0
    for size in sizes:
        total += size
        if count and total > MOST_BYTES:
            break
        count += 1
    return count


def _advance(row: LogSink, position: int, **noted: Any) -> None:
    """From where it was: somebody who was faster is not set back."""
    LogSink.objects.filter(id=row.id, position=row.position).update(position=position, batch_end=None, **noted)


def _failed(row: LogSink, error: Exception) -> None:
    """Try again later, each time after twice as long."""
    expected = isinstance(error, OutboundFailed | OutboundRefused | RecordDamaged)
    what = str(error) if expected else "the server could not ship: its log says why"
    pause = min(RETRY_AFTER * 2 ** min(row.attempts, 10), RETRY_AT_MOST)
    LogSink.objects.filter(id=row.id).update(
        attempts=F("attempts") + 1, not_before=clock.now() + pause, last_error=what[:256]
    )
    tally.sink_failed(row.id)
    level = logging.CRITICAL if isinstance(error, RecordDamaged) else logging.WARNING
    logger.log(level, "sink %s of account %s waits: %s", row.id, row.account_id, what, exc_info=not expected)


# -- trying one ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TryLogSink(Command):
    """Ship one entry that is no entry of the record, and say what came back."""

    account: UUID
    sink: UUID


@dataclass(frozen=True, slots=True)
class Tried:
    delivered: bool
    detail: str


def try_log_sink(call: Call, command: TryLogSink, _payload: None) -> LogSink | Tried:
    """It is called afterwards, so that nothing is locked meanwhile; what a quorum has approved has no afterwards."""
    row = find_sink(call.account, command.sink)
    call.details["kind"] = row.kind
    return row if call.approved is None else _tried(row)


def _afterwards(_carry_out: CarryOut, _command: TryLogSink, row: LogSink) -> Tried:
    return _tried(row)


def _tried(row: LogSink) -> Tried:
    now = clock.now()
    try:
        deliver(row, Batch(f"test.{int(now.timestamp())}", [_test_entry(row.account_id, now)]))
    except (OutboundFailed, OutboundRefused) as error:
        return Tried(False, str(error))
    return Tried(True, "The receiver took the test entry")


def _test_entry(account: UUID, now: datetime) -> SealedEntry:
    """It has the shape of an entry, sequence 0, which none has, and an action that nothing else has."""
    nothing = str(UUID(int=0))
    fields: dict[str, Any] = {
        "v": 0,
        "sequence": 0,
        "time": now.isoformat(),
        "account": str(account),
        **{"actor_kind": "system", "actor": nothing, "method": "none", "session": None},
        **{"action": "log-sink.test", "category": Category.OTHER, "severity": Severity.INFO},
        **{"outcome": Outcome.DONE, "reason": "test", "object_kind": "", "object": None, "groups": []},
        **{"client_ip": None, "request": nothing, "duration_us": 0, "details": {}},
    }
    return sealed_entry(json.dumps(fields, separators=(",", ":")).encode())


def _resolve(call: Call, command: TryLogSink) -> Sequence[Resolved]:
    """Who may not manage sinks does not learn which there are: the sink is looked up when that is decided."""
    if call.account != command.account or not Account.objects.filter(id=command.account).exists():
        raise NotFound(absent("account"), "not-visible")
    target = Target("account", command.account, command.account, see=Permission.ACCOUNT_GET)
    return (Resolved(Permission.LOGGING_MANAGE, target),)


_operation = control(Category.ADMINISTRATIVE)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(TryLogSink, "log-sink.test", _resolve, try_log_sink, afterwards=_afterwards),
)
