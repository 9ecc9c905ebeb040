"""Virtual scheduling in memory that processes share: no more than the limit, and whoever waits as told is let in.

Its processes import this file, so it needs no Django.
"""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import tempfile
import time
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kms.api.gcra import LONGEST, SECOND, SLOTS, Schedule

# Admitted at one moment: more than one process lets in before the other has begun.
AT_ONCE = 20_000


@pytest.fixture
def schedule(tmp_path: Path) -> Schedule:
    return Schedule(tmp_path)


@cache
def drawn() -> Schedule:
    """One for all examples that Hypothesis draws; each has a subject of its own."""
    return Schedule(Path(tempfile.mkdtemp(prefix="keystead-rates-")))


NUMBERS = count()


def alone() -> UUID:
    """A subject whose slot no other example has: two that are drawn may share one."""
    return UUID(int=next(NUMBERS))


@given(rate=st.integers(1, 5000), burst=st.integers(1, 500), gaps=st.lists(st.integers(0, 2 * SECOND), max_size=200))
def test_no_stretch_of_time_holds_more_than_the_limit_and_one_burst(rate: int, burst: int, gaps: list[int]) -> None:
    schedule, subject, now, admitted = drawn(), alone(), 10 * SECOND, []
    for gap in gaps:
        now += gap
        if schedule.take(subject, rate, burst, now=now) == 0:
            admitted.append(now)
    interval = SECOND // rate
    for first in range(len(admitted)):
        for last in range(first, len(admitted)):
            assert last - first + 1 <= burst + (admitted[last] - admitted[first]) // interval


@given(rate=st.integers(1, 5000), burst=st.integers(1, 500), seconds=st.integers(1, 3))
def test_whoever_waits_as_told_is_let_in(rate: int, burst: int, seconds: int) -> None:
    schedule, subject, now = drawn(), alone(), 10 * SECOND
    for _ in range(burst):
        assert schedule.take(subject, rate, burst, now=now) == 0
    for _ in range(seconds):
        wait = schedule.take(subject, rate, burst, now=now)
        assert wait == schedule.early(subject, rate, burst, now=now) > 0
        now += int(wait * SECOND) + 1
        assert schedule.take(subject, rate, burst, now=now) == 0


def test_what_was_let_through_together_is_waited_for_afterwards(schedule: Schedule) -> None:
    subject, now = uuid4(), 10 * SECOND
    assert schedule.take(subject, 10, 10, now=now) == 0
    schedule.owe(subject, 10, 99, now=now)
    assert schedule.take(subject, 10, 10, now=now) == pytest.approx(9.1)
    assert schedule.take(subject, 10, 10, now=now + 10 * SECOND) == 0


def test_what_another_boot_left_behind_stops_nobody(schedule: Schedule) -> None:
    subject = uuid4()
    schedule.owe(subject, 1, 3000, now=LONGEST * 5)
    assert schedule.take(subject, 1, 1, now=SECOND) == 0


def test_the_file_is_private_and_the_one_of_another_boot_is_removed(tmp_path: Path) -> None:
    old = tmp_path / "rates-another-boot"
    old.write_bytes(b"x")
    Schedule(tmp_path)
    (made,) = tmp_path.iterdir()
    assert made != old
    assert made.stat().st_mode & 0o777 == 0o600


def test_without_a_place_for_the_file_each_process_counts_alone(tmp_path: Path) -> None:
    schedule, subject, now = Schedule(tmp_path / "not there"), uuid4(), 10 * SECOND
    assert [schedule.take(subject, 1, 2, now=now) for _ in range(3)] == [0, 0, 1]


def test_the_file_is_whole_before_it_is_mapped(tmp_path: Path) -> None:
    Schedule(tmp_path)
    (made,) = tmp_path.iterdir()
    assert made.stat().st_blocks * 512 >= made.stat().st_size == SLOTS * 8


def admissions(folder: str, subject: str, begin: float, counted: Any) -> None:
    """How often it was let in at one moment, until it is refused."""
    schedule, admitted = Schedule(Path(folder), patience=30), 0
    while time.monotonic() < begin:
        time.sleep(0.001)
    while schedule.take(UUID(subject), 500, AT_ONCE, now=10 * SECOND) == 0:
        admitted += 1
    counted.put(admitted)


def test_two_processes_share_one_limit(tmp_path: Path) -> None:
    """Both ask without pause. The moment stands still, so the count does not hang on how fast this machine is."""
    spawn = multiprocessing.get_context("spawn")
    counted, begin = spawn.Queue(), time.monotonic() + 1.5
    arguments = (str(tmp_path), str(uuid4()), begin, counted)
    workers = [spawn.Process(target=admissions, args=arguments) for _ in range(2)]
    for worker in workers:
        worker.start()
    admitted = [counted.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    assert sum(admitted) == AT_ONCE


def hold(file: str, subject: str, held: Any) -> None:
    """Take the lock of a subject's number and never let go of it."""
    descriptor = os.open(file, os.O_RDWR)
    fcntl.lockf(descriptor, fcntl.LOCK_EX, 8, UUID(subject).int % SLOTS * 8)
    held.set()
    time.sleep(60)


def test_a_process_that_was_stopped_with_the_lock_stops_no_other(schedule: Schedule, tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    (file,), subject, held = tmp_path.iterdir(), uuid4(), spawn.Event()
    stopped = spawn.Process(target=hold, args=(str(file), str(subject), held))
    stopped.start()
    try:
        assert held.wait(30)
        assert [schedule.take(subject, 1, 2, now=10 * SECOND) for _ in range(3)] == [0, 0, 1]
    finally:
        stopped.kill()
        stopped.join()
