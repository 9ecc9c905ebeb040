"""Calls to addresses that an administrator of some account may choose: identity providers, key sets, revocation lists.

Such a setting must not reach what only the server can reach (server-side request forgery). So a name is resolved once,
its address judged, and the connection made to that address; nothing is followed, everything is bounded, and no
credential of a caller is ever sent along.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import urllib3
from django.conf import settings

MAX_BYTES = 1 << 20
CONNECT_SECONDS, READ_SECONDS = 3.0, 5.0

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class OutboundRefused(Exception):
    """The address is not one that a setting may make the server call. The message is for the administrator."""


class OutboundFailed(Exception):
    """The address did not answer, or not in bounds. The message names no content of the answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def check_url(url: str, *, schemes: tuple[str, ...] = ("https",)) -> None:
    """Refuse at once what would never be called, so that a setting is not saved with it."""
    host, _ = _parts(url, schemes)
    if _literal(host) is not None:
        address_of(host)


def fetch(
    url: str,
    *,
    method: str = "GET",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    trust: ssl.SSLContext | None = None,
    schemes: tuple[str, ...] = ("https",),
) -> Answer:
    """One request to a judged address. ``trust`` is the TLS context; None trusts the system's authorities.

    No redirect is followed: a 3xx comes back as it is. Raises OutboundRefused or OutboundFailed.
    """
    host, port = _parts(url, schemes)
    address = address_of(host)
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    sent = {"Host": parts.netloc, "User-Agent": "keystead", "Accept-Encoding": "identity", **(headers or {})}
    try:
        with _pool(parts.scheme, host, str(address), port, trust) as pool:
            response = pool.request(method, target, body=body, headers=sent, preload_content=False, redirect=False)
            content = response.read(MAX_BYTES + 1, decode_content=False)
            response.close()
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise OutboundFailed(f"{host} did not answer ({type(error).__name__})") from error
    if len(content) > MAX_BYTES:
        raise OutboundFailed(f"{host} answered with more than {MAX_BYTES} bytes")
    return Answer(response.status, content, {name.lower(): value for name, value in response.headers.items()})


def address_of(host: str) -> Address:
    """The address that a connection to this host may be made to; every address of a name must be allowed."""
    literal = _literal(host)
    found = [literal] if literal is not None else _resolve(host)
    for address in found:
        if not _allowed(host, address):
            raise OutboundRefused(f"{host} is not an address that the server may call (KEYSTEAD_OUTBOUND_ALLOW)")
    return found[0]


def _pool(scheme: str, host: str, address: str, port: int, trust: ssl.SSLContext | None) -> urllib3.HTTPConnectionPool:
    """Connected to the address that was judged, while TLS is asked for the name: a name cannot change in between."""
    timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS)
    if scheme == "http":
        return urllib3.HTTPConnectionPool(address, port, timeout=timeout, retries=False, maxsize=1)
    return urllib3.HTTPSConnectionPool(
        address,
        port,
        timeout=timeout,
        retries=False,
        maxsize=1,
        ssl_context=trust or ssl.create_default_context(),
        server_hostname=host,
        assert_hostname=host,
    )


def _parts(url: str, schemes: tuple[str, ...]) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise OutboundRefused("The address is not a URL") from None
    if parts.scheme not in schemes or not host or parts.username is not None or parts.fragment:
        raise OutboundRefused(f"The address must start with {' or '.join(f'{s}://' for s in schemes)} and name a host")
    if any(ord(character) <= 32 or ord(character) == 127 for character in url):
        raise OutboundRefused("The address holds blanks or control characters")
    return host, port or {"https": 443, "http": 80, "ldaps": 636, "ldap": 389}[parts.scheme]


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _resolve(host: str) -> list[Address]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise OutboundFailed(f"{host} has no address") from None
    return [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]


def _allowed(host: str, address: Address) -> bool:
    """Public addresses, and what the operator of the server allowed. IPv4 in IPv6 is judged as IPv4."""
    mapped = getattr(address, "ipv4_mapped", None)
    judged = address if mapped is None else mapped
    allow = settings.KEYSTEAD.outbound_allow
    if host in allow.hosts or any(judged in network for network in allow.networks):
        return True
    return judged.is_global and not judged.is_multicast
