"""Mails about requests for approval: to the right people, with nothing in them that a requester wrote, each once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from accounts.clock import clock
from accounts.models import Account, App, Membership
from accounts.outbox import GIVE_UP_AFTER
from accounts.principal import Principal
from kms.operations import notices
from kms.operations.notice_mails import MOST_SUBJECTS, NoticeMailer
from kms.operations.notices import Sent, announce
from policies.models import ApprovalEvent, ApprovalRequest, ApprovalStatus, Notice
from policies.permissions import Permission
from tests.kit.mail import PUBLIC_URL, Letter, PostOffice, open_post_office, use
from tests.kit.quorums import ask, guard_group, users
from tests.kit.tenants import Tenant, new_tenant
from tests.kit.threads import at_once

ASKED, APPROVED, DENIED, FAILED = ApprovalEvent


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostOffice]:
    with open_post_office(tmp_path_factory.mktemp("mail")) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _mail(office: PostOffice, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    use(office, settings, monkeypatch)
    Notice.objects.all().delete()  # what other tests announced


@pytest.fixture
def tenant(installation: None) -> Tenant:
    return new_tenant()


@pytest.fixture
def bob(tenant: Tenant) -> Principal:
    """The one reviewer."""
    principal = tenant.member("member")
    guard_group(tenant.group, users(1, [principal.id]), [Permission.OBJECT_DESTROY])
    return principal


def asked(tenant: Tenant, by: Principal | None = None) -> ApprovalRequest:
    request = ask(tenant, by or tenant.alice)
    announce(request, ASKED)
    return request


def turn() -> Sent:
    return NoticeMailer(PUBLIC_URL).turn()


def letters(office: PostOffice, tenant: Tenant, who: str) -> list[Letter]:
    return office.to(tenant.users[who].email)


# -- what arrives --------------------------------------------------------------------------------------------------


def test_a_reviewer_learns_who_asks_for_what_and_where_to_look(
    office: PostOffice, tenant: Tenant, bob: Principal
) -> None:
    request = asked(tenant)
    assert turn() == Sent(True, sent=1)
    (letter,) = letters(office, tenant, "member")
    assert letter.encrypted
    assert letter.message["Subject"] == "A request for your approval in Keystead"
    assert letter.message["Auto-Submitted"] == "auto-generated"
    assert letter.message.get_content_type() == "text/plain"
    assert letter.text.startswith(f'{tenant.users["administrator"].email} asks for approval in the account "')
    for part in ("object.destroy", str(request.id), f"{request.expires_at:%Y-%m-%d %H:%M} UTC", tenant.account.name):
        assert part in letter.text
    assert f"{PUBLIC_URL}/approvals#{request.id}\n" in letter.text
    assert letters(office, tenant, "administrator") == []
    assert turn() == Sent(True)


@pytest.mark.parametrize(
    ("event", "said"),
    [(APPROVED, "was approved and carried out"), (DENIED, "was denied"), (FAILED, "has failed")],
)
def test_whoever_asked_learns_how_it_ended(office: PostOffice, tenant: Tenant, event: ApprovalEvent, said: str) -> None:
    request = ask(tenant, tenant.alice)
    ApprovalRequest.objects.filter(id=request.id).update(status=event.value)
    announce(request, event)
    assert turn() == Sent(True, sent=1)
    (letter,) = letters(office, tenant, "administrator")
    assert letter.message["Subject"] == "Your request for approval in Keystead"
    assert said in letter.text
    assert f"{PUBLIC_URL}/approvals#{request.id}\n" in letter.text


def test_nothing_that_a_requester_wrote_is_in_it(office: PostOffice, tenant: Tenant, bob: Principal) -> None:
    request = asked(tenant)
    ApprovalRequest.objects.filter(id=request.id).update(
        body_sealed=b"canary", description="canary https://evil.example", operation="/crypto/v1/keys?canary=1"
    )
    turn()
    (letter,) = letters(office, tenant, "member")
    assert "canary" not in letter.text
    assert "evil" not in letter.text


@pytest.mark.parametrize(
    "name",
    ["x\r\n\r\nYour password is needed at https://evil.example", "tab\tbell\a\u2028line", "y" * 5000, "<b>&amp;"],
    ids=["lines", "control", "long", "markup"],
)
def test_a_name_stays_one_short_line(office: PostOffice, tenant: Tenant, bob: Principal, name: str) -> None:
    Account.objects.filter(id=tenant.account.id).update(name=name[:256])
    App.objects.filter(id=tenant.app.id).update(name=name[:256])
    asked(tenant, tenant.app)
    turn()
    (letter,) = letters(office, tenant, "member")
    first, second, *_ = letter.text.splitlines()
    assert first.startswith('The app "')
    assert first.endswith("on the key management server")
    assert len(first) < 300
    assert second == PUBLIC_URL


def test_of_many_subjects_some_are_named(office: PostOffice, tenant: Tenant, bob: Principal) -> None:
    request = asked(tenant)
    ids = [uuid4() for _ in range(MOST_SUBJECTS + 3)]
    ApprovalRequest.objects.filter(id=request.id).update(subjects=ids)
    turn()
    (letter,) = letters(office, tenant, "member")
    assert "and 3 more" in letter.text
    assert [str(each) in letter.text for each in ids] == [True] * MOST_SUBJECTS + [False] * 3


# -- who need not know any more ------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [each for each in ApprovalStatus if each != ApprovalStatus.PENDING])
def test_what_has_ended_is_asked_of_nobody(
    office: PostOffice, tenant: Tenant, bob: Principal, status: ApprovalStatus
) -> None:
    request = asked(tenant)
    ApprovalRequest.objects.filter(id=request.id).update(status=status)
    assert turn() == Sent(True)
    assert letters(office, tenant, "member") == []
    assert not notices.due(clock.now()).exists()


@pytest.mark.parametrize("change", [{"enabled": False}, {"invitation_pending": True}], ids=["disabled", "invited"])
def test_who_is_no_member_any_more_is_told_nothing(
    office: PostOffice, tenant: Tenant, bob: Principal, change: dict[str, bool]
) -> None:
    asked(tenant)
    Membership.objects.filter(user_id=bob.id).update(**change)
    assert turn() == Sent(True)
    assert letters(office, tenant, "member") == []
    assert not notices.due(clock.now()).exists()


def test_requests_that_were_taken_back_are_forgotten(office: PostOffice, tenant: Tenant, bob: Principal) -> None:
    asked(tenant).delete()
    assert turn() == Sent(True)
    assert letters(office, tenant, "member") == []
    assert not Notice.objects.exists()


# -- failures ------------------------------------------------------------------------------------------------------


def test_a_server_that_is_away_is_tried_again(
    office: PostOffice, tenant: Tenant, bob: Principal, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    request, port = asked(tenant), settings.EMAIL_PORT
    settings.EMAIL_PORT = 1  # nobody listens there
    assert turn() == Sent(True, failed=1)
    assert "ConnectionRefusedError" in caplog.text
    assert tenant.users["member"].email not in caplog.text
    settings.EMAIL_PORT = port
    assert turn() == Sent(True)  # not yet
    Notice.objects.filter(request=request).update(not_before=clock.now())
    assert turn() == Sent(True, sent=1)
    assert len(letters(office, tenant, "member")) == 1


def test_one_mailbox_that_is_refused_does_not_hold_up_the_others(
    office: PostOffice, tenant: Tenant, bob: Principal
) -> None:
    office.refused.add(tenant.users["member"].email)
    asked(tenant)
    announce(ask(tenant, tenant.alice), DENIED)
    assert turn() == Sent(True, sent=1, failed=1)
    assert len(letters(office, tenant, "administrator")) == 1


def test_after_a_day_it_is_given_up_and_said(
    office: PostOffice, tenant: Tenant, bob: Principal, caplog: pytest.LogCaptureFixture
) -> None:
    request = asked(tenant)
    Notice.objects.filter(request=request).update(created_at=clock.now() - GIVE_UP_AFTER - timedelta(seconds=1))
    assert turn() == Sent(True)
    assert "given up" in caplog.text
    assert letters(office, tenant, "member") == []


def test_several_processes_send_once(office: PostOffice, tenant: Tenant, bob: Principal) -> None:
    for _ in range(3):
        asked(tenant)
    turns = at_once(6, lambda _: turn())
    assert sum(each.sent for each in turns) == 3
    assert len(letters(office, tenant, "member")) == 3
