"""The corridor: every call that touches a key, a role, a credential or the log passes here, whichever edge it came by.

    resolve -> decide -> handle -> record        done | denied | pending | failed: one entry each. No record, no answer.

Two planes carry it out. The data plane decides on cached facts and hands its entry, with the versions it rested on, to
the group commit; a moved version sends the call back to decide on fresh facts. The control plane does everything in one
transaction that share-locks the same versions (docs/security-flow.md). It must not know the wire or HTTP.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    close_old_connections,
    transaction,
)

from accounts.clock import clock
from accounts.errors import NotAuthenticated
from accounts.principal import ANONYMOUS, Principal
from accounts.row_seals import RowsForged
from kms.audit import log
from kms.audit.entry import AuditEntry, CallContext, Category, Outcome
from kms.audit.errors import RecordUnavailable
from kms.audit.folding import foldable
from kms.audit.log import Verdict, group_commit
from kms.audit.trust import trust
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.hsm.errors import (
    BlobRejected,
    DataRejected,
    MechanismRefused,
    ModuleSealed,
    ModuleUnavailable,
)
from kms.operations import presence
from kms.operations.authority import Authority
from kms.operations.caches import NotCached, caches
from kms.operations.command import Call, Ceremony, Command, Operation, Plane, Rehearsed, Resolved
from kms.operations.errors import (
    AccessDenied,
    ApprovalRequired,
    CarriedOut,
    Conflict,
    CredentialStale,
    NotFound,
    OperationError,
    TooBusy,
    TooManyAttempts,
)
from kms.operations.registry import operation_of
from policies import versions as fact_versions
from policies.decision import Facts
from policies.demand_rows import Versions
from policies.facts import Known, known_of, subjects_of

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 5

T = TypeVar("T")

_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (ParameterInvalid, "parameter-invalid"),
    (AlgorithmUnsupported, "algorithm-unsupported"),
    (DataRejected, "data-rejected"),
    (MechanismRefused, "mechanism-refused"),
    (BlobRejected, "integrity-failure"),
    (RowsForged, RowsForged.reason),
    (ModuleSealed, "module-sealed"),
    (ModuleUnavailable, "module-unavailable"),
)


@dataclass(slots=True)
class _Ending:
    """A call that has run: its result or its error, the entry to record and the versions it rested on."""

    entry: AuditEntry
    versions: Mapping[UUID, int]
    result: Any = None
    error: Exception | None = None

    def answer(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.result


def execute(principal: Principal, command: Command, *, context: CallContext | None = None) -> Any:
    """Carry out a command for a principal and return its result, recorded. Raises what the ending was."""
    trust.demand()
    operation = operation_of(command)
    context = context or CallContext()
    if operation.plane is Plane.CONTROL:
        result = _execute_control(principal, command, operation, context)
        return result if operation.afterwards is None else operation.afterwards(execute_approved, command, result)
    for _ in range(MAX_ATTEMPTS):
        ending = _attempt(principal, command, operation, context, load=True)
        if group_commit().submit(ending.entry, ending.versions) is Verdict.COMMITTED:
            return ending.answer()
        caches.forget(principal, ending.versions)
    group_commit().submit(_given_up(ending.entry), {})
    raise TooBusy


def execute_approved(principal: Principal, command: Command, *, context: CallContext, ceremony: Ceremony) -> Any:
    """Carry out what a quorum has approved, as its requester. Whatever its plane: in one transaction, with its end.

    Everything is judged now: the requester's rights, the targets, the quorums, and who approved.
    """
    trust.demand()
    return _execute_control(principal, command, operation_of(command), context, ceremony)


async def execute_async(principal: Principal, command: Command, *, context: CallContext) -> Any:
    """``execute`` for the event loop: on a cache hit nothing blocks it but the token's microseconds."""
    trust.demand()
    operation = operation_of(command)
    if operation.plane is Plane.CONTROL:
        return await off_loop(execute, principal, command, context=context)
    for _ in range(MAX_ATTEMPTS):
        ending = await _attempt_async(principal, command, operation, context)
        if await group_commit().submit_async(ending.entry, ending.versions) is Verdict.COMMITTED:
            return ending.answer()
        caches.forget(principal, ending.versions)
    await group_commit().submit_async(_given_up(ending.entry), {})
    raise TooBusy


def _given_up(entry: AuditEntry) -> AuditEntry:
    """The entry of a call under which the facts kept changing: it rests on none of them, and nothing was answered."""
    return replace(entry, outcome=Outcome.FAILED, reason="too-busy")


