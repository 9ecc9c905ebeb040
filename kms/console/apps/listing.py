"""The table of apps."""

from __future__ import annotations

from django.http import HttpResponse
from django.utils.translation import gettext_lazy as _

from kms.console.apps.credentials import METHODS
from kms.console.tables import PAGE, Column, table
from kms.console.visit import Visit

_COLUMNS = (
    Column(_("Name"), "name"),
    Column(_("State")),
    Column(_("Proves itself by")),
    Column(_("Groups")),
    Column(_("Last used")),
    Column(_("Created")),
)


def show(visit: Visit) -> HttpResponse:
    sort, group = visit.query.get("sort") or "name:asc", visit.query.get("group_id") or None
    asked = {"limit": PAGE + 1, "sort": sort, "start": visit.query.get("start"), "q": visit.query.get("q", "")}
    rows = visit.call("ListApps", query={**asked, "group_id": group})
    page = table(visit.query, _COLUMNS, rows, lambda row: {"start": row["name"]}, sort=sort, filters=("q", "group_id"))
    names = visit.names([*(each for row in page.rows for each in list(row["groups"])[:3]), group])
    context = {
        "table": page,
        "rows": [{**row, "shown": _shown(row["groups"], names)} for row in page.rows],
        "methods": {name: words[0] for name, words in METHODS.items()},
        "q": visit.query.get("q", ""),
        "group": group,
        "group_name": names.get(str(group), ""),
    }
    return visit.render("console/apps/list.html#rows" if visit.by_htmx else "console/apps/list.html", context)


def _shown(groups: object, names: dict[str, str]) -> dict[str, object]:
    ids = list(groups) if isinstance(groups, dict) else []
    return {"names": [names[each] for each in ids[:3] if each in names], "more": max(0, len(ids) - 3)}
