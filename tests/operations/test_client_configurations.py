"""Settings for client programs: kept in three places, laid over one another, shown to whoever they hold for."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.models import AppGroup
from accounts.principal import Principal
from kms.crypto.errors import ParameterInvalid
from kms.operations.accounts import UpdateAccount
from kms.operations.apps import CreateApp, UpdateApp
from kms.operations.client_configurations import MAX_BYTES, ClientChange, GetClientConfigurations
from kms.operations.demanding import PolicyChange
from kms.operations.executor import execute
from kms.operations.groups import UpdateGroup
from tests.kit.tenants import Tenant, app_principal, new_tenant, unique


def on_account(tenant: Tenant, clients: ClientChange) -> None:
    execute(tenant.alice, UpdateAccount(tenant.account.id, policy=PolicyChange(clients=clients)))


def on_group(tenant: Tenant, group: Any, clients: ClientChange) -> None:
    execute(tenant.alice, UpdateGroup(group.id, policy=PolicyChange(clients=clients)))


def on_app(tenant: Tenant, app: Principal, clients: ClientChange) -> None:
    execute(tenant.alice, UpdateApp(app.id, clients=clients))


def seen_by(who: Principal) -> Any:
    return execute(who, GetClientConfigurations())


def test_there_is_nothing_where_nothing_was_set(tenant: Tenant) -> None:
    assert seen_by(tenant.app) == {}
    assert seen_by(tenant.alice) == {}


def test_an_apps_own_settings_win_over_its_groups_and_those_over_the_accounts(tenant: Tenant) -> None:
    on_account(tenant, {"common": {"cache_ttl": 1, "h2_num_connections": 1, "retry_timeout_millis": 1}, "kmip": {}})
    on_group(tenant, tenant.group, {"common": {"cache_ttl": 2, "h2_num_connections": 2}})
    on_app(tenant, tenant.app, {"common": {"cache_ttl": 3}, "pkcs11": {"exact_key_ops": True}})
    common = {"cache_ttl": 3, "h2_num_connections": 2, "retry_timeout_millis": 1}
    assert seen_by(tenant.app) == {"common": common, "kmip": {}, "pkcs11": {"exact_key_ops": True}}


def test_of_several_groups_the_default_one_has_the_last_word_whichever_was_first(tenant: Tenant) -> None:
    groups = [tenant.group, tenant.new_group(), tenant.new_group()]
    for number, group in enumerate(groups):
        AppGroup.objects.get_or_create(app_id=tenant.app.id, group=group)
        on_group(tenant, group, {"common": {"cache_ttl": number}})
    for number, group in enumerate(groups):
        execute(tenant.alice, UpdateApp(tenant.app.id, default_group=group.id))
        assert seen_by(tenant.app) == {"common": {"cache_ttl": number}}


def test_settings_of_a_group_one_is_not_in_and_of_another_account_do_not_hold(tenant: Tenant) -> None:
    other = new_tenant()
    on_account(other, {"common": {"cache_ttl": 9}})
    on_group(tenant, tenant.new_group(), {"common": {"cache_ttl": 9}})
    on_app(tenant, tenant.new_app(), {"common": {"cache_ttl": 9}})
    assert seen_by(tenant.app) == {}


def test_a_user_has_the_accounts(tenant: Tenant) -> None:
    on_account(tenant, {"common": {"cache_ttl": 1}})
    on_group(tenant, tenant.group, {"common": {"cache_ttl": 2}})
    assert seen_by(tenant.member("member")) == {"common": {"cache_ttl": 1}}


def test_a_change_replaces_one_programs_settings_and_removes_anothers(tenant: Tenant) -> None:
    for place in (
        lambda clients: on_account(tenant, clients),
        lambda clients: on_group(tenant, tenant.group, clients),
        lambda clients: on_app(tenant, tenant.app, clients),
    ):
        place({"common": {"cache_ttl": 1, "h2_num_connections": 1}, "kmip": {}, "pkcs11": {"exact_key_ops": True}})
        place({"common": {"cache_ttl": 2}, "kmip": None})
        assert seen_by(tenant.app) == {"common": {"cache_ttl": 2}, "pkcs11": {"exact_key_ops": True}}
        place({"common": None, "pkcs11": None})
        assert seen_by(tenant.app) == {}


def test_an_app_is_made_with_settings(tenant: Tenant) -> None:
    command = CreateApp(unique("app"), groups={tenant.group.id: frozenset()}, clients={"common": {"cache_ttl": 5}})
    made = execute(tenant.alice, command)
    assert seen_by(app_principal(made.row)) == {"common": {"cache_ttl": 5}}


def test_settings_have_a_bound(tenant: Tenant) -> None:
    with pytest.raises(ParameterInvalid):
        on_account(tenant, {"tep": {"schema": "x" * MAX_BYTES}})
    on_account(tenant, {"tep": {"schema": "x" * (MAX_BYTES // 2)}})
    with pytest.raises(ParameterInvalid):
        on_account(tenant, {"kmip": {"more": "x" * (MAX_BYTES // 2)}})
