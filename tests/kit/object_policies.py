"""Cryptographic and metadata policies set through the corridor, and a desk for whoever works under them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from accounts.models import Group
from accounts.principal import Principal
from kms.crypto.registry import ALGORITHMS
from kms.objects.cryptographic_policy import CryptographicPolicy, KindRule
from kms.objects.metadata_policy import MetadataPolicy
from kms.operations.accounts import UpdateAccount
from kms.operations.apps import AppView, CreateApp
from kms.operations.demanding import PolicyChange
from kms.operations.executor import execute
from kms.operations.groups import UpdateGroup
from kms.operations.object_policies import CryptographicChange, MetadataChange
from policies.system_roles import APP_GRANTABLE
from tests.kit.tenants import Tenant, app_principal, unique

KINDS = tuple(algorithm.kind for algorithm in ALGORITHMS)


def all_but(*kinds: str, **fields: Any) -> CryptographicPolicy:
    """Every kind but these is allowed."""
    return CryptographicPolicy({kind: KindRule() for kind in KINDS if kind not in kinds}, **fields)


def policing(policy: CryptographicPolicy | MetadataPolicy) -> PolicyChange:
    if isinstance(policy, CryptographicPolicy):
        return PolicyChange(cryptographic=CryptographicChange(policy))
    return PolicyChange(metadata=MetadataChange(policy))


def police(tenant: Tenant, group: UUID, policy: CryptographicPolicy | MetadataPolicy) -> None:
    execute(tenant.alice, UpdateGroup(group, policy=policing(policy)))


def police_account(tenant: Tenant, policy: CryptographicPolicy | MetadataPolicy) -> None:
    execute(tenant.alice, UpdateAccount(tenant.account.id, policy=policing(policy)))


def app_in(tenant: Tenant, *groups: Group) -> Principal:
    """An app that may do everything in all of these."""
    rights = {group.id: frozenset(APP_GRANTABLE) for group in groups}
    view: AppView = execute(tenant.alice, CreateApp(unique("app"), groups[0].id, rights))
    return app_principal(view.row)
