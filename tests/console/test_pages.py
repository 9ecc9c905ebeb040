"""Every page there is, looked at: accessible in both themes, within its policy, whole at 360 pixels, kept as a picture.

The list is the console's own (kms.console.urls): a new screen joins it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import pytest

from kms.console.screens import Screen
from kms.console.urls import SCREENS
from tests.console.looks import WIDTHS, looked_at
from tests.console.world import World
from tests.kit.browser import Person

PAGES = [screen for screen in SCREENS if screen.show is not None]


def address(screen: Screen, ids: Mapping[str, object]) -> str:
    return "/" + re.sub(r"<\w+:(\w+)>", lambda found: str(ids[found[1]]), screen.route)


@pytest.mark.parametrize("screen", PAGES, ids=lambda screen: screen.name)
def test_a_page_is_accessible_and_keeps_to_its_policy(
    screen: Screen, world: World, person: Callable[..., Person], axe: str
) -> None:
    visitor = person(None if screen.anonymous else world.alice)
    answer = visitor.page.goto(address(screen, world.ids))
    assert answer is not None
    assert answer.status == 200
    assert visitor.page.locator("h1").count() == 1
    assert visitor.page.title().endswith("Keystead")
    looked_at(visitor.page, axe, screen.name, WIDTHS)
    visitor.at_ease()
