"""What every page says to the browser about itself: what may run in it, who may frame it, what it may tell others."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from django.http import HttpRequest, HttpResponse

# No inline script, no inline style, nothing from another host. htmx's own Trusted Types policy is the only one, so no
# other script can turn text into markup; htmx itself takes part only in elements that carry the page's nonce.
_POLICY: Mapping[str, str] = {
    "default-src": "'none'",
    "style-src": "'self'",
    "img-src": "'self'",
    "font-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
    "require-trusted-types-for": "'script'",
    "trusted-types": "htmx",
}
_HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=(), clipboard-read=()",
}
_NONCE = "_console_nonce"


def nonce_of(request: HttpRequest) -> str:
    """The page's nonce: 128 bits, made when it is first asked for."""
    found = getattr(request, _NONCE, None)
    if found is None:
        found = secrets.token_urlsafe(16)
        setattr(request, _NONCE, found)
    return str(found)


def policy(nonce: str) -> str:
    scripts = f"script-src 'self' 'nonce-{nonce}'"
    return "; ".join([*(f"{name} {value}" for name, value in _POLICY.items()), scripts])


def guarded(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """The response with all of it."""
    response["Content-Security-Policy"] = policy(nonce_of(request))
    for name, value in _HEADERS.items():
        response.setdefault(name, value)
    return response
