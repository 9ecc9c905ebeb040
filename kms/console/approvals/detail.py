"""One request: what exactly would run, what that changes, who has a say, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse
from django.utils.translation import gettext as _t

from kms.console.approvals.changes import changes_of
from kms.console.approvals.listing import TONES
from kms.console.approvals.voting import DenyForm, VoteForm, demands_of
from kms.console.approvals.wording import ids_in, lines_of, sentence_of, without_secrets
from kms.console.quorums.sentences import ids_in as ids_in_policy
from kms.console.quorums.sentences import sentence_of as sentence_of_quorum
from kms.console.visit import Visit


@dataclass(frozen=True, slots=True)
class Event:
    """One point of a request's history."""

    text: str
    at: str | None = None
    tone: str = ""
    about: str = ""


def show(visit: Visit, req_id: str) -> HttpResponse:
    return page(visit, visit.call("GetApprovalRequest", req_id=req_id))


def page(
    visit: Visit,
    request: Mapping[str, Any],
    *,
    vote: VoteForm | None = None,
    deny: DenyForm | None = None,
    status: int = 200,
) -> HttpResponse:
    names = visit.names(_ids(request))
    me = {"user": visit.user_id}
    demands = demands_of(request, visit.user_id)
    sentence = sentence_of(request, names)
    context = {
        "request_": request,
        "title": sentence,
        "tone": TONES.get(request["status"], "info"),
        "by": name_of(request["requester"], names),
        "lines": lines_of(request.get("body"), names),
        "changes": changes_of(visit, request, names),
        "raw": json.dumps(without_secrets(request.get("body")), indent=2) if request.get("body") is not None else "",
        "quorums": [(sentence_of_quorum(each["policy"], names), each["met"]) for each in request.get("quorums") or ()],
        "reviewers": _reviewers(request, names),
        "events": list(_events(request, names)),
        "own": request["requester"] == me,
        "pending": request["status"] == "PENDING",
        "voted": me in request["approvers"],
        "vote": vote or (VoteForm.asking(visit, demands) if demands is not None else None),
        "deny": deny or (DenyForm() if demands is not None else None),
    }
    return visit.render("console/approvals/detail.html", context, status=status)


def _ids(request: Mapping[str, Any]) -> set[str]:
    people = [
        request["requester"],
        *request["approvers"],
        request.get("denier") or {},
        *(request.get("reviewers") or ()),
    ]
    found = {each[kind] for each in people for kind in ("user", "app") if kind in each}
    found |= {identity for each in request.get("subjects") or () for identity in each.values()}
    policies = (ids_in_policy(each["policy"]) for each in request.get("quorums") or ())
    return found.union(ids_in(request), *policies)


def name_of(who: Mapping[str, Any], names: Mapping[str, str]) -> str:
    identity = str(who.get("user") or who.get("app") or "")
    return names.get(identity, identity[:8])


def _reviewers(request: Mapping[str, Any], names: Mapping[str, str]) -> list[tuple[str, str]]:
    """Who still can, and what they are asked to show."""
    return [
        (name_of(each, names), _shows(each["requires_password"], each["requires_2fa"]))
        for each in request.get("reviewers") or ()
        if {kind: each[kind] for kind in ("user", "app") if kind in each} not in request["approvers"]
    ]


def _shows(password: bool, factor: bool) -> str:
    if password and factor:
        return _t("password and second factor")
    return _t("password") if password else _t("second factor") if factor else ""


def _events(request: Mapping[str, Any], names: Mapping[str, str]) -> Iterator[Event]:
    by = name_of(request["requester"], names)
    yield Event(_t("%(who)s asked") % {"who": by}, request["created_at"], about=request.get("description") or "")
    for vote in request.get("votes") or ():
        shown = _shows(vote["password"], vote["second_factor"])
        about = _t("with %(shown)s") % {"shown": shown} if shown else ""
        yield Event(_t("%(who)s approved") % {"who": name_of(vote, names)}, vote["at"], "ok", about)
    reason, at = request.get("denial_reason") or "", request.get("decided_at")
    if request["status"] == "DENIED":
        who = name_of(request.get("denier") or {}, names)
        yield Event(_t("%(who)s denied it") % {"who": who}, at, "danger", reason)
    elif request["status"] == "FAILED":
        yield Event(_t("It was not done"), at, "danger", reason)
    elif request["status"] == "APPROVED":
        yield Event(_t("Everybody needed had approved, and it was done"), at, "ok")
    else:
        yield Event(_t("Ends unless decided before"), request["expiry"], "muted")
