"""The state of what the server stands on, as a row of lights. Pure: the API's answer in, lights out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext


@dataclass(frozen=True, slots=True)
class Light:
    """``tone`` is one of badge's; ``says`` is never left to the colour."""

    icon: str
    name: str | Promise
    tone: str
    says: str | Promise


def lights(status: Mapping[str, Any]) -> list[Light]:
    return list(_lights(status, frozenset(status["problems"])))


def _lights(status: Mapping[str, Any], problems: frozenset[str]) -> Iterator[Light]:
    yield _light("database", _("Database"), bad=not status["database"]["up"], good=_("answers"), ill=_("no answer"))
    yield _light("cpu", _("Token"), bad=not status["token"]["up"], good=_("answers"), ill=_("no answer"))
    broken = not status["record"]["trusted"] or "rows-forged" in problems
    yield _light("shield-check", _("Record"), bad=broken, good=_("adds up"), ill=_("does not add up"))
    yield _sealer(status["record"].get("unsealed_entries"), late="sealing-late" in problems)
    yield _export(status["log_sinks"])


def _light(icon: str, name: str | Promise, *, bad: bool, good: str | Promise, ill: str | Promise) -> Light:
    return Light(icon, name, "danger" if bad else "ok", ill if bad else good)


def _sealer(waiting: int | None, *, late: bool) -> Light:
    if waiting is None:
        return Light("lock", _("Sealer"), "warn", _("not known"))
    says = ngettext("%(number)d entry waits", "%(number)d entries wait", waiting) % {"number": waiting}
    return Light("lock", _("Sealer"), "danger" if late else "ok", says if waiting else _("all sealed"))


def _export(sinks: list[Mapping[str, Any]]) -> Light:
    if not sinks:
        return Light("send", _("Log export"), "", _("not set up"))
    behind = sum(sink["entries_behind"] for sink in sinks)
    if not any(sink["lagging"] for sink in sinks):
        return Light("send", _("Log export"), "ok", _("up to date") if not behind else _("on its way"))
    says = ngettext("%(number)d entry behind", "%(number)d entries behind", behind) % {"number": behind}
    return Light("send", _("Log export"), "danger", says)
