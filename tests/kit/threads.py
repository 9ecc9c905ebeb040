"""Work in several threads at once, each with its own database connection, closed when it is done."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import connection

T = TypeVar("T")


def at_once(count: int, work: Callable[[int], T]) -> list[T]:
    """``work(0) .. work(count - 1)``, started together; results (or the first exception) in order."""
    start = threading.Barrier(count)

    def run(number: int) -> T:
        start.wait()
        try:
            return work(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def each(workers: int, work: Callable[[int], T], numbers: Sequence[int]) -> list[T]:
    """``work`` over all numbers, shared out between the workers."""
    shares = [numbers[start::workers] for start in range(workers)]
    done = at_once(workers, lambda index: [work(number) for number in shares[index]])
    return [result for share in done for result in share]
