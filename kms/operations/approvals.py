"""Requests for approval: asked for, listed, seen, approved, denied, taken back; and what came of those approved.

Somebody asks for a call that they may make but for a quorum. It is decided when it is asked for, as a rehearsal, and
again when it is carried out. It must not know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from django.db import InterfaceError, OperationalError, connection
from django.db.models import Q

from accounts.clock import clock
from accounts.principal import Principal, PrincipalKind
from kms.audit.entry import CallContext, Category, Detail
from kms.audit.errors import RecordUnavailable
from kms.hsm.errors import BlobRejected
from kms.operations import approval_settings, approving, notices, reviewing, vote_proofs
from kms.operations.authority import absent
from kms.operations.command import Call, CarryOut, Command, Operation, Rehearsed, Resolved, control
from kms.operations.errors import AccessDenied, Conflict, InvalidRequest, NotFound
from kms.operations.needed_quorums import guards_needed
from kms.operations.queries import Page, paged
from kms.operations.vote_proofs import VoteProof
from kms.operations.wire_form import Rendered, WireForm, wire
from kms.secret import SecretBytes
from policies.decision import Target
from policies.models import AccountPolicy, Approval, ApprovalEvent, ApprovalRequest, ApprovalStatus
from policies.permissions import Permission
from policies.quorum import Guard, Vote, may_fill
from policies.reviewers import Reviewer, person_behind, reviewers_of, suffices, vote_by

MAX_PENDING = 100
# Any number will do that no other lock of two numbers takes: one requester's requests are counted one after another.
_COUNTING = 768_284


@dataclass(frozen=True, slots=True)
class RequestApproval(Command):
    form: WireForm
    description: str = ""


@dataclass(frozen=True, slots=True)
class ListApprovals(Command):
    """Newest first. None as a filter matches everything."""

    page: Page
    requester: UUID | None = None
    reviewer: UUID | None = None
    subject: UUID | None = None
    status: ApprovalStatus | None = None


@dataclass(frozen=True, slots=True)
class GetApproval(Command):
    request: UUID


@dataclass(frozen=True, slots=True)
class GiveApproval(Command):
    request: UUID
    proof: VoteProof


@dataclass(frozen=True, slots=True)
class DenyApproval(Command):
    request: UUID
    reason: str = ""


@dataclass(frozen=True, slots=True)
class DeleteApproval(Command):
    request: UUID


@dataclass(frozen=True, slots=True)
class GetApprovalResult(Command):
    request: UUID


@dataclass(frozen=True, slots=True)
class ApprovalView:
    """``body`` is what was asked, ``whole`` for who asked it; others see no secrets in it. None: it does not open.

    ``guards`` are the quorums that stand before it while it waits, and whether each is met.
    """

    row: ApprovalRequest
    status: ApprovalStatus
    reason: str
    body: SecretBytes | None
    whole: bool
    approvers: tuple[tuple[str, UUID], ...]
    reviewers: tuple[Reviewer, ...]
    votes: tuple[Approval, ...] = ()
    guards: tuple[tuple[Guard, bool], ...] = ()


@dataclass(frozen=True, slots=True)
class Voted:
    request: UUID


# -- asked for -----------------------------------------------------------------------------------------------------


def request_approval(call: Call, command: RequestApproval, _payload: None) -> ApprovalView:
    _count(call)
    rehearsed = _rehearsed(call, command.form)
    policy = AccountPolicy.objects.filter(account_id=call.account).first()
    stands = (policy and policy.approval_seconds) or approval_settings.DEFAULT
    row = ApprovalRequest(
        id=uuid4(),
        account_id=call.account,
        requester_kind=call.principal.kind,
        requester_id=call.principal.id,
        requester_method=call.principal.method,
        requester_provider=call.principal.provider,
        client_ip=call.context.client_ip,
        description=command.description,
        action=rehearsed.operation.action,
        targets=approving.seen(rehearsed.targets),
        subjects=sorted({target.id for target in rehearsed.targets if target.id is not None}),
        groups=sorted({group for target in rehearsed.targets for group in target.groups}),
        policies=list(rehearsed.policies),
        created_at=call.now,
        expires_at=call.now + timedelta(seconds=stands),
    )
    approving.keep(row, command.form)
    row.save(force_insert=True)
    notices.announce(row, ApprovalEvent.ASKED)
    call.details["kind"] = row.action
    call.touched.insert(0, reviewing.target_of(row))
    return _view(row, whole=True)


def _rehearsed(call: Call, form: WireForm) -> Rehearsed:
    """As the call would be decided now: what it is refused for but the quorum, this is refused for."""
    assert call.rehearse is not None  # the executor's, in every call
    rehearsed = call.rehearse(wire().command(form, call.principal))
    if not rehearsed.policies:
        raise InvalidRequest("This operation requires no approval; make the call itself", "no-approval-needed")
    return rehearsed


def _count(call: Call) -> None:
    with connection.cursor() as cursor:
        key = int.from_bytes(call.principal.id.bytes[:4], "big", signed=True)
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_COUNTING, key])
    mine = ApprovalRequest.objects.filter(_own(call.principal), account_id=call.account)
    if mine.filter(status=ApprovalStatus.PENDING, expires_at__gt=call.now).count() >= MAX_PENDING:
        raise Conflict("too-many-pending", f"At most {MAX_PENDING} requests of yours wait for approval at a time")


# -- seen ----------------------------------------------------------------------------------------------------------


def list_approvals(call: Call, command: ListApprovals, _payload: None) -> list[ApprovalView]:
    rows = reviewing.visible(call).filter(_wanted(call, command)).prefetch_related("approvals")
    views = [_view(row, whole=_is_own(call, row), lenient=True) for row in paged(rows, command.page)]
    call.details["returned"] = len(views)
    return views


def _wanted(call: Call, command: ListApprovals) -> Q:
    wanted = Q()
    if command.requester is not None:
        wanted &= Q(requester_id=command.requester)
    if command.subject is not None:
        wanted &= Q(subjects__contains=[command.subject])
    if command.reviewer is not None:
        kinds = (PrincipalKind.USER, PrincipalKind.APP)
        as_either = (reviewing.reviewed_by(call.account, kind, command.reviewer) for kind in kinds)
        wanted &= next(as_either) | next(as_either)
    return wanted & (Q() if command.status is None else _in_status(call, command.status))


def _in_status(call: Call, status: ApprovalStatus) -> Q:
    """One whose time is over has failed, whether the keeper has been there or not."""
    over = Q(status=ApprovalStatus.PENDING, expires_at__lte=call.now)
    if status is ApprovalStatus.PENDING:
        return Q(status=status) & ~over
    return Q(status=status) | over if status is ApprovalStatus.FAILED else Q(status=status)


def get_approval(call: Call, _command: GetApproval, row: ApprovalRequest) -> ApprovalView:
    return _view(row, whole=_is_own(call, row))


def _view(row: ApprovalRequest, *, whole: bool, lenient: bool = False) -> ApprovalView:
    over = row.status == ApprovalStatus.PENDING and row.expires_at <= clock.now()
    pending = row.status == ApprovalStatus.PENDING and not over
    given = sorted(row.approvals.all(), key=lambda each: each.created_at)
    guards = tuple(guards_needed(row)) if pending else ()
    unmet = reviewing.unmet(row, guards) if guards else ()
    return ApprovalView(
        row=row,
        status=ApprovalStatus.FAILED if over else ApprovalStatus(row.status),
        reason=approving.EXPIRED if over else row.denial_reason,
        body=_body_if_intact(row) if lenient else approving.opened(row).body,
        whole=whole,
        approvers=tuple((each.reviewer_kind, each.reviewer_id) for each in given),
        reviewers=reviewers_of(row.account_id, unmet) if unmet else (),
        votes=tuple(given),
        guards=tuple((guard, guard not in unmet) for guard in guards),
    )


def _body_if_intact(row: ApprovalRequest) -> SecretBytes | None:
    """One damaged row hides no others, and can be denied. Whoever looks at it alone is told."""
    try:
        return approving.opened(row).body
    except BlobRejected:
        return None


# -- approved or denied --------------------------------------------------------------------------------------------


def give_approval(call: Call, command: GiveApproval, row: ApprovalRequest) -> Voted:
    demand_pending(call, row)
    guards = guards_needed(row)
    vote = reviewer_of(call, row, guards)
    if row.approvals.filter(reviewer_kind=call.principal.kind, reviewer_id=call.principal.id).exists():
        raise Conflict("already-approved", "You have approved this request already")
    approving.opened(row)  # nobody approves what is not what was asked
    shown = vote_proofs.shown(call, row.id, command.proof)
    vote = replace(vote, password=shown.password, second_factor=shown.second_factor)
    _demand_shown(guards, vote)
    Approval.objects.create(
        request=row,
        reviewer_kind=call.principal.kind,
        reviewer_id=call.principal.id,
        digest=row.digest,
        password=shown.password,
        second_factor=shown.second_factor,
        created_at=call.now,
    )
    if reviewing.all_met(row, guards):
        row.due_at = call.now
        row.save(update_fields=["due_at"])
    return Voted(row.id)


def carry_out_when_approved(run: CarryOut, _command: GiveApproval, voted: Voted) -> ApprovalView:
    """The vote is committed. If it was the last one needed, what was asked for is done before the voter is answered."""
    try:
        approving.carry_out(run, voted.request)
        row = ApprovalRequest.objects.filter(id=voted.request).first()
        if row is None:
            raise NotFound(absent("approval"))  # taken back a moment ago
        return _view(row, whole=False, lenient=True)
    except (OperationalError, InterfaceError) as error:
        raise RecordUnavailable("the database is not available") from error


def reviewer_of(call: Call, row: ApprovalRequest, guards: Sequence[Guard]) -> Vote:
    """The vote that the caller could give, with nothing shown yet."""
    vote = vote_by(call.account, call.principal.kind, call.principal.id)
    if vote is None or not any(may_fill(guard.quorum, vote) for guard in guards):
        raise AccessDenied("not-a-reviewer", "You are no reviewer of this request")
    if vote.person == person_behind(call.account, PrincipalKind(row.requester_kind), row.requester_id):
        raise AccessDenied("own-request", "Nobody approves what they asked for themselves, or by an app of theirs")
    return vote


def _demand_shown(guards: Sequence[Guard], vote: Vote) -> None:
    """A vote that could not count is not taken: it could not be given again."""
    for guard in guards:
        if may_fill(guard.quorum, vote) and not suffices(guard.quorum, vote):
            everything = replace(vote, password=True)
            missing = "your second factor" if not suffices(guard.quorum, everything) else "your password"
            raise AccessDenied("proof-needed", f"This quorum asks for more: show {missing} with the approval")


def deny_approval(call: Call, command: DenyApproval, row: ApprovalRequest) -> ApprovalView:
    demand_pending(call, row)
    vote = vote_by(call.account, call.principal.kind, call.principal.id)
    if vote is None or not any(may_fill(guard.quorum, vote) for guard in guards_needed(row)):
        raise AccessDenied("not-a-reviewer", "You are no reviewer of this request")
    row.status, row.decided_at, row.due_at = ApprovalStatus.DENIED, call.now, None
    row.denier_kind, row.denier_id, row.denial_reason = call.principal.kind, call.principal.id, command.reason
    row.save()
    notices.announce(row, ApprovalEvent.DENIED)
    return _view(row, whole=_is_own(call, row), lenient=True)


def demand_pending(call: Call, row: ApprovalRequest) -> None:
    if row.status != ApprovalStatus.PENDING:
        raise Conflict("approval-ended", f"The request has ended: it is {row.status}")
    if row.expires_at <= call.now:
        raise Conflict("approval-expired", approving.EXPIRED)


# -- taken back, and read ------------------------------------------------------------------------------------------


def delete_approval(call: Call, _command: DeleteApproval, row: ApprovalRequest) -> None:
    _demand_own(call, row, "takes it back")
    call.details["kind"] = row.action
    row.delete()


def get_approval_result(call: Call, _command: GetApprovalResult, row: ApprovalRequest) -> Rendered:
    """As the call itself would have been answered, to who would have been."""
    _demand_own(call, row, "reads what came of it")
    if row.status == ApprovalStatus.PENDING:
        _demand_unexpired(call, row)
        raise Conflict("approval-pending", "The request has not been decided yet")
    result = approving.result_of(row)
    if result is None or row.expires_at <= call.now:
        raise Conflict("no-result", f"There is no result to read: the request is {row.status}, or its time is over")
    if not result.says_nothing and row.status == ApprovalStatus.APPROVED and _is_checked(call):
        _demand_right(call, row)
    row.result_viewed = True
    row.save(update_fields=["result_viewed"])
    call.details["kind"] = row.action
    return result


def _demand_unexpired(call: Call, row: ApprovalRequest) -> None:
    if row.expires_at <= call.now:
        raise Conflict("approval-expired", approving.EXPIRED)


def _is_checked(call: Call) -> bool:
    return AccountPolicy.objects.filter(account_id=call.account, check_results=True).exists()


def _demand_right(call: Call, row: ApprovalRequest) -> None:
    """Whoever has lost the right to the call meanwhile has lost its result. The quorum has spoken, and is not asked."""
    assert call.rehearse is not None  # the executor's, in every call
    call.rehearse(wire().command(approving.opened(row), call.principal))


def _demand_own(call: Call, row: ApprovalRequest, does: str) -> None:
    if not _is_own(call, row):
        raise AccessDenied("not-the-requester", f"Only who asked for an approval {does}")


def _is_own(call: Call, row: ApprovalRequest) -> bool:
    return (row.requester_kind, row.requester_id) == (call.principal.kind, call.principal.id)


def _own(principal: Principal) -> Q:
    return Q(requester_kind=principal.kind, requester_id=principal.id)


# -- resolution ----------------------------------------------------------------------------------------------------


def _resolve_new(call: Call, _command: RequestApproval) -> Sequence[Resolved]:
    return (Resolved(Permission.APPROVAL_REQUEST, Target("account", call.account, call.account)),)


def _resolve_list(call: Call, _command: ListApprovals) -> Sequence[Resolved]:
    return (Resolved(Permission.LIST_VISIBLE, Target("listing", account=call.account)),)


def _resolve(permission: Permission, *, lock: bool = False) -> Any:
    def resolve(call: Call, command: Any) -> Sequence[Resolved]:
        row = reviewing.found(call, command.request, lock=lock)
        return (Resolved(permission, reviewing.target_of(row), row),)

    return resolve


def _admit(principal: Principal, command: GiveApproval, context: CallContext) -> None:
    vote_proofs.admit(principal, command.proof, context)


def _describe_new(command: RequestApproval) -> Mapping[str, Detail]:
    return {"route": command.form.route}


def _describe(command: Any) -> Mapping[str, Detail]:
    return {"approval": str(command.request)}


_ask, _vote = Permission.APPROVAL_REQUEST, Permission.APPROVAL_VOTE
_operation = control(Category.ADMINISTRATIVE)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(RequestApproval, "approval.request", _resolve_new, request_approval, describe=_describe_new),
    _operation(ListApprovals, "approval.list", _resolve_list, list_approvals),
    _operation(GetApproval, "approval.get", _resolve(_ask), get_approval, describe=_describe),
    _operation(
        GiveApproval,
        "approval.approve",
        _resolve(_vote, lock=True),
        give_approval,
        describe=_describe,
        admit=_admit,
        on_self=True,
        afterwards=carry_out_when_approved,
    ),
    _operation(DenyApproval, "approval.deny", _resolve(_vote, lock=True), deny_approval, describe=_describe),
    _operation(
        DeleteApproval,
        "approval.delete",
        _resolve(_ask, lock=True),
        delete_approval,
        describe=_describe,
        irreversible=True,
    ),
    _operation(
        GetApprovalResult, "approval.result", _resolve(_ask, lock=True), get_approval_result, describe=_describe
    ),
)
