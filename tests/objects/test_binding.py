"""What ties a blob to its row: no two rows, and no two states of one, share their bytes."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kms.crypto.operation import KeyOperation
from kms.objects import keystore
from kms.objects.binding import BoundFields, binding_of, canonical, credential_binding
from kms.objects.keystore import GrantMismatch
from kms.objects.models import SecurityObject
from kms.objects.snapshot import bound_fields, snapshot_of
from kms.operations.executor import execute
from kms.operations.updating import UpdateObject
from tests.kit.tenants import Tenant

BOUND = BoundFields(
    UUID(int=1), UUID(int=2), UUID(int=3), 1, "AES", 256, "", frozenset({KeyOperation.ENCRYPT, KeyOperation.DECRYPT})
)
CHANGES: dict[str, Any] = {
    "deployment": UUID(int=9),
    "account": UUID(int=9),
    "object_id": UUID(int=9),
    "version": 2,
    "kind": "HMAC",
    "size": 128,
    "curve": "NistP256",
    "operations": frozenset({KeyOperation.ENCRYPT}),
    "options": b'{"sign_hash":false}',
}
bound = st.builds(
    BoundFields,
    st.uuids(),
    st.uuids(),
    st.uuids(),
    st.integers(0, 2**63 - 1),
    st.sampled_from(["AES", "HMAC", "RSA", "EC"]),
    st.integers(0, 2**31 - 1),
    st.sampled_from(["", "NistP256", "NistP521"]),
    st.frozensets(st.sampled_from(KeyOperation)),
    st.binary(),
)


def test_the_sweep_below_changes_every_field() -> None:
    assert CHANGES.keys() == {field.name for field in fields(BoundFields)}


@pytest.mark.parametrize("name", CHANGES)
def test_any_changed_field_changes_the_bytes(name: str) -> None:
    assert binding_of(replace(BOUND, **{name: CHANGES[name]})) != binding_of(BOUND)


@pytest.mark.parametrize("operation", KeyOperation)
def test_any_operation_more_or_less_changes_the_bytes(operation: KeyOperation) -> None:
    other = replace(BOUND, operations=BOUND.operations ^ {operation})
    assert binding_of(other) != binding_of(BOUND)


@given(bound, bound)
def test_the_bytes_are_equal_exactly_when_the_fields_are(left: BoundFields, right: BoundFields) -> None:
    assert (binding_of(left) == binding_of(right)) is (left == right)


parts = st.lists(st.binary(max_size=6), max_size=6)


@given(parts, parts)
def test_canonical_is_injective(left: list[bytes], right: list[bytes]) -> None:
    assert (canonical(left) == canonical(right)) is (left == right)


@given(parts)
def test_canonical_can_be_read_back(content: list[bytes]) -> None:
    """Which is why it is injective."""
    rest, found = canonical(content), []
    while rest:
        length = int.from_bytes(rest[:4], "big")
        found.append(rest[4 : 4 + length])
        rest = rest[4 + length :]
    assert found == content


@given(st.lists(st.binary(max_size=3), min_size=2, max_size=4), st.integers(0, 8))
def test_moving_a_boundary_between_parts_changes_the_bytes(content: list[bytes], cut: int) -> None:
    joined = content[0] + content[1]
    moved = [joined[: cut % (len(joined) + 1)], joined[cut % (len(joined) + 1) :], *content[2:]]
    assert (canonical(moved) == canonical(content)) is (moved == content)


@given(bound, st.uuids(), st.uuids(), st.integers(0, 2**63 - 1))
def test_objects_and_app_secrets_never_share_a_binding(
    fields_: BoundFields, deployment: UUID, app: UUID, version: int
) -> None:
    assert binding_of(fields_) != credential_binding(deployment, app, version)


def test_every_column_that_shapes_the_key_is_bound(tenant: Tenant) -> None:
    """``state``, ``enabled`` and dates change without the token; kind, size, curve and operations may not."""
    row = SecurityObject.objects.get(id=tenant.key().id or UUID(int=0))
    before = binding_of(bound_fields(row, keystore.deployment_id()))
    changes: dict[str, Any] = {
        "account_id": UUID(int=1),
        "id": UUID(int=1),
        "version": 7,
        "kind": "HMAC",
        "size": 128,
        "curve": "x",
        "operations": [],
    }
    for name, value in changes.items():
        kept = getattr(row, name)
        setattr(row, name, value)
        assert binding_of(bound_fields(row, keystore.deployment_id())) != before, name
        setattr(row, name, kept)
    assert binding_of(bound_fields(row, UUID(int=1))) != before


def test_an_opened_keys_name_changes_with_its_version(tenant: Tenant) -> None:
    key = tenant.key()
    row = SecurityObject.objects.get(id=key.id or UUID(int=0))
    before = snapshot_of(row, keystore.deployment_id())
    execute(tenant.alice, UpdateObject(key, operations=frozenset({KeyOperation.ENCRYPT})))
    row.refresh_from_db()
    after = snapshot_of(row, keystore.deployment_id())
    assert after.cache_key != before.cache_key
    assert after.binding != before.binding
    assert after.blob != before.blob


def test_a_key_is_not_opened_on_a_grant_for_another(tenant: Tenant) -> None:
    """The grants are the corridor's own: taken from two calls, not made here."""
    from accounts.clock import clock
    from kms.audit.entry import CallContext
    from kms.hsm.module import Usage
    from kms.operations.authority import Authority
    from kms.operations.command import Call, ObjectNeed
    from policies.facts import known_of
    from policies.permissions import Permission

    call = Call(tenant.app, CallContext(), clock.now(), known_of(tenant.app).facts, Authority(load=True))
    found = []
    for ref in (tenant.key(), tenant.key(operations=["encrypt", "export"])):
        resolved = call.authority.resolve_object(call, ObjectNeed(ref, Permission.OBJECT_ENCRYPT))
        found.append((call.authority.authorise(call, resolved), resolved.payload))
    (grant, mine), (_, other) = found
    assert keystore.open_key(grant, mine, Usage.ENCRYPT)
    with pytest.raises(GrantMismatch):
        keystore.open_key(grant, other, Usage.ENCRYPT)
    with pytest.raises(GrantMismatch):
        keystore.material(grant, other)
