"""Policies of accounts and groups. Each part is checked and written by a room of its own, all of them in one row.

A part joins by a line in PARTS and a field of PolicyChange. It must not know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any, overload

from accounts.models import Account, Group
from kms.operations import (
    approval_settings,
    client_configurations,
    custodians,
    object_policies,
    quorum_policies,
    webhooks,
)
from kms.operations.approval_settings import ApprovalSettings
from kms.operations.client_configurations import ClientChange
from kms.operations.command import Call, Resolved
from kms.operations.custodians import CustodianPolicy
from kms.operations.object_policies import CryptographicChange, MetadataChange
from kms.operations.quorum_policies import QuorumPolicy
from kms.operations.webhooks import Webhook
from policies.decision import Target
from policies.models import AccountPolicy, GroupPolicy
from policies.permissions import Permission

PolicyRow = AccountPolicy | GroupPolicy


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """The parts that are to change; None leaves one as it is."""

    approval_settings: ApprovalSettings | None = None
    approval_webhook: Webhook | None = None
    quorum: QuorumPolicy | None = None
    clients: ClientChange | None = None
    custodians: CustodianPolicy | None = None
    cryptographic: CryptographicChange | None = None
    metadata: MetadataChange | None = None

    def parts(self) -> Iterator[tuple[str, Any]]:
        for each in fields(self):
            wanted = getattr(self, each.name)
            if wanted is not None:
                yield each.name, wanted

    def __bool__(self) -> bool:
        return any(self.parts())


NO_CHANGE = PolicyChange()


@dataclass(frozen=True, slots=True)
class Part:
    """``needs`` names the permissions that a change of the row asks for; ``write`` checks it and puts it there."""

    needs: Callable[[PolicyRow, Any], Iterable[Permission]]
    write: Callable[[Call, PolicyRow, Any], None]


PARTS = {
    "cryptographic": Part(object_policies.cryptographic_needs, object_policies.cryptographic_write),
    "metadata": Part(object_policies.metadata_needs, object_policies.metadata_write),
    "clients": Part(client_configurations.needs, client_configurations.write),
    "custodians": Part(custodians.needs, custodians.write),
    "approval_settings": Part(approval_settings.needs, approval_settings.write),
    "approval_webhook": Part(webhooks.needs, webhooks.write),
    "quorum": Part(quorum_policies.needs, quorum_policies.write),
}


@overload
def policy_of(owner: Account) -> AccountPolicy: ...
@overload
def policy_of(owner: Group) -> GroupPolicy: ...
def policy_of(owner: Account | Group) -> PolicyRow:
    """What the owner demands; a row that is not saved yet when it demands nothing."""
    found: PolicyRow | None = getattr(owner, "policy", None)
    if found is not None:
        return found
    if isinstance(owner, Account):
        return AccountPolicy(account=owner)
    return GroupPolicy(group=owner, account_id=owner.account_id)


def resolve_policies(target: Target, owner: Account | Group, change: PolicyChange) -> list[Resolved]:
    """Each part has rights of its own. The owner's row is locked, so that what is there now stays."""
    row = policy_of(owner)
    needed = (permission for name, wanted in change.parts() for permission in PARTS[name].needs(row, wanted))
    return [Resolved(permission, target, owner) for permission in dict.fromkeys(needed)]


def change_policies(call: Call, owner: Account | Group, change: PolicyChange) -> None:
    row = policy_of(owner)
    for name, wanted in change.parts():
        PARTS[name].write(call, row, wanted)
    if change:
        row.save()
        call.details["fields"] = ",".join(sorted([*_recorded(call), *(name for name, _ in change.parts())]))


def _recorded(call: Call) -> list[str]:
    fields = call.details.get("fields")
    return [str(fields)] if fields else []
