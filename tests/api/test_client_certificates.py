"""Apps that log in with a certificate, over TLS as it is: who gets in, what a session is bound to, when it ends."""

from __future__ import annotations

import base64
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import cbor2
import httpx
import pytest
from django.db import connection

from accounts.models import App, AppCredential, Session
from kms.api.routes import ENDPOINTS
from kms.api.wire.streams import STREAMS
from kms.audit.models import AuditRecord
from kms.config import tls_clients, values
from kms.config.tls_clients import CHANNEL, Follower
from kms.operations.app_credentials import Replacement
from kms.operations.app_trust import NewCredential, NewSecret, PinnedCertificate, TrustedAuthorities
from kms.operations.apps import DeleteApp, GetAppCredential, UpdateApp
from kms.operations.command import ObjectRef
from kms.operations.executor import execute
from tests.kit.certificates import DAY, Identity, authority, common_name, leaf, now, revocation_list
from tests.kit.tenants import Tenant, new_tenant
from tests.kit.threads import at_once
from tests.kit.tls_server import TlsServer, serving_tls

AUTH = "/sys/v1/session/auth"
ROOT = authority("Root of the tenant")
WORKER, TWIN, OTHER = leaf("worker", ROOT), leaf("worker", ROOT), leaf("other", ROOT)
PINNED = leaf("pinned", None)


def trusting(*authorities: Identity, subject: str = "worker", **more: Any) -> TrustedAuthorities:
    return TrustedAuthorities(tuple(each.der for each in authorities), (common_name(subject),), **more)


@pytest.fixture(scope="module")
def server(installation: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsServer]:
    from kms.config.asgi import application

    with serving_tls(application, tmp_path_factory.mktemp("tls")) as running:
        yield running


@dataclass
class Place:
    """A tenant, the server, and apps that prove themselves by what they are given."""

    tenant: Tenant
    server: TlsServer
    key: ObjectRef

    def app(self, credential: NewCredential) -> str:
        made = self.tenant.new_app(credential=Replacement(credential))
        Follower(self.server.trust).look()
        return str(made.id)

    def at(self, identity: Identity | None) -> httpx.Client:
        """A client with one connection and one certificate. Files of its own: tests connect from many threads."""
        with tempfile.TemporaryDirectory() as folder:
            return self.server.client(self.server.context(identity, folder=Path(folder)))

    def login(self, identity: Identity | None, app: str, password: str = "") -> httpx.Response:
        with self.at(identity) as client:
            return client.post(AUTH, auth=(app, password))

    def token(self, identity: Identity, app: str) -> str:
        answer = self.login(identity, app)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])


@pytest.fixture(scope="module")
def place(server: TlsServer) -> Place:
    tenant = new_tenant()
    return Place(tenant, server, tenant.key())


def session_of(token: str) -> Session:
    from accounts.credentials import digest

    return Session.objects.get(token_digest=digest(token))


# -- logging in ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("credential", "identity"),
    [
        (PinnedCertificate(PINNED.der), PINNED),
        (trusting(ROOT), WORKER),
        (trusting(ROOT, check_revocation=True, revocation_lists=(revocation_list(ROOT),)), WORKER),
    ],
    ids=["pinned", "authority", "authority with a revocation list"],
)
def test_an_app_logs_in_with_its_certificate_and_works(
    place: Place, credential: NewCredential, identity: Identity
) -> None:
    app = place.app(credential)
    token = place.token(identity, app)
    session = session_of(token)
    assert (str(session.app_id), session.method) == (app, "certificate")
    assert bytes(session.certificate or b"") == identity.presented().thumbprint
    with place.at(identity) as client:
        for call in EDGES.values():
            assert call(client, place, token).status_code == 200
    entry = AuditRecord.objects.filter(action="session.create").latest("sequence")
    assert (entry.outcome, entry.details["login_method"], entry.details["subject"]) == ("done", "certificate", app)


