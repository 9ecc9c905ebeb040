"""The sign-in page: the address, the password beside it, and the other ways in that the address has."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from django import forms
from django.http import HttpResponse
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.api.inside import Refused
from kms.console import cookies
from kms.console.forms import Form
from kms.console.headers import may_post_to
from kms.console.sign_in import binding
from kms.console.sign_in.arriving import arrive, onward_of
from kms.console.visit import Visit


class SignIn(Form):
    email = forms.EmailField(
        label=_("E-mail"), widget=forms.EmailInput(attrs={"autocomplete": "username", "autofocus": True})
    )
    password = forms.CharField(
        label=_("Password"), strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "current-password"})
    )

    def full_clean(self) -> None:
        """Without a password it is asked which other ways there are."""
        self.fields["password"].required = bool(self.data.get("password")) and "discover" not in self.data
        super().full_clean()
        self.fields["password"].required = True


def show(visit: Visit) -> HttpResponse:
    return _page(visit, SignIn(initial={"email": visit.query.get("email", "")}))


def act(visit: Visit) -> HttpResponse:
    """By password, by a directory's password, or, without any, on to the ways that there are."""
    form = SignIn(visit.form)
    if not form.is_valid():
        return _page(visit, form, status=HTTPStatus.UNPROCESSABLE_ENTITY)
    email, password = form.cleaned_data["email"], form.cleaned_data["password"]
    if not password or "discover" in visit.form:
        return _ways(visit, form, email)
    try:
        signed_in = _signed_in(visit, email, password)
    except Refused as refused:
        form.add_error(None, _why(refused))
        return _refused(visit, form, refused)
    return arrive(visit, signed_in, onward_of(visit))


def _signed_in(visit: Visit, email: str, password: str) -> Any:
    provider = visit.form.get("idp_id")
    if provider:
        body = {"method": "ldap-basic-auth", "idp_id": provider, "email": email, "password": password}
        return visit.call("Authenticate", body=body)
    pair = base64.b64encode(f"{email}:{password}".encode()).decode()
    return visit.call("Authenticate", authorization=f"Basic {pair}")


def _refused(visit: Visit, form: SignIn, refused: Refused) -> HttpResponse:
    if visit.form.get("idp_id"):  # the ways are shown again, this one among them
        return _ways(visit, form, form.cleaned_data["email"], status=refused.status)
    return _page(visit, form, status=refused.status)


def _why(refused: Refused) -> str:
    if refused.status == HTTPStatus.UNAUTHORIZED:
        return _t("The e-mail or the password is not right.")
    return refused.message


def _ways(visit: Visit, form: SignIn, email: str, *, status: int = 200) -> HttpResponse:
    """What the address may sign in with. A link leads to one provider, a form is posted to another's."""
    found = visit.call("AuthDiscover", body={"user_email": email})
    ways = [way for way in found if way["method"] != "password"]
    for way in ways:
        if way["method"] == "saml-post":
            may_post_to(visit.request, way["binding_url"])
    response = _page(visit, form, ways=ways, asked=True, email=email, status=status)
    binding.begun(response, ways, onward_of(visit), email)
    return response


def _page(visit: Visit, form: SignIn, *, status: int = 200, **context: Any) -> HttpResponse:
    given: Mapping[str, Any] = {"form": form, "next": onward_of(visit), **context}
    return visit.render("console/sign_in/password.html", given, status=status)


def sign_out(visit: Visit, **_path: Any) -> HttpResponse:
    """Whatever the API says to it, the browser forgets."""
    with suppress(Refused):
        visit.call("Terminate")
    visit.forget_shell()
    response = visit.redirect("sign-in")
    cookies.drop_session(response)
    return response
