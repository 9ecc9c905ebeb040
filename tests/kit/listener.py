"""A real HTTPS server on loopback, in the test process: it keeps what it is sent, and answers what the test says."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.kit.tls import Authority


@dataclass(frozen=True)
class Received:
    """A call as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Listener:
    """``status`` is what it answers, ``location`` where a redirect leads; ``free`` holds its answers back."""

    url: str
    received: list[Received] = field(default_factory=list)
    status: int = 204
    location: str = ""
    free: threading.Event = field(default_factory=threading.Event)


@contextmanager
def listening(folder: Path, authority: Authority) -> Iterator[Listener]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            listener.received.append(Received(self.command, self.path, headers, body))
            listener.free.wait(10)
            self.send_response(listener.status)
            if listener.location:
                self.send_header("Location", listener.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST

        def log_message(self, *_: object) -> None:
            """Nothing is logged: tests look at what was received."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.server(folder, "127.0.0.1"))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    listener = Listener(f"https://127.0.0.1:{server.server_address[1]}/hook?of=us")
    listener.free.set()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield listener
    finally:
        listener.free.set()
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)
