"""Signing in with a password, choosing an account, signing out."""

from __future__ import annotations

import base64
from contextlib import suppress
from typing import Any

from django import forms
from django.http import HttpResponse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext_lazy as _

from kms.api.inside import Refused
from kms.console import cookies
from kms.console.forms import Form
from kms.console.screens import Screen
from kms.console.visit import Visit


class SignIn(Form):
    email = forms.EmailField(label=_("E-mail"), widget=forms.EmailInput(attrs={"autocomplete": "username"}))
    password = forms.CharField(
        label=_("Password"), strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "current-password"})
    )


def show(visit: Visit) -> HttpResponse:
    return _page(visit, SignIn())


def act(visit: Visit) -> HttpResponse:
    form = SignIn(visit.form)
    if not form.is_valid():
        return _page(visit, form, status=422)
    try:
        signed_in = visit.call("Authenticate", authorization=_basic(**form.cleaned_data))
    except Refused as refused:
        form.add_error(None, refused.message)
        return _page(visit, form, status=refused.status)
    response = visit.redirect("second-factor") if signed_in.get("second_factor") else visit.go(_onward(visit))
    cookies.keep_session(response, signed_in["access_token"], signed_in["entity_id"])
    return response


def _basic(email: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{email}:{password}".encode()).decode()


def _onward(visit: Visit) -> str:
    """Where they were going, if that is ours."""
    wanted = visit.form.get("next", "")
    return wanted if url_has_allowed_host_and_scheme(wanted, None) and wanted.startswith("/") else "/"


def _page(visit: Visit, form: SignIn, *, status: int = 200) -> HttpResponse:
    onward = visit.query.get("next") or visit.form.get("next", "")
    return visit.render("console/sign_in/password.html", {"form": form, "next": onward}, status=status)


def choose(visit: Visit) -> HttpResponse:
    return visit.render("console/sign_in/accounts.html", {"accounts": visit.call("ListAccounts")})


def chosen(visit: Visit) -> HttpResponse:
    visit.call("SelectAccount", body={"acct_id": visit.form.get("account")})
    visit.forget_shell()
    return visit.go("/")


def sign_out(visit: Visit, **_path: Any) -> HttpResponse:
    """Whatever the API says to it, the browser forgets."""
    with suppress(Refused):
        visit.call("Terminate")
    response = visit.redirect("sign-in")
    cookies.drop_session(response)
    return response


SCREENS: tuple[Screen, ...] = (
    Screen("sign-in", "sign-in", _("Sign in"), show, act, anonymous=True),
    Screen("choose-account", "accounts", _("Choose an account"), choose, chosen, homeless=True),
    Screen("sign-out", "sign-out", _("Sign out"), act=sign_out, anonymous=True),
)
