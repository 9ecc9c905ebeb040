"""/sys/v1/external_roles on the wire."""

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
    nothing,
    parameters,
    path_id,
    uuid_of,
    wire_time,
)
from kms.api.wire.names import APP_PERMISSIONS, WIRE_APP_PERMISSION
from kms.api.wire.role_words import Roles, roles_of, words_of
from kms.operations.external_roles import (
    CreateExternalRole,
    DeleteExternalRole,
    ExternalRoleView,
    GetExternalRole,
    Given,
    ListExternalRoles,
    SyncExternalRole,
    UpdateExternalRole,
)
from policies.system_roles import RoleKind

# The vendor has the first; the others are ours, for providers that state their groups at a login.
KINDS = {"ldap-group": "ldap", "oidc-group": "oidc", "saml-group": "saml"}
WIRE_KIND = {ours: theirs for theirs, ours in KINDS.items()}
# The vendor's field is never empty, so a role that no directory was asked for yet has the oldest of times.
NEVER = "19700101T000000Z"


class RoleMapping(Request):
    """A group's role is a list of one word in the current form, and one word in the older."""

    users: str | list[str] | None = None
    apps: list[str] | None = None


class ExternalRoleRequest(Request):
    """``account_role`` is ours: what the directory's group gives on the whole account; empty is nothing."""

    name: str | None = None
    kind: str | None = None
    source_id: UUID | None = None
    add_groups: dict[str, RoleMapping] | None = None
    mod_groups: dict[str, RoleMapping] | None = None
    del_groups: list[UUID] | None = None
    account_role: list[str] | None = None


class WireMapping(Response):
    users: list[str] | None = None
    apps: list[str] | None = None


class ExternalRoleResponse(Response, omit_defaults=False):
    external_role_id: UUID
    acct_id: UUID
    source_id: UUID
    kind: str
    name: str
    groups: Mapping[str, WireMapping]
    last_synced: str
    account_role: list[str]


class ListParams(Parameters):
    group_id: UUID | None = None


# -- requests ------------------------------------------------------------------------------------------------------


def _groups(*given: dict[str, RoleMapping] | None) -> dict[UUID, Given]:
    return {uuid_of(group, "groups"): _given(m) for mappings in given for group, m in (mappings or {}).items()}


def _given(mapping: RoleMapping) -> Given:
    words = [mapping.users] if isinstance(mapping.users, str) else mapping.users or []
    roles = roles_of(words, RoleKind.GROUP, "users")
    if not set(mapping.apps or ()) <= APP_PERMISSIONS.keys():
        raise WireError(f"Invalid request: unknown app permission (known are {', '.join(APP_PERMISSIONS)})")
    if roles == Roles() and not mapping.apps:
        raise WireError("Invalid request: a group takes users, apps or both")
    return Given(roles.name, roles.own, frozenset(APP_PERMISSIONS[name] for name in mapping.apps or ()))


def _account_role(words: list[str] | None) -> Roles | None:
    return None if words is None else roles_of(words, RoleKind.ACCOUNT, "account_role")


def _create(call: WireCall) -> CreateExternalRole:
    body: ExternalRoleRequest = call.body
    if body.name is None or body.source_id is None or body.kind not in KINDS:
        raise WireError(f"Invalid request: name, source_id and kind (one of {', '.join(KINDS)}) are needed")
    if body.mod_groups or body.del_groups:
        raise WireError("Invalid request: a new role has no groups to change; give add_groups")
    roles = _account_role(body.account_role) or Roles()
    return CreateExternalRole(
        body.name, body.source_id, KINDS[body.kind], _groups(body.add_groups), roles.name, roles.own
    )


def _update(call: WireCall) -> UpdateExternalRole:
    body: ExternalRoleRequest = call.body
    if body.source_id is not None or body.kind is not None:
        raise WireError("Invalid request: source_id and kind of a role do not change; make another role")
    roles = _account_role(body.account_role)
    return UpdateExternalRole(
        path_id(call, "external_role_id"),
        body.name,
        _groups(body.add_groups, body.mod_groups),
        frozenset(body.del_groups or ()),
        None if roles is None else roles.name,
        frozenset() if roles is None else roles.own,
    )


def _list(call: WireCall) -> ListExternalRoles:
    return ListExternalRoles(parameters(call, ListParams).group_id)


# -- responses -----------------------------------------------------------------------------------------------------


def role(view: ExternalRoleView) -> ExternalRoleResponse:
    row = view.row
    return ExternalRoleResponse(
        external_role_id=row.id,
        acct_id=row.account_id,
        source_id=row.provider_id,
        kind=WIRE_KIND[view.kind],
        name=row.name,
        groups={str(group): _mapping(given) for group, given in sorted(view.groups.items())},
        last_synced=wire_time(row.last_synced) or NEVER,
        account_role=words_of(row.account_role, row.own_roles, RoleKind.ACCOUNT),
    )


def _mapping(given: Given) -> WireMapping:
    return WireMapping(
        users=words_of(given.user_role, sorted(given.user_roles), RoleKind.GROUP) or None,
        apps=[name for permission, name in WIRE_APP_PERMISSION.items() if permission in given.app_permissions] or None,
    )


_PATH = "/sys/v1/external_roles"
_ONE = _PATH + "/{external_role_id}"


def _named(command: Any) -> Any:
    return lambda call: command(path_id(call, "external_role_id"))


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("ListExternalRoles", "GET", _PATH, _list, lambda views: [role(view) for view in views]),
    Endpoint("CreateExternalRole", "POST", _PATH, _create, role, body=ExternalRoleRequest, status=201),
    Endpoint("GetExternalRole", "GET", _ONE, _named(GetExternalRole), role),
    Endpoint("UpdateExternalRole", "PATCH", _ONE, _update, role, body=ExternalRoleRequest),
    Endpoint("DeleteExternalRole", "DELETE", _ONE, _named(DeleteExternalRole), nothing, status=204),
    Endpoint("SyncExternalRole", "POST", f"{_ONE}/sync", _named(SyncExternalRole), role),
)
