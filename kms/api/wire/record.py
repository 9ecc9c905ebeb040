"""/sys/v1/record on the wire: the evidence that an auditor takes home. Ours: the vendor has nothing of the kind.

The answers are what kms/audit/keystead_verify.py reads.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kms.api.wire.base import Endpoint, Parameters, WireCall, WireError, moment_of, parameters, path_id
from kms.audit.bundle import encoded
from kms.audit.entry import sequence_of
from kms.audit.period import Period
from kms.audit.tiles import Tile, tile_of
from kms.operations.evidence import ExportEvidence, Part, ReportPeriod
from kms.operations.record import GetCheckpoint, GetTile, ProveEntry, ProveGrowth


class GrowthParams(Parameters):
    size: int


class PeriodParams(Parameters):
    """Seconds since 1970. ``after`` and ``size`` are of the part before, as it said."""

    from_: int
    to: int
    after: int | None = None
    size: int | None = None


def _growth(call: WireCall) -> ProveGrowth:
    size = parameters(call, GrowthParams).size
    if size < 0:
        raise WireError("Invalid request: size is not negative")
    return ProveGrowth(size)


def _entry(call: WireCall) -> ProveEntry:
    return ProveEntry(sequence_of(path_id(call, "entry_id")))


def _period_of(wanted: PeriodParams) -> Period:
    start, end = moment_of(wanted.from_, "from"), moment_of(wanted.to, "to")
    assert start is not None  # both are needed
    assert end is not None
    return Period(start, end)


def _params(call: WireCall) -> PeriodParams:
    query = {"from_" if name == "from" else name: value for name, value in call.query.items()}
    return parameters(replace(call, query=query), PeriodParams)


def _export(call: WireCall) -> ExportEvidence:
    wanted = _params(call)
    if (wanted.after is None) != (wanted.size is None) or min(wanted.after or 0, wanted.size or 0) < 0:
        raise WireError("Invalid request: after and size are those of the part before, or neither is there")
    return ExportEvidence(_period_of(wanted), wanted.after, wanted.size)


def _report(call: WireCall) -> ReportPeriod:
    return ReportPeriod(_period_of(_params(call)))


def _part(part: Part) -> dict[str, Any]:
    """``entries`` is a piece of entries.jsonl, ``before`` is before.json; ``after`` is where the next part begins."""
    end = part.start + len(part.lines)
    return {
        "first": part.first,
        "size": part.size,
        "after": end if end < part.size else None,
        "checkpoint": part.checkpoint,
        "key": part.key,
        "before": {"size": part.first, "hashes": encoded(part.before)},
        "entries": "".join(line.decode() + "\n" for line in part.lines),
    }


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
    Endpoint("ExportEvidence", "GET", f"{_PATH}/export", _export, _part),
    Endpoint("ReportPeriod", "GET", f"{_PATH}/report", _report, lambda files: {"files": dict(files)}),
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
