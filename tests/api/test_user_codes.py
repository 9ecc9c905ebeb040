"""Passwords, codes and invitations over HTTP: the vendor's shapes, and answers that tell a stranger nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from accounts.models import OutgoingMail, User
from kms.audit.models import AuditRecord
from tests.api.test_bad_input import login, plain_error
from tests.kit.mail import PostOffice, deliver, open_post_office, use
from tests.kit.tenants import PASSWORD, Tenant, new_tenant, new_user, unique

USERS = "/sys/v1/users"
OTHER_PASSWORD = "seven tall giraffes drink 12 lakes"


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostOffice]:
    with open_post_office(tmp_path_factory.mktemp("mail")) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _mail(office: PostOffice, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    use(office, settings, monkeypatch)


@pytest.fixture(scope="module")
def tenant() -> Tenant:
    return new_tenant()


@pytest.fixture(scope="module")
def admin(tenant: Tenant, client: httpx.Client) -> dict[str, str]:
    return login(client, tenant.users["administrator"].email, tenant)


def bearer(client: httpx.Client, email: str, password: str) -> dict[str, str]:
    answer = client.post("/sys/v1/session/auth", auth=(email, password))
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def nothing(response: httpx.Response) -> None:
    assert (response.status_code, response.content) == (204, b""), response.text


def test_invited_by_mail_forgetful_and_changed(
    client: httpx.Client, admin: dict[str, str], tenant: Tenant, office: PostOffice
) -> None:
    """As a person would go through it, with what the mails say and nothing else."""
    email = f"{unique('person')}@example.org"
    invited = client.post(f"{USERS}/invite", json={"user_email": email}, headers=admin).json()
    one = f"{USERS}/{invited['user_id']}"
    assert (invited["has_password"], invited["email_verified"]) == (False, False)
    assert "PENDINGINVITE" in invited["account_role"]
    deliver()
    accept = {"invite_token": office.to(email)[-1].code, "new_password": PASSWORD}
    nothing(client.post(f"{one}/accept_invite", json=accept))
    session = login(client, email, tenant)
    me = client.get(one, headers=session).json()
    assert (me["has_password"], me["email_verified"]) == (True, True)

    nothing(client.post(f"{USERS}/forgot_password", json={"user_email": email}))
    deliver()
    code = office.to(email)[-1].code
    looked = client.post(f"{one}/validate_token", json={"reset_token": code})
    assert (looked.status_code, looked.json()) == (200, {"user_email": email})
    nothing(client.post(f"{one}/reset_password", json={"reset_token": code, "new_password": OTHER_PASSWORD}))
    assert client.get(one, headers=session).status_code == 401

    session, other = (bearer(client, email, OTHER_PASSWORD) for _ in range(2))
    change = {"current_password": OTHER_PASSWORD, "new_password": PASSWORD}
    nothing(client.post(f"{USERS}/change_password", json=change, headers=session))
    assert client.get(one, headers=session).status_code == 200
    assert client.get(one, headers=other).status_code == 401

    wanted = f"{unique('person')}@example.org"
    changed = client.patch(one, json={"user_email": wanted, "user_password": PASSWORD}, headers=session)
    assert (changed.json()["user_email"], changed.json()["new_email"]) == (email, wanted)
    deliver()
    token = {"confirm_token": office.to(wanted)[-1].code}
    confirmed = client.post(f"{one}/confirm_email", json=token, headers=session)
    assert (confirmed.status_code, confirmed.json()) == (200, {"user_email": wanted})

    nothing(client.delete(USERS, headers=session))
    assert client.get(one, headers=session).status_code == 401
    assert not User.objects.filter(id=invited["user_id"]).exists()


@pytest.mark.parametrize("path", ["resend_confirm_email", "{user_id}/resend_confirm_email"], ids=["Go", "Python"])
def test_both_ways_to_ask_for_the_confirmation(
    client: httpx.Client, admin: dict[str, str], office: PostOffice, path: str
) -> None:
    email = f"{unique('person')}@example.org"
    body = {"user_email": email, "user_password": PASSWORD}
    user_id = client.post(f"{USERS}/invite", json=body, headers=admin).json()["user_id"]
    session = bearer(client, email, PASSWORD)
    where = f"{USERS}/{path.format(user_id=user_id)}"
    nothing(client.post(where, headers=session))
    deliver()
    code = next(letter.code for letter in office.to(email) if "confirm_token" in letter.text)
    told = client.post(f"{USERS}/{user_id}/confirm_email", json={"confirm_token": code}, headers=session)
    assert told.json() == {"user_email": email}
    plain_error(client.post(where, headers=session), 409)


def test_an_invitation_is_mailed_again_and_a_stale_user_deleted(
    client: httpx.Client, admin: dict[str, str], office: PostOffice
) -> None:
    email = f"{unique('person')}@example.org"
    one = f"{USERS}/{client.post(f'{USERS}/invite', json={'user_email': email}, headers=admin).json()['user_id']}"
    deliver()
    nothing(client.post(f"{one}/resend_invite", headers=admin))
    deliver()
    first, second = office.to(email)
    assert first.code != second.code
    nothing(client.delete(one, headers=admin))
    accept = {"invite_token": second.code, "new_password": PASSWORD}
    plain_error(client.post(f"{one}/accept_invite", json=accept), 403)


def test_who_exists_is_not_told_by_asking_for_a_code(client: httpx.Client) -> None:
    confirmed, unconfirmed = new_user(), new_user()
    User.objects.filter(id=unconfirmed.id).update(email_verified=False)
    spellings = [confirmed.email, unconfirmed.email, f"{unique('nobody')}@example.org", "no address", ""]
    answers = []
    for text in spellings * 5:
        response = client.post(f"{USERS}/forgot_password", json={"user_email": text})
        own = {"date", "x-request-id"}
        headers = {name: value for name, value in response.headers.items() if name not in own}
        answers.append((response.status_code, response.content, headers))
    assert [answer for answer in answers if answer != answers[0]] == []
    assert answers[0][0] == 204


@pytest.mark.parametrize("path", ["validate_token", "reset_password", "accept_invite"])
def test_who_exists_is_not_told_by_trying_a_code(client: httpx.Client, path: str) -> None:
    token = "invite_token" if path == "accept_invite" else "reset_token"
    body = {token: "x" * 43} if path == "validate_token" else {token: "x" * 43, "new_password": PASSWORD}
    answers = set()
    for user in (new_user().id, uuid4()):
        response = client.post(f"{USERS}/{user}/{path}", json=body)
        answers.add((response.status_code, response.content))
    assert answers == {(403, b"The code is not valid; ask for a new one")}


def test_what_was_tried_is_recorded_without_codes_and_passwords(client: httpx.Client, office: PostOffice) -> None:
    user = new_user()
    client.post(f"{USERS}/forgot_password", json={"user_email": user.email})
    deliver()
    code = office.to(user.email)[-1].code
    for given in ("y" * 43, code):
        body = {"reset_token": given, "new_password": OTHER_PASSWORD}
        client.post(f"{USERS}/{user.id}/reset_password", json=body)
    records = list(AuditRecord.objects.filter(action="user.reset-password").order_by("-sequence")[:2])
    assert [(record.outcome, record.reason) for record in records] == [("done", "public"), ("denied", "unknown-code")]
    assert records[0].object_id == user.id
    asked = AuditRecord.objects.filter(action="user.forgot-password").latest("sequence")
    assert asked.details["email"] == user.email[:64]
    for record in (*records, asked):
        text = str(vars(record))
        assert code not in text
        assert OTHER_PASSWORD not in text


def test_the_vendors_captcha_is_refused_by_name(client: httpx.Client) -> None:
    body = {"user_email": "a@example.org", "recaptcha_response": "x"}
    assert "recaptcha_response" in plain_error(client.post(f"{USERS}/forgot_password", json=body), 400)
    assert not OutgoingMail.objects.filter(email="a@example.org").exists()


@pytest.mark.parametrize(
    "body",
    [
        {"user_email": "b@example.org"},
        {"user_password": PASSWORD},
        {"user_email": "b@example.org", "user_password": PASSWORD, "first_name": "B"},
    ],
    ids=["no password", "password alone", "and more"],
)
def test_an_address_is_changed_alone_and_with_the_password(client: httpx.Client, body: dict[str, str]) -> None:
    user = new_user()
    session = bearer(client, user.email, PASSWORD)
    plain_error(client.patch(f"{USERS}/{user.id}", json=body, headers=session), 400)
    assert User.objects.get(id=user.id).new_email == ""
