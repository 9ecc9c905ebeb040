"""Why somebody may, may not, or may once others have approved: as sentences, by a link that can be sent on."""

from __future__ import annotations

from collections.abc import Callable

from tests.console.looks import looked_at
from tests.kit.approvals import new_panel
from tests.kit.browser import Person


def test_the_three_answers_are_explained(person: Callable[..., Person]) -> None:
    panel = new_panel()
    tenant, asker = panel.tenant, person(panel.tenant.alice)
    page = asker.open(f"/explain?principal={tenant.app.id}&object={panel.key.id}&permission=object.get")
    assert page.locator(".answer .notice[data-tone=ok]").is_visible()
    page.goto(f"/explain?principal={tenant.app.id}&object={panel.key.id}&permission=object.delete")
    answer = page.locator(".answer")
    assert answer.locator(".notice[data-tone=warn]").is_visible()
    assert "Any 2 of" in answer.inner_text()
    stranger = panel.reviewers[0]
    page.goto(f"/explain?principal={stranger.id}&object={panel.key.id}&permission=object.delete")
    assert answer.locator(".notice[data-tone=danger]").is_visible()
    assert page.get_by_text("this decides").is_visible()
    asker.at_ease()


def test_a_question_is_asked_by_names_and_refused_at_the_field(person: Callable[..., Person], axe: str) -> None:
    panel = new_panel()
    asker = person(panel.tenant.alice)
    page = asker.open("/explain")
    page.get_by_label("Who").fill("nobody is called so")
    page.get_by_label("May do what").select_option("object.get")
    page.get_by_role("button", name="Explain").click()
    page.get_by_text("Nothing that you may see is called so").wait_for()
    page.get_by_label("Who").fill("")
    page.get_by_label("With what").fill(panel.tenant.group.name)
    page.get_by_role("button", name="Explain").click()
    page.locator(".answer").wait_for()
    looked_at(page, axe, "explain-answer")
    assert page.goto("/explain?permission=no.such") is not None
    assert page.get_by_text("Select a valid choice").is_visible()
    asker.at_ease()
