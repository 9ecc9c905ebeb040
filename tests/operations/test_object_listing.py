"""The listing of objects against what plain Python makes of the same rows: every order, filter and page."""

from __future__ import annotations

import itertools
import random
from datetime import timedelta
from typing import Any

import pytest

from accounts.clock import clock
from kms.objects.models import NEVER, SecurityObject
from kms.objects.state import KeyState
from kms.operations import object_listing
from kms.operations.errors import InvalidRequest
from kms.operations.executor import execute
from kms.operations.managed_object import state_of
from kms.operations.object_listing import Narrowing
from kms.operations.queries import ListObjects, Page
from policies.permissions import Permission
from tests.kit.objects import by_sql, id_of
from tests.kit.quorums import guard_group, users
from tests.kit.tenants import Tenant, new_tenant

ORDERS = ("id", "name", "created_at", "deactivation_date", "rotates_at")
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def tenant(installation: None, django_db_blocker: Any) -> Tenant:
    """Sixty objects whose dates tie, are missing, lie behind and ahead."""
    with django_db_blocker.unblock():
        made, chance = new_tenant(), random.Random(7)  # noqa: S311 - to vary rows, not to keep secrets
        other, now = made.new_group(), clock.now()
        for number in range(60):
            key = made.key(name=f"{'Pay' if number % 3 else 'log'}-{number:02}%", group=other if number % 4 else None)
            dates = [None, now - 2 * DAY, now - DAY, now + DAY, now + 2 * DAY]
            by_sql(
                key,
                state=chance.choice([state for state in KeyState if state is not KeyState.DELETED]),
                activation_date=chance.choice(dates),
                deactivation_date=chance.choice(dates),
                rotates_at=chance.choice(dates),
                created_at=now - number // 20 * DAY,
            )
        guard_group(other, users(1, [made.alice.id]), [Permission.OBJECT_DELETE])
        return made


def listed(tenant: Tenant, **wanted: Any) -> list[str]:
    """All pages of seven, one after another."""
    found: list[SecurityObject] = []
    page = Page(7, sort=wanted.pop("sort", "id"), descending=wanted.pop("descending", False))
    while True:
        after = found[-1].id if found else None
        rows = [view.row for view in execute(tenant.alice, ListObjects(page, after=after, **wanted)).views]
        found += rows
        if len(rows) < 7:
            return [row.name for row in found]


def expected(tenant: Tenant, sort: str, descending: bool, keep: Any = lambda row: True) -> list[str]:
    rows = [row for row in SecurityObject.objects.filter(account=tenant.account) if keep(row)]
    rows.sort(key=lambda row: (getattr(row, sort) or NEVER, row.id), reverse=descending)
    return [row.name for row in rows]


@pytest.mark.parametrize("walk", [5, 2_000])
@pytest.mark.parametrize(("sort", "descending"), list(itertools.product(ORDERS, (False, True))))
def test_every_order_goes_through_ties_and_loses_nothing(
    tenant: Tenant, sort: str, descending: bool, walk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_listing, "WALK", walk)
    assert listed(tenant, sort=sort, descending=descending, destroyed=True) == expected(tenant, sort, descending)
    narrow = Narrowing(search="PAY-")
    assert listed(tenant, sort=sort, descending=descending, destroyed=True, narrowing=narrow) == expected(
        tenant, sort, descending, lambda row: row.name.startswith("Pay-")
    )


@pytest.mark.parametrize("state", [state for state in KeyState if state is not KeyState.DELETED])
def test_the_state_is_the_one_at_this_moment(tenant: Tenant, state: KeyState) -> None:
    now = clock.now()
    found = listed(tenant, destroyed=True, narrowing=Narrowing(state=state))
    assert found == expected(tenant, "id", False, lambda row: state_of(row, now) is state)
    assert found


def test_objects_are_found_by_what_lies_ahead_and_by_quorums(tenant: Tenant) -> None:
    now = clock.now()
    until = now + timedelta(hours=30)
    assert listed(tenant, destroyed=True, narrowing=Narrowing(expires_before=until)) == expected(
        tenant, "id", False, lambda row: row.deactivation_date is not None and now < row.deactivation_date <= until
    )
    assert listed(tenant, destroyed=True, narrowing=Narrowing(rotates_before=until)) == expected(
        tenant, "id", False, lambda row: row.rotates_at is not None and row.rotates_at <= until
    )
    for guarded in (True, False):
        assert listed(tenant, destroyed=True, narrowing=Narrowing(guarded=guarded)) == expected(
            tenant, "id", False, lambda row, guarded=guarded: (row.group_id != tenant.group.id) is guarded
        )
    assert listed(tenant, destroyed=True, narrowing=Narrowing(size=128)) == []


@pytest.mark.parametrize("text", ["%", "5%", "_", "\\", "y-1"])
def test_a_search_takes_its_text_as_it_stands(tenant: Tenant, text: str) -> None:
    found = listed(tenant, destroyed=True, narrowing=Narrowing(search=text))
    assert found == expected(tenant, "id", False, lambda row: text in row.name)


def test_a_page_goes_on_only_after_what_one_may_see(tenant: Tenant) -> None:
    strangers = new_tenant().key()
    with pytest.raises(InvalidRequest):
        execute(tenant.alice, ListObjects(Page(), after=id_of(strangers)))
