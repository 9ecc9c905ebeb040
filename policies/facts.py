"""Rows to facts: what a principal holds, with the versions it was read at. The only reader of rights.

Versions are read before the rows they stand for, so a change in between makes the facts look old, never new.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from types import MappingProxyType
from uuid import UUID

from django.db.models import QuerySet, UUIDField, Value

from accounts.models import (
    Account,
    AccountRole,
    AccountRoleGrant,
    App,
    ExternalGrant,
    ExternalRole,
    ExternalRoleGroup,
    FactVersion,
    FidoCredential,
    GroupMembership,
    GroupRoleGrant,
    Membership,
    PasswordLogin,
    Role,
    Session,
    TotpDevice,
)
from accounts.principal import AuthenticationMethod, Principal, PrincipalKind
from accounts.second_factor import Factor, Lack, Owned, Requirement, lacking
from policies.decision import Facts, Forbid, StepUp
from policies.demand_rows import Versions, demands_of
from policies.permissions import Permission, permissions_named, with_implied
from policies.system_roles import (
    ACCOUNT_ROLES,
    APP_ADMINISTRATOR,
    APP_GRANTABLE,
    APP_MEMBER,
    GROUP_ROLES,
    MEMBER,
    SYSTEM_KEEPER,
    SYSTEM_ROLES,
    RoleKind,
    on_account,
)

Network = IPv4Network | IPv6Network

_ENDED = Forbid("session-ended", "The session has ended")
ELSEWHERE = Forbid("address-not-allowed", "The app may not call from this address")
_DISABLED = {
    "account": Forbid("account-disabled", "The account is disabled"),
    "app": Forbid("app-disabled", "The app is disabled"),
    "user": Forbid("user-disabled", "The user is disabled in this account"),
    "member": Forbid("not-a-member", "The user is not a member of the selected account"),
    "password": Forbid("password-not-accepted", "This account takes no passwords; log in with its identity provider"),
    "gone": Forbid("principal-gone", "The credential's owner no longer exists"),
}


@dataclass(frozen=True, slots=True)
class Known:
    """Facts and the version of every subject they were read from; networks limit where it may call from, and
    ``rate_limit`` how many calls a second it may make."""

    facts: Facts
    versions: Versions
    networks: tuple[Network, ...] = ()
    rate_limit: int | None = None

    def seen_from(self, address: str | None) -> Facts:
        """The facts for a call from this address: outside the principal's allow-list everything is forbidden."""
        return replace(self.facts, forbids=(*self.facts.forbids, ELSEWHERE)) if self.outside(address) else self.facts

    def outside(self, address: str | None) -> bool:
        """Whether the principal may not call from this address. One that is not known is in no list."""
        inside = address is not None and any(ip_address(address) in network for network in self.networks)
        return bool(self.networks) and not inside


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
    session = None if principal.session is None else Session.objects.filter(id=principal.session).first()
    ended = _session_forbids(principal, session)
    if principal.kind is PrincipalKind.APP:
        return _known_of_app(principal, versions, ended)
    if principal.kind is PrincipalKind.USER:
        return _known_of_user(principal, versions, ended, session)
    if principal.kind is PrincipalKind.SYSTEM:
        return _known_of_system(principal, versions)
    return Known(Facts(), versions)


def _known_of_system(principal: Principal, versions: Versions) -> Known:
    """The server itself, in one account: only the executor's own jobs make such a principal."""
    if principal.account is None:
        return Known(Facts(), versions)
    alive = Account.objects.filter(id=principal.account, enabled=True).exists()
    # No quorum stands before what it does by itself: whoever scheduled that needed one.
    return Known(Facts(all_groups=SYSTEM_KEEPER, forbids=() if alive else (_DISABLED["account"],)), versions)


def _session_forbids(principal: Principal, session: Session | None) -> tuple[Forbid, ...]:
    if principal.session is None:
        return ()
    return (_ENDED,) if session is None or session.terminated_at is not None else ()


