"""/sys/v1/roles and /sys/v1/users/permissions on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from kms.api.wire.base import (
    Endpoint,
    Parameters,
    Request,
    Response,
    WireCall,
    WireError,
    creator_of,
    nothing,
    page_of,
    parameters,
    path_id,
    sorting,
    unsupported,
    wire_time,
)
from kms.api.wire.flags import ACCOUNT_FLAGS, GROUP_FLAGS, flags_of, permissions_of
from kms.api.wire.groups import checked_name
from kms.operations.roles import (
    CreateRole,
    DeleteRole,
    GetOwnPermissions,
    GetRole,
    HeldPermissions,
    ListRoles,
    RoleDetails,
    RoleList,
    RoleView,
    UpdateRole,
)
from policies.system_roles import RoleKind

_FLAGS = {RoleKind.ACCOUNT: ACCOUNT_FLAGS, RoleKind.GROUP: GROUP_FLAGS}
# The system's roles were always there.
_BEGINNING = "19700101T000000Z"


class WireDetails(Request):
    kind: str
    permissions: list[str]
    exclusive: bool | None = None
    all_groups_role: UUID | None = None


class RoleRequest(Request):
    name: str | None = None
    description: str | None = None
    details: WireDetails | None = None


class RoleResponse(Response):
    role_id: UUID
    acct_id: UUID
    name: str
    description: str
    kind: str
    details: Mapping[str, Any]
    creator: Any
    created_at: str
    last_updated_at: str


class RolesResponse(Response, omit_defaults=False):
    metadata: Mapping[str, int]
    items: list[RoleResponse]


class PermissionsResponse(Response):
    account: list[str]
    groups: Mapping[str, list[str]]
    all_groups: list[str] | None = None


class ListParams(Parameters):
    limit: int | None = None
    offset: int | None = None
    filter: str | None = None
    sort: str | None = None
    start: str | None = None


class PermissionsParams(Parameters):
    with_implied: bool = False


def details_of(wire: WireDetails | None) -> RoleDetails | None:
    if wire is None:
        return None
    if wire.kind not in set(RoleKind):
        raise WireError(f"Invalid request: kind is one of {', '.join(RoleKind)}")
    kind = RoleKind(wire.kind)
    permissions = permissions_of(wire.permissions, _FLAGS[kind])
    return RoleDetails(kind, permissions, bool(wire.exclusive), wire.all_groups_role)


def _create(call: WireCall) -> CreateRole:
    details = details_of(call.body.details)
    if details is None:
        raise WireError("Invalid request: details are needed")
    name = checked_name(call.body.name, needed=True)
    return CreateRole(name or "", details, call.body.description or "")


def _update(call: WireCall) -> UpdateRole:
    name = checked_name(call.body.name, needed=False)
    return UpdateRole(path_id(call, "role_id"), name, details_of(call.body.details), call.body.description)


def _list(call: WireCall) -> ListRoles:
    wanted = parameters(call, ListParams)
    unsupported(filter=wanted.filter)
    # The vendor's Go client leaves the colon out.
    sort = {"role_idasc": "role_id:asc", "role_iddesc": "role_id:desc"}.get(wanted.sort or "", wanted.sort)
    return ListRoles(page_of(wanted.limit, wanted.offset, **sorting(sort, wanted.start, {"role_id": "id"})))


def _permissions(call: WireCall) -> GetOwnPermissions:
    parameters(call, PermissionsParams)
    return GetOwnPermissions()


def role(view: RoleView) -> RoleResponse:
    details = view.details
    shown: dict[str, Any] = {
        "kind": details.kind.value,
        "permissions": flags_of(details.permissions, _FLAGS[details.kind]),
        "exclusive": details.exclusive,
    }
    if details.all_groups_role is not None:
        shown["all_groups_role"] = details.all_groups_role
    return RoleResponse(
        role_id=view.id,
        acct_id=view.account,
        name=view.name,
        description=view.description,
        kind=details.kind.value,
        details=shown,
        creator="system" if view.creator is None else creator_of(*view.creator),
        created_at=wire_time(view.created_at) or _BEGINNING,
        last_updated_at=wire_time(view.updated_at) or _BEGINNING,
    )


def _roles(found: RoleList) -> RolesResponse:
    counts = {"total_count": found.total, "filtered_count": found.total}
    return RolesResponse(metadata=counts, items=[role(view) for view in found.views])


def _held(held: HeldPermissions) -> PermissionsResponse:
    """What is held with all that it implies: facts have no other account of it."""
    return PermissionsResponse(
        account=flags_of(held.account, ACCOUNT_FLAGS),
        all_groups=flags_of(held.all_groups, GROUP_FLAGS) or None,
        groups={str(group): flags_of(permissions, GROUP_FLAGS) for group, permissions in held.groups.items()},
    )


_PATH = "/sys/v1/roles"
_ONE = _PATH + "/{role_id}"
ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("GetUserPermissions", "GET", "/sys/v1/users/permissions", _permissions, _held),
    Endpoint("ListRoles", "GET", _PATH, _list, _roles),
    Endpoint("CreateRole", "POST", _PATH, _create, role, body=RoleRequest, status=201),
    Endpoint("GetRole", "GET", _ONE, lambda call: GetRole(path_id(call, "role_id")), role),
    Endpoint("UpdateRole", "PATCH", _ONE, _update, role, body=RoleRequest),
    Endpoint("DeleteRole", "DELETE", _ONE, lambda call: DeleteRole(path_id(call, "role_id")), nothing, status=204),
)
