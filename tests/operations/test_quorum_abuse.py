"""What others were robbed by, tried on roles and quorums: each as a sweep over a generated list."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields, replace
from typing import Any
from uuid import UUID

import pytest
from django.db import connection

from accounts.errors import NotAuthenticated
from accounts.models import AccountRoleGrant, App, AppGroup, GroupMembership, GroupRoleGrant, Membership, Role
from accounts.principal import ANONYMOUS, Principal
from kms.api.wire.base import WireError
from kms.api.wire.names import ACCOUNT_ROLES, GROUP_ROLES
from kms.api.wire.role_words import roles_of
from kms.crypto.errors import ParameterInvalid
from kms.operations import approvals, vote_challenges
from kms.operations.approvals import GiveApproval, ListApprovals
from kms.operations.errors import AccessDenied, Conflict, InvalidRequest, NotFound
from kms.operations.executor import execute
from kms.operations.keeper import Keeper
from kms.operations.queries import Page
from kms.operations.roles import CreateRole, GetOwnPermissions, RoleDetails, UpdateRole
from kms.operations.wire_form import WireForm
from policies.models import AccountPolicy, ApprovalRequest, GroupPolicy
from policies.permissions import Permission
from policies.quorum import Member, MemberKind, Quorum
from policies.stored import stored_tree, tree_of
from policies.system_roles import SYSTEM_ROLES, RoleKind
from tests.kit.approvals import GUARDED, NO_PROOF, Panel, entries, form, give, new_panel, result, row
from tests.kit.quorums import users
from tests.kit.tenants import Tenant, app_principal, new_tenant, new_user, unique, user_principal

REFUSALS = (AccessDenied, NotFound, Conflict, InvalidRequest, ParameterInvalid, NotAuthenticated)


@pytest.fixture
def panel() -> Panel:
    return new_panel()


def untouched(panel: Panel) -> bool:
    return not [each for each in entries(panel, "object.delete") if each.outcome == "done"]


# -- names that look like others -----------------------------------------------------------------------------------

TWINS: dict[str, Callable[[str], str]] = {
    "space before": lambda name: " " + name,
    "space after": lambda name: name + " ",
    "no-break space after": lambda name: name + "\u00a0",
    "capitals": str.upper,
    "title": str.title,
    "full width": lambda name: "".join(chr(ord(c) + 0xFEE0) if c.isalnum() else c for c in name),
    "zero width space": lambda name: name[:3] + "\u200b" + name[3:],
    "soft hyphen": lambda name: name[:3] + "\u00ad" + name[3:],
    "Cyrillic a": lambda name: name.replace("a", "\u0430").replace("A", "\u0410"),
    "right to left": lambda name: "\u202e" + name[::-1],
}
WORDS = [
    (kind, word) for kind, words in ((RoleKind.ACCOUNT, ACCOUNT_ROLES), (RoleKind.GROUP, GROUP_ROLES)) for word in words
]


@pytest.fixture(scope="module")
def house(installation: None) -> Tenant:
    return new_tenant()


@pytest.mark.parametrize("twin", TWINS.values(), ids=TWINS)
def test_a_role_that_looks_like_the_systems_is_refused_or_gives_nothing(
    twin: Callable[[str], str], house: Tenant
) -> None:
    """By the door of making and by that of renaming."""
    user = new_user()
    membership = Membership.objects.create(user=user, account=house.account, role="")
    who = user_principal(user, house.account.id)
    nothing = execute(who, GetOwnPermissions())
    details = RoleDetails(RoleKind.ACCOUNT, frozenset())
    plain = execute(house.alice, CreateRole(unique("plain"), details)).id
    grant = AccountRoleGrant.objects.create(membership=membership, user=user, role_id=plain)
    for name in sorted({role.name for role in SYSTEM_ROLES.values()} | {word for _, word in WORDS}):
        for command in (UpdateRole(plain, twin(name)), CreateRole(twin(name), details)):
            try:
                made = execute(house.alice, command)
            except REFUSALS:
                continue
            AccountRoleGrant.objects.filter(pk=grant.pk).update(role_id=made.id)
            assert execute(who, GetOwnPermissions()) == nothing, name


@pytest.mark.parametrize("twin", TWINS.values(), ids=TWINS)
def test_a_word_that_looks_like_a_role_gives_none(twin: Callable[[str], str]) -> None:
    for kind, word in WORDS:
        if twin(word) != word:
            with pytest.raises(WireError):
                roles_of([twin(word)], kind, "account_role")


# -- the doors that give, by way of an approval ---------------------------------------------------------------------


def gifts(tenant: Tenant, target: UUID) -> dict[str, WireForm]:
    """Every way to give an administrator's rights, as a call that is asked for."""
    group, user = str(tenant.group.id), f"/sys/v1/users/{target}"
    email = f"{unique('u')}@example.org"
    return {
        "role": form("PATCH", user, {"account_role": ["ACCOUNTADMINISTRATOR", "STATEENABLED"]}),
        "role in a group": form("PATCH", user, {"add_groups": {group: ["GROUPADMINISTRATOR"]}}),
        "invitation": form(
            "POST", "/sys/v1/users/invite", {"user_email": email, "account_role": ["ACCOUNTADMINISTRATOR"]}
        ),
        "invitation to a group": form(
            "POST",
            "/sys/v1/users/invite",
            {"user_email": email, "account_role": ["ACCOUNTMEMBER"], "add_groups": {group: ["GROUPADMINISTRATOR"]}},
        ),
        "custom role": form(
            "POST",
            "/sys/v1/roles",
            {"name": unique("r"), "details": {"kind": "account", "permissions": ["DELETE_ACCOUNT"]}},
        ),
        "app": form("POST", "/sys/v1/apps", {"name": unique("a"), "add_groups": {group: ["EXPORT"]}}),
    }