def _known_of_app(principal: Principal, versions: Versions, forbids: tuple[Forbid, ...]) -> Known:
    app = App.objects.select_related("account").defer("clients").filter(id=principal.id).first()
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
    for mapping in external_mappings(principal):
        granted = APP_MEMBER | _app_permissions(mapping.app_permissions)
        groups[mapping.group_id] = groups.get(mapping.group_id, frozenset()) | granted
    account = APP_ADMINISTRATOR if app.role == "admin" else frozenset[Permission]()
    demands = demands_of(app.account_id, versions)
    facts = Facts(account=account, groups=MappingProxyType(groups), forbids=forbids, demands=demands)
    return Known(facts, versions, tuple(ip_network(network) for network in app.ip_ranges), app.rate_limit)


def _app_permissions(names: Iterable[str]) -> frozenset[Permission]:
    return with_implied(permissions_named(names) & APP_GRANTABLE)


def external_mappings(principal: Principal) -> QuerySet[ExternalRoleGroup]:
    """What the directory groups mean that its provider counts the principal in; nothing in a session of another."""
    rows = ExternalRoleGroup.objects.all()
    return rows.filter(role__in=external_roles(principal)) if principal.provider else rows.none()


def external_roles(principal: Principal) -> QuerySet[ExternalRole]:
    owner = {"app_id": principal.id} if principal.kind is PrincipalKind.APP else {"user_id": principal.id}
    held = ExternalGrant.objects.filter(**owner, role__provider_id=principal.provider)
    return ExternalRole.objects.filter(id__in=held.values("role_id"), account_id=principal.account)


def factors_owned(user: UUID) -> Owned:
    """The kinds of second factor that a user has enrolled."""
    owned = set()
    if TotpDevice.objects.filter(user_id=user, confirmed=True).exists():
        owned.add(Factor.TOTP)
    if FidoCredential.objects.filter(user_id=user).exists():
        owned.add(Factor.FIDO2)
    return frozenset(owned)


def _lack(principal: Principal, session: Session | None, requirement: str, owned: Owned) -> Lack | None:
    if session is None or not principal.method.asks_second_factor:
        return None
    asked = requirement if principal.method is AuthenticationMethod.PASSWORD else Requirement.NONE
    return lacking(asked, owned, Factor(session.second_factor))


def _step_up(account: Account, principal: Principal, session: Session | None, owned: Owned) -> StepUp | None:
    """Who has a second factor proves that; who has none, or is vouched for, proves it by logging in anew."""
    if account.step_up_seconds is None or session is None:
        return None
    by_factor = bool(owned) and principal.method.asks_second_factor
    return StepUp(account.step_up_seconds, session.second_factor_at if by_factor else session.authenticated_at)


def _known_of_user(
    principal: Principal, versions: Versions, forbids: tuple[Forbid, ...], session: Session | None
) -> Known:
    owned = factors_owned(principal.id)
    if principal.account is None:
        return Known(Facts(forbids=forbids, lack=_lack(principal, session, Requirement.NONE, owned)), versions)
    membership = (
        Membership.objects.select_related("account")
        .filter(user_id=principal.id, account_id=principal.account, invitation_pending=False)
        .first()
    )
    if membership is None:
        return Known(Facts(forbids=(*forbids, _DISABLED["member"])), versions)
    account = membership.account
    held = _roles_of(principal, membership)
    facts = replace(
        held,
        forbids=(*forbids, *_membership_forbids(principal, membership)),
        lack=_lack(principal, session, account.second_factor, owned),
        step_up=_step_up(account, principal, session, owned),
        demands=demands_of(account.id, versions),
    )
    return Known(facts, versions)


def _membership_forbids(principal: Principal, membership: Membership) -> Iterator[Forbid]:
    if not membership.enabled:
        yield _DISABLED["user"]
    if not membership.account.enabled:
        yield _DISABLED["account"]
    closed = membership.account.password_login == PasswordLogin.ADMINISTRATORS
    is_administrator = membership.role == AccountRole.ADMINISTRATOR
    if closed and principal.method is AuthenticationMethod.PASSWORD and not is_administrator:
        yield _DISABLED["password"]


