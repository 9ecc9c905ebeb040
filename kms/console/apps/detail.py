"""One app: what it is, where it may do what, from where, how often it calls; changing and deleting it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, cast

from django import forms
from django.http import HttpResponse, QueryDict
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.api.inside import Refused
from kms.console.apps.credentials import METHODS
from kms.console.apps.making import permission_boxes
from kms.console.apps.permissions import CHOICES, FIRST, PRESETS, SENTENCES
from kms.console.audit.words import OUTCOMES, TONES, sentence_of
from kms.console.forms import Form
from kms.console.making.picking import chosen_or_typed, found, with_chosen
from kms.console.visit import Visit

_LATEST = 8
_EDITED = ("name", "description", "enabled", "default_group", "ip_address_policy", "rate_limit")


class EditForm(Form):
    wire: Mapping[str, str] = {"addresses": "ip_address_policy"}

    name = forms.CharField(label=_("Name"), max_length=256)
    description = forms.CharField(label=_("Description"), required=False, widget=forms.Textarea(attrs={"rows": 2}))
    enabled = forms.BooleanField(
        label=_("Enabled"), required=False, help_text=_("While it is disabled, it can neither log in nor call.")
    )
    default_group = forms.ChoiceField(label=_("Default group"), required=False)
    addresses = forms.CharField(
        label=_("Client addresses"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "class": "mono"}),
        help_text=_("Networks that it may call from, one on each line, such as 10.2.0.0/16. Empty: from anywhere."),
    )
    rate_limit = forms.IntegerField(
        label=_("Calls a second"), required=False, min_value=0, help_text=_("Empty: the server's own limit.")
    )
    seen = forms.CharField(widget=forms.HiddenInput, required=False)
    approval_description = forms.CharField(label=_("Reason for the approvers"), required=False, max_length=512)


class PermissionForm(Form):
    wire: Mapping[str, str] = {"permissions": "mod_groups"}
    permissions = forms.MultipleChoiceField(choices=CHOICES, widget=forms.CheckboxSelectMultiple, required=False)


def show(visit: Visit, app_id: str) -> HttpResponse:
    app = visit.call("GetApp", app_id=app_id)
    names = visit.names([*app["groups"], *app["creator"].values(), app.get("default_group")])
    groups = [
        {"id": group, "name": names.get(group, group), "permissions": [SENTENCES.get(each, each) for each in held]}
        for group, held in app["groups"].items()
    ]
    context = {
        "app": app,
        "title": app["name"],
        "method": METHODS[app["auth_type"]][0],
        "groups_of_app": sorted(groups, key=lambda group: group["name"]),
        "names": names,
        "creator": next((names.get(each, each) for each in app["creator"].values()), ""),
        "addresses": _addresses(app),
        "entries": _activity(visit, app_id),
        "calls": _calls(visit, app_id),
    }
    return visit.render("console/apps/detail.html", context)


def _addresses(app: Mapping[str, Any]) -> list[str]:
    policy = app["ip_address_policy"]
    return [] if policy == "allow_all" else list(policy["whitelist"])


def _activity(visit: Visit, app_id: str) -> list[Mapping[str, Any]] | None:
    """Its latest entries in the audit log; None for those who may not read it."""
    try:
        hits = visit.call("GetAllLogs", query={"actor_id": app_id, "size": _LATEST})["hits"]
    except Refused:
        return None
    entries = [{**hit["_source"], "id": hit["_id"]} for hit in hits]
    names = visit.names(entry["object_id"] for entry in entries)
    return [
        {
            **entry,
            "sentence": sentence_of(entry),
            "tone": TONES.get(entry["outcome"], "info"),
            "label": OUTCOMES.get(entry["outcome"], entry["outcome"]),
            "object_name": names.get(entry["object_id"], ""),
        }
        for entry in entries
    ]


def _calls(visit: Visit, app_id: str) -> Mapping[str, Any] | None:
    """A day's calls by the hour, as bars of a picture 100 high."""
    try:
        buckets = visit.call("GetAppStats", app_id=app_id)["time"]["buckets"]
    except Refused:
        return None
    counts = [bucket["doc_count"] for bucket in buckets]
    most = max(counts, default=0) or 1
    bars = [
        {"x": 12 * at, "y": 60 - round(60 * count / most), "height": round(60 * count / most), "count": count}
        for at, count in enumerate(counts)
    ]
    return {"total": sum(counts), "most": max(counts, default=0), "bars": bars, "width": 12 * len(bars)}


# -- what it is ----------------------------------------------------------------------------------------------------


def edit(visit: Visit, app_id: str) -> HttpResponse:
    app = visit.call("GetApp", app_id=app_id)
    initial = {
        **{name: app.get(name) for name in ("name", "description", "enabled", "default_group", "rate_limit")},
        "addresses": "\n".join(_addresses(app)),
        "seen": _state_of(app),
    }
    return _edit_page(visit, app, _with_groups(visit, app, EditForm(initial=initial)))