def test_a_session_ends_with_its_certificate(place: Place) -> None:
    brief = leaf("worker", ROOT, until=timedelta(hours=2))
    token = place.token(brief, place.app(trusting(ROOT)))
    with place.at(brief) as client:
        for _ in range(2):
            assert session_of(token).expires_at == brief.certificate.not_valid_after_utc
            assert client.post("/sys/v1/session/refresh", headers=_bearer(token)).status_code == 204


def test_a_session_ends_when_nothing_more_is_known_of_its_revocation(place: Place) -> None:
    until = timedelta(hours=3)
    lists = (revocation_list(ROOT, until=until),)
    token = place.token(WORKER, place.app(trusting(ROOT, check_revocation=True, revocation_lists=lists)))
    assert abs(session_of(token).expires_at - (now() + until)) < timedelta(minutes=1)


# -- being refused -------------------------------------------------------------------------------------------------


def _ended(place: Place) -> str:
    app = place.app(trusting(ROOT))
    AppCredential.objects.filter(app_id=app).update(expires_at=now() - DAY)
    return app


def _secret(place: Place) -> str:
    return str(place.tenant.new_app().id)


REFUSED: dict[str, Callable[[Place], tuple[Identity | None, str, str]]] = {
    "no certificate": lambda place: (None, place.app(trusting(ROOT)), ""),
    "no certificate, but some password": lambda place: (None, place.app(trusting(ROOT)), "x"),
    "the certificate, and some password": lambda place: (WORKER, place.app(trusting(ROOT)), "x"),
    "an app that is not there": lambda _: (WORKER, str(uuid4()), ""),
    "an app with an API key": lambda place: (WORKER, _secret(place), ""),
    "an app with an API key, without a certificate": lambda place: (None, _secret(place), ""),
    "another subject": lambda place: (OTHER, place.app(trusting(ROOT)), ""),
    "another app's certificate": lambda place: (PINNED, place.app(trusting(ROOT)), ""),
    "the pinned one's twin": lambda place: (TWIN, place.app(PinnedCertificate(WORKER.der)), ""),
    "another app's authority": lambda place: (WORKER, place.app(trusting(authority("Another"))), ""),
    "a revoked certificate": lambda place: (WORKER, place.app(revoking(WORKER)), ""),
    "nothing known of its revocation": lambda place: (WORKER, place.app(revoking(None)), ""),
    "another issuer's revocation list": lambda place: (WORKER, place.app(revoking(None, foreign=True)), ""),
    "a credential that has ended": lambda place: (WORKER, _ended(place), ""),
}


def revoking(identity: Identity | None, *, foreign: bool = False) -> TrustedAuthorities:
    lists = () if identity is None else (revocation_list(ROOT, identity),)
    if foreign:
        lists = (revocation_list(authority(ROOT.certificate.subject)),)
    return trusting(ROOT, check_revocation=True, revocation_lists=lists)


@pytest.fixture(scope="module")
def trusted_by_others(place: Place) -> None:
    """So that every handshake passes, and it is the login that refuses."""
    place.app(trusting(ROOT, subject="nobody"))
    place.app(PinnedCertificate(PINNED.der))


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_and_nobody_learns_why(trusted_by_others: None, place: Place, case: str) -> None:
    identity, app, password = REFUSED[case](place)
    refused = place.login(identity, app, password)
    wrong = place.login(None, str(place.tenant.app.id), "wrong")
    assert refused.status_code == 401
    assert refused.content == wrong.content
    assert _plain(refused.headers) == _plain(wrong.headers)


def _plain(headers: httpx.Headers) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name not in ("x-request-id", "date")}


def test_the_record_knows_why(trusted_by_others: None, place: Place) -> None:
    place.login(OTHER, place.app(trusting(ROOT)))
    entry = AuditRecord.objects.filter(action="session.create").latest("sequence")
    assert (entry.outcome, entry.reason) == ("denied", "certificate-subject-differs")


