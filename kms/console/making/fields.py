"""Parts of forms that several screens of this room have: moments in the viewer's zone, rows of metadata, who guards."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from kms.api.inside import Refused
from kms.console.visit import Visit

_INPUT = ("%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S")
_EMPTY_ROWS = 2


def needed(field: forms.Field) -> forms.Field:
    """Needed with one of several choices of the form: not marked as optional, and checked by ``clean``."""
    field.needed = True  # type: ignore[attr-defined]  # read by forms/field.html
    return field


class LocalMomentField(forms.Field):
    """What a browser's date-and-time control sends: a moment without a zone."""

    default_error_messages = {"invalid": _("Give a date and a time.")}

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("widget", forms.TextInput(attrs={"type": "datetime-local"}))
        super().__init__(required=False, **kwargs)

    def to_python(self, value: Any) -> datetime | None:
        if not value:
            return None
        for form in _INPUT:
            try:
                return datetime.strptime(value, form)
            except ValueError:
                continue
        raise forms.ValidationError(self.error_messages["invalid"])


def metadata_of(form: QueryDict) -> dict[str, str]:
    """The rows that have a name."""
    rows = zip(form.getlist("meta_name"), form.getlist("meta_value"), strict=False)
    return {name.strip(): value for name, value in rows if name.strip()}


def rows_of(metadata: Mapping[str, str]) -> list[tuple[str, str]]:
    """What is there, and some empty rows for those without scripts."""
    return [*metadata.items(), *[("", "")] * _EMPTY_ROWS]


def standing(visit: Visit, permission: str, **target: str) -> Mapping[str, Any] | None:
    """Whether the viewer may, and whether a quorum has to approve, as the API explains it; None when it does not."""
    try:
        found: Mapping[str, Any] = visit.call("ExplainAccess", query={"permission": permission, **target})
    except Refused:
        return None
    return found
