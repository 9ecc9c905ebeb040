"""Logins through a real provider: pysaml2's in a process of its own, which knows us by our metadata and requests."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from accounts.models import (
    ExternalGrant,
    ExternalIdentity,
    ExternalRole,
    IdentityProvider,
    Membership,
    PendingSignOn,
    Session,
    User,
)
from accounts.principal import AuthenticationMethod
from kms.audit.models import AuditRecord
from kms.operations.executor import execute
from kms.operations.providers import TryProvider, UpdateProvider
from tests.kit.tenants import Tenant, new_tenant, unique
from tests.sso.saml.peer import SamlPeer, xml_of

PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
TRANSIENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"


def person(email: str, *groups: str, **more: Any) -> dict[str, Any]:
    attributes: dict[str, Any] = {"mail": email, "givenName": "Ada", "sn": "Lovelace"}
    if groups:
        attributes["isMemberOf"] = list(groups)
    return {"name": unique("subject"), "format": PERSISTENT, "attributes": attributes, **more}


@pytest.fixture
def member(tenant: Tenant) -> User:
    tenant.member("member")
    return tenant.users["member"]


@pytest.fixture
def directory(tenant: Tenant, peer: SamlPeer) -> IdentityProvider:
    return peer.register(tenant)


def accounts_of(client: httpx.Client, answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    listed = client.get("/sys/v1/accounts", headers=bearer)
    assert listed.status_code == 200, listed.text
    return [account["acct_id"] for account in listed.json()]


def session_of(user: User) -> Session:
    return Session.objects.filter(user=user).latest("created_at")


# -- a login -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("directory")
def test_a_member_logs_in_and_is_in_the_account(
    tenant: Tenant, member: User, peer: SamlPeer, client: httpx.Client
) -> None:
    peer.people(ada=person(member.email))
    answer = peer.sign_on(tenant, "ada")
    assert accounts_of(client, answer) == [str(tenant.account.id)]
    assert answer.json()["entity_id"] == str(member.id)
    session = session_of(member)
    assert (session.method, session.account_id) == (AuthenticationMethod.SAML, tenant.account.id)


def test_a_login_is_remembered_by_the_providers_name_for_the_person(
    tenant: Tenant, member: User, directory: IdentityProvider, peer: SamlPeer
) -> None:
    """Whoever has the address later is somebody else, and whoever has another address is still the same."""
    ada = person(member.email)
    peer.people(ada=ada, heir=person(member.email))
    assert peer.sign_on(tenant, "ada").status_code == 200
    assert ExternalIdentity.objects.get(provider=directory).subject == f"{PERSISTENT} {ada['name']}"
    assert peer.sign_on(tenant, "heir").status_code == 401
    peer.people(ada={**ada, "attributes": {"mail": "moved@example.org"}})
    assert peer.sign_on(tenant, "ada").json()["entity_id"] == str(member.id)


@pytest.mark.usefixtures("directory")
def test_a_response_that_is_signed_as_a_whole_too_is_taken(tenant: Tenant, member: User, peer: SamlPeer) -> None:
    peer.people(ada=person(member.email, sign_response=True))
    way = peer.discover(tenant)
    response = peer.response(way, "ada")
    assert xml_of(response).count("SignatureValue>") == 4
    assert peer.log_in(response, way.id).status_code == 200


def test_a_name_that_is_an_address_needs_no_attribute(tenant: Tenant, member: User, peer: SamlPeer) -> None:
    peer.register(tenant, email_attribute="")
    peer.people(ada={"name": member.email, "attributes": {}})
    assert peer.sign_on(tenant, "ada").status_code == 200


@pytest.mark.usefixtures("directory")
def test_the_session_ends_when_the_provider_says(tenant: Tenant, member: User, peer: SamlPeer) -> None:
    peer.people(ada=person(member.email, session=600))
    answer = peer.sign_on(tenant, "ada")
    assert 540 <= answer.json()["expires_in"] <= 600
    bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    assert peer.server.post("/sys/v1/session/refresh", headers=bearer).status_code == 204
    session = session_of(member)
    assert (session.expires_at - session.created_at).total_seconds() <= 600


def test_whoever_nobody_invited_comes_in_where_the_account_says_so(tenant: Tenant, peer: SamlPeer) -> None:
    peer.register(tenant, self_provision_role="member")
    email = f"{unique('new')}@example.org"
    peer.people(ada=person(email))
    assert peer.sign_on(tenant, "ada").status_code == 200
    membership = Membership.objects.get(user__email=email)
    assert (membership.role, membership.account_id, membership.self_provisioned) == ("member", tenant.account.id, True)
    assert (membership.user.first_name, membership.user.last_name) == ("Ada", "Lovelace")


# -- who does not come in ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("directory")
def test_unknown_disabled_and_transient_people_get_one_answer(tenant: Tenant, member: User, peer: SamlPeer) -> None:
    tenant.member("auditor", enabled=False)
    peer.people(
        unknown=person(f"{unique('nobody')}@example.org"),
        disabled=person(tenant.users["auditor"].email),
        transient=person(member.email, format=TRANSIENT),
        nameless={"name": "x", "format": PERSISTENT, "attributes": {"givenName": "Ada"}},
    )
    answers = [peer.sign_on(tenant, login) for login in ("unknown", "disabled", "transient", "nameless")]
    assert {(answer.status_code, answer.content) for answer in answers} == {(401, b"Invalid credentials")}


@pytest.mark.usefixtures("directory")
def test_a_disabled_user_is_out_at_once(tenant: Tenant, member: User, peer: SamlPeer, client: httpx.Client) -> None:
    peer.people(ada=person(member.email))
    answer = peer.sign_on(tenant, "ada")
    bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    assert client.get("/crypto/v1/keys", headers=bearer).status_code == 200
    Membership.objects.filter(user=member).update(enabled=False)
    assert client.get("/crypto/v1/keys", headers=bearer).status_code in (401, 403)
    assert peer.sign_on(tenant, "ada").status_code == 401


def test_a_provider_counts_in_its_own_account_only(tenant: Tenant, member: User, peer: SamlPeer) -> None:
    """The same provider, set up in two accounts: what answers one account's request says nothing in the other."""
    other = new_tenant()
    peer.register(tenant)
    peer.register(other)
    peer.people(ada=person(member.email))
    ours, theirs = peer.discover(tenant), peer.discover(other)
    assert peer.log_in(peer.response(theirs, "ada"), theirs.id).status_code == 401
    assert peer.log_in(peer.response(theirs, "ada"), ours.id).status_code == 401
    answer = peer.log_in(peer.response(ours, "ada"), ours.id)
    bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    chosen = peer.server.post("/sys/v1/session/select_account", json={"acct_id": str(other.account.id)}, headers=bearer)
    assert chosen.status_code == 403