GIFTS = ("role", "role in a group", "invitation", "invitation to a group", "custom role", "app")


def delegate(tenant: Tenant) -> Principal:
    """Somebody who manages users and roles on the account, and users and apps in the group, and holds no more."""
    user = new_user()
    membership = Membership.objects.create(user=user, account=tenant.account, role="")
    inside = GroupMembership.objects.create(user=user, group=tenant.group, role="")
    keeper = RoleDetails(RoleKind.ACCOUNT, frozenset({Permission.USER_MANAGE, Permission.ROLE_MANAGE}))
    manager = RoleDetails(
        RoleKind.GROUP, frozenset({Permission.GROUP_GET, Permission.GROUP_USERS_MANAGE, Permission.APP_MANAGE})
    )
    on_account, in_group = (execute(tenant.alice, CreateRole(unique("r"), each)).id for each in (keeper, manager))
    AccountRoleGrant.objects.create(membership=membership, user=user, role_id=on_account)
    GroupRoleGrant.objects.create(membership=inside, user=user, role_id=in_group)
    return user_principal(user, tenant.account.id)


@pytest.mark.parametrize("gift", GIFTS)
def test_no_approval_gives_what_its_requester_does_not_hold(gift: str, panel: Panel) -> None:
    """The quorum says yes to the call, and the requester's rights are judged all the same."""
    tenant, who = panel.tenant, delegate(panel.tenant)
    target = tenant.member("member").id
    tree = stored_tree(users(1, [panel.reviewers[0].id]))
    AccountPolicy.objects.create(account=tenant.account, quorum=tree, guarded=[p.value for p in Permission])
    GroupPolicy.objects.filter(group=tenant.group).update(quorum=None)
    wanted = gifts(tenant, target)
    assert tuple(wanted) == GIFTS
    before = rights(tenant)
    with suppress(AccessDenied):
        request = panel.ask(wanted[gift], by=who)
        give(panel.reviewers[0], request)
        assert result(who, request)[0] == 403
    assert rights(tenant) == before
    mine = panel.ask(gifts(tenant, target)[gift], by=tenant.alice)
    assert give(panel.reviewers[0], mine).status == "approved", result(tenant.alice, mine)
    assert rights(tenant) != before


def rights(tenant: Tenant) -> list[Any]:
    """Whatever gives somebody a right in the account."""
    account = tenant.account
    return [
        sorted(Membership.objects.filter(account=account).values_list("user_id", "role")),
        sorted(GroupMembership.objects.filter(group__account=account).values_list("user_id", "group_id", "role")),
        sorted(Role.objects.filter(account=account).values_list("id", "permissions")),
        sorted(AppGroup.objects.filter(app__account=account).values_list("app_id", "group_id", "permissions")),
    ]


# -- many requests, and outsiders ----------------------------------------------------------------------------------


def flood(panel: Panel, count: int) -> None:
    """The same as one request, of so many others: as many of this group as there never should be."""
    copied = """
        INSERT INTO policies_approvalrequest SELECT (made).* FROM (
            SELECT jsonb_populate_record(
                one, jsonb_build_object('id', gen_random_uuid(), 'requester_id', gen_random_uuid())
            ) AS made FROM policies_approvalrequest AS one, generate_series(1, %s) WHERE one.id = %s OFFSET 0
        ) AS copies
    """
    with connection.cursor() as cursor:
        cursor.execute(copied, [count, panel.ask()])


def test_ten_thousand_requests_of_others_hold_nobody_up(panel: Panel) -> None:
    account = panel.tenant.account.id
    flood(panel, 10_000)
    waiting = ApprovalRequest.objects.filter(account=account)
    assert waiting.count() > 10_000
    try:
        started = time.monotonic()
        request = panel.ask()
        newest = Page(limit=1, sort="created_at", descending=True)
        for who in (panel.tenant.app, *panel.reviewers):
            assert [view.row.id for view in execute(who, ListApprovals(newest))] == [request]
        panel.approve(request, 0, 1)
        assert result(panel.tenant.app, request)[0] == 204
        assert time.monotonic() - started < 5
    finally:
        theirs = "DELETE FROM policies_approvalrequest WHERE account_id = %s AND requester_id <> %s"
        with connection.cursor() as cursor:
            cursor.execute(theirs, [account, panel.tenant.app.id])


