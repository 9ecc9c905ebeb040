"""/sys/v1/groups on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from uuid import UUID

from accounts.models import Group
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
    unsupported,
    wire_time,
)
from kms.api.wire.client_configurations import ClientConfigurations, client_change
from kms.api.wire.cryptographic_policies import (
    WireCryptographicPolicy,
    cryptographic_change,
    wire_cryptographic_policy,
)
from kms.api.wire.custodians import custodian_policy, wire_custodian_policy
from kms.api.wire.metadata_policies import WireMetadataPolicy, metadata_change, wire_metadata_policy
from kms.api.wire.quorum_policies import GroupApprovalPolicy, Remove, WirePlace, group_policy, wire_group_policy
from kms.operations.custodians import custodians_in
from kms.operations.demanding import PolicyChange, policy_of
from kms.operations.groups import CreateGroup, DeleteGroup, GetGroup, ListGroups, UpdateGroup
from kms.operations.quorum_policies import policy_in

# The vendor's limit. What can be brought back is still there, so the window is a limit on forgetting too.
MAX_UNDO_SECONDS = 180 * 24 * 3600


class KeyHistoryPolicy(Request):
    """How long changes of keys can be taken back, in seconds."""

    undo_time_window: int


class GroupRequest(Request):
    name: str | None = None
    description: str | None = None
    custom_metadata: dict[str, str] | None = None
    add_hmg: Any = None
    approval_policy: GroupApprovalPolicy | Remove | None = None
    auto_scan: Any = None
    client_configurations: ClientConfigurations | None = None
    cryptographic_policy: WireCryptographicPolicy | Remove | None = None
    custodian_policy: WirePlace | Remove | None = None
    del_hmg: Any = None
    export_policy: Any = None
    google_access_reason_policy: Any = None
    hmg_redundancy: Any = None
    hmg_segregation: Any = None
    hmg_sync: Any = None
    key_history_policy: KeyHistoryPolicy | Literal["remove"] | None = None
    key_metadata_policy: WireMetadataPolicy | Remove | None = None
    mod_hmg: Any = None
    wrapping_key_name: Any = None
    # The vendor's CLI sends its own command-line options along with an update.
    group_id: Any = None
    users: Any = None
    n: Any = None
    require_2fa: Any = None
    require_password: Any = None
    add_quorum_policy: Any = None


_CLI_NOISE = frozenset(["group_id", "users", "n", "require_2fa", "require_password", "add_quorum_policy"])
_ACTED_ON = frozenset(
    {
        "name",
        "description",
        "custom_metadata",
        "key_history_policy",
        "approval_policy",
        "client_configurations",
        "custodian_policy",
        "cryptographic_policy",
        "key_metadata_policy",
    }
)


class GroupResponse(Response):
    group_id: UUID
    acct_id: UUID
    name: str
    creator: dict[str, str]
    created_at: str
    client_configurations: Mapping[str, Any] | None = None
    description: str | None = None
    custom_metadata: Mapping[str, str] | None = None
    key_history_policy: Mapping[str, int] | None = None
    approval_policy: Mapping[str, Any] | None = None
    custodian_policy: Mapping[str, Any] | None = None
    cryptographic_policy: Mapping[str, Any] | None = None
    key_metadata_policy: Mapping[str, Any] | None = None


_SORTS = {"name": "name", "group_id": "id"}


class ListParams(Parameters):
    limit: int | None = None
    offset: int | None = None
    filter: str | None = None
    q: str = ""
    continuation_token: str | None = None
    sort: str | None = None
    start: str | None = None
    sort_by: str | None = None
    previous_id: str | None = None
    previous_sort_value: str | None = None


def _refuse(body: GroupRequest) -> None:
    refused = [n for n in body.__struct_fields__ if n not in _ACTED_ON and n not in _CLI_NOISE]
    unsupported(**{name: getattr(body, name) or None for name in refused})


def checked_name(name: str | None, *, needed: bool) -> str | None:
    """A display name: not blank, at most 256 characters."""
    if name is None and not needed:
        return None
    if not name or not name.strip() or len(name) > 256 or "\0" in name:
        raise WireError("Invalid request: name is needed, with at most 256 characters")
    return name


def undo_seconds(policy: KeyHistoryPolicy | Literal["remove"] | None) -> int | None:
    """0 takes the policy away; None leaves it as it is."""
    if policy is None:
        return None
    seconds = 0 if policy == "remove" else policy.undo_time_window
    if not 0 <= seconds <= MAX_UNDO_SECONDS:
        raise WireError(f"Invalid request: undo_time_window is 0 to {MAX_UNDO_SECONDS} seconds")
    return seconds


def wire_undo(seconds: int | None) -> Mapping[str, int] | None:
    return {"undo_time_window": seconds} if seconds else None


def _create(call: WireCall) -> CreateGroup:
    body: GroupRequest = call.body
    _refuse(body)
    return CreateGroup(
        checked_name(body.name, needed=True) or "",
        body.description or "",
        body.custom_metadata or {},
        undo_seconds(body.key_history_policy),
        _policy(body),
    )


def _update(call: WireCall) -> UpdateGroup:
    body: GroupRequest = call.body
    _refuse(body)
    return UpdateGroup(
        path_id(call, "group_id"),
        checked_name(body.name, needed=False),
        body.description,
        body.custom_metadata,
        undo_seconds(body.key_history_policy),
        _policy(body),
    )


def _policy(body: GroupRequest) -> PolicyChange:
    """The parts of the group's policy that the request changes."""
    return PolicyChange(
        clients=client_change(body.client_configurations),
        custodians=custodian_policy(body.custodian_policy),
        quorum=group_policy(body.approval_policy),
        cryptographic=cryptographic_change(body.cryptographic_policy),
        metadata=metadata_change(body.key_metadata_policy),
    )


