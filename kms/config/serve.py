"""The server processes: uvicorn over one listening socket, a parent that only watches, workers that die with it.

The parent opens no token and no database. What the workers do with a request is `asgi`'s affair.
"""

from __future__ import annotations

import ctypes
import errno
import multiprocessing
import os
import shutil
import signal
import socket
import ssl
import sys
import time
from collections.abc import Callable
from pathlib import Path

import uvicorn
from uvicorn.supervisors import Multiprocess

from kms.config.environment import Environment
from kms.config.provision.errors import ProvisionError

APPLICATION = "kms.config.asgi:application"
PROTOCOL = "kms.config.protocol:CertificateProtocol"
BACKLOG = 2048
KEEP_ALIVE_SECONDS = 75  # longer than the pauses of a pooled client, shorter than Go's 90, which then closes first
DRAIN_SECONDS = 20
BIND_SECONDS = 8.0  # a killed parent's workers finish what they have before they let the socket go

# TLS 1.3 suites are not named here and stay as OpenSSL has them; these are what is left of 1.2.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"

_PR_SET_PDEATHSIG = 1


class WorkerConfig(uvicorn.Config):
    """Loaded in the worker only, which is the place to tie the worker to its parent.

    ``metrics``: the socket on which they are read, and the folder in which the workers leave what they have counted.
    """

    metrics: tuple[socket.socket, Path] | None = None

    def load(self) -> None:
        _die_with_parent()
        super().load()
        from django.conf import settings  # after the application has set Django up

        from kms.config import keeper, tls_clients

        if self.metrics is not None:
            from kms.config import metrics

            metrics.start(*self.metrics)
        keeper.start(settings.KEYSTEAD.keeper_seconds)
        if isinstance(self.ssl, tls_clients.ClientTrust):
            tls_clients.start(self.ssl)


class Supervisor(Multiprocess):
    """Uvicorn's parent process, which also looks after what the workers stand on, and gives up on a crash loop."""

    QUICK_DEATHS = 5
    QUICK_SECONDS = 10.0

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket], watch: Callable[[], None]) -> None:
        super().__init__(config, sockets)
        self._watch = watch
        self._deaths: list[float] = []
        self.gave_up = False

    def keep_subprocess_alive(self) -> None:
        if self.should_exit.is_set():
            return
        self._watch()
        before = [process.pid for process in self.processes]
        super().keep_subprocess_alive()
        now = time.monotonic()
        if [process.pid for process in self.processes] != before:
            self._deaths = [*(death for death in self._deaths if now - death < self.QUICK_SECONDS), now]
        if self.should_exit.is_set():  # uvicorn's own judgement: a worker failed before it served
            self.gave_up = True
        elif len(self._deaths) >= self.QUICK_DEATHS:
            self.gave_up = True
            self.should_exit.set()


def bind(environment: Environment, say: Callable[[str], None]) -> socket.socket:
    """The socket, bound but not listening: whoever knocks before the server is ready is refused at once."""
    listen = environment.listen
    return _bound(listen.host, listen.port, listen.url, "KEYSTEAD_LISTEN", say)


def bind_metrics(environment: Environment, say: Callable[[str], None]) -> socket.socket | None:
    if environment.metrics_listen is None:
        return None
    host, port = environment.metrics_listen
    return _bound(host, port, f"{host}:{port}", "KEYSTEAD_METRICS_LISTEN", say)


def _bound(host: str, port: int, shown: str, variable: str, say: Callable[[str], None]) -> socket.socket:
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    deadline: float | None = None
    while True:
        opened = socket.socket(family, kind)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            opened.bind(address)
        except OSError as error:
            opened.close()
            if error.errno == errno.EADDRINUSE and deadline is None:
                say(f"Waiting {BIND_SECONDS:.0f} s for {shown}: another process still has it.")
                deadline = time.monotonic() + BIND_SECONDS
            if error.errno == errno.EADDRINUSE and deadline is not None and time.monotonic() < deadline:
                time.sleep(0.25)
                continue
            raise ProvisionError(
                f"{shown} cannot be listened on: {os.strerror(error.errno or 0)}.",
                f"Stop what is there, or choose another address in {variable}.",
            ) from error
        opened.set_inheritable(True)
        return opened


def serve(
    environment: Environment,
    opened: socket.socket,
    *,
    watch: Callable[[], None],
    metrics: socket.socket | None = None,
) -> int:
    """Serve on a listening socket until SIGINT or SIGTERM; returns the exit status. ``metrics`` is bound already."""
    listen = environment.listen
    config = WorkerConfig(
        APPLICATION,
        host=listen.host,
        port=listen.port,
        workers=environment.workers,
        loop="uvloop",
        http=PROTOCOL,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,  # kms.config.settings configures logging
        access_log=False,  # the record of calls is the audit log
        server_header=False,
        proxy_headers=False,  # a client's word about its own address is not evidence
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        ssl_certfile=environment.tls_cert if listen.tls else None,
        ssl_keyfile=environment.tls_key if listen.tls else None,
        ssl_ciphers=CIPHERS if listen.tls else None,
        ssl_context_factory=_asking if listen.tls and environment.client_certificates == "request" else None,
    )
    supervisor = Supervisor(config, [opened], watch)
    if metrics is not None:
        metrics.listen(BACKLOG)
        config.metrics = metrics, _emptied(environment.data / "metrics")
    supervisor.run()
    opened.close()
    return 1 if supervisor.gave_up else 0


def _emptied(folder: Path) -> Path:
    """What the workers of a server that is gone have counted is no part of ours."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    return folder


def _asking(config: object, make: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """The server's context that asks clients for certificates. Made in the worker, like all that needs Django."""
    import kms.config.asgi  # noqa: F401 - uvicorn makes its context before it loads the application
    from kms.config import tls_clients

    return tls_clients.client_trust(config, make)


def _die_with_parent() -> None:
    """Have the kernel send SIGTERM when the parent is gone, even by SIGKILL: no worker serves unwatched. Linux only."""
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    parent = multiprocessing.parent_process()
    if parent is not None and os.getppid() != parent.pid:  # it went before the line above
        sys.exit("the parent process is gone")
