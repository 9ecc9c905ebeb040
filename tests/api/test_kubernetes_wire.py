"""Clusters, bindings and the login of pods over HTTP: shapes, defaults, and refusals that tell the caller nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.api.test_bad_input import login, plain_error
from tests.kit.clusters import AUDIENCE, pod_issuer
from tests.kit.tenants import Tenant, new_tenant, unique
from tests.kit.tokens import CLUSTER, jwk, rsa_key

PATH = "/sys/v1/kubernetes/clusters"
LOGIN = "/sys/v1/session/auth/kubernetes"
KEY = jwk(rsa_key(), kid="key-1")
POD = pod_issuer()


@pytest.fixture(scope="module")
def tenant(installation: None) -> Tenant:
    return new_tenant()


@pytest.fixture(scope="module")
def admin(client: httpx.Client, tenant: Tenant) -> dict[str, str]:
    return login(client, tenant.users["administrator"].email, tenant)


@pytest.fixture(scope="module")
def cluster(client: httpx.Client, admin: dict[str, str], tenant: Tenant) -> str:
    made = created(client, admin)
    body = {"namespace": "shop", "service_account": "payments", "app_id": str(tenant.app.id)}
    bound = client.post(f"{PATH}/{made}/bindings", json=body, headers=admin)
    assert bound.status_code == 201, bound.text
    return made


def body_of(**fields: Any) -> dict[str, Any]:
    body = {"name": unique("cluster"), "issuer": CLUSTER, "audience": AUDIENCE, "jwks": {"keys": [KEY]}, **fields}
    return {name: value for name, value in body.items() if value is not None}


def created(client: httpx.Client, admin: dict[str, str], **fields: Any) -> str:
    answer = client.post(PATH, json=body_of(**fields), headers=admin)
    assert answer.status_code == 201, answer.text
    made: str = answer.json()["cluster_id"]
    return made


def log_in(client: httpx.Client, cluster: str, token: str | None = None, **body: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token or POD.token()}"}
    return client.post(LOGIN, json={"cluster_id": cluster, **body}, headers=headers)


def test_a_cluster_comes_back_as_it_was_given(client: httpx.Client, admin: dict[str, str], tenant: Tenant) -> None:
    given = body_of(algorithms=["RS256"], max_token_seconds=900, description="d", enabled=False)
    made = client.post(PATH, json=given, headers=admin).json()
    assert {name: made[name] for name in given} == given
    assert made["acct_id"] == str(tenant.account.id)
    assert client.get(f"{PATH}/{made['cluster_id']}", headers=admin).json() == made
    assert made in client.get(PATH, headers=admin).json()
    changed = client.patch(f"{PATH}/{made['cluster_id']}", json={"enabled": True}, headers=admin).json()
    assert changed == {**made, "enabled": True}
    assert client.delete(f"{PATH}/{made['cluster_id']}", headers=admin).status_code == 204
    plain_error(client.get(f"{PATH}/{made['cluster_id']}", headers=admin), 404)


def test_keys_at_an_address_have_their_shape(client: httpx.Client, admin: dict[str, str]) -> None:
    jwks = {"url": "https://k8s.example/openid/v1/jwks", "cache_duration": 60}
    made = client.get(f"{PATH}/{created(client, admin, jwks=jwks)}", headers=admin).json()
    assert made["jwks"] == jwks
    for wrong in ({}, {**jwks, "keys": [KEY]}, {"keys": [KEY], "cache_duration": 60}, {"cache_duration": 60}):
        answer = client.post(PATH, json=body_of(jwks=wrong), headers=admin)
        assert "jwks is {keys} or {url" in plain_error(answer, 400)


def test_bindings_are_listed_read_and_taken_away(client: httpx.Client, admin: dict[str, str], tenant: Tenant) -> None:
    bindings = f"{PATH}/{created(client, admin)}/bindings"
    body = {"namespace": "shop", "service_account": "*", "app_id": str(tenant.app.id)}
    made = client.post(bindings, json=body, headers=admin).json()
    assert {name: made[name] for name in body} == body
    one = f"{bindings}/{made['binding_id']}"
    assert client.get(one, headers=admin).json() == made
    assert client.get(bindings, headers=admin).json() == [made]
    assert client.delete(one, headers=admin).status_code == 204
    assert client.get(bindings, headers=admin).json() == []


def test_a_pods_token_is_traded_for_a_session(client: httpx.Client, cluster: str, tenant: Tenant) -> None:
    answer = log_in(client, cluster)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["token_type"], body["entity_id"]) == ("Bearer", str(tenant.app.id))
    assert 0 < body["expires_in"] <= 600
    bearer = {"Authorization": f"Bearer {body['access_token']}"}
    assert client.get(f"/sys/v1/apps/{tenant.app.id}", headers=bearer).status_code == 200
    assert client.post("/sys/v1/session/terminate", headers=bearer).status_code == 204
    assert client.get(f"/sys/v1/apps/{tenant.app.id}", headers=bearer).status_code == 401


def refused(cluster: str, disabled: str) -> Iterator[tuple[str, str]]:
    yield str(uuid4()), POD.token()
    yield disabled, POD.token()
    yield cluster, pod_issuer(algorithm="ES256").token()
    yield cluster, pod_issuer("other").token()
    for claim, value in {"iss": "x", "aud": "x", "exp": 1, "sub": "x", "iat": None, "kubernetes.io": None}.items():
        yield cluster, POD.token(**{claim: value})
    yield cluster, "a.b.c"
    yield cluster, "x" * 64


def test_every_refusal_is_the_same_answer(client: httpx.Client, admin: dict[str, str], cluster: str) -> None:
    answers = [log_in(client, *each) for each in refused(cluster, created(client, admin, enabled=False))]
    assert len(answers) > 10
    told = {(each.status_code, each.text, each.headers["www-authenticate"]) for each in answers}
    assert len(told) == 1
    assert "Invalid credentials" in plain_error(answers[0], 401)


def test_the_token_is_no_credential_anywhere_else(client: httpx.Client, cluster: str, tenant: Tenant) -> None:
    headers = {"Authorization": f"Bearer {POD.token()}"}
    for path in (f"/sys/v1/apps/{tenant.app.id}", PATH, f"{PATH}/{cluster}"):
        plain_error(client.get(path, headers=headers), 401)
    plain_error(client.post("/sys/v1/session/auth", headers=headers), 401)


@pytest.mark.parametrize("header", [None, "Basic YTpi", "Bearer", "Digest x"])
def test_a_login_without_a_token_is_refused(header: str | None, client: httpx.Client, cluster: str) -> None:
    headers = {} if header is None else {"Authorization": header}
    plain_error(client.post(LOGIN, json={"cluster_id": cluster}, headers=headers), 401)


@pytest.mark.parametrize("body", [{}, {"cluster_id": "x"}, {"cluster_id": 1}, {"cluster": "x"}, []])
def test_a_login_of_another_shape_is_a_400(body: Any, client: httpx.Client) -> None:
    plain_error(client.post(LOGIN, json=body, headers={"Authorization": f"Bearer {POD.token()}"}), 400)


def test_the_trial_says_who_or_why_not(
    client: httpx.Client, admin: dict[str, str], cluster: str, tenant: Tenant
) -> None:
    trial = f"{PATH}/{cluster}/test"
    found = client.post(trial, json={"token": POD.token()}, headers=admin).json()
    pod = {"namespace": "shop", "service_account": "payments", "name": "payments-7d9f", "node": "node-1"}
    uid = POD.more["kubernetes.io"]["pod"]["uid"]
    assert found == {"accepted": True, "app_id": str(tenant.app.id), "pod": {**pod, "uid": uid}}
    token = POD.token(aud="other")
    answer = client.post(trial, json={"token": token}, headers=admin)
    assert (answer.json()["accepted"], answer.json()["reason"]) == (False, "jwt-audience")
    assert AUDIENCE in answer.json()["message"]
    assert token not in answer.text
