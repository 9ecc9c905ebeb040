"""/sys/v1/stats and /sys/v1/accounts/{id}/usage on the wire."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, timedelta
from functools import partial
from uuid import UUID

from accounts.clock import clock
from kms.api.wire.base import Endpoint, Parameters, Response, WireCall, moment_of, parameters, path_id
from kms.operations.statistics import Point, ReadStatistics, ReadUsage, Span, Subject, Usage

DEFAULT_RANGE, DEFAULT_POINTS, DEFAULT_TOP = timedelta(days=1), 24, 10


class StatsParams(Parameters):
    num_points: int | None = None
    top_count: int | None = None
    range_from: int | None = None
    range_to: int | None = None


class CountParams(Parameters):
    range_from: int | None = None
    range_to: int | None = None
    detailed_usage: bool | None = None
    saas_full_usage: bool | None = None


class InnerBucket(Response, omit_defaults=False):
    key: UUID
    doc_count: int


class InnerBuckets(Response, omit_defaults=False):
    buckets: list[InnerBucket]


class OuterBucket(Response, omit_defaults=False):
    """``key`` is in milliseconds since 1970."""

    key: int
    key_as_string: str
    doc_count: int
    total_txn: InnerBuckets


class OuterBuckets(Response, omit_defaults=False):
    buckets: list[OuterBucket]


class StatsResponse(Response, omit_defaults=False):
    time: OuterBuckets


class UsageResponse(Response):
    num_operations: int
    encryption_operations: int
    decryption_operations: int
    sign_operations: int
    verify_operations: int
    tokenization_operations: int
    detokenization_operations: int
    sobjects: int
    sobjects_accuracy: dict[str, str]
    operation_top_app: dict[str, int] | None = None
    operation_top_sobject: dict[str, int] | None = None


# -- requests ------------------------------------------------------------------------------------------------------


def _span(since: int | None, until: int | None, points: int) -> Span:
    """Seconds since 1970; the last day when nothing is said."""
    end = moment_of(until, "range_to") or clock.now()
    return Span(moment_of(since, "range_from") or end - DEFAULT_RANGE, end, points)


def _statistics(subject: Subject, call: WireCall, one: UUID | None = None) -> ReadStatistics:
    wanted = parameters(call, StatsParams)
    points = DEFAULT_POINTS if wanted.num_points is None else wanted.num_points
    top = DEFAULT_TOP if wanted.top_count is None else wanted.top_count
    return ReadStatistics(subject, _span(wanted.range_from, wanted.range_to, points), one, top)


def _one(subject: Subject, parameter: str) -> Callable[[WireCall], ReadStatistics]:
    return lambda call: _statistics(subject, call, path_id(call, parameter))


def _usage(call: WireCall) -> ReadUsage:
    wanted = parameters(call, CountParams)
    span = _span(wanted.range_from, wanted.range_to, 1)
    return ReadUsage(path_id(call, "acct_id"), span, detailed=bool(wanted.detailed_usage))


# -- answers -------------------------------------------------------------------------------------------------------


def _answer(points: Sequence[Point]) -> StatsResponse:
    return StatsResponse(time=OuterBuckets(buckets=[_bucket(point) for point in points]))


def _bucket(point: Point) -> OuterBucket:
    """The busiest first, as a chart's legend wants them."""
    ordered = sorted(point.counts.items(), key=lambda item: (-item[1], item[0]))
    begins = point.begins.astimezone(UTC)
    return OuterBucket(
        key=int(begins.timestamp() * 1000),
        key_as_string=begins.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        doc_count=point.total,
        total_txn=InnerBuckets(buckets=[InnerBucket(key=subject, doc_count=count) for subject, count in ordered]),
    )


# The actions behind each number that clients read.
_ENCRYPTING = frozenset({"object.encrypt", "object.encrypt-init", "object.wrap", "object.encapsulate"})
_DECRYPTING = frozenset({"object.decrypt", "object.decrypt-init", "object.unwrap", "object.decapsulate"})


def _totals(usage: Usage) -> UsageResponse:
    def count(*actions: str) -> int:
        return sum(usage.by_action.get(action, 0) for action in actions)

    return UsageResponse(
        num_operations=usage.total,
        encryption_operations=count(*_ENCRYPTING),
        decryption_operations=count(*_DECRYPTING),
        sign_operations=count("object.sign"),
        verify_operations=count("object.verify"),
        tokenization_operations=usage.tokenising.get("object.encrypt", 0),
        detokenization_operations=usage.tokenising.get("object.decrypt", 0),
        sobjects=usage.objects,
        sobjects_accuracy={"$type": "Exact"},
        operation_top_app={str(app): calls for app, calls in usage.top_apps.items()} or None,
        operation_top_sobject={str(key): calls for key, calls in usage.top_objects.items()} or None,
    )


_PATH = "/sys/v1/stats"
ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("GetAppAggregate", "GET", f"{_PATH}/apps", partial(_statistics, Subject.APP), _answer),
    Endpoint("GetGroupAggregate", "GET", f"{_PATH}/groups", partial(_statistics, Subject.GROUP), _answer),
    Endpoint("GetAppStats", "GET", f"{_PATH}/{{app_id}}/app", _one(Subject.APP, "app_id"), _answer),
    Endpoint("GetGroupStats", "GET", f"{_PATH}/{{group_id}}/group", _one(Subject.GROUP, "group_id"), _answer),
    Endpoint("GetSobjectStats", "GET", f"{_PATH}/{{key_id}}/key", _one(Subject.OBJECT, "key_id"), _answer),
    Endpoint("AccountUsage", "GET", "/sys/v1/accounts/{acct_id}/usage", _usage, _totals),
)
