"""/crypto/v1/pubkey on the wire: for anyone."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from kms.api.wire.base import Endpoint, WireCall, WireError, path_id
from kms.api.wire.objects import checked_name
from kms.operations.publishing import ReadPublicKeys


def _read(call: WireCall) -> ReadPublicKeys:
    name = checked_name(call.path["name"])
    if not name or "\0" in name:
        raise WireError("Invalid request: name is not an object's name")
    return ReadPublicKeys(path_id(call, "acct_id"), name)


def _keys(found: Mapping[UUID, bytes]) -> Mapping[UUID, bytes]:
    return found


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "GetPubkey",
        "GET",
        "/crypto/v1/pubkey/{acct_id}/{name}",
        _read,
        _keys,
        anonymous=True,
        text=frozenset({"name"}),
    ),
)
