"""One's own second factors: unlocked by a fresh proof, then added, named, removed; recovery codes shown once.

The page stands in the profile, and before it for who must enrol a factor to get in (kms.console.sign_in.enrolment).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from django import forms
from django.http import HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import mark_safe
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.api.inside import Refused
from kms.console.forms import Form
from kms.console.moments import moment_of
from kms.console.sign_in.arriving import address
from kms.console.sign_in.factor import answer_in
from kms.console.visit import Visit

_STALE, _VOUCHED = "stale-second-factor", "vouched-for"


class Unlock(Form):
    password = forms.CharField(
        label=_("Password"), strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "current-password"})
    )


class NewKey(Form):
    name = forms.CharField(
        label=_("Name"),
        max_length=128,
        help_text=_("To tell it from others, such as “work laptop”."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    answer = forms.CharField(required=False, widget=forms.HiddenInput)


class NewApp(Form):
    name = forms.CharField(
        label=_("Name"),
        max_length=128,
        help_text=_("Such as “phone”."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )


class FirstCode(Form):
    """``secret`` goes along so that a wrong code doesn't make one begin again."""

    device_id = forms.UUIDField(widget=forms.HiddenInput)
    secret = forms.CharField(widget=forms.HiddenInput)
    code = forms.CharField(
        label=_("Code"),
        help_text=_("The six digits that the app shows now."),
        widget=forms.TextInput(attrs={"autocomplete": "one-time-code", "inputmode": "numeric"}),
    )


@dataclass(frozen=True, slots=True)
class Desk:
    """Where the pages are shown. ``frame`` is what they extend; ``done`` leads on when codes have been kept."""

    screen: str
    frame: str
    done: Callable[[Visit], str]
    first: bool = False

    def here(self, visit: Visit, **query: str) -> str:
        onward = visit.form.get("next") or visit.query.get("next") or "/"
        return address(self.screen, onward if self.first else "/", **query)

    def show(self, visit: Visit) -> HttpResponse:
        try:
            return self.page(visit)
        except Refused as refused:
            if refused.reason != _VOUCHED:
                raise
            return self._render(visit, "factors", {"vouched": refused.message})

    def act(self, visit: Visit) -> HttpResponse:
        handler = _ACTIONS.get(visit.form.get("do", ""))
        return self.page(visit) if handler is None else handler(self, visit)

    def page(self, visit: Visit, *, status: int = 200, **forms_with_errors: Form) -> HttpResponse:
        own = visit.call("ListFactors")
        until = moment_of(own["config_unlocked_until"])
        apps = [app for app in own["totp_devices"] if app["confirmed"]]
        owned = bool(apps or own["mfa_devices"])
        context = {
            "keys": own["mfa_devices"],
            "apps": apps,
            "owned": owned,
            "codes_left": own["recovery_codes_left"],
            "unlocked": until is not None and until > timezone.now(),
            "until": own["config_unlocked_until"],
            "must_show": owned and not self.first and "shown" not in visit.query and "unlock" not in forms_with_errors,
            "prove": address("second-factor", self.here(visit, shown="yes"), again="1"),
            "unlock": Unlock(),
            "new_key": NewKey(prefix="key"),
            "new_app": NewApp(prefix="app"),
            **forms_with_errors,
        }
        return self._render(visit, "factors", context, status=status)

    def refused(self, visit: Visit, **forms_with_errors: Form) -> HttpResponse:
        return self.page(visit, status=HTTPStatus.UNPROCESSABLE_ENTITY, **forms_with_errors)

    def back(self, visit: Visit) -> HttpResponse:
        visit.forget_shell()
        return visit.go(self.here(visit))

    def _render(self, visit: Visit, what: str, context: Mapping[str, Any], *, status: int = 200) -> HttpResponse:
        given = {"frame": self.frame, "desk": self, "next": visit.form.get("next") or visit.query.get("next") or "/"}
        return visit.render(f"console/profile/{what}.html", {**given, **context}, status=status)


# -- unlocking -----------------------------------------------------------------------------------------------------


def _unlock(desk: Desk, visit: Visit) -> HttpResponse:
    form = Unlock(visit.form)
    if not form.is_valid():
        return desk.refused(visit, unlock=form)
    try:
        visit.call("Config2faAuth", body=form.cleaned_data)
    except Refused as refused:
        if refused.reason == _STALE and not desk.first:
            return visit.go(address("second-factor", desk.here(visit, shown="yes"), again="1"))
        if refused.status == HTTPStatus.UNAUTHORIZED:
            raise
        form.refuse(refused)
        return desk.refused(visit, unlock=form)
    return desk.back(visit)


def _lock(desk: Desk, visit: Visit) -> HttpResponse:
    visit.call("Config2faTerminate")
    return desk.back(visit)


