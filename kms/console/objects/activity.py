"""What was done with an object, by whom, from the record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from kms.console.objects.facts import Badge
from kms.console.objects.frame import asked, loaded, page
from kms.console.tables import PAGE, Column, table
from kms.console.visit import Visit
from kms.console.words import word_of

_COLUMNS = (Column(_("What")), Column(_("Who")), Column(_("Outcome")), Column(_("From")), Column(_("When")))


@dataclass(frozen=True, slots=True)
class Entry:
    """``who`` is a name where the viewer may know it."""

    id: str
    action: str
    who: str
    time: str
    address: str
    outcome: Badge
    reason: str


def entries(visit: Visit, key_id: str, size: int, before: str | None = None) -> list[Entry] | None:
    """The latest first; None where the viewer may not read the record."""
    query = {"object_id": key_id, "size": size, "previous_id": before}
    found = asked(visit, "GetAllLogs", query=query) if before is None else visit.call("GetAllLogs", query=query)
    if found is None:
        return None
    hits = found["hits"]
    names = visit.names(hit["_source"]["actor_id"] for hit in hits)
    return [_entry(hit["_id"], hit["_source"], names) for hit in hits]


def _entry(identity: str, source: Mapping[str, Any], names: Mapping[str, str]) -> Entry:
    actor = str(source["actor_id"])
    return Entry(
        id=identity,
        action=action_of(source),
        who=names.get(actor) or (str(_("The server")) if source["actor_type"] == "System" else actor[:8]),
        time=source["time"],
        address=source.get("client_ip") or "",
        outcome=outcome_badge(source.get("outcome", "")),
        reason=source.get("reason", ""),
    )


def action_of(source: Mapping[str, Any]) -> str:
    """ "object.decrypt-init" as "Decrypt init"."""
    plain = str(source.get("action", "")).rpartition(".")[2].replace("-", " ").replace("_", " ")
    return plain[:1].upper() + plain[1:]


_OUTCOMES: Mapping[str, tuple[str, str, str | Promise]] = {
    "done": ("ok", "circle-check", _("Done")),
    "announced": ("", "clock", _("Begun")),
    "pending": ("info", "vote", _("Waits for approval")),
    "denied": ("danger", "ban", _("Denied")),
    "failed": ("danger", "circle-alert", _("Failed")),
}


def outcome_badge(outcome: str) -> Badge:
    tone, icon, text = _OUTCOMES.get(outcome, ("", "info", word_of(outcome)))
    return Badge(tone, icon, str(text))


def show(visit: Visit, key_id: str) -> HttpResponse:
    thing = loaded(visit, key_id)
    found = entries(visit, key_id, PAGE + 1, visit.query.get("start") or None)
    shown = None
    if found is not None:
        shown = table(visit.query, _COLUMNS, found, lambda entry: {"start": entry.id})
    return page(visit, thing, "object-activity", {"table": shown})
