"""The server over HTTP, inside the test process: a real uvicorn on loopback, so that tests can look at rows and token.

``client`` is a thin httpx client; ``Edge`` picks whether a lean route is served past Django or through it.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import uvicorn

from kms.api.lean import LeanEdge


class InProcessServer:
    """Serves an ASGI application in a thread until closed; ``tls`` are uvicorn's settings for a certificate."""

    def __init__(self, application: Any, **tls: Any) -> None:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            application,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            proxy_headers=False,  # as the server itself: headers of a caller are no evidence
            **tls,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def port(self) -> int:
        port: int = self._socket.getsockname()[1]
        return port

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=10)
        self._socket.close()


class DjangoOnly(LeanEdge):
    """The lean edge with no lean routes: everything goes through Django."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._application(scope, receive, send)


@contextlib.contextmanager
def serving(application: Any) -> Iterator[httpx.Client]:
    server = InProcessServer(application)
    try:
        with httpx.Client(base_url=server.url, timeout=30) as client:
            yield client
    finally:
        server.close()
