"""Key states and when they allow what (SP 800-57 pt 1 rev 5 §7). Pure: no Django, no clock, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class KeyState(StrEnum):
    """§7.1 to 7.6; ``DELETED`` is ours: the row is only a tombstone."""

    PRE_ACTIVE = "pre-active"
    ACTIVE = "active"
    DEACTIVATED = "deactivated"
    COMPROMISED = "compromised"
    DESTROYED = "destroyed"
    DELETED = "deleted"


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


def initial_state(period: Cryptoperiod, now: datetime) -> KeyState:
    """A new object is active unless its activation lies ahead."""
    if period.activation is not None and period.activation > now:
        return KeyState.PRE_ACTIVE
    return KeyState.ACTIVE
