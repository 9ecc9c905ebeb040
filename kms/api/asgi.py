"""ASGI's messages in our words: a request's outside facts, an answer in one piece. It must not know routes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from uuid import UUID

from kms.api.handling import Incoming, Outgoing, request_id_of
from kms.api.proxy import peer_of

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]


def header(headers: Headers, name: bytes) -> str | None:
    """A header's lines as one (RFC 9110 §5.3). Two credentials make one that is nobody's; Django does the same."""
    lines = [value.decode("latin-1") for key, value in headers if key == name]
    return ",".join(lines) if lines else None


def incoming(scope: Scope, parameters: Mapping[str, str], body: bytes) -> Incoming:
    peer = peer_of(scope)
    return Incoming(
        path=parameters,
        query=scope["query_string"].decode("latin-1"),
        body=body,
        authorization=header(scope["headers"], b"authorization"),
        client_ip=peer.client_ip,
        request_id=request_id_of(header(scope["headers"], b"x-request-id")),
        certificate=peer.certificate,
    )


def answer_headers(content_type: str, request_id: UUID | None) -> Headers:
    headers = [
        (b"content-type", content_type.encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ]
    if request_id is not None:
        headers.append((b"x-request-id", str(request_id).encode()))
    return headers


async def answer(send: Send, outgoing: Outgoing, request_id: UUID | None, *, close: bool = False) -> None:
    """The whole answer. ``close`` when the request was not read to its end."""
    headers = answer_headers(outgoing.content_type, request_id)
    headers.append((b"content-length", str(len(outgoing.body)).encode()))
    if outgoing.status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="keystead"'))
    headers.extend((name.lower().encode(), value.encode()) for name, value in outgoing.headers)
    if close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": outgoing.status, "headers": headers})
    await send({"type": "http.response.body", "body": outgoing.body})
