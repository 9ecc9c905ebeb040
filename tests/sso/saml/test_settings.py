"""A SAML provider as an administrator sets it up over HTTP: by the vendor's auth_config, and by our own route."""

from __future__ import annotations

import httpx
import pytest

from accounts.models import IdentityProvider, User
from tests.kit.tenants import PASSWORD, Tenant
from tests.sso.saml.peer import MEMBER_OF, SamlPeer
from tests.sso.saml.test_provider import person

ROUTE = "/sys/v1/identity_providers"


@pytest.fixture
def member(tenant: Tenant) -> User:
    tenant.member("member")
    return tenant.users["member"]


@pytest.fixture
def administrator(tenant: Tenant, client: httpx.Client) -> dict[str, str]:
    user = tenant.users["administrator"]
    token = client.post("/sys/v1/session/auth", auth=(user.email, PASSWORD)).json()["access_token"]
    bearer = {"Authorization": f"Bearer {token}"}
    account = {"acct_id": str(tenant.account.id)}
    assert client.post("/sys/v1/session/select_account", json=account, headers=bearer).status_code == 200
    return bearer


def test_the_vendors_setting_is_the_metadata_and_is_read_back_as_it_was_given(
    tenant: Tenant, member: User, administrator: dict[str, str], peer: SamlPeer, client: httpx.Client
) -> None:
    path, password = f"/sys/v1/accounts/{tenant.account.id}", {"require_2fa": False, "administrators_only": True}
    change = {"auth_config": {"password": password, "saml": peer.metadata()}}
    answer = client.patch(path, json=change, headers=administrator)
    assert answer.status_code == 200, answer.text
    assert client.get(path, headers=administrator).json()["auth_config"]["saml"] == peer.metadata()
    peer.people(ada={"name": member.email, "attributes": {}})
    assert peer.sign_on(tenant, "ada").status_code == 200


def test_metadata_that_is_none_is_refused_and_changes_nothing(
    tenant: Tenant, administrator: dict[str, str], client: httpx.Client
) -> None:
    path = f"/sys/v1/accounts/{tenant.account.id}"
    answer = client.patch(path, json={"auth_config": {"saml": "<canary/>"}}, headers=administrator)
    assert answer.status_code == 400
    assert answer.text.startswith("metadata: ")
    assert "canary" not in answer.text
    assert not IdentityProvider.objects.filter(account=tenant.account).exists()


def test_our_route_says_which_attributes_mean_what_and_the_vendors_leaves_them(
    tenant: Tenant, member: User, administrator: dict[str, str], peer: SamlPeer, client: httpx.Client
) -> None:
    config = {"metadata": peer.metadata(), "groups_attribute": MEMBER_OF}
    body = {"kind": "saml", "name": "Directory", "config": config}
    answer = client.post(ROUTE, json=body, headers=administrator)
    assert answer.status_code in (200, 201), answer.text
    path = f"/sys/v1/accounts/{tenant.account.id}"
    change = {
        "auth_config": {"password": {"require_2fa": False, "administrators_only": False}, "saml": peer.metadata()}
    }
    assert client.patch(path, json=change, headers=administrator).status_code == 200
    row = IdentityProvider.objects.get(account=tenant.account)
    assert (row.name, row.config["groups_attribute"]) == ("Directory", MEMBER_OF)
    peer.people(ada=person(member.email))
    assert peer.sign_on(tenant, "ada").status_code == 401, "its name is no address, and no attribute says one"
