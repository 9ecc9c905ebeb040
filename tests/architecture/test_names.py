"""The vendor's words and the house's: a word each, both ways."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from kms.api.wire import names
from kms.crypto.operation import KeyOperation
from kms.objects.state import KeyState
from policies.system_roles import ACCOUNT_ROLES, APP_GRANTABLE, APP_MEMBER, GROUP_ROLES

PAIRS: dict[str, tuple[Mapping[str, Any], Mapping[Any, str], frozenset[Any]]] = {
    "key operations": (names.OPERATIONS, names.WIRE_OPERATION, frozenset(KeyOperation)),
    "states": (names.STATES, names.WIRE_STATE, frozenset(KeyState)),
    # What an app holds by being in a group is not given by name.
    "app permissions": (names.APP_PERMISSIONS, names.WIRE_APP_PERMISSION, APP_GRANTABLE - APP_MEMBER),
    "account roles": (names.ACCOUNT_ROLES, names.WIRE_ACCOUNT_ROLE, frozenset(ACCOUNT_ROLES)),
    "group roles": (names.GROUP_ROLES, names.WIRE_GROUP_ROLE, frozenset(GROUP_ROLES)),
}


@pytest.mark.parametrize(("to_house", "to_wire", "house"), PAIRS.values(), ids=PAIRS)
def test_every_word_has_exactly_one_counterpart(
    to_house: Mapping[str, Any], to_wire: Mapping[Any, str], house: frozenset[Any]
) -> None:
    assert set(to_house.values()) == house
    assert len(to_house) == len(to_wire) == len(house)
    assert {to_wire[word]: word for word in house} == dict(to_house)


def test_operations_are_written_in_the_vendors_order_and_read_back() -> None:
    every = names.wire_operations([operation.value for operation in KeyOperation])
    assert every == list(names.OPERATIONS)
    assert names.operations_of(every) == frozenset(KeyOperation)
