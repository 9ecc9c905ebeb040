"""Everybody who can call there is, for the authorisation matrix: each with a credential and what they hold.

What they hold is said from the catalogue and the system's roles, not read back from rows.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from accounts import sessions
from accounts.clock import clock
from accounts.models import AccountRoleGrant, App, GroupMembership, GroupRoleGrant, Membership, Role, Session
from accounts.principal import Principal
from policies.permissions import Permission, Scope, in_scope, with_implied
from policies.system_roles import (
    ACCOUNT_ROLES,
    APP_ADMINISTRATOR,
    APP_GRANTABLE,
    APP_MEMBER,
    GROUP_ROLES,
    MEMBER,
    on_account,
)
from tests.kit.tenants import Tenant, new_user, unique, user_principal
from tests.kit.verdicts import Held, Permissions, Verdict


@dataclass(frozen=True, slots=True)
class Actor:
    """``authorization`` is the header they come with, ``stands`` how they are seen before anything they ask for."""

    name: str
    authorization: str | None
    held: Held = field(default_factory=Held)
    stands: Verdict = Verdict.ALLOWED

    @property
    def is_app(self) -> bool:
        return (self.authorization or "").startswith("Basic")


def bearer(user: Principal) -> str:
    return f"Bearer {sessions.issue(user, user.method, clock.now(), clock.now())[1]}"


def basic(credential: tuple[str, str]) -> str:
    return f"Basic {base64.b64encode(':'.join(credential).encode()).decode()}"


def people(tenant: Tenant) -> list[Actor]:
    """One user for each role of the system."""
    found = []
    for name, spec in ACCOUNT_ROLES.items():
        held = Held(on_account(MEMBER | spec.account, spec.all_groups), with_implied(spec.all_groups))
        found.append(Actor(name, bearer(tenant.member(name)), held))
    for name, given in GROUP_ROLES.items():
        user = tenant.member("member")
        GroupMembership.objects.create(user_id=user.id, group=tenant.group, role=name)
        held = Held(
            with_implied(MEMBER | ACCOUNT_ROLES["member"].account), groups={tenant.group.id: with_implied(given)}
        )
        found.append(Actor(f"group {name}", bearer(user), held))
    return found


def programs(tenant: Tenant) -> list[Actor]:
    """An app that may do everything in the group, one that may do nothing, one that administers."""
    everything, nothing, admin = tenant.new_app(), tenant.new_app([]), tenant.new_app([], role="admin")
    group = tenant.group.id
    return [
        Actor("app", basic(tenant.api_key(everything)), Held(groups={group: with_implied(APP_GRANTABLE | APP_MEMBER)})),
        Actor("blind app", basic(tenant.api_key(nothing)), Held(groups={group: APP_MEMBER})),
        Actor("admin app", basic(tenant.api_key(admin)), Held(APP_ADMINISTRATOR, groups={group: APP_MEMBER})),
    ]


def shut_out(tenant: Tenant) -> list[Actor]:
    """A user and an app with every right, disabled."""
    app = tenant.new_app()
    credential = basic(tenant.api_key(app))
    App.objects.filter(id=app.id).update(enabled=False)
    user = bearer(tenant.member("administrator", enabled=False))
    return [
        Actor("disabled user", user, stands=Verdict.DENIED),
        Actor("disabled app", credential, stands=Verdict.DENIED),
    ]


def unknown(tenant: Tenant) -> list[Actor]:
    """Nobody, and administrators whose session is over."""
    expired, ended = tenant.member("administrator"), tenant.member("administrator")
    over, closed = bearer(expired), bearer(ended)
    moment = clock.now() - timedelta(seconds=1)
    Session.objects.filter(user_id=expired.id).update(expires_at=moment)
    Session.objects.filter(user_id=ended.id).update(terminated_at=moment)
    shown = {"nobody": None, "expired session": over, "ended session": closed}
    return [Actor(name, credential, stands=Verdict.UNKNOWN_CALLER) for name, credential in shown.items()]


class Custom:
    """A user whose only rights are those of two roles of the account's own, which are rewritten as wanted."""

    def __init__(self, tenant: Tenant) -> None:
        user = new_user()
        self._user = user
        self._membership = Membership.objects.create(user=user, account=tenant.account, role="")
        self._on_account = self._role(tenant, "account")
        self._in_groups = self._role(tenant, "group")
        AccountRoleGrant.objects.create(membership=self._membership, user=user, role=self._on_account)
        self._groups: set[UUID] = set()
        self._authorization = bearer(user_principal(user, tenant.account.id))

    def _role(self, tenant: Tenant, kind: str) -> Role:
        by = {"creator_kind": "user", "creator_id": tenant.alice.id}
        return Role.objects.create(account=tenant.account, kind=kind, name=unique("role"), **by)

    def holding(self, permissions: Permissions, groups: Iterable[UUID]) -> Actor:
        """The same person with these: on the account, and in groups of whom these are some."""
        on_account, in_groups = permissions & in_scope(Scope.ACCOUNT), permissions & in_scope(Scope.GROUP)
        self._rewrite(self._on_account, on_account)
        self._rewrite(self._in_groups, in_groups)
        for group in set(groups) - self._groups:
            held = GroupMembership.objects.create(user=self._user, group_id=group, role="")
            GroupRoleGrant.objects.create(membership=held, user=self._user, role=self._in_groups)
            self._groups.add(group)
        everywhere = dict.fromkeys(self._groups, with_implied(in_groups))
        return Actor("custom roles", self._authorization, Held(with_implied(MEMBER | on_account), groups=everywhere))

    @staticmethod
    def _rewrite(role: Role, permissions: Iterable[Permission]) -> None:
        wanted = sorted(permissions)
        if role.permissions != wanted:
            role.permissions = wanted
            role.save(update_fields=["permissions"])
