"""An app's calls and a stranger's wrong credentials are counted before a body is parsed, on every edge alike."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import cbor2
import httpx
import pytest

from accounts.models import App
from accounts.principal import Principal
from kms.api import rate_limit
from kms.api.authentication import authenticator
from kms.api.gcra import Schedule
from kms.audit.models import AuditRecord
from kms.operations.caches import caches
from kms.operations.refusals import MAX_CALLERS, Refusals, refusals
from tests.kit.tenants import Tenant

DATA = base64.b64encode(b"sixteen bytes ok").decode()
ENCRYPT = "/crypto/v1/encrypt"


# -- apps ----------------------------------------------------------------------------------------------------------


def limited(tenant: Tenant, calls: int | None) -> Principal:
    App.objects.filter(id=tenant.app.id).update(rate_limit=calls)
    caches.clear()
    return tenant.app


def lean(client: httpx.Client, auth: Any) -> httpx.Response:
    return client.post(ENCRYPT, content=b"not even JSON", auth=auth)


def django(client: httpx.Client, auth: Any) -> httpx.Response:
    return client.post("/crypto/v1/keys", content=b"not even JSON", auth=auth)


def batch(client: httpx.Client, auth: Any) -> httpx.Response:
    return client.post("/batch/v1", content=b"not even JSON", auth=auth)


def stream(client: httpx.Client, auth: Any) -> httpx.Response:
    return client.post("/crypto/v1/stream/encrypt", content=cbor2.dumps({"init": {"surprise": 1}}), auth=auth)


@pytest.mark.parametrize("edge", [lean, django, batch, stream])
def test_an_app_is_refused_before_its_body_is_parsed(
    edge: Callable[[httpx.Client, Any], httpx.Response], tenant: Tenant, client: httpx.Client
) -> None:
    auth = tenant.api_key()
    limited(tenant, 2)
    answers = [edge(client, auth) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [400, 400, 429, 429]
    assert {answer.headers.get("retry-after") for answer in answers[2:]} == {"1"}
    assert answers[3].text == "Too many calls; slow down"


def test_an_app_without_a_limit_and_a_user_are_not_counted(tenant: Tenant, client: httpx.Client) -> None:
    auth = tenant.api_key()
    limited(tenant, None)
    assert {lean(client, auth).status_code for _ in range(50)} == {400}


def test_a_limit_that_is_set_holds_for_calls_of_either_plane_at_once(tenant: Tenant, client: httpx.Client) -> None:
    """No cache is cleared: the next call notices, whichever plane it is on."""
    auth = tenant.api_key()
    headers = {
        "Authorization": f"Bearer {client.post('/sys/v1/session/auth', auth=auth).json()['access_token']}",
    }
    listing = "/crypto/v1/keys?limit=1"
    assert [client.get(listing, headers=headers).status_code for _ in range(5)] == [200] * 5
    App.objects.filter(id=tenant.app.id).update(rate_limit=1)
    assert [client.get(listing, headers=headers).status_code for _ in range(4)].count(429) >= 2
    App.objects.filter(id=tenant.app.id).update(rate_limit=1000)
    time.sleep(1.05)
    assert client.get(listing, headers=headers).status_code == 200
    assert [client.get(listing, headers=headers).status_code for _ in range(20)] == [200] * 20


def test_the_items_of_a_batch_are_counted_and_carried_out(tenant: Tenant, client: httpx.Client) -> None:
    key, auth = tenant.key(), tenant.api_key()
    limited(tenant, 10)
    item = {"kid": str(key.id), "request": {"alg": "AES", "mode": "GCM", "plain": DATA}}
    done = client.post("/crypto/v1/keys/batch/encrypt", json=[item] * 40, auth=auth)
    assert [one["status"] for one in done.json()] == [200] * 40
    refused = lean(client, auth)
    assert refused.status_code == 429
    assert 2 <= int(refused.headers["retry-after"]) <= 4


def test_requests_in_a_batch_are_counted_and_carried_out(tenant: Tenant, client: httpx.Client) -> None:
    auth = tenant.api_key()
    limited(tenant, 10)
    item = {"SingleItem": {"method": "GET", "operation": "/crypto/v1/keys?limit=1"}}
    done = client.post(
        "/batch/v1", json={"Batch": {"batch_execution_type": "Unordered", "items": [item] * 40}}, auth=auth
    )
    results = done.json()["Batch"]["items"]
    assert [one["SingleItem"]["Result"]["status"] for one in results] == [200] * 40
    refused = lean(client, auth)
    assert refused.status_code == 429
    assert 2 <= int(refused.headers["retry-after"]) <= 4


def test_a_stream_is_slowed_down_and_not_broken(tenant: Tenant, client: httpx.Client) -> None:
    key, auth = tenant.key(), tenant.api_key()
    limited(tenant, 3)

    def frames() -> Iterator[bytes]:
        yield cbor2.dumps({"init": {"key": {"kid": str(key.id)}, "alg": "AES", "mode": "CBC", "iv": bytes(16)}})
        for _ in range(4):
            yield cbor2.dumps({"plain": bytes(16)})
            time.sleep(0.05)
        yield cbor2.dumps({"final": {}})

    began = time.monotonic()
    answer = client.post("/crypto/v1/stream/encrypt", content=frames(), auth=auth)
    assert answer.status_code == 200
    assert b"final" in answer.content
    assert time.monotonic() - began > 0.9


def test_refusals_are_recorded_by_the_second(tenant: Tenant, client: httpx.Client) -> None:
    auth = tenant.api_key()
    limited(tenant, 1)
    refused = [lean(client, auth).status_code for _ in range(60)].count(429)
    refusals.flush()
    time.sleep(0.1)
    entries = AuditRecord.objects.filter(actor_id=tenant.app.id, action="call.admit")
    assert {(entry.outcome, entry.reason) for entry in entries} == {("denied", "rate-limited")}
    assert sum(entry.details["items"] for entry in entries) == refused > 50
    assert len(entries) <= 4


def test_counts_of_refusals_are_bounded(tenant: Tenant) -> None:
    counted = Refusals()
    counted._thread = threading.current_thread()  # so that nobody writes it down meanwhile
    for n in range(MAX_CALLERS + 50):
        counted.note(tenant.app, f"10.0.{n // 256}.{n % 256}", "rate-limited")
    assert len(counted._counts) == MAX_CALLERS + 1
    assert counted._counts[tenant.app.id, None][1] == 50


# -- strangers -----------------------------------------------------------------------------------------------------


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A schedule of this test's own, with a small burst: others' failures from this address do not count."""
    monkeypatch.setattr(rate_limit, "STRANGERS_PER_SECOND", 1)
    monkeypatch.setattr(rate_limit, "STRANGERS_BURST", 3)
    schedule = Schedule(tmp_path)
    monkeypatch.setattr(rate_limit, "schedule", lambda: schedule)


