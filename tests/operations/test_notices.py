"""Who is told of a request for approval: reviewers, its requester, the account's webhook, each once."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.db import transaction

from accounts.clock import clock
from accounts.models import AccountRoleGrant, Membership, Role, User
from accounts.outbox import GIVE_UP_AFTER, HOUR
from accounts.principal import Principal
from kms.operations import notices
from kms.operations.notices import MOST_IN_AN_HOUR, MOST_TOLD, announce
from policies.models import AccountPolicy, ApprovalEvent, ApprovalRequest, Notice
from policies.permissions import Permission
from policies.quorum import Member, MemberKind, Quorum
from policies.system_roles import SYSTEM_ROLE_ID, RoleKind
from tests.kit.quorums import ask, guard_group, users
from tests.kit.tenants import Tenant, new_tenant

ASKED, APPROVED, DENIED, FAILED = ApprovalEvent
ENDED = (APPROVED, DENIED, FAILED)
DESTROY = [Permission.OBJECT_DESTROY]


@pytest.fixture
def tenant(installation: None) -> Tenant:
    return new_tenant()


def guarded(tenant: Tenant, *members: Member | Quorum) -> None:
    guard_group(tenant.group, Quorum(1, members), DESTROY)


def user(principal: Principal) -> Member:
    return Member(MemberKind.USER, principal.id)


def asked(tenant: Tenant, by: Principal | None = None) -> ApprovalRequest:
    request = ask(tenant, by or tenant.alice)
    announce(request, ASKED)
    return request


def told(request: ApprovalRequest, event: ApprovalEvent = ASKED) -> set[UUID | None]:
    rows = list(Notice.objects.filter(request=request, event=event).values_list("user_id", flat=True))
    assert len(rows) == len(set(rows))
    return set(rows)


def members(tenant: Tenant, number: int) -> list[Principal]:
    return [tenant.member("member") for _ in range(number)]


# -- who -----------------------------------------------------------------------------------------------------------


def test_who_has_a_place_is_told_wherever_in_the_tree_and_nobody_else(tenant: Tenant) -> None:
    bob, carol, dave, _ = members(tenant, 4)
    guarded(tenant, user(bob), Quorum(1, (user(carol), Quorum(1, (user(dave), user(bob))))))
    assert told(asked(tenant)) == {bob.id, carol.id, dave.id}


def test_holders_of_a_role_are_told_whether_the_role_is_the_systems_or_the_accounts_own(tenant: Tenant) -> None:
    auditor, officer = tenant.member("auditor"), tenant.member("member")
    role = Role.objects.create(
        account=tenant.account, kind="account", name="o", creator_kind="user", creator_id=uuid4()
    )
    held = Membership.objects.get(user_id=officer.id, account=tenant.account)
    AccountRoleGrant.objects.create(membership=held, user_id=officer.id, role=role)
    system = Member(MemberKind.ROLE, SYSTEM_ROLE_ID[RoleKind.ACCOUNT, "auditor"])
    guarded(tenant, system, Member(MemberKind.ROLE, role.id))
    assert told(asked(tenant)) == {auditor.id, officer.id}


def test_roles_of_groups_and_of_other_accounts_are_nobodys(tenant: Tenant) -> None:
    other = new_tenant()
    guarded(tenant, *(Member(MemberKind.ROLE, SYSTEM_ROLE_ID[RoleKind.GROUP, name]) for name in ("administrator",)))
    assert told(asked(tenant)) == set()
    guarded(other, Member(MemberKind.ROLE, SYSTEM_ROLE_ID[RoleKind.ACCOUNT, "administrator"]))
    outsider = other.member("administrator")
    assert told(asked(other)) == {outsider.id}


def unable(tenant: Tenant) -> Iterable[tuple[str, Principal]]:
    disabled, invited, unconfirmed, deleted = members(tenant, 4)
    Membership.objects.filter(user_id=disabled.id).update(enabled=False)
    Membership.objects.filter(user_id=invited.id).update(invitation_pending=True)
    User.objects.filter(id=unconfirmed.id).update(email_verified=False)
    User.objects.filter(id=deleted.id).delete()
    yield from (("disabled", disabled), ("invited", invited), ("unconfirmed", unconfirmed), ("deleted", deleted))
    yield "of another account", new_tenant().alice
    yield "who asked", tenant.alice


def test_who_cannot_vote_is_not_told(tenant: Tenant) -> None:
    bob = tenant.member("member")
    guarded(tenant, user(bob), *(user(each) for _, each in unable(tenant)))
    assert told(asked(tenant)) == {bob.id}


def test_the_person_behind_an_app_that_asks_is_not_told_and_an_app_has_no_mailbox(tenant: Tenant) -> None:
    bob = tenant.member("member")
    guarded(tenant, user(bob), user(tenant.alice), Member(MemberKind.APP, tenant.app.id))
    assert told(asked(tenant, tenant.app)) == {bob.id}


@pytest.mark.parametrize("event", ENDED)
def test_whoever_asked_is_told_how_it_ended(tenant: Tenant, event: ApprovalEvent) -> None:
    guarded(tenant, user(tenant.member("member")))
    request, of_app = ask(tenant, tenant.alice), ask(tenant, tenant.app)
    announce(request, event)
    announce(of_app, event)
    assert told(request, event) == {tenant.alice.id}
    assert told(of_app, event) == set()


@pytest.mark.parametrize("event", ApprovalEvent)
def test_the_webhook_is_told_of_everything_where_there_is_one(tenant: Tenant, event: ApprovalEvent) -> None:
    request = ask(tenant, tenant.app)
    announce(request, event)
    assert told(request, event) == set()
    AccountPolicy.objects.create(account=tenant.account, webhook_url="https://hooks.example.org/")
    announce(request, event)
    assert told(request, event) == {None}


# -- how often -----------------------------------------------------------------------------------------------------


def test_saying_it_again_tells_nobody_twice(tenant: Tenant) -> None:
    AccountPolicy.objects.create(account=tenant.account, webhook_url="https://hooks.example.org/")
    bob = tenant.member("member")
    guarded(tenant, user(bob))
    request = asked(tenant)
    announce(request, ASKED)
    assert told(request) == {bob.id, None}


def test_what_is_rolled_back_is_told_to_nobody(tenant: Tenant) -> None:
    guarded(tenant, user(tenant.member("member")))
    request = ask(tenant, tenant.alice)
    with transaction.atomic():
        announce(request, ASKED)
        transaction.set_rollback(True)
    assert told(request) == set()


def test_of_very_many_reviewers_those_who_are_named_are_told_first(tenant: Tenant) -> None:
    every = User.objects.bulk_create(
        User(email=f"{uuid4()}@example.org", email_verified=True, password="!") for _ in range(MOST_TOLD + 5)
    )
    Membership.objects.bulk_create(Membership(user=each, account=tenant.account, role="auditor") for each in every)
    bob = tenant.member("member")
    guarded(tenant, Member(MemberKind.ROLE, SYSTEM_ROLE_ID[RoleKind.ACCOUNT, "auditor"]), user(bob))
    found = told(asked(tenant))
    assert len(found) == MOST_TOLD
    assert bob.id in found


def test_a_mailbox_is_not_filled_not_even_by_requests_that_are_taken_back(tenant: Tenant) -> None:
    bob, carol = members(tenant, 2)
    guard_group(tenant.group, users(1, [bob.id]), DESTROY)
    for _ in range(MOST_IN_AN_HOUR):
        request = asked(tenant)
        Notice.objects.filter(request=request).update(sent_at=clock.now())
        request.delete()
    assert told(asked(tenant)) == set()
    Notice.objects.filter(user_id=bob.id).update(created_at=clock.now() - HOUR)
    assert told(asked(tenant)) == {bob.id}
    assert carol.id not in told(asked(tenant))


# -- what is left --------------------------------------------------------------------------------------------------


def test_what_is_not_due_is_left_alone(tenant: Tenant) -> None:
    guarded(tenant, user(tenant.member("member")))
    row = Notice.objects.get(request=asked(tenant))
    now = clock.now()
    assert row in notices.due(now)
    assert row not in notices.due(row.not_before - timedelta(seconds=1))
    tenant.account.enabled = False
    tenant.account.save()
    assert row not in notices.due(now)


def test_it_is_tried_less_and_less_often_and_given_up_after_a_day(tenant: Tenant) -> None:
    guarded(tenant, user(tenant.member("member")))
    row = Notice.objects.get(request=asked(tenant))
    pauses = []
    for _ in range(12):
        pauses.append(notices.failed(row, clock.now()))
        row.refresh_from_db()
    assert pauses[:3] == [timedelta(seconds=30), timedelta(seconds=60), timedelta(seconds=120)]
    assert pauses[-1] == timedelta(hours=1)
    assert row.attempts == 12
    assert row not in notices.due(clock.now())
    notices.tidy(clock.now())
    assert Notice.objects.filter(pk=row.pk).exists()
    Notice.objects.filter(pk=row.pk).update(created_at=clock.now() - GIVE_UP_AFTER)
    assert notices.tidy(clock.now()) >= 1
    assert not Notice.objects.filter(pk=row.pk).exists()


def test_of_a_request_that_is_taken_back_nobody_is_told(tenant: Tenant) -> None:
    guarded(tenant, user(tenant.member("member")))
    request = asked(tenant)
    row = Notice.objects.get(request=request)
    request.delete()
    assert row not in notices.due(clock.now())
    notices.tidy(clock.now())
    assert not Notice.objects.filter(pk=row.pk).exists()
