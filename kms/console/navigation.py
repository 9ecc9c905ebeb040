"""The menu: what there is, in the order in which it is used, and for whom it is worth showing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


@dataclass(frozen=True, slots=True)
class Entry:
    """A screen of the menu, by its name."""

    screen: str
    icon: str
    label: str | Promise


MENU: tuple[tuple[str | Promise, Sequence[Entry]], ...] = (
    (
        "",
        (
            Entry("dashboard", "layout-dashboard", _("Dashboard")),
            Entry("approvals", "inbox", _("Approvals")),
        ),
    ),
    (
        _("Keys"),
        (
            Entry("objects", "key-round", _("Security objects")),
            Entry("groups", "folder-lock", _("Groups")),
            Entry("apps", "app-window", _("Apps")),
            Entry("kubernetes-clusters", "boxes", _("Kubernetes")),
        ),
    ),
    (
        _("People"),
        (
            Entry("users", "users", _("Users")),
            Entry("roles", "shield-check", _("Roles")),
            Entry("explain", "scale", _("Who may do what")),
        ),
    ),
    (
        _("Evidence"),
        (
            Entry("audit", "scroll-text", _("Audit log")),
            Entry("settings", "settings", _("Settings")),
        ),
    ),
)
