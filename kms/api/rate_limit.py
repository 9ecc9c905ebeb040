"""How many calls an app may make, and how many wrong credentials may come from one address, in a second.

Both are asked before a body is parsed. An app without a limit costs a look into what is remembered of it. What is
carried out as several calls in one request is let through as one and counted as many: what comes next waits for it.
Strangers are counted when they fail, by the address they come from: whose credential holds is not slowed, and nobody
is kept out of anywhere by what others do elsewhere. A login is refused before its password costs anything; on other
calls a credential is looked up, and a wrong one too many is neither answered as such nor recorded one by one.
Refusals are recorded by the second (kms.operations.refusals).
"""

from __future__ import annotations

import hashlib
import math
from contextlib import suppress
from functools import cache
from uuid import UUID

from django.conf import settings

from accounts.principal import ANONYMOUS, Principal, PrincipalKind
from kms.api.gcra import Schedule
from kms.audit.entry import CallContext
from kms.operations.caches import NotCached, caches
from kms.operations.errors import TooManyAttempts
from kms.operations.refusals import refusals

# A wrong credential costs some milliseconds of the server and the database, and a line of the record
# (tests/bench/uniform): this many from one address leave most of a server to others.
STRANGERS_PER_SECOND, STRANGERS_BURST = 50, 500
_REASON, _MESSAGE = "rate-limited", "Too many calls; slow down"


@cache
def schedule() -> Schedule:
    return Schedule(settings.KEYSTEAD.data)


def limit_of(principal: Principal, *, load: bool) -> int | None:
    """Calls a second, or None. Raises NotCached when that takes the database and ``load`` is False."""
    if principal.kind is not PrincipalKind.APP:
        return None
    limit = caches.known(principal, load=load).rate_limit
    return None if limit is None else max(limit, 1)


def admit(principal: Principal, context: CallContext, limit: int, *, record: bool) -> None:
    """Count the call, or raise TooManyAttempts. A second's calls may come at once. ``record`` what is refused."""
    wait = schedule().take(principal.id, limit, limit)
    if wait > 0:
        if record:
            refusals.note(principal, context.client_ip, _REASON)
        raise _too_many(wait)


def owe(principal: Principal, count: int) -> None:
    """``count`` more calls come of one that was let in. Who calls has just been looked up, so what is known is here."""
    with suppress(NotCached):
        limit = limit_of(principal, load=False)
        if limit is not None and count > 0:
            schedule().owe(principal.id, limit, count)


def admit_stranger(context: CallContext, *, at_login: bool) -> None:
    """Raise TooManyAttempts when too many wrong credentials came from this address in the last seconds.

    Logins are counted apart: an app whose key has ended goes on knocking, and people near it must get in to mend that.
    """
    wait = schedule().early(_place(context, at_login), STRANGERS_PER_SECOND, STRANGERS_BURST)
    if wait > 0:
        refusals.note(ANONYMOUS, context.client_ip, _REASON)
        raise _too_many(wait)


def count_stranger(context: CallContext, *, at_login: bool) -> None:
    """One more wrong credential from this address."""
    schedule().owe(_place(context, at_login), STRANGERS_PER_SECOND, 1)


def _place(context: CallContext, at_login: bool) -> UUID:
    where = f"{context.client_ip or ''} {'login' if at_login else 'call'}"
    return UUID(bytes=hashlib.sha256(where.encode()).digest()[:16])


def _too_many(wait: float) -> TooManyAttempts:
    return TooManyAttempts(_REASON, math.ceil(wait), _MESSAGE)
