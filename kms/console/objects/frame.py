"""What every page of one object has: its head, its tabs, who guards it. And what a page can do without."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpResponse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from kms.api.inside import Refused
from kms.console.forms import Form
from kms.console.objects.facts import size_of, state_badge
from kms.console.quorums.sentences import ids_in, sentence_of
from kms.console.visit import Visit

TABS: tuple[tuple[str, str | Promise], ...] = (
    ("object", _("Overview")),
    ("object-versions", _("Versions and rotation")),
    ("object-access", _("Access")),
    ("object-activity", _("Activity")),
)


def loaded(visit: Visit, key_id: str) -> dict[str, Any]:
    """The object, be it only a tombstone."""
    found: dict[str, Any] = visit.call("GetSobjectById", query={"show_deleted": True}, key_id=key_id)
    return found


def asked(visit: Visit, operation: str, **arguments: Any) -> Any:
    """What may be refused without harm to the rest of a page: None then."""
    try:
        return visit.call(operation, **arguments)
    except Refused:
        return None


def guards(visit: Visit, thing: Mapping[str, Any]) -> list[str]:
    """The quorums before it in words: its own and its group's."""
    group = asked(visit, "GetGroup", group_id=thing["group_id"]) if thing.get("group_id") else None
    policies = [thing.get("approval_policy"), (group or {}).get("approval_policy")]
    names = visit.names([each for policy in policies for each in ids_in(policy)])
    return [sentence for policy in policies if policy and (sentence := sentence_of(policy, names))]


def page(
    visit: Visit, thing: Mapping[str, Any], tab: str, context: Mapping[str, Any], *, status: int = 200
) -> HttpResponse:
    """A tab of the object's page, by the template of its name."""
    guarded = guards(visit, thing)
    if not guarded:
        _nothing_to_approve(context)
    given = {
        "title": thing.get("name") or thing["kid"],
        "thing": thing,
        "state": state_badge(thing),
        "size": size_of(thing),
        "tabs": TABS,
        "tab": tab,
        "guards": guarded,
        "gone": "deletion_date" in thing,
        **context,
    }
    return visit.render(f"console/objects/{tab}.html", given, status=status)


def _nothing_to_approve(context: Mapping[str, Any]) -> None:
    """No quorum is known, so nobody is asked what to tell it."""
    for name in ("form", "rotate"):
        if isinstance(form := context.get(name), Form):
            form.fields.pop("approval_description", None)
