"""Key states and what they allow, every pair written out (SP 800-57 pt 1 rev 5 §7)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kms.crypto.operation import KeyOperation
from kms.objects.state import Cryptoperiod, KeyState, effective_state, initial_state
from kms.objects.usage import Usable, refusal

NOW = datetime(2026, 7, 24, 12, tzinfo=UTC)
TICK = timedelta(microseconds=1)

# Columns: pre-active, active, deactivated, compromised, destroyed, deleted. "+" allowed, "-" refused.
TABLE = """
    sign            - + - - - -
    verify          - + + + - -
    encrypt         - + - - - -
    decrypt         - + + + - -
    wrap            - + - - - -
    unwrap          - + + + - -
    derive          - + - - - -
    transform       - + - - - -
    mac-generate    - + - - - -
    mac-verify      - + + + - -
    export          - + + + - -
    app-manageable  - + - - - -
    high-volume     - + - - - -
    agree           - + - - - -
    encapsulate     - + - - - -
    decapsulate     - + + + - -
"""
STATES = [
    KeyState.PRE_ACTIVE,
    KeyState.ACTIVE,
    KeyState.DEACTIVATED,
    KeyState.COMPROMISED,
    KeyState.DESTROYED,
    KeyState.DELETED,
]
ROWS = {KeyOperation(words[0]): words[1:] for words in map(str.split, TABLE.strip().splitlines())}
PAIRS = [(operation, state) for operation in KeyOperation for state in KeyState]

moments = st.none() | st.integers(-5, 5).map(lambda seconds: NOW + timedelta(seconds=seconds))
periods = st.builds(Cryptoperiod, moments, moments)
states = st.sampled_from(KeyState)
operations = st.sampled_from(KeyOperation)


def usable(state: KeyState, *held: KeyOperation, enabled: bool = True, period: Cryptoperiod | None = None) -> Usable:
    return Usable(frozenset(held), state, period or Cryptoperiod(), enabled)


def test_the_table_has_every_operation_and_every_state() -> None:
    assert ROWS.keys() == set(KeyOperation)
    assert set(STATES) == set(KeyState)
    assert {len(marks) for marks in ROWS.values()} == {len(STATES)}


@pytest.mark.parametrize(("operation", "state"), PAIRS, ids=[f"{o}-{s}" for o, s in PAIRS])
def test_a_state_allows_what_the_table_says(operation: KeyOperation, state: KeyState) -> None:
    refused = refusal(operation, usable(state, operation), NOW)
    allowed = ROWS[operation][STATES.index(state)] == "+"
    assert (refused is None) is allowed
    if refused is not None:
        assert refused.code == f"state-{state}"
        assert state.value in refused.message


@given(operations, states, periods, st.booleans(), st.frozensets(operations))
def test_an_operation_that_the_object_does_not_have_is_refused_in_every_state(
    operation: KeyOperation, state: KeyState, period: Cryptoperiod, enabled: bool, held: frozenset[KeyOperation]
) -> None:
    refused = refusal(operation, Usable(held - {operation}, state, period, enabled), NOW)
    assert refused is not None
    assert refused.code == "operation-not-permitted"


@given(operations, states, periods)
def test_a_disabled_object_refuses_everything(operation: KeyOperation, state: KeyState, period: Cryptoperiod) -> None:
    refused = refusal(operation, usable(state, operation, enabled=False, period=period), NOW)
    assert refused is not None
    assert refused.code == "object-disabled"


@given(operations, states, periods, st.frozensets(operations))
def test_more_operations_never_refuse_more(
    operation: KeyOperation, state: KeyState, period: Cryptoperiod, more: frozenset[KeyOperation]
) -> None:
    alone = refusal(operation, usable(state, operation, period=period), NOW)
    assert refusal(operation, usable(state, operation, *more, period=period), NOW) == alone


# -- dates ---------------------------------------------------------------------------------------------------------

DATED = [
    # stored, activation, deactivation (in ticks from now, None for none) -> state now
    (KeyState.PRE_ACTIVE, None, None, KeyState.PRE_ACTIVE),
    (KeyState.PRE_ACTIVE, 1, None, KeyState.PRE_ACTIVE),
    (KeyState.PRE_ACTIVE, 0, None, KeyState.ACTIVE),
    (KeyState.PRE_ACTIVE, -1, None, KeyState.ACTIVE),
    (KeyState.PRE_ACTIVE, -1, 1, KeyState.ACTIVE),
    (KeyState.PRE_ACTIVE, -2, 0, KeyState.DEACTIVATED),
    (KeyState.PRE_ACTIVE, -2, -1, KeyState.DEACTIVATED),
    (KeyState.PRE_ACTIVE, None, -1, KeyState.PRE_ACTIVE),
    (KeyState.PRE_ACTIVE, 1, -1, KeyState.PRE_ACTIVE),
    (KeyState.ACTIVE, None, None, KeyState.ACTIVE),
    (KeyState.ACTIVE, 1, None, KeyState.ACTIVE),
    (KeyState.ACTIVE, None, 1, KeyState.ACTIVE),
    (KeyState.ACTIVE, None, 0, KeyState.DEACTIVATED),
    (KeyState.ACTIVE, None, -1, KeyState.DEACTIVATED),
    (KeyState.DEACTIVATED, -1, 1, KeyState.DEACTIVATED),
    (KeyState.COMPROMISED, -1, 1, KeyState.COMPROMISED),
    (KeyState.DESTROYED, -1, 1, KeyState.DESTROYED),
    (KeyState.DELETED, -1, 1, KeyState.DELETED),
]


def _at(ticks: int | None) -> datetime | None:
    return None if ticks is None else NOW + ticks * TICK


@pytest.mark.parametrize(("stored", "activation", "deactivation", "expected"), DATED)
def test_dates_take_effect_when_they_pass(
    stored: KeyState, activation: int | None, deactivation: int | None, expected: KeyState
) -> None:
    assert effective_state(stored, Cryptoperiod(_at(activation), _at(deactivation)), NOW) is expected


@given(states, periods, st.integers(0, 10))
def test_time_never_leads_back_to_an_earlier_state(state: KeyState, period: Cryptoperiod, seconds: int) -> None:
    order = [KeyState.PRE_ACTIVE, KeyState.ACTIVE, KeyState.DEACTIVATED]
    before = effective_state(state, period, NOW)
    after = effective_state(state, period, NOW + timedelta(seconds=seconds))
    if state in order:
        assert order.index(after) >= order.index(before)
    else:
        assert before is after is state


@given(states, periods)
def test_looking_twice_changes_nothing(state: KeyState, period: Cryptoperiod) -> None:
    once = effective_state(state, period, NOW)
    assert effective_state(once, period, NOW) is once


@given(periods)
def test_a_new_object_is_active_unless_its_activation_lies_ahead(period: Cryptoperiod) -> None:
    ahead = period.activation is not None and period.activation > NOW
    assert initial_state(period, NOW) is (KeyState.PRE_ACTIVE if ahead else KeyState.ACTIVE)
