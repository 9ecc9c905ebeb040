"""One conversation with a directory (LDAP, RFC 4511): to a judged address, over TLS, bounded in time and bytes.

OpenLDAP's library speaks the protocol over a pair of sockets; what is at the other end of it is here. So the address
that was judged is the one that is called, TLS has the name and the rules of the house, and a directory of a stranger
cannot hold a thread or fill the memory. It must not know people, groups, rows or rights.
"""

from __future__ import annotations

import importlib
import os
import select
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from accounts import outbound
from accounts.outbound import OutboundFailed, OutboundRefused
from accounts.sso.kind import ProviderFailed, SettingInvalid

CONNECT_SECONDS, CALL_SECONDS, CONVERSATION_SECONDS = 3.0, 5.0, 10.0
MAX_BYTES = 8 << 20
MOST_AT_ONE_DIRECTORY, MOST_AT_ONCE = 2, 4
_CHUNK = 1 << 16

# The whole message: id 1, an extended request with StartTLS's name (RFC 4511 §4.14.1).
_START_TLS = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x16" + b"1.3.6.1.4.1.1466.20037"
_ANSWERED = b"\x02\x01\x01\x78"  # message id 1, an extended response


@dataclass(frozen=True, slots=True)
class Endpoint:
    """``trust`` is None without TLS. ``implicit`` TLS begins with the connection (ldaps), else StartTLS asks for it.

    ``optional`` goes on in clear when the directory has no TLS.
    """

    host: str
    port: int
    trust: ssl.SSLContext | None
    implicit: bool = False
    optional: bool = False


class NotInstalled(SettingInvalid):
    """The library is built apart, so that a server without directories needs no compiler."""

    def __init__(self) -> None:
        super().__init__("LDAP sign-on is not installed on this server (make ldap)")


def library() -> Any:
    """python-ldap, which has no types."""
    try:
        importlib.import_module("ldap.dn")
        importlib.import_module("ldap.filter")
        return importlib.import_module("ldap")
    except ImportError:
        raise NotInstalled from None


@contextmanager
def conversation(endpoint: Endpoint) -> Iterator[Any]:
    """python-ldap's connection. What fails on the way is ProviderFailed; what the directory refuses is raised as it is.

    The settings' own mistakes (an address that may not be called) are SettingInvalid.
    """
    ldap = library()
    with _place(endpoint.host):
        deadline = time.monotonic() + CONVERSATION_SECONDS
        outer = _connected(endpoint)
        inner, ours = socket.socketpair()
        pump = threading.Thread(target=_pump, args=(outer, inner, deadline), name="ldap", daemon=True)
        pump.start()
        try:
            connection = ldap.initialize("ldap://directory", fileno=ours.fileno())
            ours.detach()  # the library closes it
            try:
                for option, value in _options(ldap):
                    connection.set_option(option, value)
                yield connection
            except (ldap.SERVER_DOWN, ldap.TIMEOUT, ldap.CONNECT_ERROR, ldap.TIMELIMIT_EXCEEDED) as error:
                raise ProviderFailed("The directory did not answer in time, or not in bounds") from error
            finally:
                with suppress(ldap.LDAPError):
                    connection.unbind_s()
        finally:
            ours.close()
            pump.join(timeout=CONNECT_SECONDS)


def _options(ldap: Any) -> tuple[tuple[int, Any], ...]:
    """A referral would send the password to whom the directory names (RFC 4511 §4.1.10): none is followed."""
    return (
        (ldap.OPT_PROTOCOL_VERSION, ldap.VERSION3),
        (ldap.OPT_REFERRALS, ldap.OPT_OFF),
        (ldap.OPT_DEREF, ldap.DEREF_NEVER),
        (ldap.OPT_TIMEOUT, CALL_SECONDS),
        (ldap.OPT_NETWORK_TIMEOUT, CALL_SECONDS),
        (ldap.OPT_RESTART, ldap.OPT_ON),
    )


_waiting, _in_use = threading.Lock(), Counter[str]()


@contextmanager
def _place(host: str) -> Iterator[None]:
    """One slow directory must not take the threads of everybody else's logins."""
    with _waiting:
        if _in_use[host] >= MOST_AT_ONE_DIRECTORY or _in_use.total() >= MOST_AT_ONCE:
            raise ProviderFailed("As many directories as this process asks at once are being asked")
        _in_use[host] += 1
    try:
        yield
    finally:
        with _waiting:
            _in_use[host] -= 1
            if not _in_use[host]:
                del _in_use[host]


