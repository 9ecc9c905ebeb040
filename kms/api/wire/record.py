"""/sys/v1/record on the wire: the evidence that an auditor takes home. Ours: the vendor has nothing of the kind.

The answers are what kms/audit/keystead_verify.py reads.
"""

from __future__ import annotations

from typing import Any

from kms.api.wire.base import Endpoint, Parameters, WireCall, WireError, parameters, path_id
from kms.audit.entry import sequence_of
from kms.audit.tiles import Tile, tile_of
from kms.operations.record import GetCheckpoint, GetTile, ProveEntry, ProveGrowth


class GrowthParams(Parameters):
    size: int


def _growth(call: WireCall) -> ProveGrowth:
    size = parameters(call, GrowthParams).size
    if size < 0:
        raise WireError("Invalid request: size is not negative")
    return ProveGrowth(size)


def _entry(call: WireCall) -> ProveEntry:
    return ProveEntry(sequence_of(path_id(call, "entry_id")))


def _tile(call: WireCall) -> GetTile:
    tile: Tile | None = tile_of(call.path["tile"])
    if tile is None:
        raise WireError("Invalid request: a tile is named level/index or level/index.p/width, as in 0/x001/234.p/56")
    return GetTile(tile)


def _hashes(hashes: bytes) -> bytes:
    return hashes


def _proof(proof: Any) -> dict[str, Any]:
    return dict(proof)


_PATH = "/sys/v1/record"
# A tile of a log never changes. After a rollback another log has its name, so it is not kept for long.
_KEPT = "private, max-age=3600"
ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("GetCheckpoint", "GET", f"{_PATH}/checkpoint", lambda _call: GetCheckpoint(), _proof),
    Endpoint("ProveGrowth", "GET", f"{_PATH}/consistency", _growth, _proof),
    Endpoint("ProveEntry", "GET", f"{_PATH}/entries/{{entry_id}}", _entry, _proof),
    Endpoint(
        "GetTile",
        "GET",
        f"{_PATH}/tile/{{tile}}",
        _tile,
        _hashes,
        text=frozenset({"tile"}),
        content_type="application/octet-stream",
        cache=_KEPT,
    ),
)
