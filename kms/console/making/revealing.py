"""Showing what a security object holds: said beforehand what that means, done by a press, shown once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpResponse
from django.utils.translation import gettext_lazy as _

from kms.console.making.decoding import shown
from kms.console.making.fields import standing
from kms.console.visit import Visit

SHOWN_SECONDS = 60
_BARE = frozenset({"SECRET", "OPAQUE"})
_SYMMETRIC = frozenset({"AES", "DES", "DES3", "SEED", "HMAC"})
_LABELS: Mapping[str, Any] = {
    "text": _("Text"),
    "base64": "Base64",
    "hex": _("Hexadecimal"),
    "pem": "PEM",
    "jwk": "JWK",
}


def show(visit: Visit, key_id: str) -> HttpResponse:
    found = visit.call("GetSobjectById", key_id=key_id)
    context = {
        "object": found,
        "forms": [(name, _LABELS[name]) for name in _forms_of(found["obj_type"])],
        "standing": standing(visit, "EXPORT", object=key_id),
        "exportable": "EXPORT" in found["key_ops"],
    }
    return visit.render("console/making/reveal.html", context)


def reveal(visit: Visit, key_id: str) -> HttpResponse:
    """The answer to the press is the only place where the value is."""
    form = visit.form.get("format", "")
    written = form if form in ("pem", "jwk") else None
    found = visit.call("ExportSobjectById", query={"format": written}, key_id=key_id)
    values = shown(found.pop("value"))
    if written and "text" in values:
        values = {written: values["text"]}
    elif form in values:
        values = {form: values[form]}
    context = {
        "object": found,
        "values": [(_LABELS[name], value) for name, value in values.items()],
        "seconds": SHOWN_SECONDS,
    }
    return visit.render("console/making/revealed.html", context)


def _forms_of(kind: str) -> tuple[str, ...]:
    if kind in _BARE:
        return ("text", "base64", "hex")
    return ("hex", "base64", "jwk") if kind in _SYMMETRIC else ("pem", "base64", "jwk")
