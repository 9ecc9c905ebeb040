"""What cannot be undone: it is done after its name was typed, and otherwise asked again with what stands against it."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from django.http import HttpResponse

from kms.api.inside import Refused
from kms.console.forms import said_plainly
from kms.console.visit import Visit


def ended(
    do: Callable[[], object], ask: Callable[..., HttpResponse], *, typed: bool, otherwise: str
) -> HttpResponse | None:
    """None when it is done; else the page that asks again. ``otherwise`` is said when the name was not typed."""
    if not typed:
        return ask(fault=otherwise, status=HTTPStatus.UNPROCESSABLE_ENTITY)
    try:
        do()
    except Refused as refused:
        if refused.status != HTTPStatus.CONFLICT:
            raise
        return ask(fault=said_plainly(refused.message), status=refused.status)
    return None


def typed_text(visit: Visit) -> str:
    return visit.form.get("typed", "").strip()
