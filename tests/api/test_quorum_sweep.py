"""Every route that a quorum can stand before: refused until it approves, whichever of its permissions is guarded.

The requests are those of the authorisation matrix, and so is what they ask for.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any
from uuid import UUID

import pytest

from kms.api.routes import ENDPOINTS
from kms.api.wire.base import Endpoint
from kms.operations.command import Resolved
from policies.guarded import CHOOSABLE, AccountProtection, GroupProtection
from policies.models import AccountPolicy, GroupPolicy
from policies.permissions import Permission
from policies.stored import stored_tree
from tests.api.test_matrix import Matrix, Ready, by, is_batch, needs_of
from tests.api.test_permissions import CASES
from tests.kit.quorums import users
from tests.kit.verdicts import Came, attempt, of_items

# Whatever some policy can guard.
OF_GROUPS = GroupProtection(CHOOSABLE, managing=True, using=True).guarded() | GroupProtection().guarded()
OF_ACCOUNTS = AccountProtection(
    groups=True, authentication=True, cryptographic=True, logging=True, roles=True
).guarded()


@pytest.fixture(scope="module")
def matrix(installation: None) -> Matrix:
    return Matrix()


@cache
def other_requests(matrix: Matrix) -> dict[str, list[dict[str, Any]]]:
    """To routes whose request in the matrix asks for one right of several."""
    tenant = matrix.world.tenant
    alice, group, here = {"user": str(tenant.alice.id)}, str(tenant.new_group().id), str(tenant.group.id)
    return {
        "UpdateUser": [{"add_groups": {here: ["GROUPAUDITOR"]}}, {"del_groups": {here: ["GROUPAUDITOR"]}}],
        "UpdateExternalRole": [
            {"add_groups": {here: {"users": ["GROUPAUDITOR"]}}},
            {"add_groups": {here: {"apps": ["ENCRYPT"]}}},
        ],
        "UpdateSobject": [
            {"enabled": False},
            {"key_ops": ["ENCRYPT"]},
            {"group_id": group},
            {"deactivation_date": "20991231T000000Z"},
            {"approval_policy": alice},
        ],
        "UpdateGroup": [{"approval_policy": alice}],
        "UpdateAccount": [{"approval_policy": {"policy": alice}}],
        "UpdateApp": [{"credential": {"secret": None}}],
    }


def requests(matrix: Matrix, endpoint: Endpoint) -> Iterator[Ready]:
    ready = matrix.ready(endpoint)
    yield ready
    for body in other_requests(matrix).get(endpoint.operation, ()):
        other = replace(ready.sent, body=json.dumps(body).encode())
        yield Ready(other, needs_of(other, matrix.may[by(endpoint)]))


def come(matrix: Matrix, ready: Ready) -> Came:
    came = attempt(ready.sent, matrix.may[by(ready.endpoint)])
    return of_items(came) if is_batch(ready.endpoint) else came


@contextlib.contextmanager
def guarded(matrix: Matrix, need: Resolved) -> Iterator[None]:
    """By somebody who does not answer."""
    tenant = matrix.world.tenant
    tree, names = stored_tree(users(1, [UUID(int=1)])), [need.permission.value]
    if need.permission in OF_GROUPS and need.target.groups:
        row: AccountPolicy | GroupPolicy = GroupPolicy.objects.create(
            group_id=need.target.groups[0], account_id=tenant.account.id, quorum=tree, guarded=names
        )
    else:
        row = AccountPolicy.objects.create(account=tenant.account, quorum=tree, guarded=names)
    try:
        yield
    finally:
        row.delete()


def guardable(ready: Ready) -> list[Resolved]:
    """One target for each permission that a policy can guard."""
    found = {need.permission: need for need in ready.needs if need.permission in OF_GROUPS | OF_ACCOUNTS}
    return list(found.values())


GUARDED_ROUTES = [e for e in ENDPOINTS if e.operation in CASES]


@pytest.mark.parametrize("endpoint", GUARDED_ROUTES, ids=lambda e: e.operation)
def test_each_route_waits_for_the_quorum_that_guards_it(endpoint: Endpoint, matrix: Matrix) -> None:
    for ready in requests(matrix, endpoint):
        needs = guardable(ready)
        free = come(matrix, ready) if needs else None
        assert free is None or (free.status < 400 and free.reason != "approval-needed"), free
        for need in needs:
            with guarded(matrix, need):
                came = come(matrix, ready)
            assert came.status == 403, (need.permission, came)
            assert b"This operation requires approval" in came.body, need.permission
            assert came.reason == "approval-needed" or is_batch(endpoint)


# Nothing here asks for these: what they allow is not there, or is asked for by the fine ones that they imply.
NOTHING_ASKS = {
    *(p for p in OF_GROUPS | OF_ACCOUNTS if p.endswith(".manage") or p.startswith("plugin.")),
    Permission.ACCOUNT_POLICY_MANAGE,
    Permission.EXTERNAL_ROLE_MAP,
    Permission.GROUP_CREATE_EXTERNAL,
    Permission.GROUP_CUSTODIANS_MANAGE,
    Permission.GROUP_LINKS,
    Permission.GROUP_POLICY_MANAGE,
    Permission.GROUP_USERS_MANAGE,
    Permission.GROUP_WRAPPING_KEY,
    Permission.OBJECT_RESTORE,
    Permission.OBJECT_SCAN,
}
# Asked for when something else is there than in the matrix's account: an administrative app, a policy, a role.
ASKED_ELSEWHERE = {
    *(p for p in OF_GROUPS | OF_ACCOUNTS if p.startswith(("admin-app.", "account.", "group.")) and "polic" in p),
    Permission.ACCOUNT_DELETE,
    Permission.ADMIN_APP_CREATE,
    Permission.ADMIN_APP_DELETE,
    Permission.ADMIN_APP_SECRET_READ,
    Permission.ADMIN_APP_UPDATE,
    Permission.GROUP_CLIENTS,
    Permission.GROUP_USERS_ROLE,
    Permission.OBJECT_MASK_DECRYPT,
}


def test_the_sweep_reaches_what_policies_guard(matrix: Matrix) -> None:
    reached = {need.permission for e in GUARDED_ROUTES for ready in requests(matrix, e) for need in guardable(ready)}
    missing = (OF_GROUPS | OF_ACCOUNTS) - reached - NOTHING_ASKS - ASKED_ELSEWHERE
    assert not missing
