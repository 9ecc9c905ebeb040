"""The same done to many objects: asked first, then item by item, and of each is said what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse, JsonResponse
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.api.inside import ApprovalNeeded, Refused
from kms.console.forms import said_plainly
from kms.console.visit import Visit

_AT_MOST = 200
_GROUPS_OFFERED = 200


@dataclass(frozen=True, slots=True)
class Deed:
    """What can be done to many. ``typed`` deeds can't be taken back, and are asked for by the number of objects."""

    label: str | Promise
    icon: str
    about: str | Promise
    do: Callable[[Visit, str], Any]
    typed: bool = False


def _rotate(visit: Visit, key: str) -> Any:
    old = visit.call("GetSobjectById", key_id=key)
    deactivate = "deactivate_rotated_key" in visit.form
    return visit.call("RotateSobject", body={"name": old["name"], "deactivate_rotated_key": deactivate})


def _add_metadata(visit: Visit, key: str) -> Any:
    here = visit.call("GetSobjectById", key_id=key)
    metadata = {**here.get("custom_metadata", {}), visit.form.get("name", "").strip(): visit.form.get("value", "")}
    return visit.call("UpdateSobject", body={"custom_metadata": metadata}, key_id=key)


def _revoke(visit: Visit, key: str) -> Any:
    body = {"code": visit.form.get("code") or "Unspecified", "message": visit.form.get("message") or None}
    return visit.call("RevokeSobject", body=body, key_id=key)


DEEDS: Mapping[str, Deed] = {
    "rotate": Deed(
        _("Rotate"),
        "rotate-cw",
        _("Each gets new material under its name. The old key stays, renamed, for what it protected."),
        _rotate,
    ),
    "metadata": Deed(
        _("Add metadata"), "bookmark", _("One entry more in each, or another value for it."), _add_metadata
    ),
    "move": Deed(
        _("Move to a group"),
        "folder-lock",
        _("From then on another group's people and policies decide about them."),
        lambda visit, key: visit.call("UpdateSobject", body={"group_id": visit.form.get("group_id")}, key_id=key),
    ),
    "revoke": Deed(
        _("Deactivate"),
        "circle-pause",
        _("They protect nothing new any more. What they protected can still be read and verified."),
        _revoke,
    ),
    "delete": Deed(
        _("Delete"),
        "trash-2",
        _("What they protected can't be read again, but where an undo window is set and open."),
        lambda visit, key: visit.call("DeleteSobject", key_id=key),
        typed=True,
    ),
}
# Outcomes: tone, icon.
_TONES = {"done": ("ok", "circle-check"), "refused": ("danger", "circle-alert"), "asked": ("info", "vote")}


@dataclass(frozen=True, slots=True)
class Outcome:
    kind: str
    text: str
    url: str = ""

    @property
    def tone(self) -> str:
        return _TONES[self.kind][0]

    @property
    def icon(self) -> str:
        return _TONES[self.kind][1]


def run(visit: Visit) -> HttpResponse:
    deed = DEEDS.get(visit.form.get("do", ""))
    keys = list(dict.fromkeys(visit.form.getlist("key")))[:_AT_MOST]
    if deed is None or not keys:
        visit.say(_t("Nothing was chosen"))
        return visit.redirect("objects")
    if visit.by_htmx and "sure" in visit.form:
        return JsonResponse(_told(_outcome(visit, deed, keys[0])))
    names = visit.names(keys)
    if "sure" not in visit.form or (deed.typed and visit.form.get("typed", "").strip() != str(len(keys))):
        return _ask(visit, deed, keys, names)
    outcomes = [(key, names.get(key, key), _outcome(visit, deed, key)) for key in keys]
    counts = {kind: sum(outcome.kind == kind for _k, _n, outcome in outcomes) for kind in _TONES}
    return visit.render("console/objects/bulk_done.html", {"deed": deed, "outcomes": outcomes, "counts": counts})


def _ask(visit: Visit, deed: Deed, keys: list[str], names: Mapping[str, str]) -> HttpResponse:
    objects = [(key, names.get(key, key)) for key in keys]
    context: dict[str, Any] = {"deed": deed, "do": visit.form["do"], "objects": objects, "given": visit.form}
    if visit.form["do"] == "move":
        context["group_choices"] = visit.call("ListGroups", query={"limit": _GROUPS_OFFERED, "sort": "name:asc"})
    context["mistyped"] = "sure" in visit.form
    return visit.render("console/objects/bulk.html", context, status=422 if context["mistyped"] else 200)


def _outcome(visit: Visit, deed: Deed, key: str) -> Outcome:
    try:
        deed.do(visit, key)
    except ApprovalNeeded as needed:
        return _asked(visit, needed)
    except Refused as refused:
        return Outcome("refused", said_plainly(refused.message))
    return Outcome("done", _t("Done"))


def _asked(visit: Visit, needed: ApprovalNeeded) -> Outcome:
    body = {
        "method": needed.call.method,
        "operation": needed.call.target,
        "body": needed.call.body,
        "description": visit.form.get("approval_description") or None,
    }
    try:
        request = visit.call("CreateApprovalRequest", body=body)
    except Refused as refused:
        return Outcome("refused", said_plainly(refused.message))
    url = reverse("approval", kwargs={"req_id": request["request_id"]})
    return Outcome("asked", _t("Asked for approval"), url)


def _told(outcome: Outcome) -> dict[str, str]:
    return {"kind": outcome.kind, "tone": outcome.tone, "text": outcome.text, "url": outcome.url}
