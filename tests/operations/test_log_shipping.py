"""An account's entries reach its sinks: in order, at least once, nobody else's, and no secret with them."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import ipaddress
import json
import logging
import socket
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from accounts.clock import clock
from kms.audit.formats import Format
from kms.audit.models import AuditRecord, LogSink, LogSinkKind
from kms.audit.sealer import Sealer
from kms.audit.trust import trust
from kms.config.values import Reachable
from kms.crypto.errors import ParameterInvalid
from kms.objects import keystore
from kms.operations import log_shipping
from kms.operations.accounts import GetAccount, UpdateAccount
from kms.operations.errors import AccessDenied, Conflict, NotFound
from kms.operations.executor import execute
from kms.operations.groups import UpdateGroup
from kms.operations.log_shipping import LogShipper, Tried, TryLogSink
from kms.operations.log_sink_kinds import CLIENT_KEY, KEY, SECRET_KEY, TOKEN
from kms.operations.log_sinks import MAX_SINKS, SinkChange, SinkSettings, change_sinks
from kms.operations.record_key import record_signer
from kms.secret import SecretBytes
from tests.kit.certificates import leaf
from tests.kit.listener import Listener, listening
from tests.kit.log_receivers import SyslogListener, rsyslog, syslog_listening
from tests.kit.tenants import Tenant, new_tenant
from tests.kit.threads import at_once
from tests.kit.tls import Authority, new_authority
from tests.kit.urls import FORBIDDEN_URLS, forbidden_resolver

CANARY = "canary-token-3f9a71c2"
SIGNING_KEY = b"canary-key-of-thirty-two-bytes!!"
SYSLOG, SPLUNK, WEBHOOK, S3 = LogSinkKind.SYSLOG, LogSinkKind.SPLUNK, LogSinkKind.WEBHOOK, LogSinkKind.S3
BUCKET = {"bucket": "logs", "access_key_id": "keystead"}


@pytest.fixture(scope="module")
def authority() -> Authority:
    return new_authority()


@pytest.fixture(autouse=True)
def _reachable(settings: Any) -> None:
    """This machine may be called; sinks of other tests are gone."""
    allowed = Reachable(networks=(ipaddress.ip_network("127.0.0.0/8"),))
    settings.KEYSTEAD = dataclasses.replace(settings.KEYSTEAD, outbound_allow=allowed)
    LogSink.objects.all().delete()


@pytest.fixture
def listener(tmp_path: Path, authority: Authority, _reachable: None) -> Iterator[Listener]:
    with listening(tmp_path, authority) as opened:
        opened.status = 200
        yield opened


@pytest.fixture
def syslog(tmp_path: Path, authority: Authority, _reachable: None) -> Iterator[SyslogListener]:
    with syslog_listening(tmp_path, authority) as opened:
        yield opened


@pytest.fixture
def tenant(installation: None) -> Tenant:
    return new_tenant()


def tls(authority: Authority) -> dict[str, Any]:
    return {"mode": "required", "ca": {"pinned": [base64.b64encode(authority.der).decode()]}}


def add(tenant: Tenant, settings: SinkSettings) -> LogSink:
    seal()
    execute(tenant.alice, UpdateAccount(tenant.account.id, sinks=SinkChange(add=(settings,))))
    return LogSink.objects.filter(account=tenant.account).latest("created_at")


def splunk_settings(at: int, authority: Authority, **config: Any) -> SinkSettings:
    place = {"host": "127.0.0.1", "port": at, "tls": tls(authority), "index": "main", **config}
    return SinkSettings(SPLUNK, place, {TOKEN: SecretBytes(CANARY.encode())})


def splunk(tenant: Tenant, listener: Listener, authority: Authority, **config: Any) -> LogSink:
    return add(tenant, splunk_settings(port_of(listener), authority, **config))


def port_of(listener: Listener) -> int:
    return int(listener.url.partition("127.0.0.1:")[2].partition("/")[0])


def seal() -> None:
    """Until every entry that is there is in the tree, in two turns at most."""
    sealer = Sealer(keystore.deployment_id(), record_signer)
    while sealer.turn(clock.now()):
        pass
    sealer.turn(clock.now())


def ship() -> int:
    seal()
    return LogShipper().turn()


def events(listener: Listener) -> list[dict[str, Any]]:
    return [json.loads(line) for each in listener.received for line in each.body.splitlines()]


def sequences(listener: Listener) -> list[int]:
    return [event["event"]["sequence"] for event in events(listener)]


def recorded(tenant: Tenant, sink: LogSink) -> list[int]:
    """What is the account's since the sink is there, in the order of the tree."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sequence FROM audit_leaf JOIN audit_entry USING (sequence) "
            "WHERE account_id = %s AND index >= %s ORDER BY index",
            [tenant.account.id, sink.position],
        )
        return [sequence for (sequence,) in cursor.fetchall()]


