"""/sys/v1/approval_requests on the wire."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import msgspec

from kms.api.wire.base import (
    Endpoint,
    Parameters,
    Request,
    Response,
    WireCall,
    WireError,
    creator_of,
    nothing,
    page_of,
    parameters,
    path_id,
    unsupported,
    wire_time,
)
from kms.api.wire.quorum_policies import wire_tree
from kms.api.wire.redaction import redacted
from kms.api.wire.vote_proofs import ApproveRequest, proof_of
from kms.operations.approvals import (
    ApprovalView,
    DeleteApproval,
    DenyApproval,
    GetApproval,
    GetApprovalResult,
    GiveApproval,
    ListApprovals,
    RequestApproval,
)
from kms.operations.wire_form import Rendered, WireForm
from kms.secret import SecretBytes
from policies.models import Approval, ApprovalRequest, ApprovalStatus
from policies.quorum import Guard
from policies.reviewers import Reviewer

MAX_OPERATION = 2048
CLIS_OWN = "out"
_STATUSES = {status.value.upper(): status for status in ApprovalStatus}
_SUBJECTS = {"object": "sobject", "group": "group", "app": "app", "role": "role", "account": "account"}


class ApprovalRequestRequest(Request):
    """The call that is asked for."""

    method: str | None = None
    operation: str | None = None
    body: Any = None
    description: str | None = None


class DenyRequest(Request):
    reason: str | None = None


class ListParams(Parameters):
    requester: UUID | None = None
    reviewer: UUID | None = None
    subject: UUID | None = None
    status: str | None = None
    limit: int | None = None
    offset: int | None = None


class ApprovalResponse(Response):
    """The last four are ours: what votes are bound to, when it ended, what was shown with each yes, what is asked."""

    request_id: UUID
    acct_id: UUID
    requester: Any
    method: str
    operation: str
    status: str
    created_at: str
    expiry: str
    result_viewed: Any
    approvers: Any
    body: Any = None
    description: str | None = None
    denier: Any = None
    denial_reason: str | None = None
    reviewers: Any = None
    subjects: Any = None
    digest: str | None = None
    decided_at: str | None = None
    votes: Any = None
    quorums: Any = None


class ApprovableResult(Response, omit_defaults=False):
    status: int
    body: msgspec.Raw


# -- requests ------------------------------------------------------------------------------------------------------


def _ask(call: WireCall) -> RequestApproval:
    wanted: ApprovalRequestRequest = call.body
    if wanted.method is None or wanted.operation is None:
        raise WireError("Invalid request: method and operation say what is asked for")
    if len(wanted.operation) > MAX_OPERATION:
        raise WireError(f"Invalid request: operation has at most {MAX_OPERATION} characters")
    form = WireForm(wanted.method.upper(), wanted.operation, SecretBytes(canonical_json(_sent(wanted.body))))
    return RequestApproval(form, wanted.description or "")


def _sent(body: Any) -> Any:
    """The body without the name of the caller's own file, which the vendor's CLI sends along. No call takes it."""
    return {name: value for name, value in body.items() if name != CLIS_OWN} if isinstance(body, dict) else body


def canonical_json(body: Any) -> bytes:
    """One spelling for all that mean the same, in any release: names sorted, no spaces, ASCII."""
    if body is None:
        return b""
    try:
        return json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    except RecursionError:
        raise WireError("Invalid request: the body is nested too deeply") from None


def _list(call: WireCall) -> ListApprovals:
    wanted = parameters(call, ListParams)
    if wanted.status is not None and wanted.status not in _STATUSES:
        raise WireError(f"Invalid request: status is one of {', '.join(_STATUSES)}")
    return ListApprovals(
        page_of(wanted.limit, wanted.offset, sort="created_at", descending=True),
        wanted.requester,
        wanted.reviewer,
        wanted.subject,
        None if wanted.status is None else _STATUSES[wanted.status],
    )


def _approve(call: WireCall) -> GiveApproval:
    body: ApproveRequest | None = call.body
    if body is not None:
        unsupported(body=body.body)
    return GiveApproval(path_id(call, "req_id"), proof_of(body))


def _deny(call: WireCall) -> DenyApproval:
    reason = None if call.body is None else call.body.reason
    return DenyApproval(path_id(call, "req_id"), reason or "")


# -- responses -----------------------------------------------------------------------------------------------------


def approval(view: ApprovalView) -> ApprovalResponse:
    row = view.row
    return ApprovalResponse(
        request_id=row.id,
        acct_id=row.account_id,
        requester=creator_of(row.requester_kind, row.requester_id),
        method=row.method,
        operation=row.operation,
        status=view.status.value.upper(),
        created_at=wire_time(row.created_at) or "",
        expiry=wire_time(row.expires_at) or "",
        result_viewed=row.result_viewed,
        approvers=[creator_of(*each) for each in view.approvers],
        body=_body(view),
        description=row.description or None,
        denier=creator_of(row.denier_kind, row.denier_id) if row.denier_id is not None else None,
        denial_reason=view.reason or None,
        reviewers=[_reviewer(each) for each in view.reviewers] or None,
        subjects=_subjects(row),
        digest=bytes(row.digest).hex(),
        decided_at=wire_time(row.decided_at),
        votes=[_vote(each) for each in view.votes] or None,
        quorums=[_quorum(guard, met) for guard, met in view.guards] or None,
    )


def _vote(given: Approval) -> dict[str, Any]:
    named: dict[str, Any] = creator_of(given.reviewer_kind, given.reviewer_id)
    shown = {"password": given.password, "second_factor": given.second_factor}
    return {**named, "at": wire_time(given.created_at), **shown}


def _quorum(guard: Guard, met: bool) -> dict[str, Any]:
    return {"subject": guard.subject, "met": met, "policy": wire_tree(guard.quorum)}


def _body(view: ApprovalView) -> Any:
    """Whoever asked reads what they sent, others without its secrets."""
    if not view.body:
        return None
    body = json.loads(view.body.reveal())
    return body if view.whole else redacted(body)


def _reviewer(reviewer: Reviewer) -> dict[str, Any]:
    named: dict[str, Any] = creator_of(reviewer.kind, reviewer.id)
    return {**named, "requires_password": reviewer.password, "requires_2fa": reviewer.second_factor}


def _subjects(row: ApprovalRequest) -> list[dict[str, str]]:
    """What the vendor has no word for is the account's."""
    shown = [
        {_SUBJECTS[each["kind"]]: each["id"]} if each["kind"] in _SUBJECTS else {"account": str(row.account_id)}
        for each in row.targets
    ]
    return [each for number, each in enumerate(shown) if each not in shown[:number]]


def _result(result: Rendered) -> ApprovableResult:
    return ApprovableResult(status=result.status, body=msgspec.Raw(result.body.reveal()))


_PATH = "/sys/v1/approval_requests"
_ONE = _PATH + "/{req_id}"


def _one(command: Any) -> Any:
    return lambda call: command(path_id(call, "req_id"))


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("ListApprovalRequests", "GET", _PATH, _list, lambda views: [approval(view) for view in views]),
    Endpoint("CreateApprovalRequest", "POST", _PATH, _ask, approval, body=ApprovalRequestRequest, status=201),
    Endpoint("GetApprovalRequest", "GET", _ONE, _one(GetApproval), approval),
    Endpoint("DeleteApprovalRequest", "DELETE", _ONE, _one(DeleteApproval), nothing, status=204),
    Endpoint("ApproveRequest", "POST", f"{_ONE}/approve", _approve, approval, body=ApproveRequest, optional_body=True),
    Endpoint("DenyRequest", "POST", f"{_ONE}/deny", _deny, approval, body=DenyRequest, optional_body=True),
    Endpoint("GetApprovalRequestResult", "POST", f"{_ONE}/result", _one(GetApprovalResult), _result),
)
