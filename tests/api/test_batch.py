"""Requests inside a request: each as good as alone, in order or not, and none that would not do alone."""

from __future__ import annotations

import base64
import re
from typing import Any

import httpx
import pytest

from kms.api.routes import ENDPOINTS
from kms.api.wire.batch import MAX_DEPTH, MAX_ITEMS
from kms.audit.models import AuditRecord
from kms.objects.models import SecurityObject
from policies.permissions import Permission
from tests.api.test_bad_input import login, plain_error
from tests.kit.tenants import Tenant, unique

DATA = base64.b64encode(b"sixteen bytes ok").decode()
ENCRYPT = "/crypto/v1/encrypt"


def single(method: str, operation: str, body: Any = None) -> dict[str, Any]:
    item = {"method": method, "operation": operation}
    return {"SingleItem": item if body is None else {**item, "body": body}}


def listed(kind: str, *items: dict[str, Any]) -> dict[str, Any]:
    return {"Batch": {"batch_execution_type": kind, "items": list(items)}}


def encrypt(key: Any, **fields: Any) -> dict[str, Any]:
    body = {"key": {"kid": str(key.id)}, "alg": "AES", "mode": "GCM", "plain": DATA, **fields}
    return single("POST", ENCRYPT, body)


def sent(client: httpx.Client, tenant: Tenant, request: Any, **options: Any) -> Any:
    response = client.post("/batch/v1", json=request, **{"auth": tenant.api_key(), **options})
    assert response.status_code == 200, response.text
    return response.json()


def statuses(response: Any) -> Any:
    """Statuses in the response's shape; None for what was skipped."""
    if "Batch" in response:
        return [statuses(item) for item in response["Batch"]["items"]]
    outcome = response["SingleItem"]
    return outcome["Result"]["status"] if "Result" in outcome else None


def entries(tenant: Tenant) -> list[AuditRecord]:
    return list(AuditRecord.objects.filter(account_id=tenant.account.id).order_by("sequence"))


# -- items ---------------------------------------------------------------------------------------------------------


def test_an_item_answers_what_the_request_alone_answers(tenant: Tenant, client: httpx.Client) -> None:
    key = tenant.key()
    sealed = sent(client, tenant, encrypt(key))["SingleItem"]["Result"]
    assert sealed["status"] == 200
    body = {"key": {"kid": str(key.id)}, "alg": "AES", "mode": "GCM"}
    opened = {**body, **{name: sealed["body"][name] for name in ("cipher", "iv", "tag")}}
    alone = client.post("/crypto/v1/decrypt", json=opened, auth=tenant.api_key()).json()
    assert sent(client, tenant, single("POST", "/crypto/v1/decrypt", opened)) == {
        "SingleItem": {"Result": {"status": 200, "body": alone}}
    }
    assert alone["plain"] == DATA


def test_paths_with_ids_and_queries_work_and_empty_answers_have_no_body(tenant: Tenant, client: httpx.Client) -> None:
    headers = login(client, tenant.users["administrator"].email, tenant)
    kid = str(tenant.key().id)
    request = listed(
        "Serial",
        single("GET", f"/crypto/v1/keys/{kid}"),
        single("GET", "/crypto/v1/keys?limit=1&with_metadata=true"),
        single("PATCH", f"/crypto/v1/keys/{kid}", {"description": "changed"}),
        single("DELETE", f"/crypto/v1/keys/{kid}"),
        single("GET", f"/crypto/v1/keys/{kid}"),
    )
    items = sent(client, tenant, request, auth=None, headers=headers)["Batch"]["items"]
    got, page, changed, gone, absent = (item["SingleItem"]["Result"] for item in items)
    assert (got["status"], got["body"]["kid"]) == (200, kid)
    assert page["body"]["metadata"] == {"total_count": 1, "filtered_count": 1}
    assert (changed["status"], changed["body"]["description"]) == (200, "changed")
    assert gone == {"status": 204}
    assert absent == {"status": 404, "body": "The security object does not exist"}


def test_an_error_in_an_item_is_its_text(tenant: Tenant, client: httpx.Client) -> None:
    key = tenant.key()
    alone = client.post(ENCRYPT, json=encrypt(key, mode="XYZ")["SingleItem"]["body"], auth=tenant.api_key())
    result = sent(client, tenant, encrypt(key, mode="XYZ"))["SingleItem"]["Result"]
    assert result == {"status": alone.status_code, "body": alone.text}


# -- order ---------------------------------------------------------------------------------------------------------


def group_of(tenant: Tenant) -> str:
    return str(tenant.group.id)


def create(tenant: Tenant, name: str, **fields: Any) -> dict[str, Any]:
    body = {"name": name, "obj_type": "AES", "key_size": 256, "group_id": group_of(tenant), **fields}
    return single("POST", "/crypto/v1/keys", body)


def made(tenant: Tenant) -> set[str]:
    return set(SecurityObject.objects.filter(account_id=tenant.account.id).values_list("name", flat=True))


