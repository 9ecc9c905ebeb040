"""Whether a session may be used here and now: not left lying, and over the connection it is bound to.

Asked in every call, on both planes, by the executor; the edge asks for the certificate before it reads on. Idle is
judged at use, with the database's clock. A process that has not seen a session for a while asks the database before it
says so: another may have served it a moment ago. It must not know the wire or HTTP.
"""

from __future__ import annotations

import hmac
from datetime import datetime
from uuid import UUID

from accounts.activity import activities, last_seen
from accounts.models import Session
from accounts.principal import Principal, PrincipalKind
from accounts.sessions import idle_time
from kms.audit.entry import CallContext
from kms.operations.caches import NotCached
from policies.decision import Forbid

IDLE = Forbid("session-idle", "The session was not used for too long; log in again")
UNBOUND = Forbid("certificate-mismatch", "The session is bound to a client certificate; connect with it")


def forbids(principal: Principal, context: CallContext, now: datetime, *, load: bool) -> tuple[Forbid, ...]:
    """Empty when nothing stands against it, which is noted as a use. ``load``: the database may be asked."""
    if principal.certificate is not None and not certificate_fits(principal, context):
        return (UNBOUND,)
    if principal.session is not None:
        if _lay_idle(principal, principal.session, now, load=load):
            return (IDLE,)
        activities.note(principal.session, now, context.client_ip)
    if principal.kind is PrincipalKind.APP or principal.kind is PrincipalKind.USER:
        activities.note(principal.id, now, context.client_ip)
    return ()


def certificate_fits(principal: Principal, context: CallContext) -> bool:
    """Whoever has only the token of a bound session has nothing (RFC 8705 §3 does the same for OAuth)."""
    if principal.certificate is None:
        return True
    shown = context.certificate
    return shown is not None and hmac.compare_digest(shown.thumbprint, principal.certificate)


def _lay_idle(principal: Principal, session: UUID, now: datetime, *, load: bool) -> bool:
    """Persons leave sessions open; an app's is its own to keep."""
    if principal.kind is not PrincipalKind.USER:
        return False
    seen = activities.seen(session)
    if seen is not None and now - seen < idle_time():
        return False
    if not load:
        raise NotCached
    return now - (_last_use(session) or now) >= idle_time()


def _last_use(session: UUID) -> datetime | None:
    """Its beginning, until somebody notes a use. None when it is gone, which others refuse."""
    began = Session.objects.filter(id=session).values_list("created_at", flat=True).first()
    return None if began is None else max(began, last_seen([session]).get(session, began))
