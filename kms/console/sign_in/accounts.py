"""The account to work in: chosen, entered by an invitation, or made."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django import forms
from django.http import HttpResponse
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.console.forms import Form
from kms.console.sign_in.arriving import onward_of, way_on
from kms.console.visit import Visit


class AccountForm(Form):
    name = forms.CharField(label=_("Name"), max_length=256, widget=forms.TextInput(attrs={"autocomplete": "off"}))
    description = forms.CharField(
        label=_("Description"), required=False, widget=forms.Textarea(attrs={"rows": 3}), help_text=_("What it is for.")
    )


def choose(visit: Visit) -> HttpResponse:
    shell = visit.shell
    context = {
        "accounts": visit.call("ListAccounts"),
        "invitations": visit.call("ListInvitations"),
        "current": None if shell is None or shell.account is None else shell.account["acct_id"],
        "next": onward_of(visit),
    }
    return visit.render("console/sign_in/accounts.html", context)


def chosen(visit: Visit) -> HttpResponse:
    """What is posted is an account to enter, or an invitation to accept or to refuse."""
    accepted, rejected = visit.form.get("accept"), visit.form.get("reject")
    if rejected:
        visit.call("ProcessInvite", body={"rejects": [rejected]})
        visit.say(_t("The invitation was refused."))
        return visit.redirect("choose-account")
    if accepted:
        visit.call("ProcessInvite", body={"accepts": [accepted]})
    return _enter(visit, accepted or visit.form.get("account"))


def new(visit: Visit) -> HttpResponse:
    return visit.render("console/sign_in/new_account.html", {"form": AccountForm()})


def create(visit: Visit) -> HttpResponse:
    form = AccountForm(visit.form)
    made = form.attempt(visit, "CreateAccount", body=form.cleaned_data) if form.is_valid() else None
    if made is None:
        context = {"form": form}
        return visit.render("console/sign_in/new_account.html", context, status=HTTPStatus.UNPROCESSABLE_ENTITY)
    visit.say(_t("Account %(name)s was created, and you administer it.") % {"name": made["name"]})
    return _enter(visit, made["acct_id"])


def _enter(visit: Visit, account: Any) -> HttpResponse:
    visit.call("SelectAccount", body={"acct_id": account})
    visit.forget_shell()
    return visit.go(way_on(visit, onward_of(visit)))
