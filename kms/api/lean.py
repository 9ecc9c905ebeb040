"""The edge at the ASGI layer: reads every body under one limit, serves lean routes itself and hands the rest to Django.

Django's middleware, views and ORM cost more than the whole budget of a hot call. The corridor is not bypassed: the same
parsers, the same decision, the same record (tests/api compares both edges route by route).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from uuid import uuid4

from kms.api.errors import PayloadTooLarge
from kms.api.handling import Incoming, Outgoing, failed, handle_async
from kms.api.routes import LEAN

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Any, Any, Any], Awaitable[None]]


class LeanEdge:
    """``max_body`` bytes is the longest request body taken."""

    def __init__(self, application: Application, max_body: int) -> None:
        self._application = application
        self._max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        headers = scope["headers"]
        try:
            body = await self._read(headers, receive)
        except PayloadTooLarge as error:
            await _send(send, failed(error), None, close=True)
            return
        if body is None:
            return  # the client went away
        match = LEAN.match(scope["method"], scope["path"])
        if match is None:
            await self._application(scope, _replay(body, receive), send)
            return
        client = scope.get("client")
        incoming = Incoming(
            path=match.parameters,
            query=scope["query_string"].decode("latin-1"),
            body=body,
            authorization=_header(headers, b"authorization"),
            client_ip=client[0] if client else None,
            request_id=uuid4(),
        )
        await _send(send, await handle_async(match.endpoint, incoming), incoming)

    async def _read(self, headers: list[tuple[bytes, bytes]], receive: Receive) -> bytes | None:
        declared = _header(headers, b"content-length")
        if declared is not None and declared.isdigit() and int(declared) > self._max_body:
            raise PayloadTooLarge(self._too_large)
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body: bytes = message.get("body", b"")
        if not message.get("more_body", False):
            return self._limited(body)
        chunks, size = [body], len(body)
        while message.get("more_body", False):
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > self._max_body:
                raise PayloadTooLarge(self._too_large)
        return self._limited(b"".join(chunks))

    def _limited(self, body: bytes) -> bytes:
        if len(body) > self._max_body:
            raise PayloadTooLarge(self._too_large)
        return body

    @property
    def _too_large(self) -> str:
        return f"The request body is larger than {self._max_body} bytes"


def _header(headers: list[tuple[bytes, bytes]], name: bytes) -> str | None:
    for key, value in headers:
        if key == name:
            return value.decode("latin-1")
    return None


def _replay(body: bytes, receive: Receive) -> Receive:
    """The body again for Django, then whatever comes (a disconnect)."""
    sent = False

    async def replay() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


async def _send(send: Send, outgoing: Outgoing, incoming: Incoming | None, *, close: bool = False) -> None:
    headers = [
        (b"content-type", outgoing.content_type.encode()),
        (b"content-length", str(len(outgoing.body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ]
    if incoming is not None:
        headers.append((b"x-request-id", str(incoming.request_id).encode()))
    if outgoing.status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="keystead"'))
    if close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": outgoing.status, "headers": headers})
    await send({"type": "http.response.body", "body": outgoing.body})
