"""Key sets of issuers, fetched from their addresses and kept for a while, per process.

It must not know tokens, apps or identity providers.
"""

from __future__ import annotations

import base64
import math
import ssl
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from accounts import outbound
from accounts.jwk import KeyRejected, KeySet, key_set

REFETCH_SECONDS = 10.0
GRACE_SECONDS = 3600.0
_WAIT_SECONDS = 3.0
_MAX_ADDRESSES = 1000


class KeysUnavailable(Exception):
    """The address gave no keys, for so long that the ones it gave before count no longer."""


@dataclass(slots=True)
class _Kept:
    keys: KeySet | None = None
    fetched_at: float = -math.inf
    tried_at: float = -math.inf
    lock: threading.Lock = field(default_factory=threading.Lock)


class FetchedKeys:
    """Key sets by address, per process.

    A set is asked for again when it is older than it may be, or when a token names a key that is not in it (the issuer
    has a new one), but at most every ten seconds: tokens cost an attacker nothing. While an address does not answer,
    what it said last counts for an hour longer, and then nothing does.
    """

    def __init__(self, fetch: Callable[[str], bytes], now: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._now = now
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._guard = threading.Lock()

    def keys(self, url: str, kid: str | None, cache_seconds: int) -> KeySet:
        kept = self._at(url)
        if not self._settled(kept, kid, cache_seconds) and kept.lock.acquire(timeout=_WAIT_SECONDS):
            try:
                if not self._settled(kept, kid, cache_seconds):
                    self._ask(kept, url)
            finally:
                kept.lock.release()
        keys = kept.keys
        if keys is None or self._now() - kept.fetched_at >= cache_seconds + GRACE_SECONDS:
            raise KeysUnavailable
        return keys

    def clear(self) -> None:
        with self._guard:
            self._kept.clear()

    def _at(self, url: str) -> _Kept:
        with self._guard:
            kept = self._kept.setdefault(url, _Kept())
            self._kept.move_to_end(url)
            if len(self._kept) > _MAX_ADDRESSES:
                self._kept.popitem(last=False)
            return kept

    def _settled(self, kept: _Kept, kid: str | None, cache_seconds: int) -> bool:
        now, keys = self._now(), kept.keys
        if keys is not None and now - kept.fetched_at < cache_seconds and keys.names(kid):
            return True
        return now - kept.tried_at < REFETCH_SECONDS

    def _ask(self, kept: _Kept, url: str) -> None:
        try:
            kept.keys = key_set(self._fetch(url))
            kept.fetched_at = self._now()
        except (outbound.OutboundRefused, outbound.OutboundFailed, KeyRejected):
            pass  # what is kept still counts, for its time
        finally:
            kept.tried_at = self._now()


def address(url: str, authorities: Iterable[str] = ()) -> str:
    """Where a set is and which authorities (DER in base64) its server's certificate may be of; none are the system's.

    A URL holds no line end, so the two stay apart, and one server under two trusts is two addresses.
    """
    return "\n".join((url, *authorities))


def _document(at: str) -> bytes:
    url, *authorities = at.split("\n")
    trust = ssl.create_default_context(cadata=_pem(authorities)) if authorities else None
    answer = outbound.fetch(url, headers={"Accept": "application/jwk-set+json, application/json"}, trust=trust)
    if answer.status != 200:
        raise outbound.OutboundFailed(f"the answer was {answer.status}")
    return answer.body


def _pem(authorities: Iterable[str]) -> str:
    return "".join(ssl.DER_cert_to_PEM_cert(base64.b64decode(text)) for text in authorities)


fetched = FetchedKeys(_document)
