"""Where links in mails lead. Their codes stand in the fragment, which no server sees: the page's script puts them into
the form, and without it they are typed there as they stand in the mail."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from uuid import UUID

from django import forms
from django.http import HttpResponse
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.console import cookies
from kms.console.forms import Form
from kms.console.sign_in.arriving import address
from kms.console.visit import Visit

_PASSWORD_HELP = _("12 to 256 characters of any kind, and not easy to guess. Several uncommon words do well.")


def new_password_field() -> forms.CharField:
    return forms.CharField(
        label=_("New password"),
        strip=False,
        help_text=_PASSWORD_HELP,
        widget=forms.PasswordInput(
            attrs={
                "autocomplete": "new-password",
                "data-reveal": _("Show"),
                "data-conceal": _("Hide"),
            }
        ),
    )


class Mailed(Form):
    """The link's two parts."""

    user = forms.UUIDField(label=_("User id"), widget=forms.TextInput(attrs={"autocomplete": "off"}))
    code = forms.CharField(label=_("Code"), widget=forms.TextInput(attrs={"autocomplete": "off"}))

    @property
    def of_mail(self) -> list[Any]:
        return [self["user"], self["code"]]

    @property
    def person(self) -> UUID:
        user: UUID = self.cleaned_data["user"]
        return user


class WithPassword(Mailed):
    password = new_password_field()


class Forgotten(Form):
    wire = {"email": "user_email"}
    email = forms.EmailField(
        label=_("E-mail"), widget=forms.EmailInput(attrs={"autocomplete": "username", "autofocus": True})
    )


# -- a forgotten password ------------------------------------------------------------------------------------------


def forgot(visit: Visit) -> HttpResponse:
    return visit.render("console/sign_in/forgot.html", {"form": Forgotten(initial={"email": visit.query.get("email")})})


def forgotten(visit: Visit) -> HttpResponse:
    """One answer, whoever asks about whom."""
    form = Forgotten(visit.form)
    if not form.is_valid():
        return visit.render("console/sign_in/forgot.html", {"form": form}, status=HTTPStatus.UNPROCESSABLE_ENTITY)
    visit.call("ForgotPassword", body={"user_email": form.cleaned_data["email"]})
    return visit.render("console/sign_in/forgot.html", {"sent_to": form.cleaned_data["email"]})


def reset(visit: Visit) -> HttpResponse:
    return _page(visit, "reset", Mailed())


def do_reset(visit: Visit) -> HttpResponse:
    """First the code is looked at, so that nobody thinks of a password in vain; then the password comes with it."""
    first = Mailed(visit.form)
    if not first.is_valid():
        return _page(visit, "reset", first, status=HTTPStatus.UNPROCESSABLE_ENTITY)
    code = {"reset_token": first.cleaned_data["code"]}
    known = first.attempt(visit, "ValidateToken", body=code, user_id=first.person)
    if known is None:
        return _page(visit, "reset", first, status=HTTPStatus.UNPROCESSABLE_ENTITY)
    if "password" not in visit.form:
        second = WithPassword(initial=first.cleaned_data)
        return _page(visit, "reset", second, email=known["user_email"])
    form = WithPassword(visit.form)
    if not form.is_valid() or not _was_set(visit, form, "ResetPassword", code):
        return _page(visit, "reset", form, email=known["user_email"], status=HTTPStatus.UNPROCESSABLE_ENTITY)
    return _on_to_sign_in(visit, _t("Your password was changed. Sign in with the new one."), known["user_email"])


# -- an invitation -------------------------------------------------------------------------------------------------


def invited(visit: Visit) -> HttpResponse:
    return _page(visit, "invitation", WithPassword())


def accept(visit: Visit) -> HttpResponse:
    form = WithPassword(visit.form)
    code = {"invite_token": form.cleaned_data["code"]} if form.is_valid() else {}
    if not code or not _was_set(visit, form, "AcceptInvite", code):
        return _page(visit, "invitation", form, status=HTTPStatus.UNPROCESSABLE_ENTITY)
    return _on_to_sign_in(visit, _t("You are in. Sign in with your e-mail and the password that you chose."))


def _was_set(visit: Visit, form: WithPassword, operation: str, code: dict[str, str]) -> bool:
    body = {**code, "new_password": form.cleaned_data["password"]}
    form.attempt(visit, operation, body=body, user_id=form.person)
    return not form.errors


# -- an address ----------------------------------------------------------------------------------------------------


def confirm(visit: Visit) -> HttpResponse:
    return _page(visit, "confirm", Mailed())


def confirmed(visit: Visit) -> HttpResponse:
    """It takes the session as well as the code: one person must have both."""
    form = Mailed(visit.form)
    if visit.token is None:
        return visit.go(address("sign-in", "/confirm-email"))
    if form.is_valid():
        body = {"confirm_token": form.cleaned_data["code"]}
        done = form.attempt(visit, "ConfirmEmail", body=body, user_id=form.person)
        if done is not None:
            visit.forget_shell()
            visit.say(_t("%(email)s is confirmed.") % {"email": done["user_email"]})
            return visit.redirect("profile")
    return _page(visit, "confirm", form, status=HTTPStatus.UNPROCESSABLE_ENTITY)


# -- what they share -----------------------------------------------------------------------------------------------


def _on_to_sign_in(visit: Visit, said: str, email: str = "") -> HttpResponse:
    """All sessions of the person have ended, this browser's with them if it is theirs."""
    visit.say(said)
    response = visit.redirect("sign-in", query={"email": email} if email else None)
    cookies.drop_session(response)
    return response


def _page(visit: Visit, what: str, form: Mailed, *, status: int = 200, **context: Any) -> HttpResponse:
    return visit.render(f"console/sign_in/{what}.html", {"form": form, **context}, status=status)
