"""Quorum policies and what they stand before: who is named in them is not lost, and nobody comes in unapproved."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest

from accounts.models import AccountRoleGrant, Group, Membership
from accounts.principal import Principal, PrincipalKind
from kms.audit.entry import CallContext
from kms.audit.models import AuditRecord
from kms.crypto.errors import ParameterInvalid
from kms.operations.accounts import DeleteAccount, UpdateAccount
from kms.operations.app_credentials import Replacement
from kms.operations.app_trust import NewSecret
from kms.operations.apps import DeleteApp, GetAppCredential, ResetAppSecret, UpdateApp
from kms.operations.command import Call, Command, ObjectRef
from kms.operations.copying import CopyObject
from kms.operations.demanding import PolicyChange
from kms.operations.errors import AccessDenied, ApprovalRequired, Conflict
from kms.operations.executor import execute, execute_approved
from kms.operations.groups import CreateGroup, DeleteGroup, UpdateGroup
from kms.operations.invitations import InviteUser
from kms.operations.making import ObjectTemplate
from kms.operations.queries import GetObject, ListObjects, ObjectList, Page
from kms.operations.quorum_policies import NO_POLICY, QuorumPolicy
from kms.operations.roles import CreateRole, DeleteRole, RoleDetails, RoleView, UpdateRole
from kms.operations.rotating import ReplaceObject
from kms.operations.updating import UpdateObject
from kms.operations.users import DeleteOwnUser, RemoveUser, UpdateUser
from policies.guarded import AccountProtection, GroupProtection
from policies.permissions import Permission
from policies.quorum import Approved, Member, MemberKind, Quorum
from policies.reviewers import vote_by
from policies.system_roles import SYSTEM_ROLE_ID, RoleKind
from tests.kit.objects import row
from tests.kit.quorums import users
from tests.kit.tenants import Tenant, new_tenant, unique
from tests.kit.threads import at_once
from tests.operations.test_keeper import due, successors, turn

ROTATES = RoleDetails(RoleKind.ACCOUNT, frozenset({Permission.USER_GET, Permission.APPROVAL_REVIEW}))
Put = Callable[[Tenant, Quorum], object]


def on_group(tenant: Tenant, quorum: Quorum) -> Group:
    where = tenant.new_group()
    execute(tenant.alice, UpdateGroup(where.id, policy=PolicyChange(quorum=QuorumPolicy(quorum))))
    return where


def on_account(tenant: Tenant, quorum: Quorum, **chosen: bool) -> None:
    wanted = QuorumPolicy(quorum, AccountProtection(**chosen))
    execute(tenant.alice, UpdateAccount(tenant.account.id, policy=PolicyChange(quorum=wanted)))


def on_object(tenant: Tenant, quorum: Quorum) -> ObjectRef:
    return tenant.key(quorum=QuorumPolicy(quorum))


PLACES: dict[str, Put] = {"account": on_account, "group": on_group, "object": on_object}


def people(tenant: Tenant, number: int) -> list[Principal]:
    return [tenant.member("member") for _ in range(number)]


def one_of(*members: Member) -> Quorum:
    return Quorum(1, members)


def officers(tenant: Tenant) -> UUID:
    """A role of the account's own that one member holds."""
    made: RoleView = execute(tenant.alice, CreateRole(unique("officers"), ROTATES))
    execute(tenant.alice, UpdateUser(tenant.member("member").id, role="member", roles=frozenset({made.id})))
    return made.id


@dataclass
class Given:
    """What surrounds a call that some have approved: their votes, as they count now."""

    account: UUID
    requester: Principal
    by: Sequence[Principal]

    def subjects(self) -> Sequence[UUID]:
        return [each.id for each in self.by]

    def open(self, _call: Call) -> Approved:
        votes = (vote_by(self.account, each.kind, each.id) for each in self.by)
        return Approved(uuid4(), self.requester.id, frozenset(vote for vote in votes if vote is not None))

    def close(self, _call: Call, _result: Any) -> None:
        pass


def approved(tenant: Tenant, command: Command, *by: Principal) -> Any:
    ceremony = Given(tenant.account.id, tenant.alice, by)
    return execute_approved(tenant.alice, command, context=CallContext(), ceremony=ceremony)


# -- the policy guards itself --------------------------------------------------------------------------------------