# -- to the directory ----------------------------------------------------------------------------------------------


def _connected(endpoint: Endpoint) -> socket.socket:
    try:
        address = outbound.address_of(endpoint.host)
    except OutboundRefused as error:
        raise SettingInvalid(str(error)) from error
    except OutboundFailed as error:
        raise ProviderFailed(str(error)) from error
    if address.is_global and (endpoint.trust is None or endpoint.optional):
        raise SettingInvalid("Passwords do not cross a public network without TLS: use tls mode required")
    try:
        raw = socket.create_connection((str(address), endpoint.port), timeout=CONNECT_SECONDS)
    except OSError as error:
        raise ProviderFailed("The directory did not answer") from error
    try:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return _secured(raw, endpoint)
    except (OSError, EOFError) as error:  # ssl.SSLError is an OSError
        raw.close()
        raise ProviderFailed("The directory did not begin TLS as it should") from error
    except BaseException:
        raw.close()
        raise


def _secured(raw: socket.socket, endpoint: Endpoint) -> socket.socket:
    if endpoint.trust is None:
        return raw
    if not endpoint.implicit and not _starts_tls(raw):
        if endpoint.optional:
            return raw
        raise ProviderFailed("The directory refuses StartTLS")
    return endpoint.trust.wrap_socket(raw, server_hostname=endpoint.host)


def _starts_tls(raw: socket.socket) -> bool:
    """Nothing is read beyond the answer: what is put behind it in clear breaks TLS, and does not pass for inside."""
    raw.sendall(_START_TLS)
    tag, length = _exactly(raw, 2)
    if length >= 0x80:
        length = int.from_bytes(_exactly(raw, length & 0x7F), "big")
    if tag != 0x30 or not 0 < length <= 4096:
        raise ProviderFailed("The directory does not speak LDAP")
    body = _exactly(raw, length)
    content = body[len(_ANSWERED) :]
    skip = 1 + (content[0] & 0x7F if content and content[0] >= 0x80 else 0)
    return body.startswith(_ANSWERED) and content[skip : skip + 3] == b"\x0a\x01\x00"


def _exactly(raw: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        more = raw.recv(count - len(found))
        if not more:
            raise EOFError
        found += more
    return found


# -- between the library and the directory -------------------------------------------------------------------------


def _pump(outer: socket.socket, inner: socket.socket, deadline: float) -> None:
    """Carry bytes both ways until one side ends, time is up or the directory has said too much."""
    received = 0
    try:
        outer.setblocking(False)
        inner.setblocking(False)
        while time.monotonic() < deadline:
            more = _moved(outer, inner, deadline)
            received += more
            if received > MAX_BYTES or _moved(inner, outer, deadline) < 0 or more < 0:
                return
            if not (isinstance(outer, ssl.SSLSocket) and outer.pending()):
                select.select([outer, inner], [], [], max(0.0, deadline - time.monotonic()))
    except (OSError, TimeoutError):
        return
    finally:
        inner.close()
        outer.close()


def _moved(source: socket.socket, sink: socket.socket, deadline: float) -> int:
    """How many bytes were there to be carried; -1 at the end."""
    try:
        data = source.recv(_CHUNK)
    except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return 0
    if not data:
        return -1
    left = memoryview(data)
    while left:
        try:
            left = left[sink.send(left) :]
        except (BlockingIOError, ssl.SSLWantWriteError):
            _wait(deadline, writing=sink)
        except ssl.SSLWantReadError:
            _wait(deadline, reading=sink)
    return len(data)


def _wait(deadline: float, *, reading: socket.socket | None = None, writing: socket.socket | None = None) -> None:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    select.select([s for s in (reading,) if s], [s for s in (writing,) if s], [], left)


def with_client_certificate(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """OpenSSL reads them from a file only; this one is in memory and has no name."""
    handle = os.memfd_create("client", os.MFD_CLOEXEC)
    try:
        os.write(handle, key.rstrip() + b"\n" + certificate)
        context.load_cert_chain(f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)
