"""What every gRPC call has in common: its name and deadline, how its errors look outside, its line in the log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import NoReturn, TypeVar
from uuid import UUID

import grpc

from k8s.client import Bad, Call, Denied, KeysteadError, Refused, Unreachable
from k8s.kmsplugin.metrics import Metrics
from k8s.logs import event

logger = logging.getLogger(__name__)
Result = TypeVar("Result")

# A moment is kept for the answer's own way back, so that the API server reads our reason and not just "deadline".
_WAY_BACK = 0.1
_CODES: tuple[tuple[type[KeysteadError], grpc.StatusCode], ...] = (
    (Unreachable, grpc.StatusCode.UNAVAILABLE),
    (Denied, grpc.StatusCode.UNAUTHENTICATED),
    (Refused, grpc.StatusCode.PERMISSION_DENIED),
    (Bad, grpc.StatusCode.INVALID_ARGUMENT),
)


class Answering:
    """``deadline`` seconds, or the API server's own if that is shorter."""

    def __init__(self, deadline: float, metrics: Metrics) -> None:
        self._deadline, self._metrics = deadline, metrics

    def answer(
        self, method: str, uid: str, context: grpc.ServicerContext, work: Callable[[Call], tuple[Result, str]]
    ) -> Result:
        """``work`` gives the answer and the key that it was about."""
        began = time.monotonic()
        call = Call.within(self._seconds(context), _uuid(uid))
        code, facts = grpc.StatusCode.OK, {"method": method, "uid": uid, "request": str(call.request_id)}
        try:
            result, facts["key"] = work(call)
        except KeysteadError as error:
            code = next(code for kind, code in _CODES if isinstance(error, kind))
            facts["why"] = str(error)
        except Exception as error:  # a defect; what it says may quote what it worked on, so only its kind is told
            code, facts["why"] = grpc.StatusCode.INTERNAL, f"a defect: {type(error).__name__}"
            logger.exception("defect")
        seconds = time.monotonic() - began
        self._metrics.ended(method, code.name, seconds)
        level = logging.INFO if code is grpc.StatusCode.OK else logging.WARNING
        event(logger, level, "answered", **facts, code=code.name, ms=round(seconds * 1000, 1))
        if code is not grpc.StatusCode.OK:
            _abort(context, code, facts["why"])
        return result

    def _seconds(self, context: grpc.ServicerContext) -> float:
        left = context.time_remaining()
        return self._deadline if left is None else max(0.0, min(self._deadline, left - _WAY_BACK))


def _abort(context: grpc.ServicerContext, code: grpc.StatusCode, why: str) -> NoReturn:
    context.abort(code, f"keystead: {why}")
    raise AssertionError("abort raises")


def _uuid(uid: str) -> UUID | None:
    """The API server's uid, which is one; anything else names nothing in the record."""
    try:
        return UUID(uid)
    except ValueError:
        return None
