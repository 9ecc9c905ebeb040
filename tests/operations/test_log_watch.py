"""A sink that gets nothing is reported once, to the record, the log and by mail; and once more when it caught up."""

from __future__ import annotations

import dataclasses
import ipaddress
import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from accounts.models import Membership, OutgoingMail
from kms.audit.models import AuditRecord, LogSink
from kms.audit.trust import trust
from kms.config.values import Reachable
from kms.operations.accounts import GetAccount
from kms.operations.executor import execute
from kms.operations.log_watch import MOST_FAILURES, LogWatch
from tests.kit.listener import Listener, listening
from tests.kit.mail import PostOffice, deliver, open_post_office, use
from tests.kit.tenants import Tenant, new_tenant
from tests.kit.threads import at_once
from tests.kit.tls import Authority, new_authority
from tests.operations.test_log_shipping import due_now, seal, ship, some_entries, splunk

QUARTER = timedelta(minutes=15)
AT_ONCE = timedelta(seconds=-1)  # as if every entry had waited for too long


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostOffice]:
    with open_post_office(tmp_path_factory.mktemp("mail")) as opened:
        yield opened


@pytest.fixture(scope="module")
def authority() -> Authority:
    return new_authority()


@pytest.fixture(autouse=True)
def _outside(office: PostOffice, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    use(office, settings, monkeypatch)
    allowed = Reachable(networks=(ipaddress.ip_network("127.0.0.0/8"),))
    settings.KEYSTEAD = dataclasses.replace(settings.KEYSTEAD, outbound_allow=allowed)
    LogSink.objects.all().delete()
    OutgoingMail.objects.all().delete()


@pytest.fixture
def listener(tmp_path: Path, authority: Authority, _outside: None) -> Iterator[Listener]:
    with listening(tmp_path, authority) as opened:
        opened.status = 200
        yield opened


@pytest.fixture
def tenant(installation: None) -> Tenant:
    return new_tenant()


@pytest.fixture
def sink(listener: Listener, tenant: Tenant, authority: Authority) -> LogSink:
    return splunk(tenant, listener, authority)


def entries(tenant: Tenant) -> list[tuple[str, str]]:
    found = AuditRecord.objects.filter(account_id=tenant.account.id, action__startswith="log-sink.")
    return list(found.order_by("sequence").values_list("action", "outcome"))


def look(limit: timedelta = QUARTER) -> int:
    return LogWatch(limit).turn()


def failed_often(sink: LogSink) -> None:
    LogSink.objects.filter(id=sink.id).update(attempts=MOST_FAILURES, last_error="it answered 503")


def test_what_arrives_is_no_news(sink: LogSink, tenant: Tenant) -> None:
    ship()
    assert look() == 0
    assert entries(tenant) == []
    assert not OutgoingMail.objects.exists()


def test_entries_that_wait_too_long_are_reported_once(
    sink: LogSink, tenant: Tenant, office: PostOffice, caplog: pytest.LogCaptureFixture
) -> None:
    some_entries(tenant, 2)
    seal()
    assert look() == 0
    assert [look(AT_ONCE) for _ in range(3)] == [1, 0, 0]
    assert entries(tenant) == [("log-sink.lagging", "failed")]
    (record,) = AuditRecord.objects.filter(action="log-sink.lagging", account_id=tenant.account.id)
    assert (record.object_kind, record.object_id, record.details) == (
        "log-sink",
        sink.id,
        {"kind": "splunk", "items": 3},
    )
    (line,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert str(sink.id) in line.getMessage()
    deliver()
    (letter,) = office.to(tenant.users["administrator"].email)
    assert letter.message["Subject"] == "A receiver of your log in Keystead gets nothing"
    assert tenant.account.name in letter.text


def test_one_that_failed_often_is_reported_before_its_time(sink: LogSink, tenant: Tenant) -> None:
    LogSink.objects.filter(id=sink.id).update(attempts=MOST_FAILURES - 1)
    assert look() == 0
    failed_often(sink)
    assert look() == 1


def test_one_that_caught_up_is_reported_once(sink: LogSink, tenant: Tenant, listener: Listener) -> None:
    failed_often(sink)
    listener.status = 503
    assert look() == 1
    assert ship() == 0
    assert look() == 0, "it still fails"
    listener.status = 200
    due_now()
    assert ship() > 0
    assert [look() for _ in range(2)] == [1, 0]
    assert entries(tenant) == [("log-sink.lagging", "failed"), ("log-sink.recovered", "done")]
    assert LogSink.objects.get(id=sink.id).lagging_since is None


def test_the_account_shows_since_when(sink: LogSink, tenant: Tenant) -> None:
    (view,) = execute(tenant.alice, GetAccount(tenant.account.id)).sinks
    assert view.row.lagging_since is None
    look(AT_ONCE)
    (view,) = execute(tenant.alice, GetAccount(tenant.account.id)).sinks
    assert view.row.lagging_since is not None


def test_who_is_no_administrator_any_more_gets_no_mail(sink: LogSink, tenant: Tenant, office: PostOffice) -> None:
    tenant.member("member")
    look(AT_ONCE)
    alice = tenant.users["administrator"]
    Membership.objects.filter(user=alice, account=tenant.account).update(enabled=False)
    deliver()
    assert office.to(alice.email) == []
    assert office.to(tenant.users["member"].email) == []


def test_several_sinks_are_one_mail(
    sink: LogSink, tenant: Tenant, listener: Listener, authority: Authority, office: PostOffice
) -> None:
    splunk(tenant, listener, authority)
    assert look(AT_ONCE) == 2
    deliver()
    assert len(office.to(tenant.users["administrator"].email)) == 1


def test_of_many_who_look_at_once_one_reports(sink: LogSink, tenant: Tenant) -> None:
    failed_often(sink)
    assert sum(at_once(8, lambda _: look())) == 1
    assert len(entries(tenant)) == 1


def test_a_sink_that_is_off_and_a_record_that_was_set_back_are_not_watched(
    sink: LogSink, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed_often(sink)
    with monkeypatch.context() as set_back:
        set_back.setattr(trust, "reason", "set back")
        assert look() == 0
    LogSink.objects.filter(id=sink.id).update(enabled=False)
    assert look() == 0
