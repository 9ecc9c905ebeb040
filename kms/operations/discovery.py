"""How somebody may log in: asked by those who have not logged in yet. It must not know the wire or HTTP.

Whoever asks learns nothing of who exists: an address that is unknown, disabled, or known by password only, is answered
alike. An account's providers are shown to its own members, or to whoever names the account: shown to others, they would
be where people type in the password of somewhere else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

from accounts.addresses import normalised
from accounts.models import IdentityProvider, Membership, ProviderKind
from accounts.sso.kind import ProviderFailed
from kms.audit.entry import Category
from kms.operations import saml
from kms.operations.command import Call, Command, Operation, Resolved, control
from kms.operations.sign_on import by_oidc
from policies.decision import Target
from policies.permissions import Permission

logger = logging.getLogger(__name__)

# One person's accounts and their providers; the rest is found by naming the account.
MAX_WAYS = 16


@dataclass(frozen=True, slots=True)
class DiscoverSignOn(Command):
    """The ways in for an address; of one account where it is named."""

    email: str | None = None
    account: UUID | None = None


@dataclass(frozen=True, slots=True)
class SignOnWay:
    """A provider, and how to begin with it: what kind of ``start`` there is, is the kind's. A password is no way here,
    because there always is one."""

    provider: IdentityProvider
    start: Any = None


def discover_sign_on(call: Call, command: DiscoverSignOn, _payload: None) -> list[SignOnWay]:
    ways = list(_begun(_providers(command)[:MAX_WAYS], call.now))
    call.details["returned"] = len(ways)
    return ways


def _providers(command: DiscoverSignOn) -> Any:
    rows = IdentityProvider.objects.filter(enabled=True, account__enabled=True).select_related("account")
    rows = rows.order_by("created_at", "id")
    if command.account is not None:
        return rows.filter(account_id=command.account)
    return rows.filter(account_id__in=_own_accounts(command.email or ""))


def _own_accounts(email: str) -> list[UUID]:
    """Where the person chose to be. Where a provider brought them in, it is that provider's word that they want to: it
    counts for who belongs nowhere else, and not beside the accounts of others."""
    places = Membership.objects.filter(user__email=normalised(email), invitation_pending=False, enabled=True)
    found = list(places.values_list("account_id", "self_provisioned"))
    chosen = [account for account, brought in found if not brought]
    return chosen or [account for account, _ in found][:1]


def _begun(rows: Sequence[IdentityProvider], now: datetime) -> Iterator[SignOnWay]:
    """A provider that does not answer now is left out; the others, and the password, are still there."""
    for row in rows:
        try:
            yield SignOnWay(row, _BEGIN[row.kind](row, now))
        except ProviderFailed as failed:
            logger.warning("identity provider %s: %s", row.id, failed)


def _no_start(_row: IdentityProvider, _now: datetime) -> None:
    return None


_BEGIN: Mapping[str, Callable[[IdentityProvider, datetime], Any]] = MappingProxyType(
    {
        ProviderKind.OIDC: by_oidc.begin,
        ProviderKind.SAML: saml.begin,
        ProviderKind.LDAP: _no_start,
    }
)


def _resolve_server(_call: Call, _command: DiscoverSignOn) -> Sequence[Resolved]:
    return (Resolved(Permission.SESSION_CREATE, Target("server")),)


_operation = control(Category.AUTHENTICATION)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(DiscoverSignOn, "sign-on.discover", _resolve_server, discover_sign_on),
)
