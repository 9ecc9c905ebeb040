"""Objects made, imported, tried and revealed in a browser, and what is said before anything is sent."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from playwright.sync_api import FilePayload, Page, expect

from accounts.models import User
from kms.api.wire.names import WIRE_OPERATION
from kms.audit.models import AuditRecord
from kms.console.making.kinds import KINDS, MANAGEMENT, Kind
from kms.console.making.policy import Policies, Wanted, faults
from kms.crypto.registry import algorithm_of
from kms.objects.cryptographic_policy import CryptographicPolicy, KindRule
from kms.objects.models import SecurityObject
from kms.operations.command import ObjectRef
from policies.models import ApprovalRequest
from policies.permissions import Permission
from tests.console.looks import looked_at
from tests.kit.browser import Person
from tests.kit.cast import Custom
from tests.kit.object_policies import police
from tests.kit.quorums import guard_group, users
from tests.kit.tenants import Tenant, new_tenant, unique

Arrive = Callable[..., Person]


@pytest.fixture
def tenant(installation: None) -> Tenant:
    return new_tenant()


def choose_group(page: Page, tenant: Tenant) -> None:
    page.get_by_role("radio", name=tenant.group.name).check()


def made(tenant: Tenant, name: str) -> SecurityObject:
    return SecurityObject.objects.get(account=tenant.account, name=name)


def named(key: ObjectRef) -> str:
    assert key.id is not None
    return SecurityObject.objects.get(pk=key.id).name


# -- the menu of kinds ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_what_is_offered_is_what_the_server_can_do(kind: Kind) -> None:
    algorithm = algorithm_of(kind.name)
    names = {WIRE_OPERATION[operation] for operation in algorithm.operations} - {"HIGHVOLUME"}
    assert set(kind.operations) == names
    assert set(kind.defaults) == {WIRE_OPERATION[operation] for operation in algorithm.defaults}
    if kind.sized == "secret":
        return
    for size in kind.sizes:
        bits = int(size.value) if kind.sized == "key_size" else None
        curve = None if bits else size.value
        spec = algorithm.generation_spec(size=bits, curve=curve, public_exponent=None)
        possible = {WIRE_OPERATION[operation] for operation in algorithm.operations_of(spec)} - {"HIGHVOLUME"}
        assert set(kind.possible(size.value)) == possible
    assert set(MANAGEMENT) <= set(kind.operations)


# -- made ----------------------------------------------------------------------------------------------------------


def test_an_aes_key_is_made_by_keyboard_alone(tenant: Tenant, person: Arrive) -> None:
    visitor, name = person(tenant.alice), unique("payments")
    page = visitor.open("/objects/new")
    page.get_by_label("Name", exact=True).focus()
    page.keyboard.type(name)
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.type(tenant.group.name)
    expect(page.locator("#group_choices")).to_contain_text(tenant.group.name)
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(page.locator("#verdict")).to_contain_text(tenant.group.name)
    page.get_by_role("button", name="Encrypt data").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#verdict")).not_to_contain_text("Wrap keys")
    page.get_by_role("button", name="Make the object").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#toasts")).to_contain_text(name)
    row = made(tenant, name)
    assert (row.kind, row.size) == ("AES", 256)
    assert set(row.operations) == {"encrypt", "decrypt", "app-manageable"}
    visitor.at_ease()


def test_a_forbidden_size_is_said_before_and_refused_after(tenant: Tenant, person: Arrive) -> None:
    police(tenant, tenant.group.id, CryptographicPolicy({"AES": KindRule(sizes=(256,))}))
    visitor, name = person(tenant.alice), unique("small")
    page = visitor.open(f"/objects/new?group={tenant.group.id}")
    expect(page.locator("#verdict")).to_contain_text("allow")
    page.get_by_label("Name", exact=True).fill(name)
    page.locator('input[name="size_AES"][value="128"]').check()
    expect(page.locator("#verdict")).to_contain_text("AES keys of 128 bits are not allowed")
    page.get_by_role("button", name="Make the object").click()
    expect(page.get_by_role("alert").first).to_be_visible()
    assert not SecurityObject.objects.filter(account=tenant.account, name=name).exists()
    page.locator('input[name="size_AES"][value="256"]').check()
    expect(page.locator("#verdict")).not_to_contain_text("will be refused")
    page.get_by_role("button", name="Make the object").click()
    expect(page.locator("#toasts")).to_contain_text(name)
    visitor.at_ease()


def test_other_kinds_dates_rotation_and_metadata_are_taken_over(tenant: Tenant, person: Arrive) -> None:
    visitor, name = person(tenant.alice, timezone_id="Europe/Berlin"), unique("signing")
    page = visitor.open(f"/objects/new?group={tenant.group.id}")
    page.reload()  # the zone is told by the first page
    page.get_by_label("Name", exact=True).fill(name)
    page.locator('input[name="kind"][value="EC"]').check()
    page.get_by_label("Ed25519").check()
    page.get_by_label("Deactivation date").fill("2099-07-01T12:00")
    page.get_by_label("Rotate every").fill("6")
    page.get_by_label("Metadata name").first.fill("owner")
    page.get_by_label("Metadata value").first.fill("payments")
    page.get_by_role("button", name="Make the object").click()
    expect(page.locator("#toasts")).to_contain_text(name)
    row = made(tenant, name)
    assert (row.kind, row.curve, row.custom_metadata) == ("EC", "Ed25519", {"owner": "payments"})
    assert "agree" not in row.operations
    assert row.deactivation_date is not None
    assert row.deactivation_date.isoformat() == "2099-07-01T10:00:00+00:00"
    assert row.rotation is not None
    assert row.rotation["months"] == 6
    visitor.at_ease()


def test_a_guarded_group_is_told_of_and_asked(tenant: Tenant, person: Arrive) -> None:
    reviewer = tenant.member("member")
    guard_group(tenant.group, users(1, [reviewer.id]), [Permission.OBJECT_CREATE])
    visitor = person(tenant.alice)
    page = visitor.open(f"/objects/new?group={tenant.group.id}")
    expect(page.locator("#verdict")).to_contain_text("approval of a quorum")
    page.get_by_label("Name", exact=True).fill(unique("guarded"))
    page.get_by_label("Reason for the approvers").fill("for the new shop")
    page.get_by_role("button", name="Make the object").click()
    page.wait_for_load_state()
    asked = ApprovalRequest.objects.get(account=tenant.account)
    assert asked.operation == "/crypto/v1/keys"
    visitor.at_ease()


# -- imported ------------------------------------------------------------------------------------------------------


def fill_import(page: Page, tenant: Tenant, name: str) -> None:
    page.get_by_label("Name", exact=True).fill(name)
    choose_group(page, tenant)


def test_a_password_is_imported_and_revealed_once(tenant: Tenant, person: Arrive, axe: str) -> None:
    visitor, name, secret = person(tenant.alice), unique("password"), "correct horse battery"
    page = visitor.open("/objects/import")
    page.get_by_label("Secret", exact=True).first.check()
    page.locator('textarea[name="secret"]').fill(secret)
    fill_import(page, tenant, name)
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.locator("#toasts")).to_contain_text(name)
    row = made(tenant, name)
    assert row.kind == "SECRET"
    page.goto(f"/objects/{row.id}/reveal")
    assert secret not in page.content()
    page.clock.install()
    page.get_by_role("button", name="Reveal and record it").click()
    expect(page.locator("pre.value")).to_have_text(secret)
    looked_at(page, axe, "object-revealed")
    assert secret not in page.url
    page.clock.fast_forward(61_000)
    expect(page.get_by_text("The value is no longer shown.")).to_be_visible()
    assert secret not in page.content()
    entry = AuditRecord.objects.filter(object_id=row.id, action="object.export").get()
    assert (entry.actor_id, entry.outcome) == (tenant.alice.id, "done")
    visitor.at_ease()


def test_what_is_not_base64_is_said_at_the_field_and_not_shown_again(tenant: Tenant, person: Arrive) -> None:
    visitor, name = person(tenant.alice), unique("broken")
    page = visitor.open("/objects/import")
    page.get_by_label("Base64").first.check()
    page.locator('textarea[name="value"]').fill("not!base64?")
    fill_import(page, tenant, name)
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.locator("#id_value_error")).to_contain_text("This is not base64")
    assert page.locator('textarea[name="value"]').input_value() == ""
    assert "not!base64?" not in page.content()
    assert not SecurityObject.objects.filter(account=tenant.account, name=name).exists()
    visitor.at_ease()


def test_a_private_key_comes_from_a_pem_file(tenant: Tenant, person: Arrive) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    visitor, name = person(tenant.alice), unique("pem")
    page = visitor.open("/objects/import")
    page.locator('select[name="kind"]').select_option("EC")
    file: FilePayload = {"name": "key.pem", "mimeType": "application/x-pem-file", "buffer": pem}
    page.locator("#key-file").set_input_files(files=[file])
    expect(page.locator('textarea[name="value"]')).to_have_value(pem.decode())
    fill_import(page, tenant, name)
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.locator("#toasts")).to_contain_text(name)
    assert made(tenant, name).curve == "NistP256"
    visitor.at_ease()


def test_components_and_a_wrapped_key_come_together(tenant: Tenant, person: Arrive) -> None:
    visitor, name = person(tenant.alice), unique("parts")
    other = tenant.member("administrator")
    addresses = [User.objects.get(pk=who.id).email for who in (tenant.alice, other)]
    page = visitor.open("/objects/import")
    page.get_by_label("Components").check()
    for number, (part, address) in enumerate(zip(("0f" * 32, "f0" * 31 + "aa"), addresses, strict=True), 1):
        page.locator(f'textarea[name="component_{number}"]').fill(part)
        page.locator(f'input[name="custodian_{number}"]').fill(address)
    fill_import(page, tenant, name)
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.locator("#toasts")).to_contain_text(name)
    assert (made(tenant, name).kind, made(tenant, name).size) == ("AES", 256)
    visitor.at_ease()


USING = frozenset(
    {
        Permission.OBJECT_GET,
        Permission.OBJECT_ENCRYPT,
        Permission.OBJECT_DECRYPT,
        Permission.OBJECT_SIGN,
        Permission.OBJECT_VERIFY,
        Permission.OBJECT_MAC_GENERATE,
        Permission.OBJECT_MAC_VERIFY,
    }
)


def user_of_keys(tenant: Tenant, person: Arrive) -> Person:
    """Administrators look after keys; using them is a right of its own."""
    held = Custom(tenant)
    actor, visitor = held.holding(USING, [tenant.group.id]), person()
    visitor.carry((actor.authorization or "").removeprefix("Bearer "), held._user.id)
    return visitor


# -- tried ---------------------------------------------------------------------------------------------------------


def test_a_key_encrypts_and_decrypts_what_it_is_given(tenant: Tenant, person: Arrive, axe: str) -> None:
    key = tenant.key(name=unique("aes"))
    visitor = user_of_keys(tenant, person)
    page = visitor.open(f"/objects/{key.id}/try")
    page.get_by_label("Data", exact=True).fill("attack at dawn")
    page.get_by_role("button", name="Encrypt").click()
    expect(page.locator("#result")).to_contain_text("Ciphertext")
    assert "attack" not in page.url
    page.get_by_role("button", name="Decrypt it again").click()
    expect(page.locator("#result")).to_contain_text("attack at dawn")
    looked_at(page, axe, "object-tried")
    page.get_by_label("Tag, as base64").fill(base64.b64encode(bytes(16)).decode())
    page.get_by_role("button", name="Decrypt", exact=True).click()
    expect(page.locator("#result").get_by_role("alert")).to_be_visible()
    visitor.at_ease()


def test_who_may_not_use_a_key_is_told_before(tenant: Tenant, person: Arrive) -> None:
    key = tenant.key(name=unique("aes"))
    visitor = person(tenant.alice)
    page = visitor.open(f"/objects/{key.id}/try")
    expect(page.get_by_text("No permission to encrypt under an object")).to_be_visible()
    visitor.at_ease()


def test_a_key_signs_verifies_and_says_no(tenant: Tenant, person: Arrive) -> None:
    key = tenant.key("RSA", size=2048, name=unique("rsa"))
    visitor = user_of_keys(tenant, person)
    page = visitor.open(f"/objects/{key.id}/try?do=sign")
    page.get_by_label("Data", exact=True).fill("I owe you 5")
    page.get_by_role("button", name="Sign").click()
    page.get_by_role("button", name="Verify it").click()
    expect(page.locator("#result")).to_contain_text("It verifies")
    page.get_by_label("Data", exact=True).fill("I owe you 500")
    page.get_by_role("button", name="Verify", exact=True).click()
    expect(page.locator("#result")).to_contain_text("does not verify")
    visitor.at_ease()


@pytest.mark.parametrize("kind", ["HMAC", "AES"])
def test_a_key_authenticates_messages(kind: str, tenant: Tenant, person: Arrive) -> None:
    key = tenant.key(kind, size=256, name=unique(kind.lower()))
    visitor = user_of_keys(tenant, person)
    page = visitor.open(f"/objects/{key.id}/try?do=mac")
    page.get_by_label("Data", exact=True).fill("pay 5")
    page.get_by_role("button", name="Make a MAC").click()
    page.get_by_role("button", name="Verify it").click()
    expect(page.locator("#result")).to_contain_text("It verifies")
    visitor.at_ease()


def test_a_key_wraps_another(tenant: Tenant, person: Arrive) -> None:
    wrapper = tenant.key(name=unique("wrapper"))
    subject = tenant.key(name=unique("subject"), operations=["encrypt", "decrypt", "export"])
    visitor, name = person(tenant.alice), unique("unwrapped")
    page = visitor.open(f"/objects/{wrapper.id}/try?do=wrap")
    subject_name = named(subject)
    wrapper_name = named(wrapper)
    page.locator('input[name="subject_text"]').fill(subject_name)
    page.get_by_role("radio", name=subject_name).check()
    page.get_by_role("button", name="Wrap a key").click()
    expect(page.locator("#result")).to_contain_text("Wrapped key")
    wrapped = page.locator("#result pre").first.inner_text()
    page.goto("/objects/import")
    page.get_by_label("Wrapped key", exact=True).first.check()
    page.locator('input[name="wrapper_text"]').fill(wrapper_name)
    page.get_by_role("radio", name=wrapper_name).check()
    page.locator('textarea[name="wrapped"]').fill(wrapped)
    fill_import(page, tenant, name)
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.locator("#toasts")).to_contain_text(name)
    assert made(tenant, name).size == 256
    visitor.at_ease()


# -- others, and bad input -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("screen", ["try", "reveal"])
def test_another_account_s_object_is_not_there(screen: str, tenant: Tenant, person: Arrive) -> None:
    key = tenant.key(name=unique("theirs"))
    visitor = person(new_tenant().alice)
    answer = visitor.page.goto(f"/objects/{key.id}/{screen}")
    assert answer is not None
    assert answer.status == 404


def _told(wanted: Wanted, **policies: Any) -> list[str]:
    return faults(wanted, [Policies.of("Here", policies)], datetime.now(UTC))


def test_a_policy_s_words_say_what_is_wrong() -> None:
    rsa = Wanted("RSA", bits=2048, operations=frozenset({"SIGN"}))
    assert "at least 3072" in _told(rsa, cryptographic_policy={"rsa": {"minimum_key_length": 3072}})[0]
    assert "not allowed" in _told(rsa, cryptographic_policy={"aes": {}})[0]
    assert "operations are not allowed: Sign" in _told(rsa, cryptographic_policy={"rsa": {}, "key_ops": []})[0]
    assert not _told(rsa, cryptographic_policy={"rsa": {"key_sizes": [2048]}})
    curve = Wanted("EC", curve="NistP256")
    assert "NistP256" in _told(curve, cryptographic_policy={"ec": {"elliptic_curves": ["NistP384"]}})[0]


def test_a_metadata_policy_s_words_say_what_is_missing() -> None:
    rules = {
        "custom_metadata": {"owner": {"required": {"allowed_values": ["payments"]}}, "note": {"forbidden": {}}},
        "description": {"required": {"non_empty_after_trim": True}},
        "deactivation_date": {"required": {"allowed_values": {"max": {"days": 30}}}},
    }
    policy = {"base": rules, "for_obj_type": {}, "legacy_objects": "allowed"}
    assert len(_told(Wanted("AES"), key_metadata_policy=policy)) == 3
    assert "one of: payments" in _told(Wanted("AES", metadata={"owner": "x"}), key_metadata_policy=policy)[1]
    assert any("empty" in told for told in _told(Wanted("AES", metadata={"note": "x"}), key_metadata_policy=policy))
