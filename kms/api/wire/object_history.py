"""Reasons of revocation, and an object's past as far as it can be undone, on the wire."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from kms.api.wire.base import Request, Response, WireError, time_of, wire_time
from kms.api.wire.names import WIRE_STATE, wire_operations
from kms.api.wire.object_options import wire_rotation_policy
from kms.objects.models import HistoryItem
from kms.objects.revocation import Revocation, RevocationCode, revocation_of
from kms.objects.rotation import rotation_of
from kms.objects.state import KeyState

REVOCATION_CODES = {
    "Unspecified": RevocationCode.UNSPECIFIED,
    "KeyCompromise": RevocationCode.KEY_COMPROMISE,
    "CACompromise": RevocationCode.CA_COMPROMISE,
    "AffiliationChanged": RevocationCode.AFFILIATION_CHANGED,
    "Superseded": RevocationCode.SUPERSEDED,
    "CessationOfOperation": RevocationCode.CESSATION_OF_OPERATION,
    "PrivilegeWithdrawn": RevocationCode.PRIVILEGE_WITHDRAWN,
}
_WIRE_CODE = {code: name for name, code in REVOCATION_CODES.items()}
MAX_MESSAGE = 4096


class WireRevocation(Request):
    code: str
    message: str | None = None
    compromise_occurance_date: str | None = None


class HistoryEntry(Response):
    id: UUID
    created_at: str
    expiry: str
    state: dict[str, Any]


def revocation(body: WireRevocation) -> Revocation:
    code = REVOCATION_CODES.get(body.code)
    if code is None:
        raise WireError(f"Invalid request: code is one of {', '.join(REVOCATION_CODES)}")
    if len(body.message or "") > MAX_MESSAGE:
        raise WireError(f"Invalid request: message has at most {MAX_MESSAGE} characters")
    occurred = time_of(body.compromise_occurance_date, "compromise_occurance_date")
    return Revocation(code, body.message or "", occurred)


def wire_revocation(found: Revocation | None) -> dict[str, Any] | None:
    if found is None:
        return None
    fields = {
        "code": _WIRE_CODE[found.code],
        "message": found.message or None,
        "compromise_occurance_date": wire_time(found.occurred_at),
    }
    return {name: value for name, value in fields.items() if value is not None}


def history_entry(item: HistoryItem) -> HistoryEntry:
    fields = item.fields
    state = {
        "state": WIRE_STATE[KeyState(fields["state"])],
        "key_ops": wire_operations(fields["operations"]),
        "public_only": fields["public_only"],
        "has_key": fields["destruction_date"] is None and fields["deletion_date"] is None,
        "group_id": fields["group_id"],
        "revocation_reason": wire_revocation(revocation_of(fields["revocation"])),
        "rotation_policy": wire_rotation_policy(rotation_of(fields["rotation"])),
        **{name: wire_time(item.date(name)) for name in _DATES},
    }
    return HistoryEntry(
        id=item.id,
        created_at=wire_time(item.created_at) or "",
        expiry=wire_time(item.expires_at) or "",
        state={name: value for name, value in state.items() if value is not None},
    )


_DATES = ("activation_date", "deactivation_date", "compromise_date", "destruction_date", "deletion_date")
