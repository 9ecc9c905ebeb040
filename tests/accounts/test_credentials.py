"""Headers to principals: whatever a stranger sends is a principal, nobody, or not authenticated, and nothing else."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from accounts.clock import clock
from accounts.credentials import (
    BasicCredential,
    BearerCredential,
    authenticate,
    digest,
    looks_like_app,
    new_app_secret,
    new_password,
    parse_authorization,
    user_of,
)
from accounts.errors import NotAuthenticated
from accounts.models import App
from accounts.principal import ANONYMOUS, Principal, PrincipalKind
from kms.operations.apps import ResetAppSecret
from kms.operations.executor import execute
from kms.operations.sessions import LogIn
from tests.kit.tenants import PASSWORD, Tenant, unique

# What a header may hold once the server has decoded it (RFC 9110 §5.5: octets, read as Latin-1).
header_text = st.text(st.characters(max_codepoint=255))
secrets = st.text(max_size=40)


def basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


@given(header_text | header_text.map("Basic ".__add__) | header_text.map("Bearer ".__add__))
@example("Basic é")
@example("Basic")
@example("Basic =")
@example("Bearer ")
@example("Basic " + base64.b64encode(b"no colon").decode())
@example("Basic " + base64.b64encode(b"\xff:x").decode())
@example("Basic " + base64.b64encode(b"a\0b:x").decode())
def test_any_header_is_a_credential_or_none_or_not_authenticated(header: str) -> None:
    try:
        found = parse_authorization(header)
    except NotAuthenticated:
        return
    assert isinstance(found, BasicCredential | BearerCredential) or (found is None and header == "")


@given(st.binary(max_size=80))
def test_any_basic_credential_is_taken_apart_or_not_authenticated(content: bytes) -> None:
    try:
        found = parse_authorization("Basic " + base64.b64encode(content).decode())
    except NotAuthenticated:
        return
    assert isinstance(found, BasicCredential)
    assert f"{found.username}:{found.password}".encode() == content


@given(st.text().filter(lambda text: ":" not in text and "\0" not in text), secrets)
def test_a_password_may_hold_colons_and_a_name_may_not(username: str, password: str) -> None:
    found = parse_authorization(basic(username, password))
    assert found == BasicCredential(username, password)


@given(secrets.map("canary-".__add__))
def test_no_credential_shows_its_secret(secret: str) -> None:
    assert secret not in repr(BasicCredential("user", secret))
    assert secret not in repr(BearerCredential(secret))


def test_any_header_at_all_leads_to_a_principal_or_not_authenticated(tenant: Tenant) -> None:
    now = clock.now()

    @given(
        header_text
        | header_text.map("Bearer ".__add__)
        | st.builds(basic, st.just(str(tenant.app.id)) | st.uuids().map(str) | st.text(), secrets)
    )
    def check(header: str) -> None:
        try:
            principal = authenticate(header, now)
        except NotAuthenticated:
            return
        assert principal is ANONYMOUS
        assert header == ""

    check()


def test_the_right_api_key_is_the_app_and_nothing_else_is(tenant: Tenant) -> None:
    username, secret = tenant.api_key()
    principal = authenticate(basic(username, secret), clock.now())
    assert (principal.kind, principal.id, principal.account) == (PrincipalKind.APP, tenant.app.id, tenant.account.id)
    for wrong in ("", secret[:-1], secret + "x", secret.swapcase(), " " + secret, secret + "\n"):
        with pytest.raises(NotAuthenticated, match="Invalid credentials"):
            authenticate(basic(username, wrong), clock.now())


@pytest.mark.parametrize("form", [str.upper, lambda i: "{" + i + "}", lambda i: "urn:uuid:" + i])
def test_other_spellings_of_an_apps_id_name_the_same_app(tenant: Tenant, form: object) -> None:
    username, secret = tenant.api_key()
    spelt = form(username)  # type: ignore[operator]  # the parameters are functions
    if ":" in spelt:
        with pytest.raises(NotAuthenticated):
            authenticate(basic(spelt, secret), clock.now())
    else:
        assert authenticate(basic(spelt, secret), clock.now()).id == tenant.app.id


def test_a_replaced_api_key_stops_working_and_the_new_one_works(tenant: Tenant) -> None:
    username, old = tenant.api_key()
    execute(tenant.alice, ResetAppSecret(tenant.app.id))
    with pytest.raises(NotAuthenticated):
        authenticate(basic(username, old), clock.now())
    assert authenticate(basic(*tenant.api_key()), clock.now()).id == tenant.app.id


def test_unknown_and_wrong_look_alike_from_outside(tenant: Tenant) -> None:
    """The reason, which goes to the record, tells them apart; the message, which leaves, does not."""
    email = tenant.users["administrator"].email
    tried = {
        "unknown-user": BasicCredential(f"{unique('nobody')}@example.org", PASSWORD),
        "wrong-password": BasicCredential(email, PASSWORD + "!"),
        "unknown-app": BasicCredential(str(tenant.account.id), "x"),
        "wrong-app-secret": BasicCredential(str(tenant.app.id), "x"),
    }
    messages = set()
    for reason, credential in tried.items():
        with pytest.raises(NotAuthenticated) as caught:
            execute(ANONYMOUS, LogIn(credential))
        assert caught.value.reason == reason
        messages.add(str(caught.value))
    assert messages == {"Invalid credentials"}


def test_an_unknown_user_costs_a_password_hash_too(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted, not timed."""
    from accounts import credentials

    checked = []
    real = credentials.check_password

    def counting(password: str, encoded: str, **options: Any) -> bool:
        checked.append((password, encoded))
        return real(password, encoded, **options)

    monkeypatch.setattr(credentials, "check_password", counting)
    for name in (f"{unique('nobody')}@example.org", tenant.users["administrator"].email):
        with pytest.raises(NotAuthenticated):
            user_of(BasicCredential(name, "wrong"))
    assert len(checked) == 2
    assert {encoded.split("$")[0] for _, encoded in checked} == {checked[0][1].split("$")[0]}


