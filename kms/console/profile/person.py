"""One's name, e-mail address and password; and the accounts that one belongs to, to leave them or the server."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.api.inside import Refused
from kms.console import cookies
from kms.console.forms import Form
from kms.console.sign_in.mail_links import new_password_field
from kms.console.visit import Visit

_VOUCHED = "vouched-for"


class NameForm(Form):
    first_name = forms.CharField(
        label=_("First name"), required=False, widget=forms.TextInput(attrs={"autocomplete": "given-name"})
    )
    last_name = forms.CharField(
        label=_("Last name"), required=False, widget=forms.TextInput(attrs={"autocomplete": "family-name"})
    )


class AddressForm(Form):
    user_email = forms.EmailField(label=_("New e-mail"), widget=forms.EmailInput(attrs={"autocomplete": "email"}))
    user_password = forms.CharField(
        label=_("Current password"), strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "current-password"})
    )


class PasswordForm(Form):
    current_password = forms.CharField(
        label=_("Current password"), strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "current-password"})
    )
    password = new_password_field()

    def refuse(self, refused: Refused) -> None:
        """What is said of a password is said of the new one, but for the one sentence on the current."""
        wrong = refused.reason == "wrong-password"
        self.add_error("current_password" if wrong else "password", refused.message)


class LeavingForm(Form):
    """Typed, so that nobody does it by a slip."""

    typed = forms.CharField(label=_("Type your e-mail"), widget=forms.TextInput(attrs={"autocomplete": "off"}))

    def __init__(self, *args: Any, email: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._email = email

    def clean_typed(self) -> str:
        typed = str(self.cleaned_data["typed"]).strip()
        if typed != self._email:
            raise forms.ValidationError(_t("Type %(email)s.") % {"email": self._email})
        return typed


# -- who one is ----------------------------------------------------------------------------------------------------


def show(visit: Visit) -> HttpResponse:
    return _page(visit)


def act(visit: Visit) -> HttpResponse:
    handler = {"name": _rename, "email": _change_address, "password": _change_password, "resend": _resend}
    return handler.get(visit.form.get("do", ""), show)(visit)


def _rename(visit: Visit) -> HttpResponse:
    form = NameForm(visit.form, prefix="name")
    if not form.is_valid() or not _updated(visit, form):
        return _refused(visit, name=form)
    return _done(visit, _t("Your name was changed."))


def _change_address(visit: Visit) -> HttpResponse:
    form = AddressForm(visit.form, prefix="email")
    if not form.is_valid() or not _updated(visit, form):
        return _refused(visit, email=form)
    said = _t("A mail is on its way to %(email)s. The change takes effect when its link is followed.")
    return _done(visit, said % {"email": form.cleaned_data["user_email"]})


def _change_password(visit: Visit) -> HttpResponse:
    form = PasswordForm(visit.form, prefix="password")
    if form.is_valid():
        given = form.cleaned_data
        body = {"current_password": given["current_password"], "new_password": given["password"]}
        form.attempt(visit, "ChangePassword", body=body)
    if form.errors:
        return _refused(visit, password=form)
    return _done(visit, _t("Your password was changed. Your other sessions have ended."))


def _resend(visit: Visit) -> HttpResponse:
    visit.call("ResendConfirmEmail")
    return _done(visit, _t("The mail was sent again."))


def _updated(visit: Visit, form: Form) -> bool:
    form.attempt(visit, "UpdateUser", body=form.cleaned_data, user_id=visit.user_id)
    return not form.errors


def _done(visit: Visit, said: str) -> HttpResponse:
    visit.forget_shell()
    visit.say(said)
    return visit.redirect("profile")


def _refused(visit: Visit, **refused: Form) -> HttpResponse:
    return _page(visit, status=HTTPStatus.UNPROCESSABLE_ENTITY, **refused)


def _page(visit: Visit, *, status: int = 200, **refused: Form) -> HttpResponse:
    user = visit.call("GetUser", user_id=visit.user_id)
    given: Mapping[str, Any] = {
        "user": user,
        "vouched": "idp_id" in visit.call("GetSession"),
        "name": NameForm(initial={name: user[name] or "" for name in ("first_name", "last_name")}, prefix="name"),
        "email": AddressForm(prefix="email"),
        "password": PasswordForm(prefix="password"),
        **refused,
    }
    return visit.render("console/profile/person.html", given, status=status)


# -- where one belongs ---------------------------------------------------------------------------------------------


def accounts(visit: Visit) -> HttpResponse:
    return _accounts_page(visit)


def leave(visit: Visit) -> HttpResponse:
    """The selected account, or the server."""
    email = visit.call("GetUser", user_id=visit.user_id)["user_email"]
    whole = visit.form.get("do") == "delete"
    form = LeavingForm(visit.form, email=email, prefix="delete" if whole else "leave")
    if form.is_valid():
        operation, path = ("DeleteUser", {}) if whole else ("DeleteUserAccount", {"user_id": visit.user_id})
        form.attempt(visit, operation, **path)
    if form.errors:
        refused: dict[str, Form] = {"deleting" if whole else "leaving": form}
        return _accounts_page(visit, status=HTTPStatus.UNPROCESSABLE_ENTITY, **refused)
    return _gone(visit, _t("Your user was deleted.") if whole else _t("You have left the account."))


def _gone(visit: Visit, said: str) -> HttpResponse:
    """A session in an account that one has left is good for nothing, and ends."""
    with suppress(Refused):
        visit.call("Terminate")
    visit.forget_shell()
    visit.say(said, level=messages.INFO)
    response = visit.redirect("sign-in")
    cookies.drop_session(response)
    return response


def _accounts_page(visit: Visit, *, status: int = 200, **refused: Form) -> HttpResponse:
    roles = visit.call("GetUserAccounts")
    shell = visit.shell
    rows = [{**row, "roles": roles.get(row["acct_id"], [])} for row in visit.call("ListAccounts")]
    given: Mapping[str, Any] = {
        "rows": rows,
        "current": None if shell is None else shell.account,
        "email": "" if shell is None else shell.user["user_email"],
        "leaving": LeavingForm(prefix="leave"),
        "deleting": LeavingForm(prefix="delete"),
        **refused,
    }
    return visit.render("console/profile/accounts.html", given, status=status)
