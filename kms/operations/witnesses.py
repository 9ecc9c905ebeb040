"""Witnesses of the record: shown each newest checkpoint, and asked at the start what they have seen.

A witness remembers what a database that was set back has forgotten, and a token that was set back with it. It is never
waited for in a call. It must not know the wire; the protocol's text is kms/audit/cosignature.py.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from accounts import outbound
from accounts.outbound import Answer, OutboundFailed, OutboundRefused
from kms.audit import tree
from kms.audit.checkpoint import Checkpoint, signed_note
from kms.audit.cosignature import Witness, cosigned, known_size, submission
from kms.audit.merkle import EMPTY_ROOT, consistency_proof
from kms.audit.models import AuditCosignature, AuditSignature, Sealing
from kms.audit.sealer import origin
from kms.audit.trust import trust
from kms.objects import keystore
from kms.operations.alone import alone
from kms.operations.record_key import record_signer

logger = logging.getLogger(__name__)

WITNESS_LOCK = 948_463  # "witne" on a telephone's keys
SCHEMES = ("https", "http")  # http on loopback only, which the environment's reader sees to
# Epochs beyond ours that witnesses are asked about: opened, and forgotten by a database that was set back.
EPOCHS_AHEAD = 3
# A record that grows meanwhile is shown again.
ATTEMPTS = 4
REPEAT_SECONDS, REMIND_SECONDS = 5.0, 600.0


class Contradicted(Exception):
    """A witness has seen another record than ours is, or more of it."""


class Unheard(Exception):
    """A witness did not answer, or not as the protocol says."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a witness has seen of the log of an epoch."""

    witness: Witness
    epoch: int
    size: int


# -- the protocol --------------------------------------------------------------------------------------------------


def seen_by(witness: Witness, epoch: int) -> Seen:
    """Asked by a checkpoint over nothing, which extends whatever there is: whoever knows more says how much."""
    signer = record_signer()
    text = Checkpoint(_origin(epoch), 0, EMPTY_ROOT).text()
    answer = _asked(witness, submission(0, (), signed_note(text, signer.name, signer.spki, signer.sign)))
    if answer.status == 409 and (size := known_size(answer.body)) is not None:
        return Seen(witness, epoch, size)
    if answer.status == 404 or (answer.status == 200 and cosigned(witness.key, text, answer.body)):
        return Seen(witness, epoch, 0)
    raise Unheard(f"it answered {answer.status}, which says nothing")


def show(witness: Witness) -> None:
    """Let it cosign the newest checkpoint, and keep the cosignature. Raises Contradicted or Unheard."""
    epoch = _epoch()
    known = _last_cosigned(witness, epoch)
    for _ in range(ATTEMPTS):
        signed = _newest(epoch)
        if signed is None:
            _demand_nothing_seen(witness, epoch)
            return
        size = signed.checkpoint_id
        if known > size:
            raise Contradicted(
                f"The record was set back: {size} entries are signed, and {witness.key.name} has witnessed {known}"
            )
        answer = _asked(witness, submission(known, _proof(known, size), signed.note))
        if answer.status == 200:
            _keep(witness, signed, answer)
            return
        if answer.status == 422:
            raise Contradicted(_rewritten(witness, known))
        told = known_size(answer.body) if answer.status == 409 else None
        if told is None:
            raise Unheard("it does not know this log" if answer.status == 404 else f"it answered {answer.status}")
        if told == known == size:
            raise Contradicted(_rewritten(witness, size))
        known = told
    raise Unheard("it knew another size each time")


def _asked(witness: Witness, body: bytes) -> Answer:
    headers = {"Content-Type": "text/plain; charset=utf-8"}
    try:
        return outbound.fetch(
            witness.address, method="POST", body=body, headers=headers, schemes=SCHEMES, by_operator=True
        )
    except (OutboundFailed, OutboundRefused) as error:
        raise Unheard(str(error)) from None


def _demand_nothing_seen(witness: Witness, epoch: int) -> None:
    seen = seen_by(witness, epoch)
    if seen.size:
        raise Contradicted(f"The record was set back: nothing is signed, and {witness.key.name} has seen {seen.size}")


def _proof(old: int, new: int) -> list[bytes]:
    try:
        return consistency_proof(tree.reader(), old, new)
    except tree.RecordDamaged as damaged:
        raise Contradicted(f"The record is damaged: {damaged}") from None


def _keep(witness: Witness, signed: AuditSignature, answer: Answer) -> None:
    line = cosigned(witness.key, signed.note.partition("\n\n")[0] + "\n", answer.body)
    if line is None:
        raise Unheard("its answer carries no signature of its key")
    row = AuditCosignature(checkpoint_id=signed.checkpoint_id, witness=witness.key.label, line=line)
    AuditCosignature.objects.bulk_create([row], ignore_conflicts=True)


def _rewritten(witness: Witness, size: int) -> str:
    return f"The record was rewritten: its first {size} entries are not those that {witness.key.name} has witnessed"


# -- the rows ------------------------------------------------------------------------------------------------------


def _epoch() -> int:
    return Sealing.objects.filter(id=1).values_list("epoch", flat=True).first() or 1


