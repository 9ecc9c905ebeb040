"""``custodian_policy`` of groups on the wire: the same tree as an approval policy's. "remove" takes it away."""

from __future__ import annotations

from typing import Any

from kms.api.wire.quorum_policies import GroupApprovalPolicy, Remove, WirePlace, group_policy, wire_tree
from kms.operations.custodians import CustodianPolicy
from policies.quorum import Quorum


def custodian_policy(body: WirePlace | Remove | None) -> CustodianPolicy | None:
    """None leaves it as it is; one without members is none."""
    if body is None or body == "remove":
        return None if body is None else CustodianPolicy()
    read = group_policy(GroupApprovalPolicy(quorum=body.quorum, user=body.user, app=body.app, role=body.role))
    return None if read is None else CustodianPolicy(read.quorum)


def wire_custodian_policy(quorum: Quorum | None) -> dict[str, Any] | None:
    return None if quorum is None else wire_tree(quorum)