# -- once, in time, as asked ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("directory")
def test_a_response_is_good_once(tenant: Tenant, member: User, peer: SamlPeer) -> None:
    peer.people(ada=person(member.email))
    way = peer.discover(tenant)
    first, second = peer.response(way, "ada"), peer.response(way, "ada")
    assert peer.log_in(first, way.id).status_code == 200
    assert peer.log_in(first, way.id).status_code == 401
    assert peer.log_in(second).status_code == 401


@pytest.mark.usefixtures("directory")
def test_a_refused_response_leaves_the_request_open(tenant: Tenant, member: User, peer: SamlPeer) -> None:
    """Or whoever sees a request could keep its owner out."""
    peer.people(ada=person(member.email), unknown=person("nobody@example.org"))
    way = peer.discover(tenant)
    good = peer.response(way, "ada")
    assert peer.log_in(peer.response(way, "unknown"), way.id).status_code == 401
    assert peer.log_in(good, "_another").status_code == 401
    assert peer.log_in(good, way.id).status_code == 200


@pytest.mark.usefixtures("directory")
def test_a_request_is_open_for_ten_minutes_by_the_databases_clock(tenant: Tenant, member: User, peer: SamlPeer) -> None:
    peer.people(ada=person(member.email))
    way = peer.discover(tenant)
    pending = PendingSignOn.objects.filter(provider__account=tenant.account).latest("created_at")
    assert (pending.expires_at - pending.created_at).total_seconds() == pytest.approx(600, abs=5)
    response = peer.response(way, "ada")
    PendingSignOn.objects.filter(id=pending.id).update(expires_at=pending.created_at)
    assert peer.log_in(response, way.id).status_code == 401


