"""``approval_policy`` on the wire: of accounts, groups and, which is ours, of single objects.

A place for whoever holds a role (``role``) is ours too. Taking a policy away is "remove", or a policy without members.
"""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from kms.api.wire.base import Request, WireError
from kms.api.wire.flags import GROUP_FLAGS, flags_of, permissions_of
from kms.operations.quorum_policies import NO_POLICY, QuorumPolicy
from policies.guarded import CHOOSABLE, AccountProtection, GroupProtection
from policies.quorum import MAX_DEPTH, Member, MemberKind, Quorum

PROTECTABLE = {flag: permission for flag, permission in GROUP_FLAGS.items() if permission in CHOOSABLE}
Remove = Literal["remove"]


class WireQuorum(Request):
    n: int
    members: list[WirePlace]
    require_2fa: bool | None = None
    require_password: bool | None = None


class WirePlace(Request):
    """One of these."""

    quorum: WireQuorum | None = None
    user: UUID | None = None
    app: UUID | None = None
    role: UUID | None = None


class GroupApprovalPolicy(WirePlace):
    protect_permissions: list[str] | None = None
    protect_manage_operations: bool | None = None
    protect_crypto_operations: bool | None = None


class AccountApprovalPolicy(Request):
    policy: WirePlace
    manage_groups: bool | None = None
    protect_authentication_methods: bool | None = None
    protect_cryptographic_policy: bool | None = None
    protect_logging_config: bool | None = None
    protect_custom_role_updates: bool | None = None


# -- requests ------------------------------------------------------------------------------------------------------


def group_policy(body: GroupApprovalPolicy | Remove | None) -> QuorumPolicy | None:
    """Of a group or an object. None leaves it as it is."""
    if body is None or body == "remove":
        return None if body is None else NO_POLICY
    named = None if body.protect_permissions is None else permissions_of(body.protect_permissions, PROTECTABLE)
    protection = GroupProtection(named, body.protect_manage_operations, body.protect_crypto_operations)
    return _policy(body, protection)


def account_policy(body: AccountApprovalPolicy | Remove | None) -> QuorumPolicy | None:
    if body is None or body == "remove":
        return None if body is None else NO_POLICY
    protection = AccountProtection(
        groups=body.manage_groups,
        authentication=body.protect_authentication_methods,
        cryptographic=body.protect_cryptographic_policy,
        logging=body.protect_logging_config,
        roles=body.protect_custom_role_updates,
    )
    return _policy(body.policy, protection)


def _policy(place: WirePlace, protection: GroupProtection | AccountProtection) -> QuorumPolicy:
    if place.quorum is None and not _named(place):
        return NO_POLICY
    found = _read(place, 1)
    if isinstance(found, Member):
        return QuorumPolicy(Quorum(1, (found,)), protection, single=True)
    return QuorumPolicy(found, protection)


def _read(place: WirePlace, depth: int) -> Member | Quorum:
    """Looks no deeper than a quorum may be nested."""
    named, inner = _named(place), place.quorum
    if len(named) + (inner is not None) != 1:
        raise WireError("Invalid request: a member of a quorum is exactly one of user, app, role and quorum")
    if inner is None:
        return named[0]
    if depth > MAX_DEPTH:
        raise WireError(f"Invalid request: a quorum is nested at most {MAX_DEPTH} deep")
    members = tuple(_read(member, depth + 1) for member in inner.members)
    return Quorum(inner.n, members, bool(inner.require_password), bool(inner.require_2fa))


def _named(place: WirePlace) -> list[Member]:
    named = ((kind, getattr(place, kind.value)) for kind in MemberKind)
    return [Member(kind, identity) for kind, identity in named if identity is not None]


# -- answers -------------------------------------------------------------------------------------------------------


def wire_group_policy(policy: QuorumPolicy) -> dict[str, Any] | None:
    """As it was set; what was not said is left out."""
    if policy.quorum is None or not isinstance(policy.protection, GroupProtection):
        return None
    chosen = policy.protection
    said = {
        "protect_permissions": None if chosen.permissions is None else flags_of(chosen.permissions, PROTECTABLE),
        "protect_manage_operations": chosen.managing,
        "protect_crypto_operations": chosen.using,
    }
    return {**_wire_tree(policy), **_without_silence(said)}


def wire_account_policy(policy: QuorumPolicy) -> dict[str, Any] | None:
    if policy.quorum is None or not isinstance(policy.protection, AccountProtection):
        return None
    chosen = policy.protection
    said = {
        "manage_groups": chosen.groups,
        "protect_authentication_methods": chosen.authentication,
        "protect_cryptographic_policy": chosen.cryptographic,
        "protect_logging_config": chosen.logging,
        "protect_custom_role_updates": chosen.roles,
    }
    return {"policy": _wire_tree(policy), **_without_silence(said)}


def _without_silence(said: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in said.items() if value is not None}


def _wire_tree(policy: QuorumPolicy) -> dict[str, Any]:
    assert policy.quorum is not None
    return wire_tree(policy.quorum.members[0] if policy.single else policy.quorum)


def wire_tree(part: Member | Quorum) -> dict[str, Any]:
    if isinstance(part, Member):
        return {part.kind.value: str(part.id)}
    return {
        "quorum": {
            "n": part.n,
            "members": [wire_tree(member) for member in part.members],
            "require_password": part.require_password,
            "require_2fa": part.require_second_factor,
        }
    }
