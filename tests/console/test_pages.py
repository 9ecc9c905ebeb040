"""Every page there is, looked at: accessible in both themes, within its policy, whole at 360 pixels, kept as a picture.

The list is the console's own (kms.console.urls): a new screen joins it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from playwright.sync_api import Page

from kms.console.screens import Screen
from kms.console.urls import SCREENS
from tests.console.world import World
from tests.kit.browser import Person
from tests.kit.npm import installed

PAGES = [screen for screen in SCREENS if screen.show is not None]
PICTURES = Path(__file__).parents[2] / "build" / "console"
WIDTHS = (360, 820, 1440)
# Level A and AA of WCAG 2.2, and what axe's authors hold to be good besides.
_AXE = """async () => {
    const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
    const found = (await axe.run(document, {runOnly: tags})).violations;
    const node = n => `${n.html.slice(0, 200)} ${n.any.map(a => a.message).join('; ')}`;
    return found.map(v => `${v.id}: ${v.help}: ${v.nodes.map(node).join(' | ')}`);
}"""


def address(screen: Screen, ids: Mapping[str, object]) -> str:
    return "/" + re.sub(r"<\w+:(\w+)>", lambda found: str(ids[found[1]]), screen.route)


@pytest.fixture(scope="package")
def axe() -> str:
    folder = installed(Path(__file__).parent, "console")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text()


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
    for theme in ("light", "dark"):
        visitor.page.emulate_media(color_scheme=theme)
        for width in WIDTHS:
            visitor.page.set_viewport_size({"width": width, "height": 900})
            assert not _sticks_out(visitor.page), f"wider than {width} pixels"
            _picture(visitor.page, f"{screen.name}-{width}-{theme}")
        visitor.at_ease()
        visitor.page.evaluate(axe)
        assert not visitor.page.evaluate(_AXE)


def _sticks_out(page: Page) -> bool:
    wider: bool = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    return wider


def _picture(page: Page, name: str) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{name}.png", full_page=True)
