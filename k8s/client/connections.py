"""Connections to the servers, kept open between calls, and made anew when a certificate or an authority is replaced."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpcore

from k8s.client.calls import Call, Question
from k8s.client.errors import Bad, Denied, Unreachable
from k8s.client.files import Stamp, stamp_of
from k8s.client.settings import CredentialSettings, ServerSettings
from k8s.client.trust import tls_context

MAX_ANSWER = 4 * 1024 * 1024
_TIMED = ("connect", "read", "write", "pool")
_FAILURES = (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes

    @property
    def reason(self) -> str:
        """The server's own words, which are made for callers; short enough for a log."""
        return self.body.decode(errors="replace")[:200].strip()


class Connections:
    def __init__(self, server: ServerSettings, credential: CredentialSettings) -> None:
        self._server, self._credential = server, credential
        files = (server.ca_file, credential.certificate_file, credential.key_file)
        self._files = [Path(name) for name in files if name]
        self._lock = threading.Lock()
        self._stamps: list[Stamp | None] = []
        self._http: httpcore.ConnectionPool | None = None
        self._retired: httpcore.ConnectionPool | None = None

    def send(self, address: str, question: Question, call: Call, headers: Mapping[str, str]) -> Answer:
        """One request to one server. Unreachable without a whole answer within the attempt's and the call's time."""
        seconds = min(self._server.attempt_seconds, call.remaining)
        if seconds <= 0:
            raise Unreachable("there was no time left")
        ends_at = time.monotonic() + seconds
        http = self._current()
        try:
            with http.stream(
                question.method,
                f"{address}{question.path}",
                headers=list(headers.items()),
                content=question.content or b"",
                extensions={"timeout": dict.fromkeys(_TIMED, seconds)},
            ) as response:
                return Answer(response.status, _read(response, ends_at))
        except _FAILURES as error:
            raise Unreachable(f"{type(error).__name__}: {error}") from None

    def close(self) -> None:
        with self._lock:
            for http in (self._http, self._retired):
                if http is not None:
                    http.close()
            self._http = self._retired = None

    def _current(self) -> httpcore.ConnectionPool:
        stamps = [stamp_of(path) for path in self._files]
        with self._lock:
            # A file that is not there just now is being replaced; what was made from it still holds.
            if self._http is None or (stamps != self._stamps and None not in stamps):
                made = self._made()
                # The one before may be in use by another thread; the one before that can't be any more.
                if self._retired is not None:
                    self._retired.close()
                self._retired, self._http, self._stamps = self._http, made, stamps
            return self._http

    def _made(self) -> httpcore.ConnectionPool:
        try:
            context = tls_context(self._server, self._credential)
        except (OSError, ssl.SSLError) as error:
            names = ", ".join(map(str, self._files)) or "the authorities that were given"
            raise Denied(f"TLS cannot be set up from {names}: {error.strerror or type(error).__name__}") from None
        # No proxy, redirect or other surprise: where keys are concerned the settings say it all.
        return httpcore.ConnectionPool(
            ssl_context=context, max_connections=64, max_keepalive_connections=16, keepalive_expiry=60
        )


def _read(response: httpcore.Response, ends_at: float) -> bytes:
    """HTTP libraries time each read; an answer that drips takes no longer than any other here."""
    parts, size = [], 0
    for part in response.iter_stream():
        parts.append(part)
        size += len(part)
        if size > MAX_ANSWER:
            raise Bad(f"The answer is longer than {MAX_ANSWER} bytes")
        if time.monotonic() > ends_at:
            raise Unreachable("the answer took too long")
    return b"".join(parts)
