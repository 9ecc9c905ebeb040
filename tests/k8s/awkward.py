"""A server over TLS that does whatever a test wants of it, for what a real one does only on a bad day."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509

from tests.kit.certificates import SERVER, Identity, leaf

Behaviour = Callable[[BaseHTTPRequestHandler], None]


def says(status: int, body: Any = None, **headers: str) -> Behaviour:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    def behave(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    return behave


def hangs(request: BaseHTTPRequestHandler) -> None:
    """Until the test is over."""
    request.server.over.wait(20)  # type: ignore[attr-defined]  # AwkwardServer's


def drips(request: BaseHTTPRequestHandler) -> None:
    """A byte now and then: never silent for long, and never done."""
    request.send_response(200)
    request.send_header("Content-Length", "1000")
    request.end_headers()
    while not request.server.over.is_set():  # type: ignore[attr-defined]  # AwkwardServer's
        request.wfile.write(b" ")
        time.sleep(0.05)


def breaks_off(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Content-Length", "1000")
    request.end_headers()
    request.wfile.write(b'{"half":')
    request.close_connection = True


LOGINS = "/sys/v1/session/auth"
LOGIN = says(200, {"access_token": "token", "expires_in": 3600, "token_type": "Bearer", "entity_id": ""})


class AwkwardServer(ThreadingHTTPServer):
    """``behaviour`` is how it answers calls, ``login`` how it answers logins; ``dates`` are of its certificate.

    ``asked`` is what came.
    """

    daemon_threads = True

    def __init__(
        self, folder: Path, root: Identity, behaviour: Behaviour, login: Behaviour = LOGIN, **dates: Any
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        names = [x509.IPAddress(ip_address("127.0.0.1"))]
        self.identity = leaf("awkward", root, usages=(SERVER,), names=names, **dates)
        certificate, key = self.identity.files(folder, f"awkward-{self.server_address[1]}")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.behaviour, self.login = behaviour, login
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.bodies: list[bytes] = []
        self.over = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.server_address[1]}"

    @property
    def calls(self) -> list[str]:
        return [path for path, _ in self.asked if not path.startswith(LOGINS)]

    @property
    def logins(self) -> int:
        return len(self.asked) - len(self.calls)

    def close(self) -> None:
        self.over.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, *_: Any) -> None:
        """Clients that hang up are what this is for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: AwkwardServer

    def do_POST(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        self.server.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        at_login = self.path.startswith(LOGINS)
        (self.server.login if at_login else self.server.behaviour)(self)

    def log_message(self, *_: Any) -> None:
        pass
