"""Ways to a guarded call beside its own route: within a batch, in a stream. Each waits for the same quorum.

What the routes themselves ask for is swept in test_quorum_sweep, whose requests these are.
"""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import httpx
import pytest

from kms.api.wire.base import Endpoint
from kms.api.wire.streams import STREAMS
from policies.permissions import Permission
from tests.api.test_matrix import LASTING, Matrix, Ready, by
from tests.api.test_quorum_sweep import GUARDED_ROUTES, guardable, guarded
from tests.api.test_streams import Call
from tests.kit.quorums import guard_group, users
from tests.kit.tenants import new_tenant

NEEDS_APPROVAL = "This operation requires approval"
# A batch has no batches, and no item that has something else than JSON or concerns sessions.
BATCHABLE = [e for e in GUARDED_ROUTES if not e.batch and e.operation not in LASTING]


@pytest.fixture(scope="module")
def matrix(installation: None) -> Matrix:
    return Matrix()


def as_item(ready: Ready) -> bytes:
    """The request as the only item of a batch."""
    sent = ready.sent
    operation = sent.endpoint.path.format(**sent.path) + (f"?{sent.query}" if sent.query else "")
    item: dict[str, Any] = {"method": sent.endpoint.method, "operation": operation}
    if sent.body:
        item["body"] = json.loads(sent.body)
    return json.dumps({"SingleItem": item}).encode()


def said(result: Any) -> set[tuple[int, str]]:
    """What an item came to; of one that is several requests itself, what each of them did."""
    if isinstance(result["body"], list):
        return {(each["status"], each["error"]) for each in result["body"]}
    return {(result["status"], result["body"])}


@pytest.mark.parametrize("endpoint", BATCHABLE, ids=lambda e: e.operation)
def test_each_route_waits_for_its_quorum_within_a_batch_too(
    endpoint: Endpoint, matrix: Matrix, client: httpx.Client
) -> None:
    ready = matrix.ready(endpoint)
    headers = {"Authorization": matrix.may[by(endpoint)], "Content-Type": "application/json"}
    for need in guardable(ready):
        with guarded(matrix, need):
            came = client.post("/batch/v1", content=as_item(ready), headers=headers)
        assert came.status_code == 200, came.text
        assert said(came.json()["SingleItem"]["Result"]) == {(403, NEEDS_APPROVAL)}, came.text


@pytest.mark.parametrize("path", STREAMS)
def test_a_stream_waits_for_its_quorum_before_its_first_frame(path: str, client: httpx.Client) -> None:
    tenant = new_tenant()
    key = tenant.key()
    guard_group(tenant.group, users(1, [UUID(int=1)]), [Permission.OBJECT_ENCRYPT, Permission.OBJECT_DECRYPT])
    call = Call(client, path, tenant.api_key())
    call.say({"init": {"key": {"kid": str(key.id)}, "alg": "AES", "mode": "CBC", "iv": bytes(16)}})
    assert call.refused() == (403, NEEDS_APPROVAL)
