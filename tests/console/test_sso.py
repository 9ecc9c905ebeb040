"""Single sign-on in a real browser, through real providers: OpenID Connect and SAML, begun here and nowhere else."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from django.conf import settings as django_settings
from playwright.sync_api import Page, Route, expect

from accounts.models import IdentityProvider, Session, User
from kms.config.values import Reachable
from kms.operations.executor import execute
from kms.operations.providers import CreateProvider
from kms.secret import SecretBytes
from tests.console.conftest import Site
from tests.console.looks import looked_at
from tests.console.test_sign_in import at, member
from tests.kit.browser import Person
from tests.kit.tenants import Tenant, unique
from tests.kit.tls import Authority, new_authority
from tests.sso.ldap.slapd import PASSWORD as LDAP_PASSWORD
from tests.sso.ldap.slapd import SECRETS, Slapd, settings_of
from tests.sso.oidc.openid import OpenIdProvider, running_provider
from tests.sso.saml.peer import SamlPeer

Arrive = Callable[..., Person]
CONTINUE = re.compile("^Continue with")


@pytest.fixture(scope="module")
def authority() -> Authority:
    return new_authority()


@pytest.fixture(scope="module")
def openid(server: Site, authority: Authority, tmp_path_factory: Any) -> Iterator[OpenIdProvider]:
    with running_provider(Path(tmp_path_factory.mktemp("openid")), authority) as provider:
        yield provider


@pytest.fixture(scope="module")
def peer(server: Site, tmp_path_factory: Any) -> Iterator[SamlPeer]:
    command = [sys.executable, "-m", "tests.sso.saml.identity_provider", str(tmp_path_factory.mktemp("saml"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            address = process.stdout.readline().strip()
            ours = httpx.Client(base_url=server.origin, verify=server.trust, timeout=30)
            with httpx.Client(base_url=address, timeout=30) as to_provider, ours:
                opened = SamlPeer(to_provider, ours)
                opened.introduce()
                yield opened
        finally:
            process.terminate()


@pytest.fixture(autouse=True)
def _loopback_allowed(settings: Any, server: Site) -> None:
    allowed = Reachable(networks=(ipaddress.ip_network("127.0.0.0/8"),))
    settings.KEYSTEAD = dataclasses.replace(django_settings.KEYSTEAD, outbound_allow=allowed)


@pytest.fixture
def visitor(person: Arrive) -> Person:
    """Whose browser takes the test provider's certificate, and may go to the providers."""
    return person(ignore_https_errors=True)


@pytest.fixture
def provider(openid: OpenIdProvider, tenant: Tenant) -> IdentityProvider:
    return openid.add_to(tenant)


@pytest.fixture
def known(openid: OpenIdProvider, tenant: Tenant) -> User:
    """They sit at the provider's browser."""
    user = member(tenant)
    openid.log_in(unique("subject"), email=user.email, email_verified=True)
    return user


def ask(page: Page, user: User, to: str = "/sign-in") -> None:
    page.goto(to)
    page.get_by_label("E-mail").fill(user.email)
    page.get_by_role("button", name="Use single sign-on").click()


def others_only(visitor: Person, *origins: str) -> None:
    """The requests to these are what the test wants."""
    wanted = tuple(f"asked another host: {origin}" for origin in origins)
    visitor.faults[:] = [fault for fault in visitor.faults if not any(one in fault for one in wanted)]
    visitor.at_ease()


# -- OpenID Connect ------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("provider")
def test_by_an_openid_provider_straight_to_where_they_were_going(
    visitor: Person, openid: OpenIdProvider, tenant: Tenant, known: User, axe: str
) -> None:
    page = visitor.page
    ask(page, known, "/sign-in?next=/profile/sessions")
    looked_at(page, axe, "sign-in-ways")
    page.get_by_role("link", name=CONTINUE).click()
    at(page, "/profile/sessions")
    expect(page.locator(".account-chip")).to_contain_text(tenant.account.name)
    expect(page.locator(".notice")).to_contain_text("your own password")  # what such a login may not
    assert Session.objects.get(user=known).method == "oidc"
    visitor.open("/profile")
    expect(page.locator(".notice")).to_contain_text("An identity provider signed you in")
    visitor.open("/groups")
    expect(page.get_by_role("heading", level=1)).to_have_text("Groups")
    others_only(visitor, openid.issuer)


@pytest.mark.usefixtures("provider")
def test_an_answer_that_began_in_another_browser_signs_nobody_in(
    visitor: Person, person: Arrive, openid: OpenIdProvider, known: User
) -> None:
    """Somebody begins, stops at our door, and has another person follow the link."""
    ask(visitor.page, known)
    link = visitor.page.get_by_role("link", name=CONTINUE).get_attribute("href")
    back = openid.browse(str(link))
    other = person()
    other.open("/sign-on/oauth?" + str(httpx.QueryParams(back)))
    expect(other.page.get_by_role("alert")).to_contain_text("did not begin in this browser")
    assert not Session.objects.filter(user=known).exists()
    visitor.open("/sign-on/oauth?" + str(httpx.QueryParams({**back, "state": back["state"][:-1] + "x"})))
    expect(visitor.page.get_by_role("alert")).to_contain_text("did not begin in this browser")
    other.at_ease()
    visitor.open("/sign-on/oauth?" + str(httpx.QueryParams(back)))  # it is good where it began
    at(visitor.page, "/")
    assert Session.objects.filter(user=known).count() == 1
    visitor.at_ease()


