"""Logins by a real OpenID provider in a process of its own, over HTTP as a client goes about them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import httpx
import pytest

from accounts.addresses import normalised
from accounts.clock import clock
from accounts.models import (
    Account,
    ExternalGrant,
    ExternalIdentity,
    ExternalRole,
    ExternalRoleGroup,
    IdentityProvider,
    Membership,
    PendingSignOn,
    Session,
    User,
)
from kms.operations.executor import execute
from kms.operations.providers import UpdateProvider
from kms.operations.users import RemoveUser, UpdateUser
from kms.secret import SecretBytes
from tests.kit.tenants import PASSWORD, Tenant, new_tenant, new_user, unique
from tests.sso.oidc.openid import OpenIdProvider, secret_of

REFUSED = (401, "Invalid credentials")


@pytest.fixture
def provider(openid: OpenIdProvider, tenant: Tenant) -> IdentityProvider:
    return openid.add_to(tenant)


@pytest.fixture
def member(tenant: Tenant) -> User:
    tenant.member("member")
    return tenant.users["member"]


def begin(client: httpx.Client, provider: IdentityProvider) -> dict[str, Any]:
    path = f"/sys/v1/session/auth/discover?acct_id={provider.account_id}"
    methods = client.post(path, json={"user_email": "somebody@example.org"}).json()
    (found,) = [method for method in methods if method["method"] == "oauth-auth-code-grant"]
    return dict(found)


def finish(client: httpx.Client, method: dict[str, Any], back: dict[str, str], **changed: Any) -> httpx.Response:
    body = {"method": "oauth-auth-code", "idp_id": method["idp_id"], "email": "somebody@example.org", **back, **changed}
    return client.post("/sys/v1/session/auth", json=body)


def log_in(openid: OpenIdProvider, client: httpx.Client, provider: IdentityProvider) -> httpx.Response:
    method = begin(client, provider)
    return finish(client, method, openid.browse(method["authorization_url"]))


def outcome(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.text


def bearer(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def known(openid: OpenIdProvider, user: User, **claims: Any) -> str:
    """This user sits at the browser."""
    subject = unique("subject")
    openid.log_in(subject, email=user.email, email_verified=True, **claims)
    return subject


# -- who comes in --------------------------------------------------------------------------------------------------


def test_a_member_comes_into_the_account_and_nowhere_else(
    openid: OpenIdProvider, client: httpx.Client, tenant: Tenant, provider: IdentityProvider, member: User
) -> None:
    other = new_tenant()
    Membership.objects.create(user=member, account=other.account, role="administrator")
    known(openid, member)
    answer = log_in(openid, client, provider)
    assert answer.json()["entity_id"] == str(member.id)
    headers = bearer(answer)
    assert client.get("/sys/v1/groups", headers=headers).status_code == 200
    into = client.post("/sys/v1/session/select_account", json={"acct_id": str(other.account.id)}, headers=headers)
    assert into.status_code == 403
    again = client.post("/sys/v1/session/select_account", json={"acct_id": str(tenant.account.id)}, headers=headers)
    assert again.status_code == 200


def test_a_client_may_show_its_secret_in_the_body(
    openid: OpenIdProvider, client: httpx.Client, tenant: Tenant, member: User
) -> None:
    known(openid, member)
    posting = openid.add_to(tenant, client_id="keystead-post", basic_auth=False)
    assert log_in(openid, client, posting).status_code == 200


def test_an_invitation_is_accepted_by_logging_in(
    openid: OpenIdProvider, client: httpx.Client, tenant: Tenant, provider: IdentityProvider
) -> None:
    invited = new_user()
    Membership.objects.create(user=invited, account=tenant.account, role="auditor", invitation_pending=True)
    known(openid, invited)
    assert log_in(openid, client, provider).status_code == 200
    assert not Membership.objects.get(user=invited, account=tenant.account).invitation_pending


def test_nobody_else_comes_in(
    openid: OpenIdProvider, client: httpx.Client, provider: IdentityProvider, member: User
) -> None:
    for user in (new_user(), User(email=f"{unique('nobody')}@example.org")):
        known(openid, user)
        assert outcome(log_in(openid, client, provider)) == REFUSED
    for claims in ({"email_verified": False}, {}):
        openid.log_in(unique("subject"), email=member.email, **claims)
        assert outcome(log_in(openid, client, provider)) == REFUSED


def test_where_the_account_says_so_anyone_the_provider_knows_comes_in(
    openid: OpenIdProvider, client: httpx.Client, tenant: Tenant
) -> None:
    provider = openid.add_to(tenant, self_provision_role="auditor")
    email = f"{unique('New.Person')}@Example.org"
    openid.log_in(unique("s"), email=email, email_verified=True, given_name="New", family_name="Person")
    answer = log_in(openid, client, provider)
    user = User.objects.get(id=answer.json()["entity_id"])
    assert (user.email, user.first_name, user.last_name) == (normalised(email), "New", "Person")
    # One account's provider speaks for that account only: the address stays unconfirmed, and there is no password.
    assert (user.email_verified, user.has_usable_password()) == (False, False)
    membership = Membership.objects.get(user=user)
    assert (membership.role, membership.account_id) == ("auditor", tenant.account.id)
    assert log_in(openid, client, provider).status_code == 200
    assert ExternalIdentity.objects.filter(user=user).count() == 1


def test_whoever_made_a_user_elsewhere_does_not_come_in_as_them(
    openid: OpenIdProvider, client: httpx.Client, tenant: Tenant
) -> None:
    """Another account invited the address first and knows the password it was given."""
    provider = openid.add_to(tenant, self_provision_role="member")
    stranger = new_user()
    User.objects.filter(id=stranger.id).update(email_verified=False)
    known(openid, stranger)
    assert outcome(log_in(openid, client, provider)) == REFUSED
    Membership.objects.create(user=stranger, account=new_tenant().account, role="member")
    assert outcome(log_in(openid, client, provider)) == REFUSED
    User.objects.filter(id=stranger.id).update(email_verified=True)
    assert log_in(openid, client, provider).status_code == 200


# -- who somebody is -----------------------------------------------------------------------------------------------


def test_a_changed_address_at_the_provider_is_the_same_person(
    openid: OpenIdProvider, client: httpx.Client, tenant: Tenant, provider: IdentityProvider, member: User
) -> None:
    subject = known(openid, member)
    assert log_in(openid, client, provider).status_code == 200
    openid.log_in(subject, email=tenant.users["administrator"].email, email_verified=True)
    assert log_in(openid, client, provider).json()["entity_id"] == str(member.id)


def test_an_address_that_went_to_somebody_else_is_not_them(
    openid: OpenIdProvider, client: httpx.Client, provider: IdentityProvider, member: User
) -> None:
    known(openid, member)
    assert log_in(openid, client, provider).status_code == 200
    known(openid, member)  # the same address, another subject
    assert outcome(log_in(openid, client, provider)) == REFUSED


@pytest.mark.parametrize("how", ["user", "account", "provider", "removed"])
def test_who_is_disabled_is_out_at_once_and_stays_out(
    how: str, openid: OpenIdProvider, client: httpx.Client, tenant: Tenant, provider: IdentityProvider, member: User
) -> None:
    known(openid, member)
    headers, method = bearer(log_in(openid, client, provider)), begin(client, provider)
    back = openid.browse(method["authorization_url"])
    if how == "user":
        execute(tenant.alice, UpdateUser(member.id, enabled=False))
    elif how == "removed":
        execute(tenant.alice, RemoveUser(member.id))
    elif how == "provider":
        execute(tenant.alice, UpdateProvider(provider.id, enabled=False))
    else:
        Account.objects.filter(id=tenant.account.id).update(enabled=False)
    assert client.get("/sys/v1/groups", headers=headers).status_code in (401, 403)
    assert outcome(finish(client, method, back)) == REFUSED


def test_a_changed_provider_ends_the_sessions_it_opened_and_a_new_name_does_not(
    openid: OpenIdProvider, client: httpx.Client, tenant: Tenant, provider: IdentityProvider, member: User
) -> None:
    known(openid, member)
    headers = bearer(log_in(openid, client, provider))
    execute(tenant.alice, UpdateProvider(provider.id, name="Another name", icon_url="https://example.org/icon.png"))
    assert client.get("/sys/v1/groups", headers=headers).status_code == 200
    execute(tenant.alice, UpdateProvider(provider.id, config=openid.settings(groups_claim="groups")))
    assert client.get("/sys/v1/groups", headers=headers).status_code == 401
    provider.refresh_from_db()
    assert log_in(openid, client, provider).status_code == 200


# -- groups --------------------------------------------------------------------------------------------------------


def test_groups_at_the_provider_are_roles_here_until_they_are_taken_away(
    openid: OpenIdProvider, client: httpx.Client, tenant: Tenant, member: User
) -> None:
    provider = openid.add_to(tenant, groups_claim="groups", scopes=["openid", "email", "groups"])
    role = ExternalRole.objects.create(account=tenant.account, provider=provider, name="Custodians")
    ExternalRoleGroup.objects.create(role=role, account=tenant.account, group=tenant.group, user_role="administrator")
    path = f"/sys/v1/groups/{tenant.group.id}"
    subject = known(openid, member, groups=["Custodians", "Others"])
    first = bearer(log_in(openid, client, provider))
    assert client.get(path, headers=first).status_code == 200
    password = client.post("/sys/v1/session/auth", auth=(member.email, PASSWORD))
    client.post("/sys/v1/session/select_account", json={"acct_id": str(tenant.account.id)}, headers=bearer(password))
    assert client.get(path, headers=bearer(password)).status_code == 404  # the provider's word counts in its sessions
    stated: tuple[dict[str, Any], ...] = ({"groups": ["custodians"]}, {"groups": []}, {})
    for groups in stated:
        ExternalGrant.objects.get_or_create(role=role, user=member)
        openid.log_in(subject, email=member.email, email_verified=True, **groups)
        log_in(openid, client, provider)
        assert client.get(path, headers=first).status_code == 404, groups  # of the older session as well


# -- a login is one login ------------------------------------------------------------------------------------------


def test_a_login_comes_back_once(
    openid: OpenIdProvider, client: httpx.Client, provider: IdentityProvider, member: User
) -> None:
    known(openid, member)
    method = begin(client, provider)
    back = openid.browse(method["authorization_url"])
    assert finish(client, method, back).status_code == 200
    assert outcome(finish(client, method, back)) == REFUSED
    fresh = begin(client, provider)
    assert outcome(finish(client, fresh, back, state=fresh["state"])) == REFUSED  # the code is used up as well


def test_a_failed_login_has_come_back_too(
    openid: OpenIdProvider, client: httpx.Client, provider: IdentityProvider, member: User
) -> None:
    known(openid, member)
    method = begin(client, provider)
    back = openid.browse(method["authorization_url"])
    assert outcome(finish(client, method, back, code="another-code")) == REFUSED
    assert outcome(finish(client, method, back)) == REFUSED


def test_codes_and_states_of_two_logins_do_not_mix(
    openid: OpenIdProvider, client: httpx.Client, provider: IdentityProvider, member: User
) -> None:
    """The verifier is one login's: with another's, PKCE fails at the provider."""
    known(openid, member)
    one, two = begin(client, provider), begin(client, provider)
    back = openid.browse(one["authorization_url"])
    assert outcome(finish(client, two, back, state=two["state"])) == REFUSED


@pytest.mark.parametrize("state", ["another", "", None])
def test_an_answer_that_nobody_asked_for_is_refused(
    state: str | None, openid: OpenIdProvider, client: httpx.Client, provider: IdentityProvider, member: User
) -> None:
    known(openid, member)
    method = begin(client, provider)
    back = openid.browse(method["authorization_url"])
    answer = finish(client, method, back, state=state)
    assert answer.status_code == (401 if state else 400)


def test_a_login_is_over_after_ten_minutes(
    openid: OpenIdProvider, client: httpx.Client, provider: IdentityProvider, member: User
) -> None:
    known(openid, member)
    method = begin(client, provider)
    back = openid.browse(method["authorization_url"])
    pending = PendingSignOn.objects.filter(provider=provider)
    assert timedelta(minutes=9) < pending.get().expires_at - clock.now() <= timedelta(minutes=10)
    pending.update(expires_at=clock.now())
    assert outcome(finish(client, method, back)) == REFUSED
    begin(client, provider)  # a new login removes those that never came back
    assert PendingSignOn.objects.filter(provider=provider).count() == 1


def test_a_login_is_bound_to_its_provider(
    openid: OpenIdProvider, client: httpx.Client, tenant: Tenant, provider: IdentityProvider, member: User
) -> None:
    known(openid, member)
    elsewhere = openid.add_to(new_tenant(), self_provision_role="member")
    method, other = begin(client, provider), begin(client, elsewhere)
    back = openid.browse(method["authorization_url"])
    assert outcome(finish(client, other, back)) == REFUSED


@pytest.mark.parametrize("changed", [{"code_challenge": None}, {"code_challenge_method": "plain"}])
def test_a_browser_cannot_talk_pkce_away(
    changed: dict[str, str | None],
    openid: OpenIdProvider,
    client: httpx.Client,
    provider: IdentityProvider,
    member: User,
) -> None:
    """Whoever sits between takes the challenge out, or weakens it: the verifier goes to the provider all the same."""
    known(openid, member)
    method = begin(client, provider)
    back = openid.browse(with_query(method["authorization_url"], changed))
    assert "code" not in back or outcome(finish(client, method, back)) == REFUSED


def test_a_nonce_that_the_browser_was_given_by_another_is_noticed(
    openid: OpenIdProvider, client: httpx.Client, provider: IdentityProvider, member: User
) -> None:
    known(openid, member)
    method = begin(client, provider)
    back = openid.browse(with_query(method["authorization_url"], {"nonce": "another"}))
    assert outcome(finish(client, method, back)) == REFUSED


def test_a_code_for_another_client_is_no_code(
    openid: OpenIdProvider, client: httpx.Client, provider: IdentityProvider, member: User
) -> None:
    known(openid, member)
    method = begin(client, provider)
    back = openid.browse(with_query(method["authorization_url"], {"client_id": "another"}))
    assert outcome(finish(client, method, back)) == REFUSED


def with_query(url: str, changed: dict[str, str | None]) -> str:
    parts = urlsplit(url)
    query = {**dict(parse_qsl(parts.query)), **changed}
    return urlunsplit(parts._replace(query=urlencode({name: value for name, value in query.items() if value})))


# -- the provider's own life ---------------------------------------------------------------------------------------


def test_new_keys_at_the_provider_are_found_without_a_restart(
    openid: OpenIdProvider, client: httpx.Client, provider: IdentityProvider, member: User, monkeypatch: Any
) -> None:
    known(openid, member)
    assert log_in(openid, client, provider).status_code == 200
    monkeypatch.setattr("accounts.jwks.REFETCH_SECONDS", 0.0)
    openid.rotate()
    assert log_in(openid, client, provider).status_code == 200


def test_a_wrong_secret_is_the_accounts_mistake_and_said_to_be_the_providers_answer(
    openid: OpenIdProvider, client: httpx.Client, tenant: Tenant, provider: IdentityProvider, member: User
) -> None:
    known(openid, member)
    execute(tenant.alice, UpdateProvider(provider.id, secrets={"client_secret": SecretBytes(b"wrong")}))
    provider.refresh_from_db()
    answer = log_in(openid, client, provider)
    assert answer.status_code == 503
    execute(
        tenant.alice,
        UpdateProvider(provider.id, secrets={"client_secret": SecretBytes(secret_of("keystead").encode())}),
    )
    provider.refresh_from_db()
    assert log_in(openid, client, provider).status_code == 200


def test_the_providers_word_carries_nothing_about_the_person_elsewhere(
    openid: OpenIdProvider, client: httpx.Client, provider: IdentityProvider, member: User
) -> None:
    known(openid, member)
    headers = bearer(log_in(openid, client, provider))
    change = {"current_password": PASSWORD, "new_password": "another horse battery staple 8"}
    assert client.post("/sys/v1/users/change_password", json=change, headers=headers).status_code == 403
    own = f"/sys/v1/users/{member.id}"
    assert client.patch(own, json={"first_name": "Mallory"}, headers=headers).status_code == 403
    assert client.get(own, headers=headers).status_code == 200
    assert Session.objects.filter(provider=provider).count() == 1


def test_administration_by_a_vouched_administrator(
    openid: OpenIdProvider, client: httpx.Client, tenant: Tenant, provider: IdentityProvider
) -> None:
    known(openid, tenant.users["administrator"])
    headers = bearer(log_in(openid, client, provider))
    path = f"/sys/v1/identity_providers/{provider.id}"
    assert client.post(f"{path}/test", headers=headers).status_code == 204
    assert client.patch(path, json={"enabled": False}, headers=headers).status_code == 200
    assert client.get(path, headers=headers).status_code == 401  # it ended its own session
