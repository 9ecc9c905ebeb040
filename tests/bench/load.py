"""A load generator: N keep-alive connections, one request in flight on each, raw bytes, as little CPU as Python allows.

Run as a process of its own (``python -m tests.bench.load``) with a JSON job on standard input; prints a JSON result.
Sends to loopback only.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
from dataclasses import asdict, dataclass, field
from functools import partial
from urllib.parse import urlsplit

import uvloop


@dataclass(frozen=True)
class Job:
    """``seconds`` of load after ``warm_up`` seconds that do not count."""

    url: str
    authorization: str
    body: str
    connections: int
    seconds: float
    warm_up: float = 1.0
    ca_file: str | None = None


@dataclass
class Result:
    requests: int = 0
    errors: int = 0
    elapsed: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    first_error: str = ""
    latencies: list[float] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        return self.requests / self.elapsed if self.elapsed else 0.0


class Connection(asyncio.Protocol):
    """Sends the same request again as soon as its answer is whole."""

    def __init__(self, request: bytes, result: Result, window: tuple[float, float], done: asyncio.Event) -> None:
        self._request, self._result, self._window, self._done = request, result, window, done
        self._buffer = b""
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._sent = time.perf_counter()
        if self._sent >= self._window[1]:
            self._transport.close()
            self._done.set()
            return
        self._transport.write(self._request)  # type: ignore[attr-defined]  # asyncio gives a WriteTransport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        start = head.lower().find(b"content-length:")
        length = int(head[start + 15 :].split(b"\r\n", 1)[0]) if start >= 0 else 0
        if len(rest) < length:
            return
        self._buffer = b""
        self._count(head, rest)
        self._send()

    def _count(self, head: bytes, body: bytes) -> None:
        if self._sent < self._window[0]:
            return
        self._result.requests += 1
        self._result.latencies.append(time.perf_counter() - self._sent)
        if not head.startswith(b"HTTP/1.1 2"):
            self._result.errors += 1
            self._result.first_error = self._result.first_error or (head[:40] + b" " + body[:120]).decode(
                errors="replace"
            )

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.is_set():
            self._result.errors += 1
            self._result.first_error = self._result.first_error or f"connection lost: {exc}"
            self._done.set()


async def run(job: Job) -> Result:
    parts = urlsplit(job.url)
    if parts.hostname not in ("127.0.0.1", "::1", "localhost"):
        raise ValueError("loopback only")
    body = job.body.encode()
    request = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: {job.authorization}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    context = ssl.create_default_context(cafile=job.ca_file) if parts.scheme == "https" else None
    loop, result = asyncio.get_running_loop(), Result()
    start = time.perf_counter() + job.warm_up
    window = (start, start + job.seconds)
    events = [asyncio.Event() for _ in range(job.connections)]
    for event in events:
        factory = partial(Connection, request, result, window, event)
        await loop.create_connection(factory, parts.hostname, parts.port or 443, ssl=context)
    await asyncio.gather(*(event.wait() for event in events))
    result.elapsed = job.seconds
    result.latencies.sort()
    if result.latencies:
        result.p50_ms = result.latencies[len(result.latencies) // 2] * 1000
        result.p99_ms = result.latencies[int(len(result.latencies) * 0.99)] * 1000
    return result


def main() -> None:
    job = Job(**json.load(sys.stdin))
    result = uvloop.run(run(job))
    result.latencies = []
    json.dump({**asdict(result), "per_second": result.per_second}, sys.stdout)


if __name__ == "__main__":
    main()
