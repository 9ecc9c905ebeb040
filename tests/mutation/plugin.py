"""A pytest plugin for ``make mutate``: of each property few draws, always the same, and no search for a smaller one.

There are hundreds of mutants to run the tests on, and all that is asked is whether one fails. What survives few draws
counts as survived, so the score is rather too low.
"""

from __future__ import annotations

import pytest
from hypothesis import Phase, settings

MOST = 25
OWN = "_hypothesis_internal_use_settings"  # where Hypothesis keeps a test's settings


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        test = getattr(item, "obj", None)
        own = getattr(test, OWN, None)
        if own is not None:
            setattr(test, OWN, _quick(own))


def _quick(own: settings) -> settings:
    return settings(
        own,
        max_examples=min(MOST, own.max_examples),
        phases=[Phase.explicit, Phase.generate],
        deadline=None,
        derandomize=True,
        database=None,
    )
