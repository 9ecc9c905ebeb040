"""Kubernetes clusters by way of the browser: added, bound, tried with tokens, switched off, changed, deleted."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from playwright.sync_api import Page, expect

from accounts.models import App, KubernetesBinding, KubernetesCluster
from kms.operations.executor import execute
from kms.operations.kubernetes_clusters import UpdateCluster
from tests.console.conftest import Site
from tests.console.looks import looked_at
from tests.kit.browser import Person
from tests.kit.certificates import authority
from tests.kit.clusters import AUDIENCE, bind, new_cluster, pod_issuer
from tests.kit.tenants import Tenant, new_tenant, unique
from tests.kit.tokens import CLUSTER, ec_key, jwk

Arrive = Callable[..., Person]
OWN = ec_key("secp384r1")
KEYS = json.dumps({"keys": [jwk(OWN, kid="own")]})


@pytest.fixture
def tenant(installation: None) -> Tenant:
    return new_tenant()


def log_in(site: Site, cluster: KubernetesCluster, token: str) -> httpx.Response:
    """As an agent in a pod does."""
    with httpx.Client(
        base_url=site.origin, verify=ssl.create_default_context(cafile=site.files.ca), timeout=30
    ) as client:
        return client.post(
            "/sys/v1/session/auth/kubernetes",
            json={"cluster_id": str(cluster.id)},
            headers={"Authorization": f"Bearer {token}"},
        )


def session_works(site: Site, token: str) -> bool:
    with httpx.Client(
        base_url=site.origin, verify=ssl.create_default_context(cafile=site.files.ca), timeout=30
    ) as client:
        answer = client.get("/crypto/v1/keys", headers={"Authorization": f"Bearer {token}"})
    return answer.status_code == 200


def tried(page: Page, token: str) -> str:
    page.get_by_role("textbox", name="Token").fill(token)
    page.get_by_role("button", name="Try it").click()
    page.wait_for_load_state()
    said = page.locator(".notice").last.inner_text()
    assert token not in page.content()
    assert "?" not in page.url
    return said


def test_a_cluster_is_added_bound_tried_disabled_and_deleted(tenant: Tenant, person: Arrive, server: Site) -> None:
    pods = pod_issuer("shop", "payments", key=OWN, kid="own", algorithm="ES384")
    visitor, name = person(tenant.alice), unique("production")
    page = visitor.open("/kubernetes")
    page.get_by_role("link", name="New cluster").first.click()
    page.get_by_label("Name").fill(name)
    page.get_by_label("Issuer").fill(CLUSTER)
    page.get_by_label("Audience").fill(AUDIENCE)
    page.get_by_label("Public keys").fill(KEYS)
    page.get_by_role("button", name="Add the cluster").click()
    expect(page.get_by_text("Nobody comes in yet")).to_be_visible()
    cluster = KubernetesCluster.objects.get(account=tenant.account, name=name)

    page.get_by_role("link", name="New binding").click()
    page.get_by_label("Namespace").fill("shop")
    page.get_by_label("Service account").fill("payments")
    page.locator('input[name="app_text"]').fill(row_name(tenant))
    page.get_by_role("radio", name=row_name(tenant)).check()
    page.get_by_role("button", name="Bind it").click()
    expect(page.locator("pre")).to_contain_text("serviceAccountName: payments")
    binding = KubernetesBinding.objects.get(cluster=cluster)
    assert (binding.namespace, binding.service_account, binding.app_id) == ("shop", "payments", tenant.app.id)

    page.get_by_role("link", name="Try a token").click()
    good = pods.token()
    for token, said in (
        (pods.token(aud=["https://elsewhere.example"]), f"audience (aud) is not {AUDIENCE}"),
        (pod_issuer("shop", "payments").token(), "No key of the cluster has signed the token"),
        (pod_issuer("shop", "other", key=OWN, kid="own", algorithm="ES384").token(), "No binding of the cluster"),
        (pods.token(exp=1_700_000_000), "has expired"),
        ("not a token", "no JWT"),
        (good, f"would get in. Its pod would be the app {row_name(tenant)}"),
    ):
        assert said in tried(page, token)
    expect(page.get_by_text("payments-7d9f")).to_be_visible()

    opened = log_in(server, cluster, good).json()["access_token"]
    assert session_works(server, opened)
    visitor.open(f"/kubernetes/{cluster.id}/bindings/{binding.id}")
    expect(page.get_by_role("link", name="shop/payments-7d9f")).to_be_visible()
    stranger = pod_issuer("shop", "other", "crawler-1", key=OWN, kid="own", algorithm="ES384")
    assert log_in(server, cluster, stranger.token()).status_code == 401
    visitor.open(f"/kubernetes/{cluster.id}")
    expect(page.get_by_role("link", name="shop/crawler-1")).to_be_visible()
    page.get_by_role("button", name="Disable the cluster").click()
    expect(page.get_by_text("none of its pods comes in")).to_be_visible()
    assert not session_works(server, opened)
    assert log_in(server, cluster, good).status_code == 401
    page.get_by_role("link", name="Try a token").click()
    assert "The cluster is disabled" in tried(page, good)
    visitor.open(f"/kubernetes/{cluster.id}")
    page.get_by_role("button", name="Enable the cluster").click()
    expect(page.get_by_role("button", name="Disable the cluster")).to_be_visible()
    assert log_in(server, cluster, good).status_code == 200

    page.locator("tbody th a").click()
    page.locator("summary", has_text="Remove…").click()
    page.get_by_role("button", name="Remove it now").click()
    expect(page.get_by_text("Nobody comes in yet")).to_be_visible()
    assert not KubernetesBinding.objects.filter(cluster=cluster).exists()

    page.get_by_role("link", name="Delete…").click()
    page.get_by_label(f"Type {name} to confirm").fill("something else")
    page.get_by_role("button", name="Delete the cluster").click()
    expect(page.get_by_text("exactly as it is")).to_be_visible()
    page.get_by_label(f"Type {name} to confirm").fill(name)
    page.get_by_role("button", name="Delete the cluster").click()
    expect(page.get_by_text("No clusters yet")).to_be_visible()
    assert not KubernetesCluster.objects.filter(id=cluster.id).exists()
    visitor.at_ease()


def test_what_no_address_alone_leads_to_looks_right(tenant: Tenant, person: Arrive, server: Site, axe: str) -> None:
    """No cluster yet; a verdict; a disabled cluster that refused a pod."""
    visitor = person(tenant.alice)
    looked_at(visitor.open("/kubernetes"), axe, "kubernetes-none")
    cluster = new_cluster(tenant, enabled=False)
    log_in(server, cluster, pod_issuer().token())
    looked_at(visitor.open(f"/kubernetes/{cluster.id}"), axe, "kubernetes-cluster-disabled")
    page = visitor.open(f"/kubernetes/{cluster.id}/token")
    assert "disabled" in tried(page, pod_issuer().token())
    looked_at(page, axe, "kubernetes-token-refused")
    execute(tenant.alice, UpdateCluster(cluster.id, enabled=True))
    bind(tenant, cluster, "shop", "payments")
    assert "would get in" in tried(page, pod_issuer().token())
    looked_at(page, axe, "kubernetes-token-accepted")
    visitor.at_ease()


def row_name(tenant: Tenant) -> str:
    return App.objects.get(id=tenant.app.id).name


def test_keys_are_changed_from_pasted_to_fetched_and_pods_come_in_again(
    tenant: Tenant, person: Arrive, axe: str
) -> None:
    cluster = new_cluster(tenant)
    visitor = person(tenant.alice)
    page = visitor.open(f"/kubernetes/{cluster.id}/edit")
    page.get_by_label("Description").fill("Runs the shop.")
    page.get_by_role("button", name="Save").click()
    page.wait_for_url(f"**/kubernetes/{cluster.id}")
    same = KubernetesCluster.objects.get(id=cluster.id)
    assert (same.description, same.trust_version, same.keys) == ("Runs the shop.", cluster.trust_version, cluster.keys)

    visitor.open(f"/kubernetes/{cluster.id}/edit")
    page.get_by_label("The cluster's keys").select_option("fetched")
    page.get_by_label("Address of the keys").fill("http://cluster.example/openid/v1/jwks")
    looked_at(page, axe, "edit-kubernetes-cluster-fetched")
    page.get_by_role("button", name="Save").click()
    assert "must start with https://" in page.locator("#id_keys_url_error").inner_text()
    page.get_by_label("Address of the keys").fill("https://cluster.example/openid/v1/jwks")
    ca = authority("Cluster CA")
    page.get_by_label("Certificate authorities").fill(ca.certificate.public_bytes(Encoding.PEM).decode())
    page.get_by_role("button", name="Save").click()
    page.wait_for_url(f"**/kubernetes/{cluster.id}")
    changed = KubernetesCluster.objects.get(id=cluster.id)
    assert changed.keys["url"] == "https://cluster.example/openid/v1/jwks"
    assert changed.trust_version == cluster.trust_version + 1

    visitor.open(f"/kubernetes/{cluster.id}/edit")
    page.get_by_role("button", name="Save").click()
    page.wait_for_url(f"**/kubernetes/{cluster.id}")
    assert KubernetesCluster.objects.get(id=cluster.id).trust_version == changed.trust_version
    visitor.at_ease()


def test_what_somebody_changed_meanwhile_is_not_written_over(tenant: Tenant, person: Arrive) -> None:
    cluster = new_cluster(tenant)
    visitor = person(tenant.alice)
    page = visitor.open(f"/kubernetes/{cluster.id}/edit")
    page.get_by_label("Description").fill("typed by me")
    execute(tenant.alice, UpdateCluster(cluster.id, max_token_seconds=1200))
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Somebody changed this")).to_be_visible()
    assert KubernetesCluster.objects.get(id=cluster.id).description == ""
    assert page.get_by_label("Description").input_value() == "typed by me"
    visitor.at_ease()