def test_only_who_proved_to_be_the_app_is_told_that_it_is_disabled(trusted_by_others: None, place: Place) -> None:
    app = place.app(trusting(ROOT))
    App.objects.filter(id=app).update(enabled=False)
    assert place.login(WORKER, app).text == "The app is disabled"
    for identity in (None, OTHER, PINNED):
        assert place.login(identity, app).text == "Invalid credentials"


# -- a session is bound to its certificate -------------------------------------------------------------------------


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _encrypt(place: Place) -> dict[str, Any]:
    plain = base64.b64encode(b"sixteen bytes ok").decode()
    return {"alg": "AES", "mode": "CBC", "plain": plain, "key": {"kid": str(place.key.id)}}


def _lean(client: httpx.Client, place: Place, token: str) -> httpx.Response:
    return client.post("/crypto/v1/encrypt", json=_encrypt(place), headers=_bearer(token))


def _django(client: httpx.Client, place: Place, token: str) -> httpx.Response:
    return client.get(f"/crypto/v1/keys/{place.key.id}", headers=_bearer(token))


def _batch(client: httpx.Client, place: Place, token: str) -> httpx.Response:
    item = {"SingleItem": {"operation": f"/crypto/v1/keys/{place.key.id}", "method": "GET"}}
    return client.post("/batch/v1", json=item, headers=_bearer(token))


def _stream(client: httpx.Client, place: Place, token: str) -> httpx.Response:
    first = {"init": {"key": {"kid": str(place.key.id)}, "alg": "AES", "mode": "CBC"}}
    frames: list[Any] = [first, {"data": b"x"}, {"final": {}}]
    body = b"".join(map(cbor2.dumps, frames))
    return client.post("/crypto/v1/stream/encrypt", content=body, headers=_bearer(token))


EDGES = {"lean": _lean, "Django": _django, "batch": _batch, "stream": _stream}


@pytest.fixture(scope="module")
def bound(place: Place) -> str:
    """A token of a session that is bound to WORKER, for an app that would let TWIN in as well."""
    return place.token(WORKER, place.app(trusting(ROOT)))


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("identity", [None, TWIN, OTHER, PINNED], ids=["none", "its twin", "another", "a pinned one"])
def test_a_token_is_worth_nothing_without_the_certificate(
    trusted_by_others: None, place: Place, bound: str, edge: str, identity: Identity | None
) -> None:
    for _ in range(2):  # once it is remembered, and the other way round
        with place.at(identity) as thief:
            assert EDGES[edge](thief, place, bound).status_code == 401
        with place.at(WORKER) as owner:
            assert EDGES[edge](owner, place, bound).status_code == 200


KNOWN = [endpoint for endpoint in ENDPOINTS if not endpoint.anonymous]


@pytest.mark.parametrize("route", [*KNOWN, *STREAMS.values()], ids=lambda route: f"{route.method} {route.path}")
def test_no_route_takes_the_token_without_the_certificate(place: Place, bound: str, route: Any) -> None:
    parts = [str(uuid4()) if "{" in part else part for part in route.path.split("/")]
    with place.at(None) as thief:
        answer = thief.request(route.method, "/".join(parts), headers=_bearer(bound), json={})
    assert answer.status_code == 401


def test_a_refreshed_or_renewed_session_stays_bound(place: Place) -> None:
    token = place.token(WORKER, place.app(trusting(ROOT)))
    with place.at(WORKER) as owner, place.at(None) as thief:
        assert owner.post("/sys/v1/session/refresh", headers=_bearer(token)).status_code == 204
        assert _lean(thief, place, token).status_code == 401
        renewed = owner.post("/sys/v1/session/reauth", headers=_bearer(token)).json()["access_token"]
        assert _lean(owner, place, renewed).status_code == 200
        assert _lean(thief, place, renewed).status_code == 401


def test_a_session_of_an_api_key_needs_no_certificate_and_minds_none(trusted_by_others: None, place: Place) -> None:
    user, password = place.tenant.api_key()
    with place.at(WORKER) as client:
        token = client.post(AUTH, auth=(user, password)).json()["access_token"]
    for identity in (None, OTHER, WORKER):
        with place.at(identity) as client:
            assert _lean(client, place, token).status_code == 200


