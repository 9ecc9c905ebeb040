"""The account's policies on its objects: what is in force, in words, and the editors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpResponse
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.console.screens import Screen
from kms.console.settings import metadata_policy, policies
from kms.console.settings.forms import SettingsForm, mark_of
from kms.console.settings.metadata_policy import MetadataForm
from kms.console.settings.policies import CryptographicForm
from kms.console.settings.tabs import account_of, guarded, page
from kms.console.visit import Visit

_TAB = "settings-policies"
_CRYPTOGRAPHIC, _METADATA = "cryptographic_policy", "key_metadata_policy"


def show(visit: Visit) -> HttpResponse:
    account = account_of(visit)
    context = {
        "cryptographic": policies.in_words(account.get(_CRYPTOGRAPHIC)),
        "metadata": metadata_policy.in_words(account.get(_METADATA)),
        "guarded": _guarded(account),
        "lead": _t("What holds for every object of the account. A group may be stricter, never looser."),
    }
    return page(visit, _TAB, "policies.html", context)


def _guarded(account: Mapping[str, Any]) -> bool:
    return guarded(account, "protect_cryptographic_policy")


def edit_cryptographic(visit: Visit) -> HttpResponse:
    account = account_of(visit)
    policy = account.get(_CRYPTOGRAPHIC)
    return _editor(visit, account, CryptographicForm.of(policy, seen=mark_of(policy)), "edit_cryptographic.html")


def save_cryptographic(visit: Visit) -> HttpResponse:
    account, form = account_of(visit), CryptographicForm(visit.form)
    before = account.get(_CRYPTOGRAPHIC)
    if form.is_valid() and form.still(mark_of(before)) and form.save(visit, {_CRYPTOGRAPHIC: form.policy(before)}):
        visit.say(_t("The cryptographic policy is in force"))
        return visit.redirect(_TAB)
    return _editor(visit, account, form, "edit_cryptographic.html", status=422)


def edit_metadata(visit: Visit) -> HttpResponse:
    account = account_of(visit)
    policy = account.get(_METADATA)
    return _editor(visit, account, MetadataForm.of(policy, seen=mark_of(policy)), "edit_metadata.html")


def save_metadata(visit: Visit) -> HttpResponse:
    account, form = account_of(visit), MetadataForm(visit.form)
    before = account.get(_METADATA)
    if form.is_valid() and form.still(mark_of(before)) and form.save(visit, {_METADATA: form.policy(before)}):
        visit.say(_t("The key metadata policy is in force"))
        return visit.redirect(_TAB)
    return _editor(visit, account, form, "edit_metadata.html", status=422)


def _editor(
    visit: Visit, account: Mapping[str, Any], form: SettingsForm, template: str, *, status: int = 200
) -> HttpResponse:
    return page(visit, _TAB, template, {"form": form, "guarded": _guarded(account)}, status=status)


SCREENS: tuple[Screen, ...] = (
    Screen(_TAB, "settings/policies", _("Policies"), show),
    Screen(
        "account-cryptographic-policy",
        "settings/policies/cryptographic",
        _("Cryptographic policy"),
        edit_cryptographic,
        save_cryptographic,
    ),
    Screen(
        "account-metadata-policy",
        "settings/policies/metadata",
        _("Key metadata policy"),
        edit_metadata,
        save_metadata,
    ),
)
