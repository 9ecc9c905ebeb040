"""What both edges do with a request: authenticate, parse, execute, render. One for threads, one for the event loop.

They share every step but the waiting, and a test compares them route by route.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol
from urllib.parse import parse_qsl
from uuid import UUID

import msgspec

from accounts.certificates import PresentedCertificate
from accounts.errors import NotAuthenticated
from accounts.principal import ANONYMOUS, Principal
from kms.api.authentication import authenticator
from kms.api.errors import CONTENT_TYPE, Answer, answer_of
from kms.api.wire.base import Endpoint, WireCall, WireError
from kms.audit.entry import CallContext
from kms.operations.command import Command
from kms.operations.errors import CredentialStale
from kms.operations.executor import execute, execute_async, off_loop, record_rejection

logger = logging.getLogger(__name__)

JSON = "application/json"
MAX_PARAMETERS = 64
_CREDENTIAL_ATTEMPTS = 3
_encode = msgspec.json.Encoder().encode


class Route(Protocol):
    """What of an endpoint or a stream says who may knock."""

    @property
    def method(self) -> str: ...

    @property
    def path(self) -> str: ...

    @property
    def anonymous(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request before anyone has understood it."""

    path: Mapping[str, str]
    query: str
    body: bytes
    authorization: str | None
    client_ip: str | None
    request_id: UUID
    certificate: PresentedCertificate | None = None

    @property
    def context(self) -> CallContext:
        return CallContext(self.client_ip, self.request_id, self.certificate)


@dataclass(frozen=True, slots=True)
class Outgoing:
    status: int
    body: bytes
    content_type: str = JSON


def handle(endpoint: Endpoint, incoming: Incoming) -> Outgoing:
    """For a thread: may wait for the database, the token and the record."""
    try:
        for _ in range(_CREDENTIAL_ATTEMPTS):
            try:
                principal = _principal(endpoint, incoming)
                command = _command(endpoint, incoming, principal)
                return _rendered(endpoint, execute(principal, command, context=incoming.context))
            except CredentialStale:
                authenticator.forget(incoming.authorization)
        raise CredentialStale
    except Exception as error:
        return failed(error)


async def handle_async(endpoint: Endpoint, incoming: Incoming) -> Outgoing:
    """For the event loop: waits for nothing on a cache hit but the record."""
    try:
        return _rendered(endpoint, await run_async(endpoint, incoming, partial(_command, endpoint, incoming)))
    except Exception as error:
        return failed(error)


async def run_async(route: Route, incoming: Incoming, make: Callable[[Principal], Command]) -> Any:
    """One command's result, for edges that render it themselves. Raises what its ending was."""
    for _ in range(_CREDENTIAL_ATTEMPTS):
        try:
            principal = await authenticate_async(route, incoming)
            return await execute_async(principal, make(principal), context=incoming.context)
        except CredentialStale:
            authenticator.forget(incoming.authorization)
    raise CredentialStale


async def authenticate_async(route: Route, incoming: Incoming) -> Principal:
    principal = authenticator.remembered(incoming.authorization)
    if principal is None or principal is ANONYMOUS:
        principal = await off_loop(_principal, route, incoming)
    return principal


def _principal(endpoint: Route, incoming: Incoming) -> Principal:
    """Who calls, or NotAuthenticated, recorded: a credential that is not recognised never becomes a call.

    It comes before the body is looked at, so that a stranger learns nothing from how one is refused.
    """
    if endpoint.anonymous:
        return ANONYMOUS
    try:
        principal = authenticator.principal(incoming.authorization)
        if principal is ANONYMOUS:
            raise NotAuthenticated("anonymous", "Authentication is required")
    except NotAuthenticated as error:
        record_rejection(error, incoming.context, f"{endpoint.method} {endpoint.path}")
        raise
    return principal


def _command(endpoint: Endpoint, incoming: Incoming, principal: Principal) -> Command:
    body = endpoint.decode(incoming.body)
    query = _query(incoming.query) if incoming.query else {}
    return endpoint.to_command(WireCall(incoming.path, query, body, incoming.authorization, principal))


def _query(text: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=True, max_num_fields=MAX_PARAMETERS)
    except ValueError:
        raise WireError("Invalid request: the query string is malformed") from None
    if "\0" in "".join(part for pair in pairs for part in pair):
        raise WireError("Invalid request: text must not contain NUL characters")
    query: dict[str, str] = {}
    for name, value in pairs:
        if name in query:
            query[name] = f"{query[name]},{value}"
        else:
            query[name] = value
    return query


def _rendered(endpoint: Endpoint, result: Any) -> Outgoing:
    body = endpoint.from_result(result)
    if endpoint.content_type:
        return Outgoing(endpoint.status, body, endpoint.content_type)
    return Outgoing(endpoint.status, b"" if body is None else _encode(body))


def failed(error: Exception) -> Outgoing:
    answer: Answer = answer_of(error)
    if answer.status >= 500:
        logger.error("%s: %s", type(error).__name__, answer.message, exc_info=error if answer.status == 500 else None)
    return Outgoing(answer.status, answer.message.encode(), CONTENT_TYPE)
