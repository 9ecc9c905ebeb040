"""Rows to facts: what a principal holds, with the versions it was read at. The only reader of rights.

Versions are read before the rows they stand for, so a change in between makes the facts look old, never new.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from types import MappingProxyType
from uuid import UUID

from accounts.models import Account, App, FactVersion, GroupMembership, Membership, Session
from accounts.principal import Principal, PrincipalKind
from policies.decision import Facts, Forbid
from policies.permissions import (
    ACCOUNT_ROLES,
    APP_ADMINISTRATOR,
    APP_GRANTABLE,
    APP_MEMBER,
    GROUP_ROLES,
    SYSTEM_KEEPER,
    Permission,
    with_implied,
)

Versions = dict[UUID, int]
Network = IPv4Network | IPv6Network

_ENDED = Forbid("session-ended", "The session has ended")
_ELSEWHERE = Forbid("address-not-allowed", "The app may not call from this address")
_DISABLED = {
    "account": Forbid("account-disabled", "The account is disabled"),
    "app": Forbid("app-disabled", "The app is disabled"),
    "user": Forbid("user-disabled", "The user is disabled in this account"),
    "member": Forbid("not-a-member", "The user is not a member of the selected account"),
    "gone": Forbid("principal-gone", "The credential's owner no longer exists"),
}


@dataclass(frozen=True, slots=True)
class Known:
    """Facts and the version of every subject they were read from; networks limit where it may call from."""

    facts: Facts
    versions: Versions
    networks: tuple[Network, ...] = ()

    def seen_from(self, address: str | None) -> Facts:
        """The facts for a call from this address: outside the principal's allow-list everything is forbidden."""
        if not self.networks:
            return self.facts
        inside = address is not None and any(ip_address(address) in network for network in self.networks)
        return self.facts if inside else replace(self.facts, forbids=(*self.facts.forbids, _ELSEWHERE))


def read_versions(subjects: Iterable[UUID]) -> Versions:
    """The current version of each subject; a subject that is gone reads as 0, which no row ever has."""
    wanted = list(subjects)
    found = dict(FactVersion.objects.filter(subject__in=wanted).values_list("subject", "version"))
    return {subject: found.get(subject, 0) for subject in wanted}


def subjects_of(principal: Principal) -> list[UUID]:
    """Everything whose change can change what this principal may do."""
    return [s for s in (principal.id, principal.account, principal.session) if s is not None]


def known_of(principal: Principal, versions: Versions | None = None) -> Known:
    """The facts of a principal, read now; ``versions`` when the caller holds them locked already."""
    if versions is None:
        versions = read_versions(subjects_of(principal))
    ended = _session_forbids(principal)
    if principal.kind is PrincipalKind.APP:
        return _known_of_app(principal, versions, ended)
    if principal.kind is PrincipalKind.USER:
        return _known_of_user(principal, versions, ended)
    if principal.kind is PrincipalKind.SYSTEM:
        return _known_of_system(principal, versions)
    return Known(Facts(), versions)


def _known_of_system(principal: Principal, versions: Versions) -> Known:
    """The server itself, in one account: only the executor's own jobs make such a principal."""
    if principal.account is None:
        return Known(Facts(), versions)
    alive = Account.objects.filter(id=principal.account, enabled=True).exists()
    return Known(Facts(all_groups=SYSTEM_KEEPER, forbids=() if alive else (_DISABLED["account"],)), versions)


def _session_forbids(principal: Principal) -> tuple[Forbid, ...]:
    if principal.session is None:
        return ()
    alive = Session.objects.filter(id=principal.session, terminated_at__isnull=True).exists()
    return () if alive else (_ENDED,)


def _known_of_app(principal: Principal, versions: Versions, forbids: tuple[Forbid, ...]) -> Known:
    app = App.objects.select_related("account").filter(id=principal.id).first()
    if app is None:
        return Known(Facts(forbids=(*forbids, _DISABLED["gone"])), versions)
    if not app.enabled:
        forbids = (*forbids, _DISABLED["app"])
    if not app.account.enabled:
        forbids = (*forbids, _DISABLED["account"])
    groups = {
        group: APP_MEMBER | _app_permissions(names)
        for group, names in app.group_memberships.values_list("group_id", "permissions")
    }
    account = APP_ADMINISTRATOR if app.role == "admin" else frozenset[Permission]()
    facts = Facts(account=account, groups=MappingProxyType(groups), forbids=forbids)
    return Known(facts, versions, tuple(ip_network(network) for network in app.ip_ranges))


def _app_permissions(names: Iterable[str]) -> frozenset[Permission]:
    known = {str(p): p for p in APP_GRANTABLE}
    return with_implied(frozenset(known[name] for name in names if name in known))


def _known_of_user(principal: Principal, versions: Versions, forbids: tuple[Forbid, ...]) -> Known:
    if principal.account is None:
        return Known(Facts(forbids=forbids), versions)
    membership = (
        Membership.objects.select_related("account")
        .filter(user_id=principal.id, account_id=principal.account, invitation_pending=False)
        .first()
    )
    if membership is None:
        return Known(Facts(forbids=(*forbids, _DISABLED["member"])), versions)
    if not membership.enabled:
        forbids = (*forbids, _DISABLED["user"])
    if not membership.account.enabled:
        forbids = (*forbids, _DISABLED["account"])
    role = ACCOUNT_ROLES[membership.role]
    own = GroupMembership.objects.filter(user_id=principal.id, group__account_id=principal.account)
    groups = {group: GROUP_ROLES[name] for group, name in own.values_list("group_id", "role")}
    facts = Facts(role.account, role.all_groups, MappingProxyType(groups), forbids)
    return Known(facts, versions)
