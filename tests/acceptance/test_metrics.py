"""Metrics of a server with several workers: whichever is asked tells the same, and what a dead one counted stays."""

from __future__ import annotations

import os
import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.acceptance.server import RunningServer, free_port

ACTION = {"action": "group.create", "outcome": "done"}


@pytest.fixture(scope="module")
def address() -> str:
    return f"127.0.0.1:{free_port()}"


@pytest.fixture(scope="module")
def own(address: str) -> Iterator[RunningServer]:
    with TemporaryDirectory(prefix="keystead-metrics-", ignore_cleanup_errors=True) as folder:
        running = RunningServer(Path(folder))
        try:
            running.start(env={"KEYSTEAD_METRICS_LISTEN": address, "KEYSTEAD_WORKERS": "2"})
            yield running
        finally:
            running.remove()


def samples(address: str) -> list[tuple[str, dict[str, str], float]]:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=15) as answer:
        text = answer.read().decode()
    return [(each.name, each.labels, each.value) for of in text_string_to_metric_families(text) for each in of.samples]


def made(address: str) -> float:
    return sum(value for name, labels, value in samples(address) if (name, labels) == ("keystead_calls_total", ACTION))


def settled(address: str, wanted: float) -> list[float]:
    """What eight scrapes say, once every worker has left what it counted (it does so each second)."""
    for _ in range(60):
        found = [made(address) for _ in range(8)]
        if set(found) == {wanted}:
            break
        time.sleep(0.1)
    return found


def groups(server: RunningServer, count: int) -> None:
    session = server.administrator_session()
    for number in range(count):
        answer = server.request("POST", "/sys/v1/groups", {"name": f"{time.time_ns()} {number}"}, authorization=session)
        assert answer.status == 201, answer.text


def test_whichever_worker_is_asked_tells_the_sum_of_all(own: RunningServer, address: str) -> None:
    before = made(address)
    groups(own, 12)
    assert settled(address, before + 12) == [before + 12] * 8


def test_what_a_worker_counted_stays_when_it_dies(own: RunningServer, address: str) -> None:
    before = made(address)
    assert own.process is not None
    groups(own, 6)
    assert settled(address, before + 6) == [before + 6] * 8
    workers = [
        child for child in psutil.Process(own.process.pid).children() if "spawn_main" in " ".join(child.cmdline())
    ]
    os.kill(workers[0].pid, signal.SIGKILL)
    assert settled(address, before + 6) == [before + 6] * 8


def test_no_call_at_the_servers_own_address_reads_them(own: RunningServer) -> None:
    assert own.request("GET", "/metrics").status == 404
