"""The plugin put together: client, key, gRPC server, socket, telemetry; and how it ends."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import grpc

from k8s.client import Client
from k8s.client.keys import Keys
from k8s.kmsplugin import __version__, telemetry
from k8s.kmsplugin.answering import Answering
from k8s.kmsplugin.config import Configuration, telemetry_address
from k8s.kmsplugin.master_key import MasterKey
from k8s.kmsplugin.metrics import Metrics
from k8s.kmsplugin.readiness import Readiness
from k8s.kmsplugin.services import Version1, Version2
from k8s.kmsplugin.unix_socket import claimed, only_for_us
from k8s.logs import event

logger = logging.getLogger(__name__)

THREADS = 16
MAX_MESSAGE = 64 * 1024  # annotations may take 32 kB
DRAIN_SECONDS = 5.0


def serve(configuration: Configuration, stop: threading.Event) -> None:
    """Until ``stop``. Calls that are under way are finished first, and the socket is taken away last."""
    listen = configuration.listen
    with serving(configuration):
        event(logger, logging.INFO, "serving", socket=listen.socket, v1=listen.v1, version=__version__)
        stop.wait()
        event(logger, logging.INFO, "stopping")


@contextmanager
def serving(configuration: Configuration) -> Iterator[None]:
    metrics, deadline = Metrics(), configuration.server.deadline_seconds
    client = Client(configuration.server, configuration.credential)
    key = MasterKey(Keys(client), configuration.key.name, configuration.key.cluster)
    answering = Answering(deadline, metrics)
    handlers = [Version2(key, answering, metrics).handler()]
    if configuration.listen.v1:
        handlers.append(Version1(key, answering).handler())
    readiness = Readiness(key.proven, deadline)
    try:
        with _grpc(Path(configuration.listen.socket), handlers), _telemetry(configuration, metrics, readiness):
            yield
    finally:
        client.close()


@contextmanager
def _grpc(path: Path, handlers: list[grpc.GenericRpcHandler]) -> Iterator[None]:
    with claimed(path):
        pool = ThreadPoolExecutor(THREADS, thread_name_prefix="kms")
        server = grpc.server(pool, handlers=handlers, options=[("grpc.max_receive_message_length", MAX_MESSAGE)])
        with only_for_us():
            server.add_insecure_port(f"unix:{path}")
        server.start()
        try:
            yield
        finally:
            server.stop(DRAIN_SECONDS).wait()
            pool.shutdown()


def _telemetry(configuration: Configuration, metrics: Metrics, readiness: Readiness) -> AbstractContextManager[None]:
    if not configuration.listen.telemetry:
        return nullcontext()
    return telemetry.serving(telemetry_address(configuration.listen.telemetry), metrics.registry, readiness.why_not)
