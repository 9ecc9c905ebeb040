"""Values of a decoded JSON document, each checked for its type. A message names the field and never shows the value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from kms.crypto.errors import ParameterInvalid

UINT32 = range(1 << 32)


class Fields:
    """The fields of one object. Null counts as absent, and a field that nobody knows is refused by name."""

    def __init__(self, value: Any, path: str, known: Sequence[str]) -> None:
        if not isinstance(value, Mapping):
            refuse(path, "is an object")
        unknown = sorted(str(name) for name in value if name not in known)
        if unknown:
            refuse(path, f"has no field {', '.join(unknown)}; there are {', '.join(known)}")
        self.path = path
        self._values = {name: field for name, field in value.items() if field is not None}

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def __getitem__(self, name: str) -> Any:
        """A field that must be there."""
        if name not in self._values:
            refuse(self.path, f"needs {name}")
        return self._values[name]

    def get(self, name: str) -> Any:
        return self._values.get(name)

    def at(self, name: str) -> str:
        return f"{self.path}.{name}"

    def integer(self, name: str, within: range | None = None, default: int | None = None) -> int:
        """A natural number; a field without a default must be there."""
        if name not in self and default is not None:
            return default
        return natural(self[name], self.at(name), within)

    def optional_integer(self, name: str) -> int | None:
        return self.integer(name) if name in self else None

    def flag(self, name: str) -> bool:
        value = self._values.get(name, False)
        if not isinstance(value, bool):
            refuse(self.at(name), "is true or false")
        return value

    def items(self, name: str) -> list[Any]:
        value = self[name]
        if not isinstance(value, list | tuple):
            refuse(self.at(name), "is a list")
        return list(value)

    def check_text(self, name: str) -> None:
        if not isinstance(self._values.get(name, ""), str):
            refuse(self.at(name), "is a text")


def natural(value: Any, path: str, within: range | None = None) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        refuse(path, "is a whole number from 0 on")
    if within is not None and value not in within:
        refuse(path, f"is a number from {within[0]} to {within[-1]}")
    return value


def whole(value: Any, path: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        refuse(path, "is a whole number")
    return value


def refuse(path: str, what: str) -> NoReturn:
    raise ParameterInvalid(f"{path} {what}")
