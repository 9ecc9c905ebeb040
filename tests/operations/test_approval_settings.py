"""What becomes of requests for approval: each setting with the right that it asks for, and its bounds."""

from __future__ import annotations

import pytest

from accounts.models import Membership, User
from accounts.principal import AuthenticationMethod, Principal, PrincipalKind
from kms.crypto.errors import ParameterInvalid
from kms.operations.accounts import AccountView, GetAccount, UpdateAccount
from kms.operations.approval_settings import LONGEST, SHORTEST, ApprovalSettings
from kms.operations.command import Command
from kms.operations.demanding import PolicyChange
from kms.operations.errors import AccessDenied
from kms.operations.executor import execute
from kms.operations.groups import UpdateGroup
from kms.operations.roles import CreateRole, RoleDetails, RoleView
from kms.operations.users import UpdateUser
from policies.permissions import Permission
from policies.system_roles import RoleKind
from tests.kit.tenants import Tenant, unique


def settings_of(tenant: Tenant, who: Principal) -> ApprovalSettings:
    seen: AccountView = execute(who, GetAccount(tenant.account.id))
    assert seen.policy is not None
    row = seen.policy
    return ApprovalSettings(row.approval_seconds, row.check_results, row.log_expired, row.retain_expired)


def changing(tenant: Tenant, wanted: ApprovalSettings) -> Command:
    return UpdateAccount(tenant.account.id, policy=PolicyChange(approval_settings=wanted))


def holder(tenant: Tenant, permission: Permission) -> Principal:
    """A user who holds one permission on the account and no other."""
    details = RoleDetails(RoleKind.ACCOUNT, frozenset({permission}))
    made: RoleView = execute(tenant.alice, CreateRole(unique("role"), details))
    user = User.objects.create(email=f"{unique('p')}@example.org", email_verified=True)
    Membership.objects.create(user=user, account=tenant.account, role="")
    execute(tenant.alice, UpdateUser(user.id, role="", roles=frozenset({made.id})))
    return Principal(PrincipalKind.USER, user.id, tenant.account.id, AuthenticationMethod.PASSWORD)


def test_each_setting_is_changed_by_itself(tenant: Tenant) -> None:
    assert settings_of(tenant, tenant.alice) == ApprovalSettings(None, False, False, False)
    execute(tenant.alice, changing(tenant, ApprovalSettings(seconds=3600)))
    execute(tenant.alice, changing(tenant, ApprovalSettings(check_results=True)))
    execute(tenant.alice, changing(tenant, ApprovalSettings(log_expired=True, retain_expired=True)))
    assert settings_of(tenant, tenant.alice) == ApprovalSettings(3600, True, True, True)


@pytest.mark.parametrize("seconds", [SHORTEST - 1, LONGEST + 1, -1, 0])
def test_a_time_out_of_bounds_is_refused(tenant: Tenant, seconds: int) -> None:
    with pytest.raises(ParameterInvalid):
        execute(tenant.alice, changing(tenant, ApprovalSettings(seconds=seconds)))


def test_who_may_change_only_the_expiry_changes_only_that(tenant: Tenant) -> None:
    clerk = holder(tenant, Permission.APPROVAL_EXPIRY)
    execute(clerk, changing(tenant, ApprovalSettings(seconds=SHORTEST)))
    for beyond in (ApprovalSettings(check_results=True), ApprovalSettings(seconds=SHORTEST, retain_expired=True)):
        with pytest.raises(AccessDenied):
            execute(clerk, changing(tenant, beyond))
    with pytest.raises(AccessDenied):
        execute(clerk, UpdateAccount(tenant.account.id, name="renamed", policy=PolicyChange(None)))


def test_a_group_has_no_such_settings(tenant: Tenant) -> None:
    group = tenant.new_group()
    with pytest.raises(ParameterInvalid):
        execute(tenant.alice, UpdateGroup(group.id, policy=PolicyChange(ApprovalSettings(seconds=3600))))
