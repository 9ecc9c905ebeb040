"""An account's entries as objects in a real S3 store: the vendor's SDK reads them back, each once, or locked."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import ipaddress
import json
import socket
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from accounts.clock import clock
from kms.audit.formats import CSV_COLUMNS, Format
from kms.audit.models import AuditLeaf, AuditRecord, LogSink, LogSinkKind
from kms.config.values import Reachable
from kms.crypto.errors import ParameterInvalid
from kms.operations import log_shipping
from kms.operations.accounts import UpdateAccount
from kms.operations.executor import execute
from kms.operations.log_shipping import LogShipper, Tried, TryLogSink
from kms.operations.log_sink_kinds import SECRET_KEY as SECRET
from kms.operations.log_sinks import SinkChange, SinkSettings, change_sinks
from kms.secret import SecretBytes
from tests.kit.object_store import ACCESS_KEY, BUCKET, LOCKED_BUCKET, NAME, SECRET_KEY, ObjectStore, object_store
from tests.kit.tenants import Tenant, new_tenant
from tests.kit.tls import Authority, new_authority
from tests.operations.test_log_shipping import add, due_now, recorded, ship, some_entries, tls

S3 = LogSinkKind.S3


@pytest.fixture(scope="module")
def authority() -> Authority:
    return new_authority()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[ObjectStore]:
    with object_store(tmp_path_factory.mktemp("store"), authority) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _at_once(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine may be called, entries wait for no others, sinks of other tests are gone."""
    allowed = Reachable(networks=(ipaddress.ip_network("127.0.0.0/8"),))
    settings.KEYSTEAD = dataclasses.replace(settings.KEYSTEAD, outbound_allow=allowed)
    monkeypatch.setattr(log_shipping, "GATHER", timedelta())


@pytest.fixture
def tenant(installation: None) -> Tenant:
    LogSink.objects.all().delete()
    return new_tenant()


def s3_settings(store: ObjectStore, authority: Authority, *, secret: str = SECRET_KEY, **config: Any) -> SinkSettings:
    place = {"endpoint": f"https://127.0.0.1:{store.port}", "tls": tls(authority), "bucket": BUCKET}
    whole = {**place, "access_key_id": ACCESS_KEY, **config}
    return SinkSettings(S3, whole, {SECRET: SecretBytes(secret.encode())})


def s3(tenant: Tenant, store: ObjectStore, authority: Authority, **config: Any) -> LogSink:
    return add(tenant, s3_settings(store, authority, **config))


def keys_of(store: ObjectStore, tenant: Tenant, bucket: str = BUCKET) -> list[str]:
    return [key for key in store.keys(bucket) if str(tenant.account.id) in key]


# -- what arrives --------------------------------------------------------------------------------------------------


def test_a_batch_is_an_object_named_by_account_day_and_place(
    store: ObjectStore, tenant: Tenant, authority: Authority
) -> None:
    sink = s3(tenant, store, authority, prefix="keystead/")
    some_entries(tenant, 3)
    assert ship() == 4, LogSink.objects.get(id=sink.id).last_error
    (key,) = keys_of(store, tenant)
    lines = store.body(key).splitlines()
    assert [json.loads(line)["sequence"] for line in lines] == recorded(tenant, sink)
    last = hashlib.sha256(b"\x00" + lines[-1]).hexdigest()
    folder, _, name = key.rpartition("/")
    assert folder == f"keystead/{tenant.account.id}/{json.loads(lines[0])['time'][:10].replace('-', '/')}"
    first, end, hashed = name.removesuffix(".jsonl").split("-")
    leaves = AuditLeaf.objects.filter(sequence__in=recorded(tenant, sink)).order_by("index")
    assert (int(first), int(end)) == (leaves[0].index, leaves[3].index)
    assert hashed == last[:16]
    assert LogShipper().turn() == 0


def test_names_sort_as_the_record_does(
    store: ObjectStore, tenant: Tenant, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_shipping, "MOST_ENTRIES", 2)
    sink = s3(tenant, store, authority)
    some_entries(tenant, 5)
    assert ship() == 6
    bodies = [store.body(key) for key in sorted(keys_of(store, tenant))]
    assert len(bodies) == 3
    found = [json.loads(line)["sequence"] for body in bodies for line in body.splitlines()]
    assert found == recorded(tenant, sink)


