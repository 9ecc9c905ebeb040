"""When sessions, users and apps were last seen: remembered at once, written down within a minute or so, by a thread.

A call only leaves a note in memory. The thread writes what is due, each subject once in ``interval`` at most, whatever
happens in between; several processes keep the latest. So this process's memory is exact for what it served itself, and
the table for everything else but for the last moments: whoever judges by it that something was not used must look in
the table first (``last_seen``). Losing notes loses a minute of knowledge and nothing else. It judges nothing.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import close_old_connections, connection

from accounts.clock import clock
from accounts.models import Activity

logger = logging.getLogger(__name__)

MAX_REMEMBERED = 20_000
_NEVER = datetime.fromtimestamp(0, UTC)

# In one order, so that processes that write at the same time do not wait for each other in a circle.
_WRITE = f"""
INSERT INTO {Activity._meta.db_table} AS known (subject, seen_at, client_ip)
SELECT * FROM unnest(%s::uuid[], %s::timestamptz[], %s::inet[]) AS note(subject, seen_at, client_ip) ORDER BY subject
ON CONFLICT (subject) DO UPDATE SET seen_at = EXCLUDED.seen_at, client_ip = EXCLUDED.client_ip
WHERE known.seen_at < EXCLUDED.seen_at
"""  # noqa: S608 - the table's name is ours


@dataclass(slots=True)
class _Note:
    seen_at: datetime
    address: str | None
    written_at: datetime = _NEVER


def interval() -> timedelta:
    """A minute, and less where sessions end sooner: they end by what is written here."""
    return min(timedelta(minutes=1), timedelta(seconds=settings.KEYSTEAD.session_idle_seconds) / 4)


class Activities:
    """One process's notes."""

    def __init__(self) -> None:
        self._notes: OrderedDict[UUID, _Note] = OrderedDict()
        self._lock = threading.Lock()
        self._due = threading.Event()
        self._interval = interval()
        self._thread: threading.Thread | None = None

    def note(self, subject: UUID, now: datetime, address: str | None) -> None:
        """Seen now. Costs a microsecond or so and never waits for the database."""
        note = self._notes.get(subject)
        if note is None:
            self._begin(subject, now, address)
            return
        if note.seen_at < now:
            note.seen_at, note.address = now, address
        if now - note.written_at >= self._interval and not self._due.is_set():
            self._due.set()

    def seen(self, subject: UUID) -> datetime | None:
        """When this process saw it last; None is no evidence of anything."""
        note = self._notes.get(subject)
        return None if note is None else note.seen_at

    def flush(self, *, everything: bool = False) -> int:
        """Write what is due; returns how many subjects."""
        now = clock.now()
        with self._lock:
            due = {
                subject: (note, note.seen_at, note.address)
                for subject, note in self._notes.items()
                if note.seen_at > note.written_at and (everything or now - note.written_at >= self._interval)
            }
        _write({subject: (seen_at, address) for subject, (_, seen_at, address) in due.items()})
        for note, seen_at, _ in due.values():
            note.written_at = seen_at
        return len(due)

    def clear(self) -> None:
        """As a process that has just begun."""
        with self._lock:
            self._notes.clear()

    def _begin(self, subject: UUID, now: datetime, address: str | None) -> None:
        with self._lock:
            self._notes.setdefault(subject, _Note(now, address))
            while len(self._notes) > MAX_REMEMBERED:
                self._notes.popitem(last=False)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="activity", daemon=True)
                self._thread.start()
        self._due.set()

    def _run(self) -> None:
        while True:
            self._due.wait(timeout=self._interval.total_seconds() / 4)
            self._due.clear()
            try:
                self.flush()
            except Exception:
                logger.exception("what was seen could not be written down; it is tried again")
            finally:
                close_old_connections()


def _write(notes: Mapping[UUID, tuple[datetime, str | None]]) -> None:
    if not notes:
        return
    seen = [seen_at for seen_at, _ in notes.values()]
    with connection.cursor() as cursor:
        cursor.execute(_WRITE, [list(notes), seen, [address for _, address in notes.values()]])


def last_seen(subjects: Iterable[UUID]) -> dict[UUID, datetime]:
    """By the table and by this process's memory, whichever is later; for many subjects at once."""
    wanted = list(subjects)
    found = dict(Activity.objects.filter(subject__in=wanted).values_list("subject", "seen_at"))
    for subject in wanted:
        remembered = activities.seen(subject)
        if remembered is not None:
            found[subject] = max(remembered, found.get(subject, remembered))
    return found


activities = Activities()
