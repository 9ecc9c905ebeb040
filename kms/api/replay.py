"""Calls that are kept to be carried out later: read by the same endpoints as calls that come in, and answered alike.

Left out is what cannot wait for an approval: what begins or ends sessions, several requests at once, and requests for
approval themselves.
"""

from __future__ import annotations

import msgspec

from accounts.principal import Principal
from kms.api.errors import answer_of
from kms.api.handling import query_of
from kms.api.routes import ENDPOINTS, Match, Router
from kms.api.wire.base import Endpoint, WireCall, WireError
from kms.operations.command import Command
from kms.operations.errors import InvalidRequest
from kms.operations.wire_form import Rendered, WireForm
from kms.secret import SecretBytes

_NOT_LATER = ("/sys/v1/session", "/sys/v1/approval_requests")
_NOTHING = SecretBytes(b"null")


def can_wait(endpoint: Endpoint) -> bool:
    """Whether an approval can be asked for the endpoint's calls at all."""
    several = endpoint.batch or getattr(endpoint.body, "__origin__", None) is list
    return not (endpoint.anonymous or several or endpoint.content_type or endpoint.path.startswith(_NOT_LATER))


WAITING = Router(tuple(endpoint for endpoint in ENDPOINTS if can_wait(endpoint)))
_OTHERS = Router(tuple(endpoint for endpoint in ENDPOINTS if not can_wait(endpoint)))


class Replay:
    """The implementation of ``wire_form.Wire``."""

    def command(self, form: WireForm, principal: Principal) -> Command:
        _, _, query = form.operation.partition("?")
        match = _match(form)
        try:
            body = match.endpoint.decode(form.body.reveal())
            asked = query_of(query) if query else {}
            return match.endpoint.to_command(WireCall(match.parameters, asked, body, None, principal))
        except WireError as error:
            raise InvalidRequest(str(error)) from error

    def result(self, form: WireForm, result: object) -> Rendered:
        endpoint = _match(form).endpoint
        body = endpoint.from_result(result)
        return Rendered(endpoint.status, _NOTHING if body is None else SecretBytes(msgspec.json.encode(body)))

    def error(self, error: Exception) -> Rendered:
        answer = answer_of(error)
        return Rendered(answer.status, SecretBytes(msgspec.json.encode(answer.message)))


def _match(form: WireForm) -> Match:
    path = form.operation.partition("?")[0]
    match = WAITING.match(form.method, path)
    if match is not None:
        return match
    if _OTHERS.match(form.method, path) is not None:
        raise InvalidRequest(
            "Not supported by this server: approvals for sessions, several requests at once, and approvals themselves",
            "not-approvable",
        )
    raise InvalidRequest("operation and method name no call of this server", "route-unknown")