def _set_on(tenant: Tenant, place: str, quorum: Quorum) -> Callable[[QuorumPolicy], Command]:
    """The policy is there; what is returned changes it."""
    if place == "account":
        on_account(tenant, quorum)
        return lambda policy: UpdateAccount(tenant.account.id, policy=PolicyChange(quorum=policy))
    if place == "group":
        group = on_group(tenant, quorum)
        return lambda policy: UpdateGroup(group.id, policy=PolicyChange(quorum=policy))
    key = on_object(tenant, quorum)
    return lambda policy: UpdateObject(key, quorum=policy)


@pytest.mark.parametrize("place", PLACES)
def test_a_policy_is_changed_with_the_approval_that_it_asks_for_and_not_the_new_ones(
    tenant: Tenant, place: str
) -> None:
    ann, bob, eve = people(tenant, 3)
    changing = _set_on(tenant, place, users(2, [ann.id, bob.id]))
    protection = AccountProtection() if place == "account" else GroupProtection()
    weaker = changing(QuorumPolicy(users(1, [eve.id]), protection))
    for short in ((), (ann,), (eve,), (ann, eve)):
        with pytest.raises(ApprovalRequired):
            approved(tenant, weaker, *short)
    with pytest.raises(ApprovalRequired):
        approved(tenant, changing(NO_POLICY), ann)
    approved(tenant, weaker, ann, bob)
    with pytest.raises(ApprovalRequired):
        approved(tenant, changing(NO_POLICY), ann, bob)
    approved(tenant, changing(NO_POLICY), eve)
    execute(tenant.alice, changing(NO_POLICY))


def test_the_record_says_which_policy_changed(tenant: Tenant) -> None:
    (ann,) = people(tenant, 1)
    group = on_group(tenant, users(1, [ann.id]))
    entry = AuditRecord.objects.filter(account_id=tenant.account.id, object_id=group.id, action="group.update").get()
    assert entry.details["fields"] == "quorum"


def test_whoever_may_set_quorums_and_nothing_else_does_just_that(tenant: Tenant) -> None:
    (ann,) = people(tenant, 1)
    details = RoleDetails(RoleKind.GROUP, frozenset({Permission.GROUP_QUORUM}))
    made: RoleView = execute(tenant.alice, CreateRole(unique("role"), details))
    clerk = tenant.member("member")
    groups = {tenant.group.id: ""}
    execute(tenant.alice, UpdateUser(clerk.id, set_groups=groups, group_roles={tenant.group.id: frozenset({made.id})}))
    policy = PolicyChange(quorum=QuorumPolicy(users(1, [ann.id])))
    with pytest.raises(AccessDenied):
        execute(clerk, UpdateGroup(tenant.group.id, name="renamed", policy=policy))
    execute(clerk, UpdateGroup(tenant.group.id, policy=policy))


def test_a_kind_of_policy_protects_what_is_its_own(tenant: Tenant) -> None:
    (ann,) = people(tenant, 1)
    quorum = users(1, [ann.id])
    with pytest.raises(ParameterInvalid):
        execute(
            tenant.alice,
            UpdateGroup(tenant.group.id, policy=PolicyChange(quorum=QuorumPolicy(quorum, AccountProtection()))),
        )
    with pytest.raises(ParameterInvalid):
        execute(tenant.alice, UpdateAccount(tenant.account.id, policy=PolicyChange(quorum=QuorumPolicy(quorum))))
    with pytest.raises(ParameterInvalid):
        tenant.key(quorum=QuorumPolicy(quorum, AccountProtection()))


# -- what nobody could meet ----------------------------------------------------------------------------------------


def test_a_quorum_that_those_who_are_there_cannot_meet_is_refused(tenant: Tenant) -> None:
    ann, bob = people(tenant, 2)
    gone = tenant.member("member", enabled=False)
    silent = tenant.member("")  # of no role that reviews
    mine = tenant.new_app([Permission.OBJECT_ENCRYPT])
    both_hers = Quorum(2, (Member(MemberKind.APP, tenant.app.id), Member(MemberKind.APP, mine.id)))
    auditors = Member(MemberKind.ROLE, SYSTEM_ROLE_ID[RoleKind.ACCOUNT, "auditor"])
    for quorum in (users(2, [ann.id, gone.id]), users(1, [silent.id]), both_hers, one_of(auditors)):
        with pytest.raises(ParameterInvalid, match="too few"):
            on_group(tenant, quorum)
    tenant.member("auditor")
    for quorum in (users(1, [ann.id, gone.id]), users(2, [ann.id, bob.id, gone.id]), one_of(auditors)):
        on_group(tenant, quorum)


