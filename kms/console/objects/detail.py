"""An object's overview, and the form that changes what may be changed of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.http import HttpResponse
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.console.as_call import as_call
from kms.console.forms import Form
from kms.console.moments import aware, moment_of, on_wire
from kms.console.objects import facts
from kms.console.objects.activity import entries
from kms.console.objects.frame import asked, loaded, page
from kms.console.objects.lifecycle import offered
from kms.console.objects.usage import usage_of
from kms.console.visit import Visit
from kms.console.words import word_of

_LOCAL = "%Y-%m-%dT%H:%M"
# What the form shows; whoever changed one of these meanwhile is told from who did not.
_EDITED = ("name", "description", "enabled", "key_ops", "custom_metadata", "activation_date", "deactivation_date")
_SPARE_ROWS = 3


def show(visit: Visit, key_id: str) -> HttpResponse:
    thing = loaded(visit, key_id)
    latest = entries(visit, key_id, 6)
    names = visit.names([thing.get("group_id"), *thing["creator"].values()])
    certificate = thing.get("certificate")
    context = {
        "group": names.get(str(thing.get("group_id")), ""),
        "creator": next((names.get(str(each), str(each)) for each in thing["creator"].values()), ""),
        "uses": facts.grouped_uses(thing["key_ops"]),
        "protection": facts.protection_of(thing),
        "origin": facts.origin_of(thing),
        "fingerprint": facts.fingerprint_of(thing),
        "public_pem": facts.pem("PUBLIC KEY", thing["pub_key"]) if thing.get("pub_key") else "",
        "certificate": certificate,
        "validity": facts.validity_of(certificate) if certificate else None,
        "issuers": visit.names(certificate.get("chain", [])) if certificate else {},
        "entries": latest,
        "usage": usage_of(asked(visit, "GetSobjectStats", query=_last_month(), key_id=key_id)),
        "actions": offered(thing),
        "command": as_call("GetSobjectById", key_id=key_id),
    }
    return page(visit, thing, "object", context)


def _last_month() -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "num_points": 30,
        "range_from": int((now - timedelta(days=30)).timestamp()),
        "range_to": int(now.timestamp()),
    }


def public_half(visit: Visit, key_id: str) -> HttpResponse:
    """The certificate as a file. It is an export like any other: the API decides and records."""
    found = visit.call("ExportSobjectById", query={"format": "default"}, key_id=key_id)
    response = HttpResponse(facts.pem("CERTIFICATE", found["value"]), content_type="application/x-pem-file")
    response["Content-Disposition"] = f'attachment; filename="{key_id}.pem"'
    return response


# -- changing it ---------------------------------------------------------------------------------------------------


class ObjectForm(Form):
    wire = {"uses": "key_ops"}

    name = forms.CharField(label=_("Name"), max_length=2048)
    description = forms.CharField(label=_("Description"), required=False, widget=forms.Textarea(attrs={"rows": 3}))
    enabled = forms.BooleanField(
        label=_("Enabled"), required=False, help_text=_("A disabled object is kept and can't be used.")
    )
    uses = forms.MultipleChoiceField(label=_("May be used to"), required=False, widget=forms.CheckboxSelectMultiple)
    activation_date = forms.DateTimeField(label=_("Active from"), required=False)
    deactivation_date = forms.DateTimeField(
        label=_("Deactivated from"), required=False, help_text=_("From then on it protects nothing new.")
    )
    approval_description = forms.CharField(
        label=_("For who approves, where it takes a quorum"), required=False, max_length=1024
    )
    seen = forms.CharField(widget=forms.HiddenInput, required=False)

    def __init__(self, thing: Mapping[str, Any], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        known = list(dict.fromkeys([*thing["key_ops"], *thing.get("original_key_ops", [])]))
        self.fields["uses"].choices = [(name, word_of(name)) for name in known]  # type: ignore[attr-defined]  # choices
        for name in ("activation_date", "deactivation_date"):
            self.fields[name].widget = forms.DateTimeInput(attrs={"type": "datetime-local"}, format=_LOCAL)


def edit(visit: Visit, key_id: str) -> HttpResponse:
    thing = loaded(visit, key_id)
    initial = {**_shown(visit, thing), "seen": seen_of(thing)}
    return _form_page(
        visit, thing, ObjectForm(thing, initial=initial), _metadata_rows(thing.get("custom_metadata", {}))
    )


def save(visit: Visit, key_id: str) -> HttpResponse:
    thing = loaded(visit, key_id)
    form = ObjectForm(thing, visit.form)
    rows = list(zip(visit.form.getlist("meta_name"), visit.form.getlist("meta_value"), strict=False))
    if "more" in visit.form:
        return _form_page(visit, thing, form, [*rows, *[("", "")] * _SPARE_ROWS])
    if not form.is_valid():
        return _form_page(visit, thing, form, rows, status=422)
    if form.cleaned_data["seen"] != seen_of(thing):
        return _conflict(visit, thing, rows)
    changes = _changes(visit, thing, form.cleaned_data, rows)
    if not changes:
        visit.say(_t("Nothing was changed"))
    elif form.attempt(visit, "UpdateSobject", body=changes, key_id=key_id) is None:
        return _form_page(visit, thing, form, rows, status=422)
    else:
        visit.say(_t("The changes are saved"))
    return visit.redirect("object", key_id=key_id)


def _conflict(visit: Visit, thing: Mapping[str, Any], rows: Sequence[tuple[str, str]]) -> HttpResponse:
    """Somebody changed it meanwhile: what was typed stays beside what it is now, and the next save overwrites."""
    data = visit.form.copy()
    data["seen"] = seen_of(thing)
    now = {word_of(name): _plain(thing.get(name)) for name in _EDITED}
    return _form_page(visit, thing, ObjectForm(thing, data), rows, status=422, now=now)


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} = {each}" for name, each in value.items()) or "-"
    if isinstance(value, list):
        return ", ".join(map(word_of, value)) or "-"
    return "-" if value is None else str(value)


def _form_page(
    visit: Visit, thing: Mapping[str, Any], form: ObjectForm, rows: Sequence[tuple[str, str]], *,
    status: int = 200, now: Mapping[str, str] | None = None,
) -> HttpResponse:  # fmt: skip
    example = as_call("UpdateSobject", body={"description": thing.get("description") or "…"}, key_id=thing["kid"])
    context = {"form": form, "rows": rows, "now": now, "command": example}
    return page(visit, thing, "edit", context, status=status)


def seen_of(thing: Mapping[str, Any]) -> str:
    shown = json.dumps([thing.get(name) for name in _EDITED], sort_keys=True)
    return hashlib.sha256(shown.encode()).hexdigest()[:32]


def _shown(visit: Visit, thing: Mapping[str, Any]) -> dict[str, Any]:
    dates = {name: _local(visit, thing.get(name)) for name in ("activation_date", "deactivation_date")}
    return {
        "name": thing.get("name"),
        "description": thing.get("description", ""),
        "enabled": thing["enabled"],
        "uses": thing["key_ops"],
        **dates,
    }


def _local(visit: Visit, wire: str | None) -> datetime | None:
    when = moment_of(wire)
    return None if when is None else when.astimezone(visit.zone).replace(tzinfo=None, second=0)


def _metadata_rows(metadata: Mapping[str, str]) -> list[tuple[str, str]]:
    return [*metadata.items(), ("", "")]


def _changes(
    visit: Visit, thing: Mapping[str, Any], given: Mapping[str, Any], rows: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """What differs, and only that: each field is under a permission of its own."""
    wanted: dict[str, Any] = {
        "name": given["name"],
        "description": given["description"],
        "enabled": given["enabled"],
        "custom_metadata": {name.strip(): value for name, value in rows if name.strip()},
    }
    here = {
        "name": thing.get("name"),
        "description": thing.get("description", ""),
        "enabled": thing["enabled"],
        "custom_metadata": thing.get("custom_metadata", {}),
    }
    changes = {name: value for name, value in wanted.items() if value != here[name]}
    if set(given["uses"]) != set(thing["key_ops"]):
        changes["key_ops"] = given["uses"]
    for name in ("activation_date", "deactivation_date"):
        date = given[name]
        if date is not None and date.replace(tzinfo=None) != _local(visit, thing.get(name)):
            changes[name] = on_wire(aware(date, visit.zone))
    return changes