@pytest.mark.parametrize("form", list(Format))
def test_every_format_is_a_file_of_its_kind(
    store: ObjectStore, tenant: Tenant, authority: Authority, form: Format
) -> None:
    s3(tenant, store, authority, format=form)
    some_entries(tenant, 1, text='a comma, a "quote"')
    assert ship() == 2
    (key,) = keys_of(store, tenant)
    text = store.body(key).decode()
    if form is Format.CSV:
        header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
        assert tuple(header) == CSV_COLUMNS
        assert len(rows) == 2
        assert key.endswith(".csv")
    elif form is Format.CEF:
        assert [line[:6] for line in text.splitlines()] == ["CEF:0|"] * 2
    else:
        assert all(isinstance(json.loads(line), dict) for line in text.splitlines())
        assert text.count("\n") == 2
    kind = store.client.head_object(Bucket=BUCKET, Key=key)["ContentType"]
    assert kind.partition(";")[0] == {Format.CSV: "text/csv", Format.CEF: "text/plain"}.get(
        form, "application/x-ndjson"
    )


def test_objects_are_locked_for_as_long_as_is_set(store: ObjectStore, tenant: Tenant, authority: Authority) -> None:
    sink = s3(tenant, store, authority, bucket=LOCKED_BUCKET, retention_days=2)
    assert ship() == 1, LogSink.objects.get(id=sink.id).last_error
    (key,) = keys_of(store, tenant, LOCKED_BUCKET)
    head = store.client.head_object(Bucket=LOCKED_BUCKET, Key=key)
    assert head["ObjectLockMode"] == "COMPLIANCE"
    left = head["ObjectLockRetainUntilDate"] - clock.now()
    assert timedelta(days=2) - timedelta(minutes=5) < left <= timedelta(days=2)
    with pytest.raises(store.client.exceptions.ClientError, match=r"AccessDenied|ObjectLocked"):
        store.client.delete_object(Bucket=LOCKED_BUCKET, Key=key, VersionId=head["VersionId"])