# -- security keys and passkeys ------------------------------------------------------------------------------------


def _add_key(desk: Desk, visit: Visit) -> HttpResponse:
    form = NewKey(visit.form, prefix="key")
    answer = answer_in(form) if form.is_valid() else None
    if answer is None:
        return desk.refused(visit, new_key=form)
    device = {"name": form.cleaned_data["name"], "attestationResult": answer}
    if not _changed(visit, form, add_mfa_devices=[device]):
        return desk.refused(visit, new_key=form)
    return _after_adding(desk, visit, _t("%(name)s was added.") % {"name": device["name"]})


def _rename(desk: Desk, visit: Visit) -> HttpResponse:
    names = {"old_name": visit.form.get("old", ""), "new_name": visit.form.get("new", "").strip()}
    form = Form(visit.form)
    if form.is_valid() and _changed(visit, form, rename_mfa_devices=[names]):
        visit.say(_t("It is called %(name)s now.") % {"name": names["new_name"]})
        return desk.back(visit)
    return desk.refused(visit, trouble=form)


def _remove_key(desk: Desk, visit: Visit) -> HttpResponse:
    name = visit.form.get("name", "")
    form = Form(visit.form)
    if form.is_valid() and _changed(visit, form, del_mfa_devices=[{"name": name}]):
        visit.say(_t("%(name)s was removed.") % {"name": name})
        return desk.back(visit)
    return desk.refused(visit, trouble=form)


def _changed(visit: Visit, form: Form, **change: Any) -> bool:
    form.attempt(visit, "UpdateUser", body=change, user_id=visit.user_id)
    return not form.errors


# -- authenticator apps --------------------------------------------------------------------------------------------


def _begin_app(desk: Desk, visit: Visit) -> HttpResponse:
    form = NewApp(visit.form, prefix="app")
    made = form.attempt(visit, "AddTotpDevice", body=form.cleaned_data) if form.is_valid() else None
    if made is None:
        return desk.refused(visit, new_app=form)
    picture = mark_safe(made["qr_code"])  # noqa: S308 - an SVG that our own API drew
    first = FirstCode(initial=made)
    return desk._render(visit, "first_code", {"form": first, "picture": picture, "secret": made["secret"]})


def _confirm_app(desk: Desk, visit: Visit) -> HttpResponse:
    form = FirstCode(visit.form)
    if form.is_valid():
        code = {"code": form.cleaned_data["code"].replace(" ", "")}
        form.attempt(visit, "ConfirmTotpDevice", body=code, device_id=form.cleaned_data["device_id"])
    if form.errors:
        context = {"form": form, "secret": visit.form.get("secret", "")}
        return desk._render(visit, "first_code", context, status=HTTPStatus.UNPROCESSABLE_ENTITY)
    return _after_adding(desk, visit, _t("The authenticator app was added."))


def _remove_app(desk: Desk, visit: Visit) -> HttpResponse:
    form = Form(visit.form)
    if form.is_valid():
        form.attempt(visit, "DeleteTotpDevice", device_id=visit.form.get("device", ""))
    if form.errors:
        return desk.refused(visit, trouble=form)
    visit.say(_t("The authenticator app was removed."))
    return desk.back(visit)


# -- recovery codes ------------------------------------------------------------------------------------------------


def _make_codes(desk: Desk, visit: Visit) -> HttpResponse:
    form = Form(visit.form)
    made = form.attempt(visit, "GenerateRecoveryCodes") if form.is_valid() else None
    return desk.refused(visit, trouble=form) if made is None else _codes_page(desk, visit, made)


def _after_adding(desk: Desk, visit: Visit, said: str) -> HttpResponse:
    """A first factor comes with recovery codes: who loses it should not be locked out."""
    visit.forget_shell()
    visit.say(said)
    if visit.call("ListFactors")["recovery_codes_left"]:
        return visit.go(desk.done(visit)) if desk.first else desk.back(visit)
    return _codes_page(desk, visit, visit.call("GenerateRecoveryCodes"))


def _codes_page(desk: Desk, visit: Visit, made: Mapping[str, Any]) -> HttpResponse:
    context = {"codes": made["recovery_codes"], "done": desk.done(visit)}
    return desk._render(visit, "recovery_codes", context)


_ACTIONS: Mapping[str, Callable[[Desk, Visit], HttpResponse]] = {
    "unlock": _unlock,
    "lock": _lock,
    "add-key": _add_key,
    "rename-key": _rename,
    "remove-key": _remove_key,
    "begin-app": _begin_app,
    "confirm-app": _confirm_app,
    "remove-app": _remove_app,
    "make-codes": _make_codes,
}

DESK = Desk("profile-factors", "console/profile/frame.html", lambda _visit: reverse("profile-factors"))