# -- what is taken away is gone ------------------------------------------------------------------------------------


def _replace(place: Place, app: str, credential: NewCredential, overlap: timedelta = timedelta()) -> None:
    execute(place.tenant.alice, UpdateApp(_id(app), credential=Replacement(credential, overlap)))


def _id(app: str) -> Any:
    return App.objects.get(id=app).id


TAKEN_AWAY: dict[str, Callable[[Place, str], Any]] = {
    "app disabled": lambda place, app: execute(place.tenant.alice, UpdateApp(_id(app), enabled=False)),
    "app deleted": lambda place, app: execute(place.tenant.alice, DeleteApp(_id(app))),
    "another authority": lambda place, app: _replace(place, app, trusting(authority("New"))),
    "another subject": lambda place, app: _replace(place, app, trusting(ROOT, subject="else")),
    "another certificate": lambda place, app: _replace(place, app, PinnedCertificate(PINNED.der)),
    "an API key instead": lambda place, app: _replace(place, app, NewSecret()),
    "revoked": lambda place, app: _replace(place, app, revoking(WORKER)),
    "account disabled": lambda place, app: _disable_account(app),
}


def _disable_account(app: str) -> None:
    account = App.objects.get(id=app).account
    account.enabled = False
    account.save()


@pytest.mark.parametrize("case", TAKEN_AWAY)
def test_what_is_taken_away_is_gone_at_once(trusted_by_others: None, server: TlsServer, case: str) -> None:
    tenant = new_tenant()
    mine = Place(tenant, server, tenant.key())
    app = mine.app(trusting(ROOT))
    token = mine.token(WORKER, app)
    with mine.at(WORKER) as client:
        assert _lean(client, mine, token).status_code == 200
        TAKEN_AWAY[case](mine, app)
        for call in EDGES.values():
            assert call(client, mine, token).status_code in (401, 403)
        assert client.post(AUTH, auth=(app, "")).status_code == 401


def test_with_an_overlap_both_certificates_hold_until_it_ends(place: Place) -> None:
    app = place.app(PinnedCertificate(WORKER.der))
    token = place.token(WORKER, app)
    _replace(place, app, PinnedCertificate(TWIN.der), timedelta(hours=1))
    Follower(place.server.trust).look()
    again = place.token(WORKER, app)
    assert place.login(TWIN, app).status_code == 200
    for each in (token, again):
        assert session_of(each).expires_at <= now() + timedelta(hours=1, minutes=1)
    AppCredential.objects.filter(app_id=app, replaced_at__isnull=False).update(valid_until=now())
    assert place.login(WORKER, app).status_code == 401


def _secret_of(place: Place, app: str) -> str:
    secret: str = execute(place.tenant.alice, GetAppCredential(_id(app))).current.secret.reveal().decode()
    return secret


@pytest.mark.parametrize("proof", ["certificate", "API key"])
def test_no_login_outlives_a_replacement_that_it_meets(trusted_by_others: None, place: Place, proof: str) -> None:
    """Logins and a replacement at once: whoever got a token before the replacement has lost it after."""
    identity = WORKER if proof == "certificate" else None
    for _ in range(3):
        app = place.app(trusting(ROOT) if proof == "certificate" else NewSecret())
        secret = "" if proof == "certificate" else _secret_of(place, app)

        def work(number: int, app: str = app, secret: str = secret) -> str | None:
            if number == 3:
                _replace(place, app, PinnedCertificate(PINNED.der))
                return None
            answer = place.login(identity, app, secret)
            return answer.json()["access_token"] if answer.status_code == 200 else None

        tokens = [token for token in at_once(6, work) if token]
        with place.at(identity) as client:
            assert [_lean(client, place, token).status_code for token in tokens] == [401] * len(tokens)


# -- by a trusted proxy --------------------------------------------------------------------------------------------


