"""An account with something on every screen, and what the sweeps put into the places of a screen's address."""

from __future__ import annotations

import uuid
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta

from accounts.clock import clock
from accounts.errors import NotAuthenticated
from accounts.kubernetes import KubernetesCredential
from accounts.principal import ANONYMOUS, Principal
from kms.audit.entry import entry_id
from kms.audit.models import AuditRecord
from kms.audit.sealer import Sealer
from kms.crypto.algorithm import CipherParameters
from kms.objects import keystore
from kms.objects.revocation import Revocation, RevocationCode
from kms.objects.rotation import RotationPolicy
from kms.objects.state import Cryptoperiod
from kms.operations.approvals import ApprovalView, RequestApproval
from kms.operations.command import ObjectRef
from kms.operations.copying import CopyObject
from kms.operations.cryptographic import Encrypt
from kms.operations.errors import AccessDenied
from kms.operations.executor import execute
from kms.operations.kubernetes_bindings import CreateBinding
from kms.operations.kubernetes_clusters import CreateCluster, PastedKeys
from kms.operations.lifecycle import RevokeObject
from kms.operations.making import ObjectTemplate
from kms.operations.managed_object import ObjectView
from kms.operations.record_key import record_signer
from kms.operations.roles import CreateRole, RoleDetails, RoleView
from kms.operations.rotating import RotateObject
from kms.operations.sessions import LogIn
from kms.operations.users import UpdateUser
from policies.permissions import Permission
from policies.quorum import Quorum
from policies.system_roles import RoleKind
from tests.console.settings_data import settings_of
from tests.kit.approvals import GUARDED, form
from tests.kit.clusters import pod_issuer
from tests.kit.quorums import guard_group, users
from tests.kit.tenants import Tenant, new_tenant, unique
from tests.kit.tokens import CLUSTER, jwk, rsa_key


@dataclass(frozen=True)
class World:
    """``ids`` has a value for every parameter of a screen's route; a new parameter joins here."""

    tenant: Tenant
    ids: dict[str, uuid.UUID]

    @property
    def alice(self) -> Principal:
        """She administers the account."""
        return self.tenant.alice


def new_world() -> World:
    tenant = new_tenant()
    ids = {
        "group_id": tenant.group.id,
        "app_id": tenant.app.id,
        "key_id": _payments_key(tenant),
        "user_id": tenant.alice.id,
    }
    _usage(tenant, ids["key_id"])
    ids |= _people(tenant)
    ids |= settings_of(tenant)
    ids |= _cluster(tenant)
    ids |= _evidence(tenant)
    return World(tenant, {name: value for name, value in ids.items() if value is not None})


def _payments_key(tenant: Tenant) -> uuid.UUID:
    """A key with a past, a copy, dates and metadata, among others of other kinds and states."""
    old = tenant.key(
        name="payments master key",
        description="Encrypts the data keys of the payment service.",
        custom_metadata={"owner": "Payments", "ticket": "SEC-1204"},
        rotation=RotationPolicy(months=12),
    )
    made: ObjectView = execute(tenant.alice, RotateObject(old, ObjectTemplate(name=None, kind="AES")))
    new = ObjectRef(id=made.row.id)
    execute(tenant.alice, CopyObject(new, ObjectTemplate("payments master key (standby)", "", tenant.group.id)))
    tenant.key("EC", curve="NistP256", name="invoice signing")
    tenant.key("HMAC", size=256, name="webhook check")
    ended = tenant.key(name="archive 2023")
    execute(tenant.alice, RevokeObject(ended, Revocation(RevocationCode.SUPERSEDED)))
    tenant.key(name="quarter end", period=Cryptoperiod(None, clock.now() + timedelta(days=20)))
    return made.row.id


def _usage(tenant: Tenant, key: uuid.UUID) -> None:
    """Calls of the app that were done, and one that was refused."""
    for text in (b"one", b"two", b"three"):
        execute(tenant.app, Encrypt(ObjectRef(id=key), "AES", CipherParameters("CBC"), text))
    with suppress(AccessDenied):
        execute(tenant.app, Encrypt(ObjectRef(name="archive 2023"), "AES", CipherParameters("CBC"), b"four"))


def _cluster(tenant: Tenant) -> dict[str, uuid.UUID]:
    """A cluster whose pods come in: those of one service account, and all of another namespace. A third was refused."""
    keys = PastedKeys((jwk(rsa_key(), kid="key-1"),))
    cluster = execute(tenant.alice, CreateCluster("production", CLUSTER, keys, description="Runs the shop."))
    binding = execute(tenant.alice, CreateBinding(cluster.id, "shop", "payments", tenant.app.id))
    execute(tenant.alice, CreateBinding(cluster.id, "reports", "*", tenant.app.id))
    for pods in (pod_issuer("shop", "payments"), pod_issuer("shop", "crawler", "crawler-x2v9k")):
        with suppress(NotAuthenticated):
            token = pods.token(aud=[cluster.audience])
            execute(ANONYMOUS, LogIn(KubernetesCredential(token, cluster.id)))
    return {"cluster_id": cluster.id, "binding_id": binding.id}


def _evidence(tenant: Tenant) -> dict[str, uuid.UUID]:
    """A change that waits for Alice and another to approve it, and an entry of the record that is sealed."""
    group, carol = tenant.new_group(unique("treasury")), tenant.member("administrator")
    key = tenant.key(name="treasury signing", group=group, description="Signs payment files.")
    guard_group(group, users(2, [tenant.alice.id, tenant.member("member").id]), [Permission.OBJECT_UPDATE])
    change = form("PATCH", f"/crypto/v1/keys/{key.id}", {"description": "Signs nothing any more.", "enabled": False})
    asked: ApprovalView = execute(carol, RequestApproval(change, "The treasury moved to the new system."))
    Sealer(keystore.deployment_id(), record_signer).turn(clock.now())
    sealed = AuditRecord.objects.filter(account_id=tenant.account.id, action="object.encrypt").earliest("sequence")
    return {"req_id": asked.row.id, "entry_id": entry_id(sealed.sequence)}


def _people(tenant: Tenant) -> dict[str, uuid.UUID]:
    """Users with different roles, a role of the account's own, and a quorum over the group."""
    reviewers = [tenant.member("member") for _ in range(3)]
    auditor = tenant.member("auditor")
    role: RoleView = execute(
        tenant.alice,
        CreateRole(
            "Key operator",
            RoleDetails(RoleKind.GROUP, frozenset({Permission.OBJECT_ROTATE, Permission.OBJECT_ACTIVATE})),
            "Rotates keys, and nothing else.",
        ),
    )
    execute(
        tenant.alice,
        UpdateUser(
            reviewers[0].id, set_groups={tenant.group.id: ""}, group_roles={tenant.group.id: frozenset([role.id])}
        ),
    )
    tree = Quorum(2, (*users(1, [each.id for each in reviewers[:2]]).members, users(1, [reviewers[2].id, auditor.id])))
    guard_group(tenant.group, replace(tree, require_second_factor=True), GUARDED)
    return {"role_id": role.id, "member_id": reviewers[0].id}
