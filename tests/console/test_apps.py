"""Apps in a browser: made, given permissions, their keys shown once and replaced, their tokens tried."""

from __future__ import annotations

import base64
import re
import ssl
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from playwright.sync_api import expect

import accounts
from accounts.models import App, Session
from kms.api.wire.names import APP_PERMISSIONS
from kms.audit.models import AuditRecord
from kms.console.apps.permissions import SENTENCES
from kms.console.apps.tokens import REASONS
from tests.console.conftest import Site
from tests.console.looks import looked_at
from tests.kit.browser import Person
from tests.kit.tenants import Tenant, new_tenant, unique
from tests.kit.tokens import Issuer, rsa_key, spki

Arrive = Callable[..., Person]


@pytest.fixture
def tenant(installation: None) -> Tenant:
    return new_tenant()


def status_of(site: Site, key: str) -> int:
    """What the API answers to this key."""
    with httpx.Client(
        base_url=site.origin, verify=ssl.create_default_context(cafile=site.files.ca), timeout=30
    ) as client:
        return client.get("/crypto/v1/keys", headers={"Authorization": f"Basic {key}"}).status_code


def row_of(tenant: Tenant, name: str) -> App:
    return App.objects.get(account=tenant.account, name=name)


def test_every_permission_has_its_sentence() -> None:
    assert set(SENTENCES) == set(APP_PERMISSIONS)


def test_an_app_is_made_and_its_key_works_until_there_is_a_new_one(
    tenant: Tenant, person: Arrive, server: Site, axe: str
) -> None:
    visitor, name = person(tenant.alice), unique("shop")
    page = visitor.open("/apps/new")
    page.get_by_role("textbox", name="Name", exact=True).fill(name)
    page.get_by_role("radio", name=tenant.group.name).check()
    page.get_by_role("button", name="Sign and verify").click()
    page.get_by_role("button", name="Make the app").click()
    first = page.locator(".once pre").inner_text()
    looked_at(page, axe, "app-key")
    assert status_of(server, first) == 200
    assert "key" not in page.url
    assert {str(each) for each in row_of(tenant, name).group_memberships.get().permissions} == {
        "object.sign",
        "object.verify",
    }
    for snippet in ("curl -H", "sdkms-cli app-login", "import sdkms.v1"):
        expect(page.get_by_text(snippet)).to_be_visible()
    page.get_by_role("button", name="Hide now").click()
    assert first not in page.content()
    page.get_by_role("link", name="To the app").click()
    assert first not in page.content()
    page.get_by_role("link", name="New API key").click()
    page.get_by_role("button", name="Make a new key").click()
    second = page.locator(".once pre").inner_text()
    assert second != first
    assert (status_of(server, first), status_of(server, second)) == (401, 200)
    visitor.at_ease()


def test_a_replaced_key_keeps_working_for_its_grace(tenant: Tenant, person: Arrive, server: Site) -> None:
    key = base64.b64encode(":".join(tenant.api_key()).encode()).decode()
    visitor = person(tenant.alice)
    page = visitor.open(f"/apps/{tenant.app.id}/regenerate")
    page.get_by_label("The old credential still works for").select_option("86400")
    page.get_by_role("button", name="Make a new key").click()
    expect(page.get_by_text("The key before it still works until")).to_be_visible()
    assert status_of(server, key) == 200
    visitor.at_ease()


def test_showing_a_key_takes_a_press_and_is_recorded(tenant: Tenant, person: Arrive) -> None:
    key = base64.b64encode(":".join(tenant.api_key()).encode()).decode()
    visitor = person(tenant.alice)
    entries = AuditRecord.objects.filter(account_id=tenant.account.id, action="app.read-secret")
    before = entries.count()
    page = visitor.open(f"/apps/{tenant.app.id}/credential")
    assert key not in page.content()
    assert entries.count() == before
    page.get_by_role("button", name="Show it and record it").click()
    expect(page.locator(".once pre")).to_have_text(key)
    assert entries.count() == before + 1
    visitor.at_ease()


def test_an_app_is_changed_limited_and_a_change_meanwhile_is_told(tenant: Tenant, person: Arrive) -> None:
    visitor = person(tenant.alice)
    page = visitor.open(f"/apps/{tenant.app.id}/edit")
    page.get_by_label("Client addresses").fill("10.2.0.0/16\nnot an address")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#id_addresses_error")).to_be_visible()
    page.get_by_label("Client addresses").fill("10.2.0.0/16")
    page.get_by_label("Calls a second").fill("50")
    App.objects.filter(pk=tenant.app.id).update(description="changed by somebody else")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Somebody changed this app")).to_be_visible()
    assert page.get_by_label("Client addresses").input_value().strip() == "10.2.0.0/16"
    page.get_by_label("Enabled").uncheck()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("50 calls a second")).to_be_visible()
    row = App.objects.get(pk=tenant.app.id)
    assert (row.enabled, row.ip_ranges, row.rate_limit) == (False, ["10.2.0.0/16"], 50)
    visitor.at_ease()


