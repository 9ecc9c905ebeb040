"""Roles by way of the browser: chosen, reviewed, tried on the last calls, saved, deleted when nobody holds them."""

from __future__ import annotations

import re
from collections.abc import Callable

from accounts.models import GroupMembership, GroupRoleGrant, Role, User
from kms.operations.executor import execute
from kms.operations.making import ObjectTemplate
from kms.operations.roles import CreateRole, RoleDetails, RoleView
from kms.operations.rotating import RotateObject
from policies.permissions import Permission
from policies.system_roles import RoleKind
from tests.console.looks import looked_at
from tests.kit.browser import Person
from tests.kit.tenants import Tenant, new_tenant, unique

Arrive = Callable[..., Person]


def held_role(tenant: Tenant) -> tuple[RoleView, User]:
    """A role that rotates, in the hands of a member of the group who did."""
    details = RoleDetails(RoleKind.GROUP, frozenset({Permission.OBJECT_ROTATE}))
    role: RoleView = execute(tenant.alice, CreateRole("Rotator", details))
    carol = tenant.member("member")
    inside = GroupMembership.objects.create(user_id=carol.id, group=tenant.group, role="")
    GroupRoleGrant.objects.create(membership=inside, user_id=carol.id, role_id=role.id)
    template = ObjectTemplate(name=unique("rotated"), kind="AES", group=tenant.group.id)
    execute(carol, RotateObject(tenant.key(), template))
    return role, User.objects.get(id=carol.id)


def test_a_role_is_made_reviewed_and_tried(person: Arrive, axe: str) -> None:
    tenant = new_tenant()
    carol = tenant.member("member")
    visitor = person(tenant.alice)
    page = visitor.open("/roles/new")
    page.get_by_label("Name", exact=True).fill("Key operator")
    page.get_by_label("Show only permissions").fill("rotate")
    page.get_by_role("checkbox", name="Rotate an object", exact=True).check()
    assert page.locator("[data-permissions] li:visible").count() == 1
    page.get_by_label("Show only permissions").fill("")
    implied = page.locator("li", has=page.locator("[data-name='object.get']")).locator("[data-implied]")
    assert "Rotate an object" in implied.inner_text()
    page.get_by_role("button", name=re.compile("All or none.*Audit log")).click()
    page.get_by_role("button", name="Review what changes").click()
    page.get_by_text("Nothing is saved yet").wait_for()
    added = page.locator(".role-diff .added").all_inner_texts()
    assert any("Rotate an object" in line and "comes along" not in line for line in added)
    assert any("See an object" in line and "comes along" in line for line in added)
    assert not Role.objects.filter(account=tenant.account).exists()
    page.get_by_label("User", exact=True).fill(User.objects.get(id=carol.id).email)
    page.get_by_role("button", name="Try", exact=True).click()
    page.locator("#simulation").wait_for()
    looked_at(page, axe, "role-review")
    page.get_by_role("button", name="Create the role").click()
    page.locator("h1", has_text="Key operator").wait_for()
    made = Role.objects.get(account=tenant.account)
    assert set(made.permissions) == {Permission.OBJECT_ROTATE, Permission.AUDIT_READ}
    visitor.at_ease()


def test_a_change_says_whose_calls_it_would_have_refused(person: Arrive, axe: str) -> None:
    tenant = new_tenant()
    role, carol = held_role(tenant)
    visitor = person(tenant.alice)
    page = visitor.open(f"/roles/{role.id}/edit")
    page.get_by_role("checkbox", name="Rotate an object", exact=True).uncheck()
    page.get_by_role("checkbox", name="Revoke an object", exact=True).check()
    page.get_by_role("button", name="Review what changes").click()
    found = page.locator("#simulation")
    found.wait_for()
    looked_at(page, axe, "role-review-change")
    assert "would have been refused" in found.inner_text()
    assert carol.email in found.inner_text()
    assert "Rotate an object" in page.locator(".role-diff .removed").inner_text()
    page.get_by_role("button", name="Back to the form").click()
    assert page.get_by_role("checkbox", name="Revoke an object", exact=True).is_checked()
    page.get_by_role("button", name="Review what changes").click()
    page.get_by_role("button", name="Save the role").click()
    page.wait_for_url(f"**/roles/{role.id}")
    assert Role.objects.get(id=role.id).permissions == [Permission.OBJECT_REVOKE]
    visitor.at_ease()


def test_a_role_in_use_is_not_deleted_and_one_that_is_not_is(person: Arrive) -> None:
    tenant = new_tenant()
    role, carol = held_role(tenant)
    visitor = person(tenant.alice)
    page = visitor.open(f"/roles/{role.id}/delete")
    assert page.get_by_role("link", name=carol.email).is_visible()
    page.get_by_label("Type the name").fill("Rotator")
    page.get_by_role("button", name="Delete the role").click()
    page.locator(".notice[data-tone=danger]").wait_for()
    assert Role.objects.filter(id=role.id).exists()
    GroupRoleGrant.objects.filter(role_id=role.id).delete()
    page.get_by_label("Type the name").fill("Rotator")
    page.get_by_role("button", name="Delete the role").click()
    page.wait_for_url("**/roles")
    assert not Role.objects.filter(id=role.id).exists()


def test_the_systems_roles_are_shown_and_not_changed(person: Arrive) -> None:
    tenant = new_tenant()
    visitor = person(tenant.alice)
    page = visitor.open("/roles")
    page.get_by_role("link", name="Group auditor").click()
    page.get_by_text("reads its audit log").wait_for()
    assert page.get_by_role("link", name="Change").count() == 0
    answer = page.goto(f"{page.url}/edit")
    assert answer is not None
    assert answer.status == 409
    assert "cannot be changed" in page.locator("main").inner_text()
