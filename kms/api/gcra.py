"""How often something happens, shared by every process of the host: virtual scheduling (ITU-T I.371 Annex A, "GCRA").

For each subject one number of eight bytes: when its next event would be due if they came evenly. An event that comes
more than the tolerance before that is too early. The numbers lie in a file that every process maps into its memory, in
the kernel's monotonic clock, which all processes of a host read alike.

A number is changed under a lock of its own eight bytes. Whoever does not get it tries again at once, then sleeps
between tries, because the one that holds it may have been put off its core for some milliseconds. Nobody waits longer
than the patience: a process that was stopped for good while it held a lock must not stop the others, so they go on
without it, and a call more may get through, which a limit of so many a second bears. Without any lock, two processes
that ask without pause let a tenth more through (measured: the scheduler often interrupts one between its look and its
store).

Subjects share a number when their slots fall together: with a thousand of them, one in a thousand does. They are
slowed as one then. The file is named for the boot of the machine, because the clock begins anew with it. It knows no
apps, calls or answers.
"""

from __future__ import annotations

import fcntl
import logging
import mmap
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

logger = logging.getLogger(__name__)

SLOTS = 1 << 20
SECOND = 1_000_000_000
# No debt is longer; what seems to be is left from another clock.
LONGEST = 3600 * SECOND
# Seconds that a lock is waited for: a few of the scheduler's slices.
PATIENCE = 0.02
# Tries without a pause, some tenth of a millisecond in all; then one after each pause, in seconds.
_TRIES = 100
_PAUSE = 0.0002
_PREFIX = "rates-"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Schedule:
    """When what is due. ``folder`` is where the processes of a host meet, ``patience`` in seconds."""

    def __init__(self, folder: Path, slots: int = SLOTS, *, patience: float = PATIENCE) -> None:
        self._slots = slots
        self._patience = patience
        self._lock = threading.Lock()
        self._file: int | None = None
        try:
            # Open for good: closing any descriptor of the file would let go of this process's locks.
            self._file = _opened(folder, slots * 8)
        except OSError:
            logger.exception("limits hold for each process alone: no file for them could be made in %s", folder)
        self._due = memoryview(mmap.mmap(-1 if self._file is None else self._file, slots * 8)).cast("Q")

    def take(self, subject: UUID, per_second: int, burst: int, *, now: int | None = None) -> float:
        """Count one event and return 0, or leave it uncounted and return how many seconds too early it is."""
        slot, interval = subject.int % self._slots, SECOND // per_second
        with self._held(slot):
            now = time.monotonic_ns() if now is None else now
            due = _due(self._due[slot], now)
            early = due - now - (burst - 1) * interval
            if early > 0:
                return early / SECOND
            self._due[slot] = due + interval
        return 0.0

    def early(self, subject: UUID, per_second: int, burst: int, *, now: int | None = None) -> float:
        """What ``take`` would return, without counting."""
        now = time.monotonic_ns() if now is None else now
        due = _due(self._due[subject.int % self._slots], now)
        return max(0, due - now - (burst - 1) * (SECOND // per_second)) / SECOND

    def owe(self, subject: UUID, per_second: int, count: int, *, now: int | None = None) -> None:
        """Count events that have been let through already: what comes later waits for them."""
        slot = subject.int % self._slots
        with self._held(slot):
            now = time.monotonic_ns() if now is None else now
            self._due[slot] = min(_due(self._due[slot], now) + count * (SECOND // per_second), now + LONGEST)

    @contextmanager
    def _held(self, slot: int) -> Iterator[None]:
        """The kernel's locks are a process's; its threads have one beside it."""
        with self._lock:
            file = self._file
            held = file is not None and _lock(file, slot, self._patience)
            try:
                yield
            finally:
                if file is not None and held:
                    fcntl.lockf(file, fcntl.LOCK_UN, 8, slot * 8)


def _lock(file: int, slot: int, patience: float) -> bool:
    """Whether the lock was had in time."""
    for _ in range(_TRIES):
        if _locked(file, slot):
            return True
        os.sched_yield()
    end = time.monotonic() + patience
    while time.monotonic() < end:
        time.sleep(_PAUSE)
        if _locked(file, slot):
            return True
    return False


def _locked(file: int, slot: int) -> bool:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 8, slot * 8)
    except OSError:
        return False
    return True


def _due(read: int, now: int) -> int:
    """Now at the earliest. What seems to be an hour away is left from another clock."""
    return read if now < read <= now + LONGEST else now


def _opened(folder: Path, size: int) -> int:
    path = folder / f"{_PREFIX}{_boot()}"
    for old in folder.glob(f"{_PREFIX}*"):
        if old != path:
            old.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        # Whole from the beginning, and never made smaller: a process that touches a page for which the disk has no
        # room, or which is gone, is killed.
        os.posix_fallocate(descriptor, 0, size)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _boot() -> str:
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return "this-boot"
