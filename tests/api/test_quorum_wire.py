"""Quorum policies over HTTP: set, read back, replaced with approval only, and never to name anybody elsewhere."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import pytest

from accounts.models import Group
from kms.api.wire.quorum_policies import PROTECTABLE
from policies.guarded import CHOOSABLE
from policies.models import GroupPolicy
from policies.system_roles import SYSTEM_ROLE_ID, RoleKind
from tests.api.test_bad_input import login
from tests.kit.tenants import Tenant, new_tenant, unique

NEEDS_APPROVAL = (403, "This operation requires approval")
# What the vendor's clients may name one by one.
VENDORS_CHOICE = {
    "GET_SOBJECTS",
    "ROTATE_SOBJECTS",
    "REVOKE_SOBJECTS",
    "REVERT_SOBJECTS",
    "DELETE_KEY_MATERIAL",
    "DELETE_SOBJECTS",
    "DESTROY_SOBJECTS",
    "MOVE_SOBJECTS",
    "CREATE_SOBJECTS",
    "UPDATE_SOBJECTS_PROFILE",
    "UPDATE_SOBJECTS_ENABLED_STATE",
    "UPDATE_SOBJECT_POLICIES",
    "ACTIVATE_SOBJECTS",
    "UPDATE_KEY_OPS",
}


class Office:
    """An account with three people who may approve, and a session of its administrator."""

    def __init__(self, client: httpx.Client) -> None:
        self.client, self.tenant = client, new_tenant()
        self.headers = login(client, self.tenant.users["administrator"].email, self.tenant)
        self.people = [str(self.tenant.member("member").id) for _ in range(3)]

    def two_of_three(self, **more: Any) -> dict[str, Any]:
        return {"quorum": {"n": 2, "members": [{"user": person} for person in self.people]}, **more}

    def patch(self, path: str, body: dict[str, Any]) -> httpx.Response:
        return self.client.patch(path, json=body, headers=self.headers)

    def on_group(self, policy: Any, group: Group | None = None) -> httpx.Response:
        where = group or self.tenant.new_group()
        return self.patch(f"/sys/v1/groups/{where.id}", {"approval_policy": policy})

    def on_account(self, policy: Any) -> httpx.Response:
        return self.patch(f"/sys/v1/accounts/{self.tenant.account.id}", {"approval_policy": policy})

    def get(self, path: str) -> Any:
        return self.client.get(path, headers=self.headers).json()


@pytest.fixture(scope="module")
def office(client: httpx.Client) -> Office:
    return Office(client)


def answered(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.text


def whole(policy: dict[str, Any]) -> dict[str, Any]:
    """As an answer spells it: what a quorum does not ask for is said."""
    if "quorum" not in policy:
        return policy
    asked = {"require_password": False, "require_2fa": False, **policy["quorum"]}
    return {**policy, "quorum": {**asked, "members": [whole(member) for member in asked["members"]]}}


def group_policies(office: Office) -> list[dict[str, Any]]:
    ann, bob, eve = ({"user": person} for person in office.people)
    role = {"role": str(SYSTEM_ROLE_ID[RoleKind.ACCOUNT, "member"])}
    app = {"app": str(office.tenant.app.id)}
    proven = {"n": 1, "members": [bob, eve], "require_2fa": True, "require_password": True}
    return [
        office.two_of_three(),
        ann,
        app,
        {"quorum": {"n": 1, "members": [ann]}},
        {"quorum": {"n": 2, "members": [role, role]}},
        {"quorum": {"n": 2, "members": [ann, {"quorum": proven}]}},
        office.two_of_three(protect_permissions=["ROTATE_SOBJECTS", "DELETE_SOBJECTS"], protect_crypto_operations=True),
        office.two_of_three(protect_permissions=[], protect_manage_operations=False),
        office.two_of_three(protect_manage_operations=True),
    ]


@pytest.mark.parametrize("number", range(9))
def test_a_groups_policy_is_read_back_as_it_was_set(office: Office, number: int) -> None:
    policy = group_policies(office)[number]
    group = office.tenant.new_group()
    answer = office.on_group(policy, group)
    assert answer.status_code == 200, answer.text
    assert answer.json()["approval_policy"] == whole(policy)
    assert office.get(f"/sys/v1/groups/{group.id}")["approval_policy"] == whole(policy)
    (listed,) = [each for each in office.get("/sys/v1/groups") if each["group_id"] == str(group.id)]
    assert listed["approval_policy"] == whole(policy)


def test_a_group_is_made_with_a_policy(office: Office) -> None:
    body = {"name": unique("group"), "approval_policy": office.two_of_three()}
    made = office.client.post("/sys/v1/groups", json=body, headers=office.headers)
    assert made.status_code == 201, made.text
    assert made.json()["approval_policy"] == whole(office.two_of_three())
    assert answered(office.client.delete(f"/sys/v1/groups/{made.json()['group_id']}", headers=office.headers)) == (
        NEEDS_APPROVAL
    )


def test_a_group_without_a_policy_shows_none(office: Office) -> None:
    assert "approval_policy" not in office.get(f"/sys/v1/groups/{office.tenant.new_group().id}")


@pytest.mark.parametrize(
    "wanted", [{"user": "anybody"}, "remove", {}, {"quorum": None}], ids=["another", "remove", "empty", "null"]
)
def test_a_policy_is_replaced_and_removed_with_its_own_approval_only(office: Office, wanted: Any) -> None:
    group = office.tenant.new_group()
    assert office.on_group(office.two_of_three(), group).status_code == 200
    wanted = {"user": office.people[0]} if wanted == {"user": "anybody"} else wanted
    assert answered(office.on_group(wanted, group)) == NEEDS_APPROVAL
    assert office.get(f"/sys/v1/groups/{group.id}")["approval_policy"] == whole(office.two_of_three())


@pytest.mark.parametrize("nothing", ["remove", {}, {"quorum": None, "user": None}])
def test_taking_away_what_is_not_there_changes_nothing(office: Office, nothing: Any) -> None:
    group = office.tenant.new_group()
    assert "approval_policy" not in office.on_group(nothing, group).json()
    assert not GroupPolicy.objects.filter(group=group, quorum__isnull=False).exists()


def test_an_accounts_policy_is_read_back_as_it_was_set(client: httpx.Client) -> None:
    office = Office(client)
    policy = {
        "policy": office.two_of_three(),
        "manage_groups": True,
        "protect_authentication_methods": False,
        "protect_custom_role_updates": True,
    }
    answer = office.on_account(policy)
    assert answer.status_code == 200, answer.text
    shown = {**policy, "policy": whole(office.two_of_three())}
    assert answer.json()["approval_policy"] == shown
    assert answered(office.on_account("remove")) == NEEDS_APPROVAL
    assert answered(office.on_group(office.two_of_three(), office.tenant.group)) == NEEDS_APPROVAL
    assert office.get(f"/sys/v1/accounts/{office.tenant.account.id}")["approval_policy"] == shown


def bad_policies(office: Office) -> dict[str, Any]:
    ann, bob, eve = ({"user": person} for person in office.people)
    stranger = new_tenant()
    app = {"app": str(office.tenant.app.id)}

    def quorum(n: int, *members: Any, **more: Any) -> dict[str, Any]:
        return {"quorum": {"n": n, "members": list(members), **more}}

    deep: dict[str, Any] = ann
    for _ in range(300):
        deep = quorum(1, deep)
    return {
        "nobody needed": quorum(0, ann),
        "fewer than none": quorum(-1, ann),
        "more than there are": quorum(3, ann, bob),
        "no members": quorum(1),
        "twice the same": quorum(2, ann, ann),
        "an app with a password": quorum(1, ann, app, require_password=True),
        "an app with a factor": quorum(1, quorum(1, app), require_2fa=True),
        "two at once": {**ann, **app},
        "a member of nothing": quorum(1, ann, {}),
        "far too deep": deep,
        "a user of elsewhere": quorum(1, ann, {"user": str(stranger.alice.id)}),
        "an app of elsewhere": quorum(1, ann, {"app": str(stranger.app.id)}),
        "nobody at all": quorum(1, ann, {"user": str(uuid4())}),
        "a role of nowhere": quorum(1, ann, {"role": str(uuid4())}),
        "a group's role": quorum(1, ann, {"role": str(SYSTEM_ROLE_ID[RoleKind.GROUP, "administrator"])}),
        "no such permission": {**quorum(2, bob, eve), "protect_permissions": ["EXPORT_SOBJECTS"]},
        "no such field": {**ann, "protect_everything": True},
        "no number": {"quorum": {"n": "2", "members": [ann, bob]}},
        "another word": "delete",
        "no policy": 7,
        "too few there": quorum(2, *({"role": str(SYSTEM_ROLE_ID[RoleKind.ACCOUNT, "auditor"])} for _ in range(2))),
    }


def test_what_no_policy_may_ask_is_refused(office: Office) -> None:
    group = office.tenant.new_group()
    for what, policy in bad_policies(office).items():
        answer = office.on_group(policy, group)
        assert answer.status_code == 400, (what, answer.text)
        assert "Traceback" not in answer.text
        assert office.on_account({"policy": policy}).status_code == 400, what
    assert not GroupPolicy.objects.filter(group=group).exists()


def test_members_of_elsewhere_and_of_nowhere_are_told_apart_by_nobody(office: Office) -> None:
    bad = bad_policies(office)
    told = {
        answered(office.on_group(bad[what]))
        for what in ("a user of elsewhere", "an app of elsewhere", "nobody at all", "a role of nowhere")
    }
    assert len(told) == 1


def test_a_policy_of_a_group_elsewhere_cannot_be_set(office: Office, tenant: Tenant) -> None:
    assert office.on_group(office.two_of_three(), tenant.group).status_code == 404


def test_every_permission_that_the_vendors_clients_may_choose_can_be_chosen() -> None:
    assert set(PROTECTABLE) == VENDORS_CHOICE
    assert set(PROTECTABLE.values()) == CHOOSABLE


def test_the_vendors_cli_sends_its_options_along(office: Office) -> None:
    """As its update-group does, with --add-quorum-policy."""
    group = office.tenant.new_group()
    asked = {"n": 2, "require_2fa": False, "require_password": True}
    policy = {"quorum": {**asked, "members": [{"user": person} for person in office.people]}}
    answer = office.patch(f"/sys/v1/groups/{group.id}", {**asked, "name": group.name, "approval_policy": policy})
    assert answer.status_code == 200, answer.text
    assert answer.json()["approval_policy"] == policy


# -- an object's own -----------------------------------------------------------------------------------------------


def new_key(office: Office, **more: Any) -> Any:
    body = {"name": unique("k"), "group_id": str(office.tenant.group.id), "obj_type": "AES", "key_size": 256, **more}
    answer = office.client.post("/crypto/v1/keys", json=body, headers=office.headers)
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_an_object_is_made_with_a_policy_of_its_own_and_keeps_it(office: Office) -> None:
    policy = office.two_of_three(protect_permissions=["DELETE_SOBJECTS"])
    key = new_key(office, approval_policy=policy, key_ops=["ENCRYPT", "EXPORT", "APPMANAGEABLE"])
    assert key["approval_policy"] == whole(policy)
    place = f"/crypto/v1/keys/{key['kid']}"
    assert office.get(place)["approval_policy"] == whole(policy)
    for method, path, body in (
        ("DELETE", place, None),
        ("GET", f"{place}/export", None),
        ("POST", "/crypto/v1/keys/copy", {"name": unique("copy"), "key": {"kid": key["kid"]}}),
        ("PATCH", place, {"approval_policy": "remove"}),
        ("PATCH", place, {"approval_policy": {}}),
        ("PATCH", place, {"rotation_policy": None}),
        ("PATCH", place, {"group_id": str(office.tenant.new_group().id)}),
    ):
        answer = office.client.request(method, path, json=body, headers=office.headers)
        assert answered(answer) == NEEDS_APPROVAL, path
    assert office.patch(place, {"description": "not guarded"}).status_code == 200


def test_an_object_gets_a_policy_by_an_update(office: Office) -> None:
    place = f"/crypto/v1/keys/{new_key(office)['kid']}"
    assert "approval_policy" not in office.get(place)
    policy = {"user": office.people[0]}
    assert office.patch(place, {"approval_policy": policy}).json()["approval_policy"] == policy
    assert answered(office.patch(place, {"description": "changed"})) == NEEDS_APPROVAL


def test_what_takes_the_place_of_a_guarded_object_is_guarded_as_that_was(office: Office) -> None:
    policy = office.two_of_three(protect_permissions=["DELETE_SOBJECTS"])
    key = new_key(office, approval_policy=policy)
    rekey = {"name": key["name"], "obj_type": "AES", "key_size": 256}
    answer = office.client.post(
        "/crypto/v1/keys/rekey", json={**rekey, "approval_policy": "remove"}, headers=office.headers
    )
    assert answer.status_code == 400, answer.text
    answer = office.client.post("/crypto/v1/keys/rekey", json=rekey, headers=office.headers)
    assert answer.status_code == 201, answer.text
    assert answer.json()["approval_policy"] == whole(policy)
    assert answered(office.client.delete(f"/crypto/v1/keys/{answer.json()['kid']}", headers=office.headers)) == (
        NEEDS_APPROVAL
    )


def test_what_no_policy_may_ask_no_objects_may(office: Office) -> None:
    place = f"/crypto/v1/keys/{new_key(office)['kid']}"
    for what, policy in bad_policies(office).items():
        assert office.patch(place, {"approval_policy": policy}).status_code == 400, what
    assert "approval_policy" not in office.get(place)


def test_a_transient_key_has_no_policy(office: Office) -> None:
    body = {"obj_type": "AES", "key_size": 256, "group_id": str(office.tenant.group.id), "transient": True}
    asked = {**body, "approval_policy": {"user": office.people[0]}}
    assert office.client.post("/crypto/v1/keys", json=asked, headers=office.headers).status_code == 400
