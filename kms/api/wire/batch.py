"""/batch/v1 on the wire: requests inside a request, in nested lists. What becomes of each is the edge's to find out."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from kms.api.wire.base import Endpoint, Request, Response, WireCall, WireError, nothing
from kms.operations.batches import OpenBatch

MAX_ITEMS, MAX_DEPTH = 256, 5
SERIAL, UNORDERED = "Serial", "Unordered"


class BatchItem(Request):
    """One request: ``operation`` is its path."""

    method: str
    operation: str
    body: msgspec.Raw = msgspec.Raw(b"null")

    @property
    def content(self) -> bytes:
        """As it would have come alone: null stands for no body."""
        given = bytes(self.body)
        return b"" if given == b"null" else given


class BatchList(Request):
    batch_execution_type: str
    items: list[BatchRequest]

    @property
    def serial(self) -> bool:
        return self.batch_execution_type == SERIAL


class BatchRequest(Request):
    """Either one."""

    Batch: BatchList | None = None
    SingleItem: BatchItem | None = None


class BatchResult(Response, omit_defaults=False):
    status: int
    body: msgspec.Raw | str | msgspec.UnsetType = msgspec.UNSET


class BatchSkipped(Response):
    reason: str


class BatchResponseObject(Response):
    Result: BatchResult | None = None
    Skipped: BatchSkipped | None = None


class BatchResponseList(Response):
    items: list[BatchResponse]


class BatchResponse(Response):
    Batch: BatchResponseList | None = None
    SingleItem: BatchResponseObject | None = None


def single_items(request: BatchRequest, depth: int = 1) -> Iterator[BatchItem]:
    """Every request in it, in order. Raises WireError for what is neither a list nor an item, or nested too deep."""
    if (request.Batch is None) == (request.SingleItem is None):
        raise WireError("Invalid request: a batch is an object with one of Batch and SingleItem")
    if depth > MAX_DEPTH:
        raise WireError(f"Invalid request: batches are nested {MAX_DEPTH} deep at most")
    if request.SingleItem is not None:
        yield request.SingleItem
        return
    assert request.Batch is not None
    if request.Batch.batch_execution_type not in (SERIAL, UNORDERED):
        raise WireError(f"Invalid request: batch_execution_type is {SERIAL} or {UNORDERED}")
    for inner in request.Batch.items:
        yield from single_items(inner, depth + 1)


def skipped(request: BatchRequest, reason: str) -> BatchResponse:
    """The shape of the request, with nothing done."""
    if request.Batch is not None:
        return BatchResponse(Batch=BatchResponseList(items=[skipped(item, reason) for item in request.Batch.items]))
    return BatchResponse(SingleItem=BatchResponseObject(Skipped=BatchSkipped(reason=reason)))


def _open(call: WireCall) -> OpenBatch:
    request: BatchRequest = call.body
    count = sum(1 for _ in single_items(request))
    if not 1 <= count <= MAX_ITEMS:
        raise WireError(f"Invalid request: a batch has 1 to {MAX_ITEMS} items, not {count}")
    return OpenBatch(count, serial=request.Batch is not None and request.Batch.serial)


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("Batch", "POST", "/batch/v1", _open, nothing, body=BatchRequest, batch=True),
)
