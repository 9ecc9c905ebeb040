"""Where the log is sent, over the wire: the vendor's shapes, what is ours beside them, and nothing that is secret."""

from __future__ import annotations

import base64
import dataclasses
import ipaddress
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from accounts.clock import clock
from kms.audit.models import AuditRecord, LogSink
from kms.audit.sealer import Sealer
from kms.config.values import Reachable
from kms.objects import keystore
from kms.operations.log_shipping import LogShipper
from kms.operations.record_key import record_signer
from kms.secret import SecretBytes
from tests.kit.approvals import give
from tests.kit.certificates import leaf
from tests.kit.factors import Login
from tests.kit.factors import newcomer as make_newcomer
from tests.kit.listener import Listener, listening
from tests.kit.tenants import Tenant, new_tenant
from tests.kit.tls import Authority, new_authority

TOKEN = "canary-token-8f31d7"
KEY = base64.b64encode(b"canary-key-of-thirty-two-bytes!!").decode()
GLOBAL = {"mode": "required", "validate_hostname": True, "ca": {"ca_set": "global_roots"}}
SPLUNK: dict[str, Any] = {"host": "splunk.example.org", "port": 8088, "tls": GLOBAL, "index": "main", "token": TOKEN}
SYSLOG: dict[str, Any] = {"host": "logs.example.org", "port": 6514, "tls": GLOBAL, "facility": "Local3"}
WEBHOOK: dict[str, Any] = {"url": "https://siem.example.org/in?key=secret", "key": f"whsec_{KEY}"}
S3: dict[str, Any] = {
    "endpoint": "https://s3.example.org",
    "region": "eu-central-1",
    "bucket": "logs",
    "prefix": "keystead/",
    "access_key_id": "AKIAEXAMPLE",
    "secret_access_key": "canary-secret-access-key",
    "retention_days": 365,
}


@pytest.fixture(scope="module")
def authority() -> Authority:
    return new_authority()


@pytest.fixture
def tenant(installation: None) -> Tenant:
    return new_tenant()


@pytest.fixture
def administrator(client: httpx.Client, tenant: Tenant) -> Login:
    return make_newcomer(client, tenant).session()


@pytest.fixture
def listener(tmp_path: Path, authority: Authority, settings: Any) -> Iterator[Listener]:
    allowed = Reachable(networks=(ipaddress.ip_network("127.0.0.0/8"),))
    settings.KEYSTEAD = dataclasses.replace(settings.KEYSTEAD, outbound_allow=allowed)
    with listening(tmp_path, authority) as opened:
        opened.status = 200
        yield opened


def change(login: Login, tenant: Tenant, **fields: Any) -> httpx.Response:
    return login.person.client.patch(f"/sys/v1/accounts/{tenant.account.id}", json=fields, headers=login.headers)


def account(login: Login, tenant: Tenant) -> dict[str, Any]:
    found: dict[str, Any] = login.get(f"/sys/v1/accounts/{tenant.account.id}").json()
    return found


def added(login: Login, tenant: Tenant, **config: Any) -> str:
    answered = change(login, tenant, add_logging_configs=[config])
    assert answered.status_code == 200, answered.text
    return str(LogSink.objects.filter(account=tenant.account).latest("created_at").id)


def as_somebody(client: httpx.Client, tenant: Tenant, role: str) -> Login:
    person = make_newcomer(client, tenant)
    tenant.member(role)
    person.user = tenant.users[role]
    return person.session()


# -- shapes --------------------------------------------------------------------------------------------------------


