"""A role is tried on the last calls before it is saved: what is foretold is what happens, and nothing of it stays."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from accounts.models import AccountRoleGrant, FactVersion, GroupMembership, GroupRoleGrant, Membership, Role
from accounts.principal import Principal
from kms.audit.models import AuditRecord
from kms.crypto.algorithm import CipherParameters
from kms.crypto.errors import ParameterInvalid
from kms.operations.command import Command, ObjectRef
from kms.operations.cryptographic import Encrypt
from kms.operations.errors import AccessDenied, ApprovalRequired, Conflict, NotFound
from kms.operations.executor import execute
from kms.operations.groups import UpdateGroup
from kms.operations.held_roles import own_roles
from kms.operations.making import ObjectTemplate
from kms.operations.managed_object import ObjectView
from kms.operations.queries import GetObject
from kms.operations.quorum_policies import NO_POLICY, QuorumPolicy
from kms.operations.roles import CreateRole, RoleDetails, UpdateRole
from kms.operations.rotating import RotateObject
from kms.operations.simulating import Change, SimulateGroupPolicy, SimulateNewRole, SimulateRole, Simulation
from kms.operations.updating import UpdateObject
from policies.facts import known_of
from policies.guarded import GroupProtection
from policies.models import GroupPolicy
from policies.permissions import Permission
from policies.system_roles import SYSTEM_ROLE_ID, RoleKind
from tests.kit.quorums import guard_group, users
from tests.kit.tenants import Tenant, new_tenant, unique

ROTATE, UPDATE, GET = Permission.OBJECT_ROTATE, Permission.OBJECT_UPDATE, Permission.OBJECT_GET


class Office:
    """A group with a key, a role in it, and an officer whose only role there it is."""

    def __init__(self, tenant: Tenant, *permissions: Permission) -> None:
        self.tenant, self.key = tenant, tenant.key()
        self.officer = tenant.member("member")
        self.role: Role = self.made(RoleKind.GROUP, *permissions)
        self.hold(self.officer)

    def made(self, kind: RoleKind, *permissions: Permission) -> Role:
        view = execute(self.tenant.alice, CreateRole(unique("role"), RoleDetails(kind, frozenset(permissions))))
        return Role.objects.get(id=view.id)

    def hold(self, user: Principal) -> None:
        inside = GroupMembership.objects.create(user_id=user.id, group=self.tenant.group, role="")
        GroupRoleGrant.objects.create(membership=inside, user_id=user.id, role=self.role)

    def simulated(self, *permissions: Permission, by: Principal | None = None, calls: int = 10_000) -> Simulation:
        details = RoleDetails(RoleKind.GROUP, frozenset(permissions))
        found: Simulation = execute(by or self.tenant.alice, SimulateRole(self.role.id, details, calls))
        return found

    def rotate(self) -> Command:
        return RotateObject(self.key, ObjectTemplate(None, "AES"))

    def rename(self) -> Command:
        return UpdateObject(self.key, description=unique("changed"))


def reason(user: Principal, command: Command) -> str:
    try:
        execute(user, command)
    except (AccessDenied, NotFound) as error:
        return error.reason
    return "granted"


def found(simulation: Simulation) -> dict[str, list[Permission]]:
    return {
        change.value: sorted(attempt.permission for attempt, _ in changed.examples)
        for change, changed in simulation.changes.items()
    }


@pytest.fixture
def office(tenant: Tenant) -> Office:
    return Office(tenant, ROTATE)


def test_what_would_be_newly_allowed_and_denied_is_told_from_what_was_asked_for(office: Office) -> None:
    assert reason(office.officer, GetObject(office.key)) == "granted"
    assert reason(office.officer, office.rename()) == "not-granted"
    assert reason(office.officer, office.rename()) == "not-granted"
    assert reason(office.officer, office.rotate()) == "granted"
    simulation = office.simulated(UPDATE)
    assert found(simulation) == {
        "newly_allowed": [UPDATE],
        "newly_denied": [ROTATE],
        "newly_needs_approval": [],
    }
    allowed = simulation.changes[Change.ALLOWED]
    assert (allowed.attempts, allowed.calls, allowed.examples[0][1]) == (1, 2, 2)
    assert allowed.examples[0][0].actor == office.officer.id
    assert allowed.examples[0][0].target == office.key.id
    assert simulation.actors == 1


def test_what_is_foretold_is_what_happens_once_the_role_is_saved(office: Office) -> None:
    other = ObjectRef(id=office.tenant.key(group=office.tenant.new_group()).id)
    attempts = {
        GET: GetObject(office.key),
        UPDATE: office.rename(),
        Permission.GROUP_UPDATE: UpdateGroup(office.tenant.group.id, description="changed"),
    }
    before = {permission: reason(office.officer, command) for permission, command in attempts.items()}
    assert reason(office.officer, GetObject(other)) == "not-visible"
    wanted = (Permission.GROUP_UPDATE,)
    foretold = found(office.simulated(*wanted))
    execute(office.tenant.alice, UpdateRole(office.role.id, details=RoleDetails(RoleKind.GROUP, frozenset(wanted))))
    after = {permission: reason(office.officer, command) for permission, command in attempts.items()}
    opened = sorted(p for p in attempts if before[p] != "granted" and after[p] == "granted")
    closed = sorted(p for p in attempts if before[p] == "granted" and after[p] != "granted")
    assert opened == foretold["newly_allowed"] == [Permission.GROUP_UPDATE]
    assert closed == foretold["newly_denied"] == [GET]


def test_what_a_quorum_guards_would_need_approval(office: Office) -> None:
    assert reason(office.officer, office.rename()) == "not-granted"
    guard_group(office.tenant.group, users(1, [office.tenant.alice.id]), [UPDATE])
    assert found(office.simulated(UPDATE))["newly_needs_approval"] == [UPDATE]


def test_nothing_stays_of_it_but_its_entry(office: Office) -> None:
    reason(office.officer, office.rename())
    rights = known_of(office.officer)
    row = Role.objects.filter(id=office.role.id).values().get()
    version = FactVersion.objects.get(subject=office.officer.id).version
    entries = AuditRecord.objects.filter(account_id=office.tenant.account.id).count()
    office.simulated(UPDATE)
    execute(office.tenant.alice, simulating_new(office, RoleKind.ACCOUNT, Permission.GROUP_CREATE))
    assert Role.objects.filter(id=office.role.id).values().get() == row
    assert Role.objects.filter(account=office.tenant.account).count() == 1
    assert FactVersion.objects.get(subject=office.officer.id).version == version
    assert known_of(office.officer) == rights
    assert reason(office.officer, office.rename()) == "not-granted"
    mine = AuditRecord.objects.filter(account_id=office.tenant.account.id).order_by("sequence")[entries:]
    assert [entry.action for entry in mine] == ["role.simulate", "role.simulate-new", "object.update"]
    assert mine[0].details["returned"] == 1


def test_only_the_last_calls_are_looked_at(office: Office) -> None:
    reason(office.officer, office.rename())
    reason(office.officer, GetObject(office.key))
    assert office.simulated(UPDATE, calls=1).calls == 1
    assert found(office.simulated(UPDATE, calls=2))["newly_allowed"] == []
    assert found(office.simulated(UPDATE))["newly_allowed"] == [UPDATE]


def test_calls_of_those_who_do_not_hold_the_role_are_left_alone(office: Office) -> None:
    other = office.tenant.member("member")
    assert reason(other, office.rename()) == "not-visible"
    simulation = office.simulated(UPDATE)
    assert (simulation.actors, simulation.calls) == (0, 0)


def test_who_has_a_group_role_by_an_account_role_in_all_groups_is_a_holder(office: Office) -> None:
    above = Role.objects.create(
        account=office.tenant.account,
        kind="account",
        name=unique("role"),
        all_groups_role=office.role.id,
        creator_kind="user",
        creator_id=office.tenant.alice.id,
    )
    everywhere = office.tenant.member("member")
    membership = Membership.objects.get(user_id=everywhere.id, account=office.tenant.account)
    AccountRoleGrant.objects.create(membership=membership, user_id=everywhere.id, role=above)
    assert reason(everywhere, office.rename()) == "not-granted"
    simulation = office.simulated(ROTATE, UPDATE)
    assert [attempt.actor for attempt, _ in simulation.changes[Change.ALLOWED].examples] == [everywhere.id]


# -- a role that is not there yet ----------------------------------------------------------------------------------


def simulating_new(office: Office, kind: RoleKind, *permissions: Permission, **more: Any) -> SimulateNewRole:
    more.setdefault("holders", (office.officer.id,))
    return SimulateNewRole(unique("new"), RoleDetails(kind, frozenset(permissions)), **more)


def test_a_new_role_is_tried_in_somebodys_hands_in_a_group(office: Office) -> None:
    reason(office.officer, office.rename())
    command = simulating_new(office, RoleKind.GROUP, UPDATE, groups=(office.tenant.group.id,))
    assert found(execute(office.tenant.alice, command))["newly_allowed"] == [UPDATE]
    elsewhere = simulating_new(office, RoleKind.GROUP, UPDATE, groups=(office.tenant.new_group().id,))
    assert found(execute(office.tenant.alice, elsewhere))["newly_allowed"] == []
    assert own_roles([office.officer.id], office.tenant.account.id)[office.officer.id][1] == {
        office.tenant.group.id: (office.role.id,)
    }


def test_a_new_role_is_tried_on_the_account(office: Office) -> None:
    asked = CreateRole(unique("role"), RoleDetails(RoleKind.ACCOUNT, frozenset()))
    assert reason(office.officer, asked) == "not-granted"
    command = simulating_new(office, RoleKind.ACCOUNT, Permission.ROLE_CREATE)
    assert found(execute(office.tenant.alice, command))["newly_allowed"] == [Permission.ROLE_CREATE]


# -- a group's quorum ----------------------------------------------------------------------------------------------


def quorum_of(tenant: Tenant, *guarded: Permission) -> QuorumPolicy:
    return QuorumPolicy(users(1, [tenant.alice.id, tenant.member("member").id]), GroupProtection(frozenset(guarded)))


def test_a_quorum_is_tried_on_what_users_and_apps_asked_for(office: Office) -> None:
    tenant, group = office.tenant, office.tenant.group
    encrypt = Encrypt(office.key, "AES", CipherParameters("CBC", bytes(16)), b"data")
    assert reason(tenant.app, encrypt) == "granted"
    assert reason(office.officer, office.rotate()) == "granted"
    assert reason(office.officer, office.rename()) == "not-granted"
    policy = quorum_of(tenant, ROTATE, Permission.OBJECT_ENCRYPT)
    simulation = execute(tenant.alice, SimulateGroupPolicy(group.id, policy))
    assert found(simulation) == {
        "newly_allowed": [],
        "newly_denied": [],
        # The tenant's app was made in the group: every quorum of a group guards that.
        "newly_needs_approval": [Permission.APP_CREATE, Permission.OBJECT_ENCRYPT, ROTATE],
    }
    assert not GroupPolicy.objects.filter(group=group).exists()
    assert reason(tenant.app, encrypt) == "granted"


def test_a_quorum_that_is_taken_away_is_tried_as_well(office: Office) -> None:
    tenant, group = office.tenant, office.tenant.group
    guard_group(group, users(1, [tenant.alice.id]), [ROTATE])
    with pytest.raises(ApprovalRequired):
        execute(office.officer, office.rotate())
    assert found(execute(tenant.alice, SimulateGroupPolicy(group.id, NO_POLICY)))["newly_allowed"] == [ROTATE]
    with pytest.raises(ApprovalRequired):
        execute(office.officer, office.rotate())


def test_no_quorum_is_tried_that_could_not_be_set(office: Office) -> None:
    tenant, group = office.tenant, office.tenant.group
    strangers = QuorumPolicy(users(1, [uuid4()]), GroupProtection(frozenset({ROTATE})))
    with pytest.raises(ParameterInvalid):
        execute(tenant.alice, SimulateGroupPolicy(group.id, strangers))
    with pytest.raises(AccessDenied):
        execute(tenant.member("auditor"), SimulateGroupPolicy(group.id, NO_POLICY))
    for user in (office.tenant.member("member"), new_tenant().alice):
        with pytest.raises(NotFound):
            execute(user, SimulateGroupPolicy(group.id, NO_POLICY))


# -- who may -------------------------------------------------------------------------------------------------------


def test_nobody_simulates_what_they_could_not_save(office: Office) -> None:
    tenant = office.tenant
    for by in (office.officer, tenant.member("auditor")):
        for command in (
            SimulateRole(office.role.id, None),
            simulating_new(office, RoleKind.ACCOUNT, Permission.GROUP_CREATE),
        ):
            with pytest.raises((AccessDenied, NotFound)):
                execute(by, command)
    keeper = tenant.member("member")
    view = execute(
        tenant.alice,
        CreateRole(
            unique("role"),
            RoleDetails(RoleKind.ACCOUNT, frozenset({Permission.ROLE_MANAGE, Permission.AUDIT_READ_ACCOUNT})),
        ),
    )
    membership = Membership.objects.get(user_id=keeper.id, account=tenant.account)
    AccountRoleGrant.objects.create(membership=membership, user_id=keeper.id, role_id=view.id)
    with pytest.raises(AccessDenied) as beyond:
        office.simulated(UPDATE, by=keeper)
    assert beyond.value.reason == "beyond-own"
    with pytest.raises(AccessDenied) as not_to_give:
        execute(keeper, simulating_new(office, RoleKind.ACCOUNT, Permission.ROLE_MANAGE))
    assert not_to_give.value.reason == "not-granted"


def test_the_systems_roles_are_not_changed_in_a_simulation_either(office: Office) -> None:
    with pytest.raises(Conflict):
        execute(office.tenant.alice, SimulateRole(SYSTEM_ROLE_ID[RoleKind.GROUP, "auditor"], None))


def test_what_is_another_accounts_is_not_there(office: Office) -> None:
    stranger = new_tenant().alice
    for command in (
        SimulateRole(office.role.id, None),
        SimulateRole(uuid4(), None),
        simulating_new(office, RoleKind.ACCOUNT, Permission.GROUP_CREATE),
        simulating_new(office, RoleKind.GROUP, ROTATE, holders=(stranger.id,), groups=(office.tenant.group.id,)),
    ):
        with pytest.raises(NotFound):
            execute(stranger, command)


def test_every_entry_with_a_target_says_which_permission_was_asked_for(office: Office) -> None:
    view: ObjectView = execute(office.tenant.alice, GetObject(office.key))
    entry = AuditRecord.objects.filter(object_id=view.row.id).latest("sequence")
    assert entry.details["permission"] == "object.get"
    reason(office.officer, office.rename())
    entry = AuditRecord.objects.filter(object_id=view.row.id).latest("sequence")
    assert (entry.outcome, entry.details["permission"]) == ("denied", "object.update")
