"""Every lean route answers and records the same through both edges: the corridor is one."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest

from kms.api.routes import ENDPOINTS
from kms.audit.models import AuditRecord
from kms.crypto.algorithm import CipherParameters
from kms.operations.command import ObjectRef
from kms.operations.executor import execute
from kms.operations.multipart import BeginDecryption, BeginEncryption
from tests.kit.tenants import Tenant, new_tenant

LEAN = [endpoint for endpoint in ENDPOINTS if endpoint.lean]
DATA = base64.b64encode(b"sixteen bytes ok").decode()
IV = base64.b64encode(bytes(16)).decode()
# What differs from call to call by nature.
_RANDOM = {"iv", "tag", "cipher", "signature", "wrapped_key", "state"}


def body_for(operation: str, keys: dict[str, str]) -> Any:
    """A request that succeeds, for each lean operation; a new lean route without one fails the test."""
    aes, hmac, ec, exported = keys["AES"], keys["HMAC"], keys["EC"], keys["exported"]
    cbc = {"alg": "AES", "mode": "CBCNOPAD", "iv": IV}
    bodies: dict[str, tuple[str, Any]] = {
        "Encrypt": (aes, {**cbc, "plain": DATA}),
        "Decrypt": (aes, {**cbc, "cipher": DATA}),
        "Sign": (ec, {"hash_alg": "SHA256", "data": DATA}),
        "Verify": (ec, {"hash_alg": "SHA256", "data": DATA, "signature": DATA}),
        "Mac": (hmac, {"alg": "SHA256", "data": DATA}),
        "MacVerify": (hmac, {"alg": "SHA256", "data": DATA, "mac": DATA}),
        "Wrap": (aes, {"alg": "AES", "mode": "KWP", "kid": exported}),
        "EncryptInit": (aes, cbc),
        "EncryptUpdate": (aes, {"state": keys["state, encrypting"], "plain": DATA}),
        "EncryptFinal": (aes, {"state": keys["state, encrypting"]}),
        "DecryptInit": (aes, cbc),
        "DecryptUpdate": (aes, {"state": keys["state, decrypting"], "cipher": DATA}),
        "DecryptFinal": (aes, {"state": keys["state, decrypting"]}),
    }
    if operation.startswith("Batch"):
        kid, body = bodies[operation.removeprefix("Batch")]
        if operation in ("BatchEncrypt", "BatchDecrypt"):
            return [{"kid": kid, "request": body}] * 2
        return [{"key": {"kid": kid}, **body}] * 2
    kid, body = bodies[operation.removesuffix("ById")]
    return body if operation.endswith("ById") else {"key": {"kid": kid}, **body}


def path_for(endpoint: Any, keys: dict[str, str]) -> str:
    kinds = {"Sign": "EC", "Verify": "EC", "Mac": "HMAC", "MacVerify": "HMAC"}
    return endpoint.path.replace("{key_id}", keys[kinds.get(endpoint.operation.removesuffix("ById"), "AES")])


@pytest.fixture(scope="module")
def keyed() -> tuple[Tenant, dict[str, str]]:
    tenant = new_tenant()
    keys = {
        "AES": tenant.key(),
        "HMAC": tenant.key("HMAC", size=256),
        "EC": tenant.key("EC", curve="NistP256"),
        "exported": tenant.key(operations=["encrypt", "export"]),
    }
    return tenant, {kind: str(ref.id) for kind, ref in keys.items()} | states(tenant, keys["AES"])


def states(tenant: Tenant, key: ObjectRef) -> dict[str, str]:
    """Where a multi-part operation stands before any data, in both directions."""
    parameters = CipherParameters("CBCNOPAD", bytes(16))
    begun = {
        "state, encrypting": execute(tenant.app, BeginEncryption(key, "AES", parameters)),
        "state, decrypting": execute(tenant.app, BeginDecryption(key, "AES", parameters)),
    }
    return {name: base64.b64encode(one.state).decode() for name, one in begun.items()}


def comparable(response: httpx.Response) -> Any:
    try:
        content = response.json()
    except json.JSONDecodeError:
        return response.status_code, response.text
    return response.status_code, _blanked(content)


def _blanked(value: Any) -> Any:
    if isinstance(value, list):
        return [_blanked(item) for item in value]
    if isinstance(value, dict):
        return {k: ("random" if k in _RANDOM else _blanked(v)) for k, v in value.items()}
    return value


def last_entry(tenant: Tenant) -> dict[str, Any]:
    entry = AuditRecord.objects.filter(account_id=tenant.account.id).order_by("-sequence").values().first()
    assert entry is not None
    return {k: v for k, v in entry.items() if k not in ("sequence", "time", "request_id", "duration_us")}


@pytest.mark.parametrize("endpoint", LEAN, ids=lambda e: e.operation)
@pytest.mark.parametrize("case", ["good", "malformed", "unknown field", "unknown key", "no credential"])
def test_both_edges_answer_and_record_alike(
    endpoint: Any,
    case: str,
    keyed: tuple[Tenant, dict[str, str]],
    client: httpx.Client,
    django_client: httpx.Client,
) -> None:
    tenant, keys = keyed
    auth: Any = tenant.api_key() if case != "no credential" else None
    body, path = body_for(endpoint.operation, keys), path_for(endpoint, keys)
    if case == "unknown key":
        missing = "00000000-0000-4000-8000-000000000000"
        text = json.dumps(body)
        for kid in (value for name, value in keys.items() if not name.startswith("state")):
            text, path = text.replace(kid, missing), path.replace(kid, missing)
        body = json.loads(text)
    content = {"malformed": '{"plain": ', "unknown field": json.dumps(_with_unknown(body))}.get(case, json.dumps(body))
    seen = []
    for edge in (client, django_client):
        response = edge.request(endpoint.method, path, content=content, auth=auth)
        assert response.status_code < 500
        seen.append((comparable(response), last_entry(tenant)))
    assert seen[0] == seen[1]
    if case == "good":
        assert seen[0][0][0] == endpoint.status
        assert seen[0][1]["outcome"] == "done"


def _with_unknown(body: Any) -> Any:
    if isinstance(body, list):
        return [_with_unknown(item) for item in body]
    return {**body, "surprise": 1}
