"""A quorum decides in the browser: each shows what is asked of them, and sees before what exactly would run."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives import serialization

from accounts.clock import clock
from accounts.models import Membership, User
from accounts.principal import Principal
from kms.objects.models import SecurityObject
from policies.models import ApprovalRequest, GroupPolicy
from policies.permissions import Permission
from tests.kit.approvals import Panel, form, new_panel
from tests.kit.authenticator import Authenticator
from tests.kit.browser import Person
from tests.kit.factors import Person as Carrier
from tests.kit.tenants import PASSWORD

Arrive = Callable[..., Person]


def carrier(panel: Panel, who: Principal) -> Carrier:
    return Carrier(None, panel.tenant, User.objects.get(id=who.id))  # type: ignore[arg-type]  # no HTTP here


def signed_in(person: Arrive, holder: Carrier, factor: str) -> Person:
    """As after a login with that factor."""
    session = holder.session(second_factor=factor, second_factor_at=clock.now())
    visitor = person()
    visitor.carry(session.headers["Authorization"].removeprefix("Bearer "), holder.user.id)
    return visitor


def plugged_in(visitor: Person, key: Authenticator) -> None:
    """The software key's credential, in the browser's virtual authenticator."""
    session = visitor.context.new_cdp_session(visitor.page)
    session.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "usb",
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    made = session.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    pkcs8 = key.key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    credential = {
        "credentialId": base64.b64encode(key.credential_id).decode(),
        "isResidentCredential": False,
        "rpId": "localhost",
        "privateKey": base64.b64encode(pkcs8).decode(),
        "signCount": 100,
    }
    session.send("WebAuthn.addCredential", {"authenticatorId": made["authenticatorId"], "credential": credential})


def test_two_approve_with_a_password_and_the_key_is_deleted(person: Arrive) -> None:
    panel = new_panel(2, password=True)
    request = panel.ask()
    first = person(panel.reviewers[0])
    page = first.open(f"/approvals#{request}")
    page.wait_for_url(f"**/approvals/{request}")
    assert "Delete the security object" in page.locator("h1").inner_text()
    assert page.locator(".vote").is_visible()
    page.locator("summary", has_text="digest").click()
    assert ApprovalRequest.objects.get(id=request).digest.hex() in page.content()
    page.get_by_label("Your password").fill("wrong")
    page.get_by_role("button", name="Approve").click()
    page.get_by_text("The password is not right").wait_for()
    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_role("button", name="Approve").click()
    page.get_by_text("You have approved this").wait_for()
    second = person(panel.reviewers[1])
    page = second.open("/approvals")
    page.locator(".side .count").wait_for()
    assert "1" in page.locator(".side .count").inner_text()
    page.get_by_role("link", name="Delete the security object").click()
    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_role("button", name="Approve").click()
    page.get_by_text("You approved. It was done.").wait_for()
    assert not SecurityObject.objects.filter(id=str(panel.key.id), deletion_date__isnull=True).exists()
    first.at_ease()
    second.at_ease()


def test_a_code_of_a_phone_and_a_security_key_say_yes(person: Arrive) -> None:
    panel = new_panel(2, second_factor=True)
    request = panel.ask()
    holder = carrier(panel, panel.reviewers[0])
    phone = holder.given_phone()
    first = signed_in(person, holder, "totp")
    page = first.open(f"/approvals/{request}")
    page.get_by_label("Code of your authenticator app").fill(phone.code())
    page.get_by_role("button", name="Approve").click()
    page.get_by_text("You have approved this").wait_for()
    holder = carrier(panel, panel.reviewers[1])
    key = holder.given_key()
    second = signed_in(person, holder, "fido2")
    plugged_in(second, key)
    page = second.open(f"/approvals/{request}")
    page.get_by_role("button", name="Approve with your security key").click()
    page.get_by_text("You approved. It was done.").wait_for()
    first.at_ease()
    second.at_ease()


def test_one_no_ends_it_and_who_asked_reads_why(person: Arrive) -> None:
    panel = new_panel(2)
    request = panel.ask(by=panel.tenant.alice)
    reviewer = person(panel.reviewers[2])
    page = reviewer.open(f"/approvals/{request}")
    page.get_by_label("Why not").fill("The migration is not over")
    page.get_by_role("button", name="Deny").click()
    page.get_by_text("You denied it").wait_for()
    asker = person(panel.tenant.alice)
    page = asker.open("/approvals?view=mine")
    page.get_by_role("link", name="Delete the security object").click()
    assert page.get_by_text("The migration is not over").is_visible()
    reviewer.at_ease()
    asker.at_ease()


def test_a_change_is_shown_beside_what_is_there_and_read_by_who_asked(person: Arrive) -> None:
    panel = new_panel(1)
    GroupPolicy.objects.filter(group=panel.tenant.group).update(guarded=[Permission.OBJECT_UPDATE.value])
    wanted = form("PATCH", f"/crypto/v1/keys/{panel.key.id}", {"description": "for the archive"})
    request = panel.ask(wanted, by=panel.tenant.alice)
    reviewer = person(panel.reviewers[0])
    page = reviewer.open(f"/approvals/{request}")
    assert page.get_by_text("What exactly would run").is_visible()
    assert "for the archive" in page.locator("main").inner_text()
    page.get_by_role("button", name="Approve").click()
    page.get_by_text("You approved. It was done.").wait_for()
    asker = person(panel.tenant.alice)
    page = asker.open(f"/approvals/{request}")
    page.get_by_role("button", name="Show the answer").click()
    page.get_by_text("It was done.").wait_for()
    assert "for the archive" in page.locator(".once").inner_text()
    asker.at_ease()


def test_an_administrator_sees_the_difference(person: Arrive) -> None:
    panel = new_panel(1)
    GroupPolicy.objects.filter(group=panel.tenant.group).update(guarded=[Permission.OBJECT_UPDATE.value])
    wanted = form("PATCH", f"/crypto/v1/keys/{panel.key.id}", {"description": "for the archive"})
    request = panel.ask(wanted, by=panel.tenant.alice)
    asker = person(panel.tenant.alice)
    page = asker.open(f"/approvals/{request}")
    row = page.locator(".compare tbody tr")
    assert row.locator("ins").inner_text() == "for the archive"
    assert row.locator("del").inner_text() == "nothing"
    page.get_by_role("button", name="Withdraw the request").click()
    page.get_by_role("button", name="Withdraw", exact=True).click()
    page.get_by_text("Your request was withdrawn").wait_for()
    assert not ApprovalRequest.objects.filter(id=request).exists()
    asker.at_ease()


def test_nobody_reads_a_request_of_another_account(person: Arrive) -> None:
    panel, other = new_panel(), new_panel()
    request = panel.ask()
    stranger = person(other.reviewers[0])
    answer = stranger.page.goto(f"/approvals/{request}")
    assert answer is not None
    assert answer.status == 404
    assert Membership.objects.filter(user_id=other.reviewers[0].id).count() == 1


def test_a_sentence_hides_what_is_secret() -> None:
    from kms.console.approvals.wording import lines_of, sentence_of

    body: dict[str, Any] = {"name": "root", "obj_type": "SECRET", "value": "c2VjcmV0"}
    request = {"method": "PUT", "operation": "/crypto/v1/keys", "body": body}
    assert sentence_of(request, {}) == "Import the security object root"
    assert "c2VjcmV0" not in {line.value for line in lines_of(body, {})}
    assert sentence_of({"method": "POST", "operation": "/unknown", "body": None}, {}) == "POST /unknown"