def test_behind_a_trusted_proxy_its_header_is_the_certificate(
    client: httpx.Client, place: Place, settings: Any
) -> None:
    app = place.app(trusting(ROOT))
    header = "X-SSL-Client-Cert"
    mine, twins = ({header: quote(identity.pem)} for identity in (WORKER, TWIN))
    assert client.post(AUTH, auth=(app, ""), headers=mine).status_code == 401, "not before the operator says so"
    settings.KEYSTEAD = replace(
        settings.KEYSTEAD,
        trusted_proxies=values.networks("127.0.0.1"),
        client_certificate_header=values.header_name(header),
    )
    token = client.post(AUTH, auth=(app, ""), headers=mine).json()["access_token"]
    kept = client.headers.copy()
    try:
        client.headers.update(mine)
        assert [call(client, place, token).status_code for call in EDGES.values()] == [200] * len(EDGES)
        client.headers.update(twins)
        assert {call(client, place, token).status_code for call in EDGES.values()} == {401}
        del client.headers[header]
        client.headers["X_SSL_Client_Cert"] = quote(WORKER.pem)
        assert {call(client, place, token).status_code for call in EDGES.values()} == {401}
    finally:
        client.headers = kept
    assert client.post(AUTH, auth=(app, ""), headers=[*mine.items(), *mine.items()]).status_code == 401


def test_behind_a_trusted_proxy_the_callers_address_is_judged(client: httpx.Client, settings: Any) -> None:
    tenant = new_tenant()
    app = tenant.new_app(ip_ranges=("203.0.113.0/24",))
    key = tenant.api_key(app)
    inside, outside = ({"X-Forwarded-For": f"203.0.113.9, {last}"} for last in ("203.0.113.7", "198.51.100.1"))
    assert client.get("/crypto/v1/keys", auth=key, headers=inside).status_code == 403
    settings.KEYSTEAD = replace(settings.KEYSTEAD, trusted_proxies=values.networks("127.0.0.1"))
    assert client.get("/crypto/v1/keys", auth=key, headers=inside).status_code == 200
    assert client.get("/crypto/v1/keys", auth=key, headers=outside).status_code == 403


# -- following the credentials -------------------------------------------------------------------------------------


def _handshakes(place: Place, identity: Identity) -> bool:
    try:
        place.login(identity, str(uuid4()))
    except (httpx.TransportError, ssl.SSLError):
        return False
    return True


def _becomes(expected: bool, place: Place, identity: Identity) -> None:
    deadline = time.monotonic() + 5
    while _handshakes(place, identity) is not expected:
        assert time.monotonic() < deadline, "the change was not followed"
        time.sleep(0.02)


@pytest.fixture
def following() -> Iterator[Callable[[Follower], None]]:
    """Ends what a test started."""
    started: list[Follower] = []
    yield started.append
    for follower in started:
        follower.stop()
    with connection.cursor() as cursor:
        cursor.execute(f"NOTIFY {CHANNEL}")


@pytest.mark.parametrize("poll", [60.0, 0.05], ids=["notified", "polled"])
def test_a_running_server_follows_what_the_apps_trust(
    trusted_by_others: None,
    place: Place,
    following: Callable[[Follower], None],
    monkeypatch: pytest.MonkeyPatch,
    poll: float,
) -> None:
    """By notification alone, and without one: an overlap ends unannounced."""
    monkeypatch.setattr(tls_clients, "POLL_SECONDS", poll)
    fresh = authority("Fresh")
    identity, begun = leaf("worker", fresh), time.monotonic()
    following(tls_clients.start(place.server.trust))
    app = str(place.tenant.new_app(credential=Replacement(trusting(fresh))).id)
    _becomes(True, place, identity)
    if poll > 1:
        for enabled in (False, True):
            execute(place.tenant.alice, UpdateApp(_id(app), enabled=enabled))
            _becomes(enabled, place, identity)
        execute(place.tenant.alice, DeleteApp(_id(app)))
    else:
        AppCredential.objects.filter(app_id=app).update(replaced_at=now(), valid_until=now() + timedelta(seconds=1))
    _becomes(False, place, identity)
    assert time.monotonic() - begun < 10
