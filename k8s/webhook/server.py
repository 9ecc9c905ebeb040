"""The webhook put together: certificate, lookups, two servers in one loop; and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import ssl
from collections.abc import Iterator
from typing import Any

import uvicorn

from k8s.logs import event
from k8s.webhook import __version__
from k8s.webhook.certificates.keeping import Keeper
from k8s.webhook.certificates.loading import server_context
from k8s.webhook.config import Configuration, ImageSettings, host_and_port, injection
from k8s.webhook.images.credentials import RegistryCredentials
from k8s.webhook.images.lookup import ImageLookup, NoLookup
from k8s.webhook.images.registry import Registry
from k8s.webhook.kubernetes import Kubernetes, KubernetesError
from k8s.webhook.metrics import Metrics
from k8s.webhook.serving import Application, telemetry

logger = logging.getLogger(__name__)

_DRAIN_SECONDS = 10
_VERSION_SECONDS = 600.0


class _Server(uvicorn.Server):
    """Signals are ours: two servers end together."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Webhook:
    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._settings = injection(configuration)
        self._context = server_context()
        self._kubernetes = Kubernetes(configuration.kubernetes)
        self._keeper = Keeper(configuration, self._kubernetes, self._context)
        self._registry = _registry(configuration.images)
        self._metrics = Metrics()

    async def serve(self) -> None:
        """Until SIGTERM or SIGINT. Reviews that are under way are finished first."""
        servers = self._servers()
        _on_signals(servers)
        await self._keeper.check()  # a first certificate before the first handshake
        tasks = [asyncio.create_task(each) for each in (self._keeper.run(), self._follow_version())]
        event(logger, logging.INFO, "serving", address=self._configuration.listen.address, version=__version__)
        try:
            await asyncio.gather(*(each.serve() for each in servers))
        finally:
            event(logger, logging.INFO, "stopping")
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._registry.close()
            await self._kubernetes.close()

    def _servers(self) -> list[_Server]:
        listen = self._configuration.listen
        application = Application(lambda: self._settings, self._lookup(), self._metrics, self._why_not_ready)
        servers = [_server(application, listen.address, self._context)]
        if listen.telemetry:
            servers.append(_server(telemetry(self._metrics, self._why_not_ready), listen.telemetry, None))
        return servers

    def _lookup(self) -> ImageLookup | NoLookup:
        images = self._configuration.images
        return ImageLookup(self._registry, images.architecture, images.seconds) if images.lookup else NoLookup()

    def _why_not_ready(self) -> str:
        return self._keeper.why_not

    async def _follow_version(self) -> None:
        """An upgrade of the control plane brings native sidecars without our being started anew."""
        while True:
            try:
                self._settings = injection(self._configuration, await self._kubernetes.version())
                await asyncio.sleep(_VERSION_SECONDS)
            except KubernetesError as error:
                event(logger, logging.WARNING, "version of the cluster unknown", why=str(error))
                await asyncio.sleep(5.0)


def _on_signals(servers: list[_Server]) -> None:
    def end() -> None:
        for server in servers:
            server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end)


def _server(application: Any, address: str, context: ssl.SSLContext | None) -> _Server:
    host, port = host_and_port(address)
    config = uvicorn.Config(
        application,
        host=host,
        port=port,
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_graceful_shutdown=_DRAIN_SECONDS,
        timeout_keep_alive=75,
        ssl_context_factory=(lambda *_: context) if context is not None else None,
    )
    return _Server(config)


def _registry(images: ImageSettings) -> Registry:
    tls = ssl.create_default_context(cafile=images.ca_file or None)
    return Registry(tls, RegistryCredentials(images.credentials_file), images.registries, images.plain, images.seconds)
