"""The only writer of the record. Two ways in, one row shape.

``append`` writes inside the caller's own transaction (control plane). ``GroupCommit`` gathers the entries of concurrent
calls and commits them in one statement that first share-locks and compares the versions the calls were decided on
(data plane, docs/security-flow.md). It must not know commands, routes or keys.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import queue
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from enum import Enum
from typing import Any
from uuid import UUID

import psycopg
from django.db import connection, transaction

from accounts.clock import clock
from accounts.connections import own_connection
from accounts.models import FactVersion
from kms.audit import rows
from kms.audit.entry import AuditEntry
from kms.audit.errors import RecordUnavailable
from kms.audit.folding import folded
from kms.audit.tally import tally

logger = logging.getLogger(__name__)

# One statement carries at most this many entries: some 150 kB, a few milliseconds of PostgreSQL.
MAX_BATCH = 512
_RETRIES = 3

_APPEND = (
    f"INSERT INTO {rows.TABLE} ({rows.NAMES}) SELECT {rows.SELECTED} FROM unnest({rows.UNNESTED}) AS r({rows.NAMES})"  # noqa: S608 - built from constants
)

# Share locks hold off every change of the versions until this statement has committed; they are taken in one order.
_COMMIT = f"""
WITH locked AS MATERIALIZED (
    SELECT subject, version FROM {FactVersion._meta.db_table}
    WHERE subject = ANY(%(subjects)s::uuid[]) ORDER BY subject FOR SHARE
), stale AS MATERIALIZED (
    SELECT e.subject FROM unnest(%(subjects)s::uuid[], %(versions)s::int8[]) AS e(subject, version)
    LEFT JOIN locked l USING (subject) WHERE coalesce(l.version, 0) <> e.version
), written AS (
    INSERT INTO {rows.TABLE} ({rows.NAMES}) SELECT {rows.SELECTED} FROM unnest({rows.UNNESTED}) AS r({rows.NAMES})
    WHERE NOT EXISTS (SELECT 1 FROM stale)
)
SELECT array(SELECT subject FROM stale), clock_timestamp()
"""  # noqa: S608 - built from constants


class Verdict(Enum):
    """What became of a submitted entry."""

    COMMITTED = "committed"
    STALE = "stale"


def append(*entries: AuditEntry) -> None:
    """Write entries in the current transaction of the default connection (or at once, outside one)."""
    with connection.cursor() as cursor:
        cursor.execute(_APPEND, rows.columns_of(entries))
    transaction.on_commit(lambda: tally.count(entries))


def append_through(cursor: Any, *entries: AuditEntry) -> None:
    """The same in the transaction of a cursor, another connection's perhaps."""
    cursor.execute(_APPEND, rows.columns_of(entries))


