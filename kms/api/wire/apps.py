"""/sys/v1/apps on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any
from uuid import UUID

from kms.api.wire.app_credentials import AUTH_TYPES, CredentialRequest, SecretSize, credentials, replacement
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
    searched,
    sorting,
    time_of,
    unsupported,
    uuid_of,
    wire_time,
)
from kms.api.wire.client_configurations import ClientConfigurations, client_change
from kms.api.wire.groups import checked_name
from kms.api.wire.names import APP_PERMISSIONS, LEGACY_APP_PERMISSIONS
from kms.operations.app_credentials import Replacement
from kms.operations.app_trust import NewSecret, expiry_of
from kms.operations.apps import (
    AppView,
    CreateApp,
    DeleteApp,
    GetApp,
    GetAppCredential,
    ListApps,
    ResetAppSecret,
    UpdateApp,
)
from policies.permissions import Permission

WireGroups = dict[str, list[str] | None] | list[str]


class OauthConfig(Request):
    state: str
    redirect_uris: list[str] | None = None


class AppRequest(Request):
    """``rate_limit`` (calls a second) and ``credential_expires_at`` are ours."""

    name: str | None = None
    description: str | None = None
    interface: str | None = None
    app_type: str | None = None
    enabled: bool | None = None
    default_group: UUID | None = None
    add_groups: WireGroups | None = None
    mod_groups: WireGroups | None = None
    del_groups: list[UUID] | None = None
    role: str | None = None
    secret_size: int | None = None
    ip_address_policy: Any = None
    credential: CredentialRequest | None = None
    account_membership: Any = None
    client_configurations: ClientConfigurations | None = None
    credential_migration_period: int | None = None
    credential_expires_at: str | None = None
    oauth_config: OauthConfig | None = None
    rate_limit: int | None = None


class ResetSecretRequest(Request):
    secret_size: int | None = None
    credential_migration_period: int | None = None
    credential_expires_at: str | None = None


class AppResponse(Response):
    app_id: UUID
    acct_id: UUID
    name: str
    creator: dict[str, str]
    created_at: str
    enabled: bool
    auth_type: str
    groups: Any
    role: str
    legacy_access: bool = True
    app_type: str = ""
    client_configurations: Mapping[str, Any] | None = None
    ip_address_policy: Any = None
    last_operations: Mapping[str, int] | None = None
    description: str | None = None
    interface: str | None = None
    default_group: UUID | None = None
    cert_not_after: str | None = None
    lastused_at: str | None = None
    credential_expires_at: str | None = None
    rate_limit: int | None = None


_SORTS = {"name": "name", "app_id": "id"}


class ListParams(Parameters):
    """``q``, a part of the name, is ours."""

    q: str = ""
    group_id: UUID | None = None
    limit: int | None = None
    offset: int | None = None
    group_permissions: bool | None = None
    role: str | None = None
    sort: str | None = None
    start: str | None = None
    filter: str | None = None
    continuation_token: str | None = None


class GetParams(Parameters):
    group_permissions: bool | None = None
    role: str | None = None


# -- requests ------------------------------------------------------------------------------------------------------


def _groups_of(groups: WireGroups | None) -> dict[UUID, frozenset[Permission]]:
    """A list of ids gives the vendor's legacy permissions; a map gives what it names, and an empty list nothing."""
    if groups is None:
        return {}
    if isinstance(groups, list):
        return {uuid_of(group, "add_groups"): LEGACY_APP_PERMISSIONS for group in groups}
    return {uuid_of(group, "add_groups"): _permissions(names) for group, names in groups.items()}


def _permissions(names: list[str] | None) -> frozenset[Permission]:
    if names is None:
        return LEGACY_APP_PERMISSIONS
    if set(names) - APP_PERMISSIONS.keys():
        raise WireError(f"Invalid request: unknown app permission (known are {', '.join(APP_PERMISSIONS)})")
    return frozenset(APP_PERMISSIONS[name] for name in names)


def _ip_ranges(policy: Any) -> tuple[str, ...] | None:
    if policy is None:
        return None
    if policy == "allow_all":
        return ()
    try:
        return tuple(str(ip_network(text, strict=False)) for text in policy["whitelist"])
    except (KeyError, TypeError, ValueError):
        raise WireError("Invalid request: ip_address_policy is allow_all or {whitelist: [addresses]}") from None


def _refuse(body: AppRequest) -> None:
    """Nobody acts for a user through an app here, so the one state that says so is taken."""
    oauth = body.oauth_config
    unsupported(
        account_membership=body.account_membership,
        oauth_config=None if oauth is None or oauth == OauthConfig(state="disabled") else oauth,
    )
    if body.role not in (None, "crypto", "admin"):
        raise WireError("Invalid request: role is crypto or admin")


def _replacement(body: AppRequest | ResetSecretRequest, given: CredentialRequest | None) -> Replacement | None:
    return replacement(
        given,
        secret_size=body.secret_size,
        period=body.credential_migration_period,
        expires_at=body.credential_expires_at,
    )


