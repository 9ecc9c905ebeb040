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
from kms.api.routes import ENDPOINTS, LEAN, Router
from kms.api.wire.streams import STREAMS

Application = Callable[[Any, Any, Any], Awaitable[None]]

MAX_OPEN_BODY = 64 * 1024
OPEN = Router(tuple(endpoint for endpoint in ENDPOINTS if endpoint.anonymous))


class LeanEdge:
    """``max_body`` bytes is the longest request body taken; where anybody may come in, it is less.

    ``open_paths`` are those of other edges where anybody may.
    """

    def __init__(self, application: Application, max_body: int, open_paths: frozenset[str] = frozenset()) -> None:
        self._application = application
        self._max_body = max_body
        self._open_paths = open_paths

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
        longest = self._longest(scope["method"], scope["path"])
        try:
            body = await _read(scope["headers"], receive, longest)
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

    def _longest(self, method: str, path: str) -> int:
        """Who may be anybody has little to say: a login, a code."""
        anybody = path in self._open_paths or OPEN.match(method, path) is not None
        return min(self._max_body, MAX_OPEN_BODY) if anybody else self._max_body


async def _read(headers: Headers, receive: Receive, longest: int) -> bytes | None:
    """The whole body; None when the client went away."""
    declared = header(headers, b"content-length")
    if declared is not None and declared.isdigit() and int(declared) > longest:
        raise _too_large(longest)
    message = await receive()
    if message["type"] == "http.disconnect":
        return None
    chunks = [message.get("body", b"")]
    size = len(chunks[0])
    while message.get("more_body", False) and size <= longest:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
    if size > longest:
        raise _too_large(longest)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _too_large(longest: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The request body is larger than {longest} bytes")


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