def some_entries(tenant: Tenant, count: int, *, text: str = "changed") -> None:
    for number in range(count):
        execute(tenant.alice, UpdateGroup(tenant.group.id, name=f"{text} {number} {tenant.group.id}"))


def due_now() -> None:
    LogSink.objects.update(not_before=None)


# -- what arrives --------------------------------------------------------------------------------------------------


def test_splunk_gets_the_accounts_entries_in_order_once(
    listener: Listener, tenant: Tenant, authority: Authority
) -> None:
    sink = splunk(tenant, listener, authority)
    some_entries(tenant, 5)
    some_entries(new_tenant(), 3)
    assert ship() == len(recorded(tenant, sink)) >= 6
    assert sequences(listener) == recorded(tenant, sink)
    (first,) = listener.received
    assert first.path == "/services/collector/event"
    assert first.headers["authorization"] == f"Splunk {CANARY}"
    event = events(listener)[0]
    assert (event["index"], event["sourcetype"], event["source"]) == ("main", "keystead:json", "keystead")
    assert event["event"]["account"] == str(tenant.account.id)
    assert LogShipper().turn() == 0
    assert len(listener.received) == 1


def test_what_was_there_before_the_sink_is_not_sent(listener: Listener, tenant: Tenant, authority: Authority) -> None:
    some_entries(tenant, 3)
    splunk(tenant, listener, authority)
    ship()
    assert [event["event"]["action"] for event in events(listener)] == ["account.update"]


@pytest.mark.parametrize("form", list(Format))
def test_a_hash_is_that_of_the_line_that_was_sealed(
    listener: Listener, tenant: Tenant, authority: Authority, form: Format
) -> None:
    splunk(tenant, listener, authority, format=form)
    ship()
    (event,) = events(listener)
    assert isinstance(event["event"], dict if form in (Format.JSON, Format.OCSF) else str)
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM audit_leaf WHERE hash = %s", [bytes.fromhex(event["fields"]["hash"])])
        assert cursor.fetchone() is not None
    if form is Format.JSON:
        line = json.dumps(event["event"], separators=(",", ":"), ensure_ascii=False).encode()
        assert hashlib.sha256(b"\x00" + line).hexdigest() == event["fields"]["hash"]


