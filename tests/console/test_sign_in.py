"""Signing in with a real browser: by password, second factors of each kind, an account's demands, links in mails."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Page, expect

from accounts import recovery, totp
from accounts.clock import clock
from accounts.models import Account, FidoCredential, Membership, Session, TotpDevice, User
from accounts.sessions import terminate
from kms.operations.executor import execute
from kms.operations.invitations import InviteUser
from kms.operations.second_factors import seal_key
from kms.secret import SecretBytes
from tests.console.conftest import Site
from tests.console.looks import looked_at
from tests.kit.browser import Person
from tests.kit.factors import Phone
from tests.kit.mail import Letter, PostOffice, deliver, open_post_office, use
from tests.kit.tenants import PASSWORD, Tenant, new_tenant, new_user, unique

OTHER_PASSWORD = "seven tall giraffes drink 12 lakes"
Arrive = Callable[..., Person]


def member(tenant: Tenant, role: str = "member") -> User:
    tenant.member(role)
    return tenant.users[role]


def given_phone(user: User) -> Phone:
    device = TotpDevice(user=user, name="phone", confirmed=True)
    key = totp.new_key()
    seal_key(device, SecretBytes(key))
    device.save()
    return Phone(str(device.key_id), key)


def sign_in(page: Page, user: User, password: str = PASSWORD, to: str = "/sign-in") -> None:
    page.goto(to)
    page.get_by_label("E-mail").fill(user.email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in", exact=True).click()


def demand(tenant: Tenant, requirement: str) -> None:
    Account.objects.filter(id=tenant.account.id).update(second_factor=requirement)


def at(page: Page, path: str) -> None:
    page.wait_for_url(lambda url: urlsplit(url).path == path)


def works_in(visitor: Person, tenant: Tenant) -> None:
    visitor.open("/groups")
    expect(visitor.page.locator(".account-chip")).to_contain_text(tenant.account.name)


# -- password ------------------------------------------------------------------------------------------------------


def test_who_has_one_account_is_in_it_at_once_and_where_they_wanted_to_go(tenant: Tenant, person: Arrive) -> None:
    visitor, user = person(), member(tenant)
    visitor.open("/groups?sort=name:desc")
    at(visitor.page, "/sign-in")
    visitor.page.get_by_label("E-mail").fill(user.email)
    visitor.page.get_by_label("Password").fill("not the password")
    visitor.page.get_by_role("button", name="Sign in", exact=True).click()
    expect(visitor.page.get_by_role("alert")).to_contain_text("The e-mail or the password is not right")
    visitor.page.get_by_label("Password").fill(PASSWORD)
    visitor.page.get_by_role("button", name="Sign in", exact=True).click()
    at(visitor.page, "/groups")
    assert urlsplit(visitor.page.url).query == "sort=name:desc"
    expect(visitor.page.locator(".account-chip")).to_contain_text(tenant.account.name)
    visitor.page.locator(".bar .menu > summary").click()
    visitor.page.get_by_role("button", name="Sign out").click()
    at(visitor.page, "/sign-in")
    assert not Session.objects.filter(user=user, terminated_at__isnull=True).exists()
    visitor.at_ease()


@pytest.mark.parametrize(
    "onward",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "groups",
        "https:evil.example",
    ],
)
def test_the_way_on_never_leads_to_another_site(
    tenant: Tenant, server: Site, strict: httpx.Client, onward: str
) -> None:
    user = member(tenant)
    answered = posted(strict, "/sign-in", next=onward, email=user.email, password=PASSWORD)
    assert (answered.status_code, answered.headers["Location"]) == (303, "/")


@pytest.fixture
def strict(server: Site) -> Iterator[httpx.Client]:
    """A client that follows nothing by itself."""
    with httpx.Client(base_url=server.origin, verify=server.trust, timeout=30) as client:
        yield client


def posted(client: httpx.Client, path: str, **fields: str) -> httpx.Response:
    """A form of the page at the same place, filled in."""
    page = client.get(path)
    (token, *_) = re.findall(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
    headers = {"Origin": str(client.base_url).rstrip("/")}
    return client.post(path, data={"csrfmiddlewaretoken": token, **fields}, headers=headers)


def test_a_session_that_has_ended_leads_to_the_sign_in_and_back(tenant: Tenant, person: Arrive) -> None:
    visitor = person(tenant.alice)
    visitor.open("/groups")
    at(visitor.page, "/groups")
    for session in Session.objects.filter(user_id=tenant.alice.id):
        terminate(session, clock.now())
    visitor.open("/groups?sort=name:desc")
    at(visitor.page, "/sign-in")
    sign_in(visitor.page, tenant.users["administrator"], to=visitor.page.url)
    at(visitor.page, "/groups")
    visitor.at_ease()


# -- second factors ------------------------------------------------------------------------------------------------


def test_by_password_and_an_authenticator_app(tenant: Tenant, person: Arrive) -> None:
    visitor, user = person(), member(tenant)
    phone = given_phone(user)
    sign_in(visitor.page, user, to="/sign-in?next=/groups")
    at(visitor.page, "/second-factor")
    visitor.open("/groups")  # it is no way round
    at(visitor.page, "/second-factor")
    visitor.open("/second-factor?next=/groups")
    visitor.page.get_by_label("Code").fill("000000")
    visitor.page.get_by_role("button", name="Continue").click()
    expect(visitor.page.get_by_role("alert")).to_contain_text("not accepted")
    visitor.page.get_by_label("Code").fill(phone.code())
    visitor.page.get_by_role("button", name="Continue").click()
    at(visitor.page, "/groups")
    assert Session.objects.get(user=user).second_factor == "totp"
    visitor.at_ease()


def test_by_a_recovery_code_which_is_good_once(tenant: Tenant, person: Arrive, axe: str) -> None:
    visitor, user = person(), member(tenant)
    given_phone(user)
    code, *_ = recovery.replace(user.id)
    sign_in(visitor.page, user)
    at(visitor.page, "/second-factor")
    looked_at(visitor.page, axe, "second-factor-code")
    visitor.page.get_by_role("link", name="Use a recovery code").click()
    visitor.page.get_by_label("Recovery code").fill(code)
    visitor.page.get_by_role("button", name="Continue").click()
    at(visitor.page, "/")
    expect(visitor.page.locator(".toast")).to_contain_text("A recovery code was used")
    assert recovery.left(user.id) == 9
    visitor.at_ease()


def test_an_account_that_asks_for_a_key_has_one_enrolled_and_it_signs_in_from_then_on(
    tenant: Tenant, person: Arrive, axe: str
) -> None:
    visitor, user = person(), member(tenant)
    demand(tenant, "fido2")
    visitor.plug_in()
    page = visitor.page
    sign_in(page, user, to="/sign-in?next=/groups")
    at(page, "/second-factor/new")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Unlock").click()
    looked_at(page, axe, "enrol-factor-unlocked")
    page.get_by_label("Name").first.fill("laptop")
    page.get_by_role("button", name="Add the key").click()
    codes = page.locator("[data-codes]").inner_text().split()
    assert len(codes) == 10
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save as a file").click()
    assert saved.value.path().read_text().split() == codes
    page.get_by_role("link", name="I have kept them").click()
    at(page, "/groups")
    assert FidoCredential.objects.get(user=user).name == "laptop"

    page.locator(".bar .menu > summary").click()
    page.get_by_role("button", name="Sign out").click()
    sign_in(page, user, to="/sign-in?next=/groups")
    at(page, "/second-factor")
    looked_at(page, axe, "second-factor-key")
    page.get_by_role("button", name="Use security key or passkey").click()
    at(page, "/groups")
    assert Session.objects.filter(user=user).latest("created_at").second_factor == "fido2"
    visitor.at_ease()


def test_an_account_that_asks_for_any_factor_takes_an_app(tenant: Tenant, person: Arrive, axe: str) -> None:
    visitor, user = person(), member(tenant)
    demand(tenant, "any")
    page = visitor.page
    sign_in(page, user, to="/sign-in?next=/profile")
    at(page, "/second-factor/new")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Unlock").click()
    page.locator("#id_app-name").fill("phone")
    page.get_by_role("button", name="Show the QR code").click()
    secret = page.locator("[data-value]").inner_text()
    looked_at(page, axe, "enrol-first-code")
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    page.get_by_label("Code", exact=True).fill(totp.code_of(key, totp.step_at(clock.now())))
    page.get_by_role("button", name="Confirm").click()
    assert len(page.locator("[data-codes]").inner_text().split()) == 10
    page.get_by_role("link", name="I have kept them").click()
    at(page, "/profile")
    visitor.at_ease()


def test_without_the_key_the_browser_says_so_and_nobody_is_in(tenant: Tenant, person: Arrive) -> None:
    visitor, user = person(), member(tenant)
    visitor.plug_in(isUserVerified=False)
    FidoCredential.objects.create(
        user=user, name="lost", protocol="fido2", credential_id=b"x" * 32, public_key=b"", origin=visitor.origin
    )
    sign_in(visitor.page, user)
    at(visitor.page, "/second-factor")
    visitor.page.get_by_role("button", name="Use security key or passkey").click()
    expect(visitor.page.locator("[data-webauthn-error]")).to_be_visible(timeout=20_000)
    at(visitor.page, "/second-factor")
    visitor.at_ease()


# -- accounts ------------------------------------------------------------------------------------------------------


def test_an_account_is_chosen_and_an_invitation_taken(tenant: Tenant, person: Arrive, axe: str) -> None:
    visitor, user = person(), member(tenant)
    asking, asked_too = new_tenant(), new_tenant()
    for other in (asking, asked_too):
        execute(other.alice, InviteUser(user.email, "member"))
    page = visitor.page
    sign_in(page, user)
    at(page, "/accounts")
    expect(page.locator(".invitation")).to_have_count(2)
    looked_at(page, axe, "choose-account-invited")
    page.locator(".invitation", has_text=asked_too.account.name).get_by_role("button", name="Refuse").click()
    expect(page.locator(".invitation")).to_have_count(1)
    page.get_by_role("button", name="Accept").click()
    at(page, "/")
    works_in(visitor, asking)
    memberships = Membership.objects.filter(user=user, invitation_pending=False).values_list("account_id", flat=True)
    assert set(memberships) == {tenant.account.id, asking.account.id}
    page.locator(".account-chip").click()
    page.get_by_role("button", name=tenant.account.name).click()
    at(page, "/")
    works_in(visitor, tenant)
    visitor.at_ease()


def test_who_belongs_nowhere_is_told_what_to_do(person: Arrive, axe: str) -> None:
    visitor = person()
    sign_in(visitor.page, new_user())
    at(visitor.page, "/accounts")
    expect(visitor.page.locator(".notice")).to_contain_text("You belong to no account yet")
    looked_at(visitor.page, axe, "choose-account-none")
    visitor.at_ease()


def test_an_administrator_makes_another_account_and_is_in_it(tenant: Tenant, person: Arrive) -> None:
    visitor = person(tenant.alice)
    visitor.open("/accounts")
    visitor.page.get_by_role("link", name="Make a new account").click()
    name = unique("another")
    visitor.page.get_by_label("Name").fill(name)
    visitor.page.get_by_role("button", name="Create the account").click()
    at(visitor.page, "/")
    visitor.open("/groups")
    expect(visitor.page.locator(".account-chip")).to_contain_text(name)
    visitor.at_ease()


# -- links in mails ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostOffice]:
    with open_post_office(tmp_path_factory.mktemp("mail")) as opened:
        yield opened


@pytest.fixture
def mailed(office: PostOffice, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Letter]:
    use(office, settings, monkeypatch)

    def latest(address: str) -> Letter:
        deliver()
        return office.to(address)[-1]

    return latest


def link_in(letter: Letter) -> str:
    """Its path and fragment: the letters of the tests name another host."""
    (found,) = re.findall(r"^https://kms\.example\.org(/\S+#\S+)$", letter.text, re.MULTILINE)
    return str(found)


def test_an_invitation_is_accepted_by_the_mails_link(
    tenant: Tenant, person: Arrive, mailed: Callable[[str], Letter]
) -> None:
    visitor, email = person(), f"{unique('new')}@example.org"
    execute(tenant.alice, InviteUser(email, "member"))
    page, asked = visitor.page, []
    page.on("request", lambda request: asked.append(request.url + (request.headers.get("referer") or "")))
    letter = mailed(email)
    visitor.open(link_in(letter))
    expect(page.get_by_label("New password")).to_be_visible()
    assert "#" not in page.url
    page.get_by_label("New password").fill("password1234")
    page.get_by_role("button", name="Accept the invitation").click()
    expect(page.locator(".error")).to_contain_text("too easy to guess")
    page.get_by_label("New password").fill(OTHER_PASSWORD)
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_label("New password")).to_have_attribute("type", "text")
    page.get_by_role("button", name="Accept the invitation").click()
    at(page, "/sign-in")
    user = User.objects.get(email=email)
    sign_in(page, user, OTHER_PASSWORD)
    at(page, "/")
    works_in(visitor, tenant)
    assert not [url for url in asked if letter.code in url]
    visitor.at_ease()


def test_a_forgotten_password_is_set_anew_and_ends_the_sessions(
    tenant: Tenant, person: Arrive, mailed: Callable[[str], Letter]
) -> None:
    visitor, user = person(tenant.alice), tenant.users["administrator"]
    page = visitor.open("/forgot-password")
    page.get_by_label("E-mail").fill(user.email)
    page.get_by_role("button", name="Send the link").click()
    expect(page.locator(".notice")).to_contain_text("a mail is on its way")
    link = link_in(mailed(user.email))
    visitor.open(link)
    expect(page.get_by_label("E-mail")).to_have_value(user.email)
    page.get_by_label("New password").fill(OTHER_PASSWORD)
    page.get_by_role("button", name="Set the password").click()
    at(page, "/sign-in")
    assert not Session.objects.filter(user=user, terminated_at__isnull=True).exists()
    expect(page.get_by_label("E-mail")).to_have_value(user.email)
    page.get_by_label("Password").fill(OTHER_PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    at(page, "/")
    visitor.open("/sign-out-nothing")
    visitor.open(link)  # it was good once
    expect(page.get_by_role("alert")).to_be_visible()
    visitor.at_ease()


def test_whoever_asks_for_a_link_is_answered_alike(strict: httpx.Client) -> None:
    known, unknown = new_user().email, f"{unique('nobody')}@example.org"
    pages = [posted(strict, "/forgot-password", email=email).text.replace(email, "…") for email in (known, unknown)]
    without_tokens = [re.sub(r'(nonce|value)="[^"]+"', "", page) for page in pages]
    assert without_tokens[0] == without_tokens[1]


def test_a_form_from_another_site_is_refused(tenant: Tenant, strict: httpx.Client) -> None:
    fields = {"email": member(tenant).email, "password": PASSWORD}
    headers = {"Origin": "https://evil.example", "Accept": "text/html"}
    assert strict.post("/sign-in", data=fields, headers=headers).status_code == 403


def test_an_address_is_confirmed_after_a_sign_in_on_the_way(
    tenant: Tenant, person: Arrive, mailed: Callable[[str], Letter]
) -> None:
    visitor, user = person(), member(tenant)
    wanted = f"{unique('new')}@example.org"
    sign_in(visitor.page, user, to="/sign-in?next=/profile")
    at(visitor.page, "/profile")
    visitor.page.get_by_label("New e-mail").fill(wanted)
    visitor.page.locator("form", has=visitor.page.get_by_label("New e-mail")).get_by_label("Current password").fill(
        PASSWORD
    )
    visitor.page.get_by_role("button", name="Change the e-mail").click()
    expect(visitor.page.locator(".notice").first).to_contain_text(wanted)
    visitor.context.clear_cookies()
    visitor.open(link_in(mailed(wanted)))
    visitor.page.get_by_role("link", name="Sign in").click()
    at(visitor.page, "/sign-in")
    sign_in(visitor.page, user, to=visitor.page.url)
    at(visitor.page, "/confirm-email")
    visitor.page.get_by_role("button", name="Confirm this address").click()
    at(visitor.page, "/profile")
    assert User.objects.get(id=user.id).email == wanted
    visitor.at_ease()


def test_what_is_wrong_with_a_link_is_said_on_its_page(strict: httpx.Client) -> None:
    for path in ("/reset-password", "/accept-invitation", "/confirm-email"):
        answered = posted(strict, path, user="no id", code="x" * 43, password=OTHER_PASSWORD)
        assert answered.status_code in (303, 422), path
    spent = posted(strict, "/reset-password", user=str(new_user().id), code="x" * 43)
    assert spent.status_code == 422
