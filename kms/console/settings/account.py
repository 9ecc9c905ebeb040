"""The account itself: what it is called and for what, how much is used of it, and its end."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.http import HttpResponse
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.api.inside import Refused
from kms.console.forms import Form
from kms.console.groups.about import MetadataField
from kms.console.screens import Screen
from kms.console.settings.forms import SettingsForm, mark_of
from kms.console.settings.tabs import account_id, account_of, page
from kms.console.visit import Visit

_DAYS = 30
_DAY = 86_400
_TEXTS = ("name", "description", "organization", "country", "phone")
# What of the usage is shown, by the API's names.
_COUNTS = (
    (_("Cryptographic calls"), "num_operations"),
    (_("Encryptions"), "encryption_operations"),
    (_("Decryptions"), "decryption_operations"),
    (_("Signatures"), "sign_operations"),
    (_("Security objects"), "sobjects"),
)


class AccountForm(SettingsForm):
    wire = {"metadata": "custom_metadata", "undo_days": "undo_time_window"}

    name = forms.CharField(label=_("Name"), max_length=256)
    description = forms.CharField(
        label=_("Description"), required=False, widget=forms.Textarea(attrs={"rows": 3}), max_length=4096
    )
    organization = forms.CharField(label=_("Organisation"), required=False, max_length=256)
    country = forms.CharField(label=_("Country"), required=False, max_length=256)
    phone = forms.CharField(
        label=_("Phone"), required=False, max_length=64, help_text=_("By which whoever is responsible is reached.")
    )
    metadata = MetadataField(
        label=_("Custom metadata"), required=False, help_text=_("One pair to a line, as “cost centre: 4711”.")
    )
    undo_days = forms.IntegerField(
        label=_("Days in which changes of keys can be undone"),
        required=False,
        min_value=0,
        max_value=180,
        help_text=_("Where a group says nothing else. Empty or 0: changes are final at once."),
    )


class DeletionForm(Form):
    typed = forms.CharField(label=_("Type the account's name"), strip=False)


def _filled(account: Mapping[str, Any]) -> dict[str, Any]:
    undo = (account.get("key_history_policy") or {}).get("undo_time_window", 0)
    return {
        **{name: account.get(name) or "" for name in _TEXTS},
        "metadata": account.get("custom_metadata") or {},
        "undo_days": undo // _DAY or None,
        "seen": _mark(account),
    }


def _mark(account: Mapping[str, Any]) -> str:
    return mark_of([account.get(name) for name in (*_TEXTS, "custom_metadata", "key_history_policy")])


def show(visit: Visit) -> HttpResponse:
    account = account_of(visit)
    return _page(visit, account, AccountForm(initial=_filled(account)))


def save(visit: Visit) -> HttpResponse:
    account, form = account_of(visit), AccountForm(visit.form)
    if form.is_valid() and form.still(_mark(account)) and form.save(visit, _body(form.cleaned_data, account)):
        visit.say(_t("The account was saved"))
        return visit.redirect("settings")
    return _page(visit, account, form, status=422)


def _body(cleaned: Mapping[str, Any], account: Mapping[str, Any]) -> dict[str, Any]:
    body = {name: cleaned[name] for name in _TEXTS}
    body["custom_metadata"] = cleaned["metadata"]
    before = (account.get("key_history_policy") or {}).get("undo_time_window", 0)
    days = cleaned["undo_days"] or 0
    if days != before // _DAY:
        body["key_history_policy"] = {"undo_time_window": days * _DAY} if days else "remove"
    return body


def _page(visit: Visit, account: Mapping[str, Any], form: AccountForm, *, status: int = 200) -> HttpResponse:
    context = {
        "account": account,
        "form": form,
        "usage": _usage(visit),
        "days": _DAYS,
        "lead": _t("What this account is, for those who work in it and for auditors."),
    }
    return page(visit, "settings", "account.html", context, status=status)


def _usage(visit: Visit) -> list[tuple[Any, int]]:
    """Of the last days; nothing for those who may not know."""
    now = datetime.now(UTC)
    span = {"range_from": int((now - timedelta(days=_DAYS)).timestamp()), "range_to": int(now.timestamp())}
    try:
        used = visit.call("AccountUsage", acct_id=account_id(visit), query=span)
    except Refused:
        return []
    return [(label, used[name]) for label, name in _COUNTS]


# -- its end -------------------------------------------------------------------------------------------------------


def ask_deletion(visit: Visit) -> HttpResponse:
    return _deletion(visit, DeletionForm())


def delete(visit: Visit) -> HttpResponse:
    form, account = DeletionForm(visit.form), account_of(visit)
    if form.is_valid() and form.cleaned_data["typed"] != account["name"]:
        form.add_error("typed", _t("That is not the account's name."))
    if not form.is_valid():
        return _deletion(visit, form, status=422)
    if form.attempt(visit, "DeleteAccount", acct_id=account["acct_id"]) is None and form.errors:
        return _deletion(visit, form, status=422)
    visit.forget_shell()
    visit.say(_t("The account %(name)s was deleted") % {"name": account["name"]})
    return visit.redirect("choose-account")


def _deletion(visit: Visit, form: DeletionForm, *, status: int = 200) -> HttpResponse:
    groups = visit.call("ListGroups", query={"limit": 50})
    apps = visit.call("ListApps", query={"limit": 50})
    account = account_of(visit)
    context = {
        "form": form,
        "account": account,
        "groups": len(groups),
        "apps": len(apps),
        "guarded": bool(account.get("approval_policy")),
    }
    return page(visit, "settings", "delete_account.html", context, status=status)


SCREENS: tuple[Screen, ...] = (
    Screen("settings", "settings", _("Account"), show, save),
    Screen("delete-account", "settings/delete", _("Delete the account"), ask_deletion, delete),
)
