"""The dashboard's sums, and the page as an operator sees it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from kms.console.dashboard.activity import Day, days_of
from kms.console.dashboard.health import lights
from kms.console.dashboard.numbers import rows_of
from tests.console.world import World
from tests.kit.browser import Person

TODAY = date(2026, 11, 28)


def test_days_without_calls_are_shown_and_hours_belong_to_their_day() -> None:
    parts = [
        {"begins": "20261127T230000Z", "outcome": "done", "calls": 5},
        {"begins": "20261127T010000Z", "outcome": "done", "calls": 2},
        {"begins": "20261128T000000Z", "outcome": "denied", "calls": 1},
    ]
    found = days_of(parts, 3, today=TODAY)
    assert list(found.rows) == [
        Day(date(2026, 11, 26), 0, 0, 0),
        Day(date(2026, 11, 27), 7, 0, 0),
        Day(date(2026, 11, 28), 0, 1, 0),
    ]
    assert found.total == 8


def test_the_longest_bar_fills_the_picture_and_the_shortest_is_seen() -> None:
    rows = rows_of(
        [
            {"obj_type": "RSA", "state": "Active", "number": 1},
            {"obj_type": "AES", "state": "Active", "number": 750},
            {"obj_type": "AES", "state": "Deactivated", "number": 250},
        ]
    )
    assert [(row.kind, row.total) for row in rows] == [("AES", 1000), ("RSA", 1)]
    assert sum(bar.width for bar in rows[0].bars) == 240
    assert rows[0].bars[1].x == rows[0].bars[0].width
    assert rows[1].bars[0].width == 2


def status(**changed: Any) -> dict[str, Any]:
    return {
        "problems": [],
        "database": {"up": True},
        "token": {"up": True},
        "record": {"trusted": True, "unsealed_entries": 0},
        "log_sinks": [],
        **changed,
    }


@pytest.mark.parametrize(
    ("changed", "lit"),
    [
        ({"database": {"up": False}}, "Database"),
        ({"token": {"up": False}}, "Token"),
        ({"record": {"trusted": False, "unsealed_entries": 0}}, "Record"),
        ({"problems": ["rows-forged"]}, "Record"),
        ({"problems": ["sealing-late"]}, "Sealer"),
        ({"log_sinks": [{"entries_behind": 3, "lagging": True}]}, "Log export"),
    ],
)
def test_what_is_wrong_is_lit_and_nothing_else(changed: dict[str, Any], lit: str) -> None:
    assert [light.name for light in lights(status(**changed)) if light.tone == "danger"] == [lit]


def test_when_all_is_well_no_light_is_red() -> None:
    assert {light.tone for light in lights(status())} <= {"ok", ""}


def test_the_slower_parts_come_after_the_page(world: World, person: Callable[..., Person]) -> None:
    visitor = person(world.alice)
    page = visitor.open("/")
    page.locator("[data-chart] canvas").wait_for()
    page.locator("#numbers .bars").first.wait_for()
    assert page.get_by_text("quarter end").first.is_visible()
    page.get_by_text("The numbers").click()
    assert page.locator("[data-chart-rows] tbody tr").count() == 7
    visitor.at_ease()
