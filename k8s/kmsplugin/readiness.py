"""Whether the key works, for those who ask often: asked of the server at most once in a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from uuid import UUID

from k8s.client import Call, KeysteadError


class Readiness:
    """``check`` leaves a record on the server each time, so its answer is kept for ``seconds``; a bad one for fewer."""

    def __init__(self, check: Callable[[Call], UUID], deadline: float, seconds: float = 60.0, bad: float = 5.0) -> None:
        self._check, self._deadline, self._seconds, self._bad = check, deadline, seconds, bad
        self._lock = threading.Lock()
        self._why_not, self._until = "", 0.0

    def why_not(self) -> str:
        """Empty: ready."""
        with self._lock:
            if time.monotonic() >= self._until:
                try:
                    self._check(Call.within(self._deadline))
                    self._why_not = ""
                except KeysteadError as error:
                    self._why_not = str(error)
                self._until = time.monotonic() + (self._bad if self._why_not else self._seconds)
            return self._why_not
