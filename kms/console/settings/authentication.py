"""How people log in: who may use a password, which second factor is asked, how old a proof may be, sessions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django import forms
from django.http import HttpResponse
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from kms.api.inside import Refused
from kms.console.forms import Form
from kms.console.screens import Screen
from kms.console.settings.durations import spelled
from kms.console.settings.forms import SettingsForm, mark_of
from kms.console.settings.tabs import account_of, guarded, page
from kms.console.visit import Visit

EVERYONE, ADMINISTRATORS = "everyone", "administrators"
NONE, ANY, KEY = "none", "any", "key"
_AT_ONCE = 100


class AuthenticationForm(SettingsForm):
    """The API names these under auth_config.password; it speaks of them in its own words."""

    wire = {"factor": "require_2fa", "passwords": "administrators_only", "fresh": "step_up_seconds"}

    passwords = forms.ChoiceField(
        label=_("Who may log in with a password"),
        choices=[
            (EVERYONE, _("Everybody in the account")),
            (ADMINISTRATORS, _("Administrators only; everybody else through an identity provider")),
        ],
        widget=forms.RadioSelect,
        help_text=_("Administrators always may: they are the way in when the provider fails."),
    )
    factor = forms.ChoiceField(
        label=_("Second factor beside the password"),
        choices=[
            (NONE, _("Asked of those who have one")),
            (ANY, _("Everybody needs one: security key, passkey or authenticator app")),
            (KEY, _("Everybody needs a security key or passkey, which cannot be phished")),
        ],
        widget=forms.RadioSelect,
        help_text=_(
            "Who has none yet may only enrol one at the next login. You need one of that kind yourself before you can"
            " demand it."
        ),
    )
    fresh = forms.IntegerField(
        label=_("Minutes for which a proof is fresh enough for what is sensitive"),
        required=False,
        min_value=0,
        max_value=1440,
        help_text=_(
            "Exporting keys, reading an app's secret and changing how people log in ask for the second factor again"
            " when the last proof is older. Empty or 0: never again."
        ),
    )


class EndForm(Form):
    sure = forms.BooleanField(label=_("Yes, end the sessions of everybody in the account, but for this one"))


def _filled(account: Mapping[str, Any]) -> dict[str, Any]:
    password = (account.get("auth_config") or {}).get("password") or {}
    factor = NONE
    if password.get("require_2fa"):
        factor = ANY if password.get("allow_totp") else KEY
    return {
        "passwords": ADMINISTRATORS if password.get("administrators_only") else EVERYONE,
        "factor": factor,
        "fresh": (password.get("step_up_seconds") or 0) // 60 or None,
        "seen": _mark(account),
    }


def _mark(account: Mapping[str, Any]) -> str:
    return mark_of(account.get("auth_config"))


def show(visit: Visit) -> HttpResponse:
    account = account_of(visit)
    return _page(visit, account, AuthenticationForm(initial=_filled(account)))


def save(visit: Visit) -> HttpResponse:
    account, form = account_of(visit), AuthenticationForm(visit.form)
    if form.is_valid() and form.still(_mark(account)):
        change = {"auth_config": _config(account, form.cleaned_data)}
        if form.save(visit, change):
            visit.say(_t("How people log in was saved"))
            return visit.redirect("settings-authentication")
    return _page(visit, account, form, status=422)


def _config(account: Mapping[str, Any], cleaned: Mapping[str, Any]) -> dict[str, Any]:
    """All of it: the API turns off what is left out. Providers go back as they were shown; their secrets stay.

    Passwords that are closed with nothing else changed are left out, for then the API sees that somebody still gets in.
    """
    there = account.get("auth_config") or {}
    kept = {name: there[name] for name in ("oauth", "saml") if there.get(name)}
    wanted = {
        "require_2fa": cleaned["factor"] != NONE,
        "allow_totp": cleaned["factor"] == ANY,
        "administrators_only": cleaned["passwords"] == ADMINISTRATORS,
        "step_up_seconds": (cleaned["fresh"] or 0) * 60,
    }
    closed = wanted["administrators_only"] and wanted == {**(there.get("password") or {}), "administrators_only": True}
    return kept if closed else {**kept, "password": wanted}


def _page(visit: Visit, account: Mapping[str, Any], form: Form, *, status: int = 200) -> HttpResponse:
    there = account.get("auth_config") or {}
    server = visit.call("GetServerStatus")["server"]
    context = {
        "form": form,
        "end_form": EndForm(auto_id="end_%s"),
        "guarded": guarded(account, "protect_authentication_methods"),
        "provided": any(there.get(kind) for kind in ("oauth", "saml", "ldap")),
        "longest": spelled(server["session_seconds"]),
        "idle": spelled(server["session_idle_seconds"]),
        "lead": _t("Who gets in, and by what."),
    }
    return page(visit, "settings-authentication", "authentication.html", context, status=status)


def end_sessions(visit: Visit) -> HttpResponse:
    """Everybody's but this one. The API ends them person by person."""
    if not EndForm(visit.form).is_valid():
        return visit.redirect("settings-authentication")
    ended = sum(1 for user in _others(visit) if _ended(visit, user))
    visit.call("EndOtherSessions")
    visit.say(
        ngettext(
            "The sessions of %(count)s other person were ended",
            "The sessions of %(count)s other people were ended",
            ended,
        )
        % {"count": ended}
    )
    return visit.redirect("settings-authentication")


def _others(visit: Visit) -> Iterator[str]:
    offset = 0
    while True:
        found = visit.call("ListUsers", query={"limit": _AT_ONCE, "offset": offset})
        yield from (user["user_id"] for user in found if user["user_id"] != visit.user_id)
        if len(found) < _AT_ONCE:
            return
        offset += _AT_ONCE


def _ended(visit: Visit, user: str) -> bool:
    """Somebody who left meanwhile has none left."""
    try:
        visit.call("EndUserSessions", user_id=user)
    except Refused as refused:
        if refused.status != 404:
            raise
        return False
    return True


SCREENS: tuple[Screen, ...] = (
    Screen("settings-authentication", "settings/authentication", _("Authentication"), show, save),
    Screen("end-all-sessions", "settings/authentication/end-sessions", _("End all sessions"), act=end_sessions),
)
