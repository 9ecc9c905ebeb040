"""A TLS server inside the test process, with the protocol, the event loop and the contexts that the real one has."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from kms.config.protocol import CertificateProtocol
from kms.config.serve import CIPHERS
from kms.config.tls_clients import ClientTrust, client_trust
from tests.kit.certificates import Identity, server_identity


class TlsServer:
    """Serves an ASGI application in a thread until closed. It trusts whom ``trust`` is told."""

    def __init__(self, application: Any, folder: Path) -> None:
        certificate, key = server_identity().files(folder, "server")
        self.ca = certificate
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            application,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            loop="uvloop",
            http=CertificateProtocol,
            interface="asgi3",
            ssl_certfile=certificate,
            ssl_keyfile=key,
            ssl_ciphers=CIPHERS,
            ssl_context_factory=client_trust,
        )
        config.load()
        assert isinstance(config.ssl, ClientTrust)
        self.trust = config.ssl
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)

    @property
    def address(self) -> tuple[str, int]:
        host, port = self._socket.getsockname()
        return str(host), int(port)

    def context(self, identity: Identity | None = None, *, folder: Path | None = None) -> ssl.SSLContext:
        """A client's, which knows the server and shows the identity."""
        context = ssl.create_default_context(cafile=str(self.ca))
        if identity is not None:
            assert folder is not None
            context.load_cert_chain(*identity.files(folder))
        return context

    def client(self, context: ssl.SSLContext) -> httpx.Client:
        host, port = self.address
        return httpx.Client(base_url=f"https://{host}:{port}", verify=context, timeout=30)

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=10)
        self._socket.close()


@contextlib.contextmanager
def serving_tls(application: Any, folder: Path) -> Iterator[TlsServer]:
    server = TlsServer(application, folder)
    try:
        yield server
    finally:
        server.close()
