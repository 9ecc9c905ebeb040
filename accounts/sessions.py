"""Sessions: issue, extend, end, tidy away. It decides nothing; callers have been authenticated and authorised before.

A session ends at its hour whether it is used or not, and a user's also when it is not used for a while. Both are judged
at every call (``accounts.credentials``, ``kms.operations.presence``); tidying only keeps the table small.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Exists, Max, OuterRef, Q, QuerySet

from accounts import row_seals
from accounts.credentials import TOKEN_BYTES, digest
from accounts.models import Activity, App, Session, User
from accounts.principal import AuthenticationMethod, Principal, PrincipalKind
from accounts.throttle import LATELY

# Ended sessions of users say from where they got in (accounts.throttle); nobody asks that of an app.
KEEP_USERS, KEEP_APPS = LATELY, timedelta(days=1)
_AT_ONCE = 5000


def lifetime() -> timedelta:
    return timedelta(seconds=settings.KEYSTEAD.session_seconds)


def idle_time() -> timedelta:
    return timedelta(seconds=settings.KEYSTEAD.session_idle_seconds)


def issue(
    principal: Principal,
    method: AuthenticationMethod,
    now: datetime,
    proven_at: datetime,
    *,
    client_ip: str | None = None,
    **carried: Any,
) -> tuple[Session, str]:
    """A new session and its bearer token, which is shown once and kept as a digest.

    It carries the principal's provider, certificate and cluster, and what else of a session it continues
    (``carried``). It ends no later than the proof it came from (``principal.expires_at``), and a person's proof is good
    for the length of one session: an app can show its own again at any time, a stolen session must end.
    """
    token = secrets.token_urlsafe(TOKEN_BYTES)
    is_app, opened_by = principal.kind is PrincipalKind.APP, principal.opened_by
    proof_ends_at = _end_of_proof(principal, proven_at)
    session = Session.objects.create(
        token_digest=digest(token),
        app_id=principal.id if is_app else None,
        user_id=None if is_app else principal.id,
        account_id=principal.account,
        method=method,
        authenticated_at=proven_at,
        expires_at=_end(now, proof_ends_at),
        proof_ends_at=proof_ends_at,
        provider_id=principal.provider,
        certificate=principal.certificate,
        cluster=None if opened_by is None else opened_by.cluster,
        binding=None if opened_by is None else opened_by.binding,
        cluster_trust=None if opened_by is None else opened_by.trust_version,
        created_at=now,
        client_ip=client_ip,
        **carried,
    )
    return session, token


def _end_of_proof(principal: Principal, proven_at: datetime) -> datetime | None:
    ends = [principal.expires_at, None if principal.kind is PrincipalKind.APP else proven_at + lifetime()]
    return min((end for end in ends if end is not None), default=None)


def _end(now: datetime, proof_ends_at: datetime | None) -> datetime:
    end = now + lifetime()
    return end if proof_ends_at is None else min(end, proof_ends_at)


def extend(session: Session, now: datetime) -> None:
    """Anew from now, up to the end of the proof."""
    session.expires_at = _end(now, session.proof_ends_at)
    session.save(update_fields=["expires_at"])


def terminate(session: Session, now: datetime) -> None:
    session.terminated_at = now
    session.save(update_fields=["terminated_at"])


def living(now: datetime, **whose: Any) -> QuerySet[Session]:
    """Sessions that have neither ended nor been ended. Whether one lay idle is for ``kms.operations.presence``."""
    return Session.objects.filter(terminated_at=None, expires_at__gt=now, **whose)


def last_logins(users: Iterable[UUID], account: UUID | None) -> dict[UUID, datetime]:
    """When each of them last logged in to the account (None: and selected none); for many at once."""
    where = Q(account__isnull=True) if account is None else Q(account_id=account)
    rows = Session.objects.filter(where, user_id__in=list(users)).values("user_id")
    found = rows.annotate(latest=Max("authenticated_at"))
    return {row["user_id"]: row["latest"] for row in found.order_by()}


def tidy(now: datetime) -> int:
    """Remove sessions that ended long ago, with what was kept for them; returns how many.

    A member's latest one stays: it says when they last logged in.
    """
    over_for = Q(expires_at__lt=now - KEEP_APPS) | Q(terminated_at__lt=now - KEEP_APPS)
    over_for_users = Q(expires_at__lt=now - KEEP_USERS) | Q(created_at__lt=now - KEEP_USERS, terminated_at__lt=now)
    newer = Session.objects.filter(
        user_id=OuterRef("user_id"),
        account_id=OuterRef("account_id"),
        authenticated_at__gt=OuterRef("authenticated_at"),
    )
    passed = Q(account__isnull=True) | Exists(newer)
    rows = Session.objects.filter(Q(app__isnull=False) & over_for | Q(user__isnull=False) & passed & over_for_users)
    gone = list(rows.order_by("expires_at").values_list("id", flat=True)[:_AT_ONCE])
    Session.objects.filter(id__in=gone).delete()
    _forget(gone)
    return len(gone)


def _forget(gone: list[UUID]) -> None:
    """A subject without a version reads as gone, so nothing can rest on what is removed here."""
    row_seals.forget(gone)
    Activity.objects.filter(subject__in=gone).delete()


def tidy_activity(now: datetime) -> int:
    """Remove when they were last seen of those who are gone."""
    old = Activity.objects.filter(seen_at__lt=now - KEEP_USERS).values_list("subject", flat=True)[:_AT_ONCE]
    subjects = set(old)
    for rows in (Session.objects, User.objects, App.objects):
        subjects -= set(rows.filter(id__in=subjects).values_list("id", flat=True))
    return Activity.objects.filter(subject__in=subjects).delete()[0]
