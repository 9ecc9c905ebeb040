"""Tags and filters of the console's templates: addresses of assets, icons, times, names of things."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django import template
from django.template import Context
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince, timeuntil
from django.utils.translation import gettext as _

from kms.console import cookies, words
from kms.console.assets import assets
from kms.console.headers import nonce_of
from kms.console.moments import moment_of
from kms.console.navigation import MENU, Entry

register = template.Library()

_RECENT = timedelta(days=7)


@register.simple_tag
def asset(name: str) -> str:
    """The address of an asset, which changes with its content."""
    return assets()[name].url


@register.simple_tag
def icon(name: str, extra: str = "") -> SafeString:
    """An icon beside a text; alone it needs a label on what it stands in."""
    return format_html(
        '<svg class="icon {}" aria-hidden="true" focusable="false"><use href="{}#{}"/></svg>',
        extra,
        assets()["icons.svg"].url,
        name,
    )


@register.simple_tag(takes_context=True)
def nonce(context: Context) -> SafeString:
    """The attribute without which htmx leaves an element alone (hx-csp)."""
    return format_html('hx-nonce="{}"', nonce_of(context["request"]))


@register.simple_tag(takes_context=True)
def page_nonce(context: Context) -> str:
    return nonce_of(context["request"])


@register.simple_tag(takes_context=True)
def theme(context: Context) -> str:
    return cookies.theme_of(context["request"])


@dataclass(frozen=True, slots=True)
class Place:
    """An entry of the menu, where it leads, and whether the page at hand is below it."""

    entry: Entry
    url: str
    here: bool


@register.simple_tag(takes_context=True)
def menu(context: Context) -> list[tuple[Any, list[Place]]]:
    if context["visit"].around is None:
        return []
    path = context["request"].path
    return [(heading, [_place(entry, path) for entry in entries]) for heading, entries in MENU]


def _place(entry: Entry, path: str) -> Place:
    url = reverse(entry.screen)
    return Place(entry, url, path == url or (url != "/" and path.startswith(f"{url}/")))


@register.simple_tag(takes_context=True)
def moment(context: Context, value: Any, relative: bool = True) -> SafeString | str:
    """A time in the viewer's zone, near ones as "3 hours ago"; the title has the instant in UTC."""
    when = moment_of(value)
    if when is None:
        return ""
    shown = when.astimezone(context["visit"].zone)
    near = relative and abs(timezone.now() - when) < _RECENT
    return format_html(
        '<time datetime="{}" title="{} UTC">{}</time>',
        when.isoformat(),
        when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S"),
        _distance(when) if near else shown.strftime("%-d %b %Y, %H:%M"),
    )


def _distance(when: datetime) -> str:
    now = timezone.now()
    if abs(now - when) < timedelta(minutes=1):
        return _("just now") if when <= now else _("in a moment")
    if when <= now:
        return _("%(time)s ago") % {"time": timesince(when, now, depth=1)}
    return _("in %(time)s") % {"time": timeuntil(when, now, depth=1)}


@register.filter
def get(mapping: Any, key: Any) -> Any:
    """A dict's value where the key is a variable."""
    return mapping.get(key) if hasattr(mapping, "get") else None


@register.filter
def word(value: Any) -> str:
    """The field's term for one of the API's words ("PREACTIVE", "ENCRYPT", "obj_type"), for people to read."""
    return words.word_of(str(value))


@register.filter
def hue(value: Any) -> int:
    """One of six colours for an account, so that two are told apart at a glance."""
    return sum(str(value).encode()) % 6
