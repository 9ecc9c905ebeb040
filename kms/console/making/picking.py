"""Choosing a group, app or object out of any number: the server is searched, a handful is shown, one is chosen.

A fragment of a form. It works without scripts too: what was typed is looked up when the form is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.http import HttpResponse
from django.utils.translation import gettext_lazy as _

from kms.console.screens import Screen
from kms.console.visit import Visit

_SHOWN = 6
_KINDS = ("group", "app", "object")


@dataclass(frozen=True, slots=True)
class Found:
    id: str
    name: str
    about: str = ""


def found(visit: Visit, kind: str, text: str) -> list[Found]:
    """By a part of the name; the first few when nothing was typed."""
    if text.strip():
        hits = visit.call("FindByName", query={"q": text.strip()[:256], "limit": _SHOWN})
        return [Found(hit["id"], hit["name"], hit.get("about", "")) for hit in hits if hit["kind"] == kind]
    return _first(visit, kind)


def _first(visit: Visit, kind: str) -> list[Found]:
    if kind == "group":
        rows = visit.call("ListGroups", query={"limit": _SHOWN, "sort": "name:asc"})
        return [Found(row["group_id"], row["name"]) for row in rows]
    if kind == "app":
        rows = visit.call("ListApps", query={"limit": _SHOWN, "sort": "name:asc"})
        return [Found(row["app_id"], row["name"]) for row in rows]
    rows = visit.call("ListSobjects", query={"limit": _SHOWN, "sort": "name:asc"})
    return [Found(row["kid"], row["name"], row["obj_type"]) for row in rows if row.get("kid")]


def with_chosen(visit: Visit, choices: Sequence[Found], chosen: Iterable[str]) -> list[Found]:
    """What is chosen stays in sight, whatever is searched for."""
    lacking = [each for each in chosen if each and all(each != choice.id for choice in choices)]
    names = visit.names(lacking) if lacking else {}
    return [Found(each, names[each]) for each in lacking if each in names] + list(choices)


def chosen_or_typed(visit: Visit, kind: str, chosen: str, text: str) -> str:
    """The id of what was chosen, or of the one thing that has the typed name."""
    if chosen or not text.strip():
        return chosen
    hits = [each for each in found(visit, kind, text) if each.name == text.strip() or each.id == text.strip()]
    return hits[0].id if len(hits) == 1 else ""


def _pick(visit: Visit) -> HttpResponse:
    kind = visit.form.get("pick_kind", "")
    name, chosen = visit.form.get("pick_field", ""), visit.form.getlist(visit.form.get("pick_field", ""))
    kind = kind if kind in _KINDS else "group"
    choices = with_chosen(visit, found(visit, kind, visit.form.get(f"{name}_text", "")), chosen)
    context = {"choices": choices, "chosen": chosen, "name": name, "several": "pick_several" in visit.form}
    return visit.render("console/making/choices.html", context)


SCREENS: tuple[Screen, ...] = (Screen("pick", "pick", _("Choose"), act=_pick),)
