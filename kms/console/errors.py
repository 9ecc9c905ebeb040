"""Pages for what no screen answers: an address that is not there, a form from elsewhere, a defect.

Below the API's own paths the answers are the API's, in its own shape.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.translation import gettext as _

from kms.api import views as api
from kms.api.inside import Refused
from kms.console.headers import guarded
from kms.console.visit import Visit

_API = ("/sys/", "/crypto/", "/batch/", "/saml/metadata")


def unknown(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
    if _is_api(request):
        return api.unknown(request, *args, **kwargs)
    return _page(request, HTTPStatus.NOT_FOUND, _("There is no such page"))


def broken(request: HttpRequest) -> HttpResponse:
    if _is_api(request):
        return api.broken(request)
    return _page(request, HTTPStatus.INTERNAL_SERVER_ERROR, _("The page could not be made; the server's log says why"))


def not_from_here(request: HttpRequest, reason: str = "") -> HttpResponseBase:
    """A form without our token: another site's, or one that has lain open since before the last sign-in."""
    return _page(request, HTTPStatus.FORBIDDEN, _("The form is out of date. Go back, reload the page and try again."))


def _is_api(request: HttpRequest) -> bool:
    """Whoever asks for anything but a page is answered as the API answers."""
    return request.path.startswith(_API) or "text/html" not in request.headers.get("Accept", "")


def _page(request: HttpRequest, status: HTTPStatus, message: str) -> HttpResponse:
    page = Visit(request).render(
        "console/bare.html", {"refused": Refused(status, message), "title": message}, status=status
    )
    return guarded(request, page)