def test_whoever_has_not_accepted_yet_is_no_member(tenant: Tenant) -> None:
    invited = tenant.member("member")
    Membership.objects.filter(user_id=invited.id).update(invitation_pending=True)
    with pytest.raises(ParameterInvalid, match="does not have"):
        on_group(tenant, users(1, [invited.id]))


# -- whoever has a place is not lost -------------------------------------------------------------------------------


def _named(tenant: Tenant, kind: MemberKind) -> tuple[Member, Command]:
    """Somebody to be named, and how they would be taken away."""
    if kind is MemberKind.USER:
        user = tenant.member("member").id
        return Member(kind, user), RemoveUser(user)
    if kind is MemberKind.APP:
        app = tenant.new_app([Permission.OBJECT_ENCRYPT]).id
        return Member(kind, app), DeleteApp(app)
    role = officers(tenant)
    return Member(kind, role), DeleteRole(role)


@pytest.mark.parametrize("kind", MemberKind)
@pytest.mark.parametrize("place", PLACES)
def test_whoever_has_a_place_is_not_taken_away(tenant: Tenant, place: str, kind: MemberKind) -> None:
    member, taking = _named(tenant, kind)
    other = Member(MemberKind.USER, tenant.member("member").id)
    where = PLACES[place](tenant, Quorum(1, (other, Quorum(1, (member,)))))
    names = {"account": "this account", "group": getattr(where, "name", ""), "object": "aes-"}
    with pytest.raises(Conflict, match=f"The {kind} has a place in the quorum of .*{names[place]}"):
        execute(tenant.alice, taking)


@pytest.mark.parametrize("kind", MemberKind)
def test_whoever_has_none_is(tenant: Tenant, kind: MemberKind) -> None:
    member, taking = _named(tenant, kind)
    _named_too, _ = _named(tenant, kind)
    on_group(tenant, one_of(_named_too))
    if kind is MemberKind.ROLE:
        for holder in Membership.objects.filter(role_grants__role=member.id):
            execute(tenant.alice, UpdateUser(holder.user_id, role="member", roles=frozenset()))
    execute(tenant.alice, taking)


@pytest.mark.parametrize("place", PLACES)
def test_a_person_with_a_place_in_any_account_does_not_delete_themselves(tenant: Tenant, place: str) -> None:
    ann = tenant.member("member")
    PLACES[place](tenant, users(1, [ann.id]))
    elsewhere = Principal(PrincipalKind.USER, ann.id, None, ann.method)
    for who in (ann, elsewhere):
        with pytest.raises(Conflict, match="has a place in the quorum of the account"):
            execute(who, DeleteOwnUser())
    execute(people(tenant, 1)[0], DeleteOwnUser())


def test_whoever_does_not_see_the_group_is_not_told_its_name(tenant: Tenant) -> None:
    ann = tenant.member("member")
    group = on_group(tenant, users(1, [ann.id]))
    made: RoleView = execute(
        tenant.alice, CreateRole(unique("r"), RoleDetails(RoleKind.ACCOUNT, frozenset({Permission.USER_DELETE})))
    )
    clerk = tenant.member("")
    execute(tenant.alice, UpdateUser(clerk.id, role="", roles=frozenset({made.id})))
    with pytest.raises(Conflict) as refused:
        execute(clerk, RemoveUser(ann.id))
    assert group.name not in str(refused.value)


def test_a_named_user_is_disabled_without_approval_and_votes_no_more(tenant: Tenant) -> None:
    ann, bob = people(tenant, 2)
    group = on_group(tenant, users(1, [ann.id, bob.id]))
    execute(tenant.alice, UpdateUser(ann.id, enabled=False))
    with pytest.raises(ApprovalRequired):
        approved(tenant, DeleteGroup(group.id), ann)
    approved(tenant, DeleteGroup(group.id), bob)


