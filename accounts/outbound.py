"""Calls to addresses that an administrator of some account may choose: identity providers, key sets, revocation lists.

Such a setting must not reach what only the server can reach (server-side request forgery). So a name is resolved once,
its addresses judged, and the connection made to one of those; nothing is followed, everything is bounded, and no
credential of a caller is ever sent along.
"""

from __future__ import annotations

import http.client
import ipaddress
import re
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from django.conf import settings

from accounts import tls_delivery

MAX_BYTES = 1 << 20
MAX_URL = 2048
MAX_ADDRESSES = 3
# In one process at once, which has four threads more than processors (asyncio's executor).
MOST_TO_ONE, MOST_AT_ONCE, WAIT_SECONDS = 2, 4, 1.0
CONNECT_SECONDS, READ_SECONDS, TOTAL_SECONDS = 3.0, 5.0, 10.0

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_PORTS = {"https": 443, "http": 80, "ldaps": 636, "ldap": 389}
# What the registry has given out as unicast (RFC 4291 §2.4); the rest is local, deprecated or translates to IPv4.
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
_turns, _under_way = threading.Condition(), Counter[str]()
_LOOPBACK = ipaddress.ip_address("127.0.0.1")
_SIX_TO_FOUR = ipaddress.ip_network("2002::/16")
# A host that ends in a number is an IPv4 address to some resolvers: 127.1, 0x7f.1, 2130706433 (WHATWG URL §3.5).
_NUMERIC = re.compile(r"(^|\.)(\d+|0x[0-9a-f]*)\.?$")
_HOST = re.compile(r"[a-z0-9._-]+$")


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
    literal = _LOOPBACK if host.rstrip(".") == "localhost" else _literal(host)
    if literal is not None:
        _judge(host, [literal])


def fetch(
    url: str,
    *,
    method: str = "GET",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    trust: ssl.SSLContext | None = None,
    schemes: tuple[str, ...] = ("https",),
    by_operator: bool = False,
) -> Answer:
    """One request to a judged address. ``trust`` is the TLS context; None trusts the system's authorities.

    No redirect is followed: a 3xx comes back as it is. Where the server's operator chose the address (``by_operator``:
    a variable of the environment), it may be any. Raises OutboundRefused or OutboundFailed.
    """
    host, port = _parts(url, schemes)
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    sent = {"Host": parts.netloc, "User-Agent": "keystead", "Accept-Encoding": "identity", "Connection": "close"}
    found = (_named(host) if by_operator else addresses_of(host))[:MAX_ADDRESSES]
    try:
        with _turn(host), _connected(found, port) as plain, _cut_off(plain) as out_of_time:
            channel = _encrypted(plain, host, trust) if parts.scheme == "https" else plain
            with closing(channel), closing(http.client.HTTPConnection(host, port)) as connection:
                connection.sock = channel
                connection.request(method, target, body=body, headers={**sent, **(headers or {})})
                with closing(connection.getresponse()) as response:
                    content = response.read(MAX_BYTES + 1)
        if out_of_time.is_set():
            raise TimeoutError
    except (http.client.HTTPException, OSError) as error:
        raise OutboundFailed(f"{host} did not answer ({type(error).__name__})") from error
    if len(content) > MAX_BYTES:
        raise OutboundFailed(f"{host} answered with more than {MAX_BYTES} bytes")
    return Answer(response.status, content, {name.lower(): value for name, value in response.getheaders()})


def send(host: str, port: int, data: bytes, *, trust: ssl.SSLContext | None) -> None:
    """Bytes to a judged address, by a protocol that answers nothing; None for ``trust`` is no TLS.

    Returns when the other end has read all of it, which it says by ending its side.
    Raises OutboundRefused or OutboundFailed.
    """
    found = addresses_of(host)[:MAX_ADDRESSES]
    try:
        with _turn(host), _connected(found, port) as plain, _cut_off(plain) as out_of_time:
            if trust is None:
                plain.sendall(data)
                plain.shutdown(socket.SHUT_WR)
                _drain(plain)
            else:
                tls_delivery.deliver(plain, host, data, trust)
        if out_of_time.is_set():
            raise TimeoutError
    except OSError as error:
        raise OutboundFailed(f"{host} did not take it ({type(error).__name__})") from error


