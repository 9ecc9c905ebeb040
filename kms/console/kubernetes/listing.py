"""The table of an account's clusters."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.utils.translation import gettext_lazy as _

from kms.api.inside import Refused
from kms.console.kubernetes.cluster import is_guarded
from kms.console.tables import Column, table
from kms.console.visit import Visit

_COLUMNS = (
    Column(_("Name")),
    Column(_("State")),
    Column(_("Issuer")),
    Column(_("Audience")),
    Column(_("Keys")),
    Column(_("Created")),
)


def show(visit: Visit) -> HttpResponse:
    found = _clusters(visit)
    page = table(visit.query, _COLUMNS, found or [], lambda _row: {}, size=len(found or []))
    context = {"table": page, "visible": found is not None, "guarded": found is None and is_guarded(visit)}
    return visit.render("console/kubernetes/list.html", context)


def _clusters(visit: Visit) -> list[dict[str, Any]] | None:
    """None: they are not to be seen, or only by approval. A page that is shown asks for none."""
    try:
        found: list[dict[str, Any]] = visit.call("ListKubernetesClusters")
    except Refused as refused:
        if refused.status != 403:
            raise
        return None
    return found
