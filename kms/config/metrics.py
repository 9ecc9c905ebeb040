"""Metrics for Prometheus, on a socket of their own that the parent opened and every worker answers on.

What is in the database any worker tells; what each has counted it leaves in a folder that they share, so that whoever
is asked adds up all of them, also those that are gone. No secret, and no name of anything that is an account's.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import msgspec
from django.db import close_old_connections
from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from kms.audit.tally import BOUNDS_US, Tally, tally
from kms.operations import vital_signs
from kms.operations.vital_signs import RecordSigns

LEAVE_SECONDS = 1.0
READ_SECONDS = 5.0  # whoever connects and says nothing
_BOUNDS = (*(bound / 1e6 for bound in BOUNDS_US), float("inf"))


def start(listening: socket.socket, folder: Path) -> None:
    """In a worker: count, leave the counts behind every second, and answer."""
    tally.wanted = True
    share = Share(folder)
    threading.Thread(target=_leave_for_ever, args=(share,), name="metrics share", daemon=True).start()
    server = server_on(listening, share)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()


def server_on(listening: socket.socket, share: Share) -> WSGIServer:
    registry = CollectorRegistry()
    registry.register(Signs(share))
    address: tuple[str, int] = listening.getsockname()[:2]
    server = WSGIServer(address, _Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listening
    # Several processes wait for each caller, and one gets it: the others must not wait in accept().
    listening.setblocking(False)
    server.server_name, server.server_port = address
    server.setup_environ()
    server.set_app(make_wsgi_app(registry))
    return server


class _Handler(WSGIRequestHandler):
    timeout = READ_SECONDS

    def log_message(self, format: str, *args: object) -> None:
        """A scrape every few seconds is nothing to write down."""

    def handle(self) -> None:
        try:
            super().handle()
        finally:
            close_old_connections()


# -- what each process has counted ---------------------------------------------------------------------------------


class Counted(msgspec.Struct):
    """A tally as it lies in the folder."""

    calls: list[tuple[str, str, int]] = []
    durations: dict[str, tuple[list[int], int]] = {}
    sink_failures: dict[UUID, int] = {}


def counted(of: Tally) -> Counted:
    with of.lock:
        calls = [(action, outcome, count) for (action, outcome), count in of.calls.items()]
        durations = {name: (list(each.counts), each.total_us) for name, each in of.durations.items()}
        return Counted(calls, durations, dict(of.sink_failures))


class Share:
    """A file for each process that there was since the server started; counts of one that died stay in the sum."""

    def __init__(self, folder: Path, of: Tally = tally) -> None:
        self._folder, self._tally = folder, of
        self._own = folder / f"{os.getpid()}-{time.time_ns()}.json"

    def leave(self) -> None:
        written = self._own.with_suffix(".new")
        written.write_bytes(msgspec.json.encode(counted(self._tally)))
        written.replace(self._own)

    def all(self) -> list[Counted]:
        self.leave()
        return [msgspec.json.decode(path.read_bytes(), type=Counted) for path in self._folder.glob("*.json")]


def _leave_for_ever(share: Share) -> None:
    pause = threading.Event()
    while not pause.wait(LEAVE_SECONDS):
        share.leave()


# -- what is shown -------------------------------------------------------------------------------------------------


class Signs(Collector):
    def __init__(self, share: Share) -> None:
        self._share = share

    def describe(self) -> list[Metric]:
        """Nothing beforehand: the registry asks at each scrape."""
        return []

    def collect(self) -> Iterator[Metric]:
        signs = vital_signs.read()
        yield _gauge("keystead_token_up", "Whether the token passes its probe.", signs.token_up)
        yield _gauge("keystead_record_trusted", "0: record or rows are not ours, nobody is served.", signs.trusted)
        yield _gauge("keystead_database_up", "Whether the database answers.", signs.record is not None)
        if signs.record is not None:
            yield from _record(signs.record, signs.now.timestamp())
        yield from _counts(self._share.all())


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(name, meaning, value=value)


def _record(record: RecordSigns, now: float) -> Iterator[Metric]:
    yield _gauge(
        "keystead_record_unsealed_entries",
        f"Entries that are not sealed yet, counted up to {vital_signs.MOST_COUNTED}.",
        record.unsealed_entries,
    )
    if record.checkpoint_at is not None:
        since = max(0.0, now - record.checkpoint_at.timestamp())
        yield _gauge("keystead_record_seconds_since_checkpoint", "Since the record's newest checkpoint.", since)
    yield _gauge("keystead_approvals_pending", "Requests for approval that wait.", record.approvals_pending)
    yield _gauge("keystead_forged_subjects", "Whose rows were changed past the server.", record.forged_subjects)
    labels = ["sink", "kind"]
    entries = GaugeMetricFamily("keystead_log_sink_lag_entries", "Entries that wait for a sink.", labels=labels)
    seconds = GaugeMetricFamily("keystead_log_sink_lag_seconds", "How long the first has waited.", labels=labels)
    lagging = GaugeMetricFamily("keystead_log_sink_lagging", "1: its account has been told.", labels=labels)
    for each in record.sinks:
        key = [str(each.sink), each.kind]
        entries.add_metric(key, each.entries_behind)
        seconds.add_metric(key, each.seconds_behind)
        lagging.add_metric(key, each.lagging)
    yield from (entries, seconds, lagging)


def _counts(shares: list[Counted]) -> Iterator[Metric]:
    calls: Counter[tuple[str, str]] = Counter()
    failures: Counter[UUID] = Counter()
    for share in shares:
        for action, outcome, count in share.calls:
            calls[action, outcome] += count
        failures.update(share.sink_failures)
    shown = CounterMetricFamily("keystead_calls", "Calls on the record.", labels=["action", "outcome"])
    for (action, outcome), count in sorted(calls.items()):
        shown.add_metric([action, outcome], count)
    yield shown
    failed = CounterMetricFamily("keystead_log_sink_failures", "Deliveries that failed.", labels=["sink"])
    for sink, count in sorted(failures.items()):
        failed.add_metric([str(sink)], count)
    yield failed
    yield _durations(shares)


def _durations(shares: list[Counted]) -> Metric:
    shown = HistogramMetricFamily("keystead_call_seconds", "Until a call's entry is written.", labels=["category"])
    for category in sorted({name for share in shares for name in share.durations}):
        found = [share.durations[category] for share in shares if category in share.durations]
        below, buckets = 0, []
        for bound, counts in zip(_BOUNDS, zip(*(each for each, _ in found), strict=True), strict=True):
            below += sum(counts)
            buckets.append(("+Inf" if bound == _BOUNDS[-1] else str(bound), float(below)))
        shown.add_metric([category], buckets, sum(total for _, total in found) / 1e6)
    return shown
