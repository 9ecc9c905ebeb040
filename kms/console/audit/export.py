"""Handing over to an auditor: the entries of a period with their proof, or the report of it, as files to verify."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from http import HTTPStatus
from importlib import resources
from typing import Any

from django import forms
from django.http import HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.console.forms import Form
from kms.console.visit import Visit

# In one file, so many parts are put together; who needs more takes them by the API, or asks the server's operator.
_MOST_PARTS = 200
_TOOLS = ("keystead_verify.py", "keystead_report.py")
_TOO_LONG = _("The period has too many entries for one file here. Choose a shorter one.")
BUNDLE, REPORT = "bundle", "report"


def _day(label: Any) -> forms.DateField:
    return forms.DateField(label=label, widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"))


class PeriodForm(Form):
    since = _day(_("From"))
    until = _day(_("Until the end of"))

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if "since" in data and "until" in data and data["since"] > data["until"]:
            self.add_error("until", _t("The period ends before it begins."))
        return data

    @property
    def query(self) -> dict[str, int]:
        """Days of the record, which is kept in UTC."""
        after = self.cleaned_data["until"] + timedelta(days=1)
        return {"from": _seconds(self.cleaned_data["since"]), "to": _seconds(after)}


def _seconds(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def show(visit: Visit) -> HttpResponse:
    today = timezone.now().astimezone(UTC).date()
    return _page(visit, PeriodForm(initial={"since": today.replace(day=1), "until": today}))


def act(visit: Visit) -> HttpResponse:
    form, what = PeriodForm(visit.form), visit.form.get("what")
    if form.is_valid():
        files = _bundle(visit, form) if what == BUNDLE else _report(visit, form)
        if files is not None and what == "figures":
            return _page(visit, form, summary=_figures(files))
        if files is not None:
            return _archive(f"keystead-{BUNDLE if what == BUNDLE else REPORT}-{form.cleaned_data['since']}", files)
    return _page(visit, form, status=HTTPStatus.UNPROCESSABLE_ENTITY)


def _page(visit: Visit, form: PeriodForm, *, status: int = 200, summary: Any = None) -> HttpResponse:
    return visit.render("console/audit/export.html", {"form": form, "summary": summary}, status=status)


def _bundle(visit: Visit, form: PeriodForm) -> dict[str, str] | None:
    """Part after part under one checkpoint, as the API gives them."""
    query, entries = dict(form.query), []
    for _number in range(_MOST_PARTS):
        part = form.attempt(visit, "ExportEvidence", query=query)
        if part is None:
            return None
        entries.append(part["entries"])
        if part["after"] is None:
            return {
                "entries.jsonl": "".join(entries),
                "before.json": json.dumps(part["before"]) + "\n",
                "checkpoint": part["checkpoint"],
                "verifier.key": part["key"] + "\n",
            }
        query |= {"after": part["after"], "size": part["size"]}
    form.add_error(None, str(_TOO_LONG))
    return None


def _report(visit: Visit, form: PeriodForm) -> dict[str, str] | None:
    found = form.attempt(visit, "ReportPeriod", query=form.query)
    return None if found is None else dict(found["files"])


def _archive(name: str, files: Mapping[str, str]) -> HttpResponse:
    """The evidence in a folder, the key and the programs that verify it beside it."""
    name = re.sub(r"[^a-z0-9-]", "", name)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for file, text in files.items():
            archive.writestr(file if file == "verifier.key" else f"{name}/{file}", text)
        for tool in _TOOLS:
            archive.writestr(tool, resources.files("kms").joinpath("audit", tool).read_text(encoding="utf-8"))
    response = HttpResponse(made.getvalue(), content_type="application/zip")
    response["Content-Disposition"] = f'attachment; filename="{name}.zip"'
    return response


def _figures(files: Mapping[str, str]) -> dict[str, Any]:
    """What the report comes to, of the account itself."""
    summary = json.loads(files["summary.json"])
    own = summary["figures"]["accounts"].get(summary["account"], {})
    named = ("calls", "logins", "denials by reason")
    sections = [(name, found["count"]) for name, found in own.items() if isinstance(found, dict) and "count" in found]
    return {
        "record": summary["record"],
        "tables": [(name, sorted(own.get(name, {}).items(), key=lambda pair: -pair[1])) for name in named],
        "sections": sections,
    }
