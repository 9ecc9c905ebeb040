"""Whether an object's public key may be read by anyone. Pure: no Django, no clock, no I/O."""

from __future__ import annotations

from typing import Any

import msgspec


class Publication(msgspec.Struct, frozen=True):
    """``previous``: the key that this one replaced is listed too, unless it is compromised."""

    previous: bool = False

    def stored(self) -> dict[str, Any]:
        value: dict[str, Any] = msgspec.to_builtins(self)
        return value


def publication_of(stored: dict[str, Any] | None) -> Publication | None:
    return None if stored is None else msgspec.convert(stored, Publication)