def test_a_serial_batch_stops_at_the_first_failure_and_keeps_what_was_done(
    tenant: Tenant, client: httpx.Client
) -> None:
    request = listed(
        "Serial",
        create(tenant, "first"),
        create(tenant, "second", key_size=100),
        create(tenant, "third"),
        listed("Unordered", create(tenant, "fourth"), create(tenant, "fifth")),
    )
    response = sent(client, tenant, request)
    assert statuses(response) == [201, 400, None, [None, None]]
    skipped = response["Batch"]["items"][2]["SingleItem"]
    assert skipped == {"Skipped": {"reason": "An earlier item of this batch failed"}}
    assert made(tenant) == {"first"}


def test_an_unordered_batch_runs_all(tenant: Tenant, client: httpx.Client) -> None:
    request = listed(
        "Unordered", create(tenant, "first"), create(tenant, "second", key_size=100), create(tenant, "third")
    )
    assert statuses(sent(client, tenant, request)) == [201, 400, 201]
    assert made(tenant) == {"first", "third"}


@pytest.mark.parametrize("inner", ["Serial", "Unordered"])
def test_a_list_that_did_not_go_well_stops_the_serial_one_around_it(
    tenant: Tenant, client: httpx.Client, inner: str
) -> None:
    request = listed(
        "Serial",
        listed(inner, create(tenant, "first"), create(tenant, "second", key_size=100), create(tenant, "third")),
        create(tenant, "fourth"),
    )
    third = 201 if inner == "Unordered" else None
    assert statuses(sent(client, tenant, request)) == [[201, 400, third], None]


def test_an_inner_failure_leaves_the_unordered_one_around_it_running(tenant: Tenant, client: httpx.Client) -> None:
    request = listed("Unordered", listed("Serial", create(tenant, "bad", key_size=1)), create(tenant, "good"))
    assert statuses(sent(client, tenant, request)) == [[400], 201]


def test_items_see_what_earlier_ones_did(tenant: Tenant, client: httpx.Client) -> None:
    name = unique("k")
    use = {"key": {"name": name}, "alg": "AES", "mode": "GCM", "plain": DATA}
    request = listed("Serial", create(tenant, name), single("POST", ENCRYPT, use))
    assert statuses(sent(client, tenant, request)) == [201, 200]


# -- rights and the record -----------------------------------------------------------------------------------------


def test_every_item_is_decided_on_its_own(tenant: Tenant, client: httpx.Client) -> None:
    key, elsewhere = tenant.key(), tenant.key(group=tenant.new_group())
    app = tenant.new_app([Permission.OBJECT_ENCRYPT])
    decrypt = single(
        "POST", "/crypto/v1/decrypt", {"key": {"kid": str(key.id)}, "alg": "AES", "mode": "GCM", "cipher": ""}
    )
    request = listed("Unordered", encrypt(key), decrypt, encrypt(elsewhere))
    assert statuses(sent(client, tenant, request, auth=tenant.api_key(app))) == [200, 403, 404]


def test_every_item_is_recorded_with_the_request_of_its_batch(tenant: Tenant, client: httpx.Client) -> None:
    key, auth = tenant.key(), tenant.api_key()
    request, count = listed("Unordered", encrypt(key), encrypt(key, mode="XYZ")), len(entries(tenant))
    response = client.post("/batch/v1", json=request, auth=auth)
    new = entries(tenant)[count:]
    assert [(entry.action, entry.outcome) for entry in new] == [
        ("batch.open", "done"),
        ("object.encrypt", "done"),
        ("object.encrypt", "failed"),
    ]
    assert {str(entry.request_id) for entry in new} == {response.headers["x-request-id"]}
    assert new[0].details == {"items": 2, "mode": "unordered", "permission": "self.batch"}


def test_a_stranger_gets_a_401_before_anything_is_read(tenant: Tenant, client: httpx.Client) -> None:
    wrong = (tenant.api_key()[0], "wrong")
    plain_error(client.post("/batch/v1", json={"surprise": 1}), 401)
    plain_error(client.post("/batch/v1", json={"surprise": 1}, auth=wrong), 401)


def test_a_session_that_ended_is_refused_as_a_whole(tenant: Tenant, client: httpx.Client) -> None:
    headers = login(client, tenant.users["administrator"].email, tenant)
    assert client.post("/sys/v1/session/terminate", headers=headers).status_code == 204
    plain_error(client.post("/batch/v1", json=create(tenant, "late"), headers=headers), 401)
    assert made(tenant) == set()


def test_a_right_that_an_item_takes_away_is_gone_for_the_next(tenant: Tenant, client: httpx.Client) -> None:
    """Every item is decided on what is true when its turn comes."""
    administrator = tenant.users["administrator"]
    headers = login(client, administrator.email, tenant)
    tenant.member("administrator")
    change = single("PATCH", f"/sys/v1/accounts/{tenant.account.id}", {"description": "changed"})
    demote = {"account_role": ["ACCOUNTMEMBER", "STATEENABLED"]}
    request = listed("Unordered", change, single("PATCH", f"/sys/v1/users/{administrator.id}", demote), change)
    assert statuses(sent(client, tenant, request, auth=None, headers=headers)) == [200, 200, 403]