def _list(call: WireCall) -> ListGroups:
    wanted = parameters(call, ListParams)
    unsupported(
        filter=wanted.filter,
        continuation_token=wanted.continuation_token,
        sort_by=wanted.sort_by,
        previous_id=wanted.previous_id,
        previous_sort_value=wanted.previous_sort_value,
    )
    page = page_of(wanted.limit, wanted.offset, **sorting(wanted.sort, wanted.start, _SORTS))
    return ListGroups(page, searched(wanted.q))


def group(row: Group) -> GroupResponse:
    return GroupResponse(
        group_id=row.id,
        acct_id=row.account_id,
        name=row.name,
        creator=creator_of(row.creator_kind, row.creator_id),
        created_at=wire_time(row.created_at) or "",
        client_configurations=policy_of(row).clients,
        custodian_policy=wire_custodian_policy(custodians_in(policy_of(row))),
        description=row.description or None,
        custom_metadata=row.custom_metadata or None,
        key_history_policy=wire_undo(row.undo_seconds),
        approval_policy=wire_group_policy(policy_in(policy_of(row))),
        cryptographic_policy=wire_cryptographic_policy(policy_of(row).cryptographic),
        key_metadata_policy=wire_metadata_policy(policy_of(row).metadata),
    )


_PATH = "/sys/v1/groups"
_ONE = _PATH + "/{group_id}"
ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("ListGroups", "GET", _PATH, _list, lambda rows: [group(row) for row in rows]),
    Endpoint("CreateGroup", "POST", _PATH, _create, group, body=GroupRequest, status=201),
    Endpoint("GetGroup", "GET", _ONE, lambda call: GetGroup(path_id(call, "group_id")), group),
    Endpoint("UpdateGroup", "PATCH", _ONE, _update, group, body=GroupRequest),
    Endpoint("DeleteGroup", "DELETE", _ONE, lambda call: DeleteGroup(path_id(call, "group_id")), nothing, status=204),
)
