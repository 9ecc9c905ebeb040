"""In which order servers are tried. Pure but for the time it is told; it must not know HTTP."""

from __future__ import annotations

import threading
from collections.abc import Sequence


class Servers:
    """The preferred first. One that failed is tried last for ``rest_seconds``, so that few calls wait for it."""

    def __init__(self, addresses: Sequence[str], rest_seconds: float = 10.0) -> None:
        self._addresses = tuple(address.rstrip("/") for address in addresses)
        self._rest_seconds = rest_seconds
        self._failed_at: dict[str, float] = {}
        self._lock = threading.Lock()

    def order(self, now: float) -> list[str]:
        with self._lock:
            failed = dict(self._failed_at)
        resting = {address for address, since in failed.items() if now - since < self._rest_seconds}
        # Of those that failed, the one that did so longest ago is the likeliest to be back.
        return sorted(self._addresses, key=lambda address: failed[address] if address in resting else float("-inf"))

    def failed(self, address: str, now: float) -> None:
        with self._lock:
            self._failed_at[address] = now

    def answered(self, address: str) -> None:
        with self._lock:
            self._failed_at.pop(address, None)
