"""Requests inside a request: each is routed, parsed, decided, carried out and recorded as if it had come alone.

The batch itself is a call too, which says who sent how many. Nothing binds the items together but their order: what was
done before one fails stays done. It must not know what any item means.
"""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus

import msgspec

from kms.api import rate_limit
from kms.api.authentication import authenticator
from kms.api.errors import CONTENT_TYPE, RouteUnknown
from kms.api.handling import JSON, Incoming, Outgoing, failed, handle
from kms.api.routes import ENDPOINTS, Router
from kms.api.wire.base import Endpoint, WireError
from kms.api.wire.batch import (
    BatchItem,
    BatchRequest,
    BatchResponse,
    BatchResponseList,
    BatchResponseObject,
    BatchResult,
    single_items,
    skipped,
)

SKIPPED = "An earlier item of this batch failed"
_UNKNOWN = "There is no such path on this server for items of a batch"
# Not what makes or ends sessions: an item must not change who sends the next one.
_SESSIONS = "/sys/v1/session"


def _fits(endpoint: Endpoint) -> bool:
    return not (endpoint.anonymous or endpoint.batch or endpoint.path.startswith(_SESSIONS))


_INSIDE = Router(tuple(endpoint for endpoint in ENDPOINTS if _fits(endpoint)))
_OUTSIDE = Router(tuple(endpoint for endpoint in ENDPOINTS if not _fits(endpoint)))


def run_batch(endpoint: Endpoint, incoming: Incoming) -> Outgoing:
    """For a thread. The batch is parsed whole before the first item runs."""
    opened = handle(endpoint, incoming)
    if opened.status >= HTTPStatus.BAD_REQUEST:
        return opened
    request: BatchRequest = endpoint.decode(incoming.body)
    caller = authenticator.remembered(incoming.authorization)
    if caller is not None:
        rate_limit.owe(caller, sum(1 for _ in single_items(request)) - 1)
    response, _ = _run(request, incoming)
    return Outgoing(endpoint.status, msgspec.json.encode(response))


def _run(request: BatchRequest, incoming: Incoming) -> tuple[BatchResponse, bool]:
    """What became of it, and whether all of it went well."""
    if request.SingleItem is not None:
        outgoing = _single(request.SingleItem, incoming)
        result = BatchResponseObject(Result=_result(outgoing))
        return BatchResponse(SingleItem=result), outgoing.status < HTTPStatus.BAD_REQUEST
    assert request.Batch is not None
    responses, well = [], True
    for item in request.Batch.items:
        if request.Batch.serial and not well:
            responses.append(skipped(item, SKIPPED))
            continue
        response, item_well = _run(item, incoming)
        responses.append(response)
        well = well and item_well
    return BatchResponse(Batch=BatchResponseList(items=responses)), well


def _single(item: BatchItem, incoming: Incoming) -> Outgoing:
    path, _, query = item.operation.partition("?")
    match = _INSIDE.match(item.method, path)
    if match is None:
        return failed(_refusal(item.method, path))
    alone = replace(incoming, path=match.parameters, query=query, body=item.content, counted=True)
    return handle(match.endpoint, alone)


def _refusal(method: str, path: str) -> Exception:
    if _OUTSIDE.match(method, path) is not None:
        return WireError("Invalid request: sessions, logins and batches have no place inside a batch")
    return RouteUnknown(_UNKNOWN)


def _result(outgoing: Outgoing) -> BatchResult:
    if not outgoing.body:
        return BatchResult(status=outgoing.status)
    if outgoing.content_type == JSON:
        return BatchResult(status=outgoing.status, body=msgspec.Raw(outgoing.body))
    assert outgoing.content_type == CONTENT_TYPE
    return BatchResult(status=outgoing.status, body=outgoing.body.decode())