def test_they_are_added_read_changed_and_deleted_in_the_vendors_shapes(administrator: Login, tenant: Tenant) -> None:
    answered = change(administrator, tenant, add_logging_configs=[{"splunk": SPLUNK}, {"syslog": SYSLOG}])
    assert answered.status_code == 200, answered.text
    shown = {next(iter(each)): next(iter(each.values())) for each in answered.json()["logging_configs"].values()}
    common = {"enabled": True, "tls": GLOBAL, "use_fqdn_hostname": False}
    assert shown["splunk"] == {**common, "host": "splunk.example.org", "port": 8088, "index": "main"}
    assert shown["syslog"] == {**common, "host": "logs.example.org", "port": 6514, "facility": "Local3"}
    ids = {next(iter(each)): sink for sink, each in answered.json()["logging_configs"].items()}
    changed = {ids["splunk"]: {"splunk": {"enabled": False, "index": "other"}}}
    answered = change(administrator, tenant, mod_logging_configs=changed, del_logging_configs=[ids["syslog"]])
    assert answered.status_code == 200, answered.text
    expected = {**shown["splunk"], "enabled": False, "index": "other"}
    assert account(administrator, tenant)["logging_configs"] == {ids["splunk"]: {"splunk": expected}}
    entry = AuditRecord.objects.filter(action="account.update", account_id=tenant.account.id).latest("sequence")
    assert entry.details["fields"] == "logging"


def test_what_is_ours_is_apart_from_what_the_vendors_clients_read(administrator: Login, tenant: Tenant) -> None:
    sink = added(administrator, tenant, webhook={**WEBHOOK, "format": "ocsf"})
    shown = account(administrator, tenant)
    assert shown["logging_configs"] == {}
    one = shown["log_shipping"][sink]
    assert (one["kind"], one["format"], one["url"], one["enabled"]) == ("webhook", "ocsf", WEBHOOK["url"], True)
    assert (one["last_error"], one["delivered_at"]) == (None, None)


def test_a_bucket_is_shown_as_it_was_given_but_for_its_secret(administrator: Login, tenant: Tenant) -> None:
    sink = added(administrator, tenant, s3={**S3, "format": "csv"})
    shown = account(administrator, tenant)
    assert shown["logging_configs"] == {}
    one = shown["log_shipping"][sink]
    given = {name: value for name, value in S3.items() if name != "secret_access_key"}
    common = {"kind": "s3", "format": "csv", "enabled": True, "tls": GLOBAL, "addressing_style": "path"}
    expected = {**given, **common}
    assert {name: one[name] for name in expected} == expected
    changed = change(administrator, tenant, mod_logging_configs={sink: {"s3": {"retention_days": 0}}})
    assert changed.status_code == 200, changed.text
    assert account(administrator, tenant)["log_shipping"][sink]["retention_days"] == 0


def test_secrets_are_never_shown_and_lie_sealed(administrator: Login, tenant: Tenant, tmp_path: Path) -> None:
    certificate, key = (base64.b64encode(path.read_bytes()).decode() for path in leaf("us", None).files(tmp_path))
    tls = {**GLOBAL, "client_cert": certificate, "client_key": key}
    for config in ({"splunk": SPLUNK}, {"webhook": WEBHOOK}, {"s3": S3}, {"syslog": {**SYSLOG, "tls": tls}}):
        answered = change(administrator, tenant, add_logging_configs=[config])
        assert answered.status_code == 200, answered.text
    shown = json.dumps(account(administrator, tenant))
    assert '"client_cert"' in shown
    for secret in (TOKEN, KEY, key, "client_key", "canary"):
        assert secret not in shown
    for row in LogSink.objects.filter(account=tenant.account):
        assert b"canary" not in bytes(row.secret_sealed or b"canary")
        assert "canary" not in json.dumps(row.config)
    details = AuditRecord.objects.filter(account_id=tenant.account.id).values_list("details", flat=True)
    assert "canary" not in json.dumps(list(details))


@pytest.mark.parametrize("kind", ["stackdriver", "azure_log_analytics", "azure_log_ingestion"])
def test_kinds_that_are_not_here_are_refused_by_name(administrator: Login, tenant: Tenant, kind: str) -> None:
    answered = change(administrator, tenant, add_logging_configs=[{kind: {"enabled": True, "log_id": "x"}}])
    assert answered.status_code == 400
    assert answered.text == f"Not supported by this server: {kind} (see docs/divergences.md)"


