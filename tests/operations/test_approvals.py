"""Requests for approval through the corridor: asked for, approved, carried out once; and every attempt to cheat."""

from __future__ import annotations

import pytest

from kms.objects.models import SecurityObject
from kms.operations.errors import ApprovalRequired
from kms.operations.executor import execute
from kms.operations.lifecycle import DeleteObject
from policies.models import ApprovalStatus
from tests.kit.approvals import Panel, entries, new_panel, result


@pytest.fixture
def panel() -> Panel:
    return new_panel()


def gone(panel: Panel) -> bool:
    return SecurityObject.objects.get(id=str(panel.key.id)).deletion_date is not None


def test_what_a_quorum_approved_is_done_as_who_asked(panel: Panel) -> None:
    with pytest.raises(ApprovalRequired):
        execute(panel.tenant.app, DeleteObject(panel.key))
    request = panel.ask()
    assert panel.approve(request, 0).status is ApprovalStatus.PENDING
    assert not gone(panel)
    assert panel.approve(request, 2).status is ApprovalStatus.APPROVED
    assert gone(panel)
    assert result(panel.tenant.app, request) == (204, None)
    done = entries(panel, "object.delete")[-1]
    assert (done.outcome, done.reason, done.actor_id) == ("done", "approved", panel.tenant.app.id)
    assert done.details["approval"] == str(request)
    assert done.details["approvers"] == f"user {panel.reviewers[0].id}, user {panel.reviewers[2].id}"
