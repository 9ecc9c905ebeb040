"""The account's webhook: told in order, signed, tried again, and never where the server must not call."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import ipaddress
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from accounts.clock import clock
from accounts.models import Membership
from accounts.outbox import GIVE_UP_AFTER
from kms.config.values import Reachable
from kms.crypto.errors import ParameterInvalid
from kms.operations import notices
from kms.operations.accounts import GetAccount, UpdateAccount
from kms.operations.demanding import PolicyChange
from kms.operations.errors import AccessDenied
from kms.operations.executor import execute
from kms.operations.notices import Sent, announce
from kms.operations.webhooks import WEBHOOK_LOCK, Webhook, WebhookCaller
from kms.secret import SecretBytes
from policies.models import AccountPolicy, ApprovalEvent, ApprovalRequest, ApprovalStatus, Notice
from tests.kit.listener import Listener, Received, listening
from tests.kit.quorums import ask
from tests.kit.tenants import Tenant, new_tenant
from tests.kit.threads import at_once
from tests.kit.tls import Authority, new_authority
from tests.kit.urls import FORBIDDEN_URLS

ASKED, APPROVED = ApprovalEvent.ASKED, ApprovalEvent.APPROVED
KEY = b"k" * 32


@pytest.fixture(scope="module")
def authority() -> Authority:
    return new_authority()


@pytest.fixture
def listener(tmp_path: Path, authority: Authority, settings: Any, monkeypatch: Any) -> Iterator[Listener]:
    (tmp_path / "ca.pem").write_text(authority.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    allowed = Reachable(networks=(ipaddress.ip_network("127.0.0.0/8"),))
    settings.KEYSTEAD = dataclasses.replace(settings.KEYSTEAD, outbound_allow=allowed)
    Notice.objects.all().delete()  # what other tests announced
    with listening(tmp_path, authority) as opened:
        yield opened


@pytest.fixture
def tenant(installation: None) -> Tenant:
    return new_tenant()


def set_webhook(tenant: Tenant, url: str, key: bytes | None = KEY, by: Any = None) -> None:
    wanted = Webhook(url, None if key is None else SecretBytes(key))
    execute(by or tenant.alice, UpdateAccount(tenant.account.id, policy=PolicyChange(approval_webhook=wanted)))


def told(tenant: Tenant, event: ApprovalEvent = ASKED) -> ApprovalRequest:
    request = ask(tenant, tenant.app)
    announce(request, event)
    return request


def turn() -> Sent:
    return WebhookCaller().turn()


def verified(received: Received, key: bytes = KEY) -> dict[str, Any]:
    """As Standard Webhooks 1.0 has receivers do it; written from its text."""
    head = received.headers
    signed = f"{head['webhook-id']}.{head['webhook-timestamp']}.".encode() + received.body
    version, signature = head["webhook-signature"].split(",")
    assert version == "v1"
    assert base64.b64decode(signature) == hmac.new(key, signed, hashlib.sha256).digest()
    assert abs(int(head["webhook-timestamp"]) - time.time()) < 60
    content: dict[str, Any] = json.loads(received.body)
    return content


# -- what arrives --------------------------------------------------------------------------------------------------


def test_it_is_told_what_is_asked_by_whom_and_nothing_of_the_call_itself(listener: Listener, tenant: Tenant) -> None:
    set_webhook(tenant, listener.url)
    request = told(tenant)
    ApprovalRequest.objects.filter(id=request.id).update(
        body_sealed=b"body-canary", description="text-canary", operation="/crypto/v1/keys/path-canary"
    )
    assert turn() == Sent(True, sent=1)
    (received,) = listener.received
    assert (received.method, received.path) == ("POST", "/hook?of=us")
    assert received.headers["content-type"] == "application/json"
    content = verified(received)
    assert content["type"] == "approval_request.asked"
    assert content["data"]["request"] == str(request.id)
    assert content["data"]["account"] == str(tenant.account.id)
    assert content["data"]["requester"] == {"kind": "app", "id": str(tenant.app.id)}
    assert content["data"]["action"] == "object.destroy"
    assert content["data"]["groups"] == [str(tenant.group.id)]
    assert content["data"]["status"] == "pending"
    assert b"canary" not in received.body


def test_another_key_does_not_verify(listener: Listener, tenant: Tenant) -> None:
    set_webhook(tenant, listener.url)
    told(tenant)
    turn()
    with pytest.raises(AssertionError):
        verified(listener.received[0], b"x" * 32)


def test_events_come_in_their_order_each_with_an_id_of_its_own(listener: Listener, tenant: Tenant) -> None:
    set_webhook(tenant, listener.url)
    first, second = told(tenant), told(tenant)
    ApprovalRequest.objects.filter(id=first.id).update(status=ApprovalStatus.APPROVED)
    announce(first, APPROVED)
    assert turn().sent == 3
    ids = [each.headers["webhook-id"] for each in listener.received]
    assert ids == [f"{first.id}.asked", f"{second.id}.asked", f"{first.id}.approved"]
    assert turn() == Sent(True)


# -- when it does not go well --------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 307, 400, 401, 404, 410, 429, 500, 503])
def test_any_answer_but_success_is_tried_again_later_by_the_same_id(
    listener: Listener, tenant: Tenant, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    set_webhook(tenant, listener.url)
    request = told(tenant)
    listener.status, listener.location = status, listener.url
    assert turn() == Sent(True, failed=1)
    assert str(status) in caplog.text
    assert "of=us" not in caplog.text
    row = Notice.objects.get(request=request)
    assert (row.attempts, row.sent_at) == (1, None)
    assert row.not_before >= clock.now() + timedelta(seconds=25)
    assert turn() == Sent(True)
    listener.status = 200
    Notice.objects.update(not_before=clock.now())
    assert turn() == Sent(True, sent=1)
    first, again = listener.received
    assert first.headers["webhook-id"] == again.headers["webhook-id"]
    verified(again)


def test_one_that_fails_holds_back_its_accounts_others_and_nobody_elses(listener: Listener, tenant: Tenant) -> None:
    set_webhook(tenant, listener.url.replace("/hook", "/nowhere"))
    other = new_tenant()
    set_webhook(other, listener.url)
    told(tenant)
    told(tenant)
    listener.status = 500
    assert turn() == Sent(True, failed=1)
    listener.status = 204
    request = told(other)
    assert turn() == Sent(True, sent=1)
    assert [each.headers["webhook-id"] for each in listener.received[1:]] == [f"{request.id}.asked"]


def test_a_server_that_is_not_the_right_one_is_told_nothing(
    listener: Listener, tenant: Tenant, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    set_webhook(tenant, listener.url)
    told(tenant)
    monkeypatch.delenv("SSL_CERT_FILE")
    assert turn() == Sent(True, failed=1)
    assert listener.received == []
    assert "SSLCertVerificationError" in caplog.text


def test_a_key_that_does_not_open_tells_nobody_and_says_why(
    listener: Listener, tenant: Tenant, caplog: pytest.LogCaptureFixture
) -> None:
    """Moved from another account's row, it is no key of this one."""
    other = new_tenant()
    for each in (tenant, other):
        set_webhook(each, listener.url)
    moved = AccountPolicy.objects.get(account=other.account).webhook_key_sealed
    AccountPolicy.objects.filter(account=tenant.account).update(webhook_key_sealed=moved)
    told(tenant)
    assert turn() == Sent(True, failed=1)
    assert listener.received == []
    assert any(record.exc_info for record in caplog.records if str(tenant.account.id) in record.getMessage())


