"""What needs to be done, and whether all is well. The slower parts come after the page, each by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpResponse
from django.utils.translation import gettext_lazy as _

from kms.console.approvals.listing import ids_of, shown_row, waits_for
from kms.console.dashboard.activity import days_of
from kms.console.dashboard.first_steps import steps
from kms.console.dashboard.health import lights
from kms.console.dashboard.numbers import rows_of
from kms.console.screens import Screen
from kms.console.visit import Visit

AHEAD_DAYS = 30
WAITING = 5
SPANS = (7, 30, 90)


def show(visit: Visit) -> HttpResponse:
    waiting = _waiting(visit)
    duties = visit.call("GetDuties", query={"days": AHEAD_DAYS})
    context = {
        "waiting": waiting,
        "duties": duties,
        "ahead": AHEAD_DAYS,
        "coming": _coming(duties),
        "lights": lights(visit.call("GetServerStatus")),
        "steps": steps(visit),
        "spans": SPANS,
    }
    return visit.render("console/dashboard/home.html", context)


def _waiting(visit: Visit) -> list[dict[str, Any]]:
    """Requests for approval that wait for the viewer's word."""
    query = {"limit": WAITING + 1, "reviewer": visit.user_id, "status": "PENDING"}
    rows = [row for row in visit.call("ListApprovalRequests", query=query) if waits_for(row, visit.user_id)]
    if not rows:
        return []
    names = visit.names(ids_of(rows))
    return [shown_row(row, names) for row in rows]


def _coming(duties: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Ends and rotations as one list, soonest first."""
    both = [
        *({**due, "what": _("ends")} for due in duties["ending"]),
        *({**due, "what": _("rotates")} for due in duties["rotating"]),
    ]
    return sorted(both, key=lambda due: str(due["at"]))[:10]


def activity(visit: Visit) -> HttpResponse:
    text = visit.query.get("days", "")
    days = int(text) if text in map(str, SPANS) else SPANS[0]
    found = visit.call("GetActivity", query={"days": days})
    context = {"days": days, "spans": SPANS, "table": None if found["parts"] is None else days_of(found["parts"], days)}
    return visit.render("console/dashboard/activity.html", context)


def numbers(visit: Visit) -> HttpResponse:
    found = visit.call("CountSobjects")
    rows = None if found["numbers"] is None else rows_of(found["numbers"])
    return visit.render("console/dashboard/numbers.html", {"rows": rows})


SCREENS: tuple[Screen, ...] = (
    Screen("dashboard", "", _("Dashboard"), show),
    Screen("activity", "activity", _("Operations over time"), activity),
    Screen("object-numbers", "activity/objects", _("Objects by type and state"), numbers),
)
