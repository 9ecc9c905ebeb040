"""An account always keeps somebody who can administer it, also when two try to be rid of each other at once."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.models import Membership
from accounts.principal import Principal
from kms.operations.errors import Conflict, OperationError, TooBusy
from kms.operations.executor import execute
from kms.operations.users import RemoveUser, UpdateUser
from tests.kit.tenants import Tenant, new_tenant
from tests.kit.threads import at_once

LOSING: dict[str, Any] = {
    "removed": lambda user: RemoveUser(user),
    "demoted": lambda user: UpdateUser(user, role="member"),
    "disabled": lambda user: UpdateUser(user, enabled=False),
}


def administrators(tenant: Tenant) -> int:
    return Membership.objects.filter(
        account=tenant.account, role="administrator", enabled=True, invitation_pending=False
    ).count()


@pytest.mark.parametrize("lose", LOSING.values(), ids=LOSING)
def test_the_last_administrator_cannot_be_lost(tenant: Tenant, lose: Any) -> None:
    with pytest.raises(Conflict, match="last administrator"):
        execute(tenant.alice, lose(tenant.alice.id))
    assert administrators(tenant) == 1


@pytest.mark.parametrize("lose", LOSING.values(), ids=LOSING)
def test_neither_disabled_nor_invited_administrators_count(tenant: Tenant, lose: Any) -> None:
    tenant.member("administrator", enabled=False)
    invited = tenant.member("administrator")
    Membership.objects.filter(user_id=invited.id).update(invitation_pending=True)
    with pytest.raises(Conflict, match="last administrator"):
        execute(tenant.alice, lose(tenant.alice.id))


@pytest.mark.parametrize("lose", LOSING.values(), ids=LOSING)
def test_one_of_two_may_go_and_then_no_more(tenant: Tenant, lose: Any) -> None:
    bob = tenant.member("administrator")
    execute(tenant.alice, lose(bob.id))
    with pytest.raises(Conflict, match="last administrator"):
        execute(tenant.alice, lose(tenant.alice.id))
    assert administrators(tenant) == 1


def test_an_administrator_disabled_already_can_be_removed(tenant: Tenant) -> None:
    bob = tenant.member("administrator", enabled=False)
    execute(tenant.alice, RemoveUser(bob.id))
    assert administrators(tenant) == 1


@pytest.mark.parametrize("lose", LOSING.values(), ids=LOSING)
@pytest.mark.parametrize("target", ["each other", "themselves"])
def test_two_administrators_at_once_leave_one(lose: Any, target: str) -> None:
    for _ in range(2):  # each meeting costs the deadlock_timeout of PostgreSQL, a second
        tenant = new_tenant()
        pair = (tenant.alice, tenant.member("administrator"))

        def attempt(number: int, pair: tuple[Principal, Principal] = pair) -> bool:
            other = pair[1 - number] if target == "each other" else pair[number]
            try:
                execute(pair[number], lose(other.id))
            except (OperationError, TooBusy):
                return False
            return True

        assert sum(at_once(2, attempt)) == 1
        assert administrators(tenant) == 1
