"""What a screen is, and what every screen does alike: who may look, what refuses, what an approval is asked for.

A screen module lists its own in ``SCREENS``; ``urls`` hangs them in their places. Tests sweep over that list.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.urls import URLPattern, path, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt

from kms.api.inside import ApprovalNeeded, Refused
from kms.console import cookies
from kms.console.headers import guarded
from kms.console.visit import Visit

# Logins that are not finished: the API says which half is missing.
_UNFINISHED = frozenset({"second-factor-needed", "second-factor-enrolment-needed"})


# Takes the visit and the ids in the path; lets Refused through where it has nothing better to say.
Handler = Callable[..., HttpResponse]


@dataclass(frozen=True, slots=True)
class Screen:
    """``show`` answers GET and changes nothing, ``act`` answers POST.

    ``anonymous`` screens are for those who are not signed in, ``homeless`` ones need no selected account. A ``foreign``
    screen is posted to by another site, and brings its own proof of where that began.
    """

    name: str
    route: str
    title: str | Promise
    show: Handler | None = None
    act: Handler | None = None
    anonymous: bool = False
    homeless: bool = False
    foreign: bool = False

    def pattern(self) -> URLPattern:
        return path(self.route, csrf_exempt(self._view) if self.foreign else self._view, name=self.name)

    @property
    def _view(self) -> Callable[..., HttpResponse]:
        def view(request: HttpRequest, **parameters: Any) -> HttpResponse:
            return guarded(request, self._answer(request, {name: str(value) for name, value in parameters.items()}))

        return view

    def _answer(self, request: HttpRequest, parameters: dict[str, str]) -> HttpResponse:
        handler = self.act if request.method == "POST" else self.show
        if handler is None or request.method not in ("GET", "HEAD", "POST"):
            return HttpResponseNotAllowed([m for m, h in (("GET", self.show), ("POST", self.act)) if h is not None])
        visit = Visit(request, str(self.title))
        response = self._handled(visit, handler, parameters)
        if visit.shell_changed and visit.token is not None and not cookies.sets_session(response):
            cookies.keep_session(response, visit.token, visit.user_id)
        return response

    def _handled(self, visit: Visit, handler: Handler, parameters: dict[str, str]) -> HttpResponse:
        try:
            return self._admitted(visit) or handler(visit, **parameters)
        except ApprovalNeeded as needed:
            return _ask_for_approval(visit, needed) if visit.request.method == "POST" else refusal(visit, needed)
        except Refused as refused:
            return refusal(visit, refused)

    def _admitted(self, visit: Visit) -> HttpResponse | None:
        """Where to go first, if anywhere: to the sign-in, or to the choice of an account."""
        if self.anonymous:
            return None
        if visit.token is None:
            return to_sign_in(visit)
        shell = visit.shell
        if shell is not None and shell.account is None and not self.homeless:
            return visit.redirect("choose-account")
        return None


def to_sign_in(visit: Visit) -> HttpResponse:
    """And back afterwards, when what was asked for was a page."""
    query = {"next": visit.request.get_full_path()} if visit.request.method == "GET" and not visit.by_htmx else {}
    url = reverse("sign-in") + (f"?{urlencode(query)}" if query and query["next"] != "/" else "")
    if visit.by_htmx:
        response = HttpResponse(status=HTTPStatus.NO_CONTENT)
        response["HX-Redirect"] = url
    else:
        response = visit.go(url)
    cookies.drop_session(response)
    return response


def refusal(visit: Visit, refused: Refused) -> HttpResponse:
    """What the API would have answered, as a page or a part of one."""
    if refused.reason in _UNFINISHED:
        going = visit.request.method == "GET" and not visit.by_htmx
        return visit.redirect("second-factor", query={"next": visit.request.get_full_path()} if going else None)
    if refused.status == HTTPStatus.UNAUTHORIZED:
        return to_sign_in(visit)
    template = "console/refused.html" if visit.around is not None else "console/bare.html"
    if visit.by_htmx:
        template = "console/refused.html#message"
    response = visit.render(template, {"refused": refused, "title": _("Not done")}, status=refused.status)
    if refused.retry_after is not None:
        response["Retry-After"] = str(refused.retry_after)
    return response


def _ask_for_approval(visit: Visit, needed: ApprovalNeeded) -> HttpResponse:
    """Pages say beforehand that it takes a quorum, so who goes on wants to ask for it."""
    body = {
        "method": needed.call.method,
        "operation": needed.call.target,
        "body": needed.call.body,
        "description": visit.form.get("approval_description") or None,
    }
    request = visit.call("CreateApprovalRequest", body=body)
    visit.say(
        _("This takes the approval of a quorum. It was asked for; you will see here what came of it."),
        level=messages.INFO,
    )
    return visit.redirect("approval", req_id=request["request_id"])
