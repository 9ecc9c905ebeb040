"""/sys/v1/accounts on the wire, and the empty list of plugins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from uuid import UUID

from msgspec import UNSET, UnsetType

from kms.api.wire.approval_webhooks import ApprovalWebhook, webhook_of
from kms.api.wire.auth_config import AuthConfig, WireAuthConfig, authentication_change, wire_auth_config
from kms.api.wire.auth_ldap import AuthConfigLdap
from kms.api.wire.base import (
    Endpoint,
    Parameters,
    Request,
    Response,
    WireCall,
    nothing,
    parameters,
    path_id,
    unsupported,
    wire_time,
)
from kms.api.wire.client_configurations import ClientConfigurations, client_change
from kms.api.wire.cryptographic_policies import (
    WireCryptographicPolicy,
    cryptographic_change,
    wire_cryptographic_policy,
)
from kms.api.wire.groups import KeyHistoryPolicy, checked_name, undo_seconds, wire_undo
from kms.api.wire.logging_configs import LoggingConfig, sink_change, wire_configs, wire_shipping
from kms.api.wire.metadata_policies import WireMetadataPolicy, metadata_change, wire_metadata_policy
from kms.api.wire.quorum_policies import AccountApprovalPolicy, Remove, account_policy, wire_account_policy
from kms.operations.accounts import (
    AccountView,
    CreateAccount,
    DeleteAccount,
    GetAccount,
    ListAccounts,
    ListPlugins,
    UpdateAccount,
)
from kms.operations.approval_settings import ApprovalSettings
from kms.operations.demanding import PolicyChange
from kms.operations.quorum_policies import policy_in
from policies.models import AccountPolicy


class AccountRequest(Request):
    name: str | None = None
    description: str | None = None
    organization: str | None = None
    country: str | None = None
    phone: str | None = None
    custom_metadata: dict[str, str] | None = None
    add_ldap: list[AuthConfigLdap] | None = None
    add_logging_configs: list[LoggingConfig] | None = None
    approval_policy: AccountApprovalPolicy | Remove | None = None
    approval_request_expiry: int | None = None
    approval_webhook: ApprovalWebhook | Literal["remove"] | None = None
    auth_config: AuthConfig | None = None
    check_access_for_sensitive_operation_results: bool | None = None
    client_configurations: ClientConfigurations | None = None
    cryptographic_policy: WireCryptographicPolicy | Remove | None = None
    custom_logo: Any = None
    custom_metadata_attributes: Any = None
    del_ldap: list[UUID] | None = None
    del_logging_configs: list[UUID] | None = None
    enabled: Any = None
    key_expiry_alert_config: Any = None
    key_history_policy: KeyHistoryPolicy | Literal["remove"] | None = None
    key_metadata_policy: WireMetadataPolicy | Remove | None = None
    log_bad_requests: Any = None
    log_expired_pending_requests: bool | None = None
    log_retention_days: Any = None
    mark_key_disable_when_deactivated: Any = None
    mod_ldap: dict[UUID, AuthConfigLdap] | None = None
    mod_logging_configs: dict[UUID, LoggingConfig] | None = None
    notification_pref: Any = None
    parent_acct_id: Any = None
    pending_subscription_change_request: Any = None
    plugin_code_signing_policy: Any = None
    plugin_enabled: Any = None
    purpose: Any = None
    retain_expired_requests: bool | None = None
    subscription: Any = None
    workspace_cse_config: Any = None


_PROFILE = frozenset({"name", "description", "organization", "country", "phone", "custom_metadata"})
_AUTHENTICATION = frozenset({"auth_config", "add_ldap", "mod_ldap", "del_ldap"})
_APPROVALS = frozenset(
    {
        "approval_request_expiry",
        "check_access_for_sensitive_operation_results",
        "log_expired_pending_requests",
        "retain_expired_requests",
    }
)
_ON_OBJECTS = frozenset({"cryptographic_policy", "key_metadata_policy"})
_POLICY = _APPROVALS | _ON_OBJECTS | {"client_configurations", "approval_policy", "approval_webhook"}
_LOGGING = frozenset({"add_logging_configs", "mod_logging_configs", "del_logging_configs"})
_ACTED_ON = _PROFILE | _AUTHENTICATION | _POLICY | _LOGGING | {"key_history_policy"}
_STANDARD = {"$type": "Standard"}


class AccountResponse(Response, omit_defaults=False):
    acct_id: UUID
    name: str
    enabled: bool
    subscription: Mapping[str, Any]
    logging_configs: Mapping[str, Any]
    mark_key_disable_when_deactivated: bool
    purpose: Mapping[str, str]
    original_purpose: Mapping[str, str]
    state: str
    auth_type: str
    created_at: str | None = None
    description: str | None = None
    organization: str | None = None
    country: str | None = None
    phone: str | None = None
    custom_metadata: Mapping[str, str] | None = None
    plugin_enabled: bool = False
    key_history_policy: Mapping[str, int] | None = None
    auth_config: WireAuthConfig | UnsetType = UNSET
    approval_policy: Mapping[str, Any] | UnsetType = UNSET
    approval_request_expiry: int | UnsetType = UNSET
    approval_webhook: Mapping[str, str] | UnsetType = UNSET
    client_configurations: Mapping[str, Any] | UnsetType = UNSET
    log_shipping: Mapping[str, Any] | UnsetType = UNSET
    cryptographic_policy: Mapping[str, Any] | UnsetType = UNSET
    key_metadata_policy: Mapping[str, Any] | UnsetType = UNSET
    check_access_for_sensitive_operation_results: bool | UnsetType = UNSET
    log_expired_pending_requests: bool | UnsetType = UNSET
    retain_expired_requests: bool | UnsetType = UNSET


class AccountParams(Parameters):
    with_totals: bool | None = None
    limit: int | None = None
    previous_id: UUID | None = None
    sort_by: str | None = None


class PluginParams(Parameters):
    group_id: UUID | None = None
    limit: int | None = None
    offset: int | None = None
    sort: str | None = None
    start: str | None = None
    filter: str | None = None


def _refuse(body: AccountRequest) -> None:
    unsupported(**{name: getattr(body, name) for name in body.__struct_fields__ if name not in _ACTED_ON})


def _create(call: WireCall) -> CreateAccount:
    _refuse(call.body)
    body: AccountRequest = call.body
    unsupported(
        custom_metadata=body.custom_metadata or None,
        key_history_policy=body.key_history_policy,
        **{name: getattr(body, name) for name in _AUTHENTICATION | _POLICY | _LOGGING},
    )
    name = checked_name(body.name, needed=True) or ""
    return CreateAccount(name, body.description or "", body.organization or "", body.country or "", body.phone or "")


def _update(call: WireCall) -> UpdateAccount:
    _refuse(call.body)
    body: AccountRequest = call.body
    return UpdateAccount(
        path_id(call, "acct_id"),
        checked_name(body.name, needed=False),
        body.description,
        body.organization,
        body.country,
        body.phone,
        body.custom_metadata,
        undo_seconds(body.key_history_policy),
        authentication_change(body.auth_config, add_ldap=body.add_ldap, mod_ldap=body.mod_ldap, del_ldap=body.del_ldap),
        _policy(body),
        sink_change(body.add_logging_configs, body.mod_logging_configs, body.del_logging_configs),
    )


def _policy(body: AccountRequest) -> PolicyChange:
    """The parts of the account's policy that the request changes."""
    settings = ApprovalSettings(
        body.approval_request_expiry,
        body.check_access_for_sensitive_operation_results,
        body.log_expired_pending_requests,
        body.retain_expired_requests,
    )
    return PolicyChange(
        clients=client_change(body.client_configurations),
        approval_settings=None if settings == ApprovalSettings() else settings,
        approval_webhook=webhook_of(body.approval_webhook),
        quorum=account_policy(body.approval_policy),
        cryptographic=cryptographic_change(body.cryptographic_policy),
        metadata=metadata_change(body.key_metadata_policy),
    )


