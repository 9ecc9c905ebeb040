"""``client_configurations`` on the wire: kept as they were given, and nothing that a client would not understand."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from kms.operations.client_configurations import MAX_BYTES
from tests.api.test_bad_input import basic, login, plain_error
from tests.kit.tenants import Tenant

FULL: dict[str, Any] = {
    "common": {
        "retry_timeout_millis": 1000,
        "cache_ttl": 0,
        "log": {"system": True, "level": "info", "file": {"mode": "enabled", "path": "/var/log/x", "max_files": 3}},
        "h2_num_connections": 2,
        "quorum_approval": {"wait_for_quorum_approval": {"enabled": True, "max_wait_for_secs": 60}},
    },
    "pkcs11": {"exact_key_ops": True, "max_concurrent_requests_per_slot": 4},
    "kmip": {
        "ignore_unknown_key_ops_for_secrets": False,
        "ignore_unknown_key_ops_for": {"$type": "Selection", "selection": ["SECRET", "OPAQUE"]},
        "key_ops_override": {"add_key_ops": ["EXPORT"]},
    },
    "tep": {
        "schema": {"$type": "OpenAPI", "openapi": "openapi: 3.0.0"},
        "key_map": [
            {
                "path": {"api_path": "/pay", "method": "post", "context": "request", "key_path": "$.card"},
                "kid": "3f2d8a52-7c1e-4a7e-9d53-1c8a2f8d0f11",
                "mode": "FF1",
            }
        ],
    },
}


@pytest.fixture(scope="module")
def alice(house: Tenant, client: httpx.Client) -> dict[str, str]:
    return login(client, house.users["administrator"].email, house)


def places(tenant: Tenant) -> list[str]:
    return [
        f"/sys/v1/accounts/{tenant.account.id}",
        f"/sys/v1/groups/{tenant.group.id}",
        f"/sys/v1/apps/{tenant.app.id}",
    ]


def test_all_that_clients_know_is_kept_as_it_was_given(
    house: Tenant, client: httpx.Client, alice: dict[str, str]
) -> None:
    for path in places(house):
        answer = client.patch(path, json={"client_configurations": FULL}, headers=alice)
        assert answer.status_code == 200, answer.text
        assert client.get(path, headers=alice).json()["client_configurations"] == FULL
    key = {"Authorization": basic(*house.api_key())}
    assert client.get("/sys/v1/apps/client_configs", headers=key).json() == FULL
    removed = dict.fromkeys(FULL, "remove")
    for path in places(house):
        assert client.patch(path, json={"client_configurations": removed}, headers=alice).status_code == 200
        assert client.get(path, headers=alice).json().get("client_configurations", {}) == {}
    assert client.get("/sys/v1/apps/client_configs", headers=key).json() == {}


BAD: list[Any] = [
    {"unknown": {}},
    {"common": "forget"},
    {"common": {"cache_ttl": -1}},
    {"common": {"cache_ttl": "1"}},
    {"common": {"cache_ttl": 2**32}},
    {"common": {"unknown": 1}},
    {"common": {"log": {"file": {"mode": "disabled", "path": "/x"}}}},
    {"common": {"log": {"file": {"mode": "sometimes"}}}},
    {"common": {"quorum_approval": {"wait_for_quorum_approval": {}}}},
    {"kmip": {"ignore_unknown_key_ops_for": {"$type": "Selection"}}},
    {"kmip": {"ignore_unknown_key_ops_for": {"$type": "All", "selection": []}}},
    {"kmip": {"key_ops_override": {"add_key_ops": ["FLY"]}}},
    {"tep": {"schema": {"$type": "OpenAPI", "openapi": "x"}}},
    {"tep": {"schema": {"$type": "OpenAPI", "openapi": "x" * MAX_BYTES}, "key_map": []}},
    {"tep": {"schema": {"$type": "OpenAPI", "openapi": "x"}, "key_map": [{"kid": "no"}]}},
    [],
    "remove",
]


@pytest.mark.parametrize("clients", BAD, ids=lambda body: str(body)[:60])
def test_what_clients_would_not_understand_is_refused(
    clients: Any, house: Tenant, client: httpx.Client, alice: dict[str, str]
) -> None:
    for path in places(house):
        plain_error(client.patch(path, json={"client_configurations": clients}, headers=alice), 400)
        assert client.get(path, headers=alice).json().get("client_configurations", {}) == {}
