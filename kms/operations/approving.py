"""How a call that was approved is kept, and carried out once: as its requester, with everything judged anew.

It is carried out by whoever gave the last vote, or by the keeper when that process died first. A row lock and the row's
status let it happen once. It must not know the wire or HTTP.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Q

from accounts import row_seals
from accounts.clock import clock
from accounts.principal import AuthenticationMethod, Principal, PrincipalKind
from kms.audit import log
from kms.audit.entry import AuditEntry, CallContext, Category, Detail, Outcome, of_the_server
from kms.audit.errors import RecordUnavailable
from kms.hsm.errors import BlobRejected, ModuleSealed, ModuleUnavailable
from kms.objects import keystore
from kms.objects.binding import canonical, secret_binding
from kms.operations import notices
from kms.operations.command import Call, CarryOut
from kms.operations.errors import ApprovalRequired, CarriedOut, Conflict, OperationError, TooBusy
from kms.operations.wire_form import Rendered, WireForm, wire
from policies.decision import Target
from policies.facts import read_versions
from policies.models import AccountPolicy, ApprovalEvent, ApprovalRequest, ApprovalStatus
from policies.quorum import Approved
from policies.reviewers import approved_so_far, subjects_behind

logger = logging.getLogger(__name__)

EXPIRED = "The request for approval has expired"
CHANGED = "What the approved call acts on has changed since it was asked for; ask again"
# Things whose version moves when they are changed, and at no other time: a person's moves when they log in.
_STEADY = frozenset({"object", "group", "app"})
# What passes: the call is tried again, and nothing was decided.
_PASSING = (RecordUnavailable, TooBusy, ModuleUnavailable, ModuleSealed, OperationalError, InterfaceError)
RETRY_AFTER = timedelta(minutes=1)
AT_ONCE = 100
# Any number will do that no other lock of two numbers takes: one request is carried out by one process at a time.
_CARRYING_OUT = 768_285


# -- what is kept --------------------------------------------------------------------------------------------------


def seen(targets: Sequence[Target]) -> list[dict[str, Any]]:
    """Targets as the row keeps them, each with the version it has now."""
    named = {target.id: target for target in targets if target.id is not None}
    versions = read_versions(named)
    return [{"kind": one.kind, "id": str(key), "version": versions[key]} for key, one in named.items()]


def digest_of(row: ApprovalRequest, form: WireForm) -> bytes:
    """SHA-256 over all that says what is asked, by whom and until when. Approvals are given to this.

    The list is part of what is stored: another order, or another field, is another domain.
    """
    parts = [
        "keystead approval v1",
        row.id,
        row.account_id,
        row.requester_kind,
        row.requester_id,
        row.requester_method,
        row.requester_provider or "",
        row.client_ip or "",
        form.method,
        form.operation,
        row.description,
        row.action,
        row.expires_at.isoformat(),
        *(f"{target['kind']} {target['id']} {target['version']}" for target in row.targets),
    ]
    return hashlib.sha256(canonical([*(str(part).encode() for part in parts), form.body.reveal()])).digest()


def keep(row: ApprovalRequest, form: WireForm) -> None:
    """The call goes into the row, its body sealed: with another digest, or in another row, it does not open."""
    row.method, row.operation, row.digest = form.method, form.operation, digest_of(row, form)
    row.body_sealed = keystore.seal(form.body, binding=_binding_of_body(row))


def opened(row: ApprovalRequest) -> WireForm:
    """The call as it was asked for, or BlobRejected when the row does not say that any more."""
    body = keystore.unseal(bytes(row.body_sealed), binding=_binding_of_body(row))
    form = WireForm(row.method, row.operation, body)
    if not hmac.compare_digest(digest_of(row, form), bytes(row.digest)):
        raise BlobRejected("a request for approval does not match its digest")
    return form


def result_of(row: ApprovalRequest) -> Rendered | None:
    if row.result_status is None or row.result_sealed is None:
        return None
    return Rendered(row.result_status, keystore.unseal(bytes(row.result_sealed), binding=_binding_of_result(row)))


def requester_of(row: ApprovalRequest) -> Principal:
    """Who asked, as they were known then. There is no session: it may have ended since, and need not last."""
    return Principal(
        PrincipalKind(row.requester_kind),
        row.requester_id,
        row.account_id,
        AuthenticationMethod(row.requester_method),
        provider=row.requester_provider,
    )


def _binding_of_body(row: ApprovalRequest) -> bytes:
    return canonical([secret_binding(keystore.deployment_id(), "approval-body", row.id, 1), bytes(row.digest)])


def _binding_of_result(row: ApprovalRequest) -> bytes:
    return secret_binding(keystore.deployment_id(), "approval-result", row.id, 1)


def _end(row: ApprovalRequest, status: ApprovalStatus, result: Rendered, now: datetime) -> None:
    row.status, row.decided_at, row.due_at = status, now, None
    row.result_status = result.status
    row.result_sealed = keystore.seal(result.body, binding=_binding_of_result(row))
    row.save()
    notices.announce(row, ApprovalEvent(status.value))


# -- carried out ---------------------------------------------------------------------------------------------------


class _Once:
    """The ceremony: it begins with the row's lock, and only for a request that nobody has carried out."""

    def __init__(self, request: UUID, form: WireForm) -> None:
        self._request = request
        self._form = form
        self._held: frozenset[UUID] = frozenset()

    def subjects(self) -> Sequence[UUID]:
        """Others wait here, where they hold nothing that this call is going to change."""
        with connection.cursor() as cursor:
            key = int.from_bytes(self._request.bytes[:4], "big", signed=True)
            cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_CARRYING_OUT, key])
        row = ApprovalRequest.objects.filter(id=self._request, status=ApprovalStatus.PENDING).first()
        if row is None:
            raise CarriedOut
        held = [*subjects_behind(row, row.approvals.all()), *_steady(row)]
        self._held = frozenset(held)
        return held

    def open(self, call: Call) -> Approved:
        """Who voted after the versions were held is not counted: nothing holds off their being disabled."""
        row = _locked(self._request)
        if row is None:
            raise CarriedOut
        call.details["approval"] = str(row.id)
        call.details["approvers"] = _approvers(row)
        if row.expires_at <= call.now:
            raise Conflict("approval-expired", EXPIRED)
        if not hmac.compare_digest(digest_of(row, self._form), bytes(row.digest)):
            raise BlobRejected("a request for approval does not match its digest")
        if read_versions(_steady(row)) != _steady(row):
            raise Conflict("target-changed", CHANGED)
        self._row = row
        return approved_so_far(row, self._held)

    def close(self, call: Call, result: Any) -> None:
        _end(self._row, ApprovalStatus.APPROVED, wire().result(self._form, result), call.now)