def test_a_bucket_can_be_a_host(
    store: ObjectStore, tenant: Tenant, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    resolve_really = socket.getaddrinfo

    def resolve(host: Any, *arguments: Any, **options: Any) -> Any:
        if str(host).endswith(NAME):
            asked.append(host)
            host = "127.0.0.1"
        return resolve_really(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    sink = s3(tenant, store, authority, endpoint=f"https://{NAME}:{store.port}", addressing_style="virtual")
    assert ship() == 1, LogSink.objects.get(id=sink.id).last_error
    assert asked == [f"{BUCKET}.{NAME}"]
    assert len(keys_of(store, tenant)) == 1


# -- when it does not go well --------------------------------------------------------------------------------------


def test_what_was_stored_and_not_noted_is_stored_again_in_the_same_place(
    store: ObjectStore, tenant: Tenant, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies between the store's answer and the cursor; more was written since."""
    sink = s3(tenant, store, authority)
    some_entries(tenant, 2)
    with monkeypatch.context() as dying:
        dying.setattr(log_shipping, "_advance", _die)
        ship()
    assert LogSink.objects.get(id=sink.id).position == sink.position
    (key,) = keys_of(store, tenant)
    before = store.body(key)
    some_entries(tenant, 2)
    due_now()
    assert ship() == 5
    first, second = sorted(keys_of(store, tenant))
    assert (first, store.body(first)) == (key, before)
    lines = [*before.splitlines(), *store.body(second).splitlines()]
    assert [json.loads(line)["sequence"] for line in lines] == recorded(tenant, sink)


def _die(*_: object, **__: object) -> None:
    raise ConnectionResetError


@pytest.mark.parametrize(
    ("changed", "answer"),
    [
        ({"secret": "another-secret-access-key"}, "403 SignatureDoesNotMatch"),
        ({"access_key_id": "nobody"}, "404 XAdminUserNotFound"),
        ({"bucket": "not-there"}, "404 NoSuchBucket"),
        ({"region": "eu-central-1"}, "400 AuthorizationHeaderMalformed"),
        ({"retention_days": 1}, "400 InvalidRequest"),
    ],
)
def test_what_the_store_does_not_like_is_said_without_a_secret(
    store: ObjectStore, tenant: Tenant, authority: Authority, changed: dict[str, Any], answer: str
) -> None:
    sink = s3(tenant, store, authority, **changed)
    assert execute(tenant.alice, TryLogSink(tenant.account.id, sink.id)) == Tried(False, f"it answered {answer}")
    assert ship() == 0
    row = LogSink.objects.get(id=sink.id)
    assert (row.last_error, row.attempts) == (f"it answered {answer}", 1)
    details = list(AuditRecord.objects.filter(account_id=tenant.account.id).values_list("details", flat=True))
    for secret in (SECRET_KEY, "another-secret-access-key"):
        assert secret not in json.dumps([details, row.config])
        assert secret.encode() not in bytes(row.secret_sealed or b"")


def test_a_test_stores_an_object_that_is_no_entry(store: ObjectStore, tenant: Tenant, authority: Authority) -> None:
    sink = s3(tenant, store, authority)
    assert execute(tenant.alice, TryLogSink(tenant.account.id, sink.id)).delivered
    (key,) = keys_of(store, tenant)
    assert "/test." in key
    assert json.loads(store.body(key))["action"] == "log-sink.test"


def test_a_store_of_another_authority_is_not_called(store: ObjectStore, tenant: Tenant, authority: Authority) -> None:
    s3(tenant, store, authority, tls=tls(new_authority()))
    assert ship() == 0
    assert "SSLCertVerificationError" in LogSink.objects.get(account=tenant.account).last_error


# -- gathering -----------------------------------------------------------------------------------------------------


def test_entries_wait_to_become_one_object_but_not_for_long(
    store: ObjectStore, tenant: Tenant, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_shipping, "GATHER", timedelta(hours=1))
    sink = s3(tenant, store, authority)
    assert ship() == 0
    some_entries(tenant, 2)
    assert ship() == 0
    row = LogSink.objects.get(id=sink.id)
    assert row.not_before is not None
    assert timedelta(minutes=50) < row.not_before - clock.now() <= timedelta(hours=1)
    assert row.attempts == 0
    monkeypatch.setattr(log_shipping, "GATHER", timedelta())
    due_now()
    assert ship() == 3
    assert len(keys_of(store, tenant)) == 1


def test_a_full_batch_waits_for_nothing(
    store: ObjectStore, tenant: Tenant, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_shipping, "GATHER", timedelta(hours=1))
    monkeypatch.setattr(log_shipping, "MOST_ENTRIES", 2)
    s3(tenant, store, authority)
    some_entries(tenant, 2)
    assert ship() == 2
    assert len(keys_of(store, tenant)) == 1


# -- settings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed",
    [
        {"endpoint": "https://store.example.org/path"},
        {"endpoint": "https://store.example.org/?list"},
        {"endpoint": "http://store.example.org"},
        {"endpoint": "store.example.org"},
        {"endpoint": "https://127.0.0.1", "tls": {"mode": "disabled"}},
        {"endpoint": "http://127.0.0.1:9000"},
        {"bucket": ""},
        {"bucket": "Upper"},
        {"bucket": "a/b"},
        {"bucket": "a..b"},
        {"bucket": "user@host"},
        {"prefix": "/rooted"},
        {"prefix": "a//b"},
        {"prefix": "../up/"},
        {"prefix": "a/../up"},
        {"prefix": "with blank"},
        {"prefix": "x" * 257},
        {"region": "eu central"},
        {"access_key_id": ""},
        {"access_key_id": "a/b"},
        {"access_key_id": "a,b"},
        {"addressing_style": "auto"},
        {"retention_days": -1},
        {"retention_days": 36_501},
        {"secret": ""},
        {"secret": "two words"},
        {"format": "xml"},
    ],
)
def test_settings_that_make_no_sense_are_refused(
    store: ObjectStore, tenant: Tenant, authority: Authority, changed: dict[str, Any]
) -> None:
    with pytest.raises(ParameterInvalid):
        change_sinks(tenant.account, SinkChange(add=(s3_settings(store, authority, **changed),)))
    assert not LogSink.objects.filter(account=tenant.account).exists()


def test_a_secret_does_not_go_to_another_store(store: ObjectStore, tenant: Tenant, authority: Authority) -> None:
    sink = s3(tenant, store, authority)
    for changed in ({"endpoint": "https://127.0.0.1:1"}, {"bucket": "another"}, {"addressing_style": "virtual"}):
        change = SinkChange(change={sink.id: SinkSettings(S3, changed)})
        with pytest.raises(ParameterInvalid):
            execute(tenant.alice, UpdateAccount(tenant.account.id, sinks=change))
    kept = SinkChange(change={sink.id: SinkSettings(S3, {"prefix": "elsewhere/", "format": "csv"})})
    execute(tenant.alice, UpdateAccount(tenant.account.id, sinks=kept))
    assert ship() == len(recorded(tenant, sink)), LogSink.objects.get(id=sink.id).last_error
    assert all(key.startswith("elsewhere/") for key in keys_of(store, tenant))


def test_a_store_on_this_machine_may_be_without_tls(tenant: Tenant) -> None:
    config = {"endpoint": "HTTP://LOCALHOST:80", "bucket": BUCKET, "access_key_id": ACCESS_KEY}
    sink = add(tenant, SinkSettings(S3, config, {SECRET: SecretBytes(b"x")}))
    assert (sink.config["endpoint"], sink.config["tls"]) == ("http://localhost", {"mode": "disabled"})