# -- what does not belong inside -----------------------------------------------------------------------------------

OUTSIDE = [e for e in ENDPOINTS if e.anonymous or e.batch or e.path.startswith("/sys/v1/session")]


@pytest.mark.parametrize("endpoint", [e for e in OUTSIDE if not e.text], ids=lambda e: e.operation)
def test_sessions_logins_and_batches_have_no_place_inside(tenant: Tenant, client: httpx.Client, endpoint: Any) -> None:
    path = re.sub(r"{\w+}", str(tenant.account.id), endpoint.path)
    result = sent(client, tenant, single(endpoint.method, path, {}))["SingleItem"]["Result"]
    assert (result["status"], "no place inside" in result["body"]) == (400, True)


@pytest.mark.parametrize(
    ("method", "operation"),
    [
        ("GET", "/crypto/v1/nothing"),
        ("PUT", "/crypto/v1/encrypt"),
        ("post", ENCRYPT),
        ("POST", "crypto/v1/encrypt"),
        ("POST", f"https://example.org{ENCRYPT}"),
        ("POST", f"{ENCRYPT}/"),
        ("GET", "/crypto/v1/keys/../keys"),
        ("GET", "/crypto/v1/pubkey/00000000-0000-4000-8000-000000000000/name"),
        ("GET", "/sys/v1/health"),
        ("", ""),
    ],
)
def test_a_path_that_is_none_is_a_404_for_its_item(
    tenant: Tenant, client: httpx.Client, method: str, operation: str
) -> None:
    result = sent(client, tenant, single(method, operation, {}))["SingleItem"]["Result"]
    assert result["status"] == 404


NOT_A_BATCH: dict[str, Any] = {
    "nothing": {},
    "both": {**single("GET", "/crypto/v1/keys"), **listed("Serial")},
    "an empty list": listed("Serial"),
    "empty lists": listed("Serial", listed("Unordered"), listed("Serial")),
    "another order": listed("Parallel", single("GET", "/crypto/v1/keys")),
    "something else inside": listed("Serial", {"surprise": 1}),
    "an unknown field": {"SingleItem": {"method": "GET", "operation": "/", "headers": {}}},
    "too many": listed("Unordered", *[single("GET", "/crypto/v1/keys")] * (MAX_ITEMS + 1)),
}


@pytest.mark.parametrize("request_body", NOT_A_BATCH.values(), ids=NOT_A_BATCH)
def test_a_malformed_batch_is_refused_whole(tenant: Tenant, client: httpx.Client, request_body: Any) -> None:
    plain_error(client.post("/batch/v1", json=request_body, auth=tenant.api_key()), 400)
    assert not [entry for entry in entries(tenant) if entry.action == "batch.open"]


def nested(depth: int) -> Any:
    request = single("GET", "/crypto/v1/keys")
    for _ in range(depth - 1):
        request = listed("Serial", request)
    return request


def test_lists_are_nested_so_deep_and_no_deeper(tenant: Tenant, client: httpx.Client) -> None:
    deepest = sent(client, tenant, nested(MAX_DEPTH))
    for _ in range(MAX_DEPTH - 1):
        (deepest,) = deepest["Batch"]["items"]
    assert statuses(deepest) == 200
    for depth in (MAX_DEPTH + 1, 100):
        plain_error(client.post("/batch/v1", json=nested(depth), auth=tenant.api_key()), 400)


def test_as_many_items_as_allowed_are_all_answered_in_order(tenant: Tenant, client: httpx.Client) -> None:
    key = tenant.key(operations=["encrypt", "decrypt"])
    body = {"key": {"kid": str(key.id)}, "alg": "AES", "mode": "ECB"}
    blocks = [base64.b64encode(number.to_bytes(16, "big")).decode() for number in range(MAX_ITEMS)]
    items = [single("POST", ENCRYPT, {**body, "plain": block}) for block in blocks]
    answers = sent(client, tenant, listed("Unordered", *items))["Batch"]["items"]
    ciphers = [answer["SingleItem"]["Result"]["body"]["cipher"] for answer in answers]
    back = [{**body, "cipher": cipher} for cipher in ciphers]
    plain = sent(client, tenant, listed("Serial", *[single("POST", "/crypto/v1/decrypt", item) for item in back]))
    assert [item["SingleItem"]["Result"]["body"]["plain"] for item in plain["Batch"]["items"]] == blocks


def test_a_value_of_an_item_is_in_no_error(tenant: Tenant, client: httpx.Client) -> None:
    canary = "canary-77f1c2"
    body = {"plain": canary, "alg": "AES", "key": {"kid": str(tenant.key().id)}}
    assert canary not in str(sent(client, tenant, single("POST", ENCRYPT, body)))
    refused = client.post("/batch/v1", json=listed(canary, single(canary, "/")), auth=tenant.api_key())
    assert canary not in plain_error(refused, 400)
