"""How an account's people log in, set over HTTP: auth_config of accounts and /sys/v1/identity_providers."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from accounts.clock import clock
from accounts.models import Account, IdentityProvider, Membership, Session, TotpDevice
from accounts.principal import AuthenticationMethod, Principal, PrincipalKind
from accounts.sessions import issue
from kms.audit.models import AuditRecord
from kms.hsm.errors import BlobRejected
from kms.operations.executor import execute
from kms.operations.providers import CreateProvider, opened_secrets
from kms.secret import SecretBytes
from tests.kit.http import serving
from tests.kit.tenants import PASSWORD, Tenant, new_tenant
from tests.sso.saml.forge import key_of, metadata

CANARY = "canary-7d1e55c0"
OAUTH = {
    "idp_name": "Directory",
    "idp_icon_url": "https://login.example.org/icon.png",
    "idp_authorization_endpoint": "https://login.example.org/authorize",
    "idp_token_endpoint": "https://login.example.org/token",
    "idp_userinfo_endpoint": "https://login.example.org/userinfo",
    "idp_requires_basic_auth": True,
    "tls": {"mode": "required", "validate_hostname": True, "ca": {"ca_set": "global_roots"}},
    "client_id": "keystead",
    "client_secret": CANARY,
    "auth_params": {"max_age": 60, "prompt": ["login"]},
}
LDAP = {
    "name": "Directory",
    "icon_url": "",
    "ldap_url": "ldaps://directory.example.org",
    "tls": {"mode": "required", "validate_hostname": True, "ca": {"ca_set": "global_roots"}},
    "dn_resolution": {"method": "search-by-mail"},
    "base_dn": "dc=example,dc=org",
}
OPEN = {"require_2fa": False, "administrators_only": False}


@pytest.fixture(scope="session")
def client(installation: None) -> Iterator[httpx.Client]:
    from kms.config.asgi import application

    with serving(application) as opened:
        yield opened


class Administrator:
    """Alice, logged in."""

    def __init__(self, client: httpx.Client, tenant: Tenant, who: Principal | None = None) -> None:
        self.tenant = tenant
        _, token = issue(who or tenant.alice, AuthenticationMethod.PASSWORD, clock.now(), clock.now())
        self._client, self._headers = client, {"Authorization": f"Bearer {token}"}
        self.account = f"/sys/v1/accounts/{tenant.account.id}"

    def send(self, method: str, path: str, body: Any = None) -> httpx.Response:
        return self._client.request(method, path, json=body, headers=self._headers)

    def configure(self, status: int = 200, **config: Any) -> dict[str, Any]:
        answer = self.send("PATCH", self.account, {"auth_config": config})
        assert answer.status_code == status, answer.text
        return dict(answer.json()["auth_config"]) if status == 200 else {"error": answer.text}

    def config(self) -> dict[str, Any]:
        return dict(self.send("GET", self.account).json()["auth_config"])


@pytest.fixture
def alice(client: httpx.Client, tenant: Tenant) -> Administrator:
    return Administrator(client, tenant)


@pytest.fixture(scope="module")
def shared(client: httpx.Client) -> Administrator:
    """For what is refused: it leaves nothing behind."""
    return Administrator(client, new_tenant())


def password_session(client: httpx.Client, tenant: Tenant, email: str) -> int:
    """How far a password gets into the account."""
    answer = client.post("/sys/v1/session/auth", auth=(email, PASSWORD))
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    client.post("/sys/v1/session/select_account", json={"acct_id": str(tenant.account.id)}, headers=headers)
    return client.get("/sys/v1/groups", headers=headers).status_code


# -- auth_config ---------------------------------------------------------------------------------------------------


def test_an_account_begins_with_passwords_for_everyone(alice: Administrator) -> None:
    assert alice.config() == {"password": {**OPEN, "allow_totp": False, "step_up_seconds": 0}}


def test_what_is_set_is_read_back_but_for_the_secret(alice: Administrator) -> None:
    found = alice.configure(password=OPEN, oauth=OAUTH)
    assert found["oauth"] == {
        **OAUTH,
        "client_secret": "",
        "issuer": "",
        "scopes": ["openid", "email", "profile"],
        "groups_claim": "",
        "self_provision_role": "",
    }
    assert found == alice.config()


def test_read_change_and_write_keeps_the_secret_and_the_sessions(alice: Administrator) -> None:
    alice.configure(password=OPEN, oauth=OAUTH)
    row = IdentityProvider.objects.get(account=alice.tenant.account)
    session = vouched_session(alice.tenant, row)
    config = alice.config()
    config["password"]["administrators_only"] = True
    config["oauth"]["idp_name"] = "Another name"
    alice.configure(**config)
    row.refresh_from_db()
    assert (row.name, opened_secrets(row)) == ("Another name", {"client_secret": CANARY.encode()})
    assert Session.objects.get(id=session).terminated_at is None
    alice.configure(**{**config, "oauth": {**config["oauth"], "auth_params": None}})
    assert Session.objects.get(id=session).terminated_at is not None


def vouched_session(tenant: Tenant, row: IdentityProvider) -> Any:
    user = tenant.users["administrator"]
    who = Principal(PrincipalKind.USER, user.id, tenant.account.id, AuthenticationMethod.OIDC, provider=row.id)
    return issue(who, AuthenticationMethod.OIDC, clock.now(), clock.now())[0].id


@pytest.mark.parametrize(
    "changed",
    [
        {"idp_token_endpoint": "https://mallory.example.org/token"},
        {"client_id": "another"},
        {
            "issuer": "https://mallory.example.org",
            "idp_authorization_endpoint": "",
            "idp_token_endpoint": "",
            "idp_userinfo_endpoint": None,
        },
    ],
    ids=["token endpoint", "client", "issuer"],
)
def test_a_secret_goes_nowhere_else(alice: Administrator, changed: dict[str, Any]) -> None:
    """Whoever may change the address but does not know the secret would have it sent to themselves."""
    alice.configure(password=OPEN, oauth=OAUTH)
    refused = alice.configure(400, password=OPEN, oauth={**OAUTH, "client_secret": "", **changed})
    assert "client_secret is needed" in refused["error"]
    assert alice.config()["oauth"]["idp_token_endpoint"] == OAUTH["idp_token_endpoint"]
    found = alice.configure(password=OPEN, oauth={**OAUTH, "client_secret": "known", **changed})
    assert found["oauth"]["client_id"] == changed.get("client_id", OAUTH["client_id"])


def test_what_is_left_out_is_turned_off_and_remembered(alice: Administrator) -> None:
    alice.configure(password=OPEN, oauth=OAUTH)
    row = IdentityProvider.objects.get(account=alice.tenant.account)
    session = vouched_session(alice.tenant, row)
    assert "oauth" not in alice.configure(password=OPEN)
    row.refresh_from_db()
    assert not row.enabled
    assert Session.objects.get(id=session).terminated_at is not None
    alice.configure(password=OPEN, oauth={**OAUTH, "client_secret": ""})
    row.refresh_from_db()
    assert row.enabled


def test_without_passwords_administrators_still_get_in(client: httpx.Client, alice: Administrator) -> None:
    tenant = alice.tenant
    tenant.member("member")
    member, administrator = tenant.users["member"].email, tenant.users["administrator"].email
    assert password_session(client, tenant, member) == 200
    assert "nobody could log in" in alice.configure(400)["error"]
    assert alice.configure(oauth=OAUTH)["password"]["administrators_only"]
    assert password_session(client, tenant, member) == 403
    assert password_session(client, tenant, administrator) == 200
    alice.configure(password={**OPEN, "administrators_only": False})
    assert password_session(client, tenant, member) == 200


def test_a_second_factor_is_demanded_by_who_has_one(alice: Administrator) -> None:
    demanded = {**OPEN, "require_2fa": True}
    for rules in (demanded, {**demanded, "allow_totp": True}):
        assert "Enrol" in alice.configure(409, password=rules)["error"]
    TotpDevice.objects.create(
        user=alice.tenant.users["administrator"], name="phone", confirmed=True, key_sealed=b"x", last_step=-1
    )
    # Who owns a factor shows it from now on; this session has not.
    Session.objects.filter(user_id=alice.tenant.alice.id).update(second_factor="totp", second_factor_at=clock.now())
    assert "Enrol" in alice.configure(409, password=demanded)["error"]  # a one-time password is no security key
    found = alice.configure(password={**demanded, "allow_totp": True})["password"]
    assert found == {**demanded, "allow_totp": True, "step_up_seconds": 900}
    account = Account.objects.get(id=alice.tenant.account.id)
    assert (account.second_factor, account.step_up_seconds) == ("any", 900)
    Session.objects.filter(user_id=alice.tenant.alice.id).update(second_factor="")
    assert alice.send("GET", "/sys/v1/groups").status_code == 403


def test_an_old_proof_does_not_change_how_people_log_in(alice: Administrator) -> None:
    alice.configure(password={**OPEN, "step_up_seconds": 300})
    Session.objects.filter(user_id=alice.tenant.alice.id).update(authenticated_at=clock.now() - timedelta(seconds=301))
    for method, path, body in (
        ("PATCH", alice.account, {"auth_config": {"password": OPEN}}),
        ("GET", "/sys/v1/identity_providers", None),
        ("POST", "/sys/v1/identity_providers", {"kind": "oidc", "name": "x", "config": {}}),
    ):
        assert alice.send(method, path, body).status_code == 403
    assert alice.send("PATCH", alice.account, {"description": "x"}).status_code == 200


@pytest.mark.parametrize("seconds", [-1, 1, 59, 86401])
def test_how_old_a_proof_may_be_has_bounds(shared: Administrator, seconds: int) -> None:
    assert "step_up_seconds" in shared.configure(400, password={**OPEN, "step_up_seconds": seconds})["error"]


@pytest.mark.parametrize("field", ["signed_jwt", "vcd"])
def test_what_is_not_offered_is_refused_by_name(shared: Administrator, field: str) -> None:
    assert field in shared.configure(400, password=OPEN, **{field: {}})["error"]


@pytest.mark.parametrize("role", ["auditor", "member"])
def test_others_neither_see_nor_change_how_people_log_in(client: httpx.Client, alice: Administrator, role: str) -> None:
    alice.configure(password=OPEN, oauth=OAUTH)
    other = Administrator(client, alice.tenant, alice.tenant.member(role))
    assert other.config() == {"password": {**OPEN, "allow_totp": False, "step_up_seconds": 0}}
    bodies: tuple[dict[str, Any], ...] = (
        {"auth_config": {"password": OPEN}},
        {"del_ldap": []},
        {"add_ldap": []},
        {"mod_ldap": {}},
    )
    for body in bodies:
        assert other.send("PATCH", other.account, body).status_code == 403
    row = IdentityProvider.objects.get(account=alice.tenant.account)
    assert other.send("POST", f"/sys/v1/identity_providers/{row.id}/test").status_code == 404


def test_an_account_shows_nothing_of_this_to_others(client: httpx.Client, alice: Administrator) -> None:
    alice.configure(password=OPEN, oauth=OAUTH)
    stranger = new_tenant()
    Membership.objects.create(user=stranger.users["administrator"], account=alice.tenant.account, role="administrator")
    seen = Administrator(client, stranger).send("GET", alice.account)
    assert seen.status_code == 200
    assert "auth_config" not in seen.json()


# -- providers by id -----------------------------------------------------------------------------------------------

ISSUER = {"issuer": "https://login.example.org", "client_id": "keystead"}


def create(alice: Administrator, **changed: Any) -> httpx.Response:
    body = {"kind": "oidc", "name": "One", "config": ISSUER, "secrets": {"client_secret": CANARY}, **changed}
    return alice.send("POST", "/sys/v1/identity_providers", body)


def test_an_account_has_several_of_a_kind(alice: Administrator) -> None:
    one, two = create(alice).json(), create(alice, name="Two", enabled=False).json()
    listed = alice.send("GET", "/sys/v1/identity_providers").json()
    assert [each["provider_id"] for each in listed] == [one["provider_id"], two["provider_id"]]
    assert alice.config()["oauth"]["idp_name"] == "One"
    path = f"/sys/v1/identity_providers/{one['provider_id']}"
    assert alice.send("PATCH", path, {"enabled": False}).json()["enabled"] is False
    assert "oauth" not in alice.config()
    assert alice.send("DELETE", path).status_code == 204
    assert alice.send("GET", path).status_code == 404


def test_settings_read_are_settings_that_can_be_written(alice: Administrator) -> None:
    made = create(alice).json()
    path = f"/sys/v1/identity_providers/{made['provider_id']}"
    again = alice.send("PATCH", path, {"config": made["config"]})
    assert again.status_code == 200, again.text
    assert again.json() == made


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "client_id"),
        ({"client_id": "x"}, "issuer"),
        ({**ISSUER, "token_endpoint": "https://login.example.org/t"}, "token_endpoint"),
        ({**ISSUER, "nonsense": 1}, "nonsense"),
        ({**ISSUER, "scopes": ["email"]}, "openid"),
        ({**ISSUER, "scopes": ["openid", "a b"]}, "scopes"),
        ({**ISSUER, "scopes": "openid"}, "scopes"),
        ({**ISSUER, "scopes": [1]}, "scopes"),
        ({**ISSUER, "client_id": 7}, "client_id"),
        ({**ISSUER, "client_id": "a\nb"}, "client_id"),
        ({**ISSUER, "basic_auth": "yes"}, "basic_auth"),
        ({**ISSUER, "issuer": "https://login.example.org?x=1"}, "issuer"),
        ({**ISSUER, "auth_params": {"max_age": -1}}, "max_age"),
        ({**ISSUER, "auth_params": {"max_age": True}}, "max_age"),
        ({**ISSUER, "auth_params": {"prompt": ["none", "login"]}}, "prompt"),
        ({**ISSUER, "auth_params": {"redirect_uri": "https://mallory.example.org"}}, "redirect_uri"),
        ({**ISSUER, "auth_params": {"prompt": [["login"]]}}, "prompt"),
        ({**ISSUER, "self_provision_role": "administrator"}, "self_provision_role"),
        ({**ISSUER, "self_provision_role": {}}, "self_provision_role"),
        ({**ISSUER, "tls": {"mode": "disabled"}}, "mode"),
        ({**ISSUER, "tls": {"mode": "required", "validate_hostname": False}}, "validate_hostname"),
        ({**ISSUER, "tls": {"mode": "required", "ca": {"pinned": ["eA=="]}}}, "certificate"),
        ({**ISSUER, "tls": {"mode": "required", "ca": {"pinned": []}}}, "pinned"),
        ({**ISSUER, "tls": {"authorities": ["x"]}}, "certificate"),
        ({**ISSUER, "tls": []}, "tls"),
    ],
    ids=str,
)
def test_wrong_settings_are_refused_by_name(shared: Administrator, config: dict[str, Any], said: str) -> None:
    answer = create(shared, config=config)
    assert answer.status_code == 400, answer.text
    assert said in answer.text
    assert CANARY not in answer.text


@pytest.mark.parametrize(
    "changed",
    [
        {"kind": "kerberos"},
        {"name": ""},
        {"name": "a\u202eb"},
        {"name": "x" * 257},
        {"icon_url": "javascript:alert(1)"},
        {"icon_url": "https://a b"},
        {"secrets": {"another": "x"}},
        {"secrets": {}},
    ],
    ids=str,
)
def test_wrong_providers_are_refused(shared: Administrator, changed: dict[str, Any]) -> None:
    assert create(shared, **changed).status_code == 400


def test_there_is_an_end_to_providers(alice: Administrator) -> None:
    IdentityProvider.objects.bulk_create(
        IdentityProvider(account=alice.tenant.account, kind="oidc", name=str(number)) for number in range(32)
    )
    assert create(alice).status_code == 409


def test_a_secret_is_nowhere_in_clear(alice: Administrator) -> None:
    made = create(alice)
    path = f"/sys/v1/identity_providers/{made.json()['provider_id']}"
    alice.send("PATCH", path, {"secrets": {"client_secret": CANARY + "2"}})
    row = IdentityProvider.objects.get(id=made.json()["provider_id"])
    assert opened_secrets(row) == {"client_secret": (CANARY + "2").encode()}
    shown = [made.text, alice.send("GET", path).text, json.dumps(row.config), alice.send("GET", alice.account).text]
    shown += [str(entry.details) for entry in AuditRecord.objects.filter(account_id=alice.tenant.account.id)]
    assert not [text for text in shown if CANARY in text]
    assert CANARY.encode() not in bytes(row.secret_sealed or b"")


def test_a_sealed_secret_does_not_open_in_another_row(tenant: Tenant) -> None:
    secrets = {"client_secret": SecretBytes(b"x")}
    one, two = (execute(tenant.alice, CreateProvider("oidc", name, ISSUER, secrets)) for name in ("One", "Two"))
    two.secret_sealed = one.secret_sealed
    with pytest.raises(BlobRejected):
        opened_secrets(two)


# -- other kinds ---------------------------------------------------------------------------------------------------


def test_metadata_is_replaced_and_what_it_does_not_say_stays(alice: Administrator) -> None:
    first, second = metadata(key_of("rsa")), metadata(key_of("rsa"), key_of("ec"))
    assert alice.configure(password=OPEN, saml=first)["saml"] == first
    (made,) = alice.send("GET", "/sys/v1/identity_providers").json()
    path = f"/sys/v1/identity_providers/{made['provider_id']}"
    changed = {"name": "Login", "config": {**made["config"], "groups_attribute": "memberOf"}}
    assert alice.send("PATCH", path, changed).status_code == 200
    assert alice.configure(password=OPEN, saml=second)["saml"] == second
    found = alice.send("GET", path).json()
    assert (found["name"], found["config"]["groups_attribute"]) == ("Login", "memberOf")
    assert len(found["derived"]["certificates"]) == 2
    assert "certificates" not in found["config"]
    assert "saml" not in alice.configure(password=OPEN, saml="")
    assert "metadata" in alice.configure(400, password=OPEN, saml="<x/>")["error"]


def test_only_directories_are_removed_as_such(client: httpx.Client, alice: Administrator) -> None:
    oauth = create(alice).json()["provider_id"]
    other = Administrator(client, new_tenant())
    theirs = other.send("PATCH", other.account, {"add_ldap": [LDAP]}).json()["auth_config"]["ldap"]
    (their_id,) = theirs
    for removed, status in ((oauth, 400), (their_id, 404)):
        assert alice.send("PATCH", alice.account, {"del_ldap": [removed]}).status_code == status
        assert alice.send("PATCH", alice.account, {"mod_ldap": {removed: LDAP}}).status_code == status
    again = other.send("PATCH", other.account, {"mod_ldap": theirs, "add_ldap": [LDAP]}).json()["auth_config"]["ldap"]
    assert len(again) == 2
    assert again[their_id] == theirs[their_id]
    left = other.send("PATCH", other.account, {"del_ldap": [*again]}).json()["auth_config"]
    assert "ldap" not in left


# -- discovery -----------------------------------------------------------------------------------------------------


def discover(client: httpx.Client, body: Any, account: Any = None) -> httpx.Response:
    query = {} if account is None else {"acct_id": str(account)}
    return client.post("/sys/v1/session/auth/discover", json=body, params=query)


def directory(tenant: Tenant) -> IdentityProvider:
    """Asked nothing when a login begins."""
    config = {
        "client_id": "keystead",
        "authorization_endpoint": "https://login.example.org/a",
        "token_endpoint": "https://login.example.org/t",
        "userinfo_endpoint": "https://login.example.org/u",
    }
    row: IdentityProvider = execute(
        tenant.alice, CreateProvider("oidc", "Directory", config, {"client_secret": SecretBytes(b"x")})
    )
    return row


def test_who_is_unknown_disabled_or_has_only_a_password_is_answered_alike(client: httpx.Client, tenant: Tenant) -> None:
    other = new_tenant()
    row = directory(other)
    emails = ["nobody@example.org", "", "x" * 5000, tenant.users["administrator"].email]
    for enabled, pending in ((False, False), (True, True), (False, True)):
        other.member("member", enabled=enabled)
        user = other.users["member"]
        Membership.objects.filter(user=user).update(invitation_pending=pending)
        emails.append(user.email)
    answers = {discover(client, {"user_email": email}).content for email in emails}
    answers.add(discover(client, {}).content)
    assert answers == {b'[{"method":"password"}]'}
    IdentityProvider.objects.filter(id=row.id).update(enabled=False)
    assert discover(client, {"user_email": other.users["administrator"].email}).content in answers


def test_members_see_their_providers_and_others_name_the_account(client: httpx.Client, tenant: Tenant) -> None:
    row = directory(tenant)
    tenant.member("member")
    email = tenant.users["member"].email
    for answer in (discover(client, {"user_email": f" {email.upper()} "}), discover(client, {}, tenant.account.id)):
        oauth, password = answer.json()
        assert password == {"method": "password"}
        assert oauth["idp_id"] == base64.b64encode(row.id.bytes).decode()
        assert oauth["authorization_url"].startswith(
            "https://login.example.org/a?response_type=code&client_id=keystead"
        )
        assert oauth["redirect_uri"].endswith("/sign-on/oauth")


def test_an_account_does_not_show_its_directory_to_members_of_others(client: httpx.Client, tenant: Tenant) -> None:
    """Its own provider said that the person is one of its people; the person never did."""
    directory(tenant)
    stranger = new_tenant()
    user = stranger.users["administrator"]
    brought = Membership.objects.create(user=user, account=tenant.account, role="member", self_provisioned=True)
    assert discover(client, {"user_email": user.email}).json() == [{"method": "password"}]
    brought.self_provisioned = False
    brought.save()
    assert len(discover(client, {"user_email": user.email}).json()) == 2


def test_what_the_cli_sends_along_is_neither_kept_nor_shown(client: httpx.Client, tenant: Tenant) -> None:
    before = AuditRecord.objects.count()
    body = {"user_email": "nobody@example.org", "password": CANARY, "email": None, "func": None, "account_name": "x"}
    answer = discover(client, body)
    assert (answer.status_code, answer.json()) == (200, [{"method": "password"}])
    entries = AuditRecord.objects.order_by("sequence")[before:]
    assert [entry.action for entry in entries] == ["sign-on.discover"]
    assert CANARY not in str([entry.details for entry in entries])
    assert CANARY not in answer.text


@pytest.mark.parametrize("account", ["self", "not-an-id", "00000000-0000-0000-0000-000000000000"])
def test_an_account_that_is_none_has_no_providers(client: httpx.Client, account: str) -> None:
    answer = discover(client, {"user_email": "a@example.org"}, account)
    assert answer.status_code in (200, 400)
    assert "oauth" not in answer.text


@pytest.mark.parametrize("given", ["", "!!", "AAAA", base64.b64encode(bytes(15)).decode(), 7, None, [], "z" * 36])
def test_a_login_by_a_provider_that_is_none_is_refused(client: httpx.Client, given: Any) -> None:
    body = {"method": "oauth-auth-code", "idp_id": given, "code": "c", "state": "s", "email": "a@example.org"}
    assert client.post("/sys/v1/session/auth", json=body).status_code == 400


def test_a_login_by_an_unknown_provider_is_a_failed_login(client: httpx.Client) -> None:
    idp = base64.b64encode(bytes(16)).decode()
    body = {"method": "oauth-auth-code", "idp_id": idp, "code": "c", "state": "s", "email": "a@example.org"}
    answer = client.post("/sys/v1/session/auth", json=body)
    assert (answer.status_code, answer.text) == (401, "Invalid credentials")
