"""Approvals: what waits for whom, what exactly would run, and saying yes or no to it."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from django.http import HttpResponse, JsonResponse
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.api.inside import Refused
from kms.console.approvals import detail, listing
from kms.console.approvals.voting import DenyForm, VoteForm, demands_of
from kms.console.approvals.wording import sentence_of
from kms.console.screens import Screen
from kms.console.visit import Visit


def approve(visit: Visit, req_id: str) -> HttpResponse:
    request = visit.call("GetApprovalRequest", req_id=req_id)
    demands = demands_of(request, visit.user_id)
    if demands is None:
        return detail.page(visit, request, status=HTTPStatus.CONFLICT)
    form = VoteForm.asking(visit, demands, visit.form)
    proof = form.proof() if form.is_valid() else None
    done = form.attempt(visit, "ApproveRequest", req_id=req_id, body=proof) if proof is not None else None
    if done is None:
        return detail.page(visit, request, vote=form, status=HTTPStatus.UNPROCESSABLE_ENTITY)
    visit.say(_t("You approved. It was done.") if done["status"] == "APPROVED" else _t("You approved."))
    return visit.redirect("approval", req_id=req_id)


def deny(visit: Visit, req_id: str) -> HttpResponse:
    form = DenyForm(visit.form)
    done = (
        form.attempt(visit, "DenyRequest", req_id=req_id, body={"reason": form.cleaned_data["reason"] or None})
        if form.is_valid()
        else None
    )
    if done is None:
        request = visit.call("GetApprovalRequest", req_id=req_id)
        return detail.page(visit, request, deny=form, status=HTTPStatus.UNPROCESSABLE_ENTITY)
    visit.say(_t("You denied it. Who asked is told."))
    return visit.redirect("approval", req_id=req_id)


def withdraw(visit: Visit, req_id: str) -> HttpResponse:
    visit.call("DeleteApprovalRequest", req_id=req_id)
    visit.say(_t("Your request was withdrawn."))
    return visit.redirect("approvals", query={"view": listing.MINE})


def result(visit: Visit, req_id: str) -> HttpResponse:
    """In the answer to a POST: it may be a secret."""
    request = visit.call("GetApprovalRequest", req_id=req_id)
    found = visit.call("GetApprovalRequestResult", req_id=req_id)
    names = visit.names(detail.ids_in(request))
    body = found["body"]
    context = {
        "req_id": req_id,
        "sentence": sentence_of(request, names),
        "status": found["status"],
        "went_well": found["status"] < HTTPStatus.BAD_REQUEST,
        "body": body if isinstance(body, str) else "" if body is None else json.dumps(body, indent=2),
    }
    return visit.render("console/approvals/result.html", context)


def challenge(visit: Visit, req_id: str) -> HttpResponse:
    """Asked for by the page's script right before the browser asks the person for their security key."""
    try:
        found: Any = visit.call("MfaChallenge", query={"protocol": "fido2"}, req_id=req_id)
    except Refused as refused:
        return JsonResponse({"message": refused.message}, status=refused.status)
    if found is None:
        return JsonResponse({"message": _t("You have no security key here.")}, status=HTTPStatus.CONFLICT)
    return JsonResponse(found)


_ONE = "approvals/<uuid:req_id>"
SCREENS: tuple[Screen, ...] = (
    Screen("approvals", "approvals", _("Approvals"), listing.show),
    Screen("approval", _ONE, _("Request for approval"), detail.show),
    Screen("approve-request", f"{_ONE}/approve", _("Request for approval"), None, approve),
    Screen("deny-request", f"{_ONE}/deny", _("Request for approval"), None, deny),
    Screen("withdraw-request", f"{_ONE}/withdraw", _("Request for approval"), None, withdraw),
    Screen("approval-result", f"{_ONE}/result", _("What came of it"), None, result),
    Screen("approval-challenge", f"{_ONE}/challenge", _("Request for approval"), None, challenge),
)
