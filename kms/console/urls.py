"""Every screen there is, and what pages load: where each hangs."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path

from kms.console.approvals import screens as approvals
from kms.console.apps import screens as apps
from kms.console.assets import by_url
from kms.console.audit import screens as audit
from kms.console.dashboard import screens as dashboard
from kms.console.errors import unknown
from kms.console.explaining import screens as explaining
from kms.console.finding import screens as finding
from kms.console.groups import screens as groups
from kms.console.kubernetes import screens as kubernetes
from kms.console.making import screens as making
from kms.console.objects import screens as objects
from kms.console.profile import screens as profile
from kms.console.quorums import screens as quorums
from kms.console.roles import screens as roles
from kms.console.screens import Screen
from kms.console.settings import screens as settings
from kms.console.sign_in import screens as sign_in
from kms.console.users import screens as users

SCREENS: tuple[Screen, ...] = (
    *sign_in.SCREENS,
    *dashboard.SCREENS,
    *approvals.SCREENS,
    *objects.SCREENS,
    *making.SCREENS,
    *groups.SCREENS,
    *apps.SCREENS,
    *kubernetes.SCREENS,
    *users.SCREENS,
    *roles.SCREENS,
    *quorums.SCREENS,
    *explaining.SCREENS,
    *audit.SCREENS,
    *settings.SCREENS,
    *profile.SCREENS,
    *finding.SCREENS,
)


def asset(request: HttpRequest, name: str) -> HttpResponse:
    found = by_url().get(request.path)
    if found is None or request.method not in ("GET", "HEAD"):
        return unknown(request)
    compress = "gzip" in request.headers.get("Accept-Encoding", "")
    response = HttpResponse(found.compressed if compress else found.body, content_type=found.content_type)
    if compress:
        response["Content-Encoding"] = "gzip"
    response["Vary"] = "Accept-Encoding"
    response["Cache-Control"] = "public, max-age=31536000, immutable"
    response["Cross-Origin-Resource-Policy"] = "same-origin"
    return response


def open_paths() -> frozenset[str]:
    """Where those who are not signed in send forms."""
    return frozenset(f"/{screen.route}" for screen in SCREENS if screen.anonymous and screen.act is not None)


def urlpatterns() -> list[URLPattern]:
    return [path("static/<str:name>", asset), *(screen.pattern() for screen in SCREENS)]
