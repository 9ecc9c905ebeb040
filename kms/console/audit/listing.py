"""The log as a table: filtered by its address, newest first, further by the last entry, and followed live."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.http import HttpResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from kms.api.inside import Refused
from kms.console.audit.words import NOBODY, OUTCOMES, TONES, actor_of, details_of, sentence_of
from kms.console.forms import Form
from kms.console.tables import PAGE, Column, table, url
from kms.console.visit import Visit

_SPANS: Mapping[str, timedelta] = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
    "month": timedelta(days=30),
}
_FILTERS = ("span", "since", "until", "category", "severity", "actor", "object")
_TAILED = 60
# What the viewer's own looking leaves in the record: followed live, it would be all there is to see.
_LOOKING = frozenset({"audit.read", "listing.name", "listing.find", "record.checkpoint", "session.get"})
# By which name of an address a thing of a kind has its page.
_PAGES = {"object": ("object", "key_id"), "group": ("group", "group_id"), "app": ("app", "app_id")}
PAGES = {
    **_PAGES,
    "user": ("user", "user_id"),
    "role": ("role", "role_id"),
    "approval": ("approval", "req_id"),
    "cluster": ("kubernetes-cluster", "cluster_id"),
}


def _moment_field(label: Any) -> forms.DateTimeField:
    widget = forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")
    return forms.DateTimeField(label=label, required=False, widget=widget)


class FilterForm(Form):
    span = forms.ChoiceField(
        label=_("Time"),
        required=False,
        choices=(
            ("", _("Any time")),
            ("hour", _("Last hour")),
            ("day", _("Last 24 hours")),
            ("week", _("Last 7 days")),
            ("month", _("Last 30 days")),
        ),
    )
    since = _moment_field(_("From"))
    until = _moment_field(_("Until"))
    category = forms.ChoiceField(
        label=_("Category"),
        required=False,
        choices=(
            ("", _("All")),
            ("CRYPTOOPERATION", _("Cryptographic")),
            ("ADMINISTRATIVE", _("Administrative")),
            ("AUTH", _("Authentication")),
            ("OTHER", _("Other")),
        ),
    )
    severity = forms.ChoiceField(
        label=_("Severity"),
        required=False,
        choices=(
            ("", _("All")),
            ("INFO", _("Information")),
            ("WARNING", _("Warning")),
            ("ERROR", _("Error")),
            ("CRITICAL", _("Critical")),
        ),
    )
    actor = forms.CharField(label=_("Who"), required=False, max_length=256)
    object = forms.CharField(label=_("About what"), required=False, max_length=256)


def show(visit: Visit) -> HttpResponse:
    form = FilterForm(visit.query)
    wanted = _wanted(visit, form) if form.is_valid() else {}
    if visit.by_htmx and "after" in visit.query:
        return _tail(visit, wanted)
    live = "live" in visit.query and form.is_valid()
    start = visit.query.get("start")
    rows = _read(visit, wanted, PAGE + 1, start) if form.is_valid() else []
    page = table(visit.query, _columns(), rows, lambda row: {"start": row["_id"]}, filters=_FILTERS)
    context = {
        "table": page,
        "form": form,
        "entries": shown(visit, page.rows),
        "live": live,
        "switch": url(visit.query, live="" if live else "1"),
        "more": _tail_url(visit, rows[0]["_id"] if rows else str(UUID(int=0))) if live else "",
        "checkpoint": _checkpoint(visit),
        "exact": bool(visit.query.get("since") or visit.query.get("until")),
    }
    return visit.render("console/audit/list.html", context, status=200 if form.is_valid() else 422)


def _tail_url(visit: Visit, after: str) -> str:
    """Where the page asks for what comes after that entry."""
    return url(visit.query, after=after)


def _columns() -> tuple[Column, ...]:
    labels = (_("When"), _("What happened"), _("About"), _("Who"), _("Outcome"))
    return tuple(Column(label) for label in labels)


def _wanted(visit: Visit, form: FilterForm) -> dict[str, Any]:
    """The API's filters. Names of people and things are looked up; one that nothing has finds nothing."""
    data = form.cleaned_data
    since, until = (_in_zone(visit, data[name]) for name in ("since", "until"))
    if since is None and data["span"]:
        since = timezone.now() - _SPANS[data["span"]]
    return {
        "range_from": None if since is None else int(since.timestamp()),
        "range_to": None if until is None else int(until.timestamp()),
        "action_type": data["category"] or None,
        "severity": data["severity"] or None,
        "actor_id": _identity(visit, data["actor"], ("user", "app")),
        "object_id": _identity(visit, data["object"], tuple(PAGES)),
    }


def _in_zone(visit: Visit, moment: datetime | None) -> datetime | None:
    """What was typed is in the viewer's zone."""
    return None if moment is None else moment.replace(tzinfo=visit.zone)


def _identity(visit: Visit, text: str, kinds: tuple[str, ...]) -> str | None:
    text = text.strip()
    if not text:
        return None
    try:
        return str(UUID(text))
    except ValueError:
        found = visit.call("FindByName", query={"q": text, "limit": 20})
        fitting = [thing for thing in found if thing["kind"] in kinds]
        exact = [thing for thing in fitting if thing["name"].casefold() == text.casefold()]
        return next((str(thing["id"]) for thing in exact or fitting), NOBODY)


def _read(visit: Visit, wanted: Mapping[str, Any], size: int, after: str | None = None) -> list[dict[str, Any]]:
    query = {**wanted, "size": size, "previous_id": after}
    hits: list[dict[str, Any]] = visit.call("GetAllLogs", query=query)["hits"]
    return hits


def _tail(visit: Visit, wanted: Mapping[str, Any]) -> HttpResponse:
    """The entries since the last one that the page has, but for those of its own looking."""
    after = visit.query.get("after", "")
    newer = [row for row in _read(visit, wanted, _TAILED) if row["_id"] > after]
    fresh = [row for row in newer if not _is_looking(row["_source"], visit.user_id)]
    more = _tail_url(visit, newer[0]["_id"] if newer else after)
    return visit.render("console/audit/rows.html", {"entries": shown(visit, fresh), "more": more, "fresh": True})


def _is_looking(entry: Mapping[str, Any], user: str) -> bool:
    return entry["actor_id"] == user and entry["action"] in _LOOKING


def shown(visit: Visit, rows: Any) -> list[dict[str, Any]]:
    """Each with names in place of ids."""
    entries = [{"id": row["_id"], **row["_source"]} for row in rows]
    names = visit.names({entry[field] for entry in entries for field in ("actor_id", "object_id")})
    return [
        {
            **entry,
            "sentence": sentence_of(entry),
            "about": details_of(entry, names),
            "actor": actor_of(entry["actor_type"], entry["actor_id"], names),
            "object": "" if entry["object_id"] == NOBODY else names.get(entry["object_id"], entry["object_id"][:8]),
            "said": OUTCOMES.get(entry["outcome"], entry["outcome"]),
            "tone": TONES.get(entry["outcome"], "info"),
        }
        for entry in entries
    ]


def _checkpoint(visit: Visit) -> dict[str, Any] | None:
    """None where there is none yet, or the viewer may not have it."""
    try:
        found: dict[str, Any] = visit.call("GetCheckpoint")
    except Refused:
        return None
    return {"checkpoint": found["checkpoint"], "key": found["key"]}
