"""The session that a credential is exchanged for: opened when needed, renewed in time, dropped when it is not taken."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from k8s.client.calls import Call
from k8s.client.connections import Answer
from k8s.client.credentials import Credential
from k8s.client.errors import Bad, Unreachable
from k8s.client.files import Stamp

# Renewed with a part of its life to spare, so that a server that is away for a while finds us with a session.
_RENEWED_AFTER = 0.8


class _Opened(msgspec.Struct):
    access_token: str
    expires_in: int


@dataclass(frozen=True, slots=True)
class _Session:
    header: str = field(repr=False)
    renew_at: float
    stamp: Stamp | None


class Sessions:
    """One session for all threads. ``log_in`` asks a server."""

    def __init__(self, credential: Credential, log_in: Callable[[Call, Credential], Answer]) -> None:
        self._credential = credential
        self._log_in = log_in
        self._lock = threading.Lock()
        self._session: _Session | None = None

    def header(self, call: Call) -> str:
        """The Authorization header of the session; a login first, where there is none that still holds."""
        session = self._session
        if session is not None and self._holds(session):
            return session.header
        if not self._lock.acquire(timeout=call.remaining):
            raise Unreachable("Another thread is still logging in")
        try:
            if self._session is None or not self._holds(self._session):
                self._session = self._opened(call)
            return self._session.header
        finally:
            self._lock.release()

    def drop(self, header: str) -> None:
        """The server did not take it. Another thread may have opened the next one already."""
        with self._lock:
            if self._session is not None and self._session.header == header:
                self._session = None

    def _holds(self, session: _Session) -> bool:
        stamp = self._credential.stamp()
        return time.monotonic() < session.renew_at and stamp in (session.stamp, None)

    def _opened(self, call: Call) -> _Session:
        stamp = self._credential.stamp()
        answer = self._log_in(call, self._credential)
        try:
            opened = msgspec.json.decode(answer.body, type=_Opened)
        except msgspec.MsgspecError:
            raise Bad("The answer to the login is not one of this API") from None
        renew_at = time.monotonic() + opened.expires_in * _RENEWED_AFTER
        return _Session(f"Bearer {opened.access_token}", renew_at, stamp)
