"""The settings' tabs: which there are, and how a page of one is rendered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from kms.console.visit import Visit


@dataclass(frozen=True, slots=True)
class Tab:
    screen: str
    label: str | Promise


TABS: tuple[Tab, ...] = (
    Tab("settings", _("Account")),
    Tab("settings-authentication", _("Authentication")),
    Tab("settings-sign-on", _("Single sign-on")),
    Tab("settings-policies", _("Policies")),
    Tab("settings-approvals", _("Approvals")),
    Tab("settings-log-export", _("Log export")),
    Tab("server-status", _("Server")),
)


def page(
    visit: Visit, tab: str, template: str, context: Mapping[str, Any] | None = None, *, status: int = 200
) -> HttpResponse:
    given = {"tabs": TABS, "tab": tab, **(context or {})}
    return visit.render(f"console/settings/{template}", given, status=status)


def account_of(visit: Visit) -> dict[str, Any]:
    """The selected account as it is now."""
    found: dict[str, Any] = visit.call("GetAccount", acct_id=account_id(visit))
    return found


def account_id(visit: Visit) -> str:
    shell = visit.shell
    assert shell is not None  # the frame lets nobody past without an account
    assert shell.account is not None
    return str(shell.account["acct_id"])


def guarded(account: Mapping[str, Any], what: str) -> bool:
    """Whether changes take a quorum, as far as the account says: ``what`` is one of its policy's fields."""
    return bool((account.get("approval_policy") or {}).get(what))
