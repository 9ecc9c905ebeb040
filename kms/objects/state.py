"""Key states and when they allow what (SP 800-57 pt 1 rev 5 §7). Pure: no Django, no clock, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType


class KeyState(StrEnum):
    """§7.1 to 7.6; ``DELETED`` is ours: the row is only a tombstone."""

    PRE_ACTIVE = "pre-active"
    ACTIVE = "active"
    DEACTIVATED = "deactivated"
    COMPROMISED = "compromised"
    DESTROYED = "destroyed"
    DELETED = "deleted"


class Transition(StrEnum):
    """What moves a key from state to state (figure 3 of §7; the words are KMIP's)."""

    ACTIVATE = "activate"
    DEACTIVATE = "deactivate"
    COMPROMISE = "compromise"
    DESTROY = "destroy"
    DELETE = "delete"


def _to(state: KeyState, *origins: KeyState) -> Mapping[KeyState, KeyState]:
    return MappingProxyType(dict.fromkeys(origins, state))


# An active key must be deactivated or found compromised before it is destroyed (§7.2). Deletion is administrative: it
# may follow any state, and only the undo policy brings an object back from it.
TRANSITIONS: Mapping[Transition, Mapping[KeyState, KeyState]] = MappingProxyType(
    {
        Transition.ACTIVATE: _to(KeyState.ACTIVE, KeyState.PRE_ACTIVE),
        Transition.DEACTIVATE: _to(KeyState.DEACTIVATED, KeyState.ACTIVE),
        Transition.COMPROMISE: _to(KeyState.COMPROMISED, KeyState.PRE_ACTIVE, KeyState.ACTIVE, KeyState.DEACTIVATED),
        Transition.DESTROY: _to(KeyState.DESTROYED, KeyState.PRE_ACTIVE, KeyState.DEACTIVATED, KeyState.COMPROMISED),
        Transition.DELETE: _to(KeyState.DELETED, *(state for state in KeyState if state is not KeyState.DELETED)),
    }
)


def next_state(transition: Transition, current: KeyState) -> KeyState | None:
    """The state after the transition, or None when it is not allowed from here."""
    return TRANSITIONS[transition].get(current)


@dataclass(frozen=True, slots=True)
class Cryptoperiod:
    """SP 800-57 §5.3. Times are in the database's clock; None is open-ended."""

    activation: datetime | None = None
    deactivation: datetime | None = None


def effective_state(stored: KeyState, period: Cryptoperiod, now: datetime) -> KeyState:
    """The state at ``now``: dates take effect when they pass, not when some job notices."""
    state = stored
    if state is KeyState.PRE_ACTIVE and period.activation is not None and period.activation <= now:
        state = KeyState.ACTIVE
    if state is KeyState.ACTIVE and period.deactivation is not None and period.deactivation <= now:
        state = KeyState.DEACTIVATED
    return state


def initial_state(period: Cryptoperiod, now: datetime, *, pre_active: bool = False) -> KeyState:
    """A new object is active unless its activation lies ahead, or waits for somebody (``pre_active``)."""
    if pre_active and (period.activation is None or period.activation > now):
        return KeyState.PRE_ACTIVE
    if period.activation is not None and period.activation > now:
        return KeyState.PRE_ACTIVE
    return KeyState.ACTIVE
