"""Which hosts the webhook may ask. A pod's author names the registry, so this is where forged requests would begin."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Collection
from fnmatch import fnmatchcase

import httpcore

from k8s.webhook.images.image import ImageUnknown


def permitted(host: str, allowed: Collection[str]) -> bool:
    """``allowed`` are hosts with their port, or patterns such as `*.example.org`; empty: any."""
    return not allowed or any(fnmatchcase(host.lower(), each.lower()) for each in allowed)


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connects to addresses that others have too: neither this machine's own nor link-local ones, as of a cloud's
    metadata. It looks a name up once and connects to what it found, so that no second answer can differ.

    ``exempt``: hosts that the operator lists, and that may lie anywhere.
    """

    def __init__(self, inner: httpcore.AsyncNetworkBackend, exempt: Collection[str]) -> None:
        self._inner, self._exempt = inner, {each.lower() for each in exempt}

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: object = None,
    ) -> httpcore.AsyncNetworkStream:
        if not self._exempt & {host.lower(), f"{host.lower()}:{port}"}:
            host = await _public_address(host, port)
        return await self._inner.connect_tcp(host, port, timeout, local_address)

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


async def _public_address(host: str, port: int) -> str:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise ImageUnknown(f"its registry's name {host} is not known", passing=True) from None
    for *_, address in found:
        if _own(ipaddress.ip_address(str(address[0]).partition("%")[0])):
            raise ImageUnknown(f"its registry {host} has an address that the webhook does not ask")
    return str(found[0][-1][0])


def _own(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return (
        address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast
    ) or address.is_reserved
