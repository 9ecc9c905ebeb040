"""What every page says to the browser about itself: what may run in it, who may frame it, what it may tell others."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponse

# No inline script, no inline style, nothing from another host. htmx's own Trusted Types policy is the only one, so no
# other script can turn text into markup; htmx itself takes part only in elements that carry the page's nonce.
_POLICY: dict[str, str] = {
    "default-src": "'none'",
    "style-src": "'self'",
    "img-src": "'self'",
    "font-src": "'self'",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
    "require-trusted-types-for": "'script'",
    "trusted-types": "htmx",
}
_HEADERS: Mapping[str, str] = {
    # Under "no-referrer" a browser posts forms with "Origin: null", which is nobody's (Fetch §3.2).
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=(), clipboard-read=()",
}
_NONCE, _TARGETS = "_console_nonce", "_console_targets"
_HOST = re.compile(r"[A-Za-z0-9.-]+(:\d+)?|\[[0-9A-Fa-f:.]+\](:\d+)?")


def nonce_of(request: HttpRequest) -> str:
    """The page's nonce: 128 bits, made when it is first asked for."""
    found = getattr(request, _NONCE, None)
    if found is None:
        found = secrets.token_urlsafe(16)
        setattr(request, _NONCE, found)
    return str(found)


def may_post_to(request: HttpRequest, url: str) -> None:
    """This page has a form for another site: an identity provider's. What is no plain origin is left out."""
    parts = urlsplit(url)
    origin = f"{parts.scheme}://{parts.netloc}"
    if parts.scheme in ("https", "http") and _HOST.fullmatch(parts.netloc):
        request.__dict__.setdefault(_TARGETS, []).append(origin)


def policy(nonce: str, targets: Sequence[str] = ()) -> str:
    directives = _POLICY | {"script-src": f"'self' 'nonce-{nonce}'", "form-action": " ".join(["'self'", *targets])}
    return "; ".join(f"{name} {value}" for name, value in directives.items())


def guarded(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """The response with all of it."""
    response["Content-Security-Policy"] = policy(nonce_of(request), getattr(request, _TARGETS, ()))
    for name, value in _HEADERS.items():
        response.setdefault(name, value)
    return response
