"""Versions of an object: rotating it now, by itself, what it is related to, and taking a change back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import msgspec
from django import forms
from django.http import HttpResponse, QueryDict
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.console.as_call import as_call
from kms.console.forms import Form
from kms.console.making.decoding import ENCODINGS, Undecodable, decoded
from kms.console.making.decoding import on_wire as as_base64
from kms.console.moments import aware, moment_of, on_wire
from kms.console.objects.activity import Entry, entries
from kms.console.objects.facts import state_badge
from kms.console.objects.frame import loaded, page
from kms.console.objects.lineage import picture_of
from kms.console.visit import Visit

_LOCAL = "%Y-%m-%dT%H:%M"
_LOOKED_AT = 50
_GIVEN = frozenset({"SECRET", "OPAQUE", "CERTIFICATE"})
# JSON's null: a policy that is taken away.
_NULL = msgspec.Raw(b"null")


class RotateForm(Form):
    """``given``: of a kind that nothing generates, whose new value is given."""

    value = forms.CharField(
        label=_("New value"),
        strip=False,
        widget=forms.Textarea(attrs={"rows": 4, "autocomplete": "off", "spellcheck": "false"}),
        help_text=_("It is not shown again here. A certificate is pasted as PEM, as text."),
    )
    encoding = forms.ChoiceField(label=_("Written as"), choices=ENCODINGS, initial="text")
    deactivate = forms.BooleanField(
        label=_("Deactivate the old key"),
        required=False,
        help_text=_("Otherwise it stays active under another name, for what it protected."),
    )
    approval_description = forms.CharField(
        label=_("For who approves, where it takes a quorum"), required=False, max_length=1024
    )

    def __init__(self, *args: Any, given: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not given:
            del self.fields["value"], self.fields["encoding"]

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or {}
        if said.get("value") and said.get("encoding"):
            try:
                said["value"] = as_base64(decoded(said["value"], said["encoding"]))
            except Undecodable as error:
                self.add_error("value", str(error))
        return said

    def forget(self) -> None:
        """Before the page is shown again."""
        data = cast("QueryDict", self.data).copy()
        data["value"] = ""
        self.data = data


class PolicyForm(Form):
    prefix = "policy"
    wire = {"number": "interval", "deactivate": "deactivate_rotated_key"}

    number = forms.IntegerField(label=_("Every"), min_value=1, max_value=10_000)
    unit = forms.ChoiceField(label=_("Unit"), choices=[("months", _("months")), ("days", _("days"))])
    effective_at = forms.DateTimeField(
        label=_("First on"), required=False, help_text=_("Without a date: one interval from now.")
    )
    deactivate = forms.BooleanField(label=_("Deactivate the old key each time"), required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["effective_at"].widget = forms.DateTimeInput(attrs={"type": "datetime-local"}, format=_LOCAL)

    def policy(self, visit: Visit) -> dict[str, Any]:
        given = self.cleaned_data
        first = given["effective_at"]
        date = on_wire(aware(first, visit.zone))
        return {
            f"interval_{given['unit']}": given["number"],
            **({"effective_at": date} if date else {}),
            "deactivate_rotated_key": given["deactivate"],
        }


@dataclass(frozen=True, slots=True)
class Past:
    """An earlier state that can be gone back to."""

    item: Mapping[str, Any]
    state: Any


def show(visit: Visit, key_id: str) -> HttpResponse:
    return _page(visit, loaded(visit, key_id))


def act(visit: Visit, key_id: str) -> HttpResponse:
    thing = loaded(visit, key_id)
    deed = _DEEDS.get(visit.form.get("do", ""))
    if deed is None:
        return _page(visit, thing, status=422)
    return deed(visit, thing)


def _rotate(visit: Visit, thing: Mapping[str, Any]) -> HttpResponse:
    form = RotateForm(visit.form, given=thing["obj_type"] in _GIVEN)
    made = None
    if form.is_valid():
        said = form.cleaned_data
        body = {"name": thing["name"], "deactivate_rotated_key": said["deactivate"], "value": said.get("value")}
        made = form.attempt(visit, "RotateSobject", body=body)
    if made is None:
        form.forget()
        return _page(visit, thing, rotate=form, status=422)
    visit.say(_t("The object was rotated; this is the new version"))
    return visit.redirect("object-versions", key_id=made["kid"])


def _set_policy(visit: Visit, thing: Mapping[str, Any]) -> HttpResponse:
    form = PolicyForm(visit.form)
    saved = None
    if form.is_valid():
        body = {"rotation_policy": form.policy(visit)}
        saved = form.attempt(visit, "UpdateSobject", body=body, key_id=thing["kid"])
    if saved is None:
        return _page(visit, thing, policy=form, status=422)
    visit.say(_t("The rotation policy is saved"))
    return visit.redirect("object-versions", key_id=thing["kid"])


def _end_policy(visit: Visit, thing: Mapping[str, Any]) -> HttpResponse:
    visit.call("UpdateSobject", body={"rotation_policy": _NULL}, key_id=thing["kid"])
    visit.say(_t("The object is not rotated by itself any more"))
    return visit.redirect("object-versions", key_id=thing["kid"])


def _revert(visit: Visit, thing: Mapping[str, Any]) -> HttpResponse:
    visit.call("RevertPrevKeyOp", body={"ids": visit.form.getlist("item")}, key_id=thing["kid"])
    visit.say(_t("The change was taken back"))
    return visit.redirect("object-versions", key_id=thing["kid"])


_DEEDS: Mapping[str, Callable[[Visit, Mapping[str, Any]], HttpResponse]] = {
    "rotate": _rotate,
    "policy": _set_policy,
    "end-policy": _end_policy,
    "revert": _revert,
}


def _page(
    visit: Visit,
    thing: Mapping[str, Any],
    *,
    rotate: RotateForm | None = None,
    policy: PolicyForm | None = None,
    status: int = 200,
) -> HttpResponse:
    held = thing.get("rotation_policy")
    context = {
        "picture": picture_of(visit, thing),
        "rotate": rotate or RotateForm(given=thing["obj_type"] in _GIVEN),
        "policy": policy or PolicyForm(initial=_initial(visit, held)),
        "held": held,
        "last": _last_rotation(visit, thing),
        "past": [Past(item, state_badge(item["state"])) for item in thing.get("history", [])],
        "replaced": "replacement" in thing.get("links", {}),
        "command": as_call("RotateSobject", body={"name": thing.get("name"), "deactivate_rotated_key": False}),
    }
    return page(visit, thing, "object-versions", context, status=status)


def _initial(visit: Visit, held: Mapping[str, Any] | None) -> dict[str, Any]:
    if held is None:
        return {"number": 12, "unit": "months"}
    unit = "days" if "interval_days" in held else "months"
    first = moment_of(held.get("effective_at"))
    return {
        "number": held.get(f"interval_{unit}"),
        "unit": unit,
        "effective_at": None if first is None else first.astimezone(visit.zone).replace(tzinfo=None),
        "deactivate": held.get("deactivate_rotated_key", False),
    }


def _last_rotation(visit: Visit, thing: Mapping[str, Any]) -> Entry | None:
    """How the last attempt ended: of this object, or the one whose place it took."""
    older = thing.get("links", {}).get("replaced")
    for key in [str(thing["kid"]), *([str(older)] if older else [])]:
        for entry in entries(visit, key, _LOOKED_AT) or []:
            if entry.action.startswith("Rotate"):
                return entry
    return None
