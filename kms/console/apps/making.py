"""A new app: its name, where it may do what, and how it proves itself. An API key is shown in the answer, once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.http import HttpResponse
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.console.apps.credentials import METHODS, CredentialForm, directories_of
from kms.console.apps.keys import shown_key
from kms.console.apps.permissions import CHOICES, FIRST, PRESETS, SECTIONS
from kms.console.making.fields import LocalMomentField
from kms.console.making.picking import chosen_or_typed, found, with_chosen
from kms.console.moments import aware, on_wire
from kms.console.visit import Visit


class AppForm(CredentialForm):
    wire = {**CredentialForm.wire, "group": "add_groups", "expires": "credential_expires_at"}

    name = forms.CharField(label=_("Name"), max_length=256, help_text=_("The program, such as shop-backend."))
    description = forms.CharField(label=_("Description"), required=False, widget=forms.Textarea(attrs={"rows": 2}))
    group = forms.UUIDField(label=_("Default group"), error_messages={"required": _("Choose a group.")})
    permissions = forms.MultipleChoiceField(
        label=_("Permissions"), choices=CHOICES, widget=forms.CheckboxSelectMultiple, required=False, initial=FIRST
    )
    expires = LocalMomentField(label=_("Credential ends"), help_text=_("Empty: it has no end of its own."))


def show(visit: Visit) -> HttpResponse:
    form = AppForm(directories=directories_of(visit), initial={"group": visit.query.get("group")})
    return _page(visit, form)


def create(visit: Visit) -> HttpResponse:
    given = visit.form.copy()
    given["group"] = chosen_or_typed(visit, "group", given.get("group", ""), given.get("group_text", ""))
    form = AppForm(given, directories=directories_of(visit))
    made = form.attempt(visit, "CreateApp", body=_body(visit, form)) if form.is_valid() else None
    if made is None:
        return _page(visit, form, status=422)
    if made["auth_type"] == "Secret":
        return shown_key(visit, made, new=True)
    visit.say(_t("The app %(name)s was made") % {"name": made["name"]})
    return visit.redirect("app", app_id=made["app_id"])


def _body(visit: Visit, form: AppForm) -> dict[str, Any]:
    said = form.cleaned_data
    return {
        "name": said["name"],
        "description": said["description"] or None,
        "default_group": str(said["group"]),
        "add_groups": {str(said["group"]): said["permissions"]},
        "credential": form.credential(),
        "credential_expires_at": on_wire(aware(said["expires"], visit.zone)),
    }


def permission_boxes(field: Any) -> list[Mapping[str, Any]]:
    """The check boxes under their headings."""
    boxes = {box.data["value"]: box for box in field}
    return [
        {"label": label, "boxes": [(text, boxes[name]) for name, text in names.items()]} for label, names in SECTIONS
    ]


def method_cards(field: Any) -> list[Any]:
    return [(card, METHODS[card.data["value"]]) for card in field]


def _page(visit: Visit, form: AppForm, *, status: int = 200) -> HttpResponse:
    chosen = str(form["group"].value() or "")
    context = {
        "form": form,
        "methods": method_cards(form["method"]),
        "sections": permission_boxes(form["permissions"]),
        "presets": [(label, " ".join(names)) for label, names in PRESETS],
        "group_choices": with_chosen(visit, found(visit, "group", visit.form.get("group_text", "")), [chosen]),
        "chosen": [chosen],
    }
    return visit.render("console/apps/new.html", context, status=status)
