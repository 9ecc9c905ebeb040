"""Coming back from an identity provider: OpenID Connect by a link, SAML by a form that the provider's page posts."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django.http import HttpResponse
from django.utils.translation import gettext as _t

from kms.api.inside import Refused
from kms.console.sign_in import binding
from kms.console.sign_in.arriving import arrive
from kms.console.sign_in.binding import Begun, Kind
from kms.console.visit import Visit

_LONGEST_REASON = 300


def came_back(visit: Visit) -> HttpResponse:
    """The provider's redirect (RFC 6749 §4.1.2). Without its state it began in no browser, or in another's."""
    if not visit.query:
        return visit.redirect("sign-in")
    login = binding.recalled(visit.request, binding.OIDC, visit.query.get("state", ""))
    if login is None:
        return _not_from_here(visit)
    if "code" not in visit.query:
        said = visit.query.get("error_description") or visit.query.get("error") or _t("nothing")
        return _failed(visit, _t("The provider answered: %(reason)s") % {"reason": said[:_LONGEST_REASON]})
    body = {
        "method": "oauth-auth-code",
        "idp_id": login.provider,
        "email": login.email,
        "state": login.returned,
        "code": visit.query["code"],
        "iss": visit.query.get("iss"),
    }
    return _sign_in(visit, binding.OIDC, login, body)


def was_posted(visit: Visit) -> HttpResponse:
    """The provider's response (SAML 2.0 bindings §3.5). Providers ought to send RelayState back; some don't."""
    login = binding.recalled(visit.request, binding.SAML, visit.form.get("RelayState", ""))
    if login is None:
        return _not_from_here(visit)
    body = {"method": "saml-response", "response": visit.form.get("SAMLResponse", ""), "id": login.returned}
    return _sign_in(visit, binding.SAML, login, body)


def _sign_in(visit: Visit, kind: Kind, login: Begun, body: dict[str, Any]) -> HttpResponse:
    try:
        signed_in = visit.call("Authenticate", body=body)
    except Refused as refused:
        said = _t("The server did not accept what the provider says of you.")
        response = _failed(visit, said if refused.status == HTTPStatus.UNAUTHORIZED else refused.message)
    else:
        response = arrive(visit, signed_in, login.onward)
    binding.over(response, kind)
    return response


def _not_from_here(visit: Visit) -> HttpResponse:
    said = _t("This sign-in did not begin in this browser, or began too long ago. Nobody was signed in.")
    return _failed(visit, said)


def _failed(visit: Visit, reason: str) -> HttpResponse:
    context = {"reason": reason, "title": _t("Not signed in")}
    return visit.render("console/sign_in/failed.html", context, status=HTTPStatus.FORBIDDEN)
