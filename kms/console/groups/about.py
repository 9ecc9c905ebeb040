"""One group: what it is, changing that, deleting it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from django import forms
from django.http import HttpResponse
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.api.inside import Refused
from kms.console.endings import ended, typed_text
from kms.console.forms import Form
from kms.console.quorums.sentences import ids_in, sentence_of, short_of
from kms.console.screens import Screen
from kms.console.visit import Visit

_DAY = 24 * 3600
_PROFILE = ("name", "description", "custom_metadata", "key_history_policy")


class MetadataField(forms.CharField):
    """Names and values, one pair to a line, "name: value"."""

    widget = forms.Textarea(attrs={"rows": 3, "spellcheck": "false"})

    def to_python(self, value: Any) -> Any:
        pairs: dict[str, str] = {}
        for line in (super().to_python(value) or "").splitlines():
            name, colon, text = line.partition(":")
            if not line.strip():
                continue
            if not colon or not name.strip():
                raise forms.ValidationError(_t("Write each line as “name: value”."))
            pairs[name.strip()] = text.strip()
        return pairs

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(f"{name}: {text}" for name, text in value.items()) if isinstance(value, Mapping) else value


class GroupForm(Form):
    wire = {"metadata": "custom_metadata", "undo_days": "undo_time_window"}

    name = forms.CharField(label=_("Name"), max_length=256)
    description = forms.CharField(
        label=_("Description"), required=False, widget=forms.Textarea(attrs={"rows": 3}), help_text=_("What it is for.")
    )
    metadata = MetadataField(
        label=_("Custom metadata"), required=False, help_text=_("One pair to a line, as “owner: payments team”.")
    )
    undo_days = forms.IntegerField(
        label=_("Days in which changes of keys can be undone"),
        required=False,
        min_value=0,
        max_value=180,
        help_text=_("Deleted and changed keys are kept so long. Empty or 0: changes are final at once."),
    )


class ChangeForm(GroupForm):
    version = forms.CharField(widget=forms.HiddenInput)
    approval_description = forms.CharField(
        label=_("Why"), required=False, max_length=500, help_text=_("Those who decide on the request read it.")
    )

    def __init__(self, *args: Any, guarded: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not guarded:
            del self.fields["approval_description"]


def group_of(visit: Visit, group_id: str) -> dict[str, Any]:
    found: dict[str, Any] = visit.call("GetGroup", group_id=group_id)
    return found


def body_of(form: GroupForm) -> dict[str, Any]:
    said = form.cleaned_data
    seconds = (said["undo_days"] or 0) * _DAY
    return {
        "name": said["name"],
        "description": said["description"],
        "custom_metadata": said["metadata"],
        "key_history_policy": {"undo_time_window": seconds} if seconds else "remove",
    }


def page_context(visit: Visit, group: Mapping[str, Any], tab: str) -> dict[str, Any]:
    """What all of a group's tabs show."""
    policy = group.get("approval_policy")
    return {
        "group": group,
        "title": group["name"],
        "tab": tab,
        "takes": short_of(policy),
        "quorum": sentence_of(policy, visit.names(ids_in(policy))) if policy else "",
    }


def show(visit: Visit, group_id: str) -> HttpResponse:
    group = group_of(visit, group_id)
    creator = next(iter(group["creator"].values()), "")
    policy = group.get("key_history_policy")
    context = {
        "creator": visit.names([creator]).get(creator, ""),
        "undo_days": -(-policy["undo_time_window"] // _DAY) if policy else 0,
        "some": _some(visit, group_id),
    }
    return visit.render("console/groups/detail.html", page_context(visit, group, "about") | context)


def _some(visit: Visit, group_id: str) -> list[dict[str, Any]]:
    """The first of its objects, for whoever comes to look what it is for."""
    try:
        found = visit.call("ListSobjects", query={"group_id": group_id, "limit": 6})
    except Refused:
        return []
    return list(found if isinstance(found, list) else found.get("items", []))


def edit(visit: Visit, group_id: str) -> HttpResponse:
    group = group_of(visit, group_id)
    return _edit_page(visit, group, ChangeForm(initial=_initial(group), guarded=bool(group.get("approval_policy"))))


def change(visit: Visit, group_id: str) -> HttpResponse:
    group = group_of(visit, group_id)
    form = ChangeForm(visit.form, guarded=bool(group.get("approval_policy")))
    if form.is_valid():
        if form.cleaned_data["version"] != _version(group):
            return _changed_meanwhile(visit, group, form)
        if form.attempt(visit, "UpdateGroup", body=_differences(group, body_of(form)), group_id=group_id) is not None:
            visit.say(_t("The group was changed"))
            return visit.redirect("group", group_id=group_id)
    return _edit_page(visit, group, form, status=422)


def _differences(group: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    """Only what changes is sent: each part asks for a right of its own."""
    kept = {"description": group.get("description") or "", "custom_metadata": group.get("custom_metadata") or {}}
    now = {**group, **kept, "key_history_policy": group.get("key_history_policy") or "remove"}
    return {name: value for name, value in body.items() if now.get(name) != value}


def _changed_meanwhile(visit: Visit, group: Mapping[str, Any], form: ChangeForm) -> HttpResponse:
    """What was typed stays; the next press of the button overrides what somebody else did."""
    again = visit.form.copy()
    again["version"] = _version(group)
    form.data = again
    return _edit_page(visit, group, form, status=422, changed=True)


def _initial(group: Mapping[str, Any]) -> dict[str, Any]:
    policy = group.get("key_history_policy")
    return {
        "name": group["name"],
        "description": group.get("description", ""),
        "metadata": group.get("custom_metadata") or {},
        "undo_days": policy["undo_time_window"] // _DAY if policy else None,
        "version": _version(group),
    }


def _version(group: Mapping[str, Any]) -> str:
    seen = json.dumps([group.get(name) for name in _PROFILE], sort_keys=True)
    return hashlib.sha256(seen.encode()).hexdigest()[:32]


def _edit_page(
    visit: Visit, group: Mapping[str, Any], form: ChangeForm, *, status: int = 200, **said: Any
) -> HttpResponse:
    context = page_context(visit, group, "about") | {"form": form, "title": _t("Change the group"), **said}
    return visit.render("console/groups/edit.html", context, status=status)


def ask_deletion(visit: Visit, group_id: str, *, fault: str = "", status: int = 200) -> HttpResponse:
    group = group_of(visit, group_id)
    context = page_context(visit, group, "about") | {"title": _t("Delete the group"), "fault": fault}
    context |= {"holds": _some(visit, group_id)}
    return visit.render("console/groups/delete.html", context, status=status)


def delete(visit: Visit, group_id: str) -> HttpResponse:
    name = group_of(visit, group_id)["name"]
    otherwise = _t("Type the group's name exactly as it is.")
    typed = typed_text(visit) == name
    do = partial(visit.call, "DeleteGroup", group_id=group_id)
    again = ended(do, partial(ask_deletion, visit, group_id), typed=typed, otherwise=otherwise)
    if again is not None:
        return again
    visit.say(_t("Group %(name)s was deleted") % {"name": name})
    return visit.redirect("groups")


SCREENS: tuple[Screen, ...] = (
    Screen("group", "groups/<uuid:group_id>", _("Group"), show),
    Screen("edit-group", "groups/<uuid:group_id>/edit", _("Change the group"), edit, change),
    Screen("delete-group", "groups/<uuid:group_id>/delete", _("Delete the group"), ask_deletion, delete),
)