@dataclass(frozen=True, slots=True)
class Given:
    """What one role gives on the account and in every group of it."""

    account: frozenset[Permission] = frozenset()
    all_groups: frozenset[Permission] = frozenset()


def _roles_of(principal: Principal, membership: Membership) -> Facts:
    """The union of what roles give on the account, roles in groups, and the groups of the directory."""
    given = [_system_role(name) for name in (membership.role, *_external_account_roles(principal)) if name]
    held = [*_own_roles(principal, membership), *_external_own_roles(principal)]
    custom = custom_roles(membership.account_id) if held else {}
    given += [account_role(custom[role], custom) for role, group in held if group is None and role in custom]
    in_groups = [(group, group_role(custom[role])) for role, group in held if group is not None and role in custom]
    groups: dict[UUID, frozenset[Permission]] = {}
    for group, permissions in (*_group_rights(principal, membership), *in_groups):
        groups[group] = groups.get(group, frozenset()) | permissions
    everywhere = frozenset[Permission]().union(*(each.all_groups for each in given))
    account = MEMBER.union(*(each.account for each in given))
    return Facts(on_account(account, everywhere), everywhere, MappingProxyType(groups))


def _own_roles(principal: Principal, membership: Membership) -> list[tuple[UUID, UUID | None]]:
    """The roles of the account's own that a user holds, on the account (None) and by group, in one query."""
    on_account = AccountRoleGrant.objects.filter(membership=membership)
    in_groups = GroupRoleGrant.objects.filter(user_id=principal.id, membership__group__account_id=membership.account_id)
    nowhere = Value(None, output_field=UUIDField())
    return list(
        on_account.values_list("role_id", nowhere).union(
            in_groups.values_list("role_id", "membership__group_id"), all=True
        )
    )


def _external_own_roles(principal: Principal) -> Iterator[tuple[UUID, UUID | None]]:
    """As ``_own_roles``, by the groups of the directory."""
    if principal.provider is None:
        return
    for given in external_roles(principal).values_list("own_roles", flat=True):
        yield from ((role, None) for role in given)
    for group, inside in external_mappings(principal).values_list("group_id", "own_roles"):
        yield from ((role, group) for role in inside)


def _group_rights(principal: Principal, membership: Membership) -> Iterator[tuple[UUID, frozenset[Permission]]]:
    own = GroupMembership.objects.filter(user_id=principal.id, group__account_id=membership.account_id)
    for group, name in own.exclude(role="").values_list("group_id", "role"):
        yield group, GROUP_ROLES[name]
    for mapping in external_mappings(principal):
        if mapping.user_role:
            yield mapping.group_id, GROUP_ROLES[mapping.user_role]


def custom_roles(account: UUID) -> Mapping[UUID, Role]:
    return {role.id: role for role in Role.objects.filter(account_id=account)}


def group_role(role: Role) -> frozenset[Permission]:
    """What a role of the account's own gives in the group where it is held. Names in no catalogue give nothing."""
    return with_implied(permissions_named(role.permissions))


def _system_role(name: str) -> Given:
    return Given(ACCOUNT_ROLES[name].account, ACCOUNT_ROLES[name].all_groups)


def account_role(role: Role, custom: Mapping[UUID, Role]) -> Given:
    """What one gives on the account, and by its group role in every group."""
    everywhere = _everywhere(role.all_groups_role, custom)
    return Given(on_account(group_role(role), everywhere), everywhere)


def _everywhere(role: UUID | None, custom: Mapping[UUID, Role]) -> frozenset[Permission]:
    """What a group role gives: one of the system's, or one of the account's."""
    if role is None:
        return frozenset()
    system = SYSTEM_ROLES.get(role)
    if system is not None:
        return GROUP_ROLES[system.name] if system.kind is RoleKind.GROUP else frozenset()
    return group_role(custom[role]) if role in custom else frozenset()


def _external_account_roles(principal: Principal) -> Iterable[str]:
    if principal.provider is None:
        return ()
    return external_roles(principal).exclude(account_role="").values_list("account_role", flat=True)
