"""Looking at a page that no address leads to, as the sweep over all screens looks at the rest."""

from __future__ import annotations

from playwright.sync_api import Page

from tests.console.test_pages import _AXE, _picture, _sticks_out

WIDTHS = (360, 1440)


def looked_at(page: Page, axe: str, name: str) -> None:
    """Accessible in both themes, whole where it is narrow, kept as a picture."""
    before = page.viewport_size
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            assert not _sticks_out(page), f"wider than {width} pixels"
            _picture(page, f"{name}-{width}-{theme}")
        page.evaluate(axe)
        assert not page.evaluate(_AXE)
    if before is not None:
        page.set_viewport_size(before)
