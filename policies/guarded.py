"""What a quorum policy stands before: what its owner chose, as permissions. Pure: no Django, no clock, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from policies.permissions import Permission, Scope, in_scope, permissions_named
from policies.system_roles import USES_OF_KEYS

Permissions = frozenset[Permission]

_P = Permission

# By these what is guarded leaves the guarded place: as material, as a copy, to another group, or back to one.
_WAYS_OUT = frozenset({_P.OBJECT_EXPORT, _P.OBJECT_COPY, _P.OBJECT_MOVE, _P.OBJECT_REVERT})
# Whoever makes or changes a group's programs, or reads their keys, does by way of them what they may.
_PROGRAMS = frozenset(
    {
        _P.APP_CREATE,
        _P.APP_UPDATE,
        _P.APP_DELETE,
        _P.APP_SECRET_READ,
        _P.APP_SECRET_RESET,
        _P.APP_MANAGE,
        _P.ADMIN_APP_CREATE,
        _P.ADMIN_APP_UPDATE,
        _P.ADMIN_APP_DELETE,
        _P.ADMIN_APP_SECRET_READ,
        _P.ADMIN_APP_MANAGE,
        _P.PLUGIN_CREATE,
        _P.PLUGIN_UPDATE,
        _P.PLUGIN_DELETE,
        _P.PLUGIN_MANAGE,
        _P.EXTERNAL_ROLE_MAP_APPS,
        _P.EXTERNAL_ROLE_MAP,
    }
)
_GROUP_POLICIES = frozenset(
    {
        _P.GROUP_QUORUM,
        _P.GROUP_POLICY_CREATE,
        _P.GROUP_POLICY_UPDATE,
        _P.GROUP_POLICY_DELETE,
        _P.GROUP_POLICY_MANAGE,
        _P.GROUP_CUSTODIANS_CREATE,
        _P.GROUP_CUSTODIANS_UPDATE,
        _P.GROUP_CUSTODIANS_DELETE,
        _P.GROUP_CUSTODIANS_MANAGE,
    }
)
_GROUP_ITSELF = _GROUP_POLICIES | {_P.GROUP_UPDATE, _P.GROUP_DELETE, _P.GROUP_LINKS, _P.GROUP_WRAPPING_KEY}
_GROUP_USERS = frozenset(
    {
        _P.GROUP_USERS_ADD,
        _P.GROUP_USERS_REMOVE,
        _P.GROUP_USERS_ROLE,
        _P.GROUP_USERS_MANAGE,
        _P.EXTERNAL_ROLE_MAP_USERS,
    }
)

# What a group's policy may name one by one.
CHOOSABLE = frozenset(
    {
        _P.OBJECT_GET,
        _P.OBJECT_ROTATE,
        _P.OBJECT_REVOKE,
        _P.OBJECT_REVERT,
        _P.OBJECT_DELETE_MATERIAL,
        _P.OBJECT_DELETE,
        _P.OBJECT_DESTROY,
        _P.OBJECT_MOVE,
        _P.OBJECT_CREATE,
        _P.OBJECT_UPDATE,
        _P.OBJECT_UPDATE_STATE,
        _P.OBJECT_UPDATE_POLICIES,
        _P.OBJECT_ACTIVATE,
        _P.OBJECT_UPDATE_OPERATIONS,
    }
)
# Cryptography with keys, and what else is computed of their material.
USING = USES_OF_KEYS | {_P.OBJECT_CALCULATE_DIGEST}
# Guarded by every policy of a group, whatever else it guards.
ALWAYS_IN_GROUP = _WAYS_OUT | _PROGRAMS | _GROUP_ITSELF
# Whatever is done to keys but to look at them and to use them.
MANAGING = frozenset(p for p in in_scope(Scope.GROUP) if p.startswith("object.")) - {_P.OBJECT_GET} - USING
# Of those, what changes or ends a key that is there; and who may. For policies that do not say what they guard.
SENSITIVE = MANAGING - {_P.OBJECT_CREATE, _P.OBJECT_RESTORE, _P.OBJECT_SCAN} | _GROUP_USERS
# Guarded by every policy of an object's own: its policies, that one among them, are no way around it.
ALWAYS_ON_OBJECT = _WAYS_OUT | {_P.OBJECT_UPDATE_POLICIES}

# Guarded by every policy of an account, whatever else it guards: the policy, the account, and who administers it.
ALWAYS_IN_ACCOUNT = frozenset({_P.ACCOUNT_QUORUM, _P.ACCOUNT_DELETE, _P.USER_UPDATE_ROLE, _P.USER_MANAGE})
_GROUPS = _GROUP_ITSELF | {_P.GROUP_CREATE, _P.GROUP_CREATE_EXTERNAL, _P.GROUP_CLIENTS}
_ACCOUNT_POLICIES = frozenset(
    {_P.ACCOUNT_POLICY_CREATE, _P.ACCOUNT_POLICY_UPDATE, _P.ACCOUNT_POLICY_DELETE, _P.ACCOUNT_POLICY_MANAGE}
)
_ROLES = frozenset({_P.ROLE_CREATE, _P.ROLE_UPDATE, _P.ROLE_DELETE, _P.ROLE_MANAGE})


@dataclass(frozen=True, slots=True)
class GroupProtection:
    """What a policy of a group or an object guards beside what all of them do. None: it does not say."""

    permissions: Permissions | None = None
    managing: bool | None = None
    using: bool | None = None

    def guarded(self) -> Permissions:
        return _closed(ALWAYS_IN_GROUP | self._chosen(SENSITIVE))

    def guarded_on_object(self) -> Permissions:
        return _closed(ALWAYS_ON_OBJECT | self._chosen(SENSITIVE - _GROUP_USERS))

    def _chosen(self, otherwise: Permissions) -> Permissions:
        """Silence about managing is no choice to leave it open: saying that uses are guarded does not free the rest."""
        silent = self.permissions is None and self.managing is None
        managing = (otherwise if silent else frozenset()) | (MANAGING if self.managing else frozenset())
        return managing | (self.permissions or frozenset()) | (USING if self.using else frozenset())

    def stored(self) -> dict[str, Any]:
        named = None if self.permissions is None else sorted(self.permissions)
        return {"permissions": named, "managing": self.managing, "using": self.using}


@dataclass(frozen=True, slots=True)
class AccountProtection:
    """What a policy of an account guards beside what all of them do. None: it does not say, which is no."""

    groups: bool | None = None
    authentication: bool | None = None
    cryptographic: bool | None = None
    logging: bool | None = None
    roles: bool | None = None

    def guarded(self) -> Permissions:
        chosen = {
            _GROUPS: self.groups,
            frozenset({_P.AUTHENTICATION_MANAGE}): self.authentication,
            _ACCOUNT_POLICIES: self.cryptographic,
            frozenset({_P.LOGGING_MANAGE}): self.logging,
            _ROLES: self.roles,
        }
        return ALWAYS_IN_ACCOUNT.union(*(permissions for permissions, wanted in chosen.items() if wanted))

    def stored(self) -> dict[str, Any]:
        return asdict(self)


Protection = GroupProtection | AccountProtection


def _closed(guarded: Permissions) -> Permissions:
    """Who says when a key rotates by itself rotates it."""
    return guarded | ({_P.OBJECT_UPDATE_POLICIES} if _P.OBJECT_ROTATE in guarded else frozenset())


def group_protection_of(stored: Mapping[str, Any]) -> GroupProtection:
    named = stored.get("permissions")
    chosen = None if named is None else permissions_named(named)
    return GroupProtection(chosen, stored.get("managing"), stored.get("using"))


def account_protection_of(stored: Mapping[str, Any]) -> AccountProtection:
    return AccountProtection(**{name: stored.get(name) for name in AccountProtection.__slots__})
