"""Sessions: issue, extend, end. It decides nothing; callers have been authenticated and authorised before."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Any

from accounts.credentials import TOKEN_BYTES, digest
from accounts.models import Session
from accounts.principal import AuthenticationMethod, Principal, PrincipalKind

USER_SESSION = timedelta(hours=24)
APP_SESSION = timedelta(hours=24)


def lifetime(kind: PrincipalKind) -> timedelta:
    return APP_SESSION if kind is PrincipalKind.APP else USER_SESSION


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

    It carries the principal's provider and certificate, and what else of a session it continues (``carried``). It ends
    no later than the proof it came from.
    """
    token = secrets.token_urlsafe(TOKEN_BYTES)
    is_app = principal.kind is PrincipalKind.APP
    session = Session.objects.create(
        token_digest=digest(token),
        app_id=principal.id if is_app else None,
        user_id=None if is_app else principal.id,
        account_id=principal.account,
        method=method,
        authenticated_at=proven_at,
        expires_at=min(now + lifetime(principal.kind), principal.expires_at or datetime.max.replace(tzinfo=now.tzinfo)),
        provider_id=principal.provider,
        certificate=principal.certificate,
        created_at=now,
        client_ip=client_ip,
        **carried,
    )
    return session, token


def extend(session: Session, now: datetime) -> None:
    session.expires_at = now + (APP_SESSION if session.app_id else USER_SESSION)
    session.save(update_fields=["expires_at"])


def terminate(session: Session, now: datetime) -> None:
    session.terminated_at = now
    session.save(update_fields=["terminated_at"])
