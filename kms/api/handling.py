"""What both edges do with a request: authenticate, count, parse, execute, render.

One for threads, one for the event loop. They share every step but the waiting, and a test compares them route by route.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol
from urllib.parse import parse_qsl
from uuid import UUID, uuid4

import msgspec

from accounts.certificates import PresentedCertificate
from accounts.errors import NotAuthenticated
from accounts.principal import ANONYMOUS, Principal
from kms.api import rate_limit
from kms.api.authentication import authenticator
from kms.api.errors import CONTENT_TYPE, Answer, answer_of
from kms.api.wire.base import Endpoint, WireCall, WireError
from kms.audit.entry import CallContext
from kms.operations.caches import NotCached
from kms.operations.command import Command
from kms.operations.errors import CredentialStale, TooManyAttempts
from kms.operations.executor import execute, execute_async, off_loop, record_rejection
from kms.operations.presence import UNBOUND, certificate_fits

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
    """A request before anyone has understood it. ``counted``: as part of another (a batch, a stream)."""

    path: Mapping[str, str]
    query: str
    body: bytes
    authorization: str | None
    client_ip: str | None
    request_id: UUID
    certificate: PresentedCertificate | None = None
    counted: bool = False

    @property
    def context(self) -> CallContext:
        return CallContext(self.client_ip, self.request_id, self.certificate)


@dataclass(frozen=True, slots=True)
class Outgoing:
    status: int
    body: bytes
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


def request_id_of(header: str | None) -> UUID:
    """The caller's X-Request-Id, so that its log and our record tell of the same call; ours when it says none.

    Only a UUID in its usual form counts. It names a call and vouches for nothing: entries have ids of their own.
    """
    try:
        given = UUID(header or "")
    except ValueError:
        return uuid4()
    return given if given.int and str(given) == (header or "").lower() else uuid4()


def handle(endpoint: Endpoint, incoming: Incoming) -> Outgoing:
    """For a thread: may wait for the database, the token and the record."""
    try:
        return _rendered(endpoint, carried_out(endpoint, incoming))
    except Exception as error:
        return failed(error)


def carried_out(endpoint: Endpoint, incoming: Incoming) -> Any:
    """The command's result, for edges that render it themselves. Raises what its ending was."""
    try:
        return _patiently(endpoint, incoming)
    except NotAuthenticated as error:
        _count_failed_login(endpoint, incoming, error)
        raise


def _patiently(endpoint: Endpoint, incoming: Incoming) -> Any:
    for _ in range(_CREDENTIAL_ATTEMPTS):
        try:
            principal = _principal(endpoint, incoming)
            command = _command(endpoint, incoming, principal)
            with _doubted(incoming):
                return execute(principal, command, context=incoming.context)
        except CredentialStale:
            authenticator.forget(incoming.authorization)
    raise CredentialStale


async def handle_async(endpoint: Endpoint, incoming: Incoming) -> Outgoing:
    """For the event loop: waits for nothing on a cache hit but the record."""
    try:
        return _rendered(endpoint, await run_async(endpoint, incoming, partial(_command, endpoint, incoming)))
    except Exception as error:
        _count_failed_login(endpoint, incoming, error)
        return failed(error)


async def run_async(
    route: Route, incoming: Incoming, make: Callable[[Principal], Command], *, patient: bool = False
) -> Any:
    """One command's result, for edges that render it themselves. Raises what its ending was.

    ``patient``: who calls too often waits instead of being refused, which slows a stream and does not break it.
    """
    for _ in range(_CREDENTIAL_ATTEMPTS):
        try:
            principal = await authenticate_async(route, incoming, patient=patient)
            command = make(principal)
            with _doubted(incoming):
                return await execute_async(principal, command, context=incoming.context)
        except CredentialStale:
            authenticator.forget(incoming.authorization)
    raise CredentialStale


async def authenticate_async(route: Route, incoming: Incoming, *, patient: bool = False) -> Principal:
    """Who calls, and may call now. On the event loop when all of it is remembered."""
    while True:
        try:
            return await _admitted_async(route, incoming, patient)
        except TooManyAttempts as refused:
            if not patient:
                raise
            await asyncio.sleep(refused.retry_after)


