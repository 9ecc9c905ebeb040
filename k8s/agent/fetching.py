"""Fetch once, before the application starts: all that it needs is there, or one text says all that is wrong.

It must not know files' formats or Kubernetes.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from k8s.agent.laying import Layer, tell
from k8s.agent.objects import Objects
from k8s.agent.values import Value, ValueUnfit
from k8s.client import KeysteadError, Refused, Unreachable
from k8s.delivery import Delivery, Source
from k8s.logs import event

logger = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 15.0


class Failed(Exception):
    """All that is wrong, a line each. No value is quoted."""


@dataclass(slots=True)
class _Round:
    """What is known so far. A secret that was fetched or refused is not asked for again."""

    values: dict[str, Value] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    away: str = ""
    login: str = ""


class Fetching:
    def __init__(
        self,
        delivery: Delivery,
        objects: Objects,
        layer: Layer,
        patience: float,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._delivery, self._objects, self._layer = delivery, objects, layer
        self._patience, self._pause = patience, pause

    def run(self) -> None:
        """Failed where a required secret is not to be had. Nothing is written then."""
        known = self._fetched()
        missing = dict(known.refused)
        everywhere = known.login or known.away
        if everywhere:
            missing |= {key: everywhere for key in self._delivery.secrets if key not in known.values | missing}
        required = {key: why for key, why in missing.items() if self._delivery.secrets[key].required}
        problems = [why if why == everywhere else self._sentence(key, why) for key, why in required.items()]
        wrong = self._layer.lay(known.values, dry=True).problems
        problems += [problem.text for problem in wrong if problem.fatal]
        if problems:
            raise Failed("\n".join(dict.fromkeys(problems)))
        for key, why in missing.items():
            event(logger, logging.WARNING, "optional secret left out", secret=key, why=why)
        for problem in wrong:
            event(logger, logging.WARNING, "left out", why=problem.text)
        self._layer.install_launcher()
        tell(self._layer.lay(known.values))

    def _sentence(self, key: str, why: str) -> str:
        return f"the secret {key!r} ({called(self._delivery.secrets[key])}): {why}"

    def _fetched(self) -> _Round:
        """Until everything is answered, something required is refused, or patience ends."""
        known, ends_at, attempt = _Round(), time.monotonic() + self._patience, 0
        while True:
            self._ask(known)
            hopeless = any(self._delivery.secrets[key].required for key in known.refused)
            if not known.away or hopeless:
                return known
            seconds = random.uniform(0.5, 1) * min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**attempt)  # noqa: S311 - a pause
            if time.monotonic() + seconds >= ends_at:
                return known
            self._pause(seconds)
            attempt = min(attempt + 1, 10)

    def _ask(self, known: _Round) -> None:
        known.away = ""
        try:
            self._objects.log_in()
            for key, source in self._delivery.secrets.items():
                if key not in known.values and key not in known.refused:
                    self._ask_one(key, source, known)
        except Unreachable as error:
            known.away = str(error)
        except KeysteadError as error:  # of the login: nothing is to be had
            known.login = f"no login: {error}"

    def _ask_one(self, key: str, source: Source, known: _Round) -> None:
        try:
            known.values[key] = fetched(self._objects, source)
        except Unreachable:
            raise
        except (KeysteadError, ValueUnfit) as error:
            known.refused[key] = why_of(error)


def fetched(objects: Objects, source: Source) -> Value:
    return picked(objects.value(objects.found(source)), source)


def picked(value: Value, source: Source) -> Value:
    return value.picked(source.property) if source.property else value


def called(source: Source) -> str:
    name = source.name or str(source.kid)
    return f"{name}, version {source.version}" if source.version else name


def why_of(error: Exception) -> str:
    if isinstance(error, ValueUnfit):
        return f"its value {error}"
    return f"the server refuses: {error}" if isinstance(error, Refused) else str(error)
