"""The menu: what there is, in the order in which it is used, and for whom it is worth showing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


@dataclass(frozen=True, slots=True)
class Entry:
    """``needs`` is any one of these permissions, by the API's names; empty: for everybody. It only hides."""

    screen: str
    icon: str
    label: str | Promise
    needs: frozenset[str] = frozenset()


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


def entries_for(permissions: frozenset[str]) -> Iterator[tuple[str | Promise, list[Entry]]]:
    for heading, entries in MENU:
        shown = [entry for entry in entries if not entry.needs or entry.needs & permissions]
        if shown:
            yield heading, shown
