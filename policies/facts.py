"""Rows to facts: what a principal holds, with the versions it was read at. The only reader of rights.

Versions and rows are read in one statement, and the rows fit their seals (accounts.row_seals) or nothing is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from types import MappingProxyType
from uuid import UUID

from accounts.models import (
    Account,
    AccountRole,
    AccountRoleGrant,
    App,
    AppGroup,
    ExternalGrant,
    ExternalRole,
    ExternalRoleGroup,
    FactVersion,
    FidoCredential,
    Group,
    GroupMembership,
    GroupRoleGrant,
    KubernetesBinding,
    KubernetesCluster,
    Membership,
    PasswordLogin,
    Role,
    Session,
    TotpDevice,
)
from accounts.principal import AuthenticationMethod, Principal, PrincipalKind
from accounts.row_seals import Verified, verified
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
    cluster = None if principal.opened_by is None else principal.opened_by.cluster
    return [s for s in (principal.id, principal.account, principal.session, cluster) if s is not None]


def known_of(principal: Principal, versions: Versions | None = None) -> Known:
    """The facts of a principal, read now; ``versions`` when the caller holds them locked already. RowsForged."""
    many_share = (principal.account, principal.opened_by and principal.opened_by.cluster)
    shared = {s: v for s, v in (versions or {}).items() if s in many_share}
    rows = verified(subjects_of(principal), at=shared)
    versions = rows.versions if versions is None else versions
    session = rows.first(Session, principal.session)
    ended = (*_session_forbids(principal, session), *_cluster_forbids(principal, rows))
    if principal.kind is PrincipalKind.APP:
        return _known_of_app(principal, rows, versions, ended)
    if principal.kind is PrincipalKind.USER:
        return _known_of_user(principal, rows, versions, ended, session)
    if principal.kind is PrincipalKind.SYSTEM:
        return _known_of_system(principal, rows, versions)
    return Known(Facts(), versions)


def _known_of_system(principal: Principal, rows: Verified, versions: Versions) -> Known:
    """The server itself, in one account: only the executor's own jobs make such a principal."""
    if principal.account is None:
        return Known(Facts(), versions)
    account = rows.first(Account, principal.account)
    alive = account is not None and account.enabled
    # No quorum stands before what it does by itself: whoever scheduled that needed one.
    return Known(Facts(all_groups=SYSTEM_KEEPER, forbids=() if alive else (_DISABLED["account"],)), versions)


def _session_forbids(principal: Principal, session: Session | None) -> tuple[Forbid, ...]:
    if principal.session is None:
        return ()
    return (_ENDED,) if session is None or session.terminated_at is not None else ()


def _cluster_forbids(principal: Principal, rows: Verified) -> tuple[Forbid, ...]:
    """Whom a cluster's binding let in stays as long as it would let the same in again."""
    opened = principal.opened_by
    if opened is None:
        return ()
    cluster = rows.first(KubernetesCluster, opened.cluster)
    bindings = rows.of(KubernetesBinding, opened.cluster)
    bound = any(row.id == opened.binding and row.app_id == principal.id for row in bindings)
    unchanged = cluster is not None and cluster.enabled and cluster.trust_version == opened.trust_version
    return () if bound and unchanged else (_ENDED,)


def _known_of_app(principal: Principal, rows: Verified, versions: Versions, forbids: tuple[Forbid, ...]) -> Known:
    app, account = rows.first(App, principal.id), rows.first(Account, principal.account)
    if app is None or account is None or app.account_id != account.id:
        return Known(Facts(forbids=(*forbids, _DISABLED["gone"])), versions)
    if not app.enabled:
        forbids = (*forbids, _DISABLED["app"])
    if not account.enabled:
        forbids = (*forbids, _DISABLED["account"])
    groups = {row.group_id: APP_MEMBER | _app_permissions(row.permissions) for row in rows.of(AppGroup, app.id)}
    for mapping in _mappings(principal, rows):
        granted = APP_MEMBER | _app_permissions(mapping.app_permissions)
        groups[mapping.group_id] = groups.get(mapping.group_id, frozenset()) | granted
    rights = APP_ADMINISTRATOR if app.role == "admin" else frozenset[Permission]()
    demands = demands_of(account.id, versions, rows)
    facts = Facts(account=rights, groups=MappingProxyType(groups), forbids=forbids, demands=demands)
    return Known(facts, versions, tuple(ip_network(network) for network in app.ip_ranges), app.rate_limit)


def _app_permissions(names: Iterable[str]) -> frozenset[Permission]:
    return with_implied(permissions_named(names) & APP_GRANTABLE)


def _mappings(principal: Principal, rows: Verified) -> list[ExternalRoleGroup]:
    """What the directory groups mean that its provider counts the principal in; nothing in a session of another."""
    held = {role.id for role in _directory_roles(principal, rows)}
    return [mapping for mapping in rows.of(ExternalRoleGroup, principal.account) if mapping.role_id in held]


def _directory_roles(principal: Principal, rows: Verified) -> list[ExternalRole]:
    if principal.provider is None:
        return []
    held = {grant.role_id for grant in rows.of(ExternalGrant, principal.id)}
    roles = rows.of(ExternalRole, principal.account)
    return [role for role in roles if role.id in held and role.provider_id == principal.provider]