def test_a_user_without_a_usable_password_cannot_log_in(tenant: Tenant) -> None:
    user = tenant.users["administrator"]
    user.set_unusable_password()
    user.save()
    for password in ("", "!", PASSWORD, user.password):
        with pytest.raises(NotAuthenticated):
            user_of(BasicCredential(user.email, password))


def test_a_password_outside_login_is_refused_unchecked(tenant: Tenant) -> None:
    with pytest.raises(NotAuthenticated, match="session/auth only"):
        authenticate(basic(tenant.users["administrator"].email, PASSWORD), clock.now())


def test_emails_are_found_whatever_their_case_and_space(tenant: Tenant) -> None:
    email = tenant.users["administrator"].email
    assert user_of(BasicCredential(f"  {email.upper()} ", PASSWORD)).id == tenant.alice.id


def test_a_disabled_app_authenticates_but_does_not_log_in(tenant: Tenant) -> None:
    username, secret = tenant.api_key()
    App.objects.filter(id=tenant.app.id).update(enabled=False)
    with pytest.raises(NotAuthenticated, match="disabled"):
        execute(ANONYMOUS, LogIn(BasicCredential(username, secret)))


def test_secrets_are_long_and_never_repeat() -> None:
    assert len({new_app_secret() for _ in range(100)}) == 100
    assert len({new_password() for _ in range(100)}) == 100
    assert ":" not in new_app_secret(128)
    assert len(digest(new_app_secret())) == 32


@given(st.text())
def test_only_ids_look_like_apps(username: str) -> None:
    if "@" in username:
        assert not looks_like_app(BasicCredential(username, ""))


def test_what_is_remembered_of_a_principal_is_frozen(tenant: Tenant) -> None:
    principal = authenticate(basic(*tenant.api_key()), clock.now() + timedelta(days=1))
    assert isinstance(principal, Principal)
    with pytest.raises(AttributeError):
        principal.account = None  # type: ignore[misc]  # that is the test