def carry_out(run: CarryOut, request: UUID) -> None:
    """Do what was approved, if that is still to be done. It never raises what the call ended in: that is its result."""
    row = ApprovalRequest.objects.filter(id=request, status=ApprovalStatus.PENDING, due_at__isnull=False).first()
    if row is None:
        return
    try:
        form, principal = opened(row), requester_of(row)
        command = wire().command(form, principal)
        run(principal, command, context=CallContext(row.client_ip, row.id), ceremony=_Once(row.id, form))
    except CarriedOut:
        return
    except ApprovalRequired as lacking:
        _wait_for(request, lacking.policies)
    except _PASSING as error:
        logger.warning("the approved call %s could not be carried out yet: %s", request, error)
        _put_off(request)
    except Exception as error:
        _fail(request, error)


def carry_out_due(run: CarryOut, now: datetime) -> int:
    """For the keeper: whatever nobody has carried out. Returns how many were tried."""
    due = ApprovalRequest.objects.filter(status=ApprovalStatus.PENDING, due_at__lte=now).order_by("due_at")
    requests = list(due.values_list("id", flat=True)[:AT_ONCE])
    for request in requests:
        try:
            carry_out(run, request)
        except Exception:
            # One that fails, for whatever reason, holds up no other.
            logger.exception("the approved call %s could not be ended", request)
            _put_off(request)
    return len(requests)