class _Ticket:
    """One entry on its way. ``future`` is resolved on ``loop`` when there is one, else at once."""

    __slots__ = ("entry", "future", "loop", "versions")

    def __init__(
        self,
        entry: AuditEntry,
        versions: Mapping[UUID, int],
        future: Future[Verdict] | asyncio.Future[Verdict],
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        self.entry = entry
        self.versions = versions
        self.future = future
        self.loop = loop


class GroupCommit:
    """A thread with a connection of its own. An idle server commits one entry for one call; a busy one, one batch.

    Budget: 40 us of this process's CPU per entry at a batch of 30 (tests/bench prints the measured figure).
    """

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[_Ticket | None] = queue.SimpleQueue()
        self._connection: psycopg.Connection[tuple[object, ...]] | None = None
        self._thread = threading.Thread(target=self._run, name="group-commit", daemon=True)
        self._thread.start()

    def submit(self, entry: AuditEntry, versions: Mapping[UUID, int]) -> Verdict:
        """Block until the entry is durable, or its versions turned out stale. Raises RecordUnavailable."""
        future: Future[Verdict] = Future()
        self._queue.put(_Ticket(entry, versions, future, None))
        return future.result()

    async def submit_async(self, entry: AuditEntry, versions: Mapping[UUID, int]) -> Verdict:
        """The same for a coroutine, without holding up its loop."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Verdict] = loop.create_future()
        self._queue.put(_Ticket(entry, versions, future, loop))
        return await future

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join(timeout=5)

    # -- the thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            batch = self._gather()
            if batch is None:
                break
            try:
                self._settle(batch)
            except BaseException as error:
                logger.exception("the record could not be written")
                _fail(batch, error)
        if self._connection is not None:
            self._connection.close()

    def _gather(self) -> list[_Ticket] | None:
        first = self._queue.get()
        if first is None:
            return None
        batch = [first]
        with contextlib.suppress(queue.Empty):
            while len(batch) < MAX_BATCH:
                ticket = self._queue.get_nowait()
                if ticket is None:
                    self._queue.put(None)
                    break
                batch.append(ticket)
        return batch

    def _settle(self, batch: list[_Ticket]) -> None:
        """Commit the batch; calls with stale versions are sent back, the others tried again without them."""
        while batch:
            versions, behind = _common_versions(batch)
            try:
                stale = behind or self._commit([t.entry for t in batch], versions)
            except psycopg.OperationalError:
                raise
            except Exception:
                if len(batch) == 1:
                    raise
                self._settle_apart(batch)
                return
            if not stale:
                _deliver(batch, Verdict.COMMITTED)
                tally.count(t.entry for t in batch)
                return
            affected = [t for t in batch if _touches(t, stale)]
            _deliver(affected, Verdict.STALE)
            batch = [t for t in batch if not _touches(t, stale)]

    def _settle_apart(self, batch: list[_Ticket]) -> None:
        """One by one: an entry that cannot be written must not take other callers' entries with it."""
        logger.exception("a batch of %d entries could not be written; each is tried alone", len(batch))
        for ticket in batch:
            try:
                self._settle([ticket])
            except psycopg.OperationalError:
                raise
            except Exception as error:
                _fail([ticket], error)

    def _commit(self, entries: Sequence[AuditEntry], versions: Mapping[UUID, int]) -> dict[UUID, int | None]:
        """Empty when committed, else the stale subjects."""
        parameters = rows.columns_of(folded(entries))
        parameters["subjects"] = rows.array(subject.hex for subject in versions)
        parameters["versions"] = rows.array(map(str, versions.values()))
        for attempt in range(_RETRIES):
            try:
                row = self._connected().execute(_COMMIT, parameters, prepare=True).fetchone()
            except (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure):
                if attempt == _RETRIES - 1:
                    raise
                continue
            except psycopg.OperationalError:
                self._disconnect()
                raise
            assert row is not None
            clock.observe(row[1])  # type: ignore[arg-type]  # clock_timestamp() is a datetime
            return dict.fromkeys(row[0])  # type: ignore[call-overload,no-any-return]  # array(uuid) is a list of UUID
        raise AssertionError("unreachable")

    def _connected(self) -> psycopg.Connection[tuple[object, ...]]:
        if self._connection is None or self._connection.closed:
            self._connection = own_connection()
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(psycopg.Error):
                self._connection.close()
        self._connection = None


def _common_versions(batch: list[_Ticket]) -> tuple[dict[UUID, int], dict[UUID, int | None]]:
    """The newest version of each subject in the batch, and the subjects on which calls disagree with the older ones.

    Two calls of one batch that saw different versions of a subject cannot both be current: the older is stale.
    """
    newest: dict[UUID, int] = {}
    behind: dict[UUID, int | None] = {}
    for ticket in batch:
        for subject, version in ticket.versions.items():
            known = newest.setdefault(subject, version)
            if known != version:
                newest[subject] = max(known, version)
                behind[subject] = newest[subject]
    return newest, behind


def _touches(ticket: _Ticket, stale: Mapping[UUID, int | None]) -> bool:
    """True when the ticket rests on a stale subject (or, within a batch, on an older version than its newest)."""
    return any(s in stale and stale[s] != version for s, version in ticket.versions.items())


def _deliver(tickets: list[_Ticket], verdict: Verdict) -> None:
    """Resolve the futures: one wake-up per event loop, not one per call."""
    loops: dict[asyncio.AbstractEventLoop, list[_Ticket]] = {}
    for ticket in tickets:
        if ticket.loop is None:
            ticket.future.set_result(verdict)
        else:
            loops.setdefault(ticket.loop, []).append(ticket)
    for loop, group in loops.items():
        with contextlib.suppress(RuntimeError):  # the loop closed while its calls were in flight
            loop.call_soon_threadsafe(_resolve, group, verdict, None)


def _fail(tickets: list[_Ticket], cause: BaseException) -> None:
    error = RecordUnavailable("the audit log could not be written")
    error.__cause__ = cause
    for ticket in tickets:
        if ticket.loop is None:
            if not ticket.future.done():
                ticket.future.set_exception(error)
        else:
            with contextlib.suppress(RuntimeError):
                ticket.loop.call_soon_threadsafe(_resolve, [ticket], None, error)


def _resolve(tickets: list[_Ticket], verdict: Verdict | None, error: Exception | None) -> None:
    for ticket in tickets:
        if ticket.future.done():
            continue  # the client went away, or the batch had been settled before it failed
        if error is not None:
            ticket.future.set_exception(error)
        elif verdict is not None:
            ticket.future.set_result(verdict)


_committers: dict[int, GroupCommit] = {}
_committers_lock = threading.Lock()


def group_commit() -> GroupCommit:
    """This process's group commit, started on first use (a forked child gets its own)."""
    found = _committers.get(os.getpid())
    if found is not None:
        return found
    with _committers_lock:
        found = _committers.get(os.getpid())
        if found is None:
            found = _committers[os.getpid()] = GroupCommit()
        return found
