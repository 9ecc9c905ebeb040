"""What this process has put on the record, counted: how calls ended, how long they took, which sinks failed.

Numbers for graphs, since the process began; who wants them over processes and restarts adds them up. Counts nothing
until somebody wants them. It must not know who that is.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

from kms.audit.entry import AuditEntry

# Upper ends of what is counted together, in microseconds; what took longer is in one more.
BOUNDS_US = (250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000)


@dataclass(slots=True)
class Durations:
    """Calls by how long they took, and the sum of it."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_US) + 1))
    total_us: int = 0


@dataclass(slots=True)
class Tally:
    """``calls`` by action and outcome, ``durations`` by category, ``sink_failures`` by sink: all of bounded size."""

    wanted: bool = False
    calls: dict[tuple[str, str], int] = field(default_factory=dict)
    durations: dict[str, Durations] = field(default_factory=dict)
    sink_failures: dict[UUID, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, entries: Iterable[AuditEntry]) -> None:
        """Once they are written: what is counted is what an auditor can count."""
        if not self.wanted:
            return
        with self.lock:
            for entry in entries:
                key = entry.action, entry.outcome
                self.calls[key] = self.calls.get(key, 0) + 1
                durations = self.durations.get(entry.category)
                if durations is None:
                    durations = self.durations[entry.category] = Durations()
                durations.counts[bisect_left(BOUNDS_US, entry.duration_us)] += 1
                durations.total_us += entry.duration_us

    def sink_failed(self, sink: UUID) -> None:
        with self.lock:
            self.sink_failures[sink] = self.sink_failures.get(sink, 0) + 1


tally = Tally()