# -- what changes at the provider ----------------------------------------------------------------------------------


def test_a_new_signing_key_counts_from_the_metadata_update_on(
    tenant: Tenant, member: User, directory: IdentityProvider, peer: SamlPeer
) -> None:
    peer.people(ada=person(member.email))
    assert peer.sign_on(tenant, "ada").status_code == 200
    old = peer.response(peer.discover(tenant), "ada")
    peer.rotate()
    assert peer.sign_on(tenant, "ada").status_code == 401
    config = {**_settings(directory), "metadata": peer.metadata()}
    execute(tenant.alice, UpdateProvider(directory.id, config=config))
    assert peer.sign_on(tenant, "ada").status_code == 200
    assert peer.log_in(old).status_code == 401
    execute(tenant.alice, TryProvider(directory.id))


def _settings(row: IdentityProvider) -> dict[str, Any]:
    derived = {"entity_id", "sso_url", "certificates", "valid_until"}
    return {name: value for name, value in row.config.items() if name not in derived}


def test_groups_come_and_go_with_each_login(
    tenant: Tenant, member: User, directory: IdentityProvider, peer: SamlPeer
) -> None:
    for name in ("operators", "auditors"):
        ExternalRole.objects.create(account=tenant.account, provider=directory, name=name)
    ada = person(member.email, "operators", "auditors", "unknown here")

    def held() -> set[str]:
        return set(ExternalGrant.objects.filter(user=member).values_list("role__name", flat=True))

    peer.people(ada=ada)
    assert peer.sign_on(tenant, "ada").status_code == 200
    assert held() == {"operators", "auditors"}
    peer.people(ada={**ada, "attributes": {"mail": member.email, "isMemberOf": ["auditors"]}})
    assert peer.sign_on(tenant, "ada").status_code == 200
    assert held() == {"auditors"}
    peer.people(ada={**ada, "attributes": {"mail": member.email}})
    assert peer.sign_on(tenant, "ada").status_code == 200
    assert held() == set()


def test_a_change_of_settings_or_switching_off_ends_the_sessions(
    tenant: Tenant, member: User, directory: IdentityProvider, peer: SamlPeer, client: httpx.Client
) -> None:
    peer.people(ada=person(member.email))
    way = peer.discover(tenant)
    waiting = peer.response(way, "ada")
    answer = peer.sign_on(tenant, "ada")
    bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    execute(tenant.alice, UpdateProvider(directory.id, enabled=False))
    assert client.get("/crypto/v1/keys", headers=bearer).status_code == 401
    assert peer.log_in(waiting, way.id).status_code == 401
    listed = client.post("/sys/v1/session/auth/discover", params={"acct_id": str(tenant.account.id)}, json={})
    assert [way["method"] for way in listed.json()] == ["password"]


@pytest.mark.usefixtures("directory")
def test_the_record_says_who_came_in_how_and_nothing_of_the_response(
    tenant: Tenant, member: User, peer: SamlPeer
) -> None:
    ada = person(member.email)
    peer.people(ada=ada)
    way = peer.discover(tenant)
    assert peer.log_in(peer.response(way, "ada"), way.id).status_code == 200
    entry = AuditRecord.objects.filter(action="session.create", details__subject=str(member.id)).latest("sequence")
    assert entry.details["login_method"] == "saml"
    assert entry.details["session"] == str(session_of(member).id)
    assert ada["name"] not in str(entry.details)
    assert way.id not in str(entry.details)


@pytest.mark.usefixtures("directory")
def test_eight_at_once_with_one_response_are_one_login(tenant: Tenant, member: User, peer: SamlPeer) -> None:
    peer.people(ada=person(member.email))
    way = peer.discover(tenant)
    response = peer.response(way, "ada")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: peer.log_in(response, way.id).status_code, range(8)))
    assert sorted(answers) == [200] + [401] * 7
