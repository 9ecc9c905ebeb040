"""An issuer's key set at an address: a real HTTPS server on loopback whose keys a test exchanges while it runs."""

from __future__ import annotations

import json
import ssl
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509

from tests.kit.certificates import SERVER, authority, leaf


@dataclass
class KeyServer:
    """``answer`` is what it says; None is silence (it hangs up)."""

    folder: Path
    answer: Any = field(default_factory=lambda: {"keys": []})
    asked: list[dict[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        root = authority()
        self.ca = self.folder / "ca.pem"
        self.ca.write_bytes(root.pem)
        names = [x509.IPAddress(ip_address("127.0.0.1"))]
        certificate, key = leaf("keys", root, usages=(SERVER,), names=names).files(self.folder, "keys")
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._server.server_address[1]}/openid/v1/jwks"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.asked.append({name.lower(): value for name, value in self.headers.items()})
                if owner.answer is None:
                    self.close_connection = True
                    return
                body = json.dumps(owner.answer).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler
