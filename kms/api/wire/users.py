"""/sys/v1/users on the wire."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from accounts.models import Membership
from kms.api.wire import webauthn
from kms.api.wire.base import (
    Endpoint,
    Parameters,
    Request,
    Response,
    WireCall,
    WireError,
    nothing,
    page_of,
    parameters,
    path_id,
    searched,
    sorting,
    unsupported,
    uuid_of,
    wire_time,
)
from kms.api.wire.names import GROUP_ROLES, WIRE_GROUP_ROLE
from kms.api.wire.role_words import Roles, roles_of, words_of
from kms.operations.command import Command
from kms.operations.factor_enrolment import ChangeSecurityKeys
from kms.operations.invitations import InviteUser, ListInvitations, ProcessInvitations
from kms.operations.own_address import ChangeAddress
from kms.operations.users import (
    DeleteOwnUser,
    DeleteStaleUser,
    GetUser,
    ListOwnAccounts,
    ListUsers,
    RemoveUser,
    UpdateUser,
    UserView,
)
from kms.secret import SecretBytes
from policies.system_roles import RoleKind

# A group's role is a list of one word in the current form, and one word in the older.
WireRole = str | list[str]


class UserRequest(Request):
    user_email: str | None = None
    user_password: str | None = None
    account_role: list[str] | None = None
    enable: bool | None = None
    enabled: bool | None = None  # as the vendor's Python SDK spells it
    first_name: str | None = None
    last_name: str | None = None
    description: str | None = None
    add_groups: dict[str, WireRole] | None = None
    mod_groups: dict[str, WireRole] | None = None
    del_groups: dict[str, WireRole] | None = None
    add_mfa_devices: list[webauthn.AddMfaDevice] | None = None
    add_u2f_devices: list[webauthn.AddU2fDevice] | None = None
    del_mfa_devices: list[webauthn.DeviceName] | None = None
    del_u2f_devices: list[webauthn.DeviceName] | None = None
    rename_mfa_devices: list[webauthn.RenameDevice] | None = None
    rename_u2f_devices: list[webauthn.RenameDevice] | None = None


class ProcessInviteRequest(Request):
    accepts: list[UUID] | None = None
    rejects: list[UUID] | None = None


class UserResponse(Response, omit_defaults=False):
    """``second_factors`` are the kinds that are enrolled, which is ours: the vendor shows security keys alone."""

    user_id: UUID
    user_email: str
    account_role: list[str]
    groups: Mapping[str, list[str]]
    explicit_groups: Mapping[str, list[str]]
    mfa_devices: list[webauthn.MfaDevice]
    u2f_devices: list[webauthn.MfaDevice]
    email_verified: bool
    self_provisioned: bool
    has_password: bool
    has_account: bool
    created_at: str | None = None
    last_logged_in_at: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    description: str | None = None
    new_email: str | None = None
    second_factors: list[str] = []


class Invitation(Response, omit_defaults=False):
    """Ours: the vendor's list of accounts has ids only."""

    acct_id: UUID
    acct_name: str
    account_role: list[str]


_SORTS = {"user_email": "user__email", "user_id": "user_id"}


class ListParams(Parameters):
    group_id: UUID | None = None
    role_id: UUID | None = None
    q: str = ""
    acct_id: UUID | None = None
    limit: int | None = None
    offset: int | None = None
    sort: str | None = None
    start: str | None = None
    with_groups: str | None = None


class GetParams(Parameters):
    with_groups: str | None = None


# -- requests ------------------------------------------------------------------------------------------------------


_FLAGS = frozenset({"STATEENABLED", "PENDINGINVITE"})


def _account_roles(words: list[str] | None) -> tuple[Roles | None, bool | None]:
    """The roles and the enabled state that a list of flags asks for. A list of flags only leaves the roles."""
    if words is None:
        return None, None
    roles = roles_of((word for word in words if word not in _FLAGS), RoleKind.ACCOUNT, "account_role")
    return (None if roles == Roles() else roles), ("STATEENABLED" in words)


def _in_groups(groups: dict[str, WireRole] | None) -> dict[UUID, Roles]:
    return {uuid_of(group, "groups"): _in_group(role) for group, role in (groups or {}).items()}


def _in_group(role: WireRole) -> Roles:
    roles = roles_of([role] if isinstance(role, str) else role, RoleKind.GROUP, "a group's role")
    if roles == Roles():
        raise WireError(f"Invalid request: a group's role is one of {', '.join(GROUP_ROLES)}, or ids of roles")
    return roles


def _device_fields(body: UserRequest) -> dict[str, Any]:
    """An empty list asks for nothing."""
    return {name: getattr(body, name) or None for name in body.__struct_fields__ if name.endswith("_devices")}


def _change_devices(call: WireCall) -> ChangeSecurityKeys:
    body: UserRequest = call.body
    fields = set(body.__struct_fields__) - _device_fields(body).keys()
    if any(getattr(body, name) is not None for name in fields):
        raise WireError("Invalid request: devices are changed alone; send the rest in another request")
    renamed = [*(body.rename_mfa_devices or ()), *(body.rename_u2f_devices or ())]
    return ChangeSecurityKeys(
        user=path_id(call, "user_id"),
        added=webauthn.added(body.add_mfa_devices or (), body.add_u2f_devices or ()),
        removed=tuple(device.name for device in [*(body.del_mfa_devices or ()), *(body.del_u2f_devices or ())]),
        renamed=tuple((device.old_name, device.new_name) for device in renamed),
    )


def _invite(call: WireCall) -> InviteUser:
    body: UserRequest = call.body
    unsupported(**_device_fields(body))
    if not body.user_email:
        raise WireError("Invalid request: user_email is needed")
    roles = _account_roles(body.account_role)[0] or Roles("member")
    groups = _in_groups(body.add_groups)
    return InviteUser(
        email=body.user_email,
        role=roles.name,
        roles=roles.own,
        groups={group: given.name for group, given in groups.items()},
        group_roles={group: given.own for group, given in groups.items()},
        first_name=body.first_name or "",
        last_name=body.last_name or "",
        description=body.description or "",
        initial_password=SecretBytes(body.user_password.encode()) if body.user_password else None,
    )


def _change_address(call: WireCall) -> ChangeAddress:
    """``user_password`` is the current one: the vendor has no other field for it."""
    body: UserRequest = call.body
    others = [name for name in body.__struct_fields__ if getattr(body, name) is not None]
    if not body.user_email or not body.user_password or len(others) > 2:
        raise WireError("Invalid request: user_email is changed alone, and needs user_password, the current password")
    return ChangeAddress(path_id(call, "user_id"), body.user_email, SecretBytes(body.user_password.encode()))


def _update(call: WireCall) -> Command:
    body: UserRequest = call.body
    if any(_device_fields(body).values()):
        return _change_devices(call)
    if body.user_email is not None or body.user_password is not None:
        return _change_address(call)
    roles, enabled = _account_roles(body.account_role)
    groups = {**_in_groups(body.add_groups), **_in_groups(body.mod_groups)}
    return UpdateUser(
        user=path_id(call, "user_id"),
        role=None if roles is None else roles.name,
        roles=None if roles is None else roles.own,
        enabled=next((said for said in (body.enable, body.enabled, enabled) if said is not None), None),
        first_name=body.first_name,
        last_name=body.last_name,
        description=body.description,
        set_groups={group: given.name for group, given in groups.items()},
        group_roles={group: given.own for group, given in groups.items()},
        remove_groups=frozenset(uuid_of(group, "del_groups") for group in body.del_groups or ()),
    )


def _list(call: WireCall) -> ListUsers:
    wanted = parameters(call, ListParams)
    if wanted.acct_id is not None and wanted.acct_id != call.principal.account:
        raise WireError("Invalid request: acct_id is not the selected account")
    page = page_of(wanted.limit, wanted.offset, **sorting(wanted.sort, wanted.start, _SORTS))
    return ListUsers(page, wanted.group_id, wanted.role_id, searched(wanted.q))


def _get(call: WireCall) -> GetUser:
    parameters(call, GetParams)
    return GetUser(path_id(call, "user_id"))


def _process(call: WireCall) -> ProcessInvitations:
    return ProcessInvitations(frozenset(call.body.accepts or ()), frozenset(call.body.rejects or ()))


# -- responses -----------------------------------------------------------------------------------------------------


def flags_of(membership: Membership | None, roles: Iterable[UUID] = ()) -> list[str]:
    """The system's role, ids of the account's own, and the member's state."""
    if membership is None:
        return []
    flags = words_of(membership.role, roles, RoleKind.ACCOUNT)
    if membership.enabled:
        flags.append("STATEENABLED")
    if membership.invitation_pending:
        flags.append("PENDINGINVITE")
    return flags


_STRONGER = ["GROUPADMINISTRATOR"]


def _wire_groups(roles: Mapping[UUID, str]) -> dict[str, list[str]]:
    return {str(group): [WIRE_GROUP_ROLE[role]] if role else [] for group, role in roles.items()}


def user(view: UserView) -> UserResponse:
    row = view.user
    explicit, external = _wire_groups(view.groups), _wire_groups(view.external)
    for group, roles in view.group_roles.items():
        explicit[str(group)] += [str(role) for role in roles]
    return UserResponse(
        user_id=row.id,
        user_email=row.email,
        account_role=flags_of(view.membership, view.roles),
        groups={**external, **explicit, **{group: role for group, role in external.items() if role == _STRONGER}},
        explicit_groups=explicit,
        mfa_devices=webauthn.mfa_devices(view.devices),
        u2f_devices=webauthn.mfa_devices(device for device in view.devices if device.u2f),
        email_verified=row.email_verified,
        self_provisioned=view.membership is not None and view.membership.self_provisioned,
        has_password=row.has_usable_password(),
        has_account=view.membership is not None,
        created_at=wire_time(row.created_at),
        last_logged_in_at=wire_time(view.logged_in_at),
        first_name=row.first_name or None,
        last_name=row.last_name or None,
        description=row.description or None,
        new_email=row.new_email or None,
        second_factors=[*(["fido2"] if view.devices else []), *(["totp"] if view.phone else [])],
    )


def _accounts(memberships: list[Membership]) -> dict[str, list[str]]:
    return {
        str(membership.account_id): flags_of(membership, [grant.role_id for grant in membership.role_grants.all()])
        for membership in memberships
    }


def _invitations(memberships: list[Membership]) -> list[Invitation]:
    return [
        Invitation(
            acct_id=one.account_id,
            acct_name=one.account.name,
            account_role=words_of(one.role, [grant.role_id for grant in one.role_grants.all()], RoleKind.ACCOUNT),
        )
        for one in memberships
    ]


_PATH = "/sys/v1/users"
_ONE = _PATH + "/{user_id}"
ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("ListUsers", "GET", _PATH, _list, lambda views: [user(view) for view in views]),
    Endpoint("GetUserAccounts", "GET", f"{_PATH}/accounts", lambda _call: ListOwnAccounts(), _accounts),
    Endpoint("InviteUser", "POST", f"{_PATH}/invite", _invite, user, body=UserRequest, status=201),
    Endpoint(
        "ProcessInvite", "POST", f"{_PATH}/process_invite", _process, nothing, body=ProcessInviteRequest, status=204
    ),
    Endpoint("ListInvitations", "GET", f"{_PATH}/invitations", lambda _call: ListInvitations(), _invitations),
    Endpoint("GetUser", "GET", _ONE, _get, user),
    Endpoint("UpdateUser", "PATCH", _ONE, _update, user, body=UserRequest),
    Endpoint("DeleteUser", "DELETE", _PATH, lambda _call: DeleteOwnUser(), nothing, status=204),
    Endpoint(
        "DeleteStale", "DELETE", _ONE, lambda call: DeleteStaleUser(path_id(call, "user_id")), nothing, status=204
    ),
    Endpoint(
        "DeleteUserAccount",
        "DELETE",
        _ONE + "/accounts",
        lambda call: RemoveUser(path_id(call, "user_id")),
        nothing,
        status=204,
    ),
)
