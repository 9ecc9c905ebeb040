"""Ctrl-K from anywhere: a name leads to its page by the keyboard alone, and nobody finds what is not theirs."""

from __future__ import annotations

from collections.abc import Callable

from tests.console.world import World
from tests.kit.browser import Person
from tests.kit.tenants import new_tenant


def test_the_palette_leads_to_a_thing_by_keyboard(world: World, person: Callable[..., Person]) -> None:
    visitor = person(world.alice)
    page = visitor.open("/groups")
    page.keyboard.press("Control+k")
    page.keyboard.type(world.tenant.group.name[:12])
    page.locator("#palette .hits a", has_text=world.tenant.group.name).wait_for()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/groups/{world.tenant.group.id}")
    assert page.locator("h1").inner_text() == world.tenant.group.name
    visitor.at_ease()


def test_the_palette_walks_by_arrows_and_closes_by_escape(world: World, person: Callable[..., Person]) -> None:
    visitor = person(world.alice)
    page = visitor.open("/groups")
    page.get_by_role("button", name="Search or go to").click()
    page.keyboard.type("group")
    page.locator("#palette .hits a", has_text="New group").wait_for()
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.matches('#palette .hits a')")
    page.keyboard.press("ArrowUp")
    assert page.evaluate("document.activeElement.matches('#palette input')")
    page.keyboard.press("Escape")
    assert not page.locator("#palette").is_visible()
    visitor.at_ease()


def test_what_is_anothers_is_not_found(world: World, person: Callable[..., Person]) -> None:
    visitor = person(new_tenant().alice)
    page = visitor.open(f"/find?q={world.tenant.group.name}")
    assert page.get_by_text("Nothing has that in its name").is_visible()
    visitor.at_ease()
