"""Logins through a provider of another make, which builds, signs and spells its responses by itself: crewjam/saml."""

from __future__ import annotations

import pytest

from accounts.models import ExternalGrant, ExternalRole, User
from tests.kit.tenants import Tenant, unique
from tests.sso.saml.peer import SamlPeer, xml_of

PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
TRANSIENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
PRINCIPAL_NAME, AFFILIATION = "urn:oid:1.3.6.1.4.1.5923.1.1.1.6", "urn:oid:1.3.6.1.4.1.5923.1.1.1.1"
ATTRIBUTES = {"email_attribute": PRINCIPAL_NAME, "groups_attribute": AFFILIATION}


@pytest.fixture
def member(tenant: Tenant) -> User:
    tenant.member("member")
    return tenant.users["member"]


def test_a_member_logs_in_with_the_groups_that_the_provider_says(
    tenant: Tenant, member: User, go_peer: SamlPeer
) -> None:
    directory = go_peer.register(tenant, **ATTRIBUTES)
    ExternalRole.objects.create(account=tenant.account, provider=directory, name="operators")
    attributes = {"mail": member.email, "isMemberOf": ["operators"]}
    go_peer.people(ada={"name": unique("subject"), "format": PERSISTENT, "attributes": attributes})
    way = go_peer.discover(tenant)
    response = go_peer.response(way, "ada")
    assert xml_of(response).count("<ds:SignatureValue") == 2
    answer = go_peer.log_in(response, way.id)
    assert answer.status_code == 200, answer.text
    assert answer.json()["entity_id"] == str(member.id)
    assert ExternalGrant.objects.filter(user=member, role__name="operators").exists()
    assert go_peer.log_in(response, way.id).status_code == 401


def test_a_transient_name_is_nobodys(tenant: Tenant, member: User, go_peer: SamlPeer) -> None:
    go_peer.register(tenant, **ATTRIBUTES)
    go_peer.people(ada={"name": "x", "format": TRANSIENT, "attributes": {"mail": member.email}})
    assert go_peer.sign_on(tenant, "ada").status_code == 401
