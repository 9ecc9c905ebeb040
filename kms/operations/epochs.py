"""A new epoch of the record: it goes on as it is, although token or witnesses remember another, after a restore.

Where there are officers, a quorum of them signs what is lost first; else the host's operator alone says so. No edge on
the network reaches this. It must not know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from accounts.clock import clock
from kms.audit import trust as trusting
from kms.audit.checkpoint import Checkpoint
from kms.audit.entry import Category
from kms.audit.models import Sealing
from kms.audit.officers import Officers
from kms.audit.sealer import frontier_of, origin
from kms.audit.trust import epoch_of, last_known, packed
from kms.objects import keystore
from kms.operations import witnesses
from kms.operations.authority import resolve_on_record
from kms.operations.command import Call, CarryOut, Command, Operation, control
from kms.operations.epoch_officers import deciding, demand_signatures, described
from kms.operations.epoch_statements import Opening, keep, kept, spend
from kms.operations.errors import Conflict, InvalidRequest
from kms.operations.row_key import forget_row_key
from policies.permissions import Permission


@dataclass(frozen=True, slots=True)
class OpenEpoch(Command):
    """``signatures`` are those of officers over the statement that was asked for last, armoured.

    The epoch's log is one of its own, so that every auditor sees that there was a break.
    """

    signatures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Opened:
    """``by`` names the officers who signed; empty: the host's operator alone."""

    epoch: int
    size: int
    by: str = ""


@dataclass(frozen=True, slots=True)
class _Agreed:
    checkpoint: Checkpoint
    by: str


def opening() -> Opening | None:
    """What officers are asked to sign, the same until it is used or something changes; None: nobody is asked."""
    who = deciding()
    if who is None:
        return None
    state = Sealing.objects.filter(id=1).first() or Sealing()
    asked = kept(Opening)
    if asked is not None and _holds(asked, state, who):
        return asked
    fresh = _asking(state, who)
    keep(fresh)
    return fresh


def _asking(state: Sealing, who: Officers) -> Opening:
    token, seen = _remembered(), witnesses.beyond(state.epoch, state.size)
    fault = trusting.fault(token) or witnesses.compared()[0]
    if fault is None:
        raise InvalidRequest("The record is the one that token and witnesses remember: there is nothing to open")
    known = [each.size for each in seen] + ([] if token is None else [token.size])
    return Opening(
        deployment=str(keystore.deployment_id()),
        deciding=described(who),
        fault=fault,
        database=_here(state, state.epoch),
        token=token,
        witnessed=tuple(f"{each.witness.key.name}: epoch {each.epoch}, {each.size} entries" for each in seen),
        lost=max(0, *known, state.size) - state.size,
        epoch=_next(state, seen),
    )


def _holds(asked: Opening, state: Sealing, who: Officers) -> bool:
    """Whether what was asked is what is so now. What witnesses said then still counts when they are away."""
    return (
        asked.database == _here(state, state.epoch)
        and asked.token == _remembered()
        and asked.deciding == described(who)
        and not asked.over(clock.now())
    )


def open_epoch(call: Call, command: OpenEpoch, _payload: None) -> _Agreed:
    Sealing.objects.get_or_create(id=1)
    state = Sealing.objects.select_for_update().get(id=1)
    who = deciding()
    if who is None:
        if command.signatures:
            raise InvalidRequest("Nobody has to sign: no officers are set")
        epoch, lost, by = _alone(state)
    else:
        asked = kept(Opening)
        if asked is None or not _holds(asked, state, who):
            raise Conflict("statement-spent", "There is no statement of this to sign, or another one: ask for it anew")
        by = demand_signatures(who, asked, command.signatures)
        epoch, lost = asked.epoch, asked.lost
        call.details["approvers"] = by
    state.epoch = epoch
    state.save()
    call.details.update(epoch=epoch, size=state.size, result=f"rollback of {lost} entries")
    return _Agreed(_here(state, epoch), by)


def remember_epoch(_carry_out: CarryOut, _command: OpenEpoch, agreed: _Agreed) -> Opened:
    keystore.module().keep(packed(agreed.checkpoint))
    spend(Opening)
    forget_row_key()
    return Opened(epoch_of(agreed.checkpoint), agreed.checkpoint.size, agreed.by)


def _alone(state: Sealing) -> tuple[int, int, str]:
    token, seen = _remembered(), witnesses.beyond(state.epoch, state.size)
    known = [each.size for each in seen] + ([] if token is None else [token.size])
    return _next(state, seen), max(0, *known, state.size) - state.size, ""


def _next(state: Sealing, seen: Sequence[witnesses.Seen]) -> int:
    token = _remembered()
    return 1 + max(state.epoch, 0 if token is None else epoch_of(token), *(each.epoch for each in seen))


def _here(state: Sealing, epoch: int) -> Checkpoint:
    return Checkpoint(origin(keystore.deployment_id(), epoch), state.size, frontier_of(state).root())


def _remembered() -> Checkpoint | None:
    return last_known(keystore.module().recall)


_resolve = resolve_on_record(Permission.RECORD_EPOCH)
_operation = control(Category.ADMINISTRATIVE)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(OpenEpoch, "record.open-epoch", _resolve, open_epoch, afterwards=remember_epoch),
)
