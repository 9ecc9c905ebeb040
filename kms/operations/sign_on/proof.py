"""What a login method hands over: who it is, proven how. It must not know sessions, the wire or HTTP."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from accounts.errors import NotAuthenticated
from accounts.principal import Principal
from kms.audit.entry import CallContext
from kms.operations.command import Call
from policies.facts import known_of


@dataclass(frozen=True, slots=True)
class Method:
    """A way to log in. ``prove`` takes the call and the credential; it raises NotAuthenticated, or says who it is.

    The principal that it gives carries everything the session will: account, method, provider, certificate, and in
    ``expires_at`` the end of the proof, if it has one. ``admit`` runs first, outside the transaction (throttling).
    ``named`` is the name that was tried, for the record: it is not a secret.
    """

    credential: type
    prove: Callable[[Call, Any], Principal]
    named: Callable[[Any], str]
    admit: Callable[[Any, CallContext], None] = lambda _credential, _context: None


def refuse_disabled_app(principal: Principal) -> None:
    """Its calls would be refused one by one; saying so at login is kinder."""
    forbids = known_of(principal).facts.forbids
    if forbids:
        raise NotAuthenticated(forbids[0].code, forbids[0].message)
