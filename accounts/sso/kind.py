"""What every kind of identity provider has: a parser of its settings. And the settings that several kinds share.

It must not know rows, the wire or where secrets are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from accounts.models import AccountRole, ProviderKind

MAX_TEXT = 2048

Config = dict[str, Any]


class SettingInvalid(Exception):
    """A setting cannot be used. The message names it, is for the administrator, and holds no secret."""


class ProviderFailed(Exception):
    """The provider did not answer, or not as its protocol says. The message names no content of the answer."""


@dataclass(frozen=True, slots=True)
class Kind:
    """``parse`` takes the settings as given and the names of the secrets that will be there, and returns the canonical
    settings (JSON); it raises SettingInvalid. ``secrets`` are the names that may be given. ``probe`` asks the provider
    whether the settings work, with the opened secrets; it raises ProviderFailed or SettingInvalid. A secret stays only
    while ``secrets_go_to`` stays the same: whoever may change an address must not have an old secret sent there.
    ``derived`` are the canonical settings that nobody gives: they follow from others.
    """

    kind: ProviderKind
    parse: Callable[[Mapping[str, Any], frozenset[str]], Config]
    probe: Callable[[Config, Mapping[str, bytes]], None]
    secrets_go_to: Callable[[Config], Hashable] = lambda _config: None
    secrets: frozenset[str] = frozenset()
    derived: frozenset[str] = frozenset()

    def given(self, config: Config) -> Config:
        """The canonical settings that may be given again."""
        return {name: value for name, value in config.items() if name not in self.derived}


class Given:
    """Settings as they were given, taken out one by one; what is left over at the end is refused by name."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._left = {name: value for name, value in settings.items() if value is not None}

    def text(self, name: str, *, needed: bool = False, longest: int = MAX_TEXT) -> str:
        value = self._left.pop(name, "")
        if not isinstance(value, str) or len(value) > longest or any(ord(c) < 32 or ord(c) == 127 for c in value):
            raise SettingInvalid(f"{name} is a text of at most {longest} characters on one line")
        if needed and not value.strip():
            raise SettingInvalid(f"{name} is needed")
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        value = self._left.pop(name, default)
        if not isinstance(value, bool):
            raise SettingInvalid(f"{name} is true or false")
        return value

    def number(self, name: str, *, lowest: int, highest: int) -> int | None:
        value = self._left.pop(name, None)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
            raise SettingInvalid(f"{name} is a whole number from {lowest} to {highest}")
        return value

    def choice(self, name: str, *choices: str, default: str = "") -> str:
        value = self._left.pop(name, default)
        if value not in choices and value != default:
            raise SettingInvalid(f"{name} is one of {', '.join(choices)}")
        return str(value)

    def texts(self, name: str, *, choices: tuple[str, ...] | None = None, most: int = 32) -> list[str]:
        value = self._left.pop(name, [])
        if not isinstance(value, list) or len(value) > most or not all(isinstance(item, str) for item in value):
            raise SettingInvalid(f"{name} is a list of at most {most} texts")
        if choices is not None and not set(value) <= set(choices):
            raise SettingInvalid(f"{name} holds only {', '.join(choices)}")
        return value

    def mapping(self, name: str) -> dict[str, Any] | None:
        value = self._left.pop(name, None)
        if value is not None and not isinstance(value, dict):
            raise SettingInvalid(f"{name} is an object")
        return value

    def self_provision_role(self) -> str:
        """The role of whoever the provider names and nobody invited. Empty lets only invited people in.

        Never the administrators': whoever may add a name to a directory would administer the keys.
        """
        return self.choice("self_provision_role", AccountRole.MEMBER, AccountRole.AUDITOR)

    def end(self) -> None:
        if self._left:
            raise SettingInvalid(f"unknown settings: {', '.join(sorted(map(str, self._left)))}"[:200])
