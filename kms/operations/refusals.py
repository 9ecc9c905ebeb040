"""Calls that came too often, for the record: one entry a second for each caller, saying how many.

A flood must not become a flood of entries, so these refusals leave before they are recorded, up to a second: nothing
was done, and nothing was looked at. It must not know how often is too often, the wire or HTTP.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from uuid import UUID

from accounts.principal import Principal
from kms.audit.entry import AuditEntry, Category, Outcome
from kms.audit.log import group_commit

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 1.0
# Addresses are a stranger's to choose: when so many are counted, the others are counted together.
MAX_CALLERS = 1000


@dataclass(frozen=True, slots=True)
class _Caller:
    principal: Principal
    address: str | None
    reason: str


class Refusals:
    """One process's counts, written down by a thread. What cannot be written stays counted."""

    def __init__(self) -> None:
        self._counts: dict[tuple[UUID, str | None], tuple[_Caller, int]] = {}
        self._lock = threading.Lock()
        self._some = threading.Event()
        self._pause = threading.Event()
        self._thread: threading.Thread | None = None

    def note(self, principal: Principal, address: str | None, reason: str) -> None:
        with self._lock:
            key = (principal.id, address)
            if key not in self._counts and len(self._counts) >= MAX_CALLERS:
                key, address = (principal.id, None), None
            caller, count = self._counts.get(key, (_Caller(principal, address, reason), 0))
            self._counts[key] = (caller, count + 1)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="refusals", daemon=True)
                self._thread.start()
        self._some.set()

    def flush(self) -> int:
        """Record what was counted; returns how many entries."""
        with self._lock:
            counts, self._counts = self._counts, {}
        for index, (caller, count) in enumerate(counts.values()):
            try:
                group_commit().submit(_entry(caller, count), {})
            except Exception:
                self._put_back(list(counts.values())[index:])
                raise
        return len(counts)

    def _put_back(self, counts: list[tuple[_Caller, int]]) -> None:
        with self._lock:
            for caller, count in counts:
                key = (caller.principal.id, caller.address)
                _, since = self._counts.get(key, (caller, 0))
                self._counts[key] = (caller, since + count)

    def _run(self) -> None:
        while True:
            self._some.wait()
            self._some.clear()
            try:
                self.flush()
            except Exception:
                logger.exception("refusals could not be recorded; it is tried again")
                self._some.set()
            self._pause.wait(INTERVAL_SECONDS)


def _entry(caller: _Caller, count: int) -> AuditEntry:
    principal = caller.principal
    return AuditEntry(
        action="call.admit",
        category=Category.AUTHENTICATION,
        outcome=Outcome.DENIED,
        reason=caller.reason,
        actor_kind=principal.kind,
        actor_id=principal.id,
        method=principal.method,
        account=principal.account,
        session=principal.session,
        client_ip=caller.address,
        details={"items": count},
    )


refusals = Refusals()
