"""An app's credential: shown after a press, replaced by a new one, or by another way to prove itself."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from django import forms
from django.http import HttpResponse
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.api.inside import ApprovalNeeded, Refused
from kms.console.apps.credentials import METHODS, CredentialForm, certificate_of, certificates_of, directories_of
from kms.console.forms import Form
from kms.console.making.fields import LocalMomentField
from kms.console.moments import aware, on_wire
from kms.console.visit import Visit

_DAY = 86_400
GRACE = (
    ("0", _("None: the old one ends now")),
    ("3600", _("One hour")),
    (str(_DAY), _("One day")),
    (str(7 * _DAY), _("Seven days")),
    (str(30 * _DAY), _("30 days")),
    (str(90 * _DAY), _("90 days")),
)


class ReplacementForm(Form):
    """Of any credential: how long the one before it still holds, and when the new one ends."""

    wire: Mapping[str, str] = {"grace": "credential_migration_period", "expires": "credential_expires_at"}
    grace = forms.ChoiceField(
        label=_("The old credential still works for"),
        choices=GRACE,
        help_text=_("Time to give the new one to the program. None ends its sessions too."),
    )
    expires = LocalMomentField(label=_("The new one ends"), help_text=_("Empty: it has no end of its own."))

    def around(self, visit: Visit) -> dict[str, Any]:
        return {
            "credential_migration_period": int(self.cleaned_data["grace"]) or None,
            "credential_expires_at": on_wire(aware(self.cleaned_data["expires"], visit.zone)),
        }


class MethodForm(CredentialForm, ReplacementForm):
    wire = {**CredentialForm.wire, **ReplacementForm.wire}


# -- shown ---------------------------------------------------------------------------------------------------------


def show(visit: Visit, app_id: str) -> HttpResponse:
    app = visit.call("GetApp", app_id=app_id)
    return visit.render("console/apps/credential.html", {"app": app, "method": METHODS[app["auth_type"]][0]})


def reveal(visit: Visit, app_id: str) -> HttpResponse:
    app = visit.call("GetApp", app_id=app_id)
    found = visit.call("GetAppCredential", app_id=app_id)
    if app["auth_type"] == "Secret":
        return _key_page(visit, app, found)
    return visit.render("console/apps/credential.html", {"app": app, "found": told(found), "method": _named(app)})


def _named(app: Mapping[str, Any]) -> Any:
    return METHODS[app["auth_type"]][0]


def told(found: Mapping[str, Any]) -> dict[str, Any]:
    """What is no secret, as facts."""
    held = found["credential"]
    tokens, authorities = held.get("signedjwt"), held.get("trustedca")
    one = authorities.get("ca_certificate") if authorities else None
    several = [one] if one else (authorities or {}).get("ca_certificates") or []
    certificates = [held["certificate"]] if "certificate" in held else several
    return {
        "certificates": [certificate_of(each) for each in certificates],
        "authorities": authorities,
        "tokens": tokens,
        "directory": held.get("ldap"),
        "previous": found.get("previous_credential"),
    }


def shown_key(visit: Visit, app: Mapping[str, Any], *, new: bool = False) -> HttpResponse:
    """The page with the API key, where the viewer may read it."""
    try:
        found = visit.call("GetAppCredential", app_id=app["app_id"])
    except (ApprovalNeeded, Refused) as refused:
        visit.say(_t("It was done. Its key cannot be shown to you: %(why)s") % {"why": refused.message})
        return visit.redirect("app", app_id=app["app_id"])
    return _key_page(visit, app, found, new=new)


def _key_page(visit: Visit, app: Mapping[str, Any], found: Mapping[str, Any], *, new: bool = False) -> HttpResponse:
    pair = f"{app['app_id']}:{found['credential']['secret']}"
    context = {
        "app": app,
        "key": base64.b64encode(pair.encode()).decode(),
        "server": visit.request.build_absolute_uri("/").rstrip("/"),
        "previous": found.get("previous_credential"),
        "new": new,
    }
    return visit.render("console/apps/key.html", context)


# -- replaced ------------------------------------------------------------------------------------------------------


def ask_new(visit: Visit, app_id: str) -> HttpResponse:
    return _regenerate_page(visit, app_id, ReplacementForm(initial={"grace": "0"}))


def regenerate(visit: Visit, app_id: str) -> HttpResponse:
    form = ReplacementForm(visit.form)
    done = None
    if form.is_valid():
        done = form.attempt(visit, "ResetAppSecret", body=form.around(visit), app_id=app_id)
    if done is None:
        return _regenerate_page(visit, app_id, form, status=422)
    return shown_key(visit, done, new=True)


def _regenerate_page(visit: Visit, app_id: str, form: Form, *, status: int = 200) -> HttpResponse:
    app = visit.call("GetApp", app_id=app_id)
    return visit.render("console/apps/regenerate.html", {"app": app, "form": form}, status=status)


def show_method(visit: Visit, app_id: str) -> HttpResponse:
    app = visit.call("GetApp", app_id=app_id)
    form = MethodForm(directories=directories_of(visit), initial={"method": app["auth_type"], "grace": "0"})
    return _method_page(visit, app, form)


def change_method(visit: Visit, app_id: str) -> HttpResponse:
    form = MethodForm(visit.form, directories=directories_of(visit))
    done = None
    if form.is_valid():
        body = {"credential": form.credential(), **form.around(visit)}
        done = form.attempt(visit, "UpdateApp", body=body, app_id=app_id)
    if done is None:
        return _method_page(visit, visit.call("GetApp", app_id=app_id), form, status=422)
    if done["auth_type"] == "Secret":
        return shown_key(visit, done, new=True)
    visit.say(_said(form, done))
    return visit.redirect("app-token" if done["auth_type"] == "SignedJwt" else "app", app_id=app_id)


def _said(form: MethodForm, app: Mapping[str, Any]) -> str:
    if app["auth_type"] == "Certificate":
        (found, *_others) = certificates_of(form.cleaned_data["certificate"])
        ends = found["ends"].strftime("%Y-%m-%d")
        return _t("It takes the certificate of %(name)s, good until %(end)s") % {"name": found["subject"], "end": ends}
    return _t("The app proves itself by %(method)s now") % {"method": METHODS[app["auth_type"]][0]}


def _method_page(visit: Visit, app: Mapping[str, Any], form: MethodForm, *, status: int = 200) -> HttpResponse:
    cards = [(card, METHODS[card.data["value"]]) for card in form["method"]]
    return visit.render("console/apps/method.html", {"app": app, "form": form, "methods": cards}, status=status)
