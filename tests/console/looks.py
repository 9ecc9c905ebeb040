"""Looking at a page: accessible in both themes, whole on narrow screens, kept as a picture.

The sweep over all screens looks with it, and so do tests that come to a page which no address leads to.
"""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page

PICTURES = Path(__file__).parents[2] / "build" / "console"
WIDTHS = (360, 820, 1440)
# Level A and AA of WCAG 2.2, and what axe's authors hold to be good besides.
_RUN = """async () => {
    const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
    const found = (await axe.run(document, {runOnly: tags})).violations;
    const node = n => `${n.html.slice(0, 200)} ${n.any.map(a => a.message).join('; ')}`;
    return found.map(v => `${v.id}: ${v.help}: ${v.nodes.map(node).join(' | ')}`);
}"""


def looked_at(page: Page, axe: str, name: str, widths: tuple[int, ...] = (360, 1440)) -> None:
    before = page.viewport_size
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        for width in widths:
            page.set_viewport_size({"width": width, "height": 900})
            assert not _sticks_out(page), f"wider than {width} pixels"
            _picture(page, f"{name}-{width}-{theme}")
        page.evaluate(axe)
        assert not page.evaluate(_RUN)
    if before is not None:
        page.set_viewport_size(before)


def _sticks_out(page: Page) -> bool:
    wider: bool = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    return wider


def _picture(page: Page, name: str) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{name}.png", full_page=True)