def outsiders(panel: Panel) -> dict[str, Principal]:
    tenant, elsewhere = panel.tenant, new_tenant()
    left, shut = tenant.member("member"), tenant.member("administrator", enabled=False)
    Membership.objects.filter(user_id=left.id).delete()
    other = tenant.new_group()
    inside = tenant.member("member")
    GroupMembership.objects.create(user_id=inside.id, group=other, role="administrator")
    GroupPolicy.objects.create(
        group=other, account=tenant.account, quorum=stored_tree(users(1, [inside.id])), guarded=GUARDED
    )
    return {
        "nobody": ANONYMOUS,
        "an administrator of another account": elsewhere.alice,
        "an app of another account": elsewhere.app,
        "an app of another group": tenant.new_app(group=other),
        "a reviewer of another group": inside,
        "a member": tenant.member("member"),
        "who was removed": left,
        "who is disabled": shut,
        "who asked, in another account": replace(tenant.app, account=elsewhere.account.id),
    }


ABOUT_ONE = [
    operation.command
    for operation in (*approvals.OPERATIONS, *vote_challenges.OPERATIONS)
    if "request" in {field.name for field in fields(operation.command)}
]


@pytest.mark.parametrize("command", ABOUT_ONE, ids=lambda c: c.__name__)
def test_outsiders_do_nothing_to_a_request(command: Any, panel: Panel) -> None:
    request = panel.ask()
    before = ApprovalRequest.objects.filter(id=request).values().get()
    for name, who in outsiders(panel).items():
        wanted = command(request, NO_PROOF) if command is GiveApproval else command(request)
        with pytest.raises(REFUSALS):
            execute(who, wanted)
        assert ApprovalRequest.objects.filter(id=request).values().get() == before, name
    assert not row(request).approvals.exists()


def test_the_sweep_knows_every_deed_to_a_request() -> None:
    assert len(ABOUT_ONE) == 6


# -- votes by other hands ------------------------------------------------------------------------------------------


def hands(tenant: Tenant) -> list[Principal]:
    """An administrator, an app of theirs, an app that it made, and so on."""
    user = new_user()
    Membership.objects.create(user=user, account=tenant.account, role="administrator")
    found = [user_principal(user, tenant.account.id)]
    for _ in range(3):
        app = tenant.new_app()
        App.objects.filter(id=app.id).update(creator_kind=found[-1].kind, creator_id=found[-1].id)
        found.append(app_principal(App.objects.get(id=app.id)))
    return found


def places(who: list[Principal]) -> tuple[Member, ...]:
    return tuple(Member(MemberKind(each.kind.value), each.id) for each in who)


@pytest.mark.parametrize("asker", range(4))
def test_nobody_approves_their_own_request_by_any_hand_of_theirs(asker: int, panel: Panel) -> None:
    mine = hands(panel.tenant)
    _set_quorum(panel, Quorum(1, places(mine)))
    request = panel.ask(by=mine[asker])
    for hand in mine:
        with pytest.raises(AccessDenied) as refused:
            give(hand, request)
        assert refused.value.reason == "own-request"
    assert untouched(panel)


def test_all_hands_of_a_person_are_one_vote(panel: Panel) -> None:
    theirs = hands(panel.tenant)
    _set_quorum(panel, Quorum(2, places([*theirs, panel.reviewers[0]])))
    request = panel.ask(by=panel.tenant.alice)
    for hand in theirs:
        assert give(hand, request).status == "pending"
    assert untouched(panel)
    assert panel.approve(request, 0).status == "approved"


def _set_quorum(panel: Panel, quorum: Quorum) -> None:
    GroupPolicy.objects.filter(group=panel.tenant.group).update(quorum=stored_tree(quorum))


# -- a policy lowered by what it guards ----------------------------------------------------------------------------


def test_a_request_that_lowers_the_policy_is_judged_by_the_policy_it_lowers(panel: Panel) -> None:
    """And what was asked for before is not set off by it: somebody has to say yes to that once more."""
    group, (ann, _, eve) = panel.tenant.group, panel.reviewers
    GroupPolicy.objects.filter(group=group).update(guarded=[*GUARDED, Permission.GROUP_QUORUM])
    waiting = panel.ask()
    panel.approve(waiting, 0)
    quorum = {"n": 1, "members": [{"user": str(ann.id)}, {"user": str(eve.id)}]}
    wanted = form("PATCH", f"/sys/v1/groups/{group.id}", {"approval_policy": {"quorum": quorum}})
    lower = panel.ask(wanted, by=panel.tenant.alice)
    assert panel.approve(lower, 0).status == "pending"
    assert _asked_for(panel) == 2
    assert panel.approve(lower, 1).status == "approved", result(panel.tenant.alice, lower)
    assert _asked_for(panel) == 1
    Keeper().turn()
    assert (row(waiting).status, row(waiting).due_at) == ("pending", None)
    assert untouched(panel)
    assert panel.approve(waiting, 2).status == "approved"


def _asked_for(panel: Panel) -> int:
    tree = GroupPolicy.objects.get(group=panel.tenant.group).quorum
    assert tree is not None
    return tree_of(tree).n
