"""Permissions as a role's form shows them: by what they are about, and what changes between two choices."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from kms.console.visit import Visit

_NOUNS: Mapping[str, str | Promise] = {
    "object": _("Security objects"),
    "group": _("Groups"),
    "app": _("Apps"),
    "user": _("Users"),
    "role": _("Roles"),
    "account": _("The account"),
    "approval": _("Approvals"),
    "audit": _("Audit log"),
    "logging": _("Shipping the audit log"),
    "statistics": _("Statistics"),
    "authentication": _("Logging in"),
    "external-role": _("Roles by a directory"),
    "admin-app": _("Administrative apps"),
    "child-account": _("Child accounts"),
    "credential": _("Credentials of clients"),
    "custodian": _("Custodians"),
    "plugin": _("Plugins"),
    "workspace": _("Google Workspace"),
    "expiry-alert": _("Alerts on expiry"),
    "replication": _("Replication"),
}
# What people look for first; the rest follows as the catalogue has it.
_ORDER = ("object", "group", "app", "user", "role", "audit", "approval", "account")


@dataclass(frozen=True, slots=True)
class Permission:
    """``flag`` is the API's word in a role, ``implies`` are names of what comes along."""

    name: str
    flag: str
    sentence: str
    implies: tuple[str, ...]
    sensitive: bool

    @property
    def noun(self) -> str:
        return self.name.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Section:
    """The permissions about one thing."""

    noun: str
    label: str | Promise
    permissions: Sequence[Permission]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What a kind of role can give. ``sentences`` has every permission there is."""

    permissions: Sequence[Permission]
    sentences: Mapping[str, str]

    @classmethod
    def of(cls, visit: Visit, kind: str) -> Catalogue:
        found: list[dict[str, Any]] = visit.call("ListPermissions")
        chosen = [
            Permission(
                each["name"], each["flag"], _capital(each["sentence"]), tuple(each["implies"]), each["sensitive"]
            )
            for each in found
            if each["kind"] == kind and each["flag"]
        ]
        return cls(chosen, {each["name"]: _capital(each["sentence"]) for each in found})

    @property
    def sections(self) -> list[Section]:
        by_noun: dict[str, list[Permission]] = {noun: [] for noun in _ORDER}
        for permission in self.permissions:
            by_noun.setdefault(permission.noun, []).append(permission)
        return [Section(noun, _NOUNS.get(noun, noun), them) for noun, them in by_noun.items() if them]

    def given(self, flags: Collection[str]) -> list[Section]:
        """The sections of what a role gives, without the rest."""
        some = Catalogue([permission for permission in self.permissions if permission.flag in flags], self.sentences)
        return some.sections

    def reach(self, flags: Collection[str]) -> dict[str, bool]:
        """Names of all that these flags give, and whether each was chosen or comes along."""
        chosen = [permission for permission in self.permissions if permission.flag in flags]
        implied = {name: False for permission in chosen for name in permission.implies}
        return implied | {permission.name: True for permission in chosen}

    def changes(self, before: Collection[str], after: Collection[str]) -> Changes:
        old, new = self.reach(before), self.reach(after)
        return Changes(
            added=[self._line(name, new[name]) for name in self.sentences if name in new and name not in old],
            removed=[self._line(name, old[name]) for name in self.sentences if name in old and name not in new],
        )

    def _line(self, name: str, chosen: bool) -> Line:
        return Line(self.sentences[name], chosen)


@dataclass(frozen=True, slots=True)
class Line:
    """``chosen`` or implied by what was chosen."""

    sentence: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class Changes:
    added: list[Line]
    removed: list[Line]


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