def test_a_webhook_is_signed_as_standard_webhooks_says(
    tmp_path: Path, listener: Listener, tenant: Tenant, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ca.pem").write_text(authority.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    sink = add(tenant, SinkSettings(WEBHOOK, {"url": listener.url}, {KEY: SecretBytes(SIGNING_KEY)}))
    some_entries(tenant, 2)
    assert ship() == 3
    (received,) = listener.received
    head = received.headers
    signed = f"{head['webhook-id']}.{head['webhook-timestamp']}.".encode() + received.body
    expected = base64.b64encode(hmac.new(SIGNING_KEY, signed, hashlib.sha256).digest()).decode()
    assert head["webhook-signature"] == f"v1,{expected}"
    assert abs(int(head["webhook-timestamp"]) - time.time()) < 60
    content = json.loads(received.body)
    assert content["type"] == "record.entries"
    assert content["data"]["account"] == str(tenant.account.id)
    assert [each["entry"]["sequence"] for each in content["data"]["entries"]] == recorded(tenant, sink)


def test_syslog_over_tls_counts_octets_whatever_is_in_them(
    syslog: SyslogListener, tenant: Tenant, authority: Authority
) -> None:
    place = {"host": "127.0.0.1", "port": syslog.port, "tls": tls(authority), "facility": 17}
    sink = add(tenant, SinkSettings(SYSLOG, place))
    some_entries(tenant, 2, text="schlüssel\n<134>1 forged")
    assert ship() == 3
    lines = [message.partition(b"] ")[2] for message in syslog.messages]
    assert [json.loads(line)["sequence"] for line in lines] == recorded(tenant, sink)
    assert all(message.startswith(b"<142>1 ") for message in syslog.messages)


def test_a_real_rsyslog_takes_them(tmp_path: Path, tenant: Tenant, authority: Authority) -> None:
    with rsyslog(tmp_path, authority) as port:
        place = {"host": "127.0.0.1", "port": port, "tls": tls(authority), "facility": 16}
        sink = add(tenant, SinkSettings(SYSLOG, place))
        some_entries(tenant, 3, text='quote " backslash \\ bracket ] and\nline')
        assert ship() == 4, LogSink.objects.get(id=sink.id).last_error
        received = tmp_path / "received"
        for _ in range(100):
            if received.exists() and received.read_text().count("\n") >= 4:
                break
            time.sleep(0.05)
    found = [json.loads(line) for line in received.read_text().splitlines()]
    assert [json.loads(each["text"])["sequence"] for each in found] == recorded(tenant, sink)
    assert {each["program"] for each in found} == {"keystead"}
    assert all(each["data"].startswith("[keystead@32473 id=") for each in found)


def test_a_receiver_that_asks_for_a_certificate_gets_the_sinks(
    tmp_path: Path, tenant: Tenant, authority: Authority
) -> None:
    certificate, key = leaf("a server of keys", None).files(tmp_path, "client")
    with syslog_listening(tmp_path, authority, client_ca=certificate.read_text()) as asking:
        without = {"host": "127.0.0.1", "port": asking.port, "tls": tls(authority)}
        sink = add(tenant, SinkSettings(SYSLOG, without))
        assert ship() == 0
        shown = {**tls(authority), "client_certificate": certificate.read_text()}
        wanted = SinkSettings(SYSLOG, {"tls": shown}, {CLIENT_KEY: SecretBytes(key.read_bytes())})
        execute(tenant.alice, UpdateAccount(tenant.account.id, sinks=SinkChange(change={sink.id: wanted})))
        assert ship() == 2
        assert len(asking.messages) == 2


# -- when it does not go well --------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 400, 403, 429, 500, 503])
def test_any_answer_but_success_is_tried_again_from_the_same_place(
    listener: Listener, tenant: Tenant, authority: Authority, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    sink = splunk(tenant, listener, authority)
    listener.status, listener.location = status, listener.url
    assert ship() == 0
    row = LogSink.objects.get(id=sink.id)
    assert (row.attempts, row.last_error, row.delivered_at) == (1, f"it answered {status}", None)
    assert row.not_before is not None
    assert row.not_before >= clock.now() + timedelta(seconds=3)
    assert CANARY not in caplog.text
    assert LogShipper().turn() == 0
    assert len(listener.received) == 1
    listener.status = 200
    due_now()
    assert LogShipper().turn() == 1
    first, again = (json.loads(each.body)["fields"]["hash"] for each in listener.received)
    assert first == again
    row = LogSink.objects.get(id=sink.id)
    assert (row.attempts, row.last_error, row.not_before) == (0, "", None)
    assert row.delivered_at is not None


def test_the_pause_grows_to_a_limit(listener: Listener, tenant: Tenant, authority: Authority) -> None:
    sink = splunk(tenant, listener, authority)
    listener.status = 500
    seal()
    for attempts, seconds in ((0, 5), (3, 40), (50, 600)):
        LogSink.objects.filter(id=sink.id).update(attempts=attempts, not_before=None)
        LogShipper().turn()
        pause = LogSink.objects.get(id=sink.id).not_before - clock.now()  # type: ignore[operator]  # it failed
        assert seconds - 2 < pause.total_seconds() <= seconds


def test_one_that_fails_or_hangs_holds_up_no_other(
    tmp_path: Path, listener: Listener, tenant: Tenant, authority: Authority
) -> None:
    other, hanging = new_tenant(), tmp_path / "hanging"
    hanging.mkdir()
    with listening(hanging, authority) as silent:
        silent.free.clear()
        splunk(other, silent, authority)
        splunk(tenant, listener, authority)
        seal()
        started = time.monotonic()
        turns = at_once(2, lambda _: LogShipper().turn())
        assert sum(turns) == 1
        assert [event["event"]["account"] for event in events(listener)] == [str(tenant.account.id)]
        assert time.monotonic() - started < 12
        some_entries(tenant, 1)
        due_now()
        seal()
        silent.free.set()
        silent.status = 500
        LogShipper().turn()
        assert len(events(listener)) == 2
    assert LogSink.objects.get(account=other.account).attempts >= 1


def test_those_that_work_come_before_those_that_do_not(
    listener: Listener, tenant: Tenant, authority: Authority
) -> None:
    for each in (tenant, new_tenant(), new_tenant()):
        splunk(each, listener, authority)
    failing = LogSink.objects.exclude(account=tenant.account)
    failing.update(attempts=3)
    seal()
    assert LogShipper().turn() == 2
    assert events(listener)[0]["event"]["account"] == str(tenant.account.id)
    assert failing.filter(attempts=3).count() == 1


def test_a_killed_shipper_ships_again_what_it_had_not_noted(
    listener: Listener, tenant: Tenant, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = splunk(tenant, listener, authority)
    some_entries(tenant, 3)
    with monkeypatch.context() as dying:
        dying.setattr(log_shipping, "_advance", _die)
        with pytest.raises(KeyboardInterrupt):
            ship()
    assert LogSink.objects.get(id=sink.id).position == sink.position
    assert LogShipper().turn() == 4
    assert sequences(listener) == recorded(tenant, sink) * 2


def _die(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def test_several_processes_ship_each_entry_once(listener: Listener, tenant: Tenant, authority: Authority) -> None:
    sink = splunk(tenant, listener, authority)
    some_entries(tenant, 6)
    seal()
    turns = at_once(5, lambda _: LogShipper().turn())
    assert sum(turns) == 7
    assert sequences(listener) == recorded(tenant, sink)


def test_many_go_in_batches_that_are_bounded(
    listener: Listener, tenant: Tenant, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_shipping, "MOST_ENTRIES", 3)
    monkeypatch.setattr(log_shipping, "WINDOW", 4)
    sink = splunk(tenant, listener, authority)
    some_entries(tenant, 7)
    some_entries(new_tenant(), 10)
    some_entries(tenant, 2)
    assert ship() == 10
    assert sequences(listener) == recorded(tenant, sink)
    assert max(len(each.body.splitlines()) for each in listener.received) <= 3
    monkeypatch.setattr(log_shipping, "MOST_BYTES", 1)
    some_entries(tenant, 2)
    before = len(listener.received)
    assert ship() == 2
    assert len(listener.received) == before + 2


def test_who_ends_without_saying_so_has_not_taken_it(
    syslog: SyslogListener, tenant: Tenant, authority: Authority
) -> None:
    """A network can end a connection; over TLS only the receiver can say that it has read all."""
    sink = add(tenant, SinkSettings(SYSLOG, {"host": "127.0.0.1", "port": syslog.port, "tls": tls(authority)}))
    syslog.abrupt = True
    assert ship() == 0
    assert "did not take it" in LogSink.objects.get(id=sink.id).last_error
    syslog.abrupt = False
    due_now()
    assert LogShipper().turn() == 1


def test_a_server_that_is_not_the_right_one_gets_nothing(
    listener: Listener, syslog: SyslogListener, tenant: Tenant
) -> None:
    stranger = new_authority()
    splunk(tenant, listener, stranger)
    add(tenant, SinkSettings(SYSLOG, {"host": "127.0.0.1", "port": syslog.port, "tls": tls(stranger)}))
    assert ship() == 0
    LogShipper().turn()
    assert (listener.received, syslog.messages) == ([], [])
    assert all("SSLCertVerificationError" in row.last_error for row in LogSink.objects.all())


def test_an_entry_that_was_changed_is_not_sent_and_is_an_alarm(
    listener: Listener, tenant: Tenant, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    from tests.audit.helpers import owner_connection

    splunk(tenant, listener, authority)
    seal()
    with owner_connection() as owner:
        owner.execute("ALTER TABLE audit_entry DISABLE TRIGGER ALL")
        owner.execute("UPDATE audit_entry SET reason = 'nothing' WHERE account_id = %s", [tenant.account.id])
        owner.execute("ALTER TABLE audit_entry ENABLE TRIGGER ALL")
    try:
        assert LogShipper().turn() == 0
        assert listener.received == []
        assert [each.levelno for each in caplog.records if "is not what was sealed" in each.message] == [
            logging.CRITICAL
        ]
    finally:
        with owner_connection() as owner:
            owner.execute("ALTER TABLE audit_entry DISABLE TRIGGER ALL")
            owner.execute("UPDATE audit_entry SET reason = 'granted' WHERE account_id = %s", [tenant.account.id])
            owner.execute("ALTER TABLE audit_entry ENABLE TRIGGER ALL")


def test_a_record_that_was_set_back_is_shipped_to_nobody(
    listener: Listener, tenant: Tenant, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    splunk(tenant, listener, authority)
    seal()
    with monkeypatch.context() as set_back:
        set_back.setattr(trust, "reason", "The record was set back")
        assert LogShipper().turn() == 0
    assert listener.received == []
    assert LogShipper().turn() == 1


def test_a_sink_that_is_off_waits_and_goes_on_where_it_was(
    listener: Listener, tenant: Tenant, authority: Authority
) -> None:
    sink = splunk(tenant, listener, authority)
    for enabled in (False, True):
        wanted = SinkChange(change={sink.id: SinkSettings(SPLUNK, {}, {}, enabled)})
        execute(tenant.alice, UpdateAccount(tenant.account.id, sinks=wanted))
        assert ship() == (0 if not enabled else 3)
    assert sequences(listener) == recorded(tenant, sink)


# -- settings ------------------------------------------------------------------------------------------------------


def test_a_token_is_not_sent_to_a_place_that_it_was_not_given_for(
    listener: Listener, tenant: Tenant, authority: Authority
) -> None:
    sink = splunk(tenant, listener, authority)
    moved = SinkSettings(SPLUNK, {"port": port_of(listener) + 1})
    with pytest.raises(ParameterInvalid, match="token is needed"):
        execute(tenant.alice, UpdateAccount(tenant.account.id, sinks=SinkChange(change={sink.id: moved})))
    renamed = SinkSettings(SPLUNK, {"index": "other"})
    execute(tenant.alice, UpdateAccount(tenant.account.id, sinks=SinkChange(change={sink.id: renamed})))
    assert ship() == 3
    assert [event["event"]["outcome"] for event in events(listener)] == ["done", "failed", "done"]
    assert {event["index"] for event in events(listener)} == {"other"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"tls": {"mode": "opportunistic"}}, "mode is required"),
        ({"tls": {"mode": "required", "validate_hostname": False, "ca": {"ca_set": "global_roots"}}}, "must be true"),
        ({"host": "192.0.2.1", "tls": {"mode": "disabled"}}, "mode is required|not an address"),
        ({"host": "10.0.0.1"}, "not an address that the server may call"),
        ({"host": "169.254.169.254"}, "not an address that the server may call"),
        ({"host": "logs.example.org/x"}, "host is a name"),
        ({"host": "user@logs.example.org"}, "must start with"),
        ({"host": ""}, "host is needed"),
        ({"port": 0}, "from 1 to 65535"),
        ({"port": None}, "port is needed"),
        ({"format": "xml"}, "format is one of"),
        ({"surprise": 1}, "unknown settings"),
    ],
)
def test_settings_that_would_not_do_are_refused(
    tenant: Tenant, authority: Authority, change: dict[str, Any], says: str
) -> None:
    settings = splunk_settings(8088, authority, **change)
    with pytest.raises(ParameterInvalid, match=says):
        execute(tenant.alice, UpdateAccount(tenant.account.id, sinks=SinkChange(add=(settings,))))
    assert not LogSink.objects.filter(account=tenant.account).exists()


def test_no_address_inside_is_taken_in_any_spelling(tenant: Tenant, authority: Authority, settings: Any) -> None:
    settings.KEYSTEAD = dataclasses.replace(settings.KEYSTEAD, outbound_allow=Reachable())
    for url in FORBIDDEN_URLS:
        wanted = [SinkSettings(WEBHOOK, {"url": url}, {KEY: SecretBytes(SIGNING_KEY)})]
        if url.startswith("https://"):
            host = url.removeprefix("https://").removesuffix("/")
            wanted.append(splunk_settings(8088, authority, host=host))
            wanted.append(SinkSettings(SYSLOG, {"host": host, "port": 6514, "tls": tls(authority)}))
        wanted.append(SinkSettings(S3, {**BUCKET, "endpoint": url}, {SECRET_KEY: SecretBytes(b"x")}))
        for each in wanted:
            with pytest.raises(ParameterInvalid):
                change_sinks(tenant.account, SinkChange(add=(each,)))
    assert not LogSink.objects.filter(account=tenant.account).exists()


@pytest.mark.parametrize("kind", list(LogSinkKind))
def test_a_name_that_leads_inside_is_not_called_when_it_is_shipped(
    tenant: Tenant, authority: Authority, settings: Any, monkeypatch: pytest.MonkeyPatch, kind: LogSinkKind
) -> None:
    settings.KEYSTEAD = dataclasses.replace(settings.KEYSTEAD, outbound_allow=Reachable())
    place = {"host": "metadata.example.org", "port": 443, "tls": tls(authority)}
    url = "https://metadata.example.org/"
    config = {WEBHOOK: {"url": url}, S3: {**BUCKET, "endpoint": url}}.get(kind, place)
    secrets = {
        WEBHOOK: {KEY: SecretBytes(SIGNING_KEY)},
        SPLUNK: {TOKEN: SecretBytes(b"token")},
        S3: {SECRET_KEY: SecretBytes(b"key")},
    }
    monkeypatch.setattr(log_shipping, "GATHER", timedelta())
    sink = add(tenant, SinkSettings(kind, config, secrets.get(kind, {})))
    monkeypatch.setattr(socket, "getaddrinfo", forbidden_resolver)
    monkeypatch.setattr(socket, "create_connection", _die)
    assert ship() == 0
    assert "not an address that the server may call" in LogSink.objects.get(id=sink.id).last_error


@pytest.mark.parametrize("token", ["", "two words", "line\nbreak", "naïve", "x" * 257])
def test_a_token_that_would_break_a_header_is_refused(tenant: Tenant, authority: Authority, token: str) -> None:
    settings = dataclasses.replace(splunk_settings(8088, authority), secrets={TOKEN: SecretBytes(token.encode())})
    with pytest.raises(ParameterInvalid, match="token"):
        execute(tenant.alice, UpdateAccount(tenant.account.id, sinks=SinkChange(add=(settings,))))


def test_in_clear_it_goes_to_this_machine_only(tenant: Tenant) -> None:
    sink = add(tenant, SinkSettings(SYSLOG, {"host": "127.0.0.1", "port": 1, "tls": {"mode": "disabled"}}))
    assert sink.config["tls"] == {"mode": "disabled"}
    with pytest.raises(ParameterInvalid, match="mode is required"):
        add(tenant, SinkSettings(SYSLOG, {"host": "logs.example.org", "port": 514, "tls": {"mode": "disabled"}}))


def test_there_is_a_limit(tenant: Tenant, authority: Authority) -> None:
    many = tuple(splunk_settings(8000 + number, authority) for number in range(MAX_SINKS + 1))
    with pytest.raises(Conflict):
        execute(tenant.alice, UpdateAccount(tenant.account.id, sinks=SinkChange(add=many)))
    assert not LogSink.objects.filter(account=tenant.account).exists()


@pytest.mark.parametrize("role", ["member", "auditor"])
def test_who_may_not_manage_them_neither_sees_changes_nor_tries_them(
    listener: Listener, tenant: Tenant, authority: Authority, role: str
) -> None:
    sink = splunk(tenant, listener, authority)
    other = tenant.member(role)
    assert execute(other, GetAccount(tenant.account.id)).sinks == ()
    for command in (
        UpdateAccount(tenant.account.id, sinks=SinkChange(remove=frozenset({sink.id}))),
        TryLogSink(tenant.account.id, sink.id),
        TryLogSink(tenant.account.id, tenant.account.id),
    ):
        with pytest.raises(AccessDenied):
            execute(other, command)
    assert LogSink.objects.filter(id=sink.id).exists()
    assert listener.received == []


def test_another_accounts_sink_is_not_there(listener: Listener, tenant: Tenant, authority: Authority) -> None:
    sink, stranger = splunk(tenant, listener, authority), new_tenant()
    change = SinkChange(change={sink.id: SinkSettings(SPLUNK, {}, {}, False)})
    for command in (
        UpdateAccount(stranger.account.id, sinks=SinkChange(remove=frozenset({sink.id}))),
        UpdateAccount(stranger.account.id, sinks=change),
        TryLogSink(stranger.account.id, sink.id),
        TryLogSink(tenant.account.id, sink.id),
    ):
        with pytest.raises(NotFound):
            execute(stranger.alice, command)
    assert LogSink.objects.get(id=sink.id).enabled


def test_secrets_of_another_row_do_not_open(listener: Listener, tenant: Tenant, authority: Authority) -> None:
    sink, other = splunk(tenant, listener, authority), splunk(new_tenant(), listener, authority)
    LogSink.objects.filter(id=sink.id).update(secret_sealed=other.secret_sealed)
    LogSink.objects.filter(id=other.id).delete()
    assert ship() == 0
    assert listener.received == []
    assert LogSink.objects.get(id=sink.id).attempts == 1


def test_no_secret_is_in_the_record_or_in_what_is_sent(
    listener: Listener, tenant: Tenant, authority: Authority
) -> None:
    for form in Format:
        splunk(tenant, listener, authority, format=form)
    tenant.api_key()
    ship()
    sent = b"".join(each.body for each in listener.received)
    rows = json.dumps(list(AuditRecord.objects.filter(account_id=tenant.account.id).values_list("details", flat=True)))
    secret = tenant.api_key()[1]
    for canary in (CANARY, base64.b64encode(CANARY.encode()).decode(), secret):
        assert canary.encode() not in sent
        assert canary not in rows
    assert len(listener.received) == len(Format)


# -- how far it is -------------------------------------------------------------------------------------------------


def test_the_account_says_how_far_behind_a_sink_is(listener: Listener, tenant: Tenant, authority: Authority) -> None:
    sink = splunk(tenant, listener, authority)
    some_entries(tenant, 4)
    seal()
    (view,) = execute(tenant.alice, GetAccount(tenant.account.id)).sinks
    assert view.entries_behind == len(recorded(tenant, sink)) == 5
    assert view.seconds_behind >= 0
    LogShipper().turn()
    (view,) = execute(tenant.alice, GetAccount(tenant.account.id)).sinks
    assert (view.entries_behind, view.seconds_behind) == (0, 0)


# -- trying one ----------------------------------------------------------------------------------------------------


def test_a_test_ships_one_entry_and_says_what_came_back(
    listener: Listener, tenant: Tenant, authority: Authority
) -> None:
    sink = splunk(tenant, listener, authority)
    assert execute(tenant.alice, TryLogSink(tenant.account.id, sink.id)).delivered
    (event,) = events(listener)
    assert event["event"]["action"] == "log-sink.test"
    assert event["event"]["sequence"] == 0
    listener.status = 403
    assert execute(tenant.alice, TryLogSink(tenant.account.id, sink.id)) == Tried(False, "it answered 403")
    assert LogSink.objects.get(id=sink.id).position == sink.position
    entry = AuditRecord.objects.filter(action="log-sink.test", account_id=tenant.account.id).latest("sequence")
    assert (entry.outcome, entry.details["kind"]) == ("done", "splunk")


def test_a_test_makes_every_format_for_every_kind(
    syslog: SyslogListener, listener: Listener, tenant: Tenant, authority: Authority
) -> None:
    for form in Format:
        for settings in (
            splunk_settings(port_of(listener), authority, format=form),
            SinkSettings(SYSLOG, {"host": "127.0.0.1", "port": syslog.port, "tls": tls(authority), "format": form}),
        ):
            sink = add(tenant, settings)
            assert execute(tenant.alice, TryLogSink(tenant.account.id, sink.id)).delivered
    assert len(syslog.messages) == len(listener.received) == len(Format)
