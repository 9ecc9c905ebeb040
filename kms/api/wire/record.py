"""/sys/v1/record on the wire: the evidence that an auditor takes home. Ours: the vendor has nothing of the kind.

The answers are what kms/audit/keystead_verify.py reads.
"""

from __future__ import annotations

from typing import Any

from kms.api.wire.base import Endpoint, Parameters, WireCall, WireError, parameters, path_id
from kms.audit.entry import sequence_of
from kms.operations.record import GetCheckpoint, ProveEntry, ProveGrowth


class GrowthParams(Parameters):
    size: int


def _growth(call: WireCall) -> ProveGrowth:
    size = parameters(call, GrowthParams).size
    if size < 0:
        raise WireError("Invalid request: size is not negative")
    return ProveGrowth(size)


def _entry(call: WireCall) -> ProveEntry:
    return ProveEntry(sequence_of(path_id(call, "entry_id")))


def _proof(proof: Any) -> dict[str, Any]:
    return dict(proof)


_PATH = "/sys/v1/record"
ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("GetCheckpoint", "GET", f"{_PATH}/checkpoint", lambda _call: GetCheckpoint(), _proof),
    Endpoint("ProveGrowth", "GET", f"{_PATH}/consistency", _growth, _proof),
    Endpoint("ProveEntry", "GET", f"{_PATH}/entries/{{entry_id}}", _entry, _proof),
)
