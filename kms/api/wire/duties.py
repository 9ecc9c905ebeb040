"""What needs attention, on the wire. The vendor has no such routes: they are ours (docs/divergences.md)."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from kms.api.wire.base import Endpoint, Parameters, Response, WireCall, parameters, wire_time
from kms.api.wire.names import WIRE_STATE
from kms.objects.state import KeyState
from kms.operations.duties import Counted, CountObjects, Due, Duties, ReadActivity, ReadDuties


class DutiesParams(Parameters):
    days: int = 30


class ActivityParams(Parameters):
    days: int = 7


class WireDue(Response):
    kid: UUID
    name: str
    obj_type: str
    group_id: UUID
    at: str


class DutiesResponse(Response, omit_defaults=False):
    """``refused`` is null when there is too much to count."""

    ending: list[WireDue]
    rotating: list[WireDue]
    refused: int | None


class WireActivity(Response):
    begins: str
    outcome: str
    calls: int


class ActivityResponse(Response, omit_defaults=False):
    parts: list[WireActivity] | None


class WireNumber(Response):
    obj_type: str
    state: str
    number: int


class NumbersResponse(Response, omit_defaults=False):
    numbers: list[WireNumber] | None


def _due(found: Sequence[Due]) -> list[WireDue]:
    return [
        WireDue(
            kid=due.row.id,
            name=due.row.name,
            obj_type=due.row.kind,
            group_id=due.row.group_id,
            at=wire_time(due.at) or "",
        )
        for due in found
    ]


def _duties(found: Duties) -> DutiesResponse:
    return DutiesResponse(ending=_due(found.ending), rotating=_due(found.rotating), refused=found.refused)


def _activity(found: Counted) -> ActivityResponse:
    if found.rows is None:
        return ActivityResponse(parts=None)
    parts = [WireActivity(begins=wire_time(at) or "", outcome=how, calls=calls) for at, how, calls in found.rows]
    return ActivityResponse(parts=parts)


def _numbers(found: Counted) -> NumbersResponse:
    if found.rows is None:
        return NumbersResponse(numbers=None)
    numbers = [
        WireNumber(obj_type=kind, state=WIRE_STATE[KeyState(state)], number=number)
        for kind, state, number in found.rows
    ]
    return NumbersResponse(numbers=numbers)


def _read(call: WireCall) -> ReadDuties:
    return ReadDuties(parameters(call, DutiesParams).days)


def _read_activity(call: WireCall) -> ReadActivity:
    return ReadActivity(parameters(call, ActivityParams).days)


_PATH = "/sys/v1/duties"
ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("GetDuties", "GET", _PATH, _read, _duties),
    Endpoint("GetActivity", "GET", f"{_PATH}/activity", _read_activity, _activity),
    Endpoint("CountSobjects", "GET", f"{_PATH}/objects", lambda _call: CountObjects(), _numbers),
)