def _drain(connected: socket.socket) -> None:
    left = MAX_BYTES
    while left > 0 and (chunk := connected.recv(1 << 16)):
        left -= len(chunk)


def own_name(*, qualified: bool) -> str:
    """How this machine calls itself; ``qualified`` asks for its name in the DNS too."""
    return socket.getfqdn() if qualified else socket.gethostname()


def address_of(host: str) -> Address:
    """The address that a connection to this host may be made to; every address of a name must be allowed."""
    return addresses_of(host)[0]


def addresses_of(host: str) -> list[Address]:
    return _judge(host, _named(host))


def _named(host: str) -> list[Address]:
    literal = _literal(host)
    return [literal] if literal is not None else _resolve(host)


def _judge(host: str, found: list[Address]) -> list[Address]:
    for address in found:
        if not _allowed(host, address):
            raise OutboundRefused(f"{host} is not an address that the server may call (KEYSTEAD_OUTBOUND_ALLOW)")
    return found


@contextmanager
def _turn(host: str) -> Iterator[None]:
    """Whoever answers slowly must not take the threads of everybody else's calls."""
    with _turns:
        if not _turns.wait_for(lambda: _is_free(host), WAIT_SECONDS):
            raise OutboundFailed("The server makes as many calls to others as it does at once; try again")
        _under_way[host] += 1
    try:
        yield
    finally:
        with _turns:
            _under_way[host] -= 1
            if not _under_way[host]:
                del _under_way[host]
            _turns.notify_all()


def _is_free(host: str) -> bool:
    return _under_way[host] < MOST_TO_ONE and _under_way.total() < MOST_AT_ONCE


@contextmanager
def _connected(addresses: list[Address], port: int) -> Iterator[socket.socket]:
    """To an address that was judged, never to a name: a name can mean something else the next time."""
    for address in addresses[:-1]:
        with suppress(OSError):
            connected = socket.create_connection((str(address), port), CONNECT_SECONDS)
            break
    else:
        connected = socket.create_connection((str(addresses[-1]), port), CONNECT_SECONDS)
    with closing(connected):
        connected.settimeout(READ_SECONDS)
        yield connected


def _encrypted(plain: socket.socket, host: str, trust: ssl.SSLContext | None) -> ssl.SSLSocket:
    """The certificate is asked to be for the name, whatever address was judged. An end without TLS's own is none."""
    context = trust or ssl.create_default_context()
    return context.wrap_socket(plain, server_hostname=host, suppress_ragged_eofs=False)


@contextmanager
def _cut_off(connected: socket.socket) -> Iterator[threading.Event]:
    """Ends the conversation from outside when its time is over: who sends a byte now and then never times out."""
    twin, out_of_time = connected.dup(), threading.Event()

    def end() -> None:
        out_of_time.set()
        with suppress(OSError):
            twin.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(TOTAL_SECONDS, end)
    timer.daemon = True
    timer.start()
    try:
        yield out_of_time
    finally:
        timer.cancel()
        timer.join()
        twin.close()


def _parts(url: str, schemes: tuple[str, ...]) -> tuple[str, int]:
    if len(url) > MAX_URL or any(ord(character) <= 32 or ord(character) >= 127 for character in url):
        raise OutboundRefused(f"The address is longer than {MAX_URL}, or holds blanks or characters outside of ASCII")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise OutboundRefused("The address is not a URL") from None
    if parts.scheme not in schemes or not host or "@" in parts.netloc or parts.fragment:
        raise OutboundRefused(f"The address must start with {' or '.join(f'{s}://' for s in schemes)} and name a host")
    if "\\" in url or (_literal(host) is None and (_NUMERIC.search(host) or not _HOST.match(host))):
        raise OutboundRefused("The address must name a host, or an IP address in its usual form")
    return host, port or _PORTS[parts.scheme]


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
    judged = _embedded(address)
    allow = settings.KEYSTEAD.outbound_allow
    if host in allow.hosts or any(judged in network for network in allow.networks):
        return True
    if judged.version == 6 and judged not in _GLOBAL_UNICAST:
        return False
    return judged.is_global and not judged.is_multicast


def _embedded(address: Address) -> Address:
    """The IPv4 address that an IPv6 one leads to (RFC 4291 §2.5.5.2, RFC 3056)."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address.sixtofour if address in _SIX_TO_FOUR and address.sixtofour is not None else address
