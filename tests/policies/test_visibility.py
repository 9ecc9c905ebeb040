"""Listings are queries, ``decide`` is a function: over randomly made rows both must see the same."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import TypeVar
from uuid import UUID

import pytest

from accounts.clock import clock
from accounts.models import App, AppGroup, Group, GroupMembership
from accounts.principal import Principal, PrincipalKind
from kms.crypto.operation import KeyOperation
from kms.objects.models import SecurityObject
from kms.operations.apps import ListApps, app_target
from kms.operations.authority import group_target, object_target
from kms.operations.creation import ImportObject
from kms.operations.executor import execute
from kms.operations.groups import ListGroups
from kms.operations.making import ObjectTemplate
from kms.operations.queries import ListObjects, Page
from kms.secret import SecretBytes
from policies.decision import AccessRequest, Allow, Target, decide
from policies.facts import known_of
from policies.permissions import Permission
from policies.system_roles import APP_GRANTABLE
from tests.kit.tenants import Tenant, new_tenant, unique

TENANTS, GROUPS, OBJECTS = 3, 4, 12

T = TypeVar("T")


class World:
    """A few accounts with the same kinds of rows in each, thrown together by a seeded generator."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - to vary rows, not to keep secrets
        self.principals: list[Principal] = []
        for _ in range(TENANTS):
            self._populate(new_tenant())

    def _populate(self, tenant: Tenant) -> None:
        groups = [tenant.group, *(tenant.new_group() for _ in range(GROUPS - 1))]
        users = [tenant.member(role) for role in ("administrator", "auditor", "member", "member")]
        apps = [tenant.app, *(tenant.new_app(self._some(sorted(APP_GRANTABLE)), group) for group in groups)]
        for group in groups:
            for user in self._some(users):
                GroupMembership.objects.create(
                    user_id=user.id, group=group, role=self._random.choice(["administrator", "auditor"])
                )
            for app in self._some(apps):
                AppGroup.objects.get_or_create(
                    app_id=app.id, group=group, defaults={"permissions": sorted(self._some(sorted(APP_GRANTABLE)))}
                )
        for _ in range(OBJECTS):
            template = ObjectTemplate(unique("s"), "SECRET", self._random.choice(groups).id)
            execute(tenant.alice, ImportObject(template, SecretBytes(b"x")))
        newcomer = tenant.member("member")  # in no group at all
        self.principals += [tenant.alice, *users, newcomer, *apps]

    def _some(self, items: Iterable[T]) -> list[T]:
        return [item for item in items if self._random.random() < 0.4]


@pytest.fixture(scope="module", params=[1, 2])
def world(request: pytest.FixtureRequest, installation: None, django_db_blocker: object) -> World:
    with django_db_blocker.unblock():  # type: ignore[attr-defined]  # pytest-django gives it no type
        return World(request.param)


class Judge:
    """``decide`` for one principal on its facts, read once."""

    def __init__(self, principal: Principal) -> None:
        self._principal = principal
        self._facts = known_of(principal).facts

    def allows(self, permission: Permission, target: Target) -> bool:
        request = AccessRequest(self._principal, permission, target, clock.now())
        return isinstance(decide(request, self._facts), Allow)


def test_listed_objects_are_those_that_may_be_seen(world: World) -> None:
    rows = list(SecurityObject.objects.all())
    for principal in world.principals:
        judge = Judge(principal)
        listed = {view.row.id for view in execute(principal, ListObjects(Page())).views}
        seen = {row.id for row in rows if judge.allows(Permission.OBJECT_GET, object_target(row))}
        assert listed == seen


def test_listed_groups_are_those_that_may_be_seen(world: World) -> None:
    rows = list(Group.objects.all())
    for principal in world.principals:
        judge = Judge(principal)
        listed = {row.id for row in execute(principal, ListGroups(Page()))}
        assert listed == {row.id for row in rows if judge.allows(Permission.GROUP_GET, group_target(row))}


def test_listed_apps_are_those_that_may_be_seen_and_oneself(world: World) -> None:
    """An app sees itself by OWN_PROFILE, whatever it may see of others."""
    memberships: dict[UUID, list[UUID]] = {}
    for app, group in AppGroup.objects.values_list("app_id", "group_id"):
        memberships.setdefault(app, []).append(group)
    rows = list(App.objects.all())
    for principal in world.principals:
        judge = Judge(principal)
        listed = [view.row.id for view in execute(principal, ListApps(Page()))]
        seen = {
            row.id for row in rows if judge.allows(Permission.APP_GET, app_target(row, memberships.get(row.id, [])))
        }
        own = {principal.id} if principal.kind is PrincipalKind.APP else set()
        assert set(listed) == seen | own
        assert len(listed) == len(set(listed))


def test_the_worlds_are_neither_all_dark_nor_all_bright(world: World) -> None:
    """Or the comparisons above would compare nothing."""
    counts = {len(execute(principal, ListObjects(Page())).views) for principal in world.principals}
    assert 0 in counts
    assert OBJECTS in counts
    assert counts & set(range(1, OBJECTS))


def test_counts_of_a_listing_are_of_what_may_be_seen(tenant: Tenant) -> None:
    inside, outside = tenant.group, tenant.new_group()
    for group in (inside, inside, outside):
        template = ObjectTemplate(unique("s"), "SECRET", group.id, operations=frozenset({KeyOperation.EXPORT}))
        execute(tenant.alice, ImportObject(template, SecretBytes(b"x")))
    listed = execute(tenant.app, ListObjects(Page(limit=1), with_counts=True))
    assert (len(listed.views), listed.total, listed.matched) == (1, 2, 2)
    assert execute(tenant.alice, ListObjects(Page(), with_counts=True)).total == 3
