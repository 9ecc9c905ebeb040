"""The viewer's time zone. The browser says it once, in a cookie; who has chosen one in their profile keeps that."""

from __future__ import annotations

from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

UTC = ZoneInfo("UTC")


@lru_cache(maxsize=512)
def zone_of(name: str | None) -> ZoneInfo:
    """The zone of that IANA name (URL-encoded slashes and all), or UTC."""
    wanted = (name or "").replace("%2F", "/")
    return ZoneInfo(wanted) if wanted in _known() else UTC


@lru_cache(maxsize=1)
def _known() -> frozenset[str]:
    return frozenset(available_timezones())
