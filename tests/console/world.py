"""An account with something on every screen, and what the sweeps put into the places of a screen's address."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from accounts.principal import Principal
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
    return World(tenant, {name: value for name, value in ids.items() if value is not None})
