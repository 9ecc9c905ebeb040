"""The bounded cache of opened keys: least recently used out first, and whoever goes is destroyed in the token.

It must not know PKCS#11, blobs or how a key is opened. Its caller holds the main session's lock.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Generic, Protocol, TypeVar


class Evictable(Protocol):
    def release(self) -> None:
        """Destroy the handle. The owner may still be in someone's hands, and opens again when it is used."""


K = TypeVar("K", bound=Evictable)


class HandleCache(Generic[K]):
    def __init__(self, size: int, lifetime_seconds: float) -> None:
        self._size = max(1, size)
        self._lifetime = lifetime_seconds
        self._entries: OrderedDict[tuple[bytes, int], tuple[K, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, name: tuple[bytes, int]) -> K | None:
        entry = self._entries.get(name)
        if entry is None:
            return None
        if time.monotonic() > entry[1]:
            self.drop(name)
            return None
        self._entries.move_to_end(name)
        return entry[0]

    def put(self, name: tuple[bytes, int], key: K) -> None:
        previous = self._entries.pop(name, None)
        if previous is not None and previous[0] is not key:
            previous[0].release()
        self._entries[name] = (key, time.monotonic() + self._lifetime)
        while len(self._entries) > self._size:
            self._entries.popitem(last=False)[1][0].release()

    def drop(self, name: tuple[bytes, int]) -> None:
        entry = self._entries.pop(name, None)
        if entry is not None:
            entry[0].release()

    def evict_half(self) -> None:
        for _ in range((len(self._entries) + 1) // 2):
            self._entries.popitem(last=False)[1][0].release()

    def clear(self) -> None:
        """After a re-initialisation: the handles are gone, and their numbers may name other keys. Destroy nothing."""
        self._entries.clear()
