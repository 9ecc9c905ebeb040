"""One box that finds any object, app, group, user, role or screen: as a page, and as the palette over every page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from kms.console.navigation import MENU, Entry
from kms.console.screens import Screen
from kms.console.visit import Visit

# What can be begun from anywhere, beside the menu's screens.
ACTIONS = (
    Entry("new-object", "plus", _("Generate a key or secret")),
    Entry("import-object", "upload", _("Import a key, secret or certificate")),
    Entry("new-group", "plus", _("New group")),
    Entry("new-app", "plus", _("New app")),
    Entry("new-kubernetes-cluster", "plus", _("New Kubernetes cluster")),
    Entry("invite-user", "user-plus", _("Invite a user")),
    Entry("new-role", "plus", _("New role")),
    Entry("profile", "circle-user-round", _("Your profile")),
    Entry("profile-sessions", "monitor", _("Your sessions")),
    Entry("audit-export", "download", _("Hand the record to an auditor")),
    Entry("server-status", "activity", _("State of the server")),
)
# Where a thing of a kind has its page, by which name of the address, and what it looks like.
_PAGES: Mapping[str, tuple[str, str, str]] = {
    "object": ("object", "key_id", "key-round"),
    "group": ("group", "group_id", "folder-lock"),
    "app": ("app", "app_id", "app-window"),
    "user": ("user", "user_id", "circle-user-round"),
    "role": ("role", "role_id", "shield-check"),
}
_KINDS: Mapping[str, str | Promise] = {
    "object": _("Security object"),
    "group": _("Group"),
    "app": _("App"),
    "user": _("User"),
    "role": _("Role"),
}


@dataclass(frozen=True, slots=True)
class Hit:
    url: str
    icon: str
    name: str | Promise
    kind: str | Promise
    about: str = ""


def show(visit: Visit) -> HttpResponse:
    text = visit.query.get("q", "").strip()
    hits = list(_screens(text))
    if text:
        hits = [*_things(visit.call("FindByName", query={"q": text[:256]})), *hits]
    template = "console/finding/find.html#hits" if visit.by_htmx else "console/finding/find.html"
    return visit.render(template, {"hits": hits, "text": text})


def _things(found: list[dict[str, Any]]) -> Iterator[Hit]:
    for thing in found:
        if thing["kind"] in _PAGES:
            screen, parameter, icon = _PAGES[thing["kind"]]
            url = reverse(screen, kwargs={parameter: thing["id"]})
            yield Hit(url, icon, thing["name"], _KINDS[thing["kind"]], thing.get("about", ""))


def _screens(text: str) -> Iterator[Hit]:
    """Those whose label has every word of the text in it."""
    words = text.casefold().split()
    for entry in (*(entry for _heading, entries in MENU for entry in entries), *ACTIONS):
        if all(word in str(entry.label).casefold() for word in words):
            yield Hit(reverse(entry.screen), entry.icon, entry.label, _("Go to"))


SCREENS: tuple[Screen, ...] = (Screen("find", "find", _("Search"), show),)