def save(visit: Visit, app_id: str) -> HttpResponse:
    app = visit.call("GetApp", app_id=app_id)
    form = _with_groups(visit, app, EditForm(visit.form))
    if not form.is_valid():
        return _edit_page(visit, app, form, status=422)
    if form.cleaned_data["seen"] != _state_of(app):
        return _edit_page(visit, app, _seen_now(form, app), status=422, changed=True)
    if form.attempt(visit, "UpdateApp", body=_change(form), app_id=app_id) is None:
        return _edit_page(visit, app, form, status=422)
    visit.say(_t("The app was changed"))
    return visit.redirect("app", app_id=app_id)


def _change(form: EditForm) -> dict[str, Any]:
    said = form.cleaned_data
    lines = said["addresses"].split()
    return {
        "name": said["name"],
        "description": said["description"],
        "enabled": said["enabled"],
        "default_group": said["default_group"] or None,
        "ip_address_policy": {"whitelist": lines} if lines else "allow_all",
        "rate_limit": said["rate_limit"] or 0,
    }


def _state_of(app: Mapping[str, Any]) -> str:
    """The app as it was when the form was shown, so that somebody else's change in between is noticed."""
    text = json.dumps([app.get(name) for name in _EDITED], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _seen_now(form: EditForm, app: Mapping[str, Any]) -> EditForm:
    data = cast("QueryDict", form.data).copy()
    data["seen"] = _state_of(app)
    form.data = data
    return form


def _with_groups(visit: Visit, app: Mapping[str, Any], form: EditForm) -> EditForm:
    names = visit.names(app["groups"])
    field = form.fields["default_group"]
    assert isinstance(field, forms.ChoiceField)
    field.choices = [("", _t("None")), *((each, names.get(each, each)) for each in app["groups"])]
    return form


def _edit_page(
    visit: Visit, app: Mapping[str, Any], form: EditForm, *, status: int = 200, changed: bool = False
) -> HttpResponse:
    return visit.render("console/apps/edit.html", {"app": app, "form": form, "changed": changed}, status=status)


# -- where it may do what ------------------------------------------------------------------------------------------


def show_place(visit: Visit, app_id: str) -> HttpResponse:
    """Permissions in a group that the app is in, or in one that it is put into."""
    app = visit.call("GetApp", app_id=app_id)
    group = visit.query.get("group", "")
    held = app["groups"].get(group)
    form = PermissionForm(initial={"permissions": FIRST if held is None else held})
    return _place_page(visit, app, group, form)


def save_place(visit: Visit, app_id: str) -> HttpResponse:
    app = visit.call("GetApp", app_id=app_id)
    group = chosen_or_typed(visit, "group", visit.form.get("group", ""), visit.form.get("group_text", ""))
    form = PermissionForm(visit.form)
    if not form.is_valid() or not group:
        form.add_error(None, _t("Choose a group."))
        return _place_page(visit, app, group, form, status=422)
    removing = visit.form.get("do") == "remove"
    change = "mod_groups" if group in app["groups"] else "add_groups"
    body = {"del_groups": [group]} if removing else {change: {group: form.cleaned_data["permissions"]}}
    if form.attempt(visit, "UpdateApp", body=body, app_id=app_id) is None:
        return _place_page(visit, app, group, form, status=422)
    visit.say(_t("The app left the group") if removing else _t("The permissions were changed"))
    return visit.redirect("app", app_id=app_id)


def _place_page(
    visit: Visit, app: Mapping[str, Any], group: str, form: PermissionForm, *, status: int = 200
) -> HttpResponse:
    context = {
        "app": app,
        "form": form,
        "group": group,
        "inside": group in app["groups"],
        "group_name": visit.names([group]).get(group, "") if group in app["groups"] else "",
        "sections": permission_boxes(form["permissions"]),
        "presets": [(label, " ".join(names)) for label, names in PRESETS],
        "group_choices": with_chosen(visit, found(visit, "group", visit.form.get("group_text", "")), []),
        "chosen": [group],
    }
    return visit.render("console/apps/place.html", context, status=status)


# -- away ----------------------------------------------------------------------------------------------------------


def ask_delete(visit: Visit, app_id: str) -> HttpResponse:
    app = visit.call("GetApp", app_id=app_id)
    return visit.render("console/apps/delete.html", {"app": app})


def delete(visit: Visit, app_id: str) -> HttpResponse:
    app = visit.call("GetApp", app_id=app_id)
    if visit.form.get("name", "").strip() != app["name"]:
        return visit.render("console/apps/delete.html", {"app": app, "wrong": True}, status=422)
    visit.call("DeleteApp", app_id=app_id)
    visit.say(_t("The app %(name)s was deleted") % {"name": app["name"]})
    return visit.redirect("apps")