def test_permissions_are_given_and_taken_in_groups(tenant: Tenant, person: Arrive) -> None:
    other = tenant.new_group()
    visitor = person(tenant.alice)
    page = visitor.open(f"/apps/{tenant.app.id}/group")
    page.locator('input[name="group_text"]').fill(other.name)
    page.get_by_role("radio", name=other.name).check()
    page.get_by_role("button", name="Add it").click()
    expect(page.get_by_role("link", name=other.name, exact=True)).to_be_visible()
    page.goto(f"/apps/{tenant.app.id}/group?group={other.id}")
    page.get_by_role("button", name="Read secrets").click()
    page.get_by_role("button", name="Save the permissions").click()
    expect(page.get_by_text("Export keys: take them out in the clear")).to_be_visible()
    row = App.objects.get(pk=tenant.app.id)
    assert list(row.group_memberships.get(group=other).permissions) == ["object.export"]
    page.goto(f"/apps/{tenant.app.id}/group?group={other.id}")
    page.get_by_role("button", name="Take it out of the group").click()
    expect(page.get_by_role("link", name=other.name, exact=True)).to_have_count(0)
    visitor.at_ease()


def test_tokens_are_set_up_and_tried(tenant: Tenant, person: Arrive, server: Site) -> None:
    visitor = person(tenant.alice)
    page = visitor.open(f"/apps/{tenant.app.id}/method")
    page.get_by_label("Signed token").check()
    page.get_by_label("Issuers").fill("https://cluster.example")
    page.get_by_label("Audiences").fill("keystead")
    page.get_by_label("Subjects").fill("system:serviceaccount:shop:*")
    page.get_by_label("The issuer's keys").select_option("stored")
    page.get_by_label("Public key, as PEM").fill(_pem())
    page.get_by_role("button", name="Replace the credential").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Try a token")
    issuer = Issuer("system:serviceaccount:shop:payments", "keystead", name="https://cluster.example")
    for token, said in (
        (issuer.token(), "The token is taken"),
        (issuer.token(aud="elsewhere"), "another audience"),
        (issuer.token(sub="system:serviceaccount:crm:payments"), "The subject is not one"),
        (issuer.token(exp=1_700_000_000), "expired"),
        (issuer.token()[:-8] + "AAAAAAAA", "verifies the signature"),
        ("not a token", "not a signed token"),
    ):
        page.get_by_role("textbox", name="Token").fill(token)
        page.get_by_role("button", name="Try it").click()
        expect(page.locator(".notice").first).to_contain_text(said)
        assert token not in page.content()
    (session,) = Session.objects.filter(app_id=tenant.app.id)
    assert session.terminated_at is not None
    visitor.at_ease()


def _pem() -> str:
    return spki(rsa_key(), Encoding.PEM).decode()


def test_what_is_wrong_with_a_token_has_a_sentence_for_each_of_the_records_codes() -> None:
    folder = Path(accounts.__file__).parent
    text = "".join((folder / name).read_text() for name in ("jwt_bearer.py", "app_tokens.py"))
    assert set(re.findall(r'"(jwt-[a-z-]+)"', text)) - {"jwt-outside-login"} <= set(REASONS)


def test_an_app_is_found_and_deleted_by_its_typed_name(tenant: Tenant, person: Arrive) -> None:
    name = row_name(tenant.new_app().id)
    visitor = person(tenant.alice)
    page = visitor.open("/apps")
    page.get_by_label("Search", exact=True).fill(name[4:])
    expect(page.locator("#app-rows tbody tr")).to_have_count(1)
    assert "q=" in page.url
    page.get_by_role("link", name=name).click()
    page.locator("summary", has_text="More").click()
    page.get_by_role("link", name="Delete").click()
    page.get_by_role("button", name="Delete the app").click()
    expect(page.get_by_text("That is not its name")).to_be_visible()
    page.get_by_label(f"Type {name} to confirm").fill(name)
    page.get_by_role("button", name="Delete the app").click()
    expect(page.locator("#toasts")).to_contain_text(name)
    assert not App.objects.filter(name=name).exists()
    visitor.at_ease()


def row_name(app: UUID) -> str:
    return App.objects.get(pk=app).name


@pytest.mark.parametrize("path", ["", "/edit", "/group", "/credential", "/regenerate", "/method", "/token", "/delete"])
def test_another_accounts_app_is_not_there(path: str, tenant: Tenant, person: Arrive) -> None:
    visitor = person(new_tenant().alice)
    answer = visitor.page.goto(f"/apps/{tenant.app.id}{path}")
    assert answer is not None
    assert answer.status == 404