def test_after_a_day_it_is_given_up(listener: Listener, tenant: Tenant) -> None:
    set_webhook(tenant, listener.url)
    request = told(tenant)
    Notice.objects.filter(request=request).update(created_at=clock.now() - GIVE_UP_AFTER)
    assert notices.tidy(clock.now()) == 1
    assert turn() == Sent(True)
    assert listener.received == []


def test_where_the_webhook_has_ended_nothing_waits_for_it(listener: Listener, tenant: Tenant) -> None:
    set_webhook(tenant, listener.url)
    request = told(tenant)
    set_webhook(tenant, "", None)
    assert turn() == Sent(True)
    assert listener.received == []
    assert Notice.objects.get(request=request).sent_at is not None
    assert AccountPolicy.objects.get(account=tenant.account).webhook_key_sealed is None


# -- once ----------------------------------------------------------------------------------------------------------


def test_several_processes_tell_once(listener: Listener, tenant: Tenant) -> None:
    set_webhook(tenant, listener.url)
    for _ in range(5):
        told(tenant)
    turns = at_once(6, lambda _: turn())
    assert sum(each.sent for each in turns) == 5
    ids = [each.headers["webhook-id"] for each in listener.received]
    assert len(ids) == len(set(ids)) == 5


_HOLDER = """
import psycopg, sys, time
held = psycopg.connect(sys.argv[1], autocommit=True)
held.execute("SELECT pg_advisory_lock(%s)", [int(sys.argv[2])])
print("held", flush=True)
time.sleep(60)
"""


