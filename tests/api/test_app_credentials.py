"""Apps' credentials over HTTP: as the vendor's clients spell them, what is refused by name, and every way to log in."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from kms.audit.models import AuditRecord
from tests.api.test_bad_input import login
from tests.kit.certificates import authority, leaf
from tests.kit.tenants import Tenant, new_tenant, unique
from tests.kit.tokens import CLUSTER, Issuer, by_hand, rsa_key, spki

AUTH = "/sys/v1/session/auth"
KEY = base64.b64encode(spki(rsa_key())).decode()
STORED = {"kind": "stored", "keys": {"key-1": KEY}}


@pytest.fixture(scope="module")
def tenant(installation: None) -> Tenant:
    return new_tenant()


@pytest.fixture(scope="module")
def admin(client: httpx.Client, tenant: Tenant) -> dict[str, str]:
    return login(client, tenant.users["administrator"].email, tenant)


def created(client: httpx.Client, admin: dict[str, str], tenant: Tenant, **fields: Any) -> httpx.Response:
    body = {"name": unique("app"), "add_groups": {str(tenant.group.id): ["ENCRYPT"]}, **fields}
    return client.post("/sys/v1/apps", json=body, headers=admin)


def changed(client: httpx.Client, admin: dict[str, str], tenant: Tenant, **fields: Any) -> httpx.Response:
    return client.patch(f"/sys/v1/apps/{tenant.app.id}", json=fields, headers=admin)


def credential(client: httpx.Client, admin: dict[str, str], app: str) -> dict[str, Any]:
    found = client.get(f"/sys/v1/apps/{app}/credential", headers=admin)
    assert found.status_code == 200, found.text
    body: dict[str, Any] = found.json()
    return body


def text(der: bytes) -> str:
    return base64.b64encode(der).decode()


# -- shapes --------------------------------------------------------------------------------------------------------


def trusted(**fields: Any) -> dict[str, Any]:
    return {"trustedca": {"ca_certificate": text(authority().der), **fields}}


def shapes() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """What clients send, and comes back as it was; the auth_type that it makes."""
    name = [["CN", "app"], ["O", "shop"]]
    yield "Secret", "secret", {"secret": "AbCdEfGhIjKlMnOpQrStUvWxYz012345"}
    yield "Certificate", "certificate", {"certificate": text(leaf("app", None).der)}
    yield "TrustedCa", "subject", trusted(subject=name, check_revocation=False)
    yield "TrustedCa", "general", trusted(subject_general={"dns_name": "app.example"}, check_revocation=True)
    many = {"ca_certificates": [text(authority().der), text(authority().der)], "check_revocation": False}
    rules = [{"directory_name": name}, {"dns_name": "app.example"}, {"ip_address": "192.0.2.1"}]
    yield "TrustedCa", "several", {"trustedca": {**many, "subjects": rules}}
    ours = {"audiences": ["kms"], "subjects": ["a", "b*"], "algorithms": ["RS256"], "max_age": 60, "once": True}
    yield "SignedJwt", "stored", {"signedjwt": {"valid_issuers": [CLUSTER], "signing_keys": STORED, **ours}}
    fetched = {"kind": "fetched", "url": "https://keys.example/jwks", "cache_duration": 60}
    yield "SignedJwt", "fetched", {"signedjwt": {"valid_issuers": [CLUSTER], "signing_keys": fetched, **ours}}
    private = {**fetched, "ca_certificates": [text(authority().der)]}
    yield "SignedJwt", "private", {"signedjwt": {"valid_issuers": [CLUSTER], "signing_keys": private, **ours}}


@pytest.mark.parametrize(("kind", "given"), [pytest.param(kind, given, id=name) for kind, name, given in shapes()])
def test_what_a_client_sends_comes_back_as_it_was(
    client: httpx.Client, admin: dict[str, str], tenant: Tenant, kind: str, given: dict[str, Any]
) -> None:
    answer = created(client, admin, tenant, credential=given)
    assert answer.status_code == 201, answer.text
    app = answer.json()
    assert app["auth_type"] == kind
    assert ("cert_not_after" in app) is (kind == "Certificate")
    assert "secret" not in answer.text
    found = credential(client, admin, app["app_id"])
    assert found["credential"] == given
    assert "previous_credential" not in found


def test_the_vendors_signed_jwt_has_our_defaults(client: httpx.Client, admin: dict[str, str], tenant: Tenant) -> None:
    from django.conf import settings

    given = {"signedjwt": {"valid_issuers": [CLUSTER], "signing_keys": STORED}}
    app = created(client, admin, tenant, credential=given).json()["app_id"]
    server = settings.KEYSTEAD.public_url
    found = credential(client, admin, app)["credential"]["signedjwt"]
    assert found["audiences"] == [server, f"{server}/{tenant.account.id}"]
    assert (found["max_age"], found["once"], found["subjects"]) == (86_400, False, [])


def test_a_rotation_with_a_migration_period_shows_both(
    client: httpx.Client, admin: dict[str, str], tenant: Tenant
) -> None:
    before = credential(client, admin, str(tenant.app.id))["credential"]
    path = f"/sys/v1/apps/{tenant.app.id}/reset_secret"
    body = {"secret_size": 32, "credential_migration_period": 600, "credential_expires_at": "20991231T235959Z"}
    answer = client.post(path, json=body, headers=admin)
    assert answer.status_code == 200
    assert answer.json()["credential_expires_at"] == "20991231T235959Z"
    found = credential(client, admin, str(tenant.app.id))
    assert found["previous_credential"]["credential"] == before
    assert len(found["previous_credential"]["valid_until"]) == len("20261123T220000Z")
    assert found["credential_expires_at"] == "20991231T235959Z"
    for secret in (before["secret"], found["credential"]["secret"]):
        assert client.post(AUTH, auth=(str(tenant.app.id), secret)).status_code == 200
    assert client.post(path, headers=admin).status_code == 200
    for secret in (before["secret"], found["credential"]["secret"]):
        assert client.post(AUTH, auth=(str(tenant.app.id), secret)).status_code == 401


UNSUPPORTED = ("googleserviceaccount", "awsiam", "awsxks", "googleworkspacecse", "all")


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_is_not_offered_is_refused_by_name(
    client: httpx.Client, admin: dict[str, str], tenant: Tenant, name: str
) -> None:
    answer = created(client, admin, tenant, credential={name: [] if name == "all" else {}})
    assert answer.status_code == 400
    assert name in answer.text


def refused() -> Iterator[tuple[str, dict[str, Any], str]]:
    jwt = {"valid_issuers": [CLUSTER], "signing_keys": STORED}
    policy = {"private_claims_policy": {"definition": {"$type": "rego", "value": "allow = true"}}}
    yield "rego", {"credential": {"signedjwt": jwt | policy}}, "private_claims_policy"
    yield "oauth", {"oauth_config": {"state": "enabled", "redirect_uris": []}}, "oauth_config"
    yield "oauth of its own", {"oauth_config": {"state": "paused"}}, "oauth_config"
    both = {"secret": {"size": 32}, "certificate": text(leaf("app", None).der)}
    yield "two at once", {"credential": both}, "one of"
    yield "a size for a certificate", {"credential": {"certificate": both["certificate"]}, "secret_size": 32}, "size"
    yield "no audience", {"credential": {"signedjwt": {**jwt, "audiences": []}}}, "audiences"
    yield "no issuer", {"credential": {"signedjwt": {**jwt, "valid_issuers": []}}}, "issuers"
    yield "no keys", {"credential": {"signedjwt": {**jwt, "signing_keys": {"kind": "stored"}}}}, "signing_keys"
    yield "an unknown kind of keys", {"credential": {"signedjwt": {**jwt, "signing_keys": {"kind": "x"}}}}, "signing"
    yield (
        "an address inside",
        {"credential": {"signedjwt": {**jwt, "signing_keys": {"kind": "fetched", "url": "https://127.0.0.1/"}}}},
        "127.0.0.1",
    )
    yield "no subject", {"credential": trusted()}, "subject"
    yield "two subjects", {"credential": trusted(subject=[["CN", "a"]], subjects=[])}, "subject"
    yield "no authority", {"credential": {"trustedca": {"subject": [["CN", "a"]]}}}, "ca_certificate"
    yield "a misspelt field", {"credential": {"signed_jwt": jwt}}, "signed_jwt"
    yield "an end in the past", {"credential_expires_at": "20200101T000000Z"}, "credential_expires_at"
    yield "an end that is no time", {"credential_expires_at": "tomorrow"}, "credential_expires_at"
    yield "a rate below none", {"rate_limit": -1}, "rate_limit"


@pytest.mark.parametrize(("fields", "says"), [pytest.param(fields, says, id=name) for name, fields, says in refused()])
def test_what_would_be_ignored_or_never_hold_is_refused_with_what_is_wrong(
    client: httpx.Client, admin: dict[str, str], tenant: Tenant, fields: dict[str, Any], says: str
) -> None:
    answer = created(client, admin, tenant, **fields)
    assert answer.status_code == 400, answer.text
    assert says in answer.text


def test_what_clients_send_without_meaning_it_is_taken(
    client: httpx.Client, admin: dict[str, str], tenant: Tenant
) -> None:
    fields = {"oauth_config": {"state": "disabled"}, "credential": {"secret": None}, "credential_migration_period": 60}
    assert created(client, admin, tenant, **fields).status_code == 201


def test_a_change_with_a_period_and_no_credential_is_refused(
    client: httpx.Client, admin: dict[str, str], tenant: Tenant
) -> None:
    answer = changed(client, admin, tenant, credential_migration_period=60)
    assert answer.status_code == 400
    assert "need a credential" in answer.text


def test_rate_limit_and_role_are_seen_and_asked_for(
    client: httpx.Client, admin: dict[str, str], tenant: Tenant
) -> None:
    made = created(client, admin, tenant, rate_limit=50, role="admin").json()
    assert made["rate_limit"] == 50
    listed = client.get("/sys/v1/apps", params={"role": "admin"}, headers=admin).json()
    assert [app["app_id"] for app in listed] == [made["app_id"]]
    freed = client.patch(f"/sys/v1/apps/{made['app_id']}", json={"rate_limit": 0}, headers=admin).json()
    assert "rate_limit" not in freed


# -- logins --------------------------------------------------------------------------------------------------------


@pytest.fixture
def pod(client: httpx.Client, admin: dict[str, str], tenant: Tenant) -> tuple[str, Issuer]:
    """An app of a service account, by its id, and who signs for it."""
    from django.conf import settings

    subject = f"system:serviceaccount:shop:{unique('pod')}"
    signed = {"valid_issuers": [CLUSTER], "signing_keys": STORED, "subjects": [subject]}
    app = created(client, admin, tenant, credential={"signedjwt": signed}).json()["app_id"]
    return app, Issuer(subject, settings.KEYSTEAD.public_url)


def test_a_token_is_taken_on_any_call_by_both_edges_and_opens_sessions(
    client: httpx.Client, django_client: httpx.Client, tenant: Tenant, pod: tuple[str, Issuer]
) -> None:
    app, issuer = pod
    key = str(tenant.key().id)
    token = issuer.token()
    bearer = {"Authorization": f"Bearer {token}"}
    opened = client.post(AUTH, headers=bearer)
    assert opened.json()["entity_id"] == app
    named = client.post(AUTH, auth=(app, token))
    assert named.json()["entity_id"] == app
    assert client.post(AUTH, auth=(str(tenant.app.id), token)).status_code == 401
    headers = [bearer, {"Authorization": f"Bearer {opened.json()['access_token']}"}]
    for http in (client, django_client):
        for header in headers:
            assert http.get("/sys/v1/apps", headers=header).json()[0]["app_id"] == app
        assert http.get("/sys/v1/apps", auth=(app, token)).json()[0]["app_id"] == app
        encrypted = http.post(f"/crypto/v1/keys/{key}/encrypt", json={"alg": "AES", "plain": "AA=="}, headers=bearer)
        assert encrypted.status_code == 200, encrypted.text


def test_a_token_is_verified_once_for_many_calls_and_again_when_its_app_changes(
    client: httpx.Client,
    admin: dict[str, str],
    pod: tuple[str, Issuer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from accounts import jwt_bearer

    verified: list[str] = []
    real = jwt_bearer._verified

    def counting(token: Any, key: Any) -> bool:
        verified.append(token.algorithm)
        return real(token, key)

    monkeypatch.setattr(jwt_bearer, "_verified", counting)
    app, issuer = pod
    header = {"Authorization": f"Bearer {issuer.token()}"}
    for _ in range(5):
        assert client.get(f"/sys/v1/apps/{app}", headers=header).status_code == 200
    assert len(verified) == 1
    client.patch(f"/sys/v1/apps/{app}", json={"description": "changed"}, headers=admin)
    assert client.get(f"/sys/v1/apps/{app}", headers=header).status_code == 200
    assert len(verified) == 2
    client.patch(f"/sys/v1/apps/{app}", json={"credential": {"secret": {}}}, headers=admin)
    assert client.get(f"/sys/v1/apps/{app}", headers=header).status_code == 401


def test_every_refused_token_answers_the_same(client: httpx.Client, pod: tuple[str, Issuer], tenant: Tenant) -> None:
    app, issuer = pod
    wrong = [
        issuer.token(aud="other"),
        issuer.token(sub="other"),
        issuer.token(iss="other"),
        issuer.token(exp=1),
        issuer.token(exp=10**18),
        issuer.token(sub="\0"),
        issuer.token(sub="\ud800"),
        issuer.token(iss="\ud800"),
        issuer.token(sub="x" * 10_000),
        by_hand(issuer.header(kid="\ud800\0"), issuer.claims(), rsa_key(), "RS256"),
        issuer.token() + "x",
        Issuer(issuer.subject, issuer.audience, algorithm="ES256").token(),
        "a.b.c",
        "..",
        f"{uuid4()}.{uuid4()}",
    ]
    answers = set()
    for token in wrong:
        for path, method in ((AUTH, "POST"), ("/sys/v1/apps", "GET")):
            for options in (
                {"headers": {"Authorization": f"Bearer {token}"}},
                {"auth": (app, token)},
                {"auth": (str(uuid4()), token)},
                {"auth": (str(tenant.app.id), token)},
            ):
                answer = client.request(method, path, **options)
                answers.add((answer.status_code, answer.text, answer.headers.get("www-authenticate")))
    assert len(answers) == 1
    assert next(iter(answers))[0] == 401


def test_the_record_of_a_refused_token_holds_nothing_of_it(client: httpx.Client, pod: tuple[str, Issuer]) -> None:
    app, issuer = pod
    token = issuer.token(aud="other")
    client.post(AUTH, auth=(app, token))
    entry = AuditRecord.objects.filter(action="session.create").latest("sequence")
    assert (entry.reason, entry.details["email"]) == ("jwt-audience", app)
    assert token.split(".")[1] not in str(entry.details)


def by_name(client: httpx.Client, account: Any, name: Any, password: Any) -> httpx.Response:
    body = {"method": "auth-by-app-name", "acct_id": account, "name": name, "password": password}
    return client.post(AUTH, json=body)


def test_an_app_logs_in_by_its_name(client: httpx.Client, admin: dict[str, str], tenant: Tenant) -> None:
    made = created(client, admin, tenant).json()
    secret = credential(client, admin, made["app_id"])["credential"]["secret"]
    account = str(tenant.account.id)
    opened = by_name(client, account, made["name"], secret)
    assert opened.json()["entity_id"] == made["app_id"]
    assert client.get("/sys/v1/apps", headers={"Authorization": f"Bearer {opened.json()['access_token']}"}).is_success
    certified = created(client, admin, tenant, credential={"certificate": text(leaf("app", None).der)}).json()
    disabled = created(client, admin, tenant, enabled=False).json()
    key = credential(client, admin, disabled["app_id"])["credential"]["secret"]
    answers = set()
    for where, name, password in (
        (account, made["name"], secret + "x"),
        (account, made["name"], ""),
        (account, unique("nobody"), secret),
        (account, made["name"].upper(), secret),
        (account, made["app_id"], secret),
        (str(uuid4()), made["name"], secret),
        (str(new_tenant().account.id), made["name"], secret),
        (account, certified["name"], ""),
        (account, certified["name"], secret),
        (account, disabled["name"], key + "x"),
    ):
        answer = by_name(client, where, name, password)
        answers.add((answer.status_code, answer.text))
    assert len(answers) == 1
    assert next(iter(answers))[0] == 401


@pytest.mark.parametrize("field", ["acct_id", "name", "password"])
@pytest.mark.parametrize("value", [None, 1, [], {}, True, "\ud800", "\0"])
def test_a_login_by_name_that_is_not_one_says_so(client: httpx.Client, field: str, value: Any) -> None:
    body = {"method": "auth-by-app-name", "acct_id": str(uuid4()), "name": "n", "password": "p", field: value}
    assert client.post(AUTH, content=json.dumps(body)).status_code == 400
