"""What becomes of requests for approval, the quorum that stands before the account's own settings, and who is told."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from typing import Any

from django import forms
from django.http import HttpResponse
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.api.inside import Refused
from kms.console.quorums.sentences import ids_in, sentence_of, short_of
from kms.console.screens import Screen
from kms.console.settings.forms import SecretField, SettingsForm, mark_of
from kms.console.settings.tabs import account_id, account_of, page
from kms.console.visit import Visit

_DAY = 86_400
_DEFAULT_DAYS = 30
_TICKS = ("check_access_for_sensitive_operation_results", "log_expired_pending_requests", "retain_expired_requests")
# What the account's quorum may stand before, beside what it always does.
_CHOSEN: Mapping[str, Any] = {
    "manage_groups": _("making and deleting groups"),
    "protect_authentication_methods": _("how people log in"),
    "protect_cryptographic_policy": _("the account's policies on objects"),
    "protect_logging_config": _("where the log is sent"),
    "protect_custom_role_updates": _("custom roles"),
}


class ApprovalForm(SettingsForm):
    wire = {"days": "approval_request_expiry"}

    days = forms.IntegerField(
        label=_("Days for which a request stands"),
        min_value=1,
        max_value=365,
        help_text=_("A request that nobody has decided by then fails."),
    )
    check_access_for_sensitive_operation_results = forms.BooleanField(
        label=_("Judge the requester's right again when a sensitive result is fetched"), required=False
    )
    log_expired_pending_requests = forms.BooleanField(
        label=_("Write to the log when a request expires"), required=False
    )
    retain_expired_requests = forms.BooleanField(label=_("Keep requests that expired in the list"), required=False)


class WebhookForm(SettingsForm):
    """Neither address nor key is shown again to those who may not change them."""

    url = forms.CharField(
        label=_("Address"), max_length=2048, help_text=_("https://, and public or allowed by the server's operator.")
    )
    key = SecretField(
        label=_("Signing key"),
        help_text=_("24 to 64 random bytes in base64, as Standard Webhooks 1.0 says; with or without “whsec_”."),
    )


def _filled(account: Mapping[str, Any]) -> dict[str, Any]:
    seconds = account.get("approval_request_expiry") or _DEFAULT_DAYS * _DAY
    return {
        "days": max(1, seconds // _DAY),
        **{name: bool(account.get(name)) for name in _TICKS},
        "seen": _mark(account),
    }


def _mark(account: Mapping[str, Any]) -> str:
    return mark_of([account.get(name) for name in ("approval_request_expiry", *_TICKS)])


def show(visit: Visit) -> HttpResponse:
    account = account_of(visit)
    return _page(visit, account, ApprovalForm(initial=_filled(account)), _webhook_form(account))


def save(visit: Visit) -> HttpResponse:
    account, form = account_of(visit), ApprovalForm(visit.form)
    if form.is_valid() and form.still(_mark(account)):
        before, cleaned = _filled(account), form.cleaned_data
        body: dict[str, Any] = {name: cleaned[name] for name in _TICKS if cleaned[name] != before[name]}
        if cleaned["days"] != before["days"]:
            body["approval_request_expiry"] = cleaned["days"] * _DAY
        if not body or form.save(visit, body):
            visit.say(_t("Requests for approval are treated like this from now on"))
            return visit.redirect("settings-approvals")
    return _page(visit, account, form, _webhook_form(account), status=422)


# -- the webhook ---------------------------------------------------------------------------------------------------


def _webhook_form(account: Mapping[str, Any]) -> WebhookForm:
    return WebhookForm(initial={"url": (account.get("approval_webhook") or {}).get("url", "")}, auto_id="hook_%s")


def set_webhook(visit: Visit) -> HttpResponse:
    account, form = account_of(visit), WebhookForm(visit.form, auto_id="hook_%s")
    if form.is_valid():
        hook = {"url": form.cleaned_data["url"], "key": form.cleaned_data["key"]}
        if form.save(visit, {"approval_webhook": hook}):
            visit.say(_t("The webhook was saved"))
            return visit.redirect("settings-approvals")
    return _page(visit, account, ApprovalForm(initial=_filled(account)), form, status=422)


def remove_webhook(visit: Visit) -> HttpResponse:
    visit.call("UpdateAccount", acct_id=account_id(visit), body={"approval_webhook": "remove"})
    visit.say(_t("The webhook was taken away"))
    return visit.redirect("settings-approvals")


def _page(
    visit: Visit, account: Mapping[str, Any], form: ApprovalForm, hook: WebhookForm, *, status: int = 200
) -> HttpResponse:
    policy = account.get("approval_policy") or {}
    tree = policy.get("policy")
    context = {
        "form": form,
        "hook": hook,
        "webhook": account.get("approval_webhook"),
        "suggested": "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode(),
        "policy": policy,
        "sentence": sentence_of(tree, _names(visit, tree)),
        "short": short_of(tree),
        "chosen": [words for name, words in _CHOSEN.items() if policy.get(name)],
        "server": visit.call("GetServerStatus")["server"],
        "lead": _t("What needs more than one person, and how they hear of it."),
    }
    return page(visit, "settings-approvals", "approvals.html", context, status=status)


def _names(visit: Visit, tree: Mapping[str, Any] | None) -> dict[str, str]:
    try:
        return visit.names(ids_in(tree))
    except Refused:
        return {}


SCREENS: tuple[Screen, ...] = (
    Screen("settings-approvals", "settings/approvals", _("Approvals"), show, save),
    Screen("set-webhook", "settings/approvals/webhook", _("Approvals"), act=set_webhook),
    Screen("remove-webhook", "settings/approvals/webhook/remove", _("Approvals"), act=remove_webhook),
)
