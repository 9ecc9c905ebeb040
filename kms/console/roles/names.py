"""What roles are called: the system's by the field's words, the account's own as they were named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kms.console.words import word_of


def is_system(role: Mapping[str, Any]) -> bool:
    return bool(role["creator"] == "system")


def title_of(role: Mapping[str, Any]) -> str:
    """ "account administrator" of the API is "Account administrator"."""
    name = str(role["name"])
    return word_of(name.replace(" ", "").upper()) if is_system(role) else name
