"""The table of security objects: searched, filtered and sorted by the API, its state in the URL; also as a file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from asgiref.sync import sync_to_async
from django.http import HttpResponse, QueryDict, StreamingHttpResponse
from django.utils.translation import gettext_lazy as _

from kms.console.moments import on_wire
from kms.console.objects.facts import STATES, rows_of, size_of
from kms.console.tables import PAGE, Column, table
from kms.console.visit import Visit

_COLUMNS = (
    Column(_("Name"), "name"),
    Column(_("Type and size")),
    Column(_("Group")),
    Column(_("State")),
    Column(_("May be used to")),
    Column(_("Expires"), "deactivation_date"),
    Column(_("Rotates"), "scheduled_rotation"),
    Column(_("Created"), "created_at"),
)
_SORTS = frozenset(column.sort for column in _COLUMNS if column.sort)
_FILTERS = ("search", "type", "state", "group", "within", "guarded", "creator")
TYPES = (
    "AES", "DES3", "DES", "SEED", "ARIA", "RSA", "EC", "DSA", "MLDSA", "MLKEM", "BIP32", "SLIP10", "HMAC", "SECRET",
    "OPAQUE", "CERTIFICATE",
)  # fmt: skip
WITHIN = (("7", _("7 days")), ("30", _("30 days")), ("90", _("90 days")), ("365", _("a year")))
_GROUPS_OFFERED = 200
_EXPORTED_AT_ONCE = 500
_FIELDS = (
    "kid", "name", "obj_type", "size", "group_id", "state", "enabled", "key_ops", "activation_date",
    "deactivation_date", "scheduled_rotation", "created_at", "description", "custom_metadata",
)  # fmt: skip


def asked(query: QueryDict) -> dict[str, Any]:
    """The API's parameters for the table that a URL names. What is no filter's value is no filter."""
    column, _colon, order = query.get("sort", "").partition(":")
    days = query.get("within", "")
    until = datetime.now(UTC) + timedelta(days=int(days)) if days in dict(WITHIN) else None
    state = query.get("state", "")
    return {
        "search": query.get("search", "").strip()[:256] or None,
        "obj_type": query.get("type") if query.get("type") in TYPES else None,
        "state": state if state in STATES and state != "Deleted" else None,
        "group_id": query.get("group") or None,
        "creator": query.get("creator") or None,
        "expires_before": on_wire(until),
        "guarded": {"yes": True, "no": False}.get(query.get("guarded", "")),
        "sort": f"{column}:{order if order == 'desc' else 'asc'}" if column in _SORTS else "name:asc",
        "after": query.get("start") or None,
    }


def show_list(visit: Visit) -> HttpResponse:
    wanted = asked(visit.query)
    found = visit.call("ListSobjects", query={**wanted, "limit": PAGE + 1})
    names = visit.names(thing.get("group_id") for thing in found)
    rows = rows_of(found, names)
    page = table(visit.query, _COLUMNS, rows, _place, sort=wanted["sort"], filters=_FILTERS)
    context: dict[str, Any] = {"table": page, "wanted": visit.query, "kept": _kept(visit.query)}
    if visit.by_htmx:
        response = visit.render("console/objects/list.html#rows", context)
        response["HX-Replace-Url"] = f"{visit.request.path}?{urlencode(context['kept'])}".rstrip("?")
        return response
    groups = visit.call("ListGroups", query={"limit": _GROUPS_OFFERED, "sort": "name:asc"})
    context |= {"types": TYPES, "states": [name for name in STATES if name != "Deleted"], "within": WITHIN}
    return visit.render("console/objects/list.html", {**context, "group_choices": groups})


def _place(row: Any) -> Mapping[str, str]:
    return {"start": row.thing["kid"]}


def _kept(query: QueryDict) -> list[tuple[str, str]]:
    """What a form or a link hands on of the table's state: not the page."""
    return [(name, value) for name in (*_FILTERS, "sort") if (value := query.get(name))]


# -- as a file -----------------------------------------------------------------------------------------------------


def export(visit: Visit) -> HttpResponse:
    """All that the filters leave, as CSV or a JSON object a line: what the table shows and never material."""
    as_csv = visit.form.get("format") != "ndjson"
    wanted = {**asked(visit.form), "after": None, "limit": _EXPORTED_AT_ONCE}
    first = visit.call("ListSobjects", query=wanted)  # what refuses does so before anything is sent
    response = StreamingHttpResponse(
        _sent(visit, wanted, first, as_csv), content_type="text/csv" if as_csv else "application/x-ndjson"
    )
    ending = "csv" if as_csv else "ndjson"
    response["Content-Disposition"] = f'attachment; filename="security-objects.{ending}"'
    return response  # type: ignore[return-value]  # Handler says HttpResponse; a stream has what the frame sets


async def _sent(visit: Visit, wanted: dict[str, Any], rows: list[Any], as_csv: bool) -> AsyncIterator[bytes]:
    if as_csv:
        yield csv_lines([_FIELDS])
    while rows:
        yield csv_lines([_cells(row) for row in rows]) if as_csv else _json_lines(rows)
        if len(rows) < wanted["limit"]:
            return
        query = {**wanted, "after": rows[-1]["kid"]}
        rows = await sync_to_async(visit.call)("ListSobjects", query=query)


def _exported(thing: Mapping[str, Any]) -> dict[str, Any]:
    return {name: size_of(thing) if name == "size" else thing.get(name) for name in _FIELDS}


def _cells(thing: Mapping[str, Any]) -> list[str]:
    return [_cell(value) for value in _exported(thing).values()]


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, Mapping):
        return json.dumps(value, ensure_ascii=False)
    return "" if value is None else str(value)


def csv_lines(rows: Sequence[Sequence[str]]) -> bytes:
    """A spreadsheet takes a cell that begins with one of these for a formula; behind an apostrophe it is text."""
    out = io.StringIO()
    csv.writer(out).writerows(
        [f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell for cell in row] for row in rows
    )
    return out.getvalue().encode()


def _json_lines(rows: Sequence[Mapping[str, Any]]) -> bytes:
    return "".join(json.dumps(_exported(row), ensure_ascii=False) + "\n" for row in rows).encode()
