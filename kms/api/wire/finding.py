"""Finding things by name, and naming them, on the wire. The vendor has no such routes (docs/divergences.md)."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from kms.api.wire.base import Endpoint, Parameters, Response, WireCall, WireError, parameters, uuid_of
from kms.operations.finding import MAX_HITS, FindThings, NameThings, Thing


class FindParams(Parameters):
    q: str
    limit: int = 8


class NameParams(Parameters):
    ids: str


class WireThing(Response):
    """``about`` tells two of a kind apart."""

    kind: str
    id: UUID
    name: str
    about: str | None = None


def _find(call: WireCall) -> FindThings:
    wanted = parameters(call, FindParams)
    if not 1 <= wanted.limit <= MAX_HITS:
        raise WireError(f"Invalid request: limit is 1 to {MAX_HITS}")
    return FindThings(wanted.q, wanted.limit)


def _name(call: WireCall) -> NameThings:
    ids = parameters(call, NameParams).ids
    return NameThings(tuple(uuid_of(each, "ids") for each in ids.split(",")))


def _things(found: Sequence[Thing]) -> list[WireThing]:
    return [WireThing(kind=thing.kind, id=thing.id, name=thing.name, about=thing.about or None) for thing in found]


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("FindByName", "GET", "/sys/v1/search", _find, _things),
    Endpoint("NameIds", "GET", "/sys/v1/names", _name, _things),
)