def factors_owned(user: UUID) -> Owned:
    """The kinds of second factor that a user has enrolled."""
    return _factors(user, verified([user]))


def _factors(user: UUID, rows: Verified) -> Owned:
    owned = set()
    if any(device.confirmed for device in rows.of(TotpDevice, user)):
        owned.add(Factor.TOTP)
    if rows.of(FidoCredential, user):
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
    principal: Principal, rows: Verified, versions: Versions, forbids: tuple[Forbid, ...], session: Session | None
) -> Known:
    owned = _factors(principal.id, rows)
    if principal.account is None:
        return Known(Facts(forbids=forbids, lack=_lack(principal, session, Requirement.NONE, owned)), versions)
    membership, account = _membership(principal, rows), rows.first(Account, principal.account)
    if membership is None or account is None:
        return Known(Facts(forbids=(*forbids, _DISABLED["member"])), versions)
    held = _roles_of(principal, membership, rows)
    facts = replace(
        held,
        forbids=(*forbids, *_membership_forbids(principal, membership, account)),
        lack=_lack(principal, session, account.second_factor, owned),
        step_up=_step_up(account, principal, session, owned),
        demands=demands_of(account.id, versions, rows),
    )
    return Known(facts, versions)


def _membership(principal: Principal, rows: Verified) -> Membership | None:
    """The user's place in the account, once the invitation was accepted."""
    own = (row for row in rows.of(Membership, principal.id) if row.account_id == principal.account)
    return next((row for row in own if not row.invitation_pending), None)


def _membership_forbids(principal: Principal, membership: Membership, account: Account) -> Iterator[Forbid]:
    if not membership.enabled:
        yield _DISABLED["user"]
    if not account.enabled:
        yield _DISABLED["account"]
    closed = account.password_login == PasswordLogin.ADMINISTRATORS
    is_administrator = membership.role == AccountRole.ADMINISTRATOR
    if closed and principal.method is AuthenticationMethod.PASSWORD and not is_administrator:
        yield _DISABLED["password"]


@dataclass(frozen=True, slots=True)
class Given:
    """What one role gives on the account and in every group of it."""

    account: frozenset[Permission] = frozenset()
    all_groups: frozenset[Permission] = frozenset()


def _roles_of(principal: Principal, membership: Membership, rows: Verified) -> Facts:
    """The union of what roles give on the account, roles in groups, and the groups of the directory."""
    places = _places(principal, membership, rows)
    directory = _directory_roles(principal, rows)
    names = (membership.role, *(role.account_role for role in directory))
    given = [_system_role(name) for name in names if name]
    held = [*_own_roles(principal, membership, rows, places), *_external_own_roles(principal, directory, rows)]
    custom = {role.id: role for role in rows.of(Role, membership.account_id)} if held else {}
    given += [account_role(custom[role], custom) for role, group in held if group is None and role in custom]
    in_groups = [(group, group_role(custom[role])) for role, group in held if group is not None and role in custom]
    groups: dict[UUID, frozenset[Permission]] = {}
    for group, permissions in (*_group_rights(principal, rows, places), *in_groups):
        groups[group] = groups.get(group, frozenset()) | permissions
    everywhere = frozenset[Permission]().union(*(each.all_groups for each in given))
    account = MEMBER.union(*(each.account for each in given))
    return Facts(on_account(account, everywhere), everywhere, MappingProxyType(groups))


def _places(principal: Principal, membership: Membership, rows: Verified) -> list[GroupMembership]:
    """The user's places in groups of this account. Which groups are its, their rows say, sealed or not: those of
    another account would only give what the user has there."""
    own = rows.of(GroupMembership, principal.id)
    groups = Group.objects.filter(account_id=membership.account_id, id__in={row.group_id for row in own})
    here = set(groups.values_list("id", flat=True)) if own else set()
    return [row for row in own if row.group_id in here]


def _own_roles(
    principal: Principal, membership: Membership, rows: Verified, places: Iterable[GroupMembership]
) -> Iterator[tuple[UUID, UUID | None]]:
    """The roles of the account's own that a user holds, on the account (None) and by group."""
    for grant in rows.of(AccountRoleGrant, principal.id):
        if grant.membership_id == membership.pk:
            yield grant.role_id, None
    group_of = {place.pk: place.group_id for place in places}
    for held in rows.of(GroupRoleGrant, principal.id):
        if held.membership_id in group_of:
            yield held.role_id, group_of[held.membership_id]


def _external_own_roles(
    principal: Principal, directory: Iterable[ExternalRole], rows: Verified
) -> Iterator[tuple[UUID, UUID | None]]:
    """As ``_own_roles``, by the groups of the directory."""
    for external in directory:
        yield from ((role, None) for role in external.own_roles)
    for mapping in _mappings(principal, rows):
        yield from ((role, mapping.group_id) for role in mapping.own_roles)


def _group_rights(
    principal: Principal, rows: Verified, places: Iterable[GroupMembership]
) -> Iterator[tuple[UUID, frozenset[Permission]]]:
    for place in places:
        if place.role:
            yield place.group_id, GROUP_ROLES[place.role]
    for mapping in _mappings(principal, rows):
        if mapping.user_role:
            yield mapping.group_id, GROUP_ROLES[mapping.user_role]


def custom_roles(account: UUID) -> Mapping[UUID, Role]:
    return {role.id: role for role in verified([account]).of(Role, account)}


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