def test_a_process_that_is_killed_in_its_turn_leaves_it_to_the_others(listener: Listener, tenant: Tenant) -> None:
    set_webhook(tenant, listener.url)
    told(tenant)
    connection.ensure_connection()
    address = connection.connection.info.dsn
    secret = connection.settings_dict.get("PASSWORD") or ""
    command = [sys.executable, "-c", _HOLDER, address, str(WEBHOOK_LOCK)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={"PGPASSWORD": secret}) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert turn() == Sent(ours=False)
        holder.kill()
    deadline = time.monotonic() + 10
    while not (done := turn()).ours:
        assert time.monotonic() < deadline
    assert done == Sent(True, sent=1)


def test_what_was_told_and_not_noted_is_told_again_by_the_same_id(
    listener: Listener, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the process ends between the answer and the note: receivers know by the id that they have it."""
    set_webhook(tenant, listener.url)
    told(tenant)

    def ends(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(notices, "sent", ends)
        with pytest.raises(KeyboardInterrupt):
            turn()
    assert turn() == Sent(True, sent=1)
    first, again = listener.received
    assert first.headers["webhook-id"] == again.headers["webhook-id"]


# -- the setting ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", FORBIDDEN_URLS)
def test_no_setting_leads_inside(tenant: Tenant, url: str) -> None:
    with pytest.raises(ParameterInvalid):
        set_webhook(tenant, url)
    assert not AccountPolicy.objects.filter(account=tenant.account).exclude(webhook_url="").exists()


@pytest.mark.parametrize("key", [None, b"", b"k" * 23, b"k" * 65], ids=["none", "empty", "short", "long"])
def test_a_key_that_is_none_is_refused(tenant: Tenant, key: bytes | None) -> None:
    with pytest.raises(ParameterInvalid, match="24 to 64 bytes"):
        set_webhook(tenant, "https://hooks.example.org/", key)


def test_only_who_may_change_the_settings_of_approvals_changes_or_sees_it(tenant: Tenant) -> None:
    set_webhook(tenant, "https://hooks.example.org/secret")
    for role in ("auditor", "member"):
        member = tenant.member(role)
        with pytest.raises(AccessDenied):
            set_webhook(tenant, "https://elsewhere.example.org/", by=member)
        with pytest.raises(AccessDenied):
            set_webhook(tenant, "", by=member)
        assert execute(member, GetAccount(tenant.account.id)).webhook_url == ""
    assert execute(tenant.alice, GetAccount(tenant.account.id)).webhook_url == "https://hooks.example.org/secret"
    assert Membership.objects.filter(account=tenant.account).count() == 3


def test_the_key_is_kept_sealed(tenant: Tenant) -> None:
    key = b"canary-" + b"k" * 25
    set_webhook(tenant, "https://hooks.example.org/", key)
    row = AccountPolicy.objects.get(account=tenant.account)
    assert row.webhook_key_sealed is not None
    assert b"canary" not in bytes(row.webhook_key_sealed)