def record_rejection(error: NotAuthenticated, context: CallContext, route: str) -> None:
    """A credential that was not recognised never becomes a call; it is recorded all the same."""
    entry = AuditEntry(
        action="session.authenticate",
        category=Category.AUTHENTICATION,
        outcome=Outcome.DENIED,
        reason=error.reason,
        actor_kind=ANONYMOUS.kind,
        actor_id=ANONYMOUS.id,
        method=ANONYMOUS.method,
        client_ip=context.client_ip,
        request_id=context.request_id,
        details={"route": route},
    )
    group_commit().submit(entry, {})


# -- the data plane ------------------------------------------------------------------------------------------------


async def _attempt_async(
    principal: Principal, command: Command, operation: Operation[Any], context: CallContext
) -> _Ending:
    if not operation.slow(command) and clock.fresh():
        try:
            return _attempt(principal, command, operation, context, load=False)
        except NotCached:
            pass
    return await off_loop(_attempt, principal, command, operation, context, load=True)


async def off_loop(work: Callable[..., T], *arguments: Any, **options: Any) -> T:
    """Run blocking work in a thread and give its database connection back, which Django does for its requests only."""

    def run() -> T:
        try:
            return work(*arguments, **options)
        finally:
            close_old_connections()

    return await asyncio.to_thread(run)


def _attempt(
    principal: Principal, command: Command, operation: Operation[Any], context: CallContext, *, load: bool
) -> _Ending:
    started = time.perf_counter_ns()
    known = caches.known(principal, load=load)
    _check_proof(principal, known)
    authority = Authority(load=load)
    call = _call(principal, context, known, authority)
    call.facts = _present(call, load=load)
    result, error = None, None
    try:
        result = _run(call, command, operation)
    except NotCached:
        raise
    except Exception as raised:
        error = raised
    entry = _entry(call, command, operation, error, started)
    return _Ending(entry, {**known.versions, **authority.versions}, result, error)


# -- the control plane ---------------------------------------------------------------------------------------------


def _execute_control(
    principal: Principal,
    command: Command,
    operation: Operation[Any],
    context: CallContext,
    ceremony: Ceremony | None = None,
) -> Any:
    """One transaction: versions locked, facts read, decided, done, recorded. A deadlock is tried again."""
    _admit(principal, command, operation, context)
    if operation.irreversible:
        _announce(principal, command, operation, context)
    for attempt in range(MAX_ATTEMPTS):
        try:
            return _control_attempt(principal, command, operation, context, ceremony)
        except OperationalError as error:
            if not fact_versions.is_lock_conflict(error):
                raise RecordUnavailable("the database is not available") from error
            if attempt == MAX_ATTEMPTS - 1:
                raise TooBusy from error
    raise TooBusy


def _admit(principal: Principal, command: Command, operation: Operation[Any], context: CallContext) -> None:
    started = time.perf_counter_ns()
    try:
        operation.admit(principal, command, context)
    except OperationalError as error:
        raise RecordUnavailable("the database is not available") from error
    except (OperationError, NotAuthenticated) as refused:
        call = _call(principal, context, Known(Facts(), {}), Authority(load=True))
        _record_apart(_entry(call, command, operation, refused, started))
        raise


def _control_attempt(
    principal: Principal,
    command: Command,
    operation: Operation[Any],
    context: CallContext,
    ceremony: Ceremony | None,
) -> Any:
    started = time.perf_counter_ns()
    call = _call(principal, context, Known(Facts(), {}), Authority(load=True, locked=True))
    try:
        with transaction.atomic():
            known = known_of(principal, _hold(principal, operation, ceremony))
            _check_proof(principal, known)
            caches.keep(principal, known)
            call.facts = known.seen_from(context.client_ip)
            call.facts = _present(call, load=True)
            call.approved = None if ceremony is None else ceremony.open(call)
            result = _run(call, command, operation)
            if ceremony is not None:
                ceremony.close(call, result)
            log.append(_entry(call, command, operation, None, started))
        return result
    except (CredentialStale, CarriedOut, OperationalError):
        raise
    except Exception as raised:
        error = _domain_error(raised)
        _record_apart(_entry(call, command, operation, error, started))
        if error is raised:
            raise
        raise error from raised


def _hold(principal: Principal, operation: Operation[Any], ceremony: Ceremony | None) -> Versions:
    """The versions of what the call rests on, held until the transaction ends."""
    if operation.on_self and ceremony is None:
        return fact_versions.own_lock(principal)
    more = () if ceremony is None else ceremony.subjects()
    fact_versions.enter(principal)
    own = subjects_of(principal)
    held = fact_versions.share_lock_subjects([*own, *more])
    return {subject: held[subject] for subject in own}


def _domain_error(raised: Exception) -> Exception:
    """What the database refused of a caller's values, or of a change that met another, said as such."""
    if isinstance(raised, DataError):
        return ParameterInvalid("A value is too long, too large or cannot be stored")
    if isinstance(raised, IntegrityError):
        return Conflict("concurrent-change", "The request conflicts with another change; look again and retry")
    return raised