def _origin(epoch: int) -> str:
    return origin(keystore.deployment_id(), epoch)


def _newest(epoch: int) -> AuditSignature | None:
    """Of this epoch's log: those of former ones are finished."""
    rows = AuditSignature.objects.filter(checkpoint__origin=_origin(epoch))
    return rows.select_related("checkpoint").order_by("-checkpoint").first()


def _cosignatures(witness: Witness, epoch: int) -> Any:
    rows = AuditCosignature.objects.filter(witness=witness.key.label, checkpoint__origin=_origin(epoch))
    return rows.order_by("-checkpoint")


def _last_cosigned(witness: Witness, epoch: int) -> int:
    return _cosignatures(witness, epoch).values_list("checkpoint_id", flat=True).first() or 0


def has_witnesses() -> bool:
    return bool(settings.KEYSTEAD.witnesses)


def standing() -> list[dict[str, Any]]:
    """How far each witness has come, for whoever watches the server."""
    found = []
    for witness in settings.KEYSTEAD.witnesses:
        last = _cosignatures(witness, _epoch()).first()
        size, at = (0, None) if last is None else (last.checkpoint_id, last.time.isoformat())
        found.append({"witness": witness.key.name, "size": size, "time": at})
    return found


# -- at the start --------------------------------------------------------------------------------------------------


def beyond(epoch: int, size: int) -> list[Seen]:
    """What witnesses have seen and our rows do not have. A witness that is not heard says nothing."""
    found = []
    for witness in settings.KEYSTEAD.witnesses:
        try:
            seen = [seen_by(witness, each) for each in range(epoch, epoch + 1 + EPOCHS_AHEAD)]
        except Unheard as unheard:
            logger.error("the witness %s was not heard: %s", witness.key.name, unheard)
            continue
        found += [each for each in seen if each.size > (size if each.epoch == epoch else 0)]
    return found


class WitnessComparison:
    """One process's, at its start: whether the record is the one that witnesses have seen."""

    def __init__(self) -> None:
        self._asked_at: float | None = None
        self._reason: str | None = None

    def fault(self) -> str | None:
        """While something is wrong this is asked each second, and witnesses now and then."""
        if self._reason is None or self._asked_at is None or time.monotonic() - self._asked_at >= REPEAT_SECONDS:
            self._reason = self._fault()
            self._asked_at = time.monotonic()
        return self._reason

    def _fault(self) -> str | None:
        reason, unheard = compared()
        if reason is None and unheard and settings.KEYSTEAD.witness_required:
            return f"Every witness has to be heard before anything is served: {'; '.join(unheard)}"
        for each in unheard:
            logger.error("the record was compared with what the token remembers, and not with a witness: %s", each)
        return reason


def compared() -> tuple[str | None, list[str]]:
    """What is wrong with the record in the light of what witnesses have seen, and which were not heard, and why."""
    unheard: list[str] = []
    for witness in settings.KEYSTEAD.witnesses:
        try:
            show(witness)
            _demand_no_later_epoch(witness)
        except Contradicted as contradicted:
            return str(contradicted), unheard
        except Unheard as reason:
            unheard.append(f"{witness.key.name}: {reason}")
    return None, unheard


def _demand_no_later_epoch(witness: Witness) -> None:
    ours = _epoch()
    for epoch in range(ours + 1, ours + 1 + EPOCHS_AHEAD):
        if seen_by(witness, epoch).size:
            raise Contradicted(
                f"The record was set back to epoch {ours}; {witness.key.name} has witnessed epoch {epoch}"
            )


# -- turns ---------------------------------------------------------------------------------------------------------


class WitnessCaller:
    """Every process may run it; one at a time calls. Who is contradicted seals itself, and the next finds it too."""

    def __init__(self) -> None:
        self._silent: dict[str, float] = {}

    def turn(self) -> None:
        if trust.reason is not None or not settings.KEYSTEAD.witnesses:
            return
        with alone(WITNESS_LOCK) as ours:
            for witness in settings.KEYSTEAD.witnesses if ours else ():
                self._show(witness)

    def _show(self, witness: Witness) -> None:
        epoch = _epoch()
        newest = _newest(epoch)
        if newest is None or newest.checkpoint_id == _last_cosigned(witness, epoch):
            return
        try:
            show(witness)
        except Contradicted as contradicted:
            trust.reason = str(contradicted)
            logger.critical("the server is sealed: %s", contradicted)
        except Unheard as unheard:
            self._complain(witness, unheard)
        else:
            if self._silent.pop(witness.key.label, None) is not None:
                logger.warning("the witness %s is heard again", witness.key.name)

    def _complain(self, witness: Witness, unheard: Unheard) -> None:
        """At once, and every ten minutes while it lasts."""
        told_at = self._silent.get(witness.key.label)
        if told_at is not None and time.monotonic() - told_at < REMIND_SECONDS:
            return
        self._silent[witness.key.label] = time.monotonic()
        last = _cosignatures(witness, _epoch()).first()
        since = "never" if last is None else f"last at {last.time.isoformat(timespec='seconds')}"
        logger.error("the witness %s did not cosign (%s): %s", witness.key.name, since, unheard)
