"""Bytes over TLS to somebody who answers nothing, with the certainty that they were read.

The peer ends its side (close_notify) when it has read ours to the end. Nobody between can say it in its place, and a
fatal alert does not: OpenSSL's own shutdown takes one for the end as well, so what comes in is read here.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")
_CHUNK = 1 << 14


def deliver(plain: socket.socket, host: str, data: bytes, trust: ssl.SSLContext) -> None:
    """Raises OSError (ssl.SSLError is one) when it was not read, or may not have been."""
    channel = _Channel(plain, host, trust)
    channel.handshake()
    channel.write(data)
    channel.finish()


class _Channel:
    def __init__(self, plain: socket.socket, host: str, trust: ssl.SSLContext) -> None:
        self._plain = plain
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = trust.wrap_bio(self._incoming, self._outgoing, server_hostname=host)

    def handshake(self) -> None:
        self._until_done(self._tls.do_handshake)

    def write(self, data: bytes) -> None:
        for start in range(0, len(data), _CHUNK):
            self._tls.write(data[start : start + _CHUNK])
            self._flush()

    def finish(self) -> None:
        """Our end, then theirs. An alert is raised, whenever it comes."""
        with suppress(ssl.SSLWantReadError):
            while self._tls.read(_CHUNK):
                pass
        with suppress(ssl.SSLWantReadError):
            self._tls.unwrap()
        with suppress(ssl.SSLZeroReturnError):
            while self._until_done(lambda: self._tls.read(_CHUNK)):
                pass

    def _until_done(self, work: Callable[[], T]) -> T:
        while True:
            try:
                return work()
            except ssl.SSLWantReadError:
                self._flush()
                chunk = self._plain.recv(_CHUNK)
                if chunk:
                    self._incoming.write(chunk)
                else:
                    self._incoming.write_eof()
            finally:
                self._flush()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._plain.sendall(self._outgoing.read())
