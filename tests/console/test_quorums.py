"""A quorum is built by keyboard, is read back in a sentence, holds, and is not changed behind anybody's back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page

from accounts.models import FidoCredential
from kms.operations.errors import ApprovalRequired
from kms.operations.executor import execute
from kms.operations.groups import GetGroup
from kms.operations.lifecycle import DestroyObject
from tests.kit.authenticator import ORIGIN, Authenticator
from tests.kit.browser import Person
from tests.kit.tenants import Tenant, new_tenant

Arrive = Callable[..., Person]


def address(tenant: Tenant) -> str:
    return f"/groups/{tenant.group.id}/quorum"


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


def test_a_nested_quorum_is_built_by_keyboard_and_guards(installation: None, person: Arrive) -> None:
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
    assert page.locator("#reading .notice").count() == 0
    page.get_by_role("button", name="Put in force").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/policies")
    assert wanted in page.locator("main").inner_text()
    visitor.at_ease()
    policy = execute(tenant.alice, GetGroup(tenant.group.id)).policy
    assert policy.quorum["require_second_factor"]
    with pytest.raises(ApprovalRequired):
        execute(tenant.alice, DestroyObject(key))


def tenant_emails(people: list[Any]) -> list[str]:
    from accounts.models import User

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
