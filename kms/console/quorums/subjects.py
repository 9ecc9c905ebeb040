"""What a quorum can be set on: an account, a group, its custodians, a single object. Read and written by the API."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from kms.console.visit import Visit


@dataclass(frozen=True, slots=True)
class Subject:
    """``policy`` is what is in force now. ``operation`` of the API sets it, in a ``field`` of its
    body, for ``ids``."""

    kind: str
    name: str
    back: str
    policy: Mapping[str, Any] | None
    operation: str
    field: str
    ids: Mapping[str, str]
    # The policy of others that stands before a change of this one.
    guarded_by: Mapping[str, Any] | None = None

    @property
    def version(self) -> str:
        """Changes when the policy does."""
        return hashlib.sha256(json.dumps(self.policy, sort_keys=True).encode()).hexdigest()[:32]

    def write(self, visit: Visit, policy: Mapping[str, Any] | str) -> Any:
        return visit.call(self.operation, query=None, body={self.field: policy}, authorization=None, **self.ids)


Reader = Callable[..., Subject]


def group(visit: Visit, group_id: str) -> Subject:
    found = visit.call("GetGroup", group_id=group_id)
    back = reverse("group-policies", kwargs={"group_id": group_id})
    policy = found.get("approval_policy")
    return Subject(
        "group", found["name"], back, policy, "UpdateGroup", "approval_policy", {"group_id": group_id}, policy
    )


def custodians(visit: Visit, group_id: str) -> Subject:
    found = visit.call("GetGroup", group_id=group_id)
    back, policy = reverse("group-policies", kwargs={"group_id": group_id}), found.get("custodian_policy")
    ids, guard = {"group_id": group_id}, found.get("approval_policy")
    return Subject("custodians", found["name"], back, policy, "UpdateGroup", "custodian_policy", ids, guard)


def account(visit: Visit) -> Subject:
    shell = visit.shell
    acct_id = str(shell.account["acct_id"]) if shell is not None and shell.account is not None else ""
    found = visit.call("GetAccount", acct_id=acct_id)
    policy = found.get("approval_policy")
    ids, back = {"acct_id": acct_id}, reverse("settings-approvals")
    return Subject("account", found["name"], back, policy, "UpdateAccount", "approval_policy", ids, policy)


def single_object(visit: Visit, key_id: str) -> Subject:
    found = visit.call("GetSobjectById", key_id=key_id)
    back, policy = f"/objects/{key_id}", found.get("approval_policy")
    return Subject(
        "object", found["name"], back, policy, "UpdateSobject", "approval_policy", {"key_id": key_id}, policy
    )


TITLES: Mapping[str, str | Promise] = {
    "group": _("Quorum of a group"),
    "custodians": _("Custodians of a group"),
    "account": _("Quorum of the account"),
    "object": _("Quorum of a security object"),
}
LEADS: Mapping[str, str | Promise] = {
    "group": _("Who must agree before something is done with the group's keys, apps or policies."),
    "custodians": _("Who holds a component when a key of this group is taken out, or brought in, in parts."),
    "account": _("Who must agree before somebody changes how the account is run."),
    "object": _("Who must agree before something is done with this object, beside what its group asks for."),
}
