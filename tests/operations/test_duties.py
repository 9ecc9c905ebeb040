"""What needs attention is what ends or rotates soon, counted as the states say, for those who may see it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from accounts.clock import clock
from kms.objects.models import SecurityObject
from kms.objects.state import Cryptoperiod, KeyState, effective_state
from kms.operations import duties
from kms.operations.duties import CountObjects, ReadActivity, ReadDuties
from kms.operations.errors import AccessDenied, InvalidRequest
from kms.operations.executor import execute
from kms.operations.groups import CreateGroup
from tests.kit.tenants import Tenant, new_tenant


@pytest.fixture
def tenant() -> Tenant:
    return new_tenant()


def dated(tenant: Tenant, **columns: Any) -> SecurityObject:
    row = SecurityObject.objects.get(id=str(tenant.key().id))
    for name, value in columns.items():
        setattr(row, name, value)
    row.save(update_fields=list(columns))
    return row


def test_keys_that_end_soon_are_listed_soonest_first(tenant: Tenant) -> None:
    now = clock.now()
    late = dated(tenant, deactivation_date=now + timedelta(days=20))
    soon = dated(tenant, deactivation_date=now + timedelta(days=2))
    dated(tenant, deactivation_date=now + timedelta(days=40))
    dated(tenant, deactivation_date=now - timedelta(days=1))
    dated(tenant, deactivation_date=now + timedelta(days=3), enabled=False)
    found = execute(tenant.alice, ReadDuties(30))
    assert [due.row.id for due in found.ending] == [soon.id, late.id]


def test_rotations_that_are_due_or_overdue_are_listed(tenant: Tenant) -> None:
    now = clock.now()
    due = dated(tenant, rotates_at=now + timedelta(days=5))
    overdue = dated(tenant, rotates_at=now - timedelta(hours=5))
    dated(tenant, rotates_at=now + timedelta(days=50))
    assert [each.row.id for each in execute(tenant.alice, ReadDuties(30)).rotating] == [overdue.id, due.id]


def test_refusals_are_counted_and_another_accounts_are_not(tenant: Tenant) -> None:
    before = execute(tenant.alice, ReadDuties(1)).refused
    with pytest.raises(AccessDenied):
        execute(tenant.member("auditor"), CreateGroup("not theirs to make"))
    assert execute(tenant.alice, ReadDuties(1)).refused == before + 1
    assert execute(new_tenant().alice, ReadDuties(1)).refused == 0


@pytest.mark.parametrize("state", [KeyState.PRE_ACTIVE, KeyState.ACTIVE, KeyState.DEACTIVATED, KeyState.COMPROMISED])
@pytest.mark.parametrize("begun", [None, -1, 1])
@pytest.mark.parametrize("over", [None, -1, 1])
def test_the_database_sees_the_states_that_we_do(
    tenant: Tenant, state: KeyState, begun: int | None, over: int | None
) -> None:
    now = clock.now()
    dates = {name: None if days is None else now + timedelta(days=days) for name, days in (("a", begun), ("d", over))}
    dated(tenant, state=state.value, activation_date=dates["a"], deactivation_date=dates["d"])
    rows = execute(tenant.alice, CountObjects()).rows
    assert rows == (("AES", effective_state(state, Cryptoperiod(dates["a"], dates["d"]), now).value, 1),)


def test_what_takes_too_long_to_count_is_not_known(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(_now: Any) -> Any:
        from django.db.models import CharField, Func, Value
        from django.db.models.functions import Cast

        return Cast(Func(Value(2.0), function="pg_sleep"), CharField())

    tenant.key()
    monkeypatch.setattr(duties, "_state", slow)
    monkeypatch.setattr(duties, "PART_MILLISECONDS", 50)
    assert execute(tenant.alice, CountObjects()).rows is None


@pytest.mark.parametrize("days", [0, -1, 367])
def test_a_span_is_a_day_to_a_year(tenant: Tenant, days: int) -> None:
    for command in (ReadDuties(days), ReadActivity(days)):
        with pytest.raises(InvalidRequest):
            execute(tenant.alice, command)


def test_an_account_without_calls_has_no_activity(tenant: Tenant) -> None:
    assert execute(tenant.alice, ReadActivity(7)).rows == ()
