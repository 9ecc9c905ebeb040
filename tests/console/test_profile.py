"""One's own profile with a real browser: name, password, second factors, sessions, looks, and leaving."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect

from accounts import totp
from accounts.clock import clock
from accounts.models import Account, FidoCredential, Membership, Session, TotpDevice, User
from accounts.principal import AuthenticationMethod
from accounts.sessions import issue
from kms.operations.executor import execute
from kms.operations.users import RemoveUser
from tests.console.looks import looked_at
from tests.console.test_sign_in import OTHER_PASSWORD, at, given_phone, member, sign_in
from tests.kit.browser import Person
from tests.kit.tenants import PASSWORD, Tenant, user_principal

Arrive = Callable[..., Person]


@pytest.fixture
def user(tenant: Tenant) -> User:
    return member(tenant)


@pytest.fixture
def visitor(tenant: Tenant, user: User, person: Arrive) -> Person:
    return person(user_principal(user, tenant.account.id))


def unlock(page: Page) -> None:
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Unlock").click()
    expect(page.get_by_role("button", name="Lock now")).to_be_visible()


def test_the_name_and_the_password_are_changed_and_other_sessions_end(
    tenant: Tenant, user: User, visitor: Person
) -> None:
    issue(user_principal(user, tenant.account.id), AuthenticationMethod.PASSWORD, clock.now(), clock.now())
    page = visitor.open("/profile")
    page.get_by_label("First name").fill("Ada")
    page.get_by_role("button", name="Save the name").click()
    expect(page.locator(".toast")).to_contain_text("Your name was changed")
    assert User.objects.get(id=user.id).first_name == "Ada"
    page.locator("#id_password-current_password").fill("not the password")
    page.get_by_label("New password").fill(OTHER_PASSWORD)
    page.get_by_role("button", name="Change the password").click()
    expect(page.locator(".error")).to_contain_text("The current password is not right")
    page.locator("#id_password-current_password").fill(PASSWORD)
    page.get_by_label("New password").fill(OTHER_PASSWORD)
    page.get_by_role("button", name="Change the password").click()
    expect(page.locator(".toast")).to_contain_text("Your other sessions have ended")
    assert User.objects.get(id=user.id).check_password(OTHER_PASSWORD)
    assert Session.objects.filter(user=user, terminated_at__isnull=True).count() == 1
    visitor.at_ease()


def test_an_authenticator_app_is_added_by_its_secret_and_a_wrong_code_costs_nothing(
    user: User, visitor: Person, axe: str
) -> None:
    page = visitor.open("/profile/factors")
    unlock(page)
    page.locator("#id_app-name").fill("phone")
    page.get_by_role("button", name="Show the QR code").click()
    expect(page.get_by_role("img", name="QR code")).to_be_visible()
    looked_at(page, axe, "profile-first-code")
    drawn = page.locator(".qr svg")
    box = drawn.bounding_box()
    assert box is not None
    assert str(round(box["width"])) == drawn.get_attribute("width")  # cut off it could not be scanned
    secret = page.locator("[data-value]").inner_text()
    page.get_by_label("Code", exact=True).fill("000000")
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert page.locator("[data-value]").inner_text() == secret
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    page.get_by_label("Code", exact=True).fill(totp.code_of(key, totp.step_at(clock.now())))
    page.get_by_role("button", name="Confirm").click()
    expect(page.locator("[data-codes]")).to_be_visible()
    looked_at(page, axe, "profile-recovery-codes")
    page.get_by_role("link", name="I have kept them").click()
    expect(page.get_by_text("You have 10 codes left.")).to_be_visible()
    assert TotpDevice.objects.get(user=user).confirmed
    visitor.at_ease()


def test_a_passkey_is_added_renamed_and_removed(user: User, visitor: Person, axe: str) -> None:
    visitor.plug_in()
    page = visitor.open("/profile/factors")
    unlock(page)
    page.locator("#id_key-name").fill("laptop")
    page.get_by_role("button", name="Add the key").click()
    page.get_by_role("link", name="I have kept them").click()
    looked_at(page, axe, "profile-factors-unlocked")
    page.get_by_text("Rename").click()
    page.get_by_label("New name").fill("blue laptop")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".toast")).to_contain_text("blue laptop")
    page.get_by_role("button", name="Remove blue laptop").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    assert FidoCredential.objects.get(user=user).name == "blue laptop"
    page.get_by_role("button", name="Remove blue laptop").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(page.get_by_text("None yet.").first).to_be_visible()
    assert not FidoCredential.objects.filter(user=user).exists()
    visitor.at_ease()


def test_who_has_a_factor_shows_it_again_before_the_password_unlocks(user: User, person: Arrive) -> None:
    visitor, phone = person(), given_phone(user)
    page = visitor.page
    sign_in(page, user, to="/sign-in?next=/profile/factors")
    page.get_by_label("Code", exact=True).fill(phone.code())
    page.get_by_role("button", name="Continue").click()
    at(page, "/profile/factors")
    phone.forgotten()
    page.get_by_role("link", name="Show my factor").click()
    page.get_by_label("Code", exact=True).fill(phone.code())
    page.get_by_role("button", name="Continue").click()
    unlock(page)
    page.get_by_role("button", name="Make new codes").click()
    assert len(page.locator("[data-codes]").inner_text().split()) == 10
    page.get_by_role("link", name="I have kept them").click()
    page.get_by_role("button", name="Lock now").click()
    expect(page.get_by_role("link", name="Show my factor")).to_be_visible()
    visitor.at_ease()


def test_sessions_are_listed_and_ended(tenant: Tenant, user: User, visitor: Person) -> None:
    principal = user_principal(user, tenant.account.id)
    for _ in range(3):
        issue(principal, AuthenticationMethod.PASSWORD, clock.now(), clock.now(), client_ip="192.0.2.7")
    living = Session.objects.filter(user=user, terminated_at__isnull=True)
    page = visitor.open("/profile/sessions")
    expect(page.locator("tbody tr")).to_have_count(4)
    expect(page.locator("tbody tr", has_text="This one")).to_have_count(1)
    page.get_by_role("button", name="End the session from 192.0.2.7").first.click()
    expect(page.locator("tbody tr")).to_have_count(3)
    page.get_by_role("button", name="End all others").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    assert living.count() == 1
    page.get_by_role("button", name="Sign out everywhere").click()
    at(page, "/sign-in")
    assert not living.exists()
    visitor.at_ease()


def test_theme_and_zone_are_this_browsers(visitor: Person) -> None:
    page = visitor.open("/profile/appearance")
    page.get_by_label("Dark").check()
    page.get_by_label("Time zone").select_option("Asia/Kathmandu")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    shown = page.locator("form time")
    instant, text = shown.get_attribute("datetime"), shown.inner_text()
    page.goto("/groups")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.goto("/profile/appearance")
    assert page.get_by_label("Time zone").input_value() == "Asia/Kathmandu"
    minutes = int(text[-2:]) - int(str(instant)[14:16])
    assert minutes % 60 == 45  # Nepal is 5:45 ahead
    assert {cookie["name"] for cookie in visitor.context.cookies()} >= {"theme", "zone"}
    visitor.at_ease()


def test_a_theme_that_is_none_is_refused(visitor: Person) -> None:
    page = visitor.open("/profile/appearance")
    page.get_by_label("Dark").evaluate("input => input.value = '\"><script>'")
    page.get_by_label("Dark").check()
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".error")).to_be_visible()
    expect(page.locator("html")).to_have_attribute("data-theme", "system")
    visitor.at_ease()


def test_an_administrator_leaves_an_account_that_has_another(tenant: Tenant, person: Arrive) -> None:
    user = member(tenant, "administrator")
    visitor = person(user_principal(user, tenant.account.id))
    page = visitor.open("/profile/accounts")
    page.locator("#id_leave-typed").fill("somebody else")
    page.get_by_role("button", name="Leave the account").click()
    expect(page.locator(".error")).to_contain_text(user.email)
    page.locator("#id_leave-typed").fill(user.email)
    page.get_by_role("button", name="Leave the account").click()
    at(page, "/sign-in")
    expect(page.locator(".toast")).to_contain_text("You have left the account")
    assert not Membership.objects.filter(user=user).exists()
    visitor.at_ease()


def test_a_proof_that_is_too_old_is_renewed_beside_the_form(tenant: Tenant, user: User, person: Arrive) -> None:
    Account.objects.filter(id=tenant.account.id).update(step_up_seconds=600)
    phone = given_phone(user)
    visitor = person()
    page = visitor.page
    sign_in(page, user, to="/sign-in?next=/profile/accounts")
    page.get_by_label("Code", exact=True).fill(phone.code())
    page.get_by_role("button", name="Continue").click()
    Session.objects.filter(user=user).update(second_factor_at=clock.now() - timedelta(hours=1))
    page.locator("#id_delete-typed").fill(user.email)
    page.get_by_role("button", name="Delete my user").click()
    phone.forgotten()
    with visitor.context.expect_page() as opened:
        page.get_by_role("link", name="Show that it is you").click()
    other = opened.value
    other.get_by_label("Code", exact=True).fill(phone.code())
    other.get_by_role("button", name="Continue").click()
    at(other, "/")
    assert page.locator("#id_delete-typed").input_value() == user.email
    page.get_by_role("button", name="Delete my user").click()
    at(page, "/sign-in")
    assert not User.objects.filter(id=user.id).exists()
    visitor.at_ease()


def test_who_was_removed_from_the_account_can_still_sign_out(tenant: Tenant, user: User, visitor: Person) -> None:
    execute(tenant.alice, RemoveUser(user.id))
    page = visitor.open("/profile")
    expect(page.get_by_role("heading", level=1)).to_contain_text("not a member")
    page.get_by_role("button", name="Sign out").click()
    at(page, "/sign-in")
    visitor.at_ease()


def test_a_member_deletes_their_user_and_the_last_administrator_is_kept(
    tenant: Tenant, user: User, visitor: Person, person: Arrive
) -> None:
    last = person(tenant.alice)
    alice = User.objects.get(id=tenant.alice.id)
    page = last.open("/profile/accounts")
    page.locator("#id_delete-typed").fill(alice.email)
    page.get_by_role("button", name="Delete my user").click()
    expect(page.get_by_role("alert")).to_contain_text("administrator")
    page = visitor.open("/profile/accounts")
    page.locator("#id_delete-typed").fill(user.email)
    page.get_by_role("button", name="Delete my user").click()
    at(page, "/sign-in")
    assert not User.objects.filter(id=user.id).exists()
    assert User.objects.filter(id=alice.id).exists()
    last.at_ease()
    visitor.at_ease()
