"""The clock of decisions: the database's, read now and then and carried forward by the process's monotonic clock.

Two servers with clocks an hour apart must agree on when a session ends or a key activates. It must not know who asks.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

from django.db import connection

REFRESH_SECONDS = 10.0


class DatabaseClock:
    """``now()`` costs under a microsecond; drift between refreshes is that of the monotonic clock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._time = datetime.fromtimestamp(0, UTC)

    def now(self) -> datetime:
        elapsed = time.monotonic() - self._read_at
        if elapsed > REFRESH_SECONDS:
            self._refresh()
            elapsed = time.monotonic() - self._read_at
        return self._time + timedelta(seconds=elapsed)

    def fresh(self) -> bool:
        """True when ``now()`` would not ask the database (the event loop must not wait for it)."""
        return time.monotonic() - self._read_at <= REFRESH_SECONDS

    def observe(self, database_time: datetime) -> None:
        """Take a time that some statement brought along anyway."""
        with self._lock:
            self._time, self._read_at = database_time, time.monotonic()

    def _refresh(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT clock_timestamp()")
            row = cursor.fetchone()
        assert row is not None
        self.observe(row[0])


clock = DatabaseClock()
