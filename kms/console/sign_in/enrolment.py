"""A second factor for who has none and enters an account that asks for one: enrolled at once, then on."""

from __future__ import annotations

from django.http import HttpResponse

from kms.console.profile.factors import Desk
from kms.console.screens import to_sign_in
from kms.console.sign_in.arriving import onward_of, way_on
from kms.console.sign_in.factor import options
from kms.console.visit import Visit

_LACK = "second-factor-enrolment-needed"


def show(visit: Visit) -> HttpResponse:
    if visit.token is None:
        return to_sign_in(visit)
    if visit.call("GetSession").get("lack") != _LACK:
        return visit.go(way_on(visit, onward_of(visit)))
    return _DESK.show(visit)


def act(visit: Visit) -> HttpResponse:
    return to_sign_in(visit) if visit.token is None else _DESK.act(visit)


def challenge(visit: Visit) -> HttpResponse:
    """For a new security key; the profile's page asks here too."""
    return options(visit, lambda: visit.call("MfaNewChallenge", query={"protocol": "fido2"}))


def _done(visit: Visit) -> str:
    return way_on(visit, onward_of(visit))


_DESK = Desk("enrol-factor", "console/sign_in/frame.html", _done, first=True)