def _locked(request: UUID) -> ApprovalRequest | None:
    """One that has not ended, held until the transaction does."""
    rows = ApprovalRequest.objects.select_for_update()
    return rows.filter(id=request, status=ApprovalStatus.PENDING).first()


def _steady(row: ApprovalRequest) -> dict[UUID, int]:
    return {UUID(each["id"]): each["version"] for each in row.targets if each["kind"] in _STEADY}


def _approvers(row: ApprovalRequest) -> str:
    given = row.approvals.order_by("created_at").values_list("reviewer_kind", "reviewer_id")
    return ", ".join(f"{kind} {reviewer}" for kind, reviewer in given)


def _wait_for(request: UUID, policies: Sequence[UUID]) -> None:
    """An approval does not count any more, or another quorum is asked: its reviewers have to see the request too."""
    with transaction.atomic():
        row = _locked(request)
        if row is not None:
            row.due_at, row.policies = None, sorted({*row.policies, *policies})
            row.save(update_fields=["due_at", "policies"])


def _put_off(request: UUID) -> None:
    waiting = ApprovalRequest.objects.filter(id=request, status=ApprovalStatus.PENDING)
    waiting.update(due_at=clock.now() + RETRY_AFTER)


def _fail(request: UUID, error: Exception) -> None:
    """Approved, and it could not be done: how it ended is what the requester reads."""
    now = clock.now()
    with transaction.atomic():
        row = _locked(request)
        if row is None:
            return
        _end(row, ApprovalStatus.FAILED, wire().error(error), now)
        reason = error.reason if isinstance(error, OperationError) else "not-carried-out"
        log.append(_entry(row, "approval.fail", Outcome.FAILED, reason))


# -- over ----------------------------------------------------------------------------------------------------------


def tidy(now: datetime) -> int:
    """Requests past their time go, answered or not, with their results; what an account wants to keep or know, it does.

    Each is judged at use as well, so nothing depends on when this runs. Returns how many were looked at.
    """
    kept = Q(account__policy__retain_expired=True, result_sealed__isnull=True) & ~Q(status=ApprovalStatus.PENDING)
    over = ApprovalRequest.objects.filter(expires_at__lte=now).exclude(kept).order_by("expires_at")
    requests = list(over.values_list("id", flat=True)[:AT_ONCE])
    for request in requests:
        with transaction.atomic():
            row = ApprovalRequest.objects.select_for_update(skip_locked=True).filter(id=request).first()
            if row is not None:
                _put_away(row, now)
    return len(requests)


def _put_away(row: ApprovalRequest, now: datetime) -> None:
    policy = AccountPolicy.objects.filter(account_id=row.account_id).first()
    unanswered = row.status == ApprovalStatus.PENDING
    if unanswered and policy is not None and policy.log_expired:
        log.append(_entry(row, "approval.expire", Outcome.DONE, "expired"))
    if policy is None or not policy.retain_expired:
        identity = row.id
        row.delete()
        row_seals.forget([identity])
        return
    if unanswered:
        row.status, row.decided_at, row.due_at, row.denial_reason = ApprovalStatus.FAILED, now, None, EXPIRED
    row.result_sealed = None
    row.save()


def _entry(row: ApprovalRequest, action: str, outcome: Outcome, reason: str) -> AuditEntry:
    """The server's own, about a request."""
    return of_the_server(
        action,
        outcome,
        reason,
        category=Category.ADMINISTRATIVE,
        account=row.account_id,
        object_kind="approval",
        object_id=row.id,
        groups=tuple(row.groups),
        request_id=row.id,
        details=_details(row),
    )


def _details(row: ApprovalRequest) -> Mapping[str, Detail]:
    return {"kind": row.action, "approval": str(row.id)}
