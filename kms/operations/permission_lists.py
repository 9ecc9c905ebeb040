"""The catalogue of permissions, for whoever makes a role. It must not know the wire or HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kms.audit.entry import Category
from kms.operations.command import Call, Command, Operation, control
from kms.operations.queries import resolve_listing
from policies.permissions import CATALOGUE, Permission, PermissionSpec, Scope


@dataclass(frozen=True, slots=True)
class ListPermissions(Command):
    """Those that a role can give."""


def list_permissions(call: Call, _command: ListPermissions, _payload: None) -> Mapping[Permission, PermissionSpec]:
    found = {name: spec for name, spec in CATALOGUE.items() if spec.scope in (Scope.ACCOUNT, Scope.GROUP)}
    call.details["returned"] = len(found)
    return found


OPERATIONS: tuple[Operation[Any], ...] = (
    control(Category.OTHER)(ListPermissions, "permission.list", resolve_listing, list_permissions),
)
