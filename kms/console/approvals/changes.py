"""What a request would change: the fields that it names as they are now, beside what is asked for.

Read through the API with the viewer's rights: who may not read the thing sees only what is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kms.api.inside import Refused
from kms.console.approvals.wording import HIDDEN, target_of, told, without_secrets
from kms.console.visit import Visit
from kms.console.words import word_of

_READERS: Mapping[str, tuple[str, str]] = {
    "groups": ("GetGroup", "group_id"),
    "accounts": ("GetAccount", "acct_id"),
    "keys": ("GetSobjectById", "key_id"),
    "apps": ("GetApp", "app_id"),
    "roles": ("GetRole", "role_id"),
    "users": ("GetUser", "user_id"),
}


@dataclass(frozen=True, slots=True)
class Change:
    path: str
    now: str
    asked: str

    @property
    def label(self) -> str:
        return ": ".join(word_of(part) for part in self.path.split("."))

    @property
    def same(self) -> bool:
        return self.now == self.asked


def changes_of(visit: Visit, request: Mapping[str, Any], names: Mapping[str, str]) -> list[Change] | None:
    """None: it is no change of something there is, or the viewer can't read that."""
    kind, identity = target_of(request)
    body = request.get("body")
    if request["method"] != "PATCH" or kind not in _READERS or not isinstance(body, dict):
        return None
    operation, parameter = _READERS[kind]
    try:
        path: dict[str, Any] = {parameter: identity}
        now = visit.call(operation, **path)
    except Refused:
        return None
    return list(_compared(without_secrets(now), without_secrets(body), names, ""))


def _compared(now: Any, asked: Mapping[str, Any], names: Mapping[str, str], path: str) -> Iterator[Change]:
    known = now if isinstance(now, dict) else {}
    for name, value in asked.items():
        here = f"{path}.{name}" if path else name
        before = known.get(name)
        if isinstance(value, dict) and value and (before is None or isinstance(before, dict)):
            yield from _compared(before, value, names, here)
        else:
            yield Change(here, _shown(before, value, names), told(value, names))


def _shown(before: Any, asked: Any, names: Mapping[str, str]) -> str:
    """What is hidden on one side is not shown on the other."""
    return told(HIDDEN if asked == HIDDEN and before is not None else before, names)