MALFORMED: dict[str, Any] = {
    "nothing": {},
    "two kinds": {"splunk": SPLUNK, "syslog": SYSLOG},
    "an unknown kind": {"kafka": {}},
    "an unknown field": {"splunk": {**SPLUNK, "surprise": 1}},
    "no token": {"splunk": {**SPLUNK, "token": None}},
    "no host": {"splunk": {**SPLUNK, "host": None}},
    "a path as host": {"splunk": {**SPLUNK, "host": "splunk.example.org/services"}},
    "a port that is none": {"syslog": {**SYSLOG, "port": 65536}},
    "a facility that is none": {"syslog": {**SYSLOG, "facility": "Kern"}},
    "in clear": {"syslog": {**SYSLOG, "tls": {"mode": "disabled"}}},
    "perhaps in clear": {"syslog": {**SYSLOG, "tls": {"mode": "opportunistic"}}},
    "any certificate": {"syslog": {**SYSLOG, "tls": {**GLOBAL, "validate_hostname": False}}},
    "no authority": {"syslog": {**SYSLOG, "tls": {**GLOBAL, "ca": {"pinned": ["AAAA"]}}}},
    "a certificate without its key": {"syslog": {**SYSLOG, "tls": {**GLOBAL, "client_cert": "AAAA"}}},
    "a private address": {"splunk": {**SPLUNK, "host": "10.1.2.3"}},
    "the cloud's metadata": {"webhook": {**WEBHOOK, "url": "https://169.254.169.254/"}},
    "no TLS": {"webhook": {**WEBHOOK, "url": "http://siem.example.org/"}},
    "a short key": {"webhook": {**WEBHOOK, "key": "AAAA"}},
    "a key that is no base64": {"webhook": {**WEBHOOK, "key": "!"}},
    "a format that is none": {"webhook": {**WEBHOOK, "format": "xml"}},
    "a bucket without TLS": {"s3": {**S3, "endpoint": "http://s3.example.org"}},
    "a bucket without its secret": {"s3": {**S3, "secret_access_key": None}},
    "a bucket that is a path": {"s3": {**S3, "bucket": "../logs"}},
    "a bucket's style that is none": {"s3": {**S3, "addressing_style": "auto"}},
    "a bucket for ever": {"s3": {**S3, "retention_days": 10**9}},
    "a bucket inside": {"s3": {**S3, "endpoint": "https://10.1.2.3"}},
    "a token with a line's end": {"splunk": {**SPLUNK, "token": "a\r\nX: y"}},
}


@pytest.mark.parametrize("config", MALFORMED.values(), ids=MALFORMED)
def test_what_makes_no_sense_is_a_400(administrator: Login, tenant: Tenant, config: dict[str, Any]) -> None:
    answered = change(administrator, tenant, add_logging_configs=[config])
    assert answered.status_code == 400, answered.text
    assert answered.headers["content-type"].startswith("text/plain")
    assert "canary" not in answered.text
    assert not LogSink.objects.filter(account=tenant.account).exists()


def test_a_kind_stays_what_it_is_and_what_is_not_there_is_a_404(administrator: Login, tenant: Tenant) -> None:
    sink = added(administrator, tenant, splunk=SPLUNK)
    assert change(administrator, tenant, mod_logging_configs={sink: {"syslog": {}}}).status_code == 400
    nobody = str(uuid4())
    assert change(administrator, tenant, mod_logging_configs={nobody: {"splunk": {}}}).status_code == 404
    assert change(administrator, tenant, del_logging_configs=[nobody]).status_code == 404


def test_a_new_account_has_none(administrator: Login) -> None:
    body = {"name": f"account {uuid4()}", "add_logging_configs": [{"splunk": SPLUNK}]}
    refused = administrator.person.client.post("/sys/v1/accounts", json=body, headers=administrator.headers)
    assert refused.status_code == 400


# -- who -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["member", "auditor"])
def test_who_may_not_manage_them_gets_403_and_sees_none(
    administrator: Login, tenant: Tenant, client: httpx.Client, role: str
) -> None:
    sink = added(administrator, tenant, webhook=WEBHOOK)
    login = as_somebody(client, tenant, role)
    shown = account(login, tenant)
    assert shown["logging_configs"] == {}
    assert "log_shipping" not in shown
    refused: tuple[dict[str, Any], ...] = (
        {"add_logging_configs": [{"splunk": SPLUNK}]},
        {"mod_logging_configs": {sink: {"webhook": {"enabled": False}}}},
        {"del_logging_configs": [sink]},
        {"del_logging_configs": [str(uuid4())]},
    )
    for fields in refused:
        assert change(login, tenant, **fields).status_code == 403
    for which in (sink, str(uuid4())):
        path = f"/sys/v1/accounts/{tenant.account.id}/logging_configs/{which}/test"
        assert client.post(path, headers=login.headers).status_code == 403


