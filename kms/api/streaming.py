"""Streams: frames are read, carried out and answered one after another, in a few megabytes however long the stream is.

Each step is a command of its own (``operations.multipart``), decided and recorded before its output leaves: a right
that is taken away ends the stream at its next frame, and the record tells how far it came. The state stays here. Each
counts towards its app's limit, and waits where a call alone would be refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from dataclasses import replace
from typing import Any, TypeVar

from kms.api.asgi import Message, Receive, Scope, Send, answer, answer_headers, incoming
from kms.api.handling import Incoming, authenticate_async, failed, run_async
from kms.api.wire.base import WireError
from kms.api.wire.streams import CONTENT_TYPE, Frame, Stream, error_frame, frame_length
from kms.operations.command import Command
from kms.operations.multipart import Begun, Finished, Part

# How long one side may keep the other waiting.
STALL_SECONDS = 60.0
# Data frames that have arrived together are carried out, and recorded, together, up to about this much.
MAX_STEP = 1024 * 1024

T = TypeVar("T")


class Stalled(Exception):
    """The client neither sends nor reads."""


class Gone(Exception):
    """The client has hung up."""


class Frames:
    """The request's frames. Never more than one frame and what arrived with it is held."""

    def __init__(self, stream: Stream, receive: Receive) -> None:
        self._stream, self._receive = stream, receive
        self._buffer, self._ended = bytearray(), False

    async def next(self) -> Frame:
        """The next frame, or WireError: the stream is to end with ``final``, which the caller does not read past."""
        while True:
            length = frame_length(self._buffer)
            if length is not None:
                return self._taken(length)
            if self._ended:
                raise WireError("Invalid request: the stream ended before its final frame")
            await self._more()

    def arrived(self) -> Frame | None:
        """The next frame if it is here already; it stays, so ``take`` it."""
        length = frame_length(self._buffer)
        return None if length is None else self._stream.frame(bytes(self._buffer[:length]))

    def take(self) -> None:
        length = frame_length(self._buffer)
        assert length is not None
        del self._buffer[:length]

    def _taken(self, length: int) -> Frame:
        encoded = bytes(self._buffer[:length])
        del self._buffer[:length]
        return self._stream.frame(encoded)

    async def _more(self) -> None:
        message: Message = await _in_time(self._receive())
        if message["type"] == "http.disconnect":
            raise Gone
        self._buffer += message.get("body", b"")
        self._ended = not message.get("more_body", False)


async def serve(stream: Stream, scope: Scope, receive: Receive, send: Send) -> None:
    """One request. What goes wrong before the first answer is an answer as of any route, later it is an error frame."""
    request, frames = incoming(scope, {}, b""), Frames(stream, receive)
    try:
        await authenticate_async(stream, request)
        first = await frames.next()
        begun: Begun = await _run(stream, replace(request, counted=True), stream.begin(first))
    except Gone:
        return
    except Exception as error:
        # Without closing: who is still sending would lose the answer. The server throws away what comes.
        await answer(send, failed(_said(error)), request.request_id)
        return
    headers = answer_headers(CONTENT_TYPE, request.request_id)
    try:
        await _in_time(send({"type": "http.response.start", "status": 200, "headers": headers}))
        await _write(send, stream.begun(begun))
        async with aclosing(_answers(stream, request, frames, first, begun.state)) as answers:
            async for encoded in answers:
                await _write(send, encoded)
        await _in_time(send({"type": "http.response.body", "body": b""}))
    except (Gone, Stalled):
        return  # uvicorn cuts a connection whose answer was not completed


async def _answers(
    stream: Stream, request: Incoming, frames: Frames, first: Frame, state: bytes
) -> AsyncGenerator[bytes, None]:
    """Everything behind ``init``. It ends with ``final`` or with ``error``."""
    try:
        answered = False
        while True:
            frame = await frames.next()
            if frame.final is not None:
                break
            aad, data = frame.ad, stream.data(frame)
            if aad is None and data is None:
                raise stream.unexpected(frame)
            if data is not None:
                data = _joined(stream, frames, data)
            part: Part = await _run(stream, request, stream.go_on(first, state, data=data or b"", aad=aad or b""))
            state = part.state
            if part.output:
                answered = True
                yield stream.part(part.output)
        finished: Finished = await _run(stream, request, stream.end(first, state, frame))
        if finished.output or not answered:
            yield stream.part(finished.output)
        yield stream.ended(finished)
    except Gone:
        raise
    except Exception as error:
        outgoing = failed(_said(error))
        yield error_frame(outgoing.status, outgoing.body.decode())


def _joined(stream: Stream, frames: Frames, data: bytes) -> bytes:
    """With the data of the frames that have arrived as well."""
    pieces, size = [data], len(data)
    while size < MAX_STEP:
        more = frames.arrived()
        found = None if more is None else stream.data(more)
        if found is None:
            break
        frames.take()
        pieces.append(found)
        size += len(found)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


async def _run(stream: Stream, request: Incoming, command: Command) -> Any:
    return await run_async(stream, request, lambda _principal: command, patient=True)


async def _write(send: Send, encoded: bytes) -> None:
    await _in_time(send({"type": "http.response.body", "body": encoded, "more_body": True}))


async def _in_time(waiting: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(STALL_SECONDS):
            return await waiting
    except TimeoutError:
        raise Stalled from None


def _said(error: Exception) -> Exception:
    if isinstance(error, Stalled):
        return WireError(f"The stream stood still for {STALL_SECONDS:.0f} seconds")
    return error
