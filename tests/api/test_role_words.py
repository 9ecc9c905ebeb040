"""Roles by their words and by their ids, on the wire: in invitations and in what a directory's group means."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from accounts.models import IdentityProvider
from kms.operations.executor import execute
from kms.operations.roles import CreateRole, RoleDetails
from policies.system_roles import SYSTEM_ROLE_ID, RoleKind
from tests.api.test_bad_input import login, plain_error
from tests.kit.tenants import Tenant, unique

AUDITOR = str(SYSTEM_ROLE_ID[RoleKind.GROUP, "auditor"])


@pytest.fixture(scope="module")
def alice(house: Tenant, client: httpx.Client) -> dict[str, str]:
    return login(client, house.users["administrator"].email, house)


def own(house: Tenant, kind: RoleKind) -> str:
    return str(execute(house.alice, CreateRole(unique("role"), RoleDetails(kind, frozenset()))).id)


def test_an_invitation_names_roles_by_id(house: Tenant, client: httpx.Client, alice: dict[str, str]) -> None:
    on_account, inside, group = own(house, RoleKind.ACCOUNT), own(house, RoleKind.GROUP), str(house.group.id)
    body = {
        "user_email": f"{unique('u')}@example.org",
        "account_role": [on_account, "STATEENABLED"],
        "add_groups": {group: [inside, AUDITOR]},
    }
    answer = client.post("/sys/v1/users/invite", json=body, headers=alice)
    assert answer.status_code == 201, answer.text
    shown = client.get(f"/sys/v1/users/{answer.json()['user_id']}", headers=alice).json()
    for seen in (answer.json(), shown):
        assert seen["account_role"] == [on_account, "STATEENABLED", "PENDINGINVITE"]
        assert seen["explicit_groups"] == {group: ["GROUPAUDITOR", inside]}


@pytest.fixture
def body(house: Tenant) -> dict[str, Any]:
    provider = IdentityProvider.objects.create(account=house.account, kind="oidc", name=unique("directory"))
    return {"name": unique("operators"), "kind": "oidc-group", "source_id": str(provider.id)}


def test_a_directorys_group_means_roles_by_id(
    house: Tenant, client: httpx.Client, alice: dict[str, str], body: dict[str, Any]
) -> None:
    on_account, inside, group = own(house, RoleKind.ACCOUNT), own(house, RoleKind.GROUP), str(house.group.id)
    given = {**body, "account_role": ["ACCOUNTMEMBER", on_account], "add_groups": {group: {"users": [inside]}}}
    answer = client.post("/sys/v1/external_roles", json=given, headers=alice)
    assert answer.status_code == 201, answer.text
    assert answer.json()["account_role"] == ["ACCOUNTMEMBER", on_account]
    assert answer.json()["groups"] == {group: {"users": [inside]}}
    path = f"/sys/v1/external_roles/{answer.json()['external_role_id']}"
    change = {"account_role": [on_account], "mod_groups": {group: {"users": ["GROUPAUDITOR", inside]}}}
    assert client.patch(path, json=change, headers=alice).status_code == 200
    seen = client.get(path, headers=alice).json()
    assert (seen["account_role"], seen["groups"]) == ([on_account], {group: {"users": ["GROUPAUDITOR", inside]}})
    assert client.patch(path, json={"account_role": []}, headers=alice).status_code == 200
    assert client.get(path, headers=alice).json()["account_role"] == []


@pytest.mark.parametrize("words", [["nothing"], ["ACCOUNTMEMBER", "ACCOUNTAUDITOR"], [""], ["GROUPAUDITOR"]], ids=str)
def test_words_that_name_no_role_are_refused(
    words: list[str], house: Tenant, client: httpx.Client, alice: dict[str, str], body: dict[str, Any]
) -> None:
    invitation = {"user_email": f"{unique('u')}@example.org", "account_role": words}
    plain_error(client.post("/sys/v1/users/invite", json=invitation, headers=alice), 400)
    plain_error(client.post("/sys/v1/external_roles", json={**body, "account_role": words}, headers=alice), 400)
    other = [word.replace("GROUPAUDITOR", "ACCOUNTAUDITOR") for word in words]
    mapped = {**body, "add_groups": {str(house.group.id): {"users": other}}}
    plain_error(client.post("/sys/v1/external_roles", json=mapped, headers=alice), 400)
