"""The console's cookies. Its session is a session of the API: the cookie holds the bearer token, out of scripts' reach.

So there is one list of sessions, one idle time, one end, whichever way somebody came in.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse

THEME, ZONE = "theme", "zone"
THEMES = ("system", "light", "dark")


@dataclass(frozen=True, slots=True)
class Kept:
    """The bearer token, and whose it says it is, which only says whom to show. ``mark`` changes when what is shown of
    them does, so that no process goes on showing what it remembers."""

    token: str = field(repr=False)
    user: str
    mark: str = ""


def _name() -> str:
    """With its prefix a browser takes the cookie over TLS only, for this host only (RFC 6265bis §4.1.3.2)."""
    return "__Host-session" if settings.SESSION_COOKIE_SECURE else "session"


def session_of(request: HttpRequest) -> Kept | None:
    """None when nobody is signed in."""
    token, _, rest = request.COOKIES.get(_name(), "").partition(".")
    user, _, mark = rest.partition(".")
    return Kept(token, user, mark) if token and _is_id(user) else None


def keep_session(response: HttpResponse, token: str, user: str) -> None:
    """Until the browser closes; the server ends the session earlier. Lax, so that links in mails find it."""
    _set(response, f"{token}.{user}.{secrets.token_hex(4)}")


def sets_session(response: HttpResponse) -> bool:
    return _name() in response.cookies


def drop_session(response: HttpResponse) -> None:
    _set(response, "", max_age=0)


def _set(response: HttpResponse, value: str, *, max_age: int | None = None) -> None:
    secure: bool = settings.SESSION_COOKIE_SECURE
    response.set_cookie(_name(), value, max_age, path="/", secure=secure, httponly=True, samesite="Lax")


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def theme_of(request: HttpRequest) -> str:
    theme = request.COOKIES.get(THEME, "")
    return theme if theme in THEMES else "system"
