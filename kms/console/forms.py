"""Forms: how a field is shown, and how the API's refusal finds its way to the field that it is about."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from django import forms
from django.forms.renderers import TemplatesSetting

from kms.api.inside import ApprovalNeeded, Refused
from kms.console.visit import Visit

# What a person can mend in the form; anything else is a page of its own.
_MENDABLE = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN, HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND})


class Renderer(TemplatesSetting):
    """Our own markup for fields and errors (settings.FORM_RENDERER)."""

    form_template_name = "console/forms/form.html"
    field_template_name = "console/forms/field.html"


class Form(forms.Form):
    """A form whose fields know what the API calls them: ``wire`` maps a field to the API's name where they differ."""

    wire: Mapping[str, str] = {}
    step_up = False  # whether all that is missing is a recent proof of who one is

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("label_suffix", "")
        super().__init__(*args, **kwargs)

    def attempt(self, visit: Visit, operation: str, **arguments: Any) -> Any:
        """Call the API with what the form says. None when it was refused, with the reason in the form."""
        try:
            return visit.call(operation, **arguments)
        except ApprovalNeeded:
            raise
        except Refused as refused:
            if refused.status not in _MENDABLE:
                raise
            self.refuse(refused)
            return None

    def refuse(self, refused: Refused) -> None:
        """At the field that the message names, or above all of them."""
        self.step_up = refused.reason == "step-up-needed"
        names = {self.wire.get(field, field): field for field in self.fields}
        words = re.findall(r"[a-z_0-9]+", refused.message)
        self.add_error(next((names[word] for word in words if word in names), None), said_plainly(refused.message))


def said_plainly(message: str) -> str:
    """The API's sentence without its prefix, as it stands in a form."""
    text = message.removeprefix("Invalid request: ")
    return text[:1].upper() + text[1:]
