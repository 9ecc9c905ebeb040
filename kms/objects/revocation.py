"""Why an object was revoked (KMIP §4.31, RFC 5280 §5.3.1), and to which state that leads. Pure."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from kms.objects.state import Transition


class RevocationCode(StrEnum):
    UNSPECIFIED = "unspecified"
    KEY_COMPROMISE = "key-compromise"
    CA_COMPROMISE = "ca-compromise"
    AFFILIATION_CHANGED = "affiliation-changed"
    SUPERSEDED = "superseded"
    CESSATION_OF_OPERATION = "cessation-of-operation"
    PRIVILEGE_WITHDRAWN = "privilege-withdrawn"


_COMPROMISES = frozenset({RevocationCode.KEY_COMPROMISE, RevocationCode.CA_COMPROMISE})


class Revocation(msgspec.Struct, frozen=True, omit_defaults=True):
    """``occurred_at`` is when the compromise happened, which may be long before anyone knew."""

    code: RevocationCode
    message: str = ""
    occurred_at: datetime | None = None

    @property
    def transition(self) -> Transition:
        return Transition.COMPROMISE if self.code in _COMPROMISES else Transition.DEACTIVATE

    def stored(self) -> dict[str, Any]:
        value: dict[str, Any] = msgspec.to_builtins(self)
        return value


def revocation_of(stored: dict[str, Any] | None) -> Revocation | None:
    return None if stored is None else msgspec.convert(stored, Revocation)
