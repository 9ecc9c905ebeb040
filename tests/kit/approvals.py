"""Requests for approval as tests make them: an account whose group is guarded, and those who vote."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from accounts.clock import clock
from accounts.principal import Principal
from kms.audit.models import AuditRecord
from kms.operations import approving
from kms.operations.approvals import (
    ApprovalView,
    DenyApproval,
    GetApproval,
    GetApprovalResult,
    GiveApproval,
    RequestApproval,
)
from kms.operations.command import ObjectRef
from kms.operations.executor import execute
from kms.operations.vote_proofs import VoteProof
from kms.operations.wire_form import WireForm
from kms.secret import SecretBytes
from policies.models import ApprovalRequest
from policies.permissions import Permission
from tests.kit.quorums import guard_group, users
from tests.kit.tenants import Tenant, new_tenant

GUARDED = (
    Permission.OBJECT_DELETE,
    Permission.OBJECT_ROTATE,
    Permission.OBJECT_EXPORT,
    Permission.OBJECT_CREATE,
    Permission.OBJECT_ENCRYPT,
)
NO_PROOF = VoteProof()


def form(method: str, operation: str, body: Any = None) -> WireForm:
    text = b"" if body is None else json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    return WireForm(method, operation, SecretBytes(text))


def deletion(key: ObjectRef) -> WireForm:
    return form("DELETE", f"/crypto/v1/keys/{key.id}")


@dataclass
class Panel:
    """A tenant whose group is guarded by two of three reviewers, and a key in it that was there before."""

    tenant: Tenant
    key: ObjectRef
    reviewers: list[Principal]

    def ask(self, wanted: WireForm | None = None, by: Principal | None = None) -> UUID:
        view: ApprovalView = execute(by or self.tenant.app, RequestApproval(wanted or deletion(self.key)))
        return view.row.id

    def approve(self, request: UUID, *numbers: int) -> ApprovalView:
        """By these reviewers; what the last one is answered."""
        for number in numbers:
            view: ApprovalView = give(self.reviewers[number], request)
        return view

    def deny(self, request: UUID, number: int = 0) -> ApprovalView:
        view: ApprovalView = execute(self.reviewers[number], DenyApproval(request, "no"))
        return view


def give(reviewer: Principal, request: UUID, proof: VoteProof = NO_PROOF) -> ApprovalView:
    view: ApprovalView = execute(reviewer, GiveApproval(request, proof))
    return view


def seen(who: Principal, request: UUID) -> ApprovalView:
    view: ApprovalView = execute(who, GetApproval(request))
    return view


def result(who: Principal, request: UUID) -> tuple[int, Any]:
    rendered = execute(who, GetApprovalResult(request))
    return rendered.status, json.loads(rendered.body.reveal())


def row(request: UUID) -> ApprovalRequest:
    return ApprovalRequest.objects.get(id=request)


def expire(request: UUID) -> None:
    """Asked for long ago, with a digest that says so."""
    found = row(request)
    kept = approving.opened(found)
    found.expires_at = clock.now() - timedelta(seconds=1)
    approving.keep(found, kept)
    found.save()


def entries(panel: Panel, action: str) -> list[AuditRecord]:
    return list(AuditRecord.objects.filter(account_id=panel.tenant.account.id, action=action).order_by("sequence"))


def new_panel(needed: int = 2, **asked: bool) -> Panel:
    tenant = new_tenant()
    key = tenant.key(operations=["encrypt", "decrypt", "export"])
    reviewers = [tenant.member("member") for _ in range(3)]
    guard_group(tenant.group, users(needed, [each.id for each in reviewers], **asked), GUARDED)
    return Panel(tenant, key, reviewers)
