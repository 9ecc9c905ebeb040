"""A view of the table is saved under a name, opened again from another page of it, and forgotten."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import expect

from tests.console.world import World
from tests.kit.browser import Person
from tests.kit.tenants import new_tenant


def test_a_view_is_saved_opened_and_forgotten(world: World, person: Callable[..., Person]) -> None:
    visitor = person(world.alice)
    page = visitor.open("/objects?type=HMAC&sort=created_at:desc&search=")
    page.get_by_text("Views", exact=True).click()
    page.get_by_label("Name of what is shown now").fill("Newest MAC keys")
    page.get_by_role("button", name="Save this view").click()
    page.goto("/objects")
    page.get_by_text("Views", exact=True).click()
    page.get_by_role("link", name="Newest MAC keys").click()
    page.wait_for_url("**/objects?type=HMAC&sort=created_at%3Adesc")
    expect(page.get_by_role("link", name="webhook check")).to_be_visible()
    page.get_by_text("Views", exact=True).click()
    page.get_by_role("button", name="Forget the view Newest MAC keys").click()
    expect(page.get_by_text("No views yet", exact=False)).to_be_visible()
    page.reload()
    page.get_by_text("Views", exact=True).click()
    expect(page.get_by_role("link", name="Newest MAC keys")).to_have_count(0)
    visitor.at_ease()


def test_what_is_kept_was_made_here_or_is_not_shown(world: World, person: Callable[..., Person]) -> None:
    """Whatever else wrote into the browser's storage, a view leads to this table."""
    visitor = person(new_tenant().alice)
    page = visitor.open("/objects")
    key = page.evaluate("`keystead-views-objects-${document.querySelector('[data-views]').dataset.account}`")
    kept = [{"name": "<img src=x>", "query": "search=%22><script>"}, {"name": 5}, "x"]
    kept += [{"name": "far", "query": "//elsewhere.example"}]
    page.evaluate("([key, kept]) => localStorage.setItem(key, JSON.stringify(kept))", [key, kept])
    page.reload()
    page.get_by_text("Views", exact=True).click()
    links = page.locator("[data-views-list] a")
    assert links.all_inner_texts() == ["<img src=x>", "far"]
    assert all(link.evaluate("a => a.origin + a.pathname").endswith("/objects") for link in links.all())
    visitor.at_ease()
