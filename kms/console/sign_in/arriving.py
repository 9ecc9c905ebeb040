"""What follows a login however it was made: the session is kept, and the person sent on to what is still missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from django.http import HttpResponse
from django.middleware.csrf import rotate_token
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from kms.console import cookies
from kms.console.visit import Visit


def onward_of(visit: Visit) -> str:
    """Where they were going, if that is a page of ours."""
    wanted = visit.form.get("next") or visit.query.get("next") or ""
    ours = wanted.startswith("/") and url_has_allowed_host_and_scheme(wanted, None)
    return wanted if ours else "/"


def arrive(visit: Visit, signed_in: Mapping[str, Any], onward: str) -> HttpResponse:
    """With the API's answer to a login."""
    token, user = signed_in["access_token"], signed_in["entity_id"]
    response = visit.go(way_on(visit, onward, f"Bearer {token}"))
    rotate_token(visit.request)  # forms of before are somebody else's
    cookies.keep_session(response, token, user)
    return response


def way_on(visit: Visit, onward: str, authorization: str | None = None) -> str:
    """The address of what comes next. Who belongs to one account, and is asked to no other, is in it at once."""
    here = visit.call("GetSession", authorization=authorization)
    if here.get("lack") is None and here.get("acct_id") is None:
        accounts = visit.call("ListAccounts", authorization=authorization)
        if len(accounts) != 1 or visit.call("ListInvitations", authorization=authorization):
            return address("choose-account", onward)
        visit.call("SelectAccount", body={"acct_id": accounts[0]["acct_id"]}, authorization=authorization)
        visit.forget_shell()
        here = visit.call("GetSession", authorization=authorization)
    return onward if here.get("lack") is None else address("second-factor", onward)


def address(screen: str, onward: str = "/", **query: str) -> str:
    """A page on the way, which remembers where the way leads."""
    asked = {**query, **({} if onward == "/" else {"next": onward})}
    return reverse(screen) + (f"?{urlencode(asked)}" if asked else "")
