"""Requests for approval through the corridor: asked for, approved, carried out once; and every attempt to cheat."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from accounts.clock import clock
from accounts.models import App, AppGroup, GroupMembership, Membership, User
from accounts.principal import Principal
from kms.audit.models import AuditRecord
from kms.crypto.algorithm import CipherParameters
from kms.hsm.errors import BlobRejected, ModuleUnavailable
from kms.objects.models import SecurityObject
from kms.operations import approvals, approving
from kms.operations.approvals import (
    DeleteApproval,
    DenyApproval,
    GetApproval,
    GetApprovalResult,
    ListApprovals,
    RequestApproval,
)
from kms.operations.cryptographic import Encrypt
from kms.operations.errors import AccessDenied, ApprovalRequired, Conflict, InvalidRequest, NotFound
from kms.operations.executor import execute, execute_approved
from kms.operations.keeper import Keeper
from kms.operations.lifecycle import DeleteObject
from kms.operations.queries import Page
from kms.operations.updating import UpdateObject
from kms.operations.users import UpdateUser
from kms.operations.vote_proofs import VoteProof
from kms.secret import SecretBytes
from policies.models import AccountPolicy, Approval, ApprovalRequest, ApprovalStatus, GroupPolicy
from policies.permissions import Permission
from policies.quorum import Member, MemberKind, Quorum
from policies.stored import stored_tree
from policies.system_roles import SYSTEM_ROLE_ID, RoleKind
from tests.kit.approvals import Panel, deletion, entries, expire, form, give, new_panel, result, row, seen
from tests.kit.quorums import users
from tests.kit.tenants import PASSWORD, app_principal, new_tenant, new_user, unique, user_principal
from tests.kit.threads import at_once

PENDING, APPROVED, DENIED, FAILED = ApprovalStatus


@pytest.fixture
def panel() -> Panel:
    return new_panel()


@pytest.fixture(scope="module")
def shared(installation: None) -> Panel:
    """For tests that leave it as they found it."""
    return new_panel()


def gone(panel: Panel) -> bool:
    return SecurityObject.objects.get(id=str(panel.key.id)).deletion_date is not None


def administrator(panel: Panel) -> Principal:
    """Another one, who stands behind no app."""
    user = new_user()
    Membership.objects.create(user=user, account=panel.tenant.account, role="administrator")
    return user_principal(user, panel.tenant.account.id)


def set_quorum(panel: Panel, quorum: Quorum) -> None:
    GroupPolicy.objects.filter(group=panel.tenant.group).update(quorum=stored_tree(quorum))


# -- the way it is meant -------------------------------------------------------------------------------------------


def test_what_a_quorum_approved_is_done_as_who_asked(panel: Panel) -> None:
    with pytest.raises(ApprovalRequired):
        execute(panel.tenant.app, DeleteObject(panel.key))
    request = panel.ask()
    assert panel.approve(request, 0).status is PENDING
    assert not gone(panel)
    assert panel.approve(request, 2).status is APPROVED
    assert gone(panel)
    assert result(panel.tenant.app, request) == (204, None)
    done = entries(panel, "object.delete")[-1]
    assert (done.outcome, done.reason, done.actor_id) == ("done", "approved", panel.tenant.app.id)
    assert done.details["approval"] == str(request)
    assert done.details["approvers"] == f"user {panel.reviewers[0].id}, user {panel.reviewers[2].id}"


def test_each_step_is_one_entry(panel: Panel) -> None:
    request = panel.ask()
    panel.approve(request, 0, 1)
    result(panel.tenant.app, request)
    ours = AuditRecord.objects.filter(account_id=panel.tenant.account.id, action__startswith="approval.")
    found = list(ours.order_by("sequence").values_list("action", "outcome", "object_id"))
    assert found == [
        ("approval.request", "done", request),
        ("approval.approve", "done", request),
        ("approval.approve", "done", request),
        ("approval.result", "done", request),
    ]
    assert [each.outcome for each in entries(panel, "object.delete")] == ["announced", "done"]


def test_a_key_that_an_app_was_allowed_to_make_is_the_apps(panel: Panel) -> None:
    body = {"name": unique("k"), "obj_type": "AES", "key_size": 256, "group_id": str(panel.tenant.group.id)}
    request = panel.ask(form("POST", "/crypto/v1/keys", body))
    panel.approve(request, 0, 1)
    status, made = result(panel.tenant.app, request)
    assert status == 201
    assert made["creator"] == {"app": str(panel.tenant.app.id)}
    assert SecurityObject.objects.get(id=made["kid"]).creator_id == panel.tenant.app.id


def test_calls_of_the_data_plane_wait_for_approval_too(panel: Panel) -> None:
    body = {"alg": "AES", "mode": "CBC", "plain": "c2l4dGVlbiBieXRlcyBvaw=="}
    request = panel.ask(form("POST", f"/crypto/v1/keys/{panel.key.id}/encrypt", body))
    panel.approve(request, 0, 1)
    status, answer = result(panel.tenant.app, request)
    assert status == 200
    assert answer["cipher"]
    with pytest.raises(ApprovalRequired):
        execute(panel.tenant.app, Encrypt(panel.key, "AES", CipherParameters("CBC"), b"sixteen bytes ok"))


def test_one_approval_is_one_call(panel: Panel) -> None:
    """The next of the same needs its own."""
    body = {"alg": "AES", "mode": "CBC", "plain": "c2l4dGVlbiBieXRlcyBvaw=="}
    wanted = form("POST", f"/crypto/v1/keys/{panel.key.id}/encrypt", body)
    panel.approve(panel.ask(wanted), 0, 1)
    assert panel.approve(panel.ask(wanted), 0).status is PENDING


def test_whoever_holds_the_role_may_fill_its_place(panel: Panel) -> None:
    place = Member(MemberKind.ROLE, SYSTEM_ROLE_ID[RoleKind.ACCOUNT, "auditor"])
    set_quorum(panel, Quorum(1, (place,)))
    auditor = panel.tenant.member("auditor")
    request = panel.ask()
    assert [each.id for each in seen(panel.tenant.app, request).reviewers] == [auditor.id]
    with pytest.raises(NotFound):
        panel.approve(request, 0)
    assert give(auditor, request).status is APPROVED


def test_a_keys_own_quorum_is_asked_beside_its_groups(panel: Panel) -> None:
    owner = administrator(panel)
    own = {"quorum": stored_tree(users(1, [owner.id])), "guarded": [Permission.OBJECT_DELETE]}
    SecurityObject.objects.filter(id=str(panel.key.id)).update(quorum=own)
    request = panel.ask()
    assert owner.id in {each.id for each in seen(panel.tenant.app, request).reviewers}
    assert panel.approve(request, 0, 1).status is PENDING
    assert give(owner, request).status is APPROVED


def test_the_vote_shows_who_is_still_waited_for_and_who_voted(panel: Panel) -> None:
    request = panel.ask()
    assert {each.id for each in seen(panel.tenant.app, request).reviewers} == {each.id for each in panel.reviewers}
    view = panel.approve(request, 1)
    assert view.approvers == (("user", panel.reviewers[1].id),)
    assert panel.approve(request, 2).reviewers == ()


def test_a_call_that_failed_though_approved_says_so_to_who_asked(panel: Panel) -> None:
    name = unique("taken")
    body = {"name": name, "obj_type": "AES", "key_size": 256, "group_id": str(panel.tenant.group.id)}
    first, second = (panel.ask(form("POST", "/crypto/v1/keys", body)) for _ in range(2))
    panel.approve(first, 0, 1)
    assert panel.approve(second, 0, 1).status is FAILED
    status, text = result(panel.tenant.app, second)
    assert status == 409
    assert isinstance(text, str)
    assert entries(panel, "object.create")[-1].outcome == "failed"
    (ended,) = entries(panel, "approval.fail")
    assert (ended.object_id, ended.reason) == (second, "name-taken")


# -- asking --------------------------------------------------------------------------------------------------------


def test_what_needs_no_approval_is_not_asked_for(shared: Panel) -> None:
    with pytest.raises(InvalidRequest, match="requires no approval"):
        shared.ask(form("GET", f"/crypto/v1/keys/{shared.key.id}"))


def test_what_one_may_not_do_cannot_be_asked_for(panel: Panel) -> None:
    blind = panel.tenant.new_app([])
    with pytest.raises(AccessDenied):
        panel.ask(by=blind)
    with pytest.raises(NotFound):
        panel.ask(by=new_tenant().app)
    assert not ApprovalRequest.objects.filter(account=panel.tenant.account).exists()


@pytest.mark.parametrize(
    ("method", "operation"),
    [
        ("POST", "/sys/v1/session/auth"),
        ("POST", "/sys/v1/session/terminate"),
        ("POST", "/sys/v1/approval_requests"),
        ("POST", f"/sys/v1/approval_requests/{UUID(int=7)}/approve"),
        ("POST", "/batch/v1"),
        ("POST", "/crypto/v1/keys/batch/encrypt"),
        ("GET", "/sys/v1/nowhere"),
        ("GET", "crypto/v1/keys"),
        ("TRACE", "/crypto/v1/keys"),
        ("", ""),
    ],
)
def test_what_cannot_wait_is_refused(method: str, operation: str, shared: Panel) -> None:
    with pytest.raises(InvalidRequest):
        shared.ask(form(method, operation, {}))


@pytest.mark.parametrize("body", [None, [], "text", {"nonsense": 1}, {"name": 7}])
def test_a_body_that_the_call_would_not_take_is_refused_when_asked_for(body: Any, shared: Panel) -> None:
    with pytest.raises(InvalidRequest):
        shared.ask(form("POST", "/crypto/v1/keys", body))


def test_nobody_has_more_than_so_many_waiting(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approvals, "MAX_PENDING", 3)
    started = at_once(5, lambda _: _attempt(lambda: panel.ask()))
    asked = [each for each in started if isinstance(each, UUID)]
    assert len(asked) == 3
    panel.deny(asked[0])
    panel.ask()
    panel.ask(by=panel.tenant.alice)  # another's count is their own


def _attempt(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except Conflict as refused:
        return refused


# -- who sees it ---------------------------------------------------------------------------------------------------


def test_who_has_nothing_to_do_with_a_request_does_not_find_it(panel: Panel) -> None:
    request = panel.ask()
    blind = panel.tenant.new_app(group=panel.tenant.new_group())
    for who in (panel.tenant.member("member"), blind, new_tenant().alice):
        for command in (GetApproval, DenyApproval, DeleteApproval, GetApprovalResult):
            with pytest.raises(NotFound) as refused:
                execute(who, command(request))
            assert str(refused.value) == "The request for approval does not exist"
        with pytest.raises(NotFound):
            give(who, request)
        assert execute(who, ListApprovals(Page(sort="created_at"))) == []


def test_who_sees_one_lists_it_and_the_other_way_round(panel: Panel) -> None:
    """Over everybody in an account, with requests of several groups and askers."""
    other = panel.tenant.new_group()
    apart = panel.tenant.new_app(group=other)
    AppGroup.objects.create(app_id=apart.id, group=panel.tenant.group, permissions=[Permission.OBJECT_DELETE])
    requests = [panel.ask(), panel.ask(by=panel.tenant.alice), panel.ask(by=apart)]
    auditor, outsider = panel.tenant.member("auditor"), panel.tenant.member("member")
    inside = panel.tenant.member("member")
    GroupMembership.objects.create(user_id=inside.id, group=panel.tenant.group, role="auditor")
    everybody = [panel.tenant.alice, panel.tenant.app, apart, auditor, outsider, inside, *panel.reviewers]
    counts = set()
    for who in everybody:
        listed = {view.row.id for view in execute(who, ListApprovals(Page(sort="created_at")))}
        assert listed == {request for request in requests if _sees(who, request)}
        counts.add(len(listed))
    assert counts == {0, 1, 3}


def _sees(who: Principal, request: UUID) -> bool:
    try:
        seen(who, request)
    except NotFound:
        return False
    return True


def test_lists_are_filtered_and_paged(panel: Panel) -> None:
    first, second, third = panel.ask(), panel.ask(by=panel.tenant.alice), panel.ask()
    panel.deny(third)
    spare = panel.tenant.key(group=panel.tenant.new_group())

    def listed(**wanted: Any) -> list[UUID]:
        page = wanted.pop("page", Page(sort="created_at", descending=True))
        return [view.row.id for view in execute(panel.tenant.alice, ListApprovals(page, **wanted))]

    assert listed() == [third, second, first]
    assert listed(requester=panel.tenant.alice.id) == [second]
    assert listed(status=PENDING) == [second, first]
    assert listed(status=DENIED) == [third]
    assert listed(subject=panel.key.id) == [third, second, first]
    assert listed(subject=spare.id) == []
    assert listed(reviewer=panel.reviewers[0].id) == [third, second, first]
    assert listed(reviewer=panel.tenant.app.id) == []
    assert listed(page=Page(limit=1, offset=1, sort="created_at", descending=True)) == [second]


# -- cheating: votes -----------------------------------------------------------------------------------------------


def test_nobody_votes_twice(panel: Panel) -> None:
    request = panel.ask()
    panel.approve(request, 0)
    with pytest.raises(Conflict, match="already"):
        panel.approve(request, 0)
    assert row(request).status == PENDING


def test_nobody_approves_what_they_asked_for(panel: Panel) -> None:
    set_quorum(panel, users(1, [panel.tenant.alice.id, panel.reviewers[0].id]))
    for asker in (panel.tenant.alice, panel.tenant.app):  # the app is Alice's
        request = panel.ask(by=asker)
        with pytest.raises(AccessDenied) as refused:
            give(panel.tenant.alice, request)
        assert refused.value.reason == "own-request"
        assert not Approval.objects.filter(request_id=request).exists()


def test_nobody_approves_by_an_app_of_theirs(panel: Panel) -> None:
    helper = panel.tenant.new_app()
    set_quorum(panel, Quorum(1, (Member(MemberKind.APP, helper.id),)))
    request = panel.ask(by=panel.tenant.alice)
    with pytest.raises(AccessDenied):
        give(helper, request)


def test_a_person_is_not_two_by_an_app(panel: Panel) -> None:
    """A reviewer and their app have a place each, and fill one."""
    asker, bob = administrator(panel), panel.reviewers[0]
    helper = panel.tenant.new_app()
    App.objects.filter(id=helper.id).update(creator_kind="user", creator_id=bob.id)
    set_quorum(panel, Quorum(2, (Member(MemberKind.USER, bob.id), Member(MemberKind.APP, helper.id))))
    request = panel.ask(by=asker)
    give(bob, request)
    assert give(helper, request).status is PENDING
    assert not gone(panel)


def test_who_may_see_and_is_no_reviewer_decides_nothing(panel: Panel) -> None:
    request, auditor = panel.ask(), panel.tenant.member("auditor")
    for command in (DenyApproval(request), DeleteApproval(request), GetApprovalResult(request)):
        with pytest.raises(AccessDenied):
            execute(auditor, command)
    with pytest.raises(AccessDenied):
        give(auditor, request)
    assert row(request).status == PENDING


LOSSES: dict[str, Callable[[Panel], Any]] = {
    "disabled": lambda p: Membership.objects.filter(user_id=p.reviewers[0].id).update(enabled=False),
    "not a reviewer any more": lambda p: Membership.objects.filter(user_id=p.reviewers[0].id).update(role=""),
    "removed": lambda p: Membership.objects.filter(user_id=p.reviewers[0].id).delete(),
    "deleted": lambda p: User.objects.filter(id=p.reviewers[0].id).delete(),
    "out of the quorum": lambda p: set_quorum(p, users(2, [r.id for r in p.reviewers[1:]])),
}


@pytest.mark.parametrize("lost", LOSSES.values(), ids=LOSSES)
def test_a_vote_counts_while_its_giver_could_still_give_it(lost: Callable[[Panel], Any], panel: Panel) -> None:
    request = panel.ask()
    panel.approve(request, 0)
    lost(panel)
    assert panel.approve(request, 1).status is PENDING
    assert not gone(panel)
    assert panel.approve(request, 2).status is APPROVED


@pytest.mark.parametrize("lost", LOSSES.values(), ids=LOSSES)
def test_votes_are_judged_again_when_the_call_is_carried_out(lost: Callable[[Panel], Any], panel: Panel) -> None:
    """Lost after the last vote was committed, before anything was done."""
    request = panel.ask()
    voted_without_being_carried_out(panel, request)
    lost(panel)
    Keeper().turn()
    assert row(request).status == PENDING
    assert row(request).due_at is None
    assert not gone(panel)
    assert panel.approve(request, 2).status is APPROVED


def test_a_role_that_was_lost_votes_no_more(panel: Panel) -> None:
    auditor = panel.tenant.member("auditor")
    role = Member(MemberKind.ROLE, SYSTEM_ROLE_ID[RoleKind.ACCOUNT, "auditor"])
    set_quorum(panel, Quorum(2, (role, Member(MemberKind.USER, panel.reviewers[0].id))))
    request = panel.ask()
    give(auditor, request)
    execute(panel.tenant.alice, UpdateUser(auditor.id, role="member"))
    assert panel.approve(request, 0).status is PENDING


def test_a_quorum_that_asks_more_now_is_the_one_that_counts(panel: Panel) -> None:
    set_quorum(panel, users(2, [each.id for each in panel.reviewers]))
    request = panel.ask()
    panel.approve(request, 0)
    set_quorum(panel, users(3, [each.id for each in panel.reviewers]))
    assert panel.approve(request, 1).status is PENDING
    assert panel.approve(request, 2).status is APPROVED


def test_a_quorum_that_came_later_is_asked_too(panel: Panel) -> None:
    """The request is shown to its reviewers then."""
    other = administrator(panel)
    request = panel.ask()
    panel.approve(request, 0)
    AccountPolicy.objects.create(
        account=panel.tenant.account, quorum=stored_tree(users(1, [other.id])), guarded=[Permission.OBJECT_DELETE]
    )
    assert panel.approve(request, 1).status is PENDING
    assert give(other, request).status is APPROVED


# -- cheating: what was asked --------------------------------------------------------------------------------------

EDITS: dict[str, dict[str, Any]] = {
    "method": {"method": "GET"},
    "operation": {"operation": f"/crypto/v1/keys/{uuid4()}"},
    "body": {"body_sealed": b"something else"},
    "digest": {"digest": bytes(32)},
    "requester": {"requester_id": uuid4()},
    "kind of requester": {"requester_kind": "user"},
    "way of logging in": {"requester_method": "password"},
    "provider": {"requester_provider": uuid4()},
    "address": {"client_ip": "192.0.2.1"},
    "description": {"description": "nothing of note"},
    "targets": {"targets": []},
    "expiry": {"expires_at": datetime(2199, 1, 1, tzinfo=UTC)},
    "action": {"action": "object.get"},
}


def test_a_request_that_was_edited_is_approved_by_nobody(panel: Panel) -> None:
    for name, edit in EDITS.items():
        request = panel.ask()
        panel.approve(request, 0)
        ApprovalRequest.objects.filter(id=request).update(**edit)
        with pytest.raises(BlobRejected):
            panel.approve(request, 1)
        assert entries(panel, "approval.approve")[-1].reason == "integrity-failure", name
    assert not gone(panel)


def test_a_request_that_was_edited_after_its_votes_is_not_carried_out(panel: Panel) -> None:
    for edit in EDITS.values():
        request = panel.ask()
        voted_without_being_carried_out(panel, request)
        ApprovalRequest.objects.filter(id=request).update(**edit)
    Keeper().turn()
    ours = ApprovalRequest.objects.filter(account=panel.tenant.account)
    assert list(ours.values_list("status", flat=True)) == [FAILED] * len(EDITS)
    assert not gone(panel)
    assert {each.object_id for each in entries(panel, "approval.fail")} == set(ours.values_list("id", flat=True))


def test_a_request_that_was_edited_hides_no_others_and_can_be_denied(panel: Panel) -> None:
    request, intact = panel.ask(), panel.ask()
    ApprovalRequest.objects.filter(id=request).update(operation="/crypto/v1/keys")
    with pytest.raises(BlobRejected):
        seen(panel.tenant.app, request)
    views = {view.row.id: view for view in execute(panel.reviewers[0], ListApprovals(Page(sort="created_at")))}
    assert views[request].body is None
    assert views[intact].body is not None
    assert panel.deny(request).status is DENIED


def test_a_body_moved_from_another_request_does_not_open(panel: Panel) -> None:
    request, other = panel.ask(), panel.ask()
    theirs = row(other)
    ApprovalRequest.objects.filter(id=request).update(body_sealed=theirs.body_sealed, digest=theirs.digest)
    with pytest.raises(BlobRejected):
        panel.approve(request, 0)


def test_votes_for_something_else_do_not_count(panel: Panel) -> None:
    request = panel.ask()
    panel.approve(request, 0)
    Approval.objects.filter(request_id=request).update(digest=bytes(32))
    assert panel.approve(request, 1).status is PENDING


def test_what_changed_since_it_was_asked_for_is_not_what_was_approved(panel: Panel) -> None:
    request = panel.ask()
    panel.approve(request, 0)
    execute(panel.tenant.alice, UpdateObject(panel.key, description="the root of everything"))
    assert panel.approve(request, 1).status is FAILED
    assert not gone(panel)
    status, text = result(panel.tenant.app, request)
    assert (status, text) == (409, approving.CHANGED)


def test_what_is_gone_cannot_be_acted_on(panel: Panel) -> None:
    request, same = panel.ask(), panel.ask()
    panel.approve(request, 0, 1)
    assert panel.approve(same, 0, 1).status is FAILED


REQUESTER: dict[str, Callable[[Panel], Any]] = {
    "disabled": lambda p: App.objects.filter(id=p.tenant.app.id).update(enabled=False),
    "without the right": lambda p: AppGroup.objects.filter(app_id=p.tenant.app.id).update(permissions=[]),
    "deleted": lambda p: App.objects.filter(id=p.tenant.app.id).delete(),
    "elsewhere": lambda p: App.objects.filter(id=p.tenant.app.id).update(ip_ranges=["192.0.2.0/24"]),
}


@pytest.mark.parametrize("lost", REQUESTER.values(), ids=REQUESTER)
def test_whoever_asked_needs_the_right_to_the_end(lost: Callable[[Panel], Any], panel: Panel) -> None:
    request = panel.ask()
    panel.approve(request, 0)
    lost(panel)
    version = row(request).targets  # an app is no target of its own deletion of a key
    assert [each["kind"] for each in version] == ["object"]
    assert panel.approve(request, 1).status is FAILED
    assert not gone(panel)
    assert entries(panel, "object.delete")[-1].outcome == "denied"


# -- cheating: time and order --------------------------------------------------------------------------------------


def test_an_expired_request_is_over(panel: Panel) -> None:
    request = panel.ask()
    expire(request)
    view = seen(panel.tenant.app, request)
    assert (view.status, view.reason, view.reviewers) == (FAILED, approving.EXPIRED, ())
    for wanted, count in ((PENDING, 0), (FAILED, 1)):
        page = Page(sort="created_at")
        assert len(execute(panel.tenant.app, ListApprovals(page, status=wanted))) == count
    with pytest.raises(Conflict, match="expired"):
        panel.approve(request, 0)
    with pytest.raises(Conflict, match="expired"):
        panel.deny(request)
    with pytest.raises(Conflict, match="expired"):
        result(panel.tenant.app, request)


def test_a_request_that_expires_between_vote_and_call_fails(panel: Panel) -> None:
    request = panel.ask()
    voted_without_being_carried_out(panel, request)
    expire(request)
    Approval.objects.filter(request_id=request).update(digest=row(request).digest)
    approving.carry_out(execute_approved, request)
    assert row(request).status == FAILED
    assert not gone(panel)


@pytest.mark.parametrize("ended", ["denied", "approved", "failed"])
def test_what_has_ended_is_not_decided_again(ended: str, panel: Panel) -> None:
    request = panel.ask()
    if ended == "denied":
        panel.deny(request)
    else:
        if ended == "failed":
            execute(panel.tenant.alice, UpdateObject(panel.key, description="changed"))
        panel.approve(request, 0, 1)
    assert row(request).status == ended
    for number in range(3):
        with pytest.raises(Conflict, match="ended"):
            panel.approve(request, number)
        with pytest.raises(Conflict, match="ended"):
            panel.deny(request, number)


def test_one_no_ends_it_though_others_said_yes(panel: Panel) -> None:
    request = panel.ask()
    panel.approve(request, 0)
    view = panel.deny(request, 1)
    assert (view.status, view.reason, view.row.denier_id) == (DENIED, "no", panel.reviewers[1].id)
    with pytest.raises(Conflict):
        panel.approve(request, 2)
    assert not gone(panel)


def test_last_votes_at_once_carry_it_out_once(panel: Panel) -> None:
    request = panel.ask()
    panel.approve(request, 0)
    views = at_once(2, lambda number: _attempt(lambda: panel.approve(request, number + 1)))
    assert row(request).status == APPROVED
    assert [each.outcome for each in entries(panel, "object.delete")].count("done") == 1
    assert entries(panel, "approval.fail") == []
    assert all(isinstance(view, Conflict) or view.status is APPROVED for view in views)


# -- a server that dies --------------------------------------------------------------------------------------------


class Died(BaseException):
    """What a killed process does not catch."""


def voted_without_being_carried_out(panel: Panel, request: UUID) -> None:
    """The last vote is committed, and the process gone before it acted on it."""

    def die(*_: Any, **__: Any) -> None:
        raise Died

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(approving, "carry_out", die)
        panel_vote(panel, request)


def panel_vote(panel: Panel, request: UUID) -> None:
    for number in (0, 1):
        with pytest.raises(Died):
            panel.approve(request, number)


def test_what_a_dead_process_left_is_carried_out_once_by_keepers(panel: Panel) -> None:
    request = panel.ask()
    voted_without_being_carried_out(panel, request)
    assert (row(request).status, gone(panel)) == (PENDING, False)
    at_once(2, lambda _: Keeper().turn())
    Keeper().turn()
    assert row(request).status == APPROVED
    assert [each.outcome for each in entries(panel, "object.delete")].count("done") == 1


def test_without_the_keepers_lock_it_would_still_be_once(panel: Panel) -> None:
    request = panel.ask()
    voted_without_being_carried_out(panel, request)
    at_once(4, lambda _: approving.carry_out(execute_approved, request))
    assert row(request).status == APPROVED
    assert [each.outcome for each in entries(panel, "object.delete")].count("done") == 1
    assert entries(panel, "approval.fail") == []


def test_what_cannot_be_done_for_the_moment_is_tried_again(panel: Panel) -> None:
    request = panel.ask()
    voted_without_being_carried_out(panel, request)

    def out_of_order(*_: Any, **__: Any) -> Any:
        raise ModuleUnavailable("the token is away")

    approving.carry_out(out_of_order, request)
    waits = row(request)
    assert waits.status == PENDING
    assert waits.due_at is not None
    assert waits.due_at > clock.now()
    ApprovalRequest.objects.filter(id=request).update(due_at=clock.now())
    Keeper().turn()
    assert row(request).status == APPROVED


# -- results -------------------------------------------------------------------------------------------------------


def exported(panel: Panel) -> UUID:
    return panel.ask(form("POST", "/crypto/v1/keys/export", {"kid": str(panel.key.id)}))


def test_only_who_asked_reads_the_result(panel: Panel) -> None:
    request = exported(panel)
    with pytest.raises(Conflict, match="not been decided"):
        result(panel.tenant.app, request)
    panel.approve(request, 0, 1)
    for who in (*panel.reviewers, panel.tenant.alice):
        with pytest.raises(AccessDenied):
            result(who, request)
    assert not row(request).result_viewed
    status, body = result(panel.tenant.app, request)
    assert status == 200
    assert len(body["value"]) > 40
    assert row(request).result_viewed


def test_a_result_is_not_in_the_row_in_clear(panel: Panel) -> None:
    request = exported(panel)
    panel.approve(request, 0, 1)
    _, body = result(panel.tenant.app, request)
    found = row(request)
    assert found.result_sealed is not None
    assert body["value"].encode() not in bytes(found.result_sealed)
    assert not any(body["value"] in str(each.details) for each in AuditRecord.objects.filter(object_id=request))


def test_a_denied_request_has_no_result(panel: Panel) -> None:
    request = exported(panel)
    panel.deny(request)
    with pytest.raises(Conflict, match="denied"):
        result(panel.tenant.app, request)


def test_a_result_is_read_with_the_right_to_it_where_the_account_asks_that(panel: Panel) -> None:
    request = exported(panel)
    panel.approve(request, 0, 1)
    AppGroup.objects.filter(app_id=panel.tenant.app.id).update(permissions=[])
    assert result(panel.tenant.app, request)[0] == 200
    AccountPolicy.objects.create(account=panel.tenant.account, check_results=True)
    with pytest.raises(AccessDenied):
        result(panel.tenant.app, request)
    AppGroup.objects.filter(app_id=panel.tenant.app.id).update(permissions=[Permission.OBJECT_EXPORT])
    assert result(panel.tenant.app, request)[0] == 200


def test_who_asked_takes_it_back_and_puts_away_what_has_ended(panel: Panel) -> None:
    waiting, ended = panel.ask(), panel.ask()
    panel.approve(waiting, 0)
    panel.deny(ended)
    for request in (waiting, ended):
        with pytest.raises(AccessDenied):
            execute(panel.reviewers[0], DeleteApproval(request))
        execute(panel.tenant.app, DeleteApproval(request))
        with pytest.raises(NotFound):
            seen(panel.tenant.app, request)
    with pytest.raises(NotFound):
        panel.approve(waiting, 1)


# -- past its time -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("keep", [False, True])
def test_what_nobody_answered_goes_or_stays_and_is_recorded_as_the_account_wants(
    log: bool, keep: bool, panel: Panel
) -> None:
    AccountPolicy.objects.create(account=panel.tenant.account, log_expired=log, retain_expired=keep)
    request, later = panel.ask(), panel.ask()
    expire(request)
    for _ in range(2):
        Keeper().turn()
    assert ApprovalRequest.objects.filter(id=request).exists() is keep
    assert [each.object_id for each in entries(panel, "approval.expire")] == ([request] if log else [])
    if keep:
        assert (row(request).status, seen(panel.tenant.app, request).reason) == (FAILED, approving.EXPIRED)
    assert row(later).status == PENDING


@pytest.mark.parametrize("keep", [False, True])
def test_results_go_with_the_time_of_their_request(keep: bool, panel: Panel) -> None:
    AccountPolicy.objects.create(account=panel.tenant.account, retain_expired=keep)
    request = exported(panel)
    panel.approve(request, 0, 1)
    expire(request)
    with pytest.raises(Conflict):
        result(panel.tenant.app, request)
    Keeper().turn()
    assert list(ApprovalRequest.objects.filter(id=request).values_list("result_sealed", flat=True)) == [None] * keep


def test_the_account_says_how_long_a_request_stands(panel: Panel) -> None:
    AccountPolicy.objects.create(account=panel.tenant.account, approval_seconds=120)
    found = row(panel.ask())
    assert found.expires_at - found.created_at == timedelta(seconds=120)


# -- what is shown with a vote -------------------------------------------------------------------------------------


def test_a_vote_that_could_not_count_is_not_taken() -> None:
    panel = new_panel(1, password=True)
    request = panel.ask()
    (reviewer, *_) = seen(panel.tenant.app, request).reviewers
    assert (reviewer.password, reviewer.second_factor) == (True, False)
    with pytest.raises(AccessDenied, match="password") as refused:
        panel.approve(request, 0)
    assert refused.value.reason == "proof-needed"
    assert not Approval.objects.filter(request_id=request).exists()
    proof = VoteProof(password=SecretBytes(PASSWORD.encode()))
    assert give(panel.reviewers[0], request, proof).status is APPROVED


def test_a_second_factor_is_asked_for_by_name() -> None:
    panel = new_panel(1, second_factor=True)
    request = panel.ask()
    with pytest.raises(AccessDenied, match="second factor"):
        panel.approve(request, 0)


def test_a_new_app_of_a_reviewer_reviews_by_its_own_place(panel: Panel) -> None:
    other = administrator(panel)
    helper = panel.tenant.new_app()
    App.objects.filter(id=helper.id).update(creator_kind="user", creator_id=other.id)
    set_quorum(panel, Quorum(1, (Member(MemberKind.APP, helper.id),)))
    request = panel.ask()
    assert give(app_principal(App.objects.get(id=helper.id)), request).status is APPROVED


def test_the_same_call_is_the_same_digest_in_any_release() -> None:
    """A change of the digest would void every vote that was given before an upgrade."""
    fixed = ApprovalRequest(
        id=UUID(int=1),
        account_id=UUID(int=2),
        requester_kind="app",
        requester_id=UUID(int=3),
        requester_method="api-key",
        client_ip="192.0.2.7",
        description="spring cleaning",
        action="object.delete",
        targets=[{"kind": "object", "id": str(UUID(int=4)), "version": 5}],
        expires_at=datetime(2030, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
    )
    digest = approving.digest_of(fixed, form("POST", "/crypto/v1/keys", {"name": "k"}))
    assert digest.hex() == "6457b6a8e4e3b2a76d39172f63edac3007265065716eb8e46919ab28e1980adc"


def test_deletion_by_the_form_is_deletion_of_that_key(panel: Panel) -> None:
    assert execute(panel.tenant.app, RequestApproval(deletion(panel.key))).row.subjects == [panel.key.id]
