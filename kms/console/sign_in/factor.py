"""Showing a second factor: after the password, and again where something asks for a recent proof."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpResponse, JsonResponse
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.api.inside import Refused
from kms.console.forms import Form
from kms.console.screens import to_sign_in
from kms.console.sign_in.arriving import address, onward_of, way_on
from kms.console.visit import Visit

KEY, TOTP, RECOVERY = "key", "totp", "recovery"
_OWNED_AS = {"fido2": KEY, "totp": TOTP}
_ENROLMENT = "second-factor-enrolment-needed"


class TotpForm(Form):
    code = forms.CharField(
        label=_("Code"),
        help_text=_("The six digits that your authenticator app shows now."),
        widget=forms.TextInput(attrs={"autocomplete": "one-time-code", "inputmode": "numeric", "autofocus": True}),
    )


class RecoveryForm(Form):
    wire = {"code": "recovery_code"}
    code = forms.CharField(
        label=_("Recovery code"),
        help_text=_("One of those that you kept when you added your factor. Each is good once."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}),
    )


class KeyForm(Form):
    """The browser's answer, which the page's script puts there."""

    answer = forms.CharField(required=False, widget=forms.HiddenInput)


_FORMS: Mapping[str, type[Form]] = {KEY: KeyForm, TOTP: TotpForm, RECOVERY: RecoveryForm}


def show(visit: Visit) -> HttpResponse:
    if visit.token is None:
        return to_sign_in(visit)
    here = visit.call("GetSession")
    if here.get("lack") == _ENROLMENT:
        return visit.go(address("enrol-factor", onward_of(visit)))
    if here.get("lack") is None and "again" not in visit.query:
        return visit.go(way_on(visit, onward_of(visit)))
    if not here["owned"]:
        visit.say(_t("Sign in again to show that it is you."), level=messages.INFO)
        return visit.go(address("sign-in", onward_of(visit)))
    ways = _ways(here["owned"])
    way = visit.query.get("way", ways[0])
    way = way if way in ways else ways[0]
    return _page(visit, _FORMS[way](), way, ways)


def act(visit: Visit) -> HttpResponse:
    if visit.token is None:
        return to_sign_in(visit)
    way = visit.form.get("way", "")
    form = _FORMS.get(way, TotpForm)(visit.form)
    if form.is_valid():
        shown = _shown(visit, form, way)
        if shown:
            if way == RECOVERY:
                said = _t("A recovery code was used. Add another factor, or make new codes, while you are signed in.")
                visit.say(said, level=messages.WARNING)
            visit.forget_shell()
            return visit.go(way_on(visit, onward_of(visit)))
    here = visit.call("GetSession")
    return _page(visit, form, way, _ways(here["owned"]), status=HTTPStatus.UNPROCESSABLE_ENTITY)


def challenge(visit: Visit) -> HttpResponse:
    """Asked for by the page's script right before the browser asks the person."""
    return options(visit, lambda: visit.call("MfaAuthChallenge").get("fido2_assertion_options"))


def options(visit: Visit, ask: Callable[[], Any]) -> HttpResponse:
    """Options of the API for ``navigator.credentials``, or why there are none."""
    try:
        found = ask()
    except Refused as refused:
        return JsonResponse({"message": refused.message}, status=refused.status)
    if found is None:
        return JsonResponse({"message": _t("You have no security key here.")}, status=HTTPStatus.CONFLICT)
    return JsonResponse(found)


def answer_in(form: Form) -> Any:
    """The JSON that the script wrote; None, with the reason in the form, when it wrote none."""
    try:
        return json.loads(form.cleaned_data.get("answer") or "")
    except ValueError:
        form.add_error(None, _t("The browser gave no answer of a security key. It needs JavaScript for that."))
        return None


def _shown(visit: Visit, form: Form, way: str) -> bool:
    try:
        if way == KEY:
            answer = answer_in(form)
            if answer is None:
                return False
            visit.call("CompleteFido2Auth", body=answer)
        elif way == RECOVERY:
            visit.call("RecoveryCodeAuth", body={"recovery_code": form.cleaned_data["code"].strip()})
        else:
            visit.call("TotpAuth", body={"code": form.cleaned_data["code"].replace(" ", "")})
    except Refused as refused:
        if refused.status == HTTPStatus.UNAUTHORIZED:
            raise
        form.add_error(None, refused.message)
        return False
    return True


def _ways(owned: list[str]) -> list[str]:
    """The strongest first. Recovery codes stand for whatever is owned."""
    return [_OWNED_AS[kind] for kind in ("fido2", "totp") if kind in owned] + [RECOVERY]


def _page(visit: Visit, form: Form, way: str, ways: list[str], *, status: int = 200) -> HttpResponse:
    onward = onward_of(visit)
    proof = {"again": "1"} if "again" in visit.query else {}
    others = [(other, address("second-factor", onward, way=other, **proof)) for other in ways if other != way]
    context = {"form": form, "way": way, "others": others, "next": onward, "again": bool(proof)}
    return visit.render("console/sign_in/factor.html", context, status=status)
