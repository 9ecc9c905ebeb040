"""The edge at the ASGI layer: reads every body under one limit, serves lean routes itself and hands the rest to Django.

Streams have no whole body, and so no limit but each frame's: they are read as they come (``streaming``).

Django's middleware, views and ORM cost more than the whole budget of a hot call. The corridor is not bypassed: the same
parsers, the same decision, the same record (tests/api compares both edges route by route).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from kms.api import streaming
from kms.api.asgi import Headers, Message, Receive, Scope, Send, answer, header, incoming
from kms.api.errors import MethodNotAllowed, PayloadTooLarge
from kms.api.handling import failed, handle_async
from kms.api.routes import LEAN
from kms.api.wire.streams import STREAMS

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
        stream = STREAMS.get(scope["path"])
        if stream is not None:
            if scope["method"] == stream.method:
                await streaming.serve(stream, scope, receive, send)
            else:
                await answer(send, failed(MethodNotAllowed()), None)
            return
        try:
            body = await self._read(scope["headers"], receive)
        except PayloadTooLarge as error:
            await answer(send, failed(error), None, close=True)
            return
        if body is None:
            return  # the client went away
        match = LEAN.match(scope["method"], scope["path"])
        if match is None:
            await self._application(scope, _replay(body, receive), send)
            return
        request = incoming(scope, match.parameters, body)
        await answer(send, await handle_async(match.endpoint, request), request.request_id)

    async def _read(self, headers: Headers, receive: Receive) -> bytes | None:
        declared = header(headers, b"content-length")
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