@pytest.mark.parametrize("kind", MemberKind)
@pytest.mark.parametrize("place", PLACES)
def test_who_is_named_and_taken_away_at_once_is_one_of_the_two(tenant: Tenant, place: str, kind: MemberKind) -> None:
    """Otherwise a policy would name somebody who is not there."""
    member, taking = _named(tenant, kind)
    other = Member(MemberKind.USER, tenant.member("member").id)
    if kind is MemberKind.ROLE:
        AccountRoleGrant.objects.filter(role_id=member.id).delete()

    def tried(number: int) -> bool:
        try:
            if number:
                execute(tenant.alice, taking)
            else:
                PLACES[place](tenant, one_of(other, member))
        except (Conflict, ParameterInvalid):
            return False
        return True

    assert sorted(at_once(2, tried)) == [False, True]


# -- nobody comes to fill a place unapproved -----------------------------------------------------------------------


def _role_given(tenant: Tenant) -> tuple[Member, Command]:
    role = officers(tenant)
    newcomer = tenant.member("member")
    return Member(MemberKind.ROLE, role), UpdateUser(newcomer.id, role="member", roles=frozenset({role}))


def _system_role_given(tenant: Tenant) -> tuple[Member, Command]:
    tenant.member("auditor")
    newcomer = tenant.member("member")
    return Member(MemberKind.ROLE, SYSTEM_ROLE_ID[RoleKind.ACCOUNT, "auditor"]), UpdateUser(newcomer.id, role="auditor")


def _invited(tenant: Tenant) -> tuple[Member, Command]:
    tenant.member("auditor")
    invitation = InviteUser(f"{unique('u')}@example.org", "auditor")
    return Member(MemberKind.ROLE, SYSTEM_ROLE_ID[RoleKind.ACCOUNT, "auditor"]), invitation


def _role_changed(tenant: Tenant) -> tuple[Member, Command]:
    role = officers(tenant)
    return Member(MemberKind.ROLE, role), UpdateRole(role, details=RoleDetails(RoleKind.ACCOUNT, frozenset()))


def _app(tenant: Tenant) -> tuple[Member, UUID]:
    app = tenant.new_app([Permission.OBJECT_ENCRYPT]).id
    return Member(MemberKind.APP, app), app


def _key_read(tenant: Tenant) -> tuple[Member, Command]:
    member, app = _app(tenant)
    return member, GetAppCredential(app)


def _key_reset(tenant: Tenant) -> tuple[Member, Command]:
    member, app = _app(tenant)
    return member, ResetAppSecret(app)


def _key_replaced(tenant: Tenant) -> tuple[Member, Command]:
    member, app = _app(tenant)
    return member, UpdateApp(app, credential=Replacement(NewSecret()))


WAYS_IN = [_role_given, _system_role_given, _invited, _role_changed, _key_read, _key_reset, _key_replaced]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("way", WAYS_IN, ids=lambda way: way.__name__.strip("_"))
def test_nobody_comes_to_fill_a_place_without_its_quorums_approval(
    tenant: Tenant, way: Callable[[Tenant], tuple[Member, Command]], place: str
) -> None:
    member, coming = way(tenant)
    guardian = tenant.member("member")
    other = Member(MemberKind.USER, guardian.id)
    PLACES[place](tenant, one_of(other, member))
    with pytest.raises(ApprovalRequired):
        execute(tenant.alice, coming)
    approved(tenant, coming, guardian)


@pytest.mark.parametrize("way", WAYS_IN, ids=lambda way: way.__name__.strip("_"))
def test_where_nobody_is_named_nothing_is_asked(
    tenant: Tenant, way: Callable[[Tenant], tuple[Member, Command]]
) -> None:
    _member, coming = way(tenant)
    on_group(tenant, users(1, [tenant.member("member").id]))
    execute(tenant.alice, coming)


def test_who_holds_a_role_already_is_given_nothing(tenant: Tenant) -> None:
    role = officers(tenant)
    (holder,) = Membership.objects.filter(role_grants__role=role)
    on_group(tenant, one_of(Member(MemberKind.ROLE, role)))
    execute(tenant.alice, UpdateUser(holder.user_id, role="auditor", roles=frozenset({role})))
    execute(tenant.alice, UpdateRole(role, description="reworded"))


# -- who administers -----------------------------------------------------------------------------------------------