def _create(call: WireCall) -> CreateApp:
    body: AppRequest = call.body
    _refuse(body)
    return CreateApp(
        name=checked_name(body.name, needed=True) or "",
        default_group=body.default_group,
        groups=_groups_of(body.add_groups),
        description=body.description or "",
        interface=body.interface or "",
        app_type=body.app_type or "",
        role=body.role or "crypto",
        enabled=body.enabled is not False,
        ip_ranges=_ip_ranges(body.ip_address_policy) or (),
        rate_limit=body.rate_limit,
        credential=_first(body),
        clients=client_change(body.client_configurations),
    )


def _first(body: AppRequest) -> Replacement:
    """Nothing is replaced, so a migration period has nothing to act on; clients may send one all the same."""
    body.credential_migration_period = None
    made = _replacement(body, body.credential)
    return made or Replacement(NewSecret(), expires_at=time_of(body.credential_expires_at, "credential_expires_at"))


def _update(call: WireCall) -> UpdateApp:
    body: AppRequest = call.body
    _refuse(body)
    unsupported(role=body.role, secret_size=body.secret_size if body.credential is None else None)
    changed = _replacement(body, body.credential)
    if changed is None and (body.credential_migration_period or body.credential_expires_at):
        raise WireError("Invalid request: credential_migration_period and credential_expires_at need a credential")
    return UpdateApp(
        app=path_id(call, "app_id"),
        name=checked_name(body.name, needed=False),
        description=body.description,
        interface=body.interface,
        app_type=body.app_type,
        enabled=body.enabled,
        default_group=body.default_group,
        ip_ranges=_ip_ranges(body.ip_address_policy),
        rate_limit=body.rate_limit,
        credential=changed,
        add_groups=_groups_of(body.add_groups),
        change_groups=_groups_of(body.mod_groups),
        remove_groups=frozenset(body.del_groups or ()),
        clients=client_change(body.client_configurations),
    )


def _list(call: WireCall) -> ListApps:
    wanted = parameters(call, ListParams)
    unsupported(filter=wanted.filter, continuation_token=wanted.continuation_token)
    page = page_of(wanted.limit, wanted.offset, **sorting(wanted.sort, wanted.start, _SORTS))
    return ListApps(page, wanted.group_id, wanted.role, searched(wanted.q))


def _get(call: WireCall) -> GetApp:
    parameters(call, GetParams)
    return GetApp(path_id(call, "app_id"))


def _reset(call: WireCall) -> ResetAppSecret:
    body = call.body or ResetSecretRequest()
    made = _replacement(body, CredentialRequest(secret=SecretSize()))
    assert made is not None  # a credential was given
    return ResetAppSecret(path_id(call, "app_id"), made)


# -- responses -----------------------------------------------------------------------------------------------------


def app(view: AppView) -> AppResponse:
    """Groups as a map to permissions: the vendor's current clients read it, and its older ones read the keys of it."""
    row, credential = view.row, view.credential
    groups = {str(group): _wire_permissions(held) for group, held in sorted(view.groups.items())}
    return AppResponse(
        app_id=row.id,
        acct_id=row.account_id,
        name=row.name,
        creator=creator_of(row.creator_kind, row.creator_id),
        created_at=wire_time(row.created_at) or "",
        enabled=row.enabled,
        auth_type=AUTH_TYPES[credential.kind],
        groups=groups,
        role=row.role,
        legacy_access=False,
        app_type=row.app_type,
        client_configurations=row.clients,
        ip_address_policy={"whitelist": row.ip_ranges} if row.ip_ranges else "allow_all",
        last_operations={},
        description=row.description or None,
        interface=row.interface or None,
        default_group=row.default_group_id,
        cert_not_after=wire_time(expiry_of(credential.kind, credential.config)),
        lastused_at=wire_time(view.seen_at),
        credential_expires_at=wire_time(credential.expires_at),
        rate_limit=row.rate_limit,
    )


def _wire_permissions(held: frozenset[Permission]) -> list[str]:
    return [name for name, permission in APP_PERMISSIONS.items() if permission in held]


_PATH = "/sys/v1/apps"
_ONE = _PATH + "/{app_id}"
ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("ListApps", "GET", _PATH, _list, lambda views: [app(view) for view in views]),
    Endpoint("CreateApp", "POST", _PATH, _create, app, body=AppRequest, status=201),
    Endpoint("GetApp", "GET", _ONE, _get, app),
    Endpoint("UpdateApp", "PATCH", _ONE, _update, app, body=AppRequest),
    Endpoint("DeleteApp", "DELETE", _ONE, lambda call: DeleteApp(path_id(call, "app_id")), nothing, status=204),
    Endpoint(
        "GetAppCredential",
        "GET",
        _ONE + "/credential",
        lambda call: GetAppCredential(path_id(call, "app_id")),
        credentials,
    ),
    Endpoint(
        "ResetAppSecret", "POST", _ONE + "/reset_secret", _reset, app, body=ResetSecretRequest, optional_body=True
    ),
)
