"""Keeps the certificate served and the API server's trust in it right: once at the start, and again every minute."""

from __future__ import annotations

import asyncio
import base64
import binascii
import datetime
import logging
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from k8s.logs import event
from k8s.webhook.certificates.issuing import LEAF, LEAF_KEY, Kept, Lifetimes, advanced, bundle
from k8s.webhook.certificates.loading import exchange
from k8s.webhook.config import CertificateSettings, Configuration
from k8s.webhook.kubernetes import Conflict, Kubernetes, KubernetesError

logger = logging.getLogger(__name__)

_TRIES = 5
_UNREADY_SECONDS = 2.0


class Keeper:
    """``context`` is the one that serves. ``why_not``: empty once there is a certificate that API servers trust."""

    def __init__(self, configuration: Configuration, kubernetes: Kubernetes, context: ssl.SSLContext) -> None:
        self._settings, self._kubernetes, self._context = configuration.certificate, kubernetes, context
        self._names = _names(configuration)
        self._loaded: tuple[bytes, bytes] | None = None
        self.why_not = "the certificate is not there yet"

    async def run(self) -> None:
        while True:
            await self.check()
            await asyncio.sleep(
                self._settings.check_seconds if not self.why_not else min(self._settings.check_seconds, 2)
            )

    async def check(self) -> None:
        """What does not work is said and tried again: with the certificate that is loaded we can still serve."""
        source: Callable[[], Awaitable[tuple[bytes, bytes, bytes]]]
        source = self._own if self._settings.mode == "own" else self._given
        try:
            certificate, key, authorities = await source()
            if authorities:
                await self._trusted(authorities)
            if (certificate, key) != self._loaded:
                exchange(self._context, certificate, key)
                self._loaded = certificate, key
                event(logger, logging.INFO, "certificate in use")
            self.why_not = ""
        except (KubernetesError, OSError) as error:  # ssl.SSLError is an OSError
            why = str(error) if isinstance(error, KubernetesError) else f"the certificate: {error.strerror or error}"
            event(logger, logging.WARNING, "certificate not checked", why=why)
            self.why_not = "" if self._loaded else why

    async def _given(self) -> tuple[bytes, bytes, bytes]:
        settings = self._settings
        authorities = Path(settings.ca_file).read_bytes() if settings.ca_file else b""
        return Path(settings.certificate_file).read_bytes(), Path(settings.key_file).read_bytes(), authorities

    async def _own(self) -> tuple[bytes, bytes, bytes]:
        """All replicas keep one Secret. Who writes second reads what the first wrote."""
        for _ in range(_TRIES):
            found = await self._kubernetes.secret(self._settings.secret)
            kept = _decoded(found)
            wanted = advanced(kept, self._names, _lifetimes(self._settings), datetime.datetime.now(datetime.UTC))
            if wanted == kept:
                return kept[LEAF], kept[LEAF_KEY], bundle(kept)
            try:
                await self._kubernetes.write_secret(self._settings.secret, found, _encoded(wanted))
                event(logger, logging.INFO, "certificate issued", secret=self._settings.secret)
            except Conflict:
                continue
        raise KubernetesError(f"the Secret {self._settings.secret} changes faster than it can be written")

    async def _trusted(self, authorities: bytes) -> None:
        if await self._kubernetes.trust(base64.b64encode(authorities).decode()):
            event(logger, logging.INFO, "caBundle set right")


def _names(configuration: Configuration) -> list[str]:
    service, namespace = configuration.kubernetes.service, configuration.kubernetes.namespace
    return [f"{service}.{namespace}.svc", *configuration.certificate.names]


def _lifetimes(settings: CertificateSettings) -> Lifetimes:
    return Lifetimes(
        datetime.timedelta(hours=settings.ca_hours),
        datetime.timedelta(hours=settings.leaf_hours),
        datetime.timedelta(seconds=settings.overlap_seconds),
    )


def _decoded(secret: dict[str, Any] | None) -> Kept:
    try:
        data = (secret or {}).get("data") or {}
        return {name: base64.b64decode(value) for name, value in data.items()}
    except binascii.Error:
        return {}


def _encoded(kept: Kept) -> dict[str, str]:
    return {name: base64.b64encode(value).decode() for name, value in kept.items()}
