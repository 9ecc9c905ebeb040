"""Times as the API writes them, and as people type them in their own zone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

WIRE_TIME = "%Y%m%dT%H%M%SZ"


def moment_of(value: Any) -> datetime | None:
    """A time as the API writes it: its basic form, RFC 3339, or seconds since 1970."""
    if value is None or value == "" or isinstance(value, datetime):
        return value or None
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC)
    try:
        return datetime.strptime(value, WIRE_TIME).replace(tzinfo=UTC)
    except ValueError:
        return datetime.fromisoformat(value)


def aware(moment: datetime | None, zone: ZoneInfo) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=zone)


def on_wire(moment: datetime | None) -> str | None:
    """As the API writes times."""
    return None if moment is None else moment.astimezone(UTC).strftime(WIRE_TIME)
