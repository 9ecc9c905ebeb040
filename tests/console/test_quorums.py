"""A quorum is built by keyboard, is read back in a sentence, holds, and is not changed behind anybody's back."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page

from accounts.models import FidoCredential, User
from kms.operations.command import ObjectRef
from kms.operations.errors import ApprovalRequired
from kms.operations.executor import execute
from kms.operations.groups import GetGroup
from kms.operations.making import ObjectTemplate
from kms.operations.rotating import RotateObject
from policies.models import AccountPolicy, ApprovalRequest, GroupPolicy
from policies.permissions import Permission
from tests.console.looks import looked_at
from tests.kit.approvals import GUARDED
from tests.kit.authenticator import ORIGIN, Authenticator
from tests.kit.browser import Person
from tests.kit.quorums import guard_group, users
from tests.kit.tenants import Tenant, new_tenant, unique

Arrive = Callable[..., Person]


def address(tenant: Tenant) -> str:
    return f"/groups/{tenant.group.id}/quorum"


def rotation(tenant: Tenant, key: ObjectRef) -> RotateObject:
    return RotateObject(key, ObjectTemplate(name=unique("rotated"), kind="AES", group=tenant.group.id))


def add(page: Page, where: str, whom: str) -> None:
    """By keyboard: the name, and Enter."""
    box = page.locator(f"[id='who-{where}']")
    before = page.locator(".quorum-member").count()
    box.fill(whom)
    box.press("Enter")
    page.wait_for_function("n => document.querySelectorAll('.quorum-member').length > n", arg=before)


def press(page: Page, name: str, within: str = "#editor") -> None:
    page.locator(within).get_by_role("button", name=name).last.focus()
    page.keyboard.press("Enter")


def test_a_nested_quorum_is_built_by_keyboard_and_guards(person: Arrive, axe: str) -> None:
    tenant = new_tenant()
    key = tenant.key()
    people = [tenant.member("member") for _ in range(4)]
    emails = list(tenant_emails(people))
    for each in people:
        given_key(each.id)
    visitor = person(tenant.alice)
    page = visitor.open(address(tenant))
    add(page, "", emails[0])
    add(page, "", emails[1])
    press(page, "Add a quorum within")
    page.locator("[id='who-2']").wait_for()
    add(page, "2", emails[2])
    add(page, "2", emails[3])
    page.locator("[id='n-']").fill("2")
    page.locator("input[name='factor-']").focus()
    page.keyboard.press("Space")
    inner = f"(either {emails[2]} or {emails[3]})"
    wanted = f"Any 2 of {emails[0]}, {emails[1]} and {inner} must approve, each with a second factor."
    page.locator("#sentence", has_text=wanted).wait_for()
    looked_at(page, axe, "quorum-editor")
    assert page.locator("#reading .notice").count() == 0
    page.get_by_role("button", name="Put in force").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/policies")
    assert wanted in page.locator("main").inner_text()
    visitor.at_ease()
    policy = execute(tenant.alice, GetGroup(tenant.group.id)).policy
    assert policy.quorum["require_second_factor"]
    with pytest.raises(ApprovalRequired):
        execute(tenant.alice, rotation(tenant, key))


def tenant_emails(people: list[Any]) -> list[str]:
    return [User.objects.get(id=each.id).email for each in people]


def given_key(user: Any) -> None:
    key = Authenticator()
    FidoCredential.objects.create(
        user_id=user,
        name="key",
        protocol="fido2",
        credential_id=key.credential_id,
        public_key=key.encoded_cose(),
        origin=ORIGIN,
    )


def test_somebody_elses_change_is_shown_and_nothing_typed_is_lost(person: Arrive) -> None:
    tenant = new_tenant()
    first, second = tenant_emails([tenant.member("member"), tenant.member("member")])
    visitor = person(tenant.alice)
    page = visitor.open(address(tenant))
    add(page, "", first)
    guard_group(tenant.group, users(1, [tenant.alice.id]), GUARDED)
    page.get_by_role("button", name="Put in force").click()
    page.get_by_text("Somebody else changed this policy meanwhile").wait_for()
    assert page.locator(".quorum-member", has_text=first).count() == 1
    assert "2 of" not in page.locator("#sentence").inner_text()
    assert second not in page.content().split("<datalist")[0]
    visitor.at_ease()


def test_a_change_of_a_guarded_policy_says_so_and_is_asked_for(person: Arrive) -> None:
    tenant = new_tenant()
    reviewers = [tenant.member("member") for _ in range(2)]
    guard_group(tenant.group, users(1, [each.id for each in reviewers]), [*GUARDED, Permission.GROUP_QUORUM])
    visitor = person(tenant.alice)
    page = visitor.open(address(tenant))
    page.get_by_text("needs an approval by the quorum in force now (1 of 2)").wait_for()
    page.locator("[id='n-']").fill("2")
    page.get_by_label("Why").fill("Two pairs of eyes from now on")
    page.get_by_role("button", name="Ask to change the policy").click()
    page.wait_for_url("**/approvals/**")
    asked = ApprovalRequest.objects.get(account=tenant.account)
    assert asked.method == "PATCH"
    assert str(tenant.group.id) in asked.operation
    assert execute(tenant.alice, GetGroup(tenant.group.id)).policy.quorum["n"] == 1


def test_the_last_calls_show_what_would_have_needed_an_approval(person: Arrive) -> None:
    tenant = new_tenant()
    tenant.member("member")
    key = tenant.key()
    execute(tenant.alice, rotation(tenant, key))
    visitor = person(tenant.alice)
    page = visitor.open(address(tenant))
    (email,) = tenant_emails([tenant.member("member")])
    add(page, "", email)
    page.get_by_role("button", name="Try it on the last calls").click()
    found = page.locator("#simulation")
    found.wait_for()
    assert "would have needed an approval" in found.inner_text()
    assert "rotate an object" in found.inner_text().lower()
    assert page.locator(".quorum-member", has_text=email).count() == 1
    assert not GroupPolicy.objects.filter(group=tenant.group, quorum__isnull=False).exists()
    visitor.at_ease()


def test_who_does_not_exist_is_said_at_the_box(person: Arrive) -> None:
    tenant = new_tenant()
    stranger = new_tenant()
    (elsewhere,) = tenant_emails([stranger.alice])
    visitor = person(tenant.alice)
    page = visitor.open(address(tenant))
    page.locator("[id='who-']").fill(elsewhere)
    page.keyboard.press("Enter")
    page.locator("[id='who-error-']", has_text="There is no user, app or account role").wait_for()
    assert page.locator("[id='who-']").input_value() == elsewhere
    assert page.locator("[id='who-']").get_attribute("aria-invalid") == "true"
    visitor.at_ease()


def test_a_policy_is_taken_away_after_a_question(person: Arrive) -> None:
    tenant = new_tenant()
    visitor = person(tenant.alice)
    page = visitor.open("/settings/quorum/edit")
    (email,) = tenant_emails([tenant.member("member")])
    add(page, "", email)
    page.get_by_label("Making, changing and deleting roles").check()
    page.get_by_role("button", name="Put in force").click()
    page.wait_for_url(lambda url: "/edit" not in url)
    kept = AccountPolicy.objects.get(account=tenant.account)
    assert Permission.ROLE_CREATE in kept.guarded
    assert Permission.GROUP_CREATE not in kept.guarded
    visitor.open("/settings/quorum/edit")
    page.get_by_role("button", name="Ask to take it away").click()
    page.get_by_role("button", name="Keep it").click()
    assert "/edit" in page.url
    page.get_by_role("button", name="Ask to take it away").click()
    page.get_by_role("button", name="Take it away", exact=True).click()
    page.wait_for_url("**/approvals/**")
    assert AccountPolicy.objects.get(account=tenant.account).quorum is not None


def test_what_the_form_sent_is_no_tree(person: Arrive) -> None:
    tenant = new_tenant()
    visitor = person(tenant.alice)
    page = visitor.open(address(tenant))
    for rubbish in ("[", json.dumps({"quorum": {"n": 1, "members": 3}}), json.dumps(["x"])):
        visitor.open(address(tenant))
        page.locator("input[name='tree']").evaluate("(field, value) => { field.value = value; }", rubbish)
        with page.expect_response(lambda answer: answer.request.method == "POST") as answered:
            page.get_by_role("button", name="Put in force").click()
        assert answered.value.status == 400