@pytest.mark.parametrize("way", ["API key", "token", "nothing", "login", "batch", "stream"])
@pytest.mark.usefixtures("few")
def test_wrong_credentials_from_one_address_are_slowed_down(way: str, tenant: Tenant, client: httpx.Client) -> None:
    wrong = (str(tenant.app.id), "x" * 86)
    tries: dict[str, Callable[[], httpx.Response]] = {
        "API key": lambda: client.post(ENCRYPT, content=b"{}", auth=wrong),
        "token": lambda: client.get("/sys/v1/apps", headers={"Authorization": f"Bearer {uuid4().hex * 2}"}),
        "nothing": lambda: client.get("/sys/v1/apps"),
        "login": lambda: client.post("/sys/v1/session/auth", auth=wrong),
        "batch": lambda: batch(client, wrong),
        "stream": lambda: stream(client, wrong),
    }
    answers = [tries[way]() for _ in range(5)]
    assert [answer.status_code for answer in answers] == [401, 401, 401, 429, 429]
    assert answers[4].headers["retry-after"] == "1"


@pytest.mark.usefixtures("few")
def test_who_is_known_is_served_from_an_address_that_strangers_use_up(tenant: Tenant, client: httpx.Client) -> None:
    auth = tenant.api_key()
    assert client.get("/sys/v1/apps", auth=auth).status_code == 200
    while client.get("/sys/v1/apps").status_code == 401:
        pass
    assert [client.get("/sys/v1/apps", auth=auth).status_code for _ in range(5)] == [200] * 5
    assert client.get("/sys/v1/apps", auth=(auth[0], "x" * 86)).status_code == 429


@pytest.mark.usefixtures("few")
def test_a_credential_that_holds_is_never_refused_for_what_others_do(tenant: Tenant, client: httpx.Client) -> None:
    token = client.post("/sys/v1/session/auth", auth=tenant.api_key()).json()["access_token"]
    while client.get("/sys/v1/apps").status_code == 401:
        pass
    authenticator.clear()  # as on a worker that has not seen it
    assert client.get("/sys/v1/apps", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    assert client.get("/sys/v1/apps", auth=tenant.api_key()).status_code == 200
    assert client.get("/sys/v1/apps").status_code == 429


@pytest.mark.usefixtures("few")
def test_an_app_whose_key_ended_keeps_nobody_near_it_from_logging_in(tenant: Tenant, client: httpx.Client) -> None:
    while client.get("/sys/v1/apps", auth=(str(tenant.app.id), "x" * 86)).status_code == 401:
        pass
    assert client.post("/sys/v1/session/auth", auth=tenant.api_key()).status_code == 200


@pytest.mark.usefixtures("few")
def test_a_session_that_ended_is_a_strangers(tenant: Tenant, client: httpx.Client) -> None:
    token = client.post("/sys/v1/session/auth", auth=tenant.api_key()).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    assert client.post("/sys/v1/session/terminate", headers=headers).status_code == 204
    answers = [client.get("/sys/v1/apps", headers=headers).status_code for _ in range(6)]
    assert answers[:3] == [401, 401, 401]
    assert answers[-1] == 429


@pytest.mark.parametrize("path", ["/sys/v1/session/auth", "/sys/v1/users/forgot_password"])
def test_who_may_be_anybody_sends_little(path: str, client: httpx.Client) -> None:
    declared = client.post(path, content=b"x" * (64 * 1024 + 1))
    assert (declared.status_code, declared.text) == (413, "The request body is larger than 65536 bytes")
    undeclared = client.post(path, content=iter([b"x" * 1024] * 80))
    assert undeclared.status_code == 413
    assert client.post(path, content=b"x" * (64 * 1024)).status_code == 400
