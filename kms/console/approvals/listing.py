"""Requests as a table: those that wait for the viewer, those that they made, all that they may see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpResponse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from kms.console.approvals.wording import ids_in, sentence_of
from kms.console.tables import PAGE, Column, table
from kms.console.visit import Visit

WAITING, MINE, ALL = "waiting", "mine", "all"
VIEWS: Mapping[str, str | Promise] = {WAITING: _("Waiting for you"), MINE: _("Asked by you"), ALL: _("All")}
STATUSES = ("PENDING", "APPROVED", "DENIED", "FAILED")
TONES: Mapping[str, str] = {"PENDING": "warn", "APPROVED": "ok", "DENIED": "danger", "FAILED": "danger"}
_COLUMNS = (
    Column(_("What would be done")),
    Column(_("Asked by")),
    Column(_("Status")),
    Column(_("Asked")),
    Column(_("Ends")),
)
# A badge in the menu needs no more than this: "20+" is many.
_COUNTED = 20


def show(visit: Visit) -> HttpResponse:
    if visit.query.get("part") == "count":
        return _count(visit)
    view = visit.query.get("view", WAITING)
    view = view if view in VIEWS else WAITING
    rows = _rows(visit, view)
    page = table(visit.query, _COLUMNS, rows, lambda _row: {"offset": str(_offset(visit) + PAGE)}, filters=("status",))
    names = visit.names(ids_of(page.rows))
    shown = [shown_row(row, names) for row in page.rows if view != WAITING or waits_for(row, visit.user_id)]
    context = {"table": page, "shown": shown, "view": view, "views": VIEWS.items(), "statuses": STATUSES}
    return visit.render("console/approvals/list.html", context)


def _rows(visit: Visit, view: str) -> Any:
    status = visit.query.get("status")
    query = {
        "limit": PAGE + 1,
        "offset": _offset(visit),
        "reviewer": visit.user_id if view == WAITING else None,
        "requester": visit.user_id if view == MINE else None,
        "status": "PENDING" if view == WAITING else status if status in STATUSES else None,
    }
    return visit.call("ListApprovalRequests", query=query)


def _offset(visit: Visit) -> int:
    text = visit.query.get("offset", "")
    return min(int(text), 1_000_000) if text.isascii() and text.isdigit() else 0


def _count(visit: Visit) -> HttpResponse:
    query = {"limit": _COUNTED + 1, "reviewer": visit.user_id, "status": "PENDING"}
    found = [row for row in visit.call("ListApprovalRequests", query=query) if waits_for(row, visit.user_id)]
    count = f"{_COUNTED}+" if len(found) > _COUNTED else str(len(found)) if found else ""
    return visit.render("console/approvals/list.html#count", {"count": count})


def waits_for(row: Mapping[str, Any], user: str) -> bool:
    """Whose yes is still missing: not of who asked, nor of who has said it."""
    me = {"user": user}
    return row["requester"] != me and me not in row["approvers"]


def ids_of(rows: Any) -> set[str]:
    found = {identity for row in rows for identity in row["requester"].values()}
    return found.union(*(ids_in({"operation": row["operation"], "body": row.get("body")}) for row in rows))


def shown_row(row: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    ((kind, identity),) = row["requester"].items()
    return {
        **row,
        "sentence": sentence_of(row, names),
        "by": names.get(identity, identity[:8]),
        "by_kind": kind,
        "tone": TONES.get(row["status"], "info"),
    }
