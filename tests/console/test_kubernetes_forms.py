"""What the forms of Kubernetes clusters refuse and where they say so, who sees clusters, and what is shown to copy."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from accounts import jwk as jwks
from accounts.models import App, KubernetesCluster
from k8s.webhook.annotations import wishes
from k8s.webhook.vocabulary import PREFIX
from kms.console.kubernetes import forms
from kms.console.kubernetes.examples import annotations_for, exemplary, token_command
from policies.guarded import AccountProtection
from policies.models import AccountPolicy, ApprovalRequest
from policies.permissions import Permission
from policies.stored import stored_tree
from tests.console.conftest import Site
from tests.console.test_sweeps import Client
from tests.kit.clusters import AUDIENCE, bind, new_cluster
from tests.kit.quorums import guard_group, users
from tests.kit.tenants import Tenant, new_tenant
from tests.kit.tokens import CLUSTER, ec_key, jwk

OWN = ec_key("secp384r1")
SETTINGS: Mapping[str, Any] = {
    "name": "production",
    "issuer": CLUSTER,
    "audience": AUDIENCE,
    "max_token_seconds": "3600",
    "keys_kind": "stored",
    "keys": json.dumps({"keys": [jwk(OWN, kid="own")]}),
    "enabled": "on",
}


@pytest.fixture
def tenant(installation: None) -> Tenant:
    return new_tenant()


@pytest.fixture
def alice(server: Site, tenant: Tenant) -> Iterator[Client]:
    client = Client(server, tenant.alice)
    yield client
    client.close()


def error_at(page: str, field: str) -> str:
    found = re.search(rf'id="id_{field}_error">.*?<span>(.*?)</span>', page, re.DOTALL)
    return "" if found is None else found[1]


def row_name(tenant: Tenant) -> str:
    return App.objects.get(id=tenant.app.id).name


WITHOUT_URL = {"keys_kind": "fetched", "keys": ""}
REFUSED = [
    ("name", {"name": ""}, "required"),
    ("issuer", {"issuer": "  "}, "printable"),
    ("audience", {"audience": CLUSTER}, "API server&#x27;s own"),
    ("audience", {"audience": "https://kubernetes.default.svc"}, "API server&#x27;s own"),
    ("max_token_seconds", {"max_token_seconds": "599"}, "600"),
    ("max_token_seconds", {"max_token_seconds": "86401"}, "86400"),
    ("max_token_seconds", {"max_token_seconds": "an hour"}, "number"),
    ("keys", {"keys": ""}, "needed"),
    ("keys", {"keys": "ssh-rsa AAAA"}, "not JSON"),
    ("keys", {"keys": "[" * 10_000}, "not JSON"),
    ("keys", {"keys": '{"issuer": "https://x"}'}, "no JWK Set"),
    ("keys", {"keys": '{"keys": ["one"]}'}, "no JWK Set"),
    ("keys", {"keys": '"keys"'}, "no JWK Set"),
    ("keys", {"keys": '{"keys": []}'}, "needed"),
    ("keys", {"keys": '{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}'}, "key 1"),
    ("keys", {"keys": json.dumps([jwk(OWN, kid="own"), {"kty": "EC", "kid": "other"}])}, "key 2"),
    ("keys_kind", {"keys_kind": "guessed"}, "valid choice"),
    ("keys_url", {**WITHOUT_URL}, "needed"),
    ("keys_url", {**WITHOUT_URL, "keys_url": "http://cluster.example/jwks"}, "https://"),
    ("keys_url", {**WITHOUT_URL, "keys_url": "https://127.0.0.1/jwks"}, "not an address that the server may call"),
    ("authorities", {**WITHOUT_URL, "keys_url": "https://c.example/jwks", "authorities": "x"}, "not a certificate"),
    ("cache_duration", {**WITHOUT_URL, "keys_url": "https://c.example/jwks", "cache_duration": "1"}, "seconds"),
    ("algorithms", {"algorithms": ["HS256"]}, "valid choice"),
]


@pytest.mark.parametrize(("field", "changed", "said"), REFUSED)
def test_a_setting_that_makes_no_sense_is_refused_at_its_field(
    field: str, changed: Mapping[str, Any], said: str, tenant: Tenant, alice: Client
) -> None:
    answer = alice.post("/kubernetes/new", {**SETTINGS, **changed})
    assert answer.status_code == 422
    assert said in error_at(answer.text, field)
    assert not KubernetesCluster.objects.filter(account=tenant.account).exists()


def test_the_settings_that_are_refused_one_by_one_are_taken_as_they_are(tenant: Tenant, alice: Client) -> None:
    assert alice.post("/kubernetes/new", dict(SETTINGS)).status_code == 303
    row = KubernetesCluster.objects.get(account=tenant.account)
    assert (row.issuer, row.audience, row.max_token_seconds, row.enabled) == (CLUSTER, AUDIENCE, 3600, True)
    assert row.algorithms == sorted(jwks.ALGORITHMS)
    answer = alice.post("/kubernetes/new", dict(SETTINGS))
    assert answer.status_code == 422
    assert "name" in error_at(answer.text, "name")


def test_every_algorithm_that_is_taken_can_be_chosen() -> None:
    assert set(forms.ALGORITHMS) == jwks.ALGORITHMS


@pytest.mark.parametrize(
    ("field", "changed"),
    [
        ("namespace", {"namespace": "*"}),
        ("namespace", {"namespace": "Shop"}),
        ("namespace", {"namespace": ""}),
        ("service_account", {"service_account": "pay*"}),
        ("service_account", {"service_account": "-x"}),
        ("service_account", {"service_account": ""}),
    ],
)
def test_a_binding_that_fits_nobody_is_refused_at_its_field(
    field: str, changed: Mapping[str, str], tenant: Tenant, alice: Client
) -> None:
    cluster = new_cluster(tenant)
    given = {"namespace": "shop", "service_account": "payments", "app": str(tenant.app.id), **changed}
    answer = alice.post(f"/kubernetes/{cluster.id}/bindings/new", given)
    assert answer.status_code == 422
    assert error_at(answer.text, field)
    assert not cluster.bindings.exists()


def test_a_binding_needs_an_app_of_the_account_and_is_made_once(tenant: Tenant, alice: Client) -> None:
    cluster = new_cluster(tenant)
    address = f"/kubernetes/{cluster.id}/bindings/new"
    given = {"namespace": "shop", "service_account": "*"}
    assert "Choose an app" in alice.post(address, given).text
    assert alice.post(address, {**given, "app": str(new_tenant().app.id)}).status_code == 422
    assert alice.post(address, {**given, "app_text": row_name(tenant)}).status_code == 303
    again = alice.post(address, {**given, "app": str(tenant.app.id)})
    assert again.status_code == 422
    assert "bound to this app already" in again.text
    assert cluster.bindings.count() == 1


def test_who_may_not_change_logins_is_told_so_and_sees_no_cluster(tenant: Tenant, server: Site) -> None:
    cluster = new_cluster(tenant)
    client = Client(server, tenant.member("member"))
    listed, shown = client.get("/kubernetes"), client.get(f"/kubernetes/{cluster.id}")
    client.close()
    assert (listed.status_code, shown.status_code) == (200, 404)
    assert "You may not change how people and pods log in" in listed.text
    assert cluster.name not in listed.text + shown.text


def test_a_binding_to_an_app_that_a_quorum_guards_asks_for_approval(tenant: Tenant, alice: Client) -> None:
    cluster = new_cluster(tenant)
    reviewers = users(2, [tenant.member("member").id, tenant.alice.id])
    guard_group(tenant.group, reviewers, [Permission.APP_SECRET_RESET])
    given = {"namespace": "shop", "service_account": "payments", "app": str(tenant.app.id)}
    answer = alice.post(f"/kubernetes/{cluster.id}/bindings/new", {**given, "approval_description": "The shop moved."})
    assert answer.status_code == 303
    asked = ApprovalRequest.objects.get(account=tenant.account)
    assert answer.headers["Location"] == f"/approvals/{asked.id}"
    shown = alice.get(f"/approvals/{asked.id}").text
    assert "Let the pods of a service account" in shown
    assert "The shop moved." in shown
    assert not cluster.bindings.exists()


def test_a_cluster_is_asked_for_where_a_quorum_guards_how_the_account_is_logged_in_to(
    tenant: Tenant, alice: Client
) -> None:
    tree = stored_tree(users(2, [tenant.member("member").id, tenant.alice.id]))
    chosen = AccountProtection(authentication=True)
    AccountPolicy.objects.create(
        account=tenant.account, quorum=tree, guarded=sorted(chosen.guarded()), protection=chosen.stored()
    )
    assert "A quorum guards how people and pods log in" in alice.get("/kubernetes").text
    assert "A quorum stands before this" in alice.get("/kubernetes/new").text
    answer = alice.post("/kubernetes/new", {**SETTINGS, "approval_description": "The shop moves."})
    asked = ApprovalRequest.objects.get(account=tenant.account)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/approvals/{asked.id}")
    assert "Let pods of the Kubernetes cluster production log in" in alice.get(f"/approvals/{asked.id}").text
    assert not KubernetesCluster.objects.filter(account=tenant.account).exists()


# -- many, and examples --------------------------------------------------------------------------------------------


def test_many_bindings_are_paged_and_searched(tenant: Tenant, alice: Client) -> None:
    cluster = new_cluster(tenant)
    for number in range(51):
        bind(tenant, cluster, f"team-{number:02}", "*" if number == 7 else "runner")
    first = alice.get(f"/kubernetes/{cluster.id}").text
    assert ("team-49" in first, "team-50" in first) == (True, False)
    assert "?offset=50" in first
    second = alice.get(f"/kubernetes/{cluster.id}?offset=50").text
    assert ("team-49" in second, "team-50" in second) == (False, True)
    found = alice.get(f"/kubernetes/{cluster.id}?q=m-5").text
    assert re.findall(r">(team-\d\d)<", found) == ["team-50"]
    assert "No binding has that" in alice.get(f"/kubernetes/{cluster.id}?q=nobody").text


BINDINGS = [
    {"namespace": "reports", "service_account": "*", "app_id": "11111111-1111-4111-8111-111111111111"},
    {"namespace": "shop", "service_account": "payments", "app_id": "11111111-1111-4111-8111-111111111111"},
    {"namespace": "shop", "service_account": "payments", "app_id": "22222222-2222-4222-8222-222222222222"},
]
ID = "5f0e9c1c-6a2b-4f2e-8a1f-0a7b1c2d3e4f"


@pytest.mark.parametrize("binding", [None, *BINDINGS], ids=["none", "any", "first", "second"])
def test_the_webhook_takes_the_annotations_as_they_are_shown(binding: Mapping[str, Any] | None) -> None:
    shown = yaml.safe_load(annotations_for(ID, binding, BINDINGS))
    told = shown["metadata"]["annotations"]
    assert all(name.startswith(PREFIX) for name in told)
    wished = wishes({name.removeprefix(PREFIX): value for name, value in told.items()})
    several = binding is not None and binding["namespace"] == "shop"
    assert str(wished.cluster) == ID
    assert (None if wished.app is None else str(wished.app)) == (binding["app_id"] if several and binding else None)
    (secret,) = wished.secrets
    assert (secret.path, secret.variable) == ("/keystead/secrets/db", "DB_PASSWORD")
    assert shown.get("spec") == ({"serviceAccountName": "payments"} if several else None)


def test_an_example_names_a_service_account_if_any_is_named() -> None:
    assert exemplary(BINDINGS) == BINDINGS[1]
    assert exemplary(BINDINGS[:1]) == BINDINGS[0]
    assert exemplary([]) is None
    assert "create token payments --namespace shop --audience 'an audience'" in token_command(
        "an audience", BINDINGS[1]
    )
