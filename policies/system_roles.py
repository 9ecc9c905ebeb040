"""The roles that every account has, what apps can be given, and what the server holds, as data. No Django, no rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from uuid import UUID, uuid5

from accounts.principal import PrincipalKind
from policies.permissions import EVERYWHERE, Permission, Scope, in_scope, with_implied

# Operations on data under a key are for programs: the vendor's group permissions have no flag for them either.
DATA_OPERATIONS = frozenset(
    {
        Permission.OBJECT_ENCRYPT,
        Permission.OBJECT_DECRYPT,
        Permission.OBJECT_SIGN,
        Permission.OBJECT_VERIFY,
        Permission.OBJECT_MAC_GENERATE,
        Permission.OBJECT_MAC_VERIFY,
        Permission.OBJECT_AGREE,
        Permission.OBJECT_MASK_DECRYPT,
    }
)
# What cryptography with an object is, for whoever holds it: what a quorum on the use of keys guards.
USES_OF_KEYS = DATA_OPERATIONS | {
    Permission.OBJECT_WRAP,
    Permission.OBJECT_UNWRAP,
    Permission.OBJECT_DERIVE,
    Permission.OBJECT_TRANSFORM,
    Permission.OBJECT_ENCAPSULATE,
    Permission.OBJECT_DECAPSULATE,
}
GROUP_ADMINISTRATOR = in_scope(Scope.GROUP) - DATA_OPERATIONS
GROUP_AUDITOR = frozenset(
    {
        Permission.GROUP_GET,
        Permission.APP_GET,
        Permission.OBJECT_GET,
        Permission.PLUGIN_GET,
        Permission.AUDIT_READ,
        Permission.APPROVAL_GET,
    }
)
# Whoever belongs to an account at all, whatever the role.
MEMBER = frozenset({Permission.ACCOUNT_GET, Permission.PLUGIN_LIST})


class RoleKind(StrEnum):
    """Where a role is held: on the account (and by way of it in all groups), or in one group."""

    ACCOUNT = "account"
    GROUP = "group"


@dataclass(frozen=True, slots=True)
class AccountRoleSpec:
    """What a role gives on the account, and in every group of it."""

    account: frozenset[Permission]
    all_groups: frozenset[Permission] = frozenset()


ACCOUNT_ROLES: Mapping[str, AccountRoleSpec] = MappingProxyType(
    {
        "administrator": AccountRoleSpec(in_scope(Scope.ACCOUNT), GROUP_ADMINISTRATOR),
        "auditor": AccountRoleSpec(
            MEMBER
            | {
                Permission.USER_GET,
                Permission.ROLE_GET,
                Permission.AUDIT_READ_ACCOUNT,
                Permission.EXTERNAL_ROLE_GET,
                Permission.STATISTICS_READ_ACCOUNT,
                Permission.ADMIN_APP_GET,
                Permission.APPROVAL_GET_ALL,
                Permission.APPROVAL_REVIEW,
            },
            GROUP_AUDITOR,
        ),
        "member": AccountRoleSpec(
            MEMBER
            | {
                Permission.USER_GET,
                Permission.GROUP_CREATE,
                Permission.APPROVAL_REVIEW,
                Permission.CUSTODIAN,
            }
        ),
    }
)
GROUP_ROLES: Mapping[str, frozenset[Permission]] = MappingProxyType(
    {"administrator": GROUP_ADMINISTRATOR, "auditor": GROUP_AUDITOR}
)


@dataclass(frozen=True, slots=True)
class SystemRole:
    """A role that is there in every account and cannot be changed. Its id is the same everywhere."""

    id: UUID
    kind: RoleKind
    name: str


# Any namespace will do, as long as it stays: ids are kept in policies.
_NAMESPACE = UUID("5b1e1f0a-6d0b-4b55-8f0c-6f6b2f7a9c11")


def _role(kind: RoleKind, name: str) -> SystemRole:
    return SystemRole(uuid5(_NAMESPACE, f"{kind}/{name}"), kind, name)


SYSTEM_ROLES: Mapping[UUID, SystemRole] = MappingProxyType(
    {
        role.id: role
        for role in (
            *(_role(RoleKind.ACCOUNT, name) for name in ACCOUNT_ROLES),
            *(_role(RoleKind.GROUP, name) for name in GROUP_ROLES),
        )
    }
)
SYSTEM_ROLE_ID: Mapping[tuple[RoleKind, str], UUID] = MappingProxyType(
    {(role.kind, role.name): role.id for role in SYSTEM_ROLES.values()}
)

# An app sees its own groups and their objects; everything else it is given per group, by name.
APP_MEMBER = frozenset({Permission.GROUP_GET, Permission.OBJECT_GET})
APP_GRANTABLE = frozenset(
    {
        *DATA_OPERATIONS,
        Permission.AUDIT_READ,
        *(p for p in GROUP_ADMINISTRATOR if p.startswith("object.") and p is not Permission.OBJECT_SCAN),
    }
)
APP_ADMINISTRATOR = frozenset({Permission.ACCOUNT_GET, Permission.USER_GET, Permission.PLUGIN_LIST})

# What the server does on its own, in every group of the account it works in.
SYSTEM_KEEPER = frozenset(
    {Permission.GROUP_GET, Permission.OBJECT_GET, Permission.OBJECT_ROTATE, Permission.OBJECT_CREATE}
)


def on_account(held: frozenset[Permission], all_groups: frozenset[Permission]) -> frozenset[Permission]:
    """With what is implied: by each other, and by being held in every group."""
    return with_implied(held | {account for group, account in EVERYWHERE.items() if group in all_groups})


def grantable_to(kind: PrincipalKind) -> frozenset[Permission]:
    """Every permission that some role or membership can give to this kind of principal."""
    if kind is PrincipalKind.APP:
        return APP_GRANTABLE | APP_MEMBER | APP_ADMINISTRATOR
    roles = [spec.account | spec.all_groups for spec in ACCOUNT_ROLES.values()]
    return frozenset().union(*roles, *GROUP_ROLES.values())
