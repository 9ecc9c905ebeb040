"""One entry with all that it says, and the proof that the page's own script verifies; and the record's checkpoint."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.http import HttpResponse, JsonResponse
from django.urls import reverse
from django.utils.translation import gettext as _t

from kms.api.inside import Refused
from kms.console.audit.listing import PAGES, shown
from kms.console.audit.words import OUTCOMES, TONES, actor_of, details_of, sentence_of
from kms.console.visit import Visit

_FIELDS = ("account", "session", "method", "client_ip", "request", "category", "severity", "reason", "duration_us")


def show(visit: Visit, entry_id: str) -> HttpResponse:
    try:
        proof = visit.call("ProveEntry", entry_id=entry_id)
    except Refused as refused:
        if refused.status not in (HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN):
            raise
        return _unsealed(visit, entry_id, sealed=refused.status == HTTPStatus.FORBIDDEN)
    entry = json.loads(proof["entry"])
    names = visit.names({entry["actor"], entry["object"], entry["account"], *(entry["groups"] or ())})
    evidence = {**proof, "key": visit.call("GetCheckpoint")["key"]}
    context = {
        "title": sentence_of(entry),
        "entry": entry,
        "entry_id": entry_id,
        "evidence": evidence,
        "line": proof["entry"],
        "actor": actor_of(entry["actor_kind"], entry["actor"], names),
        "object": names.get(entry["object"] or "", entry["object"] or ""),
        "object_url": _page_of(entry["object_kind"], entry["object"]),
        "in_groups": [(identity, names.get(identity, identity[:8])) for identity in entry["groups"] or ()],
        "said": OUTCOMES.get(entry["outcome"], entry["outcome"]),
        "tone": TONES.get(entry["outcome"], "info"),
        "about": details_of(entry, names),
        "fields": [(name, entry[name]) for name in _FIELDS if entry[name] not in (None, "")],
    }
    return visit.render("console/audit/entry.html", context)


def _page_of(kind: str, identity: str | None) -> str:
    if identity is None or kind not in PAGES:
        return ""
    screen, parameter = PAGES[kind]
    return reverse(screen, kwargs={parameter: identity})


def _unsealed(visit: Visit, entry_id: str, *, sealed: bool) -> HttpResponse:
    """What is listed and has no proof for the viewer, or not yet. It is listed after the next one."""
    following = str(UUID(int=UUID(entry_id).int + 1))
    rows = visit.call("GetAllLogs", query={"size": 1, "previous_id": following})["hits"]
    if not rows or rows[0]["_id"] != entry_id:
        raise Refused(HTTPStatus.NOT_FOUND, _t("The record has no such entry, or it is not kept any more"))
    (entry,) = shown(visit, rows)
    return visit.render("console/audit/unsealed.html", {"entry": entry, "title": entry["sentence"], "sealed": sealed})


def record(visit: Visit) -> HttpResponse:
    """The checkpoint as a page; for the page's script as JSON, with the proof that it extends the one over ``size``."""
    size = visit.query.get("size", "")
    found: dict[str, Any] = visit.call("GetCheckpoint")
    if visit.request.headers.get("Accept") == "application/json":
        try:
            growth = visit.call("ProveGrowth", query={"size": size}) if size else None
        except Refused as refused:
            return JsonResponse({"message": refused.message}, status=refused.status)
        return JsonResponse({"key": found["key"], **(growth or {"checkpoint": found["checkpoint"]})})
    origin, length, root = found["checkpoint"].split("\n")[:3]
    context = {"found": found, "origin": origin, "size": int(length), "root": root}
    return visit.render("console/audit/record.html", context)
