"""Who is nobody stays nobody, whatever the request says of them; and every wrong credential is answered alike."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from accounts.clock import clock
from accounts.models import Account, AppCredential, Membership, User
from accounts.throttle import PASSWORD as DOOR
from accounts.throttle import Attempt, reserve, subject_of
from kms.api.routes import ENDPOINTS
from kms.audit.models import AuditRecord
from kms.operations.apps import DeleteApp, UpdateApp
from kms.operations.executor import execute
from kms.operations.invitations import InviteUser
from tests.api.test_bad_input import filled, login, plain_error
from tests.kit.tenants import PASSWORD, Tenant, new_tenant, new_user, unique

PROTECTED = [endpoint for endpoint in ENDPOINTS if not endpoint.anonymous]
AUTH = "/sys/v1/session/auth"
LISTING = "/crypto/v1/keys?limit=1"

# What proxies and portals put into requests, and what frameworks then believe.
IDENTITY = (
    *("X-User-Id", "X-User", "X-Roles", "X-Role", "X-Tenant-Id", "X-Project-Id", "X-Identity-Status", "X-Auth-Token"),
    *("Remote-User", "Remote_User", "X-Remote-User", "X-Remote-Group", "X-Forwarded-User", "X-Forwarded-Email"),
    *("X-Auth-Request-User", "X-Auth-Request-Email", "X-Webauth-User", "X-Authenticated-User", "X-Original-User"),
    *("X-Goog-Authenticated-User-Email", "Cf-Access-Authenticated-User-Email", "X-Ms-Client-Principal"),
    *("X-Ssl-Client-Cert", "X_SSL_CLIENT_CERT", "X-Ssl-Client-Verify", "X-Ssl-Client-S-Dn", "Ssl-Client-Cert"),
    *("Client-Cert", "X-Client-Cert", "X-Forwarded-Client-Cert", "X-Api-Key", "X-Fortanix-Account"),
)
ADDRESS = ("X-Forwarded-For", "X-Real-Ip", "X-Client-Ip", "Client-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "Via")


def spoofed(tenant: Tenant) -> list[tuple[str, str]]:
    """Every header, once for each name that somebody has here."""
    alice = tenant.users["administrator"]
    names = (str(alice.id), alice.email, str(tenant.app.id), "administrator")
    headers = [(header, name) for header in IDENTITY for name in names]
    headers += [(header, "203.0.113.7") for header in ADDRESS]
    headers.append(("Forwarded", 'for=203.0.113.7;by=203.0.113.1;host="localhost";proto=https'))
    return headers


@pytest.fixture(scope="module")
def someone(installation: None) -> Tenant:
    return new_tenant()


# -- nobody --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", PROTECTED, ids=lambda e: e.operation)
def test_no_header_says_who_somebody_is(endpoint: Any, someone: Tenant, client: httpx.Client) -> None:
    path = filled(endpoint.path)
    plain_error(client.request(endpoint.method, path, headers=spoofed(someone), content=b"{}"), 401)


def malformed(token: str) -> dict[str, list[tuple[bytes, bytes]]]:
    """Cookies and Authorization headers around a token that is good, none of which is how it is shown."""
    good = f"Bearer {token}"
    cookies = {
        "session": f"session={token}",
        "many names": f"sessionid={token}; token={token}; access_token={token}; Authorization={good}",
        "no value": "session",
        "only equals": "=" * 40,
        "quoted": f'session="{token}',
        "not ASCII": f"session={token}é",
        "long": "session=" + "a" * 7000,
        "nested": "session=" + "[" * 3000,
    }
    headers = {
        "two": [good, good],
        "a good and an empty one": [good, ""],
        "an empty and a good one": ["", good],
        "a list": [f"{good}, {good}"],
        "another scheme first": [f"Basic eDp5, {good}"],
        "token inside": [f"Bearer {token} {token}"],
        "quoted": [f'Bearer "{token}"'],
        "in brackets": [f"Bearer [{token}]"],
        "the bare token": [token],
        "shorter": [good[:-1]],
        "longer": [f"{good}a"],
        "lower case": [good.lower()],
        "upper case": [good.upper()],
        "NUL": [f"{good}\\0"],
        "as Basic": ["Basic " + base64.b64encode(token.encode()).decode()],
        "as a password": ["Basic " + base64.b64encode(f":{token}".encode()).decode()],
        "as a user": ["Basic " + base64.b64encode(f"{token}:".encode()).decode()],
        "unpadded": ["Basic " + base64.b64encode(b"ab:cd").decode().rstrip("=")],
        "parameters": [f'Bearer token="{token}"'],
        "DPoP": [f"DPoP {token}"],
        "Token": [f"Token {token}"],
        "nothing": [""],
        "the scheme alone": ["Bearer"],
    }
    cases = {f"cookie, {name}": [(b"Cookie", text.encode("latin-1"))] for name, text in cookies.items()}
    cases |= {f"header, {name}": [(b"Authorization", t.encode()) for t in texts] for name, texts in headers.items()}
    cases["header, under another name"] = [(b"Authorization_", good.encode())]
    cases["header, of a proxy"] = [(b"Proxy-Authorization", good.encode())]
    return cases


@pytest.mark.parametrize("name", malformed("x"))
@pytest.mark.parametrize("edge", ["lean", "Django", "stream", "batch"])
def test_a_malformed_cookie_or_header_is_nobody(name: str, edge: str, someone: Tenant, client: httpx.Client) -> None:
    token = _token(someone, client)
    method, path = {
        "lean": ("POST", "/crypto/v1/encrypt"),
        "Django": ("GET", LISTING),
        "stream": ("POST", "/crypto/v1/stream/encrypt"),
        "batch": ("POST", "/batch/v1"),
    }[edge]
    answer = client.request(method, path, headers=malformed(token)[name], content=b"{}" if method == "POST" else None)
    plain_error(answer, 401)


_tokens: dict[int, str] = {}


def _token(tenant: Tenant, client: httpx.Client) -> str:
    """One good session for the whole sweep."""
    found = _tokens.get(id(tenant))
    if found is None:
        found = client.post(AUTH, auth=tenant.api_key()).json()["access_token"]
        _tokens[id(tenant)] = str(found)
    assert client.get(LISTING, headers={"Authorization": f"Bearer {found}"}).status_code == 200
    return found


@pytest.mark.parametrize("path", ["/crypto/v1/encrypt", "/crypto/v1/keys"])
def test_an_apps_call_is_its_own_and_comes_from_its_peer(path: str, someone: Tenant, client: httpx.Client) -> None:
    headers = spoofed(someone)
    client.post(path, headers=headers, auth=someone.api_key(), json={"name": unique("k")})
    answer = client.post(path, headers=headers, auth=someone.api_key(), json=_body(path, someone))
    assert answer.status_code < 300, answer.text
    entry = AuditRecord.objects.get(request_id=answer.headers["x-request-id"])
    assert (entry.actor_id, entry.actor_kind, entry.client_ip) == (someone.app.id, "app", "127.0.0.1")


def _body(path: str, tenant: Tenant) -> Any:
    if path.endswith("encrypt"):
        return {"key": {"kid": str(tenant.key().id)}, "alg": "AES", "mode": "GCM", "plain": "YWJj"}
    return {"name": unique("k"), "group_id": str(tenant.group.id), "obj_type": "AES", "key_size": 128}


def test_an_address_that_a_header_states_opens_no_allow_list_and_no_new_attempts(
    someone: Tenant, client: httpx.Client
) -> None:
    app = someone.new_app()
    execute(someone.alice, UpdateApp(app.id, ip_ranges=("203.0.113.0/24",)))
    refused = client.get(LISTING, headers=spoofed(someone), auth=someone.api_key(app))
    assert "may not call from this address" in plain_error(refused, 403)
    email = f"{unique('nobody')}@example.org"
    tries = [
        client.post(AUTH, auth=(email, "wrong"), headers={"X-Forwarded-For": f"203.0.113.{n}"}).status_code
        for n in range(DOOR.free + 1)
    ]
    assert tries == [401] * DOOR.free + [429]


# -- uniform answers -----------------------------------------------------------------------------------------------


def wrong_users(tenant: Tenant) -> dict[str, str]:
    """Names with which a wrong password is tried."""
    disabled, pending, locked_out, nowhere = new_user(), f"{unique('u')}@example.org", new_user(), new_user()
    Membership.objects.create(user=disabled, account=tenant.account, role="member", enabled=False)
    execute(tenant.alice, InviteUser(pending, "member"))
    closed = Account.objects.create(name=unique("closed"), enabled=False)
    Membership.objects.create(user=locked_out, account=closed, role="administrator")
    unconfirmed = new_user()
    User.objects.filter(id=unconfirmed.id).update(email_verified=False)
    return {
        "unknown": f"{unique('nobody')}@example.org",
        "known": new_user().email,
        "an administrator": tenant.users["administrator"].email,
        "disabled": disabled.email,
        "invited, never confirmed": pending,
        "unconfirmed": unconfirmed.email,
        "of a disabled account": locked_out.email,
        "of no account": nowhere.email,
        "no address at all": unique("nobody"),
        "long": f"{unique('a')}{'a' * 5000}@example.org",
    }


def wrong_apps(tenant: Tenant) -> dict[str, str]:
    disabled, expired, deleted = (tenant.new_app() for _ in range(3))
    execute(tenant.alice, UpdateApp(disabled.id, enabled=False))
    AppCredential.objects.filter(app_id=expired.id).update(expires_at="2020-01-01T00:00:00Z")
    execute(tenant.alice, DeleteApp(deleted.id))
    return {
        "unknown": str(uuid4()),
        "known": str(tenant.app.id),
        "disabled": str(disabled.id),
        "expired": str(expired.id),
        "deleted": str(deleted.id),
        "nil": "0" * 32,
        "a user's id": str(tenant.alice.id),
        "an account's id": str(tenant.account.id),
    }


def said(answer: httpx.Response) -> tuple[Any, ...]:
    """All that a client sees, but for what differs from call to call by nature."""
    varying = {"date", "x-request-id"}
    headers = sorted((name, value) for name, value in answer.headers.items() if name not in varying)
    return answer.status_code, answer.content, tuple(headers)


def test_a_wrong_password_is_answered_alike_whoever_it_is_tried_for(client: httpx.Client) -> None:
    names = wrong_users(new_tenant())
    answers = {why: said(client.post(AUTH, auth=(name, "wrong password"))) for why, name in names.items()}
    assert len(set(answers.values())) == 1, {why: answer[:2] for why, answer in answers.items()}
    assert answers["unknown"][:2] == (401, b"Invalid credentials")


def test_who_is_slowed_down_is_answered_alike_too(client: httpx.Client) -> None:
    names = wrong_users(new_tenant())
    for name in names.values():
        for _ in range(DOOR.free):
            reserve(Attempt(DOOR, subject_of(name), "127.0.0.1"), clock.now() + timedelta(minutes=1))
    answers = {why: client.post(AUTH, auth=(name, "wrong password")) for why, name in names.items()}
    waits = [int(answer.headers.pop("retry-after")) for answer in answers.values()]
    assert {said(answer) for answer in answers.values()} == {said(answers["unknown"])}
    assert answers["unknown"].status_code == 429
    assert max(waits) - min(waits) <= 5  # a clock that went on between them


def test_a_wrong_api_key_is_answered_alike_whichever_app_it_is_tried_for(client: httpx.Client) -> None:
    names = wrong_apps(new_tenant())
    for path in (AUTH, LISTING):
        method = "POST" if path == AUTH else "GET"
        answers = {why: said(client.request(method, path, auth=(name, "x" * 86))) for why, name in names.items()}
        assert len(set(answers.values())) == 1, {why: answer[:2] for why, answer in answers.items()}
        assert answers["unknown"][:2] == (401, b"Invalid credentials")


def test_a_session_that_is_not_ones_own_is_answered_as_one_that_never_was(client: httpx.Client) -> None:
    tenant = new_tenant()
    headers = login(client, tenant.users["administrator"].email, tenant)
    stranger = new_tenant()
    theirs = client.get("/sys/v1/session/list", headers=login(client, stranger.users["administrator"].email, stranger))
    other = theirs.json()[0]["session_id"]
    answers = {said(client.post(f"/sys/v1/session/{one}/terminate", headers=headers)) for one in (other, str(uuid4()))}
    assert len(answers) == 1
    assert next(iter(answers))[0] == 404


def test_the_list_of_sessions_shows_no_token(client: httpx.Client) -> None:
    tenant = new_tenant()
    answer = client.post(AUTH, auth=(tenant.users["administrator"].email, PASSWORD))
    token = answer.json()["access_token"]
    listed = client.get("/sys/v1/session/list", headers={"Authorization": f"Bearer {token}"})
    (one,) = listed.json()
    assert one["current"] is True
    assert (one["method"], one["client_ip"]) == ("password", "127.0.0.1")
    assert token not in listed.text
    assert not {"token", "token_digest", "access_token"} & one.keys()
