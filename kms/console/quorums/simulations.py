"""What a simulation found, with names instead of ids."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from kms.console.visit import Visit

_KINDS: tuple[tuple[str, str, str | Promise], ...] = (
    ("newly_needs_approval", "info", _("would have needed an approval")),
    ("newly_denied", "warn", _("would have been refused")),
    ("newly_allowed", "ok", _("would have been allowed")),
)
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Example:
    """Somebody who did something, so many times."""

    who: str
    what: str
    on: str
    times: int


@dataclass(frozen=True, slots=True)
class Change:
    tone: str
    label: str | Promise
    calls: int
    distinct: int
    examples: list[Example]

    @property
    def left_out(self) -> int:
        return self.distinct - len(self.examples)


def told(visit: Visit, found: Mapping[str, Any]) -> dict[str, Any]:
    names = visit.names(_ids(found))
    said = {permission["name"]: permission["sentence"] for permission in visit.call("ListPermissions")}
    changes = [
        Change(tone, label, found[kind]["calls"], found[kind]["distinct"], _examples(found[kind], names, said))
        for kind, tone, label in _KINDS
        if found[kind]["calls"]
    ]
    affected = {example.who for change in changes for example in change.examples}
    return {
        "calls": found["calls"],
        "actors": found["actors"],
        "since": found["since"],
        "changes": changes,
        "affected": len(affected),
    }


def _ids(found: Mapping[str, Any]) -> Iterator[str]:
    for kind, _tone, _label in _KINDS:
        for example in found[kind]["examples"][:_SHOWN]:
            yield from (example.get("user") or "", example.get("app") or "", *(example["target"].values()))


def _examples(changed: Mapping[str, Any], names: Mapping[str, str], said: Mapping[str, str]) -> list[Example]:
    return [
        Example(
            who=_named(example.get("user") or example.get("app"), names),
            what=said.get(example["permission"]["name"], example["permission"]["name"]),
            on=_named(next(iter(example["target"].values())), names),
            times=example["calls"],
        )
        for example in changed["examples"][:_SHOWN]
    ]


def _named(identity: Any, names: Mapping[str, str]) -> str:
    return names.get(str(identity), str(identity)[:8]) if identity else ""
