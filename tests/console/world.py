"""An account with something on every screen, and what the sweeps put into the places of a screen's address."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace

from accounts.principal import Principal
from kms.operations.executor import execute
from kms.operations.roles import CreateRole, RoleDetails, RoleView
from kms.operations.users import UpdateUser
from policies.permissions import Permission
from policies.quorum import Quorum
from policies.system_roles import RoleKind
from tests.kit.approvals import GUARDED
from tests.kit.quorums import guard_group, users
from tests.kit.tenants import Tenant, new_tenant


@dataclass(frozen=True)
class World:
    """``ids`` has a value for every parameter of a screen's route; a new parameter joins here."""

    tenant: Tenant
    ids: dict[str, uuid.UUID]

    @property
    def alice(self) -> Principal:
        """She administers the account."""
        return self.tenant.alice


def new_world() -> World:
    tenant = new_tenant()
    ids = {
        "group_id": tenant.group.id,
        "app_id": tenant.app.id,
        "key_id": tenant.key(name="payments master key").id,
        "user_id": tenant.alice.id,
    }
    ids |= _people(tenant)
    return World(tenant, {name: value for name, value in ids.items() if value is not None})


def _people(tenant: Tenant) -> dict[str, uuid.UUID]:
    """Users with different roles, a role of the account's own, and a quorum over the group."""
    reviewers = [tenant.member("member") for _ in range(3)]
    auditor = tenant.member("auditor")
    role: RoleView = execute(
        tenant.alice,
        CreateRole(
            "Key operator",
            RoleDetails(RoleKind.GROUP, frozenset({Permission.OBJECT_ROTATE, Permission.OBJECT_ACTIVATE})),
            "Rotates keys, and nothing else.",
        ),
    )
    execute(
        tenant.alice,
        UpdateUser(
            reviewers[0].id, set_groups={tenant.group.id: ""}, group_roles={tenant.group.id: frozenset([role.id])}
        ),
    )
    tree = Quorum(2, (*users(1, [each.id for each in reviewers[:2]]).members, users(1, [reviewers[2].id, auditor.id])))
    guard_group(tenant.group, replace(tree, require_second_factor=True), GUARDED)
    return {"role_id": role.id, "member_id": reviewers[0].id}
