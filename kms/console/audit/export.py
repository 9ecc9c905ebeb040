"""Handing over to an auditor: the entries of a period with their proof, or the report of it, as files to verify."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, date, datetime, timedelta
from http import HTTPStatus
from importlib import resources
from typing import IO, Any, cast

from asgiref.sync import sync_to_async
from django import forms
from django.http import HttpResponse, StreamingHttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.console.forms import Form
from kms.console.visit import Visit

_TOOLS = ("keystead_verify.py", "keystead_report.py")
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
        name = f"keystead-{BUNDLE if what == BUNDLE else REPORT}-{form.cleaned_data['since']}"
        if what == BUNDLE:
            first = form.attempt(visit, "ExportEvidence", query=form.query)
            if first is not None:  # what refuses does so before anything is sent
                return _attached(name, StreamingHttpResponse(_bundle(visit, form.query, first, name)))
            return _page(visit, form, status=HTTPStatus.UNPROCESSABLE_ENTITY)
        files = _report(visit, form)
        if files is not None and what == "figures":
            return _page(visit, form, summary=_figures(files))
        if files is not None:
            return _attached(name, HttpResponse(_archive(name, files)))
    return _page(visit, form, status=HTTPStatus.UNPROCESSABLE_ENTITY)


def _page(visit: Visit, form: PeriodForm, *, status: int = 200, summary: Any = None) -> HttpResponse:
    return visit.render("console/audit/export.html", {"form": form, "summary": summary}, status=status)


class _Outlet:
    """A file that is only written to, and emptied as it goes: an archive is sent while it is made."""

    def __init__(self) -> None:
        self._held: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._held.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing waits but for ``taken``."""

    def taken(self) -> bytes:
        held, self._held = b"".join(self._held), []
        return held


async def _bundle(visit: Visit, asked: Mapping[str, int], part: Any, name: str) -> AsyncIterator[bytes]:
    """Part after part under one checkpoint, as the API gives them, however many there are. An archive that ends before
    its time has no directory and does not open."""
    outlet, files = _Outlet(), _beside(part)
    with zipfile.ZipFile(cast("IO[bytes]", outlet), "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open(f"{name}/entries.jsonl", "w", force_zip64=True) as entries:
            entries.write(part["entries"].encode())
            while part["after"] is not None:
                yield outlet.taken()
                query = {**asked, "after": part["after"], "size": part["size"]}
                part = await sync_to_async(visit.call)("ExportEvidence", query=query)
                entries.write(part["entries"].encode())
        _add(archive, name, files)
    yield outlet.taken()


def _beside(part: Mapping[str, Any]) -> dict[str, str]:
    return {
        "before.json": json.dumps(part["before"]) + "\n",
        "checkpoint": part["checkpoint"],
        "verifier.key": part["key"] + "\n",
    }


def _report(visit: Visit, form: PeriodForm) -> dict[str, str] | None:
    found = form.attempt(visit, "ReportPeriod", query=form.query)
    return None if found is None else dict(found["files"])


def _archive(name: str, files: Mapping[str, str]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        _add(archive, name, files)
    return made.getvalue()


def _add(archive: zipfile.ZipFile, name: str, files: Mapping[str, str]) -> None:
    """The evidence in a folder, the key and the programs that verify it beside it."""
    for file, text in files.items():
        archive.writestr(file if file == "verifier.key" else f"{name}/{file}", text)
    for tool in _TOOLS:
        archive.writestr(tool, resources.files("kms").joinpath("audit", tool).read_text(encoding="utf-8"))


def _attached(name: str, response: HttpResponse | StreamingHttpResponse) -> HttpResponse:
    response["Content-Type"] = "application/zip"
    response["Content-Disposition"] = f'attachment; filename="{name}.zip"'
    return cast("HttpResponse", response)  # Handler says HttpResponse; a stream has what the frame sets


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
