"""Header to principal, remembered per process by a digest of the header.

A remembered principal is not trusted: it carries the version its credential was checked at, which the corridor compares
in every call. It must not know routes or rights.
"""

from __future__ import annotations

import hashlib

from accounts.clock import clock
from accounts.credentials import authenticate
from accounts.lru import Lru
from accounts.principal import ANONYMOUS, Principal

MAX_REMEMBERED = 10_000


class Authenticator:
    def __init__(self) -> None:
        self._remembered: Lru[bytes, Principal] = Lru(MAX_REMEMBERED)

    def remembered(self, header: str | None) -> Principal | None:
        """The principal without asking the database, or None when that takes asking."""
        return ANONYMOUS if header is None else self._remembered.get(_key(header))

    def principal(self, header: str | None) -> Principal:
        """The principal; raises NotAuthenticated."""
        found = self.remembered(header)
        if found is None:
            found = authenticate(header, clock.now())
            if header is not None:
                self._remembered.put(_key(header), found)
        return found

    def forget(self, header: str | None) -> None:
        if header is not None:
            self._remembered.drop(_key(header))

    def clear(self) -> None:
        self._remembered.clear()


def _key(header: str) -> bytes:
    """A credential is not kept in clear longer than its request lasts."""
    return hashlib.sha256(header.encode()).digest()


authenticator = Authenticator()
