"""Rubbish in: the right status, the vendor's error shape (plain text), nothing done, nothing leaked, never a 500."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import re
import uuid
from typing import Any

import httpx
import pytest

from accounts import sessions
from accounts.clock import clock
from accounts.models import ExternalRole, IdentityProvider, Role, Session, TotpDevice
from kms.api.routes import ENDPOINTS
from kms.audit.entry import entry_id
from kms.audit.models import AuditRecord, LogSink
from tests.kit.clusters import bind, new_cluster
from tests.kit.quorums import ask
from tests.kit.tenants import PASSWORD, Tenant, new_tenant

CANARY = "canary-4f0c2b9e"
ONE = str(uuid.uuid4())


def filled(path: str) -> str:
    return re.sub(r"\{\w+\}", ONE, path)


def plain_error(response: httpx.Response, status: int) -> str:
    assert response.status_code == status, response.text
    assert response.headers["content-type"].startswith("text/plain")
    assert response.text
    assert "Traceback" not in response.text
    return response.text


def basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


PROTECTED = [endpoint for endpoint in ENDPOINTS if not endpoint.anonymous]
WITH_BODY = [endpoint for endpoint in PROTECTED if endpoint.body is not None]


@pytest.mark.parametrize("endpoint", PROTECTED, ids=lambda e: e.operation)
@pytest.mark.parametrize(
    "header",
    [
        None,
        "Bearer " + "x" * 64,
        "Bearer",
        "Basic !!!!",
        basic("a\0b", "wrong"),
        "Basic " + base64.b64encode(b"\xff\xfe:x").decode(),
        basic(ONE, "wrong"),
        basic("admin@example.org", "wrong"),
        "Digest x",
        "Bearer " + "é" * 5,
    ],
    ids=[
        "none",
        "unknown token",
        "empty",
        "not base64",
        "NUL",
        "not text",
        "unknown app",
        "password",
        "scheme",
        "latin",
    ],
)
def test_every_route_asks_who_is_there(endpoint: Any, header: str | None, client: httpx.Client) -> None:
    headers = {} if header is None else {b"Authorization": header.encode("latin-1")}
    response = client.request(endpoint.method, filled(endpoint.path), headers=headers, content=b"{}")
    plain_error(response, 401)
    assert "www-authenticate" in response.headers


@pytest.fixture(scope="module")
def someone() -> Tenant:
    return new_tenant()


@pytest.fixture(scope="module")
def admin(someone: Tenant, client: httpx.Client) -> dict[str, str]:
    """A session of the administrator, with the account selected."""
    return login(client, someone.users["administrator"].email, someone)


def login(client: httpx.Client, email: str, tenant: Tenant) -> dict[str, str]:
    response = client.post("/sys/v1/session/auth", auth=(email, PASSWORD))
    assert response.status_code == 200, response.text
    headers = {"Authorization": f"Bearer {response.json()['access_token']}"}
    selected = client.post("/sys/v1/session/select_account", json={"acct_id": str(tenant.account.id)}, headers=headers)
    assert selected.status_code == 200
    return headers


@pytest.mark.parametrize("endpoint", [e for e in PROTECTED if "{" in e.path], ids=lambda e: e.operation)
def test_ids_that_are_nobodys_are_not_found_and_never_an_error_of_ours(
    endpoint: Any, client: httpx.Client, admin: dict[str, str]
) -> None:
    response = client.request(endpoint.method, filled(endpoint.path), headers=admin, content=b"{}")
    assert response.status_code in (400, 404), response.text
    broken = client.request(
        endpoint.method, filled(endpoint.path).replace(ONE, "not-a-uuid"), headers=admin, content=b"{}"
    )
    assert broken.status_code in (400, 404)


@pytest.mark.parametrize("endpoint", WITH_BODY, ids=lambda e: e.operation)
@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"null",
        b"[]",
        b"0",
        b'"text"',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"surprise": 1}',
        b'{"name": 5, "alg": 5, "plain": 5, "data": 5, "cipher": 5}',
        b'{"plain": "not base64!", "alg": "AES", "key": {"kid": "%s"}}' % ONE.encode(),
        b'[{"kid": 1}]',
        b'{"name": "\\u0000"}',
    ],
    ids=[
        "cut short",
        "null",
        "list",
        "number",
        "text",
        "not utf-8",
        "deep list",
        "deep object",
        "unknown field",
        "wrong types",
        "bad base64",
        "bad item",
        "NUL",
    ],
)
def test_a_body_of_the_wrong_shape_is_a_400(
    endpoint: Any, body: bytes, client: httpx.Client, admin: dict[str, str]
) -> None:
    response = client.request(endpoint.method, filled(endpoint.path), headers=admin, content=body)
    if (response.status_code == 404 and "{" in endpoint.path) or response.status_code in (200, 204):
        return  # an empty object is enough for some, and their noun is looked up first
    plain_error(response, 400)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda e: e.operation)
def test_a_method_that_a_path_does_not_have_is_a_405(endpoint: Any, client: httpx.Client) -> None:
    known = {e.method for e in ENDPOINTS if filled(e.path) == filled(endpoint.path)}
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - known:
        response = client.request(method, filled(endpoint.path))
        if response.status_code == 401:
            continue  # the same path with a parameter where this one is literal
        plain_error(response, 405)


def test_a_path_that_is_nobodys_is_a_404_in_the_same_shape(client: httpx.Client) -> None:
    for path in ("/nothing", "/sys/v1/nothing", "/crypto/v1/keys/a/b/c", "/%00", "/admin/", "/sys/v1/users/"):
        plain_error(client.get(path), 404)


def test_a_body_over_the_limit_is_refused_before_it_is_read(client: httpx.Client, admin: dict[str, str]) -> None:
    with contextlib.closing(http.client.HTTPConnection(client.base_url.host, client.base_url.port, timeout=10)) as raw:
        raw.putrequest("POST", "/crypto/v1/encrypt")
        for name, value in {**admin, "Content-Length": str(100 * 1024 * 1024)}.items():
            raw.putheader(name, value)
        raw.endheaders()  # not one byte of the body is sent
        answer = raw.getresponse()
        assert answer.status == 413
        assert b"larger than" in answer.read()


def test_a_chunked_body_over_the_limit_is_refused_when_it_passes_it(
    client: httpx.Client, admin: dict[str, str]
) -> None:
    chunks = (b"x" * 1024 * 1024 for _ in range(100))
    try:
        response = client.post("/crypto/v1/keys", headers=admin, content=chunks)
    except (httpx.WriteError, httpx.ReadError):
        return  # the server answered and closed while we were still sending
    plain_error(response, 413)


CIPHER_ERRORS: list[tuple[dict[str, Any], str]] = [
    ({"mode": "GCM", "iv": ""}, "8 bytes"),
    ({"mode": "GCM", "iv": base64.b64encode(bytes(129)).decode()}, "1 to 128 bytes"),
    ({"mode": "CCM", "iv": base64.b64encode(bytes(16)).decode()}, "7 to 13 bytes"),
    ({"mode": "GCM", "tag_len": 64}, "tag_len"),
    ({"mode": "GCM", "tag_len": -1}, "tag_len"),
    ({"mode": "CBC", "iv": base64.b64encode(bytes(12)).decode()}, "16 bytes"),
    ({"mode": "CBC", "ad": ""}, "takes no ad"),
    ({"mode": "CBC", "tag_len": 128}, "takes no tag_len"),
    ({"mode": "CBCNOPAD"}, "whole blocks"),
    ({"mode": "ECB"}, "whole blocks"),
    ({"mode": "ECB", "iv": base64.b64encode(bytes(16)).decode()}, "takes no iv"),
    ({"mode": "CTR", "iv": base64.b64encode(bytes(8)).decode()}, "16 bytes"),
    ({"mode": "XYZ"}, "not supported"),
    ({"mode": "CFB", "tag_len": 128}, "takes no tag_len"),
    ({"mode": "KW"}, "multiples of 8 bytes"),
    ({"alg": "DES3", "mode": "CBC"}, "type is AES"),
    ({"mode": {"OAEP": {}}}, "RSA padding"),
    ({"label": "eA=="}, "label"),
]


@pytest.mark.parametrize(("change", "says"), CIPHER_ERRORS, ids=lambda v: json.dumps(v) if isinstance(v, dict) else "")
def test_parameters_that_do_not_fit_say_what_would(
    change: dict[str, Any], says: str, someone: Tenant, client: httpx.Client
) -> None:
    key = someone.key()
    body = {"key": {"kid": str(key.id)}, "alg": "AES", "plain": "YWJj", **change}
    response = client.post("/crypto/v1/encrypt", json=body, auth=someone.api_key())
    assert says in plain_error(response, 400)


def test_a_wrong_tag_is_a_400_that_tells_nothing_of_the_data(someone: Tenant, client: httpx.Client) -> None:
    key = someone.key()
    body = {
        "key": {"kid": str(key.id)},
        "alg": "AES",
        "mode": "GCM",
        "cipher": base64.b64encode(CANARY.encode()).decode(),
        "iv": base64.b64encode(bytes(12)).decode(),
        "tag": base64.b64encode(bytes(16)).decode(),
    }
    response = client.post("/crypto/v1/decrypt", json=body, auth=someone.api_key())
    assert CANARY not in plain_error(response, 400)


def test_another_accounts_ids_are_not_found_on_every_route(someone: Tenant, client: httpx.Client) -> None:
    """The stranger holds a valid administrator session of another account; every id here is real."""
    stranger = new_tenant()
    headers = login(client, stranger.users["administrator"].email, stranger)
    ids = {
        "key_id": someone.key().id,
        "group_id": someone.group.id,
        "app_id": someone.app.id,
        "user_id": someone.users["administrator"].id,
        "acct_id": someone.account.id,
        "device_id": totp_device(someone),
        "session_id": open_session(someone),
        "role_id": role_of(someone),
        "req_id": ask(someone, someone.alice).id,
        "config_id": sink_of(someone),
        "entry_id": entry_id(AuditRecord.objects.filter(account_id=someone.account.id).earliest("sequence").sequence),
        "tile": "5/999",  # tiles are the deployment's, whoever asks: this is one that is not there
        **directory(someone),
        **cluster_of(someone),
    }
    before = AuditRecord.objects.filter(account_id=someone.account.id).count()
    for endpoint in PROTECTED:
        if "{" not in endpoint.path:
            continue
        path = endpoint.path.format(**ids)
        for body in (b"{}", b'{"name": "taken over"}'):
            response = client.request(endpoint.method, path, headers=headers, content=body)
            assert response.status_code in (400, 404), f"{endpoint.operation}: {response.status_code} {response.text}"
    assert AuditRecord.objects.filter(account_id=someone.account.id).count() == before


def sink_of(tenant: Tenant) -> uuid.UUID:
    return LogSink.objects.create(account=tenant.account, kind="syslog", position=0, enabled=False).id


def role_of(tenant: Tenant) -> uuid.UUID:
    by = {"creator_kind": "user", "creator_id": tenant.alice.id}
    return Role.objects.create(account=tenant.account, kind="group", name="rotation officer", **by).id


def directory(tenant: Tenant) -> dict[str, uuid.UUID]:
    provider = IdentityProvider.objects.create(account=tenant.account, kind="ldap", name="directory")
    role = ExternalRole.objects.create(account=tenant.account, provider=provider, name="cn=custodians")
    return {"provider_id": provider.id, "ldap_id": provider.id, "external_role_id": role.id}


def cluster_of(tenant: Tenant) -> dict[str, uuid.UUID]:
    cluster = new_cluster(tenant)
    return {"cluster_id": cluster.id, "binding_id": bind(tenant, cluster, "shop", "payments").id}


def open_session(tenant: Tenant) -> uuid.UUID:
    now = clock.now()
    return sessions.issue(tenant.alice, tenant.alice.method, now, now)[0].id


def totp_device(tenant: Tenant) -> uuid.UUID:
    user = tenant.users["administrator"]
    return TotpDevice.objects.create(user=user, name="phone", key_sealed=b"not opened").key_id


def test_an_ended_session_is_refused_at_once(someone: Tenant, client: httpx.Client) -> None:
    headers = login(client, someone.users["administrator"].email, someone)
    assert client.get("/crypto/v1/keys", headers=headers).status_code == 200
    assert client.post("/sys/v1/session/terminate", headers=headers).status_code == 204
    assert "ended" in plain_error(client.get("/crypto/v1/keys", headers=headers), 401)


def test_an_expired_session_is_refused(someone: Tenant, client: httpx.Client) -> None:
    headers = login(client, someone.users["administrator"].email, someone)
    session = Session.objects.filter(user=someone.users["administrator"]).latest("authenticated_at")
    Session.objects.filter(id=session.id).update(expires_at=session.authenticated_at)
    assert "expired" in plain_error(client.get("/crypto/v1/keys", headers=headers), 401)


def test_query_parameters_are_checked(someone: Tenant, client: httpx.Client, admin: dict[str, str]) -> None:
    for query in (
        "limit=-1",
        "limit=x",
        "offset=-5",
        "sort=size",
        "surprise=1",
        "group_id=x",
        "filter=%7B%7D",
        "&&&",
        "name=%00",
    ):
        plain_error(client.get(f"/crypto/v1/keys?{query}", headers=admin), 400)
    for query in ("size=-1", "from=-1", "range_from=99999999999999999", "action_type=NONE", "previous_id=x"):
        plain_error(client.get(f"/sys/v1/logs?{query}", headers=admin), 400)


def test_nothing_secret_is_logged_for_bad_requests(
    someone: Tenant, client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    key = someone.key()
    secret = base64.b64encode(CANARY.encode()).decode()
    for body in (
        {"plain": secret, "surprise": CANARY},
        {"plain": CANARY},
        {"key": {"kid": str(key.id)}, "plain": secret},
    ):
        client.post("/crypto/v1/encrypt", json={"alg": "AES", "mode": "ECB", **body}, auth=someone.api_key())
    client.post("/sys/v1/session/auth", auth=("someone@example.org", CANARY))
    client.get("/crypto/v1/keys", headers={"Authorization": f"Bearer {CANARY}"})
    assert CANARY not in caplog.text
    assert secret not in caplog.text
    recorded = json.dumps(list(AuditRecord.objects.order_by("-sequence").values_list("details", flat=True)[:50]))
    assert CANARY not in recorded


HUGE: list[tuple[str, str, Any]] = [
    ("POST", "/sys/v1/groups", {"name": "n" * 257}),
    ("POST", "/sys/v1/groups", {"name": " "}),
    ("PATCH", "/sys/v1/accounts/{acct_id}", {"country": "c" * 65}),
    ("POST", "/crypto/v1/keys", {"name": "é" * 1025, "obj_type": "AES", "key_size": 256}),
    ("POST", "/crypto/v1/keys", {"name": "k", "obj_type": "AES", "key_size": 10**30}),
    ("POST", "/crypto/v1/keys", {"name": "k", "obj_type": "RSA", "key_size": 1024}),
    ("POST", "/crypto/v1/keys", {"name": "k", "obj_type": "RSA", "key_size": 2048, "pub_exponent": 3}),
    ("POST", "/crypto/v1/keys", {"name": "k", "obj_type": "EC", "elliptic_curve": "Gost256A"}),
    ("POST", "/crypto/v1/keys", {"name": "k", "obj_type": "HMAC", "key_size": 8}),
    ("POST", "/crypto/v1/keys", {"name": "k", "obj_type": "NONE", "key_size": 8}),
    ("POST", "/crypto/v1/keys", {"name": "k", "obj_type": "AES", "key_size": 256, "key_ops": ["SIGN"]}),
    ("POST", "/crypto/v1/keys", {"name": "k", "obj_type": "AES", "key_size": 256, "key_ops": ["FLY"]}),
    ("POST", "/crypto/v1/keys", {"name": "k", "obj_type": "AES", "key_size": 256, "activation_date": "tomorrow"}),
    ("POST", "/crypto/v1/keys", {"name": "k", "obj_type": "AES", "key_size": 256, "rotation_policy": {}}),
    ("PUT", "/crypto/v1/keys", {"name": "k", "obj_type": "RSA", "value": "YWJj"}),
    ("PUT", "/crypto/v1/keys", {"name": "k", "obj_type": "CERTIFICATE", "value": "YWJj"}),
    ("PUT", "/crypto/v1/keys", {"name": "k", "obj_type": "AES", "value": "YWJj"}),
    ("PUT", "/crypto/v1/keys", {"name": "k", "obj_type": "SECRET", "value": ""}),
    ("GET", "/crypto/v1/keys?offset=" + "9" * 30, None),
]


@pytest.mark.parametrize(("method", "path", "body"), HUGE)
def test_values_that_make_no_sense_are_a_400(
    method: str, path: str, body: Any, someone: Tenant, client: httpx.Client, admin: dict[str, str]
) -> None:
    if body is not None and path == "/crypto/v1/keys":
        body = {**body, "group_id": str(someone.group.id)}
    path = path.format(acct_id=someone.account.id)
    plain_error(client.request(method, path, headers=admin, json=body), 400)


def test_a_taken_name_is_a_conflict(someone: Tenant, client: httpx.Client, admin: dict[str, str]) -> None:
    group = str(someone.group.id)
    for path, body in (
        ("/sys/v1/groups", {"name": "taken"}),
        ("/sys/v1/apps", {"name": "taken", "add_groups": [group]}),
        ("/crypto/v1/keys", {"name": "taken", "obj_type": "AES", "key_size": 256, "group_id": group}),
    ):
        assert client.post(path, json=body, headers=admin).status_code == 201
        plain_error(client.post(path, json=body, headers=admin), 409)


def test_a_transient_key_is_used_and_never_looked_up(someone: Tenant, client: httpx.Client) -> None:
    auth = someone.api_key()
    body = {"obj_type": "AES", "key_size": 256, "transient": True, "group_id": str(someone.group.id)}
    blob = client.post("/crypto/v1/keys", json=body, auth=auth).json()["transient_key"]
    encrypt = {"key": {"transient_key": blob}, "alg": "AES", "mode": "GCM", "plain": "YWJj"}
    sealed = client.post("/crypto/v1/encrypt", json=encrypt, auth=auth).json()
    assert "kid" not in sealed
    decrypt = {"key": {"transient_key": blob}, "alg": "AES", "mode": "GCM", **sealed}
    assert client.post("/crypto/v1/decrypt", json=decrypt, auth=auth).json()["plain"] == "YWJj"
    for path in ("/crypto/v1/keys/export", "/crypto/v1/keys/info"):
        plain_error(client.post(path, json={"transient_key": blob}, auth=auth), 400)
    plain_error(client.post("/crypto/v1/encrypt", json={**encrypt, "key": {"transient_key": "YWJj"}}, auth=auth), 400)


def test_a_host_that_is_not_ours_is_refused_in_the_same_shape(client: httpx.Client) -> None:
    plain_error(client.get("/crypto/v1/keys", headers={"Host": "elsewhere.example.org"}), 400)
