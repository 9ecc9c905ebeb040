"""The threads of a server process in which keeper, mailers, the webhooks' caller and the log's shippers do their turns.

It knows when, not what.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from datetime import timedelta

from django.conf import settings
from django.db import close_old_connections

from kms.audit import months
from kms.operations.epoch_officers import complain
from kms.operations.fact_sweep import FactSweeper
from kms.operations.keeper import Keeper
from kms.operations.log_shipping import LogShipper
from kms.operations.log_watch import LogWatch
from kms.operations.mailing import Mailer
from kms.operations.notice_mails import NoticeMailer
from kms.operations.sealing import SealingTurns
from kms.operations.webhooks import WebhookCaller
from kms.operations.witnesses import WitnessCaller

logger = logging.getLogger(__name__)

MAIL_SECONDS = 2.0
SEAL_SECONDS = 1.0
# How often it is asked whether it is time to sweep.
SWEEP_SECONDS = 60.0
COMPARE_SECONDS = 10.0
MONTHS_SECONDS = 600.0
# A sink that does not answer holds up one of them.
SHIPPERS = 2
WATCH_SECONDS = 15.0


def start(seconds: float) -> threading.Thread:
    """Turn every ``seconds``, more or less, until the process ends; mails go out sooner, and the record is sealed."""
    threading.Thread(target=_turn, args=("look at officers", complain), name="officers", daemon=True).start()
    _compared(SealingTurns())
    _thread("mailer", MAIL_SECONDS, Mailer(settings.KEYSTEAD.public_url).turn)
    _thread("notice mailer", MAIL_SECONDS, NoticeMailer(settings.KEYSTEAD.public_url).turn)
    _thread("fact sweeper", SWEEP_SECONDS, FactSweeper().turn, at_once=True)
    # Apart, so that a receiver who answers slowly holds up no mail.
    _thread("webhook caller", MAIL_SECONDS, WebhookCaller().turn)
    _thread("witness caller", settings.KEYSTEAD.witness_seconds, WitnessCaller().turn)
    for number in range(SHIPPERS):
        _thread(f"log shipper {number}", MAIL_SECONDS, LogShipper().turn)
    watch = LogWatch(timedelta(minutes=settings.KEYSTEAD.log_alarm_minutes))
    _thread("log watch", WATCH_SECONDS, watch.turn)
    _thread("record's months", MONTHS_SECONDS, months.turn)
    return _thread("keeper", seconds, Keeper().turn)


def _compared(turns: SealingTurns) -> None:
    """Give the record a while to be compared before anybody is served; until it was, everybody is refused.

    In a thread even so: uvicorn loads its configuration inside the event loop, where Django asks no database.
    """
    first = threading.Event()

    def turn() -> None:
        try:
            turns.turn()
        finally:
            first.set()

    _thread("sealer", SEAL_SECONDS, turn, at_once=True)
    first.wait(COMPARE_SECONDS)


def _thread(name: str, seconds: float, turn: Callable[[], object], *, at_once: bool = False) -> threading.Thread:
    thread = threading.Thread(target=_run, args=(name, seconds, turn, at_once), name=name, daemon=True)
    thread.start()
    return thread


def _run(name: str, seconds: float, turn: Callable[[], object], at_once: bool) -> None:
    if at_once:
        _turn(name, turn)
    pause = threading.Event()
    while True:
        # So that the processes of a machine do not all knock at once; not a secret.
        pause.wait(seconds * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, not a secret
        _turn(name, turn)


def _turn(name: str, turn: Callable[[], object]) -> None:
    try:
        turn()
    except Exception:
        # A turn that fails is tried again; a thread that ended would stop its work in silence.
        logger.exception("the %s's turn failed", name)
    finally:
        close_old_connections()
