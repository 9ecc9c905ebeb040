"""Metrics: read by Prometheus' own parser from a server of its own, summed over processes, and silent about tenants."""

from __future__ import annotations

import socket
import threading
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import msgspec
import pytest
from django.db import DatabaseError
from prometheus_client.parser import text_string_to_metric_families

from accounts.clock import clock
from kms.audit.models import LogSink, LogSinkKind
from kms.audit.tally import BOUNDS_US, Tally, tally
from kms.config.environment import ConfigurationError, read_environment
from kms.config.metrics import Counted, Share, counted, server_on
from kms.hsm.errors import ModuleUnavailable
from kms.objects import keystore
from kms.operations import vital_signs
from kms.operations.executor import execute
from kms.operations.groups import UpdateGroup
from tests.kit.quorums import ask
from tests.kit.tenants import Tenant, new_tenant
from tests.operations.test_log_shipping import seal

Figures = dict[str, dict[tuple[tuple[str, str], ...], float]]


@pytest.fixture
def tenant(installation: None) -> Tenant:
    return new_tenant()


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("wanted", True), ("calls", {}), ("durations", {}), ("sink_failures", {})):
        monkeypatch.setattr(tally, name, value)


@pytest.fixture
def url(tmp_path: Path, counting: None) -> Iterator[str]:
    listening = socket.create_server(("127.0.0.1", 0))
    server = server_on(listening, Share(tmp_path))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


def text_of(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own
        read: bytes = answer.read()
    return read.decode()


def scrape(url: str) -> Figures:
    found: Figures = {}
    for family in text_string_to_metric_families(text_of(url)):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def calls(figures: Figures, action: str, outcome: str = "done") -> float:
    return figures["keystead_calls_total"].get((("action", action), ("outcome", outcome)), 0.0)


def test_what_is_up_is_up_and_what_is_counted_is_what_was_recorded(url: str, tenant: Tenant) -> None:
    before = calls(scrape(url), "group.update")
    execute(tenant.alice, UpdateGroup(tenant.group.id, name="renamed"))
    seal()
    figures = scrape(url)
    for name in ("keystead_token_up", "keystead_database_up", "keystead_record_trusted"):
        assert figures[name] == {(): 1.0}
    assert calls(figures, "group.update") == before + 1
    assert figures["keystead_record_unsealed_entries"][()] == 0
    assert 0 <= figures["keystead_record_seconds_since_checkpoint"][()] < 60


def test_durations_are_a_histogram_that_agrees_with_itself(url: str, tenant: Tenant) -> None:
    execute(tenant.alice, UpdateGroup(tenant.group.id, name="renamed"))
    figures = scrape(url)
    category = ("category", "administrative")
    buckets = {
        dict(key)["le"]: value for key, value in figures["keystead_call_seconds_bucket"].items() if category in key
    }
    assert len(buckets) == len(BOUNDS_US) + 1
    assert list(buckets.values()) == sorted(buckets.values())
    assert buckets["+Inf"] == figures["keystead_call_seconds_count"][(category,)] >= 1
    assert figures["keystead_call_seconds_sum"][(category,)] > 0


def test_entries_that_wait_are_told_and_so_is_a_sink_that_waits(url: str, tenant: Tenant) -> None:
    LogSink.objects.all().delete()
    seal()
    sink = LogSink.objects.create(
        account=tenant.account, kind=LogSinkKind.SYSLOG, position=0, lagging_since=clock.now()
    )
    tally.sink_failed(sink.id)
    execute(tenant.alice, UpdateGroup(tenant.group.id, name="renamed"))
    figures = scrape(url)
    assert figures["keystead_record_unsealed_entries"][()] >= 1
    key = (("kind", "syslog"), ("sink", str(sink.id)))
    assert figures["keystead_log_sink_lagging"] == {key: 1.0}
    assert set(figures["keystead_log_sink_lag_entries"]) == set(figures["keystead_log_sink_lag_seconds"]) == {key}
    assert figures["keystead_log_sink_failures_total"] == {(("sink", str(sink.id)),): 1.0}
    LogSink.objects.all().delete()


def test_requests_for_approval_that_wait_are_counted_until_they_expire(url: str, tenant: Tenant) -> None:
    before = scrape(url)["keystead_approvals_pending"][()]
    request = ask(tenant, tenant.alice)
    assert scrape(url)["keystead_approvals_pending"][()] == before + 1
    request.expires_at = clock.now() - timedelta(seconds=1)
    request.save()
    assert scrape(url)["keystead_approvals_pending"][()] == before


def test_what_is_away_is_told_and_does_not_break_the_answer(
    url: str, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise ModuleUnavailable("gone")

    def broken(*_: object, **__: object) -> None:
        raise DatabaseError

    monkeypatch.setattr(type(keystore.module()), "status", away)
    monkeypatch.setattr(vital_signs, "connection", SimpleNamespace(cursor=broken))
    figures = scrape(url)
    assert figures["keystead_token_up"] == figures["keystead_database_up"] == {(): 0.0}
    assert "keystead_record_unsealed_entries" not in figures


def test_processes_are_summed_and_one_that_died_stays_in_the_sum(tmp_path: Path) -> None:
    first, second = Tally(wanted=True), Tally(wanted=True)
    for each, count in ((first, 2), (second, 5)):
        each.calls["group.update", "done"] = count
        Share(tmp_path, each).leave()
    third = Share(tmp_path, Tally(wanted=True))
    assert sum(count for share in third.all() for _, _, count in share.calls) == 7
    assert len(list(tmp_path.glob("*.json"))) == 3


def test_a_tally_is_the_same_after_it_lay_in_the_folder(counting: None, tenant: Tenant) -> None:
    execute(tenant.alice, UpdateGroup(tenant.group.id, name="renamed"))
    tally.sink_failed(uuid4())
    whole = counted(tally)
    assert msgspec.json.decode(msgspec.json.encode(whole), type=Counted) == whole
    assert whole.calls


def test_nothing_of_a_tenants_is_in_it(url: str, tenant: Tenant) -> None:
    execute(tenant.alice, UpdateGroup(tenant.group.id, name="canary-name-of-a-group"))
    shown = text_of(url)
    for told in (
        "canary",
        str(tenant.account.id),
        tenant.account.name,
        str(tenant.group.id),
        tenant.users["administrator"].email,
    ):
        assert told not in shown


def test_nothing_is_counted_where_nobody_wants_it(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "wanted", False)
    before = counted(tally)
    execute(tenant.alice, UpdateGroup(tenant.group.id, name="renamed"))
    assert counted(tally) == before


@pytest.mark.parametrize(
    "value", ["9090", "127.0.0.1", "http://127.0.0.1:9090", "127.0.0.1:9090/x", ":9090", "h:0", "h:99999"]
)
def test_an_address_that_is_none_stops_the_server(value: str) -> None:
    with pytest.raises(ConfigurationError, match="KEYSTEAD_METRICS_LISTEN"):
        read_environment({"KEYSTEAD_METRICS_LISTEN": value})


def test_metrics_are_off_unless_an_address_is_given() -> None:
    assert read_environment({}).metrics_listen is None
    assert read_environment({"KEYSTEAD_METRICS_LISTEN": "[::1]:9090"}).metrics_listen == ("::1", 9090)
