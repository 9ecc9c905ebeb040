"""An app's addresses: whatever it proves itself by, at whichever edge, it is let in from them or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from accounts.models import Session
from accounts.principal import Principal
from kms.audit.models import AuditRecord
from kms.config import values
from kms.operations.app_credentials import Replacement
from kms.operations.app_trust import NewSecret, PinnedCertificate, SignedTokens, StoredKeys, own_audiences
from kms.operations.apps import UpdateApp
from kms.operations.executor import execute
from tests.api.test_bad_input import basic, plain_error
from tests.kit.certificates import leaf
from tests.kit.tenants import Tenant, unique
from tests.kit.tokens import CLUSTER, Issuer, rsa_key, spki

AUTH, CERTIFICATE = "/sys/v1/session/auth", "X-SSL-Client-Cert"
INSIDE, OUTSIDE = "203.0.113.9", "198.51.100.1"
RANGES = ("203.0.113.0/24",)
PINNED = leaf("listed", None)
Headers = dict[str, str]


@pytest.fixture(autouse=True)
def behind_a_proxy(settings: Any) -> None:
    """So that a test can call from anywhere."""
    settings.KEYSTEAD = replace(
        settings.KEYSTEAD,
        trusted_proxies=values.networks("127.0.0.1"),
        client_certificate_header=values.header_name(CERTIFICATE),
    )


@dataclass(frozen=True)
class Proof:
    """What an app logs in with, and the other ways to call with it, without a session."""

    app: Principal
    login: Headers
    direct: tuple[Headers, ...] = ()


def by_secret(house: Tenant) -> Proof:
    app = house.new_app(credential=Replacement(NewSecret()))
    proof = {"Authorization": basic(*house.api_key(app))}
    return Proof(app, proof, (proof,))


def by_token(house: Tenant) -> Proof:
    subject = unique("system:serviceaccount:shop:payments")
    keys = StoredKeys({"key-1": spki(rsa_key())})
    app = house.new_app(credential=Replacement(SignedTokens((CLUSTER,), keys, subjects=(subject,))))
    token = Issuer(subject, own_audiences(house.account.id)[0]).token()
    bearer, named = {"Authorization": f"Bearer {token}"}, {"Authorization": basic(str(app.id), token)}
    return Proof(app, named, (bearer, named))


def by_certificate(house: Tenant) -> Proof:
    app = house.new_app(credential=Replacement(PinnedCertificate(PINNED.der)))
    return Proof(app, {"Authorization": basic(str(app.id), ""), CERTIFICATE: quote(PINNED.pem)})


PROOFS: dict[str, Callable[[Tenant], Proof]] = {
    "API key": by_secret,
    "signed token": by_token,
    "certificate": by_certificate,
}


def sent_from(address: str, headers: Headers) -> Headers:
    return {**headers, "X-Forwarded-For": address}


def calls(client: httpx.Client, house: Tenant, headers: Headers) -> Iterator[httpx.Response]:
    """At Django's edge, at the lean one, of one object, and many in one."""
    key = {"kid": str(house.key().id)}
    plain = {"key": key, "alg": "AES", "mode": "GCM", "plain": "YWJj"}
    yield client.get("/crypto/v1/keys", headers=headers)
    yield client.post("/crypto/v1/encrypt", json=plain, headers=headers)
    yield client.get("/sys/v1/apps/client_configs", headers=headers)
    batch = {"SingleItem": {"method": "GET", "operation": "/crypto/v1/keys"}}
    yield client.post("/batch/v1", json=batch, headers=headers)


def statuses(client: httpx.Client, house: Tenant, headers: Headers) -> set[int]:
    return {answer.status_code for answer in calls(client, house, headers)}


def session(client: httpx.Client, proof: Proof, address: str) -> httpx.Response:
    return client.post(AUTH, headers=sent_from(address, proof.login))


def bound(proof: Proof, answer: httpx.Response) -> Headers:
    """The session's token, with the certificate that it is bound to, if any."""
    shown = {name: value for name, value in proof.login.items() if name == CERTIFICATE}
    return {**shown, "Authorization": f"Bearer {answer.json()['access_token']}"}


@pytest.mark.parametrize("make", PROOFS.values(), ids=PROOFS)
def test_an_app_comes_in_from_its_addresses_and_from_no_other(
    make: Callable[[Tenant], Proof], house: Tenant, client: httpx.Client
) -> None:
    proof = make(house)
    anywhere = session(client, proof, OUTSIDE)
    assert anywhere.status_code == 200, anywhere.text
    older = bound(proof, anywhere)
    assert statuses(client, house, sent_from(OUTSIDE, older)) == {200}
    execute(house.alice, UpdateApp(proof.app.id, ip_ranges=RANGES))
    sessions = Session.objects.filter(app=proof.app.id)
    before = sessions.count()
    assert "may not call from this address" in plain_error(session(client, proof, OUTSIDE), 403)
    assert sessions.count() == before
    refused = AuditRecord.objects.filter(account_id=house.account.id, action="session.create").latest("sequence")
    assert (refused.outcome, refused.reason) == ("denied", "address-not-allowed")
    fresh = bound(proof, session(client, proof, INSIDE))
    for credential in (older, fresh, *proof.direct):
        assert statuses(client, house, sent_from(INSIDE, credential)) == {200}
        assert statuses(client, house, sent_from(OUTSIDE, credential)) == {403}
    for path in ("/sys/v1/session/refresh", "/sys/v1/session/reauth"):
        assert client.post(path, headers=sent_from(OUTSIDE, fresh)).status_code == 403, path
    execute(house.alice, UpdateApp(proof.app.id, ip_ranges=()))
    assert statuses(client, house, sent_from(OUTSIDE, fresh)) == {200}


@pytest.mark.parametrize(("ranges", "address", "status"), [
    (("203.0.113.9/32",), "203.0.113.9", 200),
    (("203.0.113.9/32",), "203.0.113.8", 403),
    (("198.51.100.0/25", "203.0.113.0/24"), "203.0.113.255", 200),
    (("198.51.100.0/25", "203.0.113.0/24"), "198.51.100.128", 403),
    (("2001:db8::/32",), "2001:db8::7", 200),
    (("2001:db8::/32",), "2001:db9::7", 403),
    (("2001:db8::/32",), "203.0.113.9", 403),
    (("203.0.113.0/24",), "::ffff:203.0.113.9", 200),
    (("0.0.0.0/0",), "2001:db8::7", 403),
])  # fmt: skip
def test_ranges_are_taken_by_their_last_bit(
    ranges: tuple[str, ...], address: str, status: int, house: Tenant, client: httpx.Client
) -> None:
    app = house.new_app(ip_ranges=ranges)
    headers = {"Authorization": basic(*house.api_key(app)), "X-Forwarded-For": address}
    assert client.get("/crypto/v1/keys", headers=headers).status_code == status
