"""What ties a login at a provider to the browser that it began in: a signed cookie with what must come back.

Without it anybody could send their own answer of a provider to somebody else's browser, and have them work there under
another name. A provider's answer comes by a plain link for OpenID Connect, by another site's form for SAML: that
cookie alone has to travel across sites.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare

_LIFE = 600
_SALT = "console.sign-on"


@dataclass(frozen=True, slots=True)
class Kind:
    """A way of signing on: which of discovery's methods it is, and which member of it comes back."""

    name: str
    method: str
    returns: str
    same_site: Literal["Lax", "None"]


OIDC = Kind("sign-on", "oauth-auth-code-grant", "state", "Lax")
SAML = Kind("sign-on-saml", "saml-post", "id", "None")


@dataclass(frozen=True, slots=True)
class Begun:
    """One login that began in this browser: what comes back for it, at which provider, and where it was going."""

    returned: str
    provider: str
    onward: str
    email: str


def begun(response: HttpResponse, ways: Sequence[Mapping[str, Any]], onward: str, email: str) -> None:
    """Remember in the browser which answers it may bring."""
    for kind in (OIDC, SAML):
        awaited = {way[kind.returns]: way["idp_id"] for way in ways if way["method"] == kind.method}
        if awaited:
            value = signing.dumps({"awaited": awaited, "next": onward, "email": email}, salt=_SALT, compress=True)
            _set(response, kind, value, _LIFE)


def recalled(request: HttpRequest, kind: Kind, returned: str) -> Begun | None:
    """The login that this answer belongs to, if it began here and lately. One alone need not be named (SAML)."""
    kept = _kept(request, kind)
    awaited: Mapping[str, str] = kept.get("awaited", {})
    if not returned and kind is SAML and len(awaited) == 1:
        returned = next(iter(awaited))
    found = [name for name in awaited if constant_time_compare(name, returned)]
    return Begun(found[0], awaited[found[0]], kept["next"], kept["email"]) if found else None


def over(response: HttpResponse, kind: Kind) -> None:
    _set(response, kind, "", 0)


def _kept(request: HttpRequest, kind: Kind) -> Mapping[str, Any]:
    try:
        kept: Mapping[str, Any] = signing.loads(request.COOKIES.get(_cookie(kind), ""), salt=_SALT, max_age=_LIFE)
    except signing.BadSignature:
        return {}
    return kept


def _cookie(kind: Kind) -> str:
    return f"__Host-{kind.name}" if settings.SESSION_COOKIE_SECURE else kind.name


def _set(response: HttpResponse, kind: Kind, value: str, life: int) -> None:
    secure: bool = settings.SESSION_COOKIE_SECURE
    same_site = kind.same_site if secure else "Lax"  # browsers take None over TLS only
    response.set_cookie(_cookie(kind), value, life, path="/", secure=secure, httponly=True, samesite=same_site)
