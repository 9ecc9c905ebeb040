"""Metrics and health over HTTP on loopback: `/metrics`, `/livez`, `/readyz`. It must not know the key or gRPC."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET, AF_INET6
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

_TEXT = "text/plain; charset=utf-8"


class TelemetryServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], registry: CollectorRegistry, why_not_ready: Callable[[], str]) -> None:
        self.address_family = AF_INET6 if ":" in address[0] else AF_INET
        self.registry, self.why_not_ready = registry, why_not_ready
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: TelemetryServer
    timeout = 10

    def do_GET(self) -> None:
        match self.path:
            case "/metrics":
                self._say(200, CONTENT_TYPE_LATEST, generate_latest(self.server.registry))
            case "/livez":
                self._say(200, _TEXT, b"ok\n")
            case "/readyz":
                why_not = self.server.why_not_ready()
                self._say(503 if why_not else 200, _TEXT, f"{why_not or 'ok'}\n".encode())
            case _:
                self._say(404, _TEXT, b"/metrics, /livez or /readyz\n")

    def _say(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """A probe every few seconds is no news."""


@contextmanager
def serving(address: tuple[str, int], registry: CollectorRegistry, why_not_ready: Callable[[], str]) -> Iterator[None]:
    server = TelemetryServer(address, registry, why_not_ready)
    thread = threading.Thread(target=server.serve_forever, name="telemetry", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
