"""Groups by way of the browser: made, changed, filled with people, given policies, deleted."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from accounts.models import Group, GroupMembership, User
from kms.crypto.errors import ParameterInvalid
from kms.operations.errors import OperationError
from kms.operations.executor import execute
from kms.operations.groups import UpdateGroup
from tests.kit.browser import Person
from tests.kit.tenants import new_tenant, unique

Arrive = Callable[..., Person]


def test_a_group_is_made_filled_and_deleted(person: Arrive) -> None:
    tenant = new_tenant()
    carol = tenant.member("member")
    email = User.objects.get(id=carol.id).email
    visitor = person(tenant.alice)
    page = visitor.open("/groups/new")
    name = unique("payments")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Custom metadata").fill("owner: payments team")
    page.get_by_label("Days in which changes").fill("30")
    page.get_by_role("button", name="Create the group").click()
    page.get_by_text("payments team").wait_for()
    made = Group.objects.get(account=tenant.account, name=name)
    assert made.custom_metadata == {"owner": "payments team"}
    assert made.undo_seconds == 30 * 24 * 3600

    visitor.open(f"/groups/{made.id}/users")
    page.get_by_role("combobox", name="User").fill(email)
    page.get_by_label("Group auditor").check()
    page.get_by_role("button", name="Add to the group").click()
    page.locator("tbody tr", has_text=email).wait_for()
    assert GroupMembership.objects.get(group=made, user_id=carol.id).role == "auditor"
    page.locator("tbody tr", has_text=email).get_by_role("link", name="Change").click()
    page.get_by_label("Group auditor").uncheck()
    page.get_by_label("Group administrator").check()
    page.get_by_role("button", name="Save").click()
    page.locator("tbody tr", has_text=email).get_by_text("Group administrator").wait_for()

    visitor.open(f"/groups/{made.id}/delete")
    page.get_by_label("Type the name").fill("something else")
    page.get_by_role("button", name="Delete the group").click()
    page.get_by_text("exactly as it is").wait_for()
    assert Group.objects.filter(id=made.id).exists()
    page.get_by_label("Type the name").fill(name)
    page.get_by_role("button", name="Delete the group").click()
    page.wait_for_url("**/groups")
    assert not Group.objects.filter(id=made.id).exists()
    visitor.at_ease()


def test_groups_are_found_by_a_part_of_their_name(person: Arrive) -> None:
    tenant = new_tenant()
    tenant.new_group("Ledger signing"), tenant.new_group("Backups")
    page = person(tenant.alice).open("/groups")
    page.get_by_role("searchbox", name="Name").fill("ledger")
    page.get_by_role("button", name="Search", exact=True).last.click()
    page.wait_for_url("**q=ledger")
    assert page.locator("tbody th").all_inner_texts() == ["Ledger signing"]
    page.goto("/groups?q=nothing-of-the-kind")
    assert page.get_by_text("No group has that in its name").is_visible()


def test_somebody_elses_change_is_shown_before_it_is_overwritten(person: Arrive) -> None:
    tenant = new_tenant()
    visitor = person(tenant.alice)
    page = visitor.open(f"/groups/{tenant.group.id}/edit")
    page.get_by_label("Description").fill("typed by me")
    execute(tenant.alice, UpdateGroup(tenant.group.id, description="written by another"))
    page.get_by_role("button", name="Save").click()
    page.get_by_text("written by another").wait_for()
    assert page.get_by_label("Description").input_value() == "typed by me"
    assert Group.objects.get(id=tenant.group.id).description == "written by another"
    page.get_by_role("button", name="Save").click()
    page.wait_for_url(f"**/groups/{tenant.group.id}")
    assert Group.objects.get(id=tenant.group.id).description == "typed by me"
    visitor.at_ease()


def test_a_group_that_is_not_empty_is_not_deleted_and_the_page_says_why(person: Arrive) -> None:
    tenant = new_tenant()
    tenant.key(name="the last one")
    visitor = person(tenant.alice)
    page = visitor.open(f"/groups/{tenant.group.id}/delete")
    assert page.get_by_text("the last one").is_visible()
    page.get_by_label("Type the name").fill(tenant.group.name)
    page.get_by_role("button", name="Delete the group").click()
    page.get_by_text("move or delete them first").wait_for()
    assert Group.objects.filter(id=tenant.group.id).exists()


def test_a_cryptographic_policy_holds_and_says_itself(person: Arrive) -> None:
    tenant = new_tenant()
    visitor = person(tenant.alice)
    page = visitor.open(f"/groups/{tenant.group.id}/policies/cryptographic")
    page.get_by_label("RSA", exact=True).uncheck()
    page.get_by_role("button", name="Put in force").click()
    page.wait_for_url("**/policies")
    assert "AES (256 bits)" in page.locator("main").inner_text()
    tenant.key(size=256)
    with pytest.raises((ParameterInvalid, OperationError)):
        tenant.key(size=128)
    with pytest.raises((ParameterInvalid, OperationError)):
        tenant.key("RSA", size=3072)
    visitor.at_ease()


def test_a_metadata_policy_holds_says_itself_and_goes(person: Arrive) -> None:
    tenant = new_tenant()
    visitor = person(tenant.alice)
    page = visitor.open(f"/groups/{tenant.group.id}/policies/metadata")
    page.get_by_label("Description").select_option("required")
    page.get_by_label("Custom metadata").fill("owner")
    page.get_by_role("button", name="Put in force").click()
    page.wait_for_url("**/policies")
    assert "Each object needs: description and “owner”." in page.locator("main").inner_text()
    with pytest.raises((ParameterInvalid, OperationError)):
        tenant.key()
    visitor.open(f"/groups/{tenant.group.id}/policies/metadata")
    page.get_by_role("button", name="Take the policy away").click()
    page.wait_for_url("**/policies")
    tenant.key()
    visitor.at_ease()
