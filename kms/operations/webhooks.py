"""An account's webhook: its setting, and the signed calls that tell it of requests for approval.

Calls are signed as Standard Webhooks 1.0 says, so that receivers verify them with a library that is there. It must not
know the vendor's wire.
"""

from __future__ import annotations

import base64
import hmac
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

from accounts import outbound
from accounts.clock import clock
from accounts.outbound import OutboundFailed, OutboundRefused
from kms.crypto.errors import ParameterInvalid
from kms.objects import keystore
from kms.objects.binding import secret_binding
from kms.operations import notices
from kms.operations.alone import alone
from kms.operations.command import Call
from kms.operations.notices import Sent
from kms.secret import SecretBytes
from policies.models import AccountPolicy, GroupPolicy, Notice
from policies.permissions import Permission

logger = logging.getLogger(__name__)

WEBHOOK_LOCK = 932_466  # "webhoo" on a telephone's keys
# Notices in one turn, of them of one account: who answers slowly must not keep the others waiting for long.
AT_ONCE, AT_ONCE_TO_ONE = 200, 20
SHORTEST_KEY, LONGEST_KEY = 24, 64  # bytes, as the standard says


# -- the setting ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Webhook:
    """An address and the key of its signatures; no address is no webhook."""

    url: str = ""
    key: SecretBytes | None = None


def needs(_row: AccountPolicy | GroupPolicy, _wanted: Webhook) -> Iterator[Permission]:
    yield Permission.APPROVAL_SETTINGS


def write(_call: Call, row: AccountPolicy | GroupPolicy, wanted: Webhook) -> None:
    """Address and key come together: a new address never gets what is signed with the old one's key."""
    if not isinstance(row, AccountPolicy):
        raise ParameterInvalid("The webhook for requests for approval is the account's")
    if not wanted.url:
        row.webhook_url, row.webhook_key_sealed = "", None
        return
    if wanted.key is None or not SHORTEST_KEY <= len(wanted.key) <= LONGEST_KEY:
        raise ParameterInvalid(f"The webhook's key is {SHORTEST_KEY} to {LONGEST_KEY} bytes")
    try:
        outbound.check_url(wanted.url)
    except OutboundRefused as refused:
        raise ParameterInvalid(str(refused)) from None
    row.webhook_url = wanted.url
    row.webhook_key_sealed = keystore.seal(wanted.key, binding=_binding(row.account_id))


def _binding(account: UUID) -> bytes:
    return secret_binding(keystore.deployment_id(), "approval-webhook", account, 1)


# -- a call --------------------------------------------------------------------------------------------------------


def content(notice: Notice) -> dict[str, Any]:
    """What is told: who asks for what, and how it stands. Never what the call would carry."""
    request = notice.request
    assert request is not None  # what is due has its request
    return {
        "type": f"approval_request.{notice.event}",
        "timestamp": notice.created_at.isoformat(),
        "data": {
            "request": str(request.id),
            "account": str(request.account_id),
            "requester": {"kind": request.requester_kind, "id": str(request.requester_id)},
            "action": request.action,
            "subjects": [str(subject) for subject in request.subjects],
            "groups": [str(group) for group in request.groups],
            "asked_at": request.created_at.isoformat(),
            "expires_at": request.expires_at.isoformat(),
            "status": request.status,
        },
    }


def headers_of(message: str, body: bytes, key: SecretBytes, now: datetime) -> dict[str, str]:
    """``message`` names what is told, and is the same each time that it is tried."""
    stamp = str(int(now.timestamp()))
    signed = hmac.digest(key.reveal(), b".".join((message.encode(), stamp.encode(), body)), "sha256")
    return {
        "Content-Type": "application/json",
        "webhook-id": message,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }


def _call_webhook(policy: AccountPolicy, notice: Notice, now: datetime) -> None:
    body = json.dumps(content(notice), separators=(",", ":")).encode()
    assert policy.webhook_key_sealed is not None  # it is set with the address
    key = keystore.unseal(bytes(policy.webhook_key_sealed), binding=_binding(policy.account_id))
    headers = headers_of(f"{notice.request_id}.{notice.event}", body, key, now)
    answer = outbound.fetch(policy.webhook_url, method="POST", body=body, headers=headers)
    if not 200 <= answer.status < 300:
        raise OutboundFailed(f"it answered {answer.status}")


# -- turns ---------------------------------------------------------------------------------------------------------


class WebhookCaller:
    """Every process may run it; one at a time calls. What is called and then not noted is called again, by its id."""

    def turn(self) -> Sent:
        with alone(WEBHOOK_LOCK) as ours:
            return self._work(clock.now()) if ours else Sent(ours=False)

    def _work(self, now: datetime) -> Sent:
        rows = sorted(
            notices.due(now).filter(user__isnull=True)[:AT_ONCE], key=lambda row: (_account(row), row.created_at)
        )
        outcomes = [outcome for account, own in groupby(rows, _account) for outcome in _tell(account, list(own), now)]
        return Sent(True, outcomes.count(True), outcomes.count(False))


def _account(row: Notice) -> UUID:
    assert row.request is not None  # what is due has its request
    return row.request.account_id


def _tell(account: UUID, rows: list[Notice], now: datetime) -> Iterator[bool]:
    """In the order in which it happened. After one that fails, the account's others wait as long."""
    policy = AccountPolicy.objects.filter(account=account).exclude(webhook_url="").first()
    if policy is None:
        for row in rows:
            notices.sent(row, now)
        return
    for row in rows[:AT_ONCE_TO_ONE]:
        try:
            _call_webhook(policy, row, now)
        except Exception as error:  # of the receiver's making: whatever it is, other accounts are told
            notices.put_off(account, now + notices.failed(row, now))
            expected = isinstance(error, OutboundFailed | OutboundRefused)
            what = str(error) if expected else type(error).__name__
            logger.warning("a webhook of account %s is tried again later: %s", account, what, exc_info=not expected)
            yield False
            return
        notices.sent(row, now)
        yield True