def _record_apart(entry: AuditEntry) -> None:
    """In a transaction of its own: before the call's begins, or after it was rolled back. Strangers' share one."""
    if foldable(entry):
        group_commit().submit(entry, {})
        return
    try:
        log.append(entry)
    except (DatabaseError, InterfaceError) as error:
        raise RecordUnavailable("the audit log could not be written") from error


def _announce(principal: Principal, command: Command, operation: Operation[Any], context: CallContext) -> None:
    """What cannot be undone leaves a trace even when the server dies in the middle of it."""
    _record_apart(
        AuditEntry(
            action=operation.action,
            category=operation.category,
            outcome=Outcome.ANNOUNCED,
            reason="irreversible",
            actor_kind=principal.kind,
            actor_id=principal.id,
            method=principal.method,
            account=principal.account,
            session=principal.session,
            client_ip=context.client_ip,
            request_id=context.request_id,
            details=dict(operation.describe(command)),
        )
    )


# -- both ----------------------------------------------------------------------------------------------------------


def _check_proof(principal: Principal, known: Known) -> None:
    """A credential that was checked against an older row is checked again before it counts."""
    if principal.proof_version is not None and known.versions.get(principal.proof_subject) != principal.proof_version:
        caches.forget(principal, ())
        raise CredentialStale


def _call(principal: Principal, context: CallContext, known: Known, authority: Authority) -> Call:
    return Call(principal, context, clock.now(), known.seen_from(context.client_ip), authority)


def _present(call: Call, *, load: bool) -> Facts:
    """The facts, with what forbids this session to be used here and now. Whoever may do nothing was not here."""
    if call.facts.forbids:
        return call.facts
    forbids = presence.forbids(call.principal, call.context, call.now, load=load)
    return replace(call.facts, forbids=forbids) if forbids else call.facts


def _run(call: Call, command: Command, operation: Operation[Any]) -> Any:
    """Every target is granted before the handler sees any of them."""
    call.rehearse = partial(_rehearse, call)
    resolved = operation.resolve(call, command)
    unmet = _authorise(call, resolved)
    if unmet:
        raise ApprovalRequired("approval-needed", unmet)
    return operation.handle(call, command, *(each.payload for each in resolved))


def _authorise(call: Call, resolved: Sequence[Resolved]) -> tuple[UUID, ...]:
    """Grant every target or raise; return whose quorums are not met, when that is all that is missing."""
    unmet: set[UUID] = set()
    for each in resolved:
        try:
            call.authority.authorise(call, each)
        except ApprovalRequired as required:
            unmet.update(required.policies)
    return tuple(sorted(unmet))


def _rehearse(call: Call, command: Command) -> Rehearsed:
    """Decide another command on the same facts. It leaves no trace in the call but the versions it rested on."""
    operation = operation_of(command)
    apart = replace(call, grants=[], details={}, touched=[], rehearse=None)
    resolved = operation.resolve(apart, command)
    unmet = _authorise(apart, resolved)
    return Rehearsed(operation, tuple(each.target for each in resolved), unmet)


def _entry(
    call: Call, command: Command, operation: Operation[Any], error: Exception | None, started: int
) -> AuditEntry:
    """Whoever has no account yet (a login, a choice of account) is recorded in the one that the call was about."""
    outcome, reason = _outcome(call, error)
    target = call.touched[0] if call.touched else None
    principal = call.principal
    return AuditEntry(
        action=operation.action,
        category=operation.category,
        outcome=outcome,
        reason=reason,
        actor_kind=principal.kind,
        actor_id=principal.id,
        method=principal.method,
        account=principal.account or (target.account if target else None),
        session=principal.session,
        object_kind=target.kind if target else "",
        object_id=target.id if target else None,
        groups=target.groups if target else (),
        client_ip=call.context.client_ip,
        request_id=call.context.request_id,
        duration_us=(time.perf_counter_ns() - started) // 1000,
        details={**operation.describe(command), **call.details},
    )


def _outcome(call: Call, error: Exception | None) -> tuple[Outcome, str]:
    if error is None:
        return Outcome.DONE, call.grants[0].reason if call.grants else "granted"
    if isinstance(error, AccessDenied | NotFound | NotAuthenticated | TooManyAttempts):
        return Outcome.DENIED, error.reason
    if isinstance(error, ApprovalRequired):
        return Outcome.PENDING, error.reason
    if isinstance(error, OperationError):
        return Outcome.FAILED, error.reason
    for kind, reason in _REASONS:
        if isinstance(error, kind):
            return Outcome.FAILED, reason
    logger.error("unexpected %s in %s", type(error).__name__, call.touched, exc_info=error)
    return Outcome.FAILED, "internal-error"
