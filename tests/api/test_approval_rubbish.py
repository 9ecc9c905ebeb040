"""Rubbish to the routes of roles, policies and approvals, in every field that they read: never an error of ours.

A valid request with one field replaced at a time, however deep it is; each is sent by who may do everything.
"""

from __future__ import annotations

import json
import types
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Union, get_args, get_origin
from uuid import UUID, uuid4

import msgspec
import pytest

from kms.api.wire import (
    accounts,
    approvals,
    explaining,
    external_roles,
    groups,
    roles,
    vote_proofs,
)
from kms.api.wire.base import Endpoint
from policies.models import ApprovalRequest, GroupPolicy
from policies.stored import stored_tree
from tests.api.test_matrix import Matrix, by
from tests.kit.quorums import users
from tests.kit.tenants import new_tenant
from tests.kit.verdicts import Came, attempt

MODULES = (accounts, approvals, explaining, external_roles, groups, roles, vote_proofs)
THESE = [endpoint for module in MODULES for endpoint in module.ENDPOINTS]
# What is made is read by the same struct as what is changed; votes have a test of their own.
WITH_BODY = [
    endpoint
    for endpoint in THESE
    if endpoint.body is not None and endpoint.operation not in ("CreateAccount", "CreateGroup", "ApproveRequest")
]
VOTE = next(endpoint for endpoint in THESE if endpoint.operation == "ApproveRequest")
# Of accounts and groups, what is neither a role's nor a quorum's.
OTHERS = {
    *("add_ldap", "auth_config", "client_configurations", "cryptographic_policy"),
    *("key_metadata_policy", "mod_ldap"),
}
Path = tuple[str | int, ...]


@pytest.fixture(scope="module")
def matrix(installation: None) -> Matrix:
    return Matrix()


def nested(levels: int) -> Any:
    """A quorum in a quorum in a quorum."""
    return {"quorum": {"n": 1, "members": [nested(levels - 1)]}} if levels else {"user": str(uuid4())}


def rubbish() -> list[Any]:
    elsewhere = new_tenant()
    strangers = [str(each) for each in (elsewhere.group.id, elsewhere.alice.id, elsewhere.app.id, UUID(int=0))]
    deep: Any = "x"
    for _ in range(200):
        deep = [deep]
    return [
        *(None, True, 0, -1, 2**70, 1.5, "", "\x00", "\x00" * 9, "\ud83d\ude00" * 300, "x" * 70_000),
        *([], {}, [None], [[]], {"": None}, {"\x00": "\x00"}, deep, nested(3), nested(60)),
        {"n": 2**31, "members": [{"user": strangers[1]}] * 500},
        *strangers,
        [{"user": strangers[1]}],
        {strangers[0]: ["GROUPADMINISTRATOR"]},
    ]


def paths_of(kind: Any, above: Path = ()) -> Iterator[Path]:
    """Every place in a body where something can be, containers among them."""
    if above:
        yield above
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        for field in msgspec.structs.fields(kind):
            if field.encode_name not in above:
                yield from paths_of(field.type, (*above, field.encode_name))
        return
    origin, parts = get_origin(kind), [each for each in get_args(kind) if each is not type(None)]
    if origin in (Union, types.UnionType):
        for part in parts:
            yield from (path for path in paths_of(part, above) if path != above)
    elif origin in (list, tuple, set, frozenset):
        yield from paths_of(parts[0], (*above, 0))
    elif origin is not None and parts:
        yield from paths_of(parts[-1], (*above, "of any name"))


def put(body: Any, path: Sequence[str | int], value: Any) -> Any:
    """The body with something else at a place, and no more around it than it takes to get there."""
    if not path:
        return value
    first, *rest = path
    if isinstance(first, int):
        return [put(body[0] if isinstance(body, list) and body else None, rest, value)]
    around = body if isinstance(body, dict) else {}
    return {**around, first: put(around.get(first), rest, value)}


def sent(matrix: Matrix, endpoint: Endpoint, body: bytes) -> Came:
    ready = matrix.ready(endpoint)
    return attempt(replace(ready.sent, body=body), matrix.may[by(endpoint)])


@pytest.mark.parametrize("endpoint", WITH_BODY, ids=lambda e: e.operation)
def test_no_value_of_any_field_is_an_error_of_ours(endpoint: Endpoint, matrix: Matrix) -> None:
    valid = json.loads(matrix.ready(endpoint).sent.body or b"{}")
    values, wrong = rubbish(), []
    for path in dict.fromkeys(path for path in paths_of(endpoint.body) if path[0] not in OTHERS):
        for value in values:
            came = sent(matrix, endpoint, json.dumps(put(valid, path, value)).encode())
            if came.status >= 500:
                wrong.append((path, str(value)[:60], came.status, came.reason))
    assert not wrong


def test_no_value_shown_with_a_vote_is_an_error_of_ours_or_a_vote(matrix: Matrix) -> None:
    """What is guessed is counted for good, so nothing of it is undone: the answers may be that it is too much."""
    ready, who = matrix.ready(VOTE).sent, matrix.may[by(VOTE)]
    asked = ApprovalRequest.objects.get(id=ready.path["req_id"])
    strict = stored_tree(users(1, [matrix.world.tenant.alice.id], password=True, second_factor=True))
    GroupPolicy.objects.filter(group_id=asked.groups[0]).update(quorum=strict)
    values = rubbish()
    for path in paths_of(VOTE.body):
        for value in values:
            came = attempt(replace(ready, body=json.dumps(put({}, path, value)).encode()), who, lasting=True)
            assert 400 <= came.status < 500, (path, str(value)[:60], came)
    assert not asked.approvals.exists()