def _list(call: WireCall) -> ListAccounts:
    parameters(call, AccountParams)
    return ListAccounts()


def _get(call: WireCall) -> GetAccount:
    parameters(call, AccountParams)
    return GetAccount(path_id(call, "acct_id"))


def _plugins(call: WireCall) -> ListPlugins:
    parameters(call, PluginParams)
    return ListPlugins()


def account(view: AccountView) -> AccountResponse:
    row, policy = view.row, view.policy
    return AccountResponse(
        acct_id=row.id,
        name=row.name,
        enabled=row.enabled,
        subscription={"on_prem": {}},
        logging_configs=wire_configs(view.sinks),
        mark_key_disable_when_deactivated=False,
        purpose=_STANDARD,
        original_purpose=_STANDARD,
        state="Activated" if row.enabled else "Disabled",
        auth_type="Fortanix",
        created_at=wire_time(row.created_at),
        description=row.description or None,
        organization=row.organization or None,
        country=row.country or None,
        phone=row.phone or None,
        custom_metadata=row.custom_metadata or None,
        key_history_policy=wire_undo(row.undo_seconds),
        auth_config=wire_auth_config(view.authentication) or UNSET,
        log_shipping=wire_shipping(view.sinks) or UNSET,
        approval_webhook={"url": view.webhook_url} if view.webhook_url else UNSET,
        **({} if policy is None else _wire_policy(policy)),
    )


def _wire_policy(policy: AccountPolicy) -> dict[str, Any]:
    """What the account demands: what is not set is left out."""
    cryptographic, metadata = wire_cryptographic_policy(policy.cryptographic), wire_metadata_policy(policy.metadata)
    return {
        "cryptographic_policy": UNSET if cryptographic is None else cryptographic,
        "key_metadata_policy": UNSET if metadata is None else metadata,
        "approval_policy": wire_account_policy(policy_in(policy)) or UNSET,
        "approval_request_expiry": UNSET if policy.approval_seconds is None else policy.approval_seconds,
        "check_access_for_sensitive_operation_results": policy.check_results or UNSET,
        "log_expired_pending_requests": policy.log_expired or UNSET,
        "retain_expired_requests": policy.retain_expired or UNSET,
        "client_configurations": policy.clients or UNSET,
    }


_PATH = "/sys/v1/accounts"
_ONE = _PATH + "/{acct_id}"
ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("ListAccounts", "GET", _PATH, _list, lambda rows: [account(row) for row in rows]),
    Endpoint("CreateAccount", "POST", _PATH, _create, account, body=AccountRequest, status=201),
    Endpoint("GetAccount", "GET", _ONE, _get, account),
    Endpoint("UpdateAccount", "PATCH", _ONE, _update, account, body=AccountRequest),
    Endpoint(
        "DeleteAccount", "DELETE", _ONE, lambda call: DeleteAccount(path_id(call, "acct_id")), nothing, status=204
    ),
    Endpoint("ListPlugins", "GET", "/sys/v1/plugins", _plugins, list),
)
