"""The account's webhook, set over the wire, and what it is told when a request for approval goes its way."""

from __future__ import annotations

import base64
import dataclasses
import ipaddress
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from kms.audit.models import AuditRecord
from kms.config.values import Reachable
from kms.operations.webhooks import WebhookCaller
from policies.models import AccountPolicy, Notice
from policies.permissions import Permission
from tests.api.test_vote_challenge import REQUESTS, ask
from tests.kit.factors import Login
from tests.kit.factors import newcomer as make_newcomer
from tests.kit.listener import Listener, listening
from tests.kit.quorums import guard_group, users
from tests.kit.tenants import Tenant, new_tenant
from tests.kit.tls import new_authority

URL = "https://hooks.example.org/keystead?token=secret"
KEY = base64.b64encode(b"canary-key-of-thirty-two-bytes!!").decode()


@pytest.fixture
def tenant(installation: None) -> Tenant:
    return new_tenant()


@pytest.fixture
def administrator(client: httpx.Client, tenant: Tenant) -> Login:
    return make_newcomer(client, tenant).session()


def change(login: Login, tenant: Tenant, **fields: Any) -> httpx.Response:
    return login.person.client.patch(f"/sys/v1/accounts/{tenant.account.id}", json=fields, headers=login.headers)


def account(login: Login, tenant: Tenant) -> dict[str, Any]:
    found: dict[str, Any] = login.get(f"/sys/v1/accounts/{tenant.account.id}").json()
    return found


@pytest.mark.parametrize("prefix", ["", "whsec_"])
def test_it_is_set_read_without_its_key_and_ended(administrator: Login, tenant: Tenant, prefix: str) -> None:
    answered = change(administrator, tenant, approval_webhook={"url": URL, "key": prefix + KEY})
    assert answered.status_code == 200, answered.text
    assert answered.json()["approval_webhook"] == {"url": URL}
    assert KEY not in answered.text
    assert account(administrator, tenant)["approval_webhook"] == {"url": URL}
    entry = AuditRecord.objects.filter(action="account.update", account_id=tenant.account.id).latest("sequence")
    assert entry.details["fields"] == "approval_webhook"
    assert change(administrator, tenant, approval_webhook="remove").status_code == 200
    assert "approval_webhook" not in account(administrator, tenant)
    row = AccountPolicy.objects.get(account=tenant.account)
    assert (row.webhook_url, row.webhook_key_sealed) == ("", None)


def test_who_may_not_change_it_does_not_read_it(administrator: Login, tenant: Tenant, client: httpx.Client) -> None:
    change(administrator, tenant, approval_webhook={"url": URL, "key": KEY})
    tenant.member("auditor")
    auditor = make_newcomer(client, tenant)
    auditor.user = tenant.users["auditor"]
    login = auditor.session()
    assert "approval_webhook" not in account(login, tenant)
    assert "secret" not in json.dumps(account(login, tenant))
    assert change(login, tenant, approval_webhook="remove").status_code == 403
    assert account(administrator, tenant)["approval_webhook"] == {"url": URL}


MALFORMED: dict[str, Any] = {
    "no key": {"url": URL},
    "no address": {"key": KEY},
    "an empty address": {"url": "", "key": KEY},
    "an address inside": {"url": "https://127.0.0.1/", "key": KEY},
    "no TLS": {"url": "http://hooks.example.org/", "key": KEY},
    "a short key": {"url": URL, "key": base64.b64encode(b"canary").decode()},
    "a long key": {"url": URL, "key": base64.b64encode(b"c" * 65).decode()},
    "no base64": {"url": URL, "key": "canary%%"},
    "an unknown field": {"url": URL, "key": KEY, "secret": "canary"},
    "another word": "removed",
    "a number": 1,
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_what_makes_no_webhook_is_refused(administrator: Login, tenant: Tenant, body: Any) -> None:
    refused = change(administrator, tenant, approval_webhook=body)
    assert refused.status_code == 400, refused.text
    assert "canary" not in refused.text
    assert not AccountPolicy.objects.filter(account=tenant.account).exclude(webhook_url="").exists()


# -- from one end to the other -------------------------------------------------------------------------------------


@pytest.fixture
def listener(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    authority = new_authority()
    (tmp_path / "ca.pem").write_text(authority.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    allowed = Reachable(networks=(ipaddress.ip_network("127.0.0.0/8"),))
    settings.KEYSTEAD = dataclasses.replace(settings.KEYSTEAD, outbound_allow=allowed)
    Notice.objects.all().delete()  # what other tests announced
    with listening(tmp_path, authority) as opened:
        yield opened


@pytest.mark.parametrize(("way", "ending"), [("approve", "approved"), ("deny", "denied")])
def test_a_request_is_told_of_when_it_is_asked_and_when_it_ends(
    listener: Listener, administrator: Login, tenant: Tenant, client: httpx.Client, way: str, ending: str
) -> None:
    reviewer = make_newcomer(client, tenant)
    guard_group(tenant.group, users(1, [reviewer.user.id]), [Permission.OBJECT_DELETE])
    assert change(administrator, tenant, approval_webhook={"url": listener.url, "key": KEY}).status_code == 200
    request = ask(tenant)
    assert reviewer.session().post(f"{REQUESTS}/{request}/{way}", {}).status_code == 200
    assert WebhookCaller().turn().sent == 2
    told = [json.loads(each.body) for each in listener.received]
    assert [each["type"] for each in told] == ["approval_request.asked", f"approval_request.{ending}"]
    assert {each["data"]["request"] for each in told} == {str(request)}
    assert told[1]["data"]["status"] == ending
    assert told[1]["data"]["subjects"]
    assert set(Notice.objects.filter(request=request).values_list("event", "user_id")) == {
        ("asked", reviewer.user.id),
        ("asked", None),
        (ending, None),
    }
