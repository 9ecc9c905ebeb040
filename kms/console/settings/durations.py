"""Lengths of time in words."""

from __future__ import annotations

from django.utils.translation import ngettext


def spelled(seconds: int) -> str:
    """In the largest unit that it is a whole number of: "30 days", "90 minutes"."""
    if seconds and seconds % 86400 == 0:
        return ngettext("%(number)s day", "%(number)s days", seconds // 86400) % {"number": seconds // 86400}
    if seconds and seconds % 3600 == 0:
        return ngettext("%(number)s hour", "%(number)s hours", seconds // 3600) % {"number": seconds // 3600}
    if seconds and seconds % 60 == 0:
        return ngettext("%(number)s minute", "%(number)s minutes", seconds // 60) % {"number": seconds // 60}
    return ngettext("%(number)s second", "%(number)s seconds", seconds) % {"number": seconds}


def rough(seconds: int) -> str:
    """Without the small change, for how far something is behind."""
    for unit in (86400, 3600, 60):
        if seconds >= unit:
            return spelled(seconds // unit * unit)
    return spelled(seconds)
