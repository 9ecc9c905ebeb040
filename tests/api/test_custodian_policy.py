"""``custodian_policy`` on the wire: set, shown, obeyed and taken away."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest

from tests.api.test_bad_input import login, plain_error
from tests.kit.tenants import Tenant, unique


@pytest.fixture(scope="module")
def alice(house: Tenant, client: httpx.Client) -> dict[str, str]:
    return login(client, house.users["administrator"].email, house)


def imported(client: httpx.Client, house: Tenant, headers: dict[str, str], custodians: list[str]) -> httpx.Response:
    named = [{"user": who} for who in custodians]
    parts = [
        {"component": base64.b64encode(bytes([number + 1]) * 32).decode(), "custodian": who}
        for number, who in enumerate(named)
    ]
    key = {"name": unique("k"), "group_id": str(house.group.id), "obj_type": "AES"}
    body = {"key": key, "custodians": named, "components": parts}
    return client.post("/crypto/v1/keys/components/import", json=body, headers=headers)


@pytest.mark.parametrize("away", ["remove", {}])
def test_a_policy_is_set_shown_obeyed_and_taken_away(
    away: Any, house: Tenant, client: httpx.Client, alice: dict[str, str]
) -> None:
    one, two, other = (str(house.member("member").id) for _ in range(3))
    path = f"/sys/v1/groups/{house.group.id}"
    tree = {"n": 2, "members": [{"user": one}, {"user": two}], "require_password": False, "require_2fa": False}
    answer = client.patch(path, json={"custodian_policy": {"quorum": tree}}, headers=alice)
    assert answer.status_code == 200, answer.text
    assert client.get(path, headers=alice).json()["custodian_policy"] == {"quorum": tree}
    assert imported(client, house, alice, [one, two]).status_code == 201
    assert "custodian policy" in plain_error(imported(client, house, alice, [one, other]), 403)
    assert client.patch(path, json={"custodian_policy": away}, headers=alice).status_code == 200
    assert "custodian_policy" not in client.get(path, headers=alice).json()
    assert imported(client, house, alice, [one, other]).status_code == 201


@pytest.mark.parametrize(
    "policy",
    [
        "forget",
        {"quorum": {"n": 1, "members": []}},
        {"quorum": {"n": 1, "members": [{}]}},
        {"quorum": {"n": 0, "members": [{"user": "not an id"}]}},
        {"user": "00000000-0000-4000-8000-000000000001"},
        {"quorum": {"n": 1}},
        {"unknown": 1},
    ],
    ids=str,
)
def test_a_policy_that_is_none_is_refused(
    policy: Any, house: Tenant, client: httpx.Client, alice: dict[str, str]
) -> None:
    path = f"/sys/v1/groups/{house.group.id}"
    plain_error(client.patch(path, json={"custodian_policy": policy}, headers=alice), 400)
    assert "custodian_policy" not in client.get(path, headers=alice).json()
