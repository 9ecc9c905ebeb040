"""A pytest plugin for ``make mutate``: of each test few cases or draws, always the same, none made smaller.

There are hundreds of mutants to run the tests on, and all that is asked is whether one fails. What survives few draws
counts as survived, so the score is rather too low. The tests that are soonest to fail run first, and a test that a
mutant never lets go of has failed.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Generator
from types import FrameType

import pytest
from hypothesis import Phase, settings

MOST = 25
LONGEST = 10.0  # seconds of work, not of waiting, so that a busy machine fails no test; the slowest needs three
OWN = "_hypothesis_internal_use_settings"  # where Hypothesis keeps a test's settings


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    _thin_out(config, items)
    for item in items:
        test = getattr(item, "obj", None)
        own = getattr(test, OWN, None)
        if own is not None:
            setattr(test, OWN, _quick(own))
    _soonest_to_fail_first(items)


def _thin_out(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of a test with hundreds of cases (all permissions, say) only every so manieth."""
    cases: dict[object, list[pytest.Item]] = {}
    for item in items:
        cases.setdefault(getattr(item, "obj", item), []).append(item)
    kept = {item for each in cases.values() for item in each[:: -(-len(each) // MOST)]}
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = [item for item in items if item in kept]


def _quick(own: settings) -> settings:
    return settings(
        own,
        max_examples=min(MOST, own.max_examples),
        phases=[Phase.explicit, Phase.generate],
        deadline=None,
        derandomize=True,
        database=None,
    )


def _soonest_to_fail_first(items: list[pytest.Item]) -> None:
    """Examples before properties, and one of each test before the hundredth of one. It keeps the order otherwise."""
    seen: Counter[object] = Counter()
    turn: dict[pytest.Item, tuple[bool, int]] = {}
    for item in items:
        test = getattr(item, "obj", None)
        turn[item] = (hasattr(test, OWN), seen[test])
        seen[test] += 1
    items.sort(key=turn.__getitem__)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, None, None]:
    signal.signal(signal.SIGVTALRM, _give_up)
    signal.setitimer(signal.ITIMER_VIRTUAL, LONGEST, LONGEST)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _give_up(_signal: int, _frame: FrameType | None) -> None:
    pytest.fail(f"It worked for {LONGEST:.0f} s")