@pytest.mark.usefixtures("provider")
def test_what_a_provider_refuses_is_said_as_text(visitor: Person, openid: OpenIdProvider, known: User) -> None:
    ask(visitor.page, known)
    link = str(visitor.page.get_by_role("link", name=CONTINUE).get_attribute("href"))
    state = httpx.URL(link).params["state"]
    refused = {"state": state, "error": "access_denied", "error_description": "<b>not</b> you"}
    visitor.open("/sign-on/oauth?" + str(httpx.QueryParams(refused)))
    expect(visitor.page.get_by_role("alert")).to_have_text("The provider answered: <b>not</b> you")
    visitor.page.get_by_role("link", name="Back to the sign-in").click()
    at(visitor.page, "/sign-in")
    visitor.at_ease()


def test_who_has_no_provider_is_told_so_and_uses_the_password(visitor: Person, tenant: Tenant) -> None:
    ask(visitor.page, member(tenant))
    expect(visitor.page.locator(".notice")).to_contain_text("No single sign-on is set up")
    visitor.at_ease()


# -- LDAP ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: Any) -> Iterator[Slapd]:
    directory = Slapd(Path(tmp_path_factory.mktemp("slapd")))
    directory.start()
    directory.populate()
    yield directory
    directory.stop()


def test_by_a_directorys_password(visitor: Person, slapd: Slapd, tenant: Tenant) -> None:
    secrets = {name: SecretBytes(value) for name, value in SECRETS.items()}
    execute(tenant.alice, CreateProvider("ldap", "Directory", settings_of(slapd), secrets))
    user = member(tenant)
    slapd.person(user.email.partition("@")[0], mail=user.email)
    page = visitor.page
    ask(page, user, "/sign-in?next=/groups")
    page.get_by_label("Password at Directory").fill("wrong")
    page.get_by_role("button", name="Sign in with Directory").click()
    expect(page.get_by_role("alert")).to_contain_text("not right")
    page.get_by_label("Password at Directory").fill(LDAP_PASSWORD)
    page.get_by_role("button", name="Sign in with Directory").click()
    at(page, "/groups")
    assert Session.objects.get(user=user).method == "ldap"
    visitor.at_ease()


# -- SAML ----------------------------------------------------------------------------------------------------------


def at_the_provider(page: Page, peer: SamlPeer, login: str) -> None:
    """Whoever posts the request there is this person, as if they had just typed their password."""

    def posted(route: Route) -> None:
        route.continue_(post_data=f"{route.request.post_data}&login={login}")

    page.route(f"{peer.provider.base_url}/sso", posted)


def statement(user: User) -> dict[str, Any]:
    return {"name": user.email, "attributes": {"mail": user.email, "givenName": "Ada", "sn": "Lovelace"}}


def test_by_a_saml_provider_whose_page_posts_back(visitor: Person, peer: SamlPeer, tenant: Tenant) -> None:
    peer.register(tenant)
    user = member(tenant)
    peer.people(ada=statement(user))
    at_the_provider(visitor.page, peer, "ada")
    ask(visitor.page, user, "/sign-in?next=/groups")
    visitor.page.get_by_role("button", name=CONTINUE).click()
    at(visitor.page, "/groups")
    expect(visitor.page.locator(".account-chip")).to_contain_text(tenant.account.name)
    assert Session.objects.get(user=user).method == "saml"
    others_only(visitor, str(peer.provider.base_url))


def test_a_saml_response_posted_to_another_browser_signs_nobody_in(
    server: Site, peer: SamlPeer, tenant: Tenant
) -> None:
    peer.register(tenant)
    user = member(tenant)
    peer.people(ada=statement(user))
    way = peer.discover(tenant)
    response = peer.response(way, "ada")
    with httpx.Client(base_url=server.origin, verify=server.trust, timeout=30) as stranger:
        headers = {"Origin": str(peer.provider.base_url), "Accept": "text/html"}
        for relay in ({}, {"RelayState": way.id}):
            answered = stranger.post("/saml/acs", data={"SAMLResponse": response, **relay}, headers=headers)
            assert answered.status_code == 403
            assert "did not begin in this browser" in answered.text
            assert not stranger.cookies
    assert not Session.objects.filter(user=user).exists()


def test_only_the_page_with_the_form_may_post_to_the_provider(server: Site, peer: SamlPeer, tenant: Tenant) -> None:
    peer.register(tenant)
    user = member(tenant)
    with httpx.Client(base_url=server.origin, verify=server.trust, timeout=30) as client:
        before = client.get("/sign-in")
        (token, *_) = re.findall(r'name="csrfmiddlewaretoken" value="([^"]+)"', before.text)
        form = {"csrfmiddlewaretoken": token, "email": user.email, "discover": "yes"}
        asked = client.post("/sign-in", data=form, headers={"Origin": server.origin})
    where = urlsplit(str(peer.provider.base_url))
    assert targets(before) == "'self'"
    assert targets(asked) == f"'self' {where.scheme}://{where.netloc}"
    cookie = next(value for value in asked.headers.get_list("Set-Cookie") if value.startswith("__Host-sign-on-saml"))
    assert all(part in cookie for part in ("HttpOnly", "Secure", "SameSite=None", "Max-Age=600"))


def targets(answered: httpx.Response) -> str:
    policy = answered.headers["Content-Security-Policy"].split("; ")
    (found,) = [directive for directive in policy if directive.startswith("form-action ")]
    return str(found.removeprefix("form-action "))