def test_administrators_come_and_go_with_the_accounts_approval(tenant: Tenant) -> None:
    ann = tenant.member("member")
    second = tenant.member("administrator")
    on_account(tenant, users(1, [ann.id]))
    member = tenant.member("member")
    for guarded in (
        InviteUser(f"{unique('u')}@example.org", "administrator"),
        UpdateUser(member.id, role="administrator"),
        UpdateUser(second.id, role="member"),
        RemoveUser(second.id),
        DeleteAccount(tenant.account.id),
    ):
        with pytest.raises(ApprovalRequired):
            execute(tenant.alice, guarded)
    execute(tenant.alice, InviteUser(f"{unique('u')}@example.org", "auditor"))
    execute(tenant.alice, RemoveUser(member.id))
    approved(tenant, RemoveUser(second.id), ann)


@pytest.mark.parametrize("chosen", [False, True])
def test_groups_are_the_accounts_to_guard_if_it_says_so(tenant: Tenant, chosen: bool) -> None:
    ann = tenant.member("member")
    spare = tenant.new_group()
    on_account(tenant, users(1, [ann.id]), groups=chosen)
    commands: Iterable[Command] = (
        CreateGroup(unique("group")),
        UpdateGroup(spare.id, description="changed"),
        UpdateGroup(spare.id, policy=PolicyChange(quorum=QuorumPolicy(users(1, [ann.id])))),
    )
    for command in commands:
        if chosen:
            with pytest.raises(ApprovalRequired):
                execute(tenant.alice, command)
        else:
            execute(tenant.alice, command)


# -- what is made of a guarded object ------------------------------------------------------------------------------


def test_a_copy_is_guarded_as_its_source(tenant: Tenant) -> None:
    ann = tenant.member("member")
    key = on_object(tenant, users(1, [ann.id]))
    copy = approved(tenant, CopyObject(key, ObjectTemplate(unique("copy"), "AES", tenant.group.id)), ann)
    assert copy.row.quorum == row(key).quorum is not None


def test_what_takes_the_place_of_a_guarded_object_is_guarded(tenant: Tenant) -> None:
    ann = tenant.member("member")
    key, other = on_object(tenant, users(1, [ann.id])), tenant.key()
    approved(tenant, ReplaceObject(key, unique("old"), other), ann)
    assert row(other).quorum == row(key).quorum is not None


def test_what_was_set_to_rotate_by_itself_does_though_a_quorum_stands_before_it(tenant: Tenant) -> None:
    """Whoever sets that needs the approval."""
    ann = tenant.member("member")
    key = due(tenant, quorum=QuorumPolicy(users(1, [ann.id])))
    turn()
    (made,) = successors(key)
    assert made.quorum == row(key).quorum is not None
    with pytest.raises(ApprovalRequired):
        execute(tenant.alice, UpdateObject(ObjectRef(id=made.id), ended=frozenset({"rotation"})))


# -- what is read with an approval only ----------------------------------------------------------------------------


def test_what_is_read_with_an_approval_only_is_in_no_list(tenant: Tenant) -> None:
    ann = tenant.member("member")
    reading = GroupProtection(frozenset({Permission.OBJECT_GET}))
    policy = QuorumPolicy(users(1, [ann.id]), reading)
    group = tenant.new_group()
    plain, own, inside = tenant.key(), tenant.key(quorum=policy), tenant.key(group=group)
    other = tenant.key(quorum=QuorumPolicy(users(1, [ann.id])))
    execute(tenant.alice, UpdateGroup(group.id, policy=PolicyChange(quorum=policy)))
    for guarded in (own, inside):
        with pytest.raises(ApprovalRequired):
            execute(tenant.alice, GetObject(guarded))
        assert approved(tenant, GetObject(guarded), ann).row.id == guarded.id
    listed: ObjectList = execute(tenant.alice, ListObjects(Page(), with_counts=True))
    assert {view.row.id for view in listed.views} == {plain.id, other.id}
    assert (listed.total, listed.matched) == (2, 2)


# -- nothing of elsewhere ------------------------------------------------------------------------------------------


def test_policies_elsewhere_hold_nobody_here(tenant: Tenant) -> None:
    """The same person is a member of two accounts; only one of them names them."""
    other = new_tenant()
    ann = tenant.member("member")
    Membership.objects.create(user_id=ann.id, account=other.account, role="member")
    on_group(other, users(1, [ann.id]))
    execute(tenant.alice, RemoveUser(ann.id))
    with pytest.raises(Conflict):
        execute(other.alice, RemoveUser(ann.id))
