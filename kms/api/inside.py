"""The API for callers in this process: the same endpoints, parsers, decision and record, without HTTP between.

The console is such a caller. What it sends is what anybody could send, so a screen can do nothing that the API cannot,
a call that needs a quorum can be asked for as it stands, and whatever a screen does can be shown as a command line.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import msgspec

from accounts.certificates import PresentedCertificate
from kms.api.errors import answer_of
from kms.api.handling import Incoming, carried_out
from kms.api.replay import can_wait
from kms.api.routes import ENDPOINTS
from kms.api.wire.base import Endpoint
from kms.operations.errors import ApprovalRequired, TooManyAttempts

logger = logging.getLogger(__name__)

_BY_OPERATION: Mapping[str, Endpoint] = {endpoint.operation: endpoint for endpoint in ENDPOINTS}


@dataclass(frozen=True, slots=True)
class ApiCall:
    """A request in the API's own terms. ``operation`` is an endpoint's name; ``body`` is what JSON can say."""

    operation: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Any = None

    @property
    def endpoint(self) -> Endpoint:
        return _BY_OPERATION[self.operation]

    @property
    def method(self) -> str:
        return self.endpoint.method

    @property
    def target(self) -> str:
        """The path with its query, as it would stand in a request line."""
        path = self.endpoint.path.format(**self.path)
        return f"{path}?{urlencode(self.query)}" if self.query else path


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls and from where: a credential as it would stand in a header, and what the connection shows."""

    authorization: str | None
    client_ip: str | None
    request_id: UUID
    certificate: PresentedCertificate | None = None


class Refused(Exception):
    """The call did not end well. ``status`` and the message are what the API would have answered; ``reason`` is the
    record's code for it, empty where there is none."""

    def __init__(self, status: int, message: str, *, reason: str = "", retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.reason = reason
        self.retry_after = retry_after


class ApprovalNeeded(Refused):
    """All that is missing is a quorum. ``call`` is what an approval can be asked for."""

    def __init__(self, call: ApiCall, message: str) -> None:
        super().__init__(403, message, reason="approval-needed")
        self.call = call


def run(call: ApiCall, caller: Caller) -> Any:
    """The response as plain dicts, lists and text (bytes where the endpoint answers bytes). Raises Refused."""
    endpoint = call.endpoint
    incoming = Incoming(
        path=call.path,
        query=urlencode(call.query),
        body=b"" if call.body is None else msgspec.json.encode(call.body),
        authorization=caller.authorization,
        client_ip=caller.client_ip,
        request_id=caller.request_id,
        certificate=caller.certificate,
    )
    try:
        answer = endpoint.from_result(carried_out(endpoint, incoming))
    except Exception as error:
        raise _refused(call, error) from error
    return answer if isinstance(answer, bytes) else msgspec.to_builtins(answer, enc_hook=_as_sent)


def _as_sent(value: Any) -> Any:
    """What an endpoint hands on as JSON: an answer that was kept until somebody asked for it."""
    if isinstance(value, msgspec.Raw):
        return msgspec.json.decode(value)
    raise TypeError(f"no JSON for {type(value).__name__}")


def _refused(call: ApiCall, error: Exception) -> Refused:
    answer = answer_of(error)
    if answer.status >= 500:
        logger.error("%s: %s", type(error).__name__, answer.message, exc_info=error if answer.status == 500 else None)
    if isinstance(error, ApprovalRequired) and can_wait(call.endpoint):
        return ApprovalNeeded(call, answer.message)
    retry_after = error.retry_after if isinstance(error, TooManyAttempts) else None
    return Refused(answer.status, answer.message, reason=getattr(error, "reason", ""), retry_after=retry_after)
