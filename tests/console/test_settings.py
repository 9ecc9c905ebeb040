"""The settings: providers are tried before they are kept, receivers of the log are tested, policies hold, nobody is
locked out, and the state of the server is told as it is.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from playwright.sync_api import Page

from accounts import sessions
from accounts.clock import clock
from accounts.models import Account, Group, IdentityProvider, User
from accounts.principal import AuthenticationMethod
from kms.api.wire.cryptographic_policies import WireCryptographicPolicy, cryptographic_change
from kms.audit.models import LogSink
from kms.audit.sealer import Sealer
from kms.config.values import Reachable
from kms.console.settings import metadata_policy, policies
from kms.objects import keystore
from kms.operations.accounts import GetAccount, UpdateAccount
from kms.operations.errors import AccessDenied
from kms.operations.executor import execute
from kms.operations.providers import CreateProvider
from kms.operations.record_key import record_signer
from kms.secret import SecretBytes
from tests.kit import factors
from tests.kit.browser import Person
from tests.kit.log_receivers import syslog_listening
from tests.kit.tenants import Tenant, new_tenant
from tests.kit.tls import new_authority
from tests.kit.witnesses import new_witness

Arrive = Callable[..., Person]


@pytest.fixture
def tenant(installation: None) -> Tenant:
    return new_tenant()


@pytest.fixture
def loopback(server: Any, settings: Any) -> None:
    """Settings of an account may make the server call this machine."""
    allowed = Reachable(networks=(ipaddress.ip_network("127.0.0.0/8"),))
    settings.KEYSTEAD = dataclasses.replace(settings.KEYSTEAD, outbound_allow=allowed)


def error_at(page: Page, label: str) -> str:
    field = page.get_by_label(label).first
    return page.locator(f"#{field.get_attribute('id')}_error").inner_text()


def test_the_account_is_described_and_ends_by_its_typed_name(tenant: Tenant, person: Arrive) -> None:
    visitor = person(tenant.alice)
    page = visitor.open("/settings")
    page.get_by_label("Description").fill("Keys of the payment service")
    page.get_by_label("Custom metadata").fill("cost centre: 4711")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("The account was saved").wait_for()
    row = Account.objects.get(id=tenant.account.id)
    assert (row.description, row.custom_metadata) == ("Keys of the payment service", {"cost centre": "4711"})
    page.get_by_role("link", name="Delete the account").click()
    page.get_by_label("Type the account's name").fill("something else")
    page.get_by_role("button", name="Delete the account").click()
    assert "not the account's name" in error_at(page, "Type the account's name")
    page.get_by_label("Type the account's name").fill(row.name)
    page.get_by_role("button", name="Delete the account").click()
    assert page.get_by_text("The account has groups or apps").is_visible()
    assert Account.objects.filter(id=row.id).exists()
    visitor.at_ease()


def test_what_somebody_changed_meanwhile_is_not_written_over(tenant: Tenant, person: Arrive) -> None:
    visitor = person(tenant.alice)
    page = visitor.open("/settings")
    page.get_by_label("Organisation").fill("Mine")
    execute(tenant.alice, UpdateAccount(tenant.account.id, organization="Theirs"))
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Somebody changed this while you were at it").wait_for()
    assert page.get_by_label("Organisation").input_value() == "Mine"
    assert Account.objects.get(id=tenant.account.id).organization == "Theirs"
    page.get_by_role("button", name="Save").click()
    page.get_by_text("The account was saved").wait_for()
    assert Account.objects.get(id=tenant.account.id).organization == "Mine"
    visitor.at_ease()


# -- identity providers --------------------------------------------------------------------------------------------


def test_a_wrong_issuer_is_told_before_anything_is_kept(tenant: Tenant, person: Arrive) -> None:
    visitor = person(tenant.alice)
    page = visitor.open("/settings/sign-on")
    page.get_by_role("link", name="Add OpenID Connect").click()
    page.get_by_label("Name").fill("Company login")
    page.get_by_label("Issuer").fill("https://login.invalid")
    page.get_by_label("Client id").fill("keystead")
    page.get_by_label("Client secret").fill("secret of the client")
    page.get_by_role("button", name="Test the connection").click()
    page.locator("#tried [data-tone=danger]").first.wait_for()
    assert "did not answer as expected" in page.locator("#tried").inner_text()
    assert page.locator("#tried [data-tone=ok]").count() == 1  # the settings themselves are good
    assert not IdentityProvider.objects.filter(account=tenant.account).exists()
    page.get_by_label("People may log in by it").uncheck()
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Company login was added").wait_for()
    row = IdentityProvider.objects.get(account=tenant.account)
    assert (row.name, row.enabled, row.config["issuer"]) == ("Company login", False, "https://login.invalid")
    visitor.at_ease()


def test_a_secret_is_kept_unseen_and_a_provider_goes_by_its_typed_name(tenant: Tenant, person: Arrive) -> None:
    row = provided(tenant)
    sealed = bytes(row.secret_sealed or b"")
    visitor = person(tenant.alice)
    page = visitor.open(f"/settings/sign-on/{row.id}")
    secret = page.get_by_label("Client secret")
    assert (secret.input_value(), secret.get_attribute("placeholder")) == ("", "kept; type to replace")
    page.get_by_label("Name").fill("Renamed")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Renamed was saved").wait_for()
    row.refresh_from_db()
    assert (row.name, bytes(row.secret_sealed or b"")) == ("Renamed", sealed)
    page.goto(f"/settings/sign-on/{row.id}")
    page.get_by_label("Issuer").fill("https://elsewhere.example.org")
    page.get_by_role("button", name="Save").click()
    assert "client_secret is needed" in error_at(page, "Client secret").replace("Client_secret", "client_secret")
    page.goto(f"/settings/sign-on/{row.id}/delete")
    page.get_by_label("Type the provider's name").fill("Renamed")
    page.get_by_role("button", name="Delete the provider").click()
    page.get_by_text("Renamed was deleted").wait_for()
    assert not IdentityProvider.objects.filter(id=row.id).exists()
    visitor.at_ease()


def provided(tenant: Tenant) -> IdentityProvider:
    settings = {"issuer": "https://login.example.org", "client_id": "keystead"}
    made: IdentityProvider = execute(
        tenant.alice, CreateProvider("oidc", "Company login", settings, {"client_secret": SecretBytes(b"hidden")})
    )
    return made


# -- authentication ------------------------------------------------------------------------------------------------


def test_nobody_demands_a_factor_that_they_do_not_have(tenant: Tenant, person: Arrive) -> None:
    visitor = person(tenant.alice)
    page = visitor.open("/settings/authentication")
    page.get_by_label("Everybody needs one").check()
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Enrol a second factor of this kind yourself").wait_for()
    assert Account.objects.get(id=tenant.account.id).second_factor == "none"
    visitor.at_ease()


def test_passwords_are_not_closed_while_there_is_no_other_way_in(tenant: Tenant, person: Arrive) -> None:
    visitor = person(tenant.alice)
    page = visitor.open("/settings/authentication")
    assert page.get_by_text("No identity provider is on").is_visible()
    page.get_by_label("Administrators only").check()
    page.get_by_role("button", name="Save").click()
    page.get_by_text("nobody could log in").wait_for()
    assert Account.objects.get(id=tenant.account.id).password_login == "everyone"
    visitor.at_ease()


def test_a_demanded_factor_holds_and_providers_stay(tenant: Tenant, person: Arrive) -> None:
    provider = provided(tenant)
    factors.Person(httpx.Client(), tenant, tenant.users["administrator"]).given_key()
    visitor = person()
    visitor.carry(proven(tenant), tenant.alice.id)
    page = visitor.open("/settings/authentication")
    page.get_by_label("Everybody needs a security key").check()
    page.get_by_label("Minutes for which").fill("10")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("How people log in was saved").wait_for()
    account = Account.objects.get(id=tenant.account.id)
    assert (account.second_factor, account.step_up_seconds) == ("fido2", 600)
    provider.refresh_from_db()
    assert provider.enabled
    member = person(tenant.member("member"))
    member.page.goto("/groups")
    assert "/groups" not in member.page.url  # they have to enrol first
    visitor.at_ease()


def proven(tenant: Tenant) -> str:
    now = clock.now()
    token = sessions.issue(tenant.alice, AuthenticationMethod.PASSWORD, now, now, second_factor="fido2")[1]
    return str(token)


# -- the log -------------------------------------------------------------------------------------------------------


def test_a_receiver_is_added_and_tested(tenant: Tenant, person: Arrive, loopback: None, tmp_path: Path) -> None:
    authority = new_authority()
    visitor = person(tenant.alice)
    with syslog_listening(tmp_path, authority) as listener:
        page = visitor.open("/settings/log-export")
        page.get_by_role("link", name="Syslog over TLS").click()
        page.get_by_label("Host", exact=True).fill("127.0.0.1")
        page.get_by_label("Port").fill(str(listener.port))
        page.get_by_label("Certificate authorities").fill(authority.pem)
        page.get_by_role("button", name="Add the receiver").click()
        page.get_by_text("The receiver was added").wait_for()
        page.get_by_role("button", name="Send a test entry").click()
        page.get_by_text("A test entry was taken").wait_for()
        assert len(listener.messages) == 1
    page.get_by_role("button", name="Send a test entry").click()
    page.get_by_text("The test entry was not taken").wait_for()
    sink = LogSink.objects.get(account=tenant.account)
    page.goto(f"/settings/log-export/{sink.id}")
    assert page.get_by_label("Certificate authorities").input_value().split() == authority.pem.split()
    page.get_by_label("Send entries").uncheck()
    page.get_by_role("button", name="Save").click()
    page.get_by_text("The receiver was saved").wait_for()
    sink.refresh_from_db()
    assert not sink.enabled
    page.goto(f"/settings/log-export/{sink.id}")
    page.locator("summary", has_text="Take the receiver away").click()
    page.get_by_role("button", name="Take it away").click()
    page.get_by_text("The receiver was taken away").wait_for()
    assert not LogSink.objects.filter(account=tenant.account).exists()
    visitor.at_ease()


# -- policies ------------------------------------------------------------------------------------------------------


def test_a_policy_that_is_set_here_is_obeyed(tenant: Tenant, person: Arrive) -> None:
    visitor = person(tenant.alice)
    page = visitor.open("/settings/policies/cryptographic")
    assert not page.get_by_label("Types of objects").is_visible()
    page.get_by_label("Only what is ticked below").check()
    page.locator("#id_rsa_least").select_option("3072")
    page.locator("#id_kind_des").uncheck()
    page.get_by_role("button", name="Save").click()
    page.get_by_text("The cryptographic policy is in force").wait_for()
    assert page.get_by_text("RSA (at least 3072 bits)").is_visible()
    with pytest.raises(AccessDenied, match="2048"):
        tenant.key("RSA", size=2048)
    tenant.key("RSA", size=3072)
    page.goto("/settings/policies/cryptographic")
    page.get_by_label("Everything the server offers").check()
    page.get_by_role("button", name="Save").click()
    page.get_by_text("The cryptographic policy is in force").wait_for()
    assert page.get_by_text("Every type, size, curve").is_visible()
    visitor.at_ease()


def test_metadata_is_demanded(tenant: Tenant, person: Arrive) -> None:
    visitor = person(tenant.alice)
    page = visitor.open("/settings/policies/metadata")
    page.get_by_label("What is chosen below").check()
    page.get_by_label("Custom metadata that must be given").fill("environment: test, production")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("The key metadata policy is in force").wait_for()
    assert page.get_by_text("must be given, one of production, test").is_visible()
    with pytest.raises(AccessDenied, match="environment"):
        tenant.key()
    tenant.key(custom_metadata={"environment": "test"})
    visitor.at_ease()


FULL_POLICY: dict[str, Any] = {
    "aes": {"key_sizes": [256], "random_iv": True, "fpe": {"radix": 10, "min_length": 6, "max_length": 16}},
    "rsa": {
        "minimum_key_length": 3072,
        "encryption_policy": [{"padding": {"OAEP": {"mgf": {"mgf1": {"hash": "SHA256"}}}}}],
        "signature_policy": [{"padding": {"PSS": {}}}],
    },
    "ec": {"elliptic_curves": ["NistP256", "NistP384"]},
    "secret": {},
    "key_ops": ["ENCRYPT", "DECRYPT", "SIGN", "VERIFY"],
    "protection": ["token"],
    "digests": ["SHA256", "SHA384"],
    "legacy_policy": "unprotect_only",
}


def sent(form: Any) -> dict[str, Any]:
    """What a browser sends of a form as it is shown."""
    found = {field.name: field.value() for field in form}
    return {name: value for name, value in found.items() if value not in (None, False)}


def test_a_policy_comes_back_out_of_its_form_unchanged() -> None:
    form = policies.CryptographicForm(sent(policies.CryptographicForm.of(FULL_POLICY)))
    assert form.is_valid(), form.errors
    assert form.policy(FULL_POLICY) == FULL_POLICY


def test_a_metadata_policy_comes_back_out_of_its_form_unchanged() -> None:
    policy = {
        "base": {
            "custom_metadata": {"team": {"required": {}}, "note": {"forbidden": {}}},
            "description": {"required": {"non_empty_after_trim": True}},
            "deactivation_date": {"required": {"allowed_values": {"max": {"days": 730}}}},
        },
        "for_obj_type": {"AES": {"custom_metadata": {}}},
        "legacy_objects": "prohibited",
    }
    form = metadata_policy.MetadataForm(sent(metadata_policy.MetadataForm.of(policy)))
    assert form.is_valid(), form.errors
    assert form.policy(policy) == policy
    assert metadata_policy.in_words(policy)[0].text == "must be given"


def test_every_choice_of_the_editor_is_one_that_the_api_knows() -> None:
    """Each list with one thing less at either end, so that all the others are named."""
    full = sent(policies.CryptographicForm.of({kind: {} for kind in policies.KINDS}))
    for kept in (slice(1, None), slice(None, -1)):
        given = {name: value[kept] if isinstance(value, list) else value for name, value in full.items()}
        form = policies.CryptographicForm(given)
        assert form.is_valid(), form.errors
        wire = msgspec.convert(form.policy(None), WireCryptographicPolicy)
        change = cryptographic_change(wire)
        assert change is not None
        assert change.policy is not None
        assert {kind.lower() for kind in change.policy.kinds} == set(policies.KINDS)


# -- approvals -----------------------------------------------------------------------------------------------------


def test_requests_stand_for_as_long_as_it_says_and_a_webhook_hides_its_key(tenant: Tenant, person: Arrive) -> None:
    visitor = person(tenant.alice)
    page = visitor.open("/settings/approvals")
    page.get_by_label("Days for which a request stands").fill("7")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("Requests for approval are treated like this").wait_for()
    page.get_by_label("Address").fill("https://hooks.example.org/keystead")
    page.get_by_label("Signing key").fill("too short")
    page.get_by_role("button", name="Save the webhook").click()
    assert "base64" in error_at(page, "Signing key")
    key = page.locator("#webhook [data-value]").inner_text()
    page.get_by_label("Signing key").fill(key)
    page.get_by_role("button", name="Save the webhook").click()
    page.get_by_text("The webhook was saved").wait_for()
    view = execute(tenant.alice, GetAccount(tenant.account.id))
    assert view.policy is not None
    assert view.policy.approval_seconds == 7 * 86400
    assert view.webhook_url == "https://hooks.example.org/keystead"
    assert key not in page.content()
    visitor.at_ease()


# -- external roles ------------------------------------------------------------------------------------------------


def test_a_group_of_a_provider_gets_a_role_here(tenant: Tenant, person: Arrive) -> None:
    provided(tenant)
    group = Group.objects.get(account=tenant.account)
    visitor = person(tenant.alice)
    page = visitor.open("/settings/external-roles")
    page.get_by_role("link", name="New external role").first.click()
    page.get_by_label("Group at the provider").fill("operators")
    page.get_by_label("On the whole account").select_option("ACCOUNTMEMBER")
    page.get_by_label(group.name).select_option("GROUPADMINISTRATOR")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("The external role was added").wait_for()
    page.get_by_role("link", name="operators").click()
    assert page.get_by_label(group.name).input_value() == "GROUPADMINISTRATOR"
    page.get_by_label(group.name).select_option("")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("The external role was saved").wait_for()
    page.get_by_role("link", name="operators").click()
    page.get_by_label("Yes, take these roles away").check()
    page.get_by_role("button", name="Delete the external role").click()
    page.get_by_text("The external role was deleted").wait_for()
    visitor.at_ease()


# -- the server ----------------------------------------------------------------------------------------------------


def test_the_state_of_the_server_is_told_as_it_is(
    tenant: Tenant, person: Arrive, server: Any, settings: Any, tmp_path: Path
) -> None:
    Sealer(keystore.deployment_id(), record_signer).turn(clock.now())
    witness = new_witness(tmp_path / "witness", "a log")  # it was never started
    settings.KEYSTEAD = dataclasses.replace(settings.KEYSTEAD, witnesses=(witness.witness,))
    visitor = person(tenant.alice)
    page = visitor.open("/settings/server")
    assert page.get_by_text("A witness does not cosign the record").is_visible()
    assert page.get_by_role("row", name="witness.example/w1").get_by_text("never").is_visible()
    assert page.locator(".part", has_text="Token").get_by_text("Open", exact=True).is_visible()
    settings.KEYSTEAD = dataclasses.replace(settings.KEYSTEAD, witnesses=())
    page.reload()
    assert not page.get_by_text("A witness does not cosign the record").is_visible()
    assert not page.get_by_role("row", name="witness.example/w1").is_visible()
    visitor.at_ease()


def test_a_member_sees_that_the_server_works_and_not_what_it_is_made_of(tenant: Tenant, person: Arrive) -> None:
    visitor = person(tenant.member("member"))
    page = visitor.open("/settings/server")
    assert page.locator(".part", has_text="Token").get_by_text("Open", exact=True).is_visible()
    assert not page.get_by_text("Firmware").is_visible()
    assert not page.get_by_role("heading", name="Witnesses").is_visible()
    visitor.at_ease()


def test_everybody_elses_sessions_end(tenant: Tenant, person: Arrive) -> None:
    member = tenant.member("member")
    other = person(member)
    other.open("/groups")
    visitor = person(tenant.alice)
    page = visitor.open("/settings/authentication")
    page.locator("summary", has_text="End all sessions").click()
    page.get_by_label("Yes, end the sessions").check()
    page.get_by_role("button", name="End them").click()
    page.get_by_text("The sessions of 1 other person were ended").wait_for()
    other.page.reload()
    assert "/sign-in" in other.page.url
    assert User.objects.filter(id=member.id).exists()
    visitor.at_ease()
