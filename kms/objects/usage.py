"""What an object may be used for: its operations and its state together. Pure: no Django, no clock, no I/O.

"Apply" protects new data (encrypt, sign, mac, wrap, derive); "process" uses what was protected before (decrypt, verify,
unwrap). SP 800-57 pt 1 §7.3: after deactivation a key may process but not apply.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from kms.crypto.operation import KeyOperation
from kms.objects.state import Cryptoperiod, KeyState, effective_state

PROCESSING = frozenset(
    {
        KeyOperation.DECRYPT,
        KeyOperation.VERIFY,
        KeyOperation.MAC_VERIFY,
        KeyOperation.UNWRAP,
        KeyOperation.EXPORT,
        KeyOperation.DECAPSULATE,
    }
)


@dataclass(frozen=True, slots=True)
class Usable:
    """What of an object decides whether an operation may run on it."""

    operations: frozenset[KeyOperation]
    state: KeyState
    period: Cryptoperiod
    enabled: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    code: str
    message: str


def refusal(operation: KeyOperation, usable: Usable, now: datetime) -> Refusal | None:
    """Why the operation may not run on the object now, or None when it may."""
    if operation not in usable.operations:
        return Refusal("operation-not-permitted", f"The object does not permit the operation {operation.value}")
    if not usable.enabled:
        return Refusal("object-disabled", "The object is disabled")
    state = effective_state(usable.state, usable.period, now)
    if state is KeyState.ACTIVE:
        return None
    if state in {KeyState.DEACTIVATED, KeyState.COMPROMISED} and operation in PROCESSING:
        return None
    return Refusal(f"state-{state.value}", f"The object is {state.value}, so it may not be used to {operation.value}")


class Handling(StrEnum):
    """What is done with an object as a whole rather than with data under its key."""

    UPDATE = "update"
    COPY = "copy"
    ROTATE = "rotate"
    INSPECT = "inspect"
    REMOVE_PRIVATE = "remove the private key of"
    PUBLISH = "publish the public key of"


# Inspection is the check value, the digest and the attestation. A compromised key is rotated, never copied.
_LIVE = frozenset({KeyState.PRE_ACTIVE, KeyState.ACTIVE, KeyState.DEACTIVATED})
HANDLED_IN: Mapping[Handling, frozenset[KeyState]] = MappingProxyType(
    {
        Handling.UPDATE: frozenset(KeyState) - {KeyState.DELETED},
        Handling.COPY: _LIVE,
        Handling.ROTATE: _LIVE | {KeyState.COMPROMISED},
        Handling.INSPECT: _LIVE | {KeyState.COMPROMISED},
        Handling.REMOVE_PRIVATE: _LIVE | {KeyState.COMPROMISED},
        Handling.PUBLISH: _LIVE,
    }
)


def handling_refusal(handling: Handling, state: KeyState) -> Refusal | None:
    """Why the object cannot be handled so in this state, or None when it can."""
    if state in HANDLED_IN[handling]:
        return None
    return Refusal(f"state-{state.value}", f"The object is {state.value}: one cannot {handling.value} it")
