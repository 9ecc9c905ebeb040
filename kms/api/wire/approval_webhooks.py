"""An account's webhook for requests for approval, on the wire. All of it is ours (docs/divergences.md)."""

from __future__ import annotations

from base64 import b64decode
from typing import Literal

from kms.api.wire.base import Request, WireError
from kms.operations.webhooks import Webhook
from kms.secret import SecretBytes

_KEY_PREFIX = "whsec_"


class ApprovalWebhook(Request):
    """``key`` is base64, with or without the prefix that Standard Webhooks gives it; it is not shown again."""

    url: str
    key: str


def webhook_of(body: ApprovalWebhook | Literal["remove"] | None) -> Webhook | None:
    if not isinstance(body, ApprovalWebhook):
        return None if body is None else Webhook()
    if not body.url:
        raise WireError("Invalid request: approval_webhook.url is empty; remove is how one is ended")
    try:
        key = b64decode(body.key.removeprefix(_KEY_PREFIX), validate=True)
    except ValueError:
        raise WireError("Invalid request: approval_webhook.key is not base64") from None
    return Webhook(body.url, SecretBytes(key))
