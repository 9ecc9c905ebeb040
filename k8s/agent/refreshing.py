"""Keep what the application has fresh, while it runs. What cannot be had just now stays as it was last.

It must not know files' formats or Kubernetes.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from k8s.agent.fetching import called, picked, why_of
from k8s.agent.laying import Layer, tell
from k8s.agent.objects import Objects
from k8s.agent.values import Value, ValueUnfit
from k8s.client import KeysteadError, Unreachable
from k8s.delivery import Delivery, Source
from k8s.logs import event

logger = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
# A round is due a little before the interval is over, and never after: not all pods come at once, none is late.
_EARLIEST = 0.8
_RARELY = 3600.0  # where nothing is to be refreshed, for want of anything else to do


@dataclass(slots=True)
class _Watched:
    """One secret: when it is due, which object it was last, and what stands against it now (said once)."""

    key: str
    source: Source
    due: float
    identity: tuple[UUID, bool] | None = None
    trouble: str = ""


class Refreshing:
    """One thread. ``step`` does what is due and says in how many seconds to come again."""

    def __init__(
        self, delivery: Delivery, objects: Objects, layer: Layer, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._objects, self._layer, self._clock = objects, layer, clock
        intervals = [source.refresh_seconds for source in delivery.secrets.values() if source.refresh_seconds]
        self._shortest = min(intervals, default=_RARELY)
        # Somewhere in the first interval: the pods of a Deployment start together. The first time all are asked for,
        # those without an interval too, since a directory and a template are made of several.
        first = clock() + random.uniform(0, self._shortest)  # noqa: S311 - a pause
        self._watched = [_Watched(key, source, first) for key, source in delivery.secrets.items()]
        self._values: dict[str, Value] = {}
        self._changed = False  # and not laid yet
        self._away = 0  # rounds in a row that no server answered
        self._said: set[str] = set()

    def step(self) -> float:
        now = self._clock()
        due = [watched for watched in self._watched if watched.due <= now]
        if due:
            try:
                self._round(due)
            except KeysteadError as error:  # no server, or no login
                return self._waits(error)
            self._returned()
        if self._changed:
            self._lay()
        return max(0.0, min((watched.due for watched in self._watched), default=now + _RARELY) - self._clock())

    def _round(self, due: list[_Watched]) -> None:
        """What was not answered is due still."""
        self._objects.log_in()
        for watched in due:
            self._ask(watched)
            seconds = watched.source.refresh_seconds or (0 if watched.key in self._values else self._shortest)
            pause = seconds * random.uniform(_EARLIEST, 1)  # noqa: S311 - a pause
            watched.due = self._clock() + pause if seconds else float("inf")

    def _ask(self, watched: _Watched) -> None:
        try:
            found = self._objects.found(watched.source)
            if watched.identity != found.identity:
                self._values[watched.key] = picked(self._objects.value(found), watched.source)
                watched.identity, self._changed = found.identity, True
        except Unreachable:
            raise
        except (KeysteadError, ValueUnfit) as error:
            self._refused(watched, why_of(error))
        else:
            self._recovered(watched)

    def _refused(self, watched: _Watched, why: str) -> None:
        if watched.trouble != why:
            facts = {"secret": watched.key, "object": called(watched.source), "why": why}
            event(logger, logging.ERROR, "secret refused; the last value stays", **facts)
        watched.trouble = why

    def _recovered(self, watched: _Watched) -> None:
        if watched.trouble:
            event(logger, logging.WARNING, "secret is to be had again", secret=watched.key)
        watched.trouble = ""

    def _waits(self, error: KeysteadError) -> float:
        """Full jitter, longer and longer. The client has said which server failed, and how."""
        if not self._away:
            event(logger, logging.ERROR, "no server, or no login; the last values stay", why=str(error))
        self._away += 1
        longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(self._away, 10))
        return random.uniform(_FIRST_PAUSE / 2, longest)  # noqa: S311 - a pause

    def _returned(self) -> None:
        if self._away:
            event(logger, logging.WARNING, "the server is back", rounds=self._away)
        self._away = 0

    def _lay(self) -> None:
        """A file that cannot be made of the new values stays as it was; said once for each reason."""
        laid = self._layer.lay(self._values)
        self._changed = False
        tell(laid)
        said = {problem.text for problem in laid.problems}
        for text in said - self._said:
            event(logger, logging.ERROR, "a file or variable stays as it was", why=text)
        self._said = said
