"""Users by way of the browser: invited and placed, given roles, shut out, removed."""

from __future__ import annotations

from collections.abc import Callable

from accounts.models import GroupMembership, Membership, Session, User
from tests.kit.browser import Person
from tests.kit.cast import bearer
from tests.kit.tenants import new_tenant, unique

Arrive = Callable[..., Person]


def test_a_user_is_invited_and_placed(person: Arrive) -> None:
    tenant = new_tenant()
    visitor = person(tenant.alice)
    page = visitor.open("/users/invite")
    email = f"{unique('dave')}@example.org"
    page.get_by_label("E-mail address").fill("no address")
    page.get_by_role("button", name="Send the invitation").click()
    page.locator(".field .error").wait_for()
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("First name").fill("Dave")
    page.get_by_label("Account member").check()
    page.get_by_label("Group", exact=False).first.select_option(label=tenant.group.name)
    page.get_by_label("Role in that group").select_option("GROUPAUDITOR")
    page.get_by_role("button", name="Send the invitation").click()
    page.get_by_text("has not been accepted yet").wait_for()
    made = User.objects.get(email=email)
    assert Membership.objects.get(user=made, account=tenant.account).invitation_pending
    assert GroupMembership.objects.get(user=made, group=tenant.group).role == "auditor"
    page.get_by_role("button", name="Mail it again").click()
    page.get_by_text("was mailed again").wait_for()
    visitor.open(f"/users?q={email[:9]}")
    assert page.locator("tbody tr", has_text=email).get_by_text("Invited").is_visible()
    visitor.at_ease()


def test_a_user_gets_roles_is_shut_out_and_removed(person: Arrive) -> None:
    tenant = new_tenant()
    carol = tenant.member("member")
    email = User.objects.get(id=carol.id).email
    bearer(carol)
    visitor = person(tenant.alice)
    page = visitor.open(f"/users/{carol.id}")
    page.get_by_role("link", name="Change roles").click()
    page.get_by_label("Account auditor").check()
    page.get_by_role("button", name="Save").click()
    page.wait_for_url(f"**/users/{carol.id}")
    membership = Membership.objects.get(user_id=carol.id, account=tenant.account)
    assert (membership.role, membership.enabled) == ("auditor", True)
    page.get_by_role("button", name="End all of them").click()
    page.get_by_text("Sessions that were ended: 1").wait_for()
    assert not Session.objects.filter(user_id=carol.id, terminated_at__isnull=True).exists()
    page.get_by_role("button", name="Disable").click()
    page.get_by_role("button", name="Enable").wait_for()
    assert not Membership.objects.get(user_id=carol.id, account=tenant.account).enabled
    page.get_by_role("link", name="Remove…").click()
    page.get_by_label("Type the e-mail address").fill(email)
    page.get_by_role("button", name="Remove from the account").click()
    page.wait_for_url("**/users")
    assert not Membership.objects.filter(user_id=carol.id, account=tenant.account).exists()
    visitor.at_ease()


def test_the_last_administrator_is_told_why_not(person: Arrive) -> None:
    tenant = new_tenant()
    visitor = person(tenant.alice)
    page = visitor.open(f"/users/{tenant.alice.id}/roles")
    page.get_by_label("Account member").check()
    page.get_by_role("button", name="Save").click()
    page.locator(".notice[data-tone=danger], .field .error").first.wait_for()
    assert Membership.objects.get(user_id=tenant.alice.id, account=tenant.account).role == "administrator"


def test_users_are_found_by_the_role_they_hold(person: Arrive) -> None:
    tenant = new_tenant()
    auditor = User.objects.get(id=tenant.member("auditor").id).email
    tenant.member("member")
    page = person(tenant.alice).open("/users")
    page.get_by_label("Holds the role").select_option(label="Account auditor")
    page.get_by_role("button", name="Search", exact=True).last.click()
    page.wait_for_url("**role_id=**")
    assert [text.split()[0] for text in page.locator("tbody th").all_inner_texts()] == [auditor]
