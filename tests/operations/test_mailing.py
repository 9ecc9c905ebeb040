"""The letterbox: what is asked for leaves once, encrypted, to the right person, and failures wait their turn."""

from __future__ import annotations

import io
import logging
import smtplib
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.core.mail import get_connection
from django.db import connection

from accounts import outbox
from accounts.clock import clock
from accounts.mail import Mail
from accounts.models import Account, CodePurpose, OneTimeCode, OutgoingMail, User
from accounts.principal import ANONYMOUS
from kms.operations.errors import TooManyAttempts
from kms.operations.executor import execute
from kms.operations.invitations import InviteUser, ResendInvitation
from kms.operations.mailing import MAILER_LOCK, Mailer, MailTurn
from kms.operations.passwords import RequestPasswordReset
from tests.kit.mail import PUBLIC_URL, PostOffice, deliver, open_post_office, use
from tests.kit.tenants import Tenant, new_user, unique
from tests.kit.threads import at_once

RESET = CodePurpose.RESET_PASSWORD


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostOffice]:
    with open_post_office(tmp_path_factory.mktemp("mail")) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _mail(office: PostOffice, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    use(office, settings, monkeypatch)
    OutgoingMail.objects.all().delete()  # what other tests asked for


def forgetful() -> User:
    """A user who has asked for a new password."""
    user = new_user()
    execute(ANONYMOUS, RequestPasswordReset(user.email))
    return user


def row_for(user: User) -> OutgoingMail:
    return OutgoingMail.objects.get(email=user.email)


def codes_of(user: User) -> int:
    return OneTimeCode.objects.filter(user=user).count()


def turn() -> MailTurn:
    return Mailer(PUBLIC_URL).turn()


def later(user: User, **by: float) -> None:
    """As if that much time had gone by."""
    moved = timedelta(**by)
    row = row_for(user)
    OutgoingMail.objects.filter(pk=row.pk).update(
        created_at=row.created_at - moved,
        not_before=row.not_before - moved,
        sent_at=None if row.sent_at is None else row.sent_at - moved,
    )


# -- what arrives --------------------------------------------------------------------------------------------------


def test_a_mail_is_plain_encrypted_and_says_what_to_do(office: PostOffice) -> None:
    user = forgetful()
    deliver()
    (letter,) = office.to(user.email)
    message = letter.message
    assert letter.encrypted
    assert letter.sender == "keystead@localhost"
    assert (message["To"], message["From"]) == (user.email, "keystead@localhost")
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content_type() == "text/plain"
    assert f"{PUBLIC_URL}/reset-password#user={user.id}&code={letter.code}" in letter.text
    assert f"{PUBLIC_URL}/sys/v1/users/{user.id}/reset_password" in letter.text
    assert "If it is not you, do nothing" in letter.text


@pytest.mark.parametrize("purpose", CodePurpose)
def test_every_purpose_has_its_text(purpose: CodePurpose) -> None:
    mail = Mail(purpose, "a@example.org", uuid4(), PUBLIC_URL, "the-code", "Account & Sons <b>")
    text = str(mail.message().body)
    assert "the-code" in text
    assert "do nothing" in text
    assert "&amp;" not in text
    assert "the-code" not in repr(mail)


@pytest.mark.parametrize(
    "name",
    [
        "Line\nBcc: victim@example.org",
        "a\r\n\r\nSend your password to evil.example",
        "tab\tbell\a\u2028separator",
        "x" * 5000,
    ],
    ids=["header", "body", "control", "long"],
)
def test_an_accounts_name_stays_one_short_line_in_the_body(office: PostOffice, tenant: Tenant, name: str) -> None:
    Account.objects.filter(id=tenant.account.id).update(name=name[:256])
    email = f"{unique('invited')}@example.org"
    execute(tenant.alice, InviteUser(email, "member"))
    deliver()
    (letter,) = office.to(email)
    assert letter.to == (email,)
    assert letter.message["Bcc"] is None
    assert letter.message["Subject"] == "You are invited to Keystead"
    first = letter.text.splitlines()[0]
    assert first.endswith("on the key management server")
    assert len(first) < 200


@pytest.mark.parametrize(
    "address", ["a@example.org\nBcc: b@example.org", "a@example.org\r\nX: y", "a@example.org\rX: y"]
)
def test_no_address_makes_a_header(address: str) -> None:
    mail = Mail(RESET, address, uuid4(), PUBLIC_URL, "code")
    with pytest.raises(ValueError):  # noqa: PT011 - Django's BadHeaderError and Python's own, whose texts are theirs
        mail.message().message()


def test_an_address_that_is_nobodys_gets_nothing_and_leaves_nothing_due(office: PostOffice) -> None:
    address = f"{unique('nobody')}@example.org"
    before = len(office.letters)
    execute(ANONYMOUS, RequestPasswordReset(address))
    assert OutgoingMail.objects.get(email=address).sent_at is None
    deliver()
    assert len(office.letters) == before
    assert OutgoingMail.objects.get(email=address).sent_at is not None
    assert not OneTimeCode.objects.filter(email=address).exists()


def test_strangers_hold_up_nobody(office: PostOffice) -> None:
    now = clock.now()
    OutgoingMail.objects.bulk_create(
        OutgoingMail(purpose=RESET, email=f"{n}@nobody.example", created_at=now, not_before=now) for n in range(500)
    )
    user = forgetful()
    assert turn().sent == 1
    assert len(office.to(user.email)) == 1


@pytest.mark.parametrize("spelling", [str.upper, lambda a: f"  {a} ", lambda a: a.replace("user", "\uff55ser")])
def test_other_spellings_of_an_address_ask_for_the_same_person(office: PostOffice, spelling: Any) -> None:
    user = new_user()
    execute(ANONYMOUS, RequestPasswordReset(spelling(user.email)))
    deliver()
    assert len(office.to(user.email)) == 1


@pytest.mark.parametrize("text", ["", "@", "\n", "x" * 100_000, "\u202ea@example.org", "a@b@c", "\ufdfa" * 400])
def test_whatever_is_sent_for_an_address_is_answered_alike(text: str) -> None:
    assert execute(ANONYMOUS, RequestPasswordReset(text)) is None


# -- how often -----------------------------------------------------------------------------------------------------


def test_one_that_is_due_already_will_do(office: PostOffice) -> None:
    user = new_user()
    at_once(8, lambda _: execute(ANONYMOUS, RequestPasswordReset(user.email)))
    assert OutgoingMail.objects.filter(email=user.email).count() == 1


def test_nobodys_mailbox_is_filled(office: PostOffice) -> None:
    user = new_user()
    for _ in range(6):
        execute(ANONYMOUS, RequestPasswordReset(user.email))
        deliver()
    assert len(office.to(user.email)) == outbox.MOST_IN_A_BURST


def test_after_a_while_one_may_ask_again(office: PostOffice) -> None:
    user = new_user()
    for _ in range(4):
        execute(ANONYMOUS, RequestPasswordReset(user.email))
        deliver()
    OutgoingMail.objects.filter(email=user.email).update(created_at=clock.now() - outbox.BURST)
    execute(ANONYMOUS, RequestPasswordReset(user.email))
    deliver()
    assert len(office.to(user.email)) == outbox.MOST_IN_A_BURST + 1


def test_who_invites_too_often_is_told(tenant: Tenant) -> None:
    user = execute(tenant.alice, InviteUser(f"{unique('invited')}@example.org", "member")).user
    deliver()
    for _ in range(outbox.MOST_IN_A_BURST - 1):
        execute(tenant.alice, ResendInvitation(user.id))
        deliver()
    with pytest.raises(TooManyAttempts) as caught:
        execute(tenant.alice, ResendInvitation(user.id))
    assert caught.value.retry_after == 600


# -- failures ------------------------------------------------------------------------------------------------------


def test_a_server_that_is_away_is_tried_again_and_no_code_is_left(
    office: PostOffice, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    user, port = forgetful(), settings.EMAIL_PORT
    settings.EMAIL_PORT = 1  # nobody listens there
    assert turn().failed == 1
    row = row_for(user)
    assert (row.attempts, row.sent_at) == (1, None)
    assert row.not_before > clock.now() + timedelta(seconds=20)
    assert codes_of(user) == 0
    assert "ConnectionRefusedError" in caplog.text
    assert user.email not in caplog.text
    settings.EMAIL_PORT = port
    assert turn() == MailTurn(True)  # not yet
    later(user, minutes=1)
    assert turn().sent == 1
    assert len(office.to(user.email)) == 1


def test_an_older_code_holds_until_a_newer_one_has_arrived(office: PostOffice, settings: Any) -> None:
    user = forgetful()
    deliver()
    execute(ANONYMOUS, RequestPasswordReset(user.email))
    settings.EMAIL_PORT = 1
    turn()
    assert codes_of(user) == 1


def test_pauses_grow_and_end(settings: Any) -> None:
    user, pauses = forgetful(), []
    settings.EMAIL_PORT = 1
    for _ in range(10):
        OutgoingMail.objects.filter(email=user.email).update(not_before=clock.now())
        turn()
        pauses.append(round((row_for(user).not_before - clock.now()).total_seconds() / 30) * 30)
    assert pauses[:4] == [30, 60, 120, 240]
    assert pauses == sorted(pauses)
    assert pauses[-1] == outbox.RETRY_AT_MOST.total_seconds()


def test_after_a_day_it_is_given_up_and_said(settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    user = forgetful()
    settings.EMAIL_PORT = 1
    later(user, days=1)
    turn()
    assert not OutgoingMail.objects.filter(email=user.email).exists()
    assert "given up" in caplog.text
    assert [record.levelno for record in caplog.records][-1] == logging.ERROR
    assert user.email not in caplog.text


def test_one_mailbox_that_is_refused_does_not_hold_up_the_others(
    office: PostOffice, caplog: pytest.LogCaptureFixture
) -> None:
    refused, other = forgetful(), forgetful()
    office.refused.add(refused.email)
    done = turn()
    assert (done.sent, done.failed) == (1, 1)
    assert len(office.to(other.email)) == 1
    assert codes_of(refused) == 0
    assert refused.email not in caplog.text


@pytest.mark.parametrize("wrong", ["password", "name", "authority"])
def test_no_mail_goes_to_a_server_that_is_not_the_right_one(
    office: PostOffice, settings: Any, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    if wrong == "password":
        settings.EMAIL_HOST_PASSWORD = "of another"
    elif wrong == "name":
        settings.EMAIL_HOST = "127.0.0.1"  # the certificate stands for localhost
    else:
        monkeypatch.delenv("SSL_CERT_FILE")
    user = forgetful()
    assert turn().failed == 1
    assert office.to(user.email) == []


def test_a_server_without_starttls_gets_nothing(tmp_path: Path, settings: Any) -> None:
    """As off loopback (tests/config/test_mail.py): STARTTLS is demanded, and this server does not offer it."""
    with open_post_office(tmp_path, starttls=False) as plain:
        settings.EMAIL_PORT = plain.port
        user = forgetful()
        assert turn().failed == 1
        assert plain.letters == []
        connected = get_connection()
        with pytest.raises(smtplib.SMTPNotSupportedError):
            connected.open()
        connected.close()
    assert codes_of(user) == 0


def test_two_processes_do_not_send_twice(office: PostOffice) -> None:
    user = forgetful()
    turns = at_once(8, lambda _: turn())
    assert sum(each.sent for each in turns) == 1
    assert len(office.to(user.email)) == 1


def test_another_process_that_is_at_it_is_left_alone() -> None:
    forgetful()
    held = threading.Event()

    def work(number: int) -> bool:
        if number == 0:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_lock(%s)", [MAILER_LOCK])
                try:
                    held.wait(5)
                finally:
                    cursor.execute("SELECT pg_advisory_unlock(%s)", [MAILER_LOCK])
            return True
        while not _held():
            pass
        try:
            return turn().ours
        finally:
            held.set()

    assert at_once(2, work) == [True, False]


def _held() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = %s", [MAILER_LOCK])
        row = cursor.fetchone()
        assert row is not None
        return bool(row[0])


def test_what_is_done_with_is_tidied(office: PostOffice) -> None:
    user = forgetful()
    deliver()
    OneTimeCode.objects.filter(user=user).update(expires_at=clock.now() - timedelta(days=2))
    later(user, hours=2)
    turn()
    assert codes_of(user) == 0
    assert not OutgoingMail.objects.filter(email=user.email).exists()


def test_without_a_mail_server_the_mail_is_on_standard_error(
    office: PostOffice, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.EMAIL_BACKEND = "accounts.mail.StandardErrorBackend"
    said = io.StringIO()
    monkeypatch.setattr(sys, "stderr", said)
    user = forgetful()
    deliver()
    assert f"To: {user.email}" in said.getvalue()
    assert f"{PUBLIC_URL}/reset-password#user={user.id}" in said.getvalue().replace("=\n", "")
    assert office.to(user.email) == []
