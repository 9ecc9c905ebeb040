"""`python -m k8s.agent fetch`: once, ends with 0, or 1 and why. `refresh`: until SIGTERM. 2: it was told nonsense."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import time
from types import FrameType
from typing import NoReturn

from k8s import logs
from k8s.agent.fetching import Failed, Fetching
from k8s.agent.laying import Layer
from k8s.agent.objects import Objects
from k8s.agent.refreshing import Refreshing
from k8s.agent.settings import Settings, SettingsInvalid, settings_of
from k8s.client import Client
from k8s.logs import event

logger = logging.getLogger("k8s.agent")

TERMINATION_LOG = "/dev/termination-log"
_LONGEST_MESSAGE = 4096  # what the kubelet reads of it
_LONGEST_SLEEP = 60.0


class Stopped(BaseException):
    """SIGTERM or SIGINT came, at whatever point. Every write bears being left there."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m k8s.agent", description="Keystead's agent in a Kubernetes pod")
    parser.add_argument("what", choices=("fetch", "refresh"), help="once, or until SIGTERM")
    arguments = parser.parse_args()
    # As process 1 of a container it would not end without: the kernel spares that one.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    settings = None
    try:
        settings = settings_of(os.environ)
        logs.configure(settings.delivery.log_level)
        return _run(arguments.what, settings)
    except SettingsInvalid as error:
        _say(str(error), settings)
        return 2
    except (Failed, OSError) as error:
        _say(str(error), settings)
        return 1
    except Stopped:
        return 0 if arguments.what == "refresh" else 128 + signal.SIGTERM


def _run(what: str, settings: Settings) -> int:
    client = Client(settings.server, settings.credential)
    objects = Objects(client)
    try:
        if what == "fetch":
            Fetching(settings.delivery, objects, Layer(settings, keeps=False), settings.patience).run()
            return 0
        _refresh(Refreshing(settings.delivery, objects, Layer(settings, keeps=True)))
    finally:
        client.close()


def _refresh(refreshing: Refreshing) -> NoReturn:
    while True:
        try:
            seconds = refreshing.step()
        except OSError as error:  # a volume that is full, say; it may pass
            event(logger, logging.ERROR, "writing failed; what was written last stays", why=error.strerror)
            seconds = _LONGEST_SLEEP
        time.sleep(min(seconds, _LONGEST_SLEEP))


def _stop(_number: int, _frame: FrameType | None) -> NoReturn:
    raise Stopped


def _say(text: str, settings: Settings | None) -> None:
    """Where whoever describes the pod finds it: the container's log, and its state's message."""
    lines = "".join(f"keystead-agent: {line}\n" for line in text.splitlines())
    print(lines, end="", file=sys.stderr)
    path = TERMINATION_LOG if settings is None else str(settings.under(TERMINATION_LOG))
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC)  # the kubelet made it; nobody else is to
    except OSError:
        return
    with os.fdopen(descriptor, "wb") as file:
        file.write(lines.encode(errors="replace")[:_LONGEST_MESSAGE])


if __name__ == "__main__":
    sys.exit(main())
