"""Explanations and simulations on the wire: what a client reads, and what it may ask."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import pytest

from accounts.models import GroupMembership, GroupRoleGrant, Role
from policies.permissions import Permission
from tests.api.test_bad_input import login
from tests.kit.quorums import guard_group, users
from tests.kit.tenants import Tenant, unique

EXPLAIN = "/sys/v1/explain"


@pytest.fixture
def alice(client: httpx.Client, tenant: Tenant) -> dict[str, str]:
    return login(client, tenant.users["administrator"].email, tenant)


def officer_role(tenant: Tenant, *permissions: Permission) -> Role:
    by = {"creator_kind": "user", "creator_id": tenant.alice.id}
    names = [permission.value for permission in permissions]
    return Role.objects.create(account=tenant.account, kind="group", name=unique("officer"), permissions=names, **by)


def explained(client: httpx.Client, headers: Any, **query: Any) -> dict[str, Any]:
    response = client.get(EXPLAIN, params=query, headers=headers)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def test_a_right_is_explained_by_where_it_comes_from(
    client: httpx.Client, tenant: Tenant, alice: dict[str, str]
) -> None:
    key, officer = tenant.key(), tenant.member("member")
    role = officer_role(tenant, Permission.OBJECT_MANAGE)
    inside = GroupMembership.objects.create(user_id=officer.id, group=tenant.group, role="")
    GroupRoleGrant.objects.create(membership=inside, user_id=officer.id, role=role)
    found = explained(client, alice, permission="ROTATE_SOBJECTS", principal=officer.id, object=key.id)
    assert found["allowed"]
    assert found["permission"] == {"name": "object.rotate", "flag": "ROTATE_SOBJECTS", "sentence": "rotate an object"}
    assert found["principal"] == {"user": str(officer.id)}
    assert found["target"] == {"object": str(key.id)}
    assert found["sources"] == [
        {
            "kind": "custom-role",
            "name": role.name,
            "role_id": str(role.id),
            "place": {"group_id": str(tenant.group.id)},
            "by": [{"name": "object.manage"}],
        }
    ]
    assert all(check["met"] for check in found["checks"])


def test_a_refusal_is_explained_by_the_rule_that_decides(client: httpx.Client, tenant: Tenant) -> None:
    key, auditor = tenant.key(), tenant.member("auditor")
    headers = login(client, tenant.users["auditor"].email, tenant)
    found = explained(client, headers, permission="object.delete", object=key.id)
    assert (found["allowed"], found["rule"], found["reason"]) == (False, "granted", "not-granted")
    refusal = client.delete(f"/crypto/v1/keys/{key.id}", headers=headers)
    assert (refusal.status_code, refusal.text) == (403, found["message"])
    assert found["principal"] == {"user": str(auditor.id)}
    assert found["missing"] == [str(tenant.group.id)]
    assert {"rule": "granted", "met": False, "reason": "not-granted"} in found["checks"]


def test_a_quorum_is_explained_with_who_may_approve(
    client: httpx.Client, tenant: Tenant, alice: dict[str, str]
) -> None:
    key, other = tenant.key(), tenant.member("member")
    guard_group(tenant.group, users(2, [tenant.alice.id, other.id], second_factor=True), [Permission.OBJECT_ENCRYPT])
    found = explained(client, alice, permission="ENCRYPT", principal=tenant.app.id, object=key.id)
    assert (found["allowed"], found["needs_approval"], found["rule"]) == (False, True, "quorum")
    members = [{"user": str(user)} for user in (tenant.alice.id, other.id)]
    tree = {"n": 2, "members": members, "require_password": False, "require_2fa": True}
    assert found["quorums"] == [{"subject": str(tenant.group.id), "met": False, "policy": {"quorum": tree}}]


def test_a_simulation_says_what_would_change_and_changes_nothing(
    client: httpx.Client, tenant: Tenant, alice: dict[str, str]
) -> None:
    key = tenant.key()
    auditor = tenant.member("auditor")
    headers = login(client, tenant.users["auditor"].email, tenant)
    assert client.delete(f"/crypto/v1/keys/{key.id}", headers=headers).status_code == 403
    body = {
        "name": unique("role"),
        "details": {"kind": "group", "permissions": ["DELETE_SOBJECTS"]},
        "holders": [str(auditor.id)],
        "groups": [str(tenant.group.id)],
    }
    response = client.post("/sys/v1/roles/simulate", json=body, headers=alice)
    assert response.status_code == 200, response.text
    (example,) = response.json()["newly_allowed"]["examples"]
    assert example["user"] == str(auditor.id)
    assert example["permission"] == {"name": "object.delete", "flag": "DELETE_SOBJECTS"}
    assert example["target"] == {"object": str(key.id)}
    assert example["calls"] == 1
    assert response.json()["newly_denied"] == {"distinct": 0, "calls": 0, "examples": []}
    assert client.delete(f"/crypto/v1/keys/{key.id}", headers=headers).status_code == 403


@pytest.mark.parametrize(
    "change",
    [
        {"details": None},
        {"details": {"kind": "group", "permissions": ["DELETE_SOBJECTS"]}},
        {"details": {"kind": "account", "permissions": ["DELETE_SOBJECTS"]}},
        {"holders": []},
        {"holders": [str(uuid4())] * 101},
        {"groups": [str(uuid4())]},
        {"calls": 0},
        {"calls": 10_001},
        {"name": ""},
        {"colour": "blue"},
    ],
)
def test_simulations_that_make_no_sense_are_refused(
    change: dict[str, Any], client: httpx.Client, tenant: Tenant, alice: dict[str, str]
) -> None:
    details = {"kind": "account", "permissions": ["GET_ALL_USERS"]}
    body = {"name": "role", "details": details, "holders": [str(tenant.alice.id)]}
    response = client.post("/sys/v1/roles/simulate", json={**body, **change}, headers=alice)
    assert response.status_code == 400, response.text


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"permission": "object.teleport"},
        {"permission": "object.get", "object": str(uuid4()), "group": str(uuid4())},
        {"permission": "object.get", "object": "a name"},
        {"permission": "object.get", "principal": "me"},
        {"permission": "object.get", "colour": "blue"},
    ],
)
def test_questions_that_make_no_sense_are_refused(
    query: dict[str, str], client: httpx.Client, alice: dict[str, str]
) -> None:
    assert client.get(EXPLAIN, params=query, headers=alice).status_code == 400