async def _admitted_async(route: Route, incoming: Incoming, patient: bool) -> Principal:
    principal = authenticator.remembered(incoming.authorization)
    if principal is None or principal is ANONYMOUS:
        return await off_loop(_principal, route, incoming, patient=patient)
    try:
        return _admitted(route, incoming, principal, load=False, patient=patient)
    except NotCached:
        return await off_loop(_admitted, route, incoming, principal, load=True, patient=patient)


def _principal(endpoint: Route, incoming: Incoming, *, patient: bool = False) -> Principal:
    """Who calls, or NotAuthenticated, recorded: a credential that is not recognised never becomes a call.

    It comes before the body is looked at, so that a stranger learns nothing from how one is refused.
    """
    if endpoint.anonymous:
        rate_limit.admit_stranger(incoming.context, at_login=True)
        return ANONYMOUS
    try:
        principal = authenticator.principal(incoming.authorization)
        if principal is ANONYMOUS:
            raise NotAuthenticated("anonymous", "Authentication is required")
    except NotAuthenticated as error:
        # A credential that holds is never refused for what others do from the same address.
        rate_limit.admit_stranger(incoming.context, at_login=False)
        _rejected(endpoint, incoming, error)
        raise
    return _admitted(endpoint, incoming, principal, load=True, patient=patient)


def _admitted(endpoint: Route, incoming: Incoming, principal: Principal, *, load: bool, patient: bool) -> Principal:
    """A caller who is known: over the right connection, and not too often."""
    if not certificate_fits(principal, incoming.context):
        if not load:
            raise NotCached  # the refusal is recorded, which waits
        error = NotAuthenticated(UNBOUND.code, UNBOUND.message)
        _rejected(endpoint, incoming, error)
        raise error
    limit = None if incoming.counted else rate_limit.limit_of(principal, load=load)
    if limit is not None:
        rate_limit.admit(principal, incoming.context, limit, record=not patient)
    return principal


@contextmanager
def _doubted(incoming: Incoming) -> Iterator[None]:
    """Whose call ended in 401 is looked up anew the next time, and counted as a stranger then."""
    try:
        yield
    except NotAuthenticated:
        authenticator.forget(incoming.authorization)
        raise


def _rejected(endpoint: Route, incoming: Incoming, error: NotAuthenticated) -> None:
    rate_limit.count_stranger(incoming.context, at_login=False)
    record_rejection(error, incoming.context, f"{endpoint.method} {endpoint.path}")


def _command(endpoint: Endpoint, incoming: Incoming, principal: Principal) -> Command:
    body = endpoint.decode(incoming.body)
    query = query_of(incoming.query) if incoming.query else {}
    command = endpoint.to_command(WireCall(incoming.path, query, body, incoming.authorization, principal))
    if isinstance(body, list) and not incoming.counted:
        rate_limit.owe(principal, len(body) - 1)
    return command


def query_of(text: str) -> dict[str, str]:
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
        headers = (("Cache-Control", endpoint.cache),) if endpoint.cache else ()
        return Outgoing(endpoint.status, body, endpoint.content_type, headers)
    return Outgoing(endpoint.status, b"" if body is None else _encode(body))


def _count_failed_login(endpoint: Endpoint, incoming: Incoming, error: Exception) -> None:
    """A login that fails is a stranger's, as a wrong credential on any other route is."""
    if endpoint.anonymous and isinstance(error, NotAuthenticated):
        rate_limit.count_stranger(incoming.context, at_login=True)


def failed(error: Exception) -> Outgoing:
    answer: Answer = answer_of(error)
    if answer.status >= 500:
        logger.error("%s: %s", type(error).__name__, answer.message, exc_info=error if answer.status == 500 else None)
    headers = (("Retry-After", str(error.retry_after)),) if isinstance(error, TooManyAttempts) else ()
    return Outgoing(answer.status, answer.message.encode(), CONTENT_TYPE, headers)
