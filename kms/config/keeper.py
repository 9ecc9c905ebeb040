"""The thread of a server process that lets the keeper do its turns. It knows when, not what."""

from __future__ import annotations

import logging
import random
import threading

from django.db import close_old_connections

from kms.operations.keeper import Keeper

logger = logging.getLogger(__name__)


def start(seconds: float) -> threading.Thread:
    """Turn every ``seconds``, more or less, until the process ends."""
    thread = threading.Thread(target=_run, args=(seconds,), name="keeper", daemon=True)
    thread.start()
    return thread


def _run(seconds: float) -> None:
    keeper, pause = Keeper(), threading.Event()
    while True:
        # So that the processes of a machine do not all knock at once; not a secret.
        pause.wait(seconds * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, not a secret
        try:
            keeper.turn()
        except Exception:
            # A turn that fails is tried again; a thread that ended would stop every rotation in silence.
            logger.exception("the keeper's turn failed")
        finally:
            close_old_connections()
