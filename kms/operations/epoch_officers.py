"""Who decides whether a record that was set back goes on: officers whom the environment names and the token remembers.

A host's operator who edits the list, or takes it out of the environment, decides nothing by that: the token remembers
the list's fingerprint, and another is taken at the word of the old officers only. It must not know the wire or HTTP.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from kms.audit.entry import Category, Detail
from kms.audit.officers import Officers, OfficersInvalid, Pinned, QuorumNotMet, officers, signers, unpacked
from kms.hsm.errors import ModuleError
from kms.hsm.module import Kept
from kms.objects import keystore
from kms.operations.authority import resolve_on_record
from kms.operations.command import Call, CarryOut, Command, Operation, control
from kms.operations.epoch_statements import Appointment, Statement, keep, kept, spend
from kms.operations.errors import Conflict, InvalidRequest
from policies.permissions import Permission

logger = logging.getLogger(__name__)

NOBODY = "the operator of the host alone"


@dataclass(frozen=True, slots=True)
class SetEpochOfficers(Command):
    """Let the token remember the officers whom the environment names now.

    ``old`` is the text of the list that the token remembers, if any, whose officers have to have signed.
    """

    old: str = ""
    signatures: tuple[str, ...] = ()


# -- who decides ---------------------------------------------------------------------------------------------------


def configured() -> Officers | None:
    """Whom the environment names. InvalidRequest when the list cannot be used."""
    path, quorum = settings.KEYSTEAD.epoch_officers, settings.KEYSTEAD.epoch_quorum
    if path is None or quorum is None:
        return None
    try:
        return officers(path.read_text(encoding="utf-8"), quorum)
    except (OSError, UnicodeDecodeError):
        raise InvalidRequest("The file that KEYSTEAD_EPOCH_OFFICERS names cannot be read") from None
    except OfficersInvalid as error:
        raise InvalidRequest(f"The list of officers cannot be used: {error}") from None


def pinned() -> Pinned:
    """What the token remembers; nothing is the same as nobody."""
    found = [unpacked(each) for each in keystore.module().recall(Kept.OFFICERS)]
    return max(found, key=lambda each: each.version, default=Pinned(0, "", 0))


def deciding() -> Officers | None:
    """Who has to sign; None: the host's operator alone. Conflict: not those whom the token remembers."""
    known, named = pinned(), configured()
    if known.fingerprint and (named is None or named.fingerprint != known.fingerprint):
        raise Conflict(
            "officers-differ",
            "The officers whom KEYSTEAD_EPOCH_OFFICERS and KEYSTEAD_EPOCH_QUORUM name are not those whom the token "
            "remembers; set_epoch_officers changes them, at the word of the old ones",
        )
    return named


def complain() -> None:
    """At a server's start: a list that the token does not remember holds until somebody edits it, and no longer."""
    try:
        known, named = pinned(), configured()
    except (ModuleError, InvalidRequest) as error:
        logger.error("who may open an epoch of the record is not known: %s", error)
        return
    if named is not None and not known.fingerprint:
        logger.warning("the token does not remember the officers of epochs: call manage.py set_epoch_officers")
    elif known.fingerprint and (named is None or named.fingerprint != known.fingerprint):
        logger.error("the officers of epochs whom the environment names are not those whom the token remembers")


def described(who: Officers) -> str:
    return f"{who.quorum} of these officers, {who.fingerprint}:\n{who.lines()}".rstrip("\n")


def demand_signatures(who: Officers, statement: Statement, signatures: Sequence[str]) -> str:
    """Who signed, for the record. InvalidRequest: too few."""
    try:
        return ", ".join(signers(who, statement.text(), signatures))
    except QuorumNotMet as error:
        raise InvalidRequest(f"The officers have not agreed: {error}", reason="quorum-not-met") from None


# -- others are to decide ------------------------------------------------------------------------------------------


def appointment(old: str) -> Appointment | None:
    """What the old officers are asked to sign; None: there are none, and nobody is asked."""
    known = pinned()
    if not known.fingerprint:
        return None
    who, named = _remembered(old, known), _changed(known)
    asked = kept(Appointment)
    fresh = Appointment(
        deployment=str(keystore.deployment_id()),
        deciding=described(who),
        fingerprint="" if named is None else named.fingerprint,
        quorum=0 if named is None else named.quorum,
        listed="" if named is None else named.lines(),
    )
    if asked is not None and _same(asked, fresh) and not asked.over(fresh.made_at):
        return asked
    keep(fresh)
    return fresh


def set_epoch_officers(call: Call, command: SetEpochOfficers, _payload: None) -> Pinned:
    known = pinned()
    named = _changed(known)
    if known.fingerprint:
        asked, wanted = kept(Appointment), appointment(command.old)
        if asked is None or wanted is None or asked != wanted:
            raise Conflict("statement-spent", "There is no statement of this to sign, or another one: ask for it anew")
        call.details["approvers"] = demand_signatures(_remembered(command.old, known), asked, command.signatures)
    call.details["fields"] = NOBODY if named is None else f"{named.quorum} of {len(set(named.names.values()))}"
    if named is None:
        return Pinned(known.version + 1, "", 0)
    return Pinned(known.version + 1, named.fingerprint, named.quorum)


def remember_officers(_carry_out: CarryOut, _command: SetEpochOfficers, changed: Pinned) -> Pinned:
    keystore.module().keep(changed.packed(), Kept.OFFICERS)
    spend(Appointment)
    return changed


def _changed(known: Pinned) -> Officers | None:
    named = configured()
    if known.fingerprint == ("" if named is None else named.fingerprint):
        raise InvalidRequest("The token remembers these officers already")
    return named


def _remembered(old: str, known: Pinned) -> Officers:
    try:
        who = officers(old, known.quorum)
    except OfficersInvalid as error:
        raise InvalidRequest(f"The old list of officers cannot be used: {error}") from None
    if who.fingerprint != known.fingerprint:
        raise InvalidRequest("The old list of officers is not the one that the token remembers")
    return who


def _same(asked: Appointment, fresh: Appointment) -> bool:
    return (asked.deciding, asked.fingerprint, asked.deployment) == (
        fresh.deciding,
        fresh.fingerprint,
        fresh.deployment,
    )


def _describe(command: SetEpochOfficers) -> Mapping[str, Detail]:
    return {"items": len(command.signatures)}


_resolve = resolve_on_record(Permission.RECORD_OFFICERS)
_operation = control(Category.ADMINISTRATIVE)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(
        SetEpochOfficers,
        "record.set-epoch-officers",
        _resolve,
        set_epoch_officers,
        describe=_describe,
        afterwards=remember_officers,
    ),
)