def test_where_the_log_goes_waits_for_a_quorum_that_guards_it(
    administrator: Login, tenant: Tenant, client: httpx.Client
) -> None:
    reviewer = tenant.member("administrator")
    tenant.users["administrator"] = administrator.person.user
    quorum = {"n": 1, "members": [{"user": str(reviewer.id)}]}
    policy = {"policy": {"quorum": quorum}, "protect_logging_config": True}
    assert change(administrator, tenant, approval_policy=policy).status_code == 200
    body = {"add_logging_configs": [{"splunk": SPLUNK}]}
    refused = change(administrator, tenant, **body)
    assert (refused.status_code, "requires approval" in refused.text) == (403, True)
    ask = {"method": "PATCH", "operation": f"/sys/v1/accounts/{tenant.account.id}", "body": body}
    asked = administrator.post("/sys/v1/approval_requests", ask)
    assert asked.status_code == 201, asked.text
    give(reviewer, UUID(asked.json()["request_id"]))
    assert LogSink.objects.filter(account=tenant.account).count() == 1


# -- shipping ------------------------------------------------------------------------------------------------------


def test_the_test_button_says_what_came_back(
    listener: Listener, administrator: Login, tenant: Tenant, authority: Authority
) -> None:
    port = int(listener.url.partition("127.0.0.1:")[2].partition("/")[0])
    tls = {"mode": "required", "validate_hostname": True, "ca": {"pinned": [base64.b64encode(authority.der).decode()]}}
    sink = added(administrator, tenant, splunk={**SPLUNK, "host": "127.0.0.1", "port": port, "tls": tls})
    path = f"/sys/v1/accounts/{tenant.account.id}/logging_configs/{sink}/test"
    answered = administrator.post(path, None)
    assert (answered.status_code, answered.json()["delivered"]) == (200, True)
    listener.status = 403
    assert administrator.post(path, None).json() == {"delivered": False, "detail": "it answered 403"}
    assert all(TOKEN not in each.body.decode() for each in listener.received)
    assert "bearer" not in json.dumps([each.headers for each in listener.received]).lower()


def test_the_account_says_how_far_behind_a_sink_is_and_why(
    listener: Listener, administrator: Login, tenant: Tenant, authority: Authority
) -> None:
    LogSink.objects.all().delete()
    port = int(listener.url.partition("127.0.0.1:")[2].partition("/")[0])
    tls = {"mode": "required", "validate_hostname": True, "ca": {"pinned": [base64.b64encode(authority.der).decode()]}}
    sink = added(administrator, tenant, splunk={**SPLUNK, "host": "127.0.0.1", "port": port, "tls": tls})
    seal()
    listener.status = 503
    LogShipper().turn()
    one = account(administrator, tenant)["log_shipping"][sink]
    assert one["entries_behind"] >= 1
    assert (one["last_error"], one["delivered_at"]) == ("it answered 503", None)
    assert one["next_attempt_at"]
    listener.status = 200
    LogSink.objects.update(not_before=None)
    LogShipper().turn()
    one = account(administrator, tenant)["log_shipping"][sink]
    assert one["last_error"] is None
    assert one["delivered_at"]


def seal() -> None:
    sealer = Sealer(keystore.deployment_id(), record_signer)
    while sealer.turn(clock.now()):
        pass


def test_a_token_hides_from_whoever_prints_a_command() -> None:
    from kms.api.wire.logging_configs import LoggingConfig, SplunkLoggingConfig, sink_change

    change = sink_change([LoggingConfig(splunk=SplunkLoggingConfig(host="h", port=1, token=TOKEN))], None, None)
    assert TOKEN not in repr(change)
    assert change is not None
    assert change.add[0].secrets["token"] == SecretBytes(TOKEN.encode())
