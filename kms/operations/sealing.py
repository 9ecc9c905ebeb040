"""The sealer's turns in a server process: whether the record is ours, then sealing, then what the token remembers.

It must not know the wire or HTTP.
"""

from __future__ import annotations

import logging
import time

from accounts import row_seals
from accounts.clock import clock
from accounts.row_seals import RowsForged
from kms.audit import trust as trusting
from kms.audit.checkpoint import Checkpoint
from kms.audit.models import AuditCheckpoint
from kms.audit.sealer import Sealer, backlog
from kms.audit.trust import KEEP_SECONDS, trust
from kms.objects import keystore
from kms.operations.record_key import record_signer
from kms.operations.witnesses import WitnessComparison

logger = logging.getLogger(__name__)

_UNCOMPARED = "The record has not been compared yet with what the token remembers"


class SealingTurns:
    """One process's. Until the record was found to be ours, the process serves nothing."""

    def __init__(self) -> None:
        self._sealer: Sealer | None = None
        self._kept: tuple[float, int] | None = None
        self._witnesses = WitnessComparison()
        trust.reason = _UNCOMPARED

    def turn(self) -> None:
        if trust.reason is not None:
            self._compare()
        if trust.reason is None:
            self._seal()

    def _seal(self) -> None:
        """Whoever seals: what is not sealed for too long is known here too, and nothing is added to it."""
        try:
            self._own().turn(clock.now())
            self._remember()
        finally:
            self._watch()

    def _watch(self) -> None:
        behind = backlog(clock.now())
        if behind is not None and trust.behind is None:
            logger.critical("nothing is served until the record is sealed again: %s", behind)
        trust.behind = behind

    def _compare(self) -> None:
        known = trusting.last_known(keystore.module().recall)
        reason = trusting.fault(known) or self._witnesses.fault() or _row_key_fault()
        if reason is not None and reason != trust.reason:
            logger.critical("the server is sealed: %s", reason)
        trust.reason = reason

    def _own(self) -> Sealer:
        if self._sealer is None:
            self._sealer = Sealer(keystore.deployment_id(), record_signer)
        return self._sealer

    def _remember(self) -> None:
        """The newest checkpoint, now and then: a token's memory wears, and is slow."""
        kept_at, kept_size = self._kept or (0.0, 0)
        if self._kept is not None and time.monotonic() - kept_at < KEEP_SECONDS:
            return
        newest = AuditCheckpoint.objects.order_by("-size").first()
        if newest is None or newest.size == kept_size:
            return
        remember(Checkpoint(newest.origin, newest.size, bytes(newest.root)))
        self._kept = (time.monotonic(), newest.size)


def _row_key_fault() -> str | None:
    """A deployment's first start makes the key, before anybody is served."""
    try:
        row_seals.key()
    except RowsForged:
        return "The key that seals what decisions rest on is not the one that the token remembers"
    return None


def remember(checkpoint: Checkpoint) -> None:
    """Unless the token knows a later one: another process was faster."""
    known = trusting.last_known(keystore.module().recall)
    if known is None or trusting.later(checkpoint, known):
        keystore.module().keep(trusting.packed(checkpoint))
