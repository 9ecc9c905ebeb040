"""A valid request for each route, proven by the principal that may make it.

The table also says by hand what others get, who may not or may not even see: test_matrix sends the requests as them,
and as everybody else there can be. A new route without a request fails here.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest

from accounts import sessions
from accounts.clock import clock
from accounts.models import Membership
from accounts.principal import Principal
from kms.api.routes import ENDPOINTS
from kms.api.wire.base import Endpoint
from kms.audit.entry import entry_id
from kms.audit.models import AuditRecord, LogSink
from kms.audit.sealer import Sealer
from kms.crypto.algorithm import CipherParameters
from kms.crypto.operation import KeyOperation
from kms.objects import keystore
from kms.objects.models import HistoryItem, SecurityObject
from kms.operations.agreement import EncapsulateKey
from kms.operations.approvals import RequestApproval
from kms.operations.command import ObjectRef
from kms.operations.creation import CreateObject
from kms.operations.cryptographic import WrapKey
from kms.operations.executor import execute
from kms.operations.external_roles import CreateExternalRole
from kms.operations.groups import UpdateGroup
from kms.operations.invitations import InviteUser
from kms.operations.making import ObjectTemplate
from kms.operations.providers import CreateProvider
from kms.operations.record_key import record_signer
from kms.operations.roles import CreateRole, RoleDetails
from kms.operations.updating import UpdateObject
from kms.secret import SecretBytes
from policies.permissions import Permission
from policies.system_roles import RoleKind
from tests.api.test_bad_input import login
from tests.api.test_edges import body_for, states
from tests.crypto.test_hierarchical import XPUB_1, base58check
from tests.kit.approvals import deletion, give
from tests.kit.clusters import bind, new_cluster
from tests.kit.quorums import guard_group, users
from tests.kit.tenants import PASSWORD, Tenant, new_tenant, new_user, unique, user_principal
from tests.kit.tokens import CLUSTER, jwk, rsa_key

DATA = base64.b64encode(b"sixteen bytes ok").decode()


@dataclass
class World:
    """One account with one of everything, and the people who try."""

    tenant: Tenant
    keys: dict[str, str]
    credentials: dict[str, Any]
    removable: str

    def ids(self) -> dict[str, str]:
        return {
            "key_id": self.keys["AES"],
            "group_id": str(self.tenant.group.id),
            "app_id": str(self.tenant.app.id),
            "user_id": self.removable,
            "acct_id": str(self.tenant.account.id),
        }


@dataclass(frozen=True)
class Case:
    """``by`` succeeds. ``sees``: what a principal that sees the target and may not gets (an app without permissions, or
    an auditor); ``outside``: what one that does not see it gets. 200 where everyone may and gets their own view."""

    by: str
    sees: int = 403
    outside: int = 404
    body: Callable[[World], Any] | None = None
    path: Callable[[World], dict[str, str]] | None = None
    query: str = ""


def new_key(world: World, **fields: Any) -> dict[str, Any]:
    return {"name": unique("k"), "group_id": str(world.tenant.group.id), "obj_type": "AES", **fields}


def empty_group(world: World) -> dict[str, str]:
    return {"group_id": str(world.tenant.new_group().id)}


def spare_app(world: World) -> dict[str, str]:
    return {"app_id": str(world.tenant.new_app().id)}


def spare_user(world: World) -> dict[str, str]:
    return {"user_id": str(world.tenant.member("member").id)}


def members_session(world: World) -> dict[str, str]:
    member = world.tenant.member("member")
    return {"user_id": str(member.id), "session_id": session_of(member)}


def spare_sink(world: World) -> dict[str, str]:
    """At an address that the server calls for nobody, so that no test depends on a network."""
    config = {"host": "127.0.0.1", "port": 1, "tls": {"mode": "disabled"}, "facility": 1, "use_fqdn": False}
    row = LogSink.objects.create(
        account=world.tenant.account, kind="syslog", config={**config, "format": "json"}, position=0, enabled=False
    )
    return {"config_id": str(row.id)}


def sealed_entry(world: World) -> dict[str, str]:
    Sealer(keystore.deployment_id(), record_signer).turn(clock.now())
    sealed = AuditRecord.objects.filter(account_id=world.tenant.account.id)
    return {"entry_id": str(entry_id(sealed.earliest("sequence").sequence))}


def spare_session(world: World) -> dict[str, str]:
    return {"session_id": session_of(world.tenant.alice)}


def session_of(user: Principal) -> str:
    return str(sessions.issue(user, user.method, clock.now(), clock.now())[0].id)


def own_role(_world: World) -> dict[str, Any]:
    return {"name": unique("role"), "details": {"kind": "group", "permissions": ["ROTATE_SOBJECTS"]}}


def simulated_role(world: World) -> dict[str, Any]:
    details = {"kind": "account", "permissions": ["GET_ALL_USERS"]}
    return {"name": unique("role"), "details": details, "holders": [str(world.tenant.member("member").id)]}


def spare_own_role(world: World) -> dict[str, str]:
    details = RoleDetails(RoleKind.GROUP, frozenset({Permission.OBJECT_ROTATE}))
    return {"role_id": str(execute(world.tenant.alice, CreateRole(unique("role"), details)).id)}


def invited_user(world: World) -> dict[str, str]:
    view = execute(world.tenant.alice, InviteUser(f"{unique('u')}@example.org", "member"))
    return {"user_id": str(view.user.id)}


def spare_key(world: World) -> dict[str, str]:
    return {"key_id": str(world.tenant.key().id)}


def dormant_key(world: World) -> dict[str, str]:
    ref: ObjectRef = world.tenant.key()
    SecurityObject.objects.filter(id=str(ref.id)).update(state="pre-active")
    return {"key_id": str(ref.id)}


def spare_pair(world: World) -> dict[str, str]:
    return {"key_id": str(world.tenant.key("EC", curve="NistP256").id)}


def changed_key(world: World) -> dict[str, str]:
    """A key whose last change can be undone; the history item's id is kept for the body."""
    group = world.tenant.new_group()
    execute(world.tenant.alice, UpdateGroup(group.id, undo_seconds=600))
    ref = world.tenant.key(group=group)
    execute(world.tenant.alice, UpdateObject(ref, operations=frozenset({KeyOperation.ENCRYPT})))
    world.keys["history item"] = str(HistoryItem.objects.get(object__id=str(ref.id)).id)
    return {"key_id": str(ref.id)}


def named_key(world: World) -> dict[str, Any]:
    name = unique("k")
    world.tenant.key(name=name)
    return {"name": name, "obj_type": "AES", "key_size": 256}


def replacement(world: World) -> dict[str, Any]:
    replaced, taking_over = ({"kid": str(world.tenant.key().id)} for _ in range(2))
    return {"replaced": replaced, "replaced_new_name": unique("old"), "replacement": taking_over}


def exported(world: World) -> dict[str, str]:
    return {"key_id": world.keys["exported"]}


def unwrap_body(world: World, *, by_path: bool) -> dict[str, Any]:
    wrap = WrapKey(
        ObjectRef(id=UUID(world.keys["AES"])),
        ObjectRef(id=UUID(world.keys["exported"])),
        "AES",
        CipherParameters("KWP"),
    )
    wrapped = execute(world.tenant.app, wrap).ciphertext
    body = new_key(world, alg="AES", mode="KWP", wrapped_key=base64.b64encode(wrapped).decode())
    return body if by_path else {**body, "key": {"kid": world.keys["AES"]}}


def derived(world: World, **fields: Any) -> dict[str, Any]:
    group = str(world.tenant.group.id)
    return {"name": unique("d"), "group_id": group, "key_type": "SECRET", "key_size": 256, **fields}


def decapsulated(world: World) -> dict[str, Any]:
    template = ObjectTemplate(unique("d"), "SECRET", world.tenant.group.id)
    sent = execute(world.tenant.app, EncapsulateKey(ObjectRef(id=UUID(world.keys["MLKEM"])), template))
    ciphertext = base64.b64encode(sent.ciphertext).decode()
    return derived(world, key={"kid": world.keys["MLKEM"]}, ciphertext=ciphertext)


def app_body(world: World) -> dict[str, Any]:
    group = str(world.tenant.group.id)
    return {"name": unique("app"), "add_groups": {group: ["ENCRYPT"]}, "default_group": group}


def persist_body(world: World) -> dict[str, Any]:
    template = ObjectTemplate(None, "AES", world.tenant.group.id, size=256, transient=True)
    made = execute(world.tenant.app, CreateObject(template)).transient
    group = str(world.tenant.group.id)
    return {"name": unique("kept"), "group_id": group, "transient_key": base64.b64encode(made).decode()}


def custodians(world: World) -> list[dict[str, str]]:
    return [{"user": str(world.tenant.alice.id)}, {"app": str(world.tenant.app.id)}]


def components_body(world: World) -> dict[str, Any]:
    parts = [
        {"component": base64.b64encode(bytes([number]) * 16).decode(), "custodian": custodian}
        for number, custodian in enumerate(custodians(world))
    ]
    return {"key": new_key(world), "custodians": custodians(world), "components": parts}


def provider_body(_world: World) -> dict[str, Any]:
    """Endpoints instead of an issuer: nobody is asked when it is made."""
    place = "https://login.example.org"
    config = {
        "client_id": "keystead",
        **{f"{name}_endpoint": f"{place}/{name}" for name in ("authorization", "token", "userinfo")},
    }
    return {"kind": "oidc", "name": "Directory", "config": config, "secrets": {"client_secret": "x"}}


def spare_provider(world: World) -> dict[str, str]:
    body = provider_body(world)
    secrets = {"client_secret": SecretBytes(b"x")}
    row = execute(world.tenant.alice, CreateProvider(body["kind"], body["name"], body["config"], secrets))
    return {"provider_id": str(row.id)}


def cluster_body(_world: World) -> dict[str, Any]:
    return {
        "name": unique("cluster"),
        "issuer": CLUSTER,
        "audience": "kms",
        "jwks": {"keys": [jwk(rsa_key(), kid="a")]},
    }


def spare_cluster(world: World) -> dict[str, str]:
    return {"cluster_id": str(new_cluster(world.tenant).id)}


def spare_binding(world: World) -> dict[str, str]:
    row = bind(world.tenant, new_cluster(world.tenant), "shop", "payments")
    return {"cluster_id": str(row.cluster_id), "binding_id": str(row.id)}


def binding_body(world: World) -> dict[str, Any]:
    return {"namespace": "shop", "service_account": "payments", "app_id": str(world.tenant.app.id)}


def role_body(world: World) -> dict[str, Any]:
    return {"name": unique("group"), "kind": "oidc-group", "source_id": spare_provider(world)["provider_id"]}


def spare_role(world: World) -> dict[str, str]:
    body = role_body(world)
    view = execute(world.tenant.alice, CreateExternalRole(body["name"], UUID(body["source_id"]), "oidc"))
    return {"external_role_id": str(view.row.id)}


def guarded_key(world: World, reviewer: UUID) -> ObjectRef:
    """In a group of its own, where nothing is deleted but with the reviewer's approval."""
    group = world.tenant.new_group()
    key = world.tenant.key(group=group)
    guard_group(group, users(1, [reviewer]), [Permission.OBJECT_DELETE])
    return key


def deletion_body(world: World) -> dict[str, Any]:
    return {"method": "DELETE", "operation": f"/crypto/v1/keys/{guarded_key(world, colleague(world).id).id}"}


def colleague(world: World) -> Principal:
    """Another administrator, who stands behind nothing of Alice's."""
    user, account = new_user(), world.tenant.account
    Membership.objects.create(user=user, account=account, role="administrator")
    return user_principal(user, account.id)


def asked_by_alice(world: World) -> dict[str, str]:
    key = guarded_key(world, colleague(world).id)
    return {"req_id": str(execute(world.tenant.alice, RequestApproval(deletion(key))).row.id)}


def asked_of_alice(world: World) -> dict[str, str]:
    key = guarded_key(world, world.tenant.alice.id)
    return {"req_id": str(execute(colleague(world), RequestApproval(deletion(key))).row.id)}


def approved_for_alice(world: World) -> dict[str, str]:
    reviewer = colleague(world)
    key = guarded_key(world, reviewer.id)
    request: UUID = execute(world.tenant.alice, RequestApproval(deletion(key))).row.id
    give(reviewer, request)
    return {"req_id": str(request)}


CASES: dict[str, Case] = {
    "Refresh": Case("alice", 204, 204),
    "Reauthenticate": Case("alice", 200, 200),
    "Terminate": Case("alice", 204, 204),
    "ListSessions": Case("alice", 200, 200),
    "GetSession": Case("alice", 200, 200),
    "EndSession": Case("alice", 404, 404, path=spare_session),
    "EndOtherSessions": Case("alice", 200, 200),
    "ListUserSessions": Case("alice"),
    "EndUserSession": Case("alice", path=members_session),
    "EndUserSessions": Case("alice", path=spare_user),
    # The auditor belongs to this account; the outsider to another.
    "Config2faAuth": Case("alice", 200, 200, lambda _w: {"password": PASSWORD}),
    "Config2faTerminate": Case("alice", 204, 204),
    "MfaAuthChallenge": Case("alice", 200, 200),
    "ListFactors": Case("alice", 200, 200),
    "SelectAccount": Case("alice", 200, 404, lambda w: {"acct_id": w.ids()["acct_id"]}),
    "ListAccounts": Case("alice", 200, 200),
    "CreateAccount": Case("alice", 403, 201, lambda _w: {"name": unique("account")}),
    "GetAccount": Case("alice", 200, 404),
    "UpdateAccount": Case("alice", body=lambda _w: {"description": "changed"}),
    "TestLoggingConfig": Case("alice", path=spare_sink),
    "ListIdentityProviders": Case("alice", outside=200),
    "CreateIdentityProvider": Case("alice", outside=201, body=provider_body),
    "GetIdentityProvider": Case("alice", 404, path=spare_provider),
    "UpdateIdentityProvider": Case("alice", 404, path=spare_provider, body=lambda _w: {"name": "changed"}),
    "DeleteIdentityProvider": Case("alice", 404, path=spare_provider),
    "ListKubernetesClusters": Case("alice", outside=200),
    "CreateKubernetesCluster": Case("alice", outside=201, body=cluster_body),
    "GetKubernetesCluster": Case("alice", 404, path=spare_cluster),
    "UpdateKubernetesCluster": Case("alice", 404, path=spare_cluster, body=lambda _w: {"enabled": False}),
    "DeleteKubernetesCluster": Case("alice", 404, path=spare_cluster),
    "TestKubernetesToken": Case("alice", 404, path=spare_cluster, body=lambda _w: {"token": "a.b.c"}),
    "ListKubernetesBindings": Case("alice", 404, path=spare_cluster),
    "CreateKubernetesBinding": Case("alice", 404, path=spare_cluster, body=binding_body),
    "GetKubernetesBinding": Case("alice", 404, path=spare_binding),
    "DeleteKubernetesBinding": Case("alice", 404, path=spare_binding),
    "ListExternalRoles": Case("alice", 200, 200),
    "CreateExternalRole": Case("alice", body=role_body),
    "GetExternalRole": Case("alice", 200, path=spare_role),
    "UpdateExternalRole": Case("alice", path=spare_role, body=lambda _w: {"account_role": ["ACCOUNTMEMBER"]}),
    "DeleteExternalRole": Case("alice", path=spare_role),
    "ListApprovalRequests": Case("alice", 200, 200),
    "CreateApprovalRequest": Case("alice", body=deletion_body),
    "GetApprovalRequest": Case("alice", 200, path=asked_by_alice),
    "DeleteApprovalRequest": Case("alice", path=asked_by_alice),
    "ApproveRequest": Case("alice", path=asked_of_alice, body=lambda _w: {}),
    "DenyRequest": Case("alice", path=asked_of_alice, body=lambda _w: {"reason": "no"}),
    "GetApprovalRequestResult": Case("alice", path=approved_for_alice),
    "GetUserPermissions": Case("alice", 200, 200),
    "ListRoles": Case("alice", 200, 200),
    "ListPermissions": Case("alice", 200, 200),
    "ExplainAccess": Case("alice", 200, 200, query="permission=object.rotate"),
    "CreateRole": Case("alice", 403, 201, own_role),
    "GetRole": Case("alice", 200, path=spare_own_role),
    "UpdateRole": Case("alice", path=spare_own_role, body=lambda _w: {"description": "changed"}),
    "DeleteRole": Case("alice", path=spare_own_role),
    "SimulateRole": Case("alice", path=spare_own_role, body=lambda _w: {}),
    "SimulateNewRole": Case("alice", body=simulated_role),
    "SimulateGroupPolicy": Case("alice", body=lambda _w: {"approval_policy": "remove"}),
    "ListUsers": Case("alice", 200, 200),
    "GetUserAccounts": Case("alice", 200, 200),
    "ListInvitations": Case("alice", 200, 200),
    "InviteUser": Case("alice", 403, 201, lambda _w: {"user_email": f"{unique('u')}@example.org"}),
    "GetUser": Case("alice", 200, 404),
    "UpdateUser": Case("alice", body=lambda _w: {"account_role": ["ACCOUNTAUDITOR", "STATEENABLED"]}),
    "DeleteUserAccount": Case("alice", path=spare_user),
    "ResendInvite": Case("alice", path=invited_user),
    "DeleteStale": Case("alice", path=invited_user),
    "ChangePassword": Case("alice", 204, 204, lambda _w: {"current_password": PASSWORD, "new_password": PASSWORD}),
    "ListGroups": Case("alice", 200, 200),
    "GetDuties": Case("alice", 200, 200),
    "GetActivity": Case("alice", 200, 200),
    "CountSobjects": Case("alice", 200, 200),
    "FindByName": Case("alice", 200, 200, query="q=key"),
    "NameIds": Case("alice", 200, 200, query="ids=6d2e5d8c-6c3f-4d38-9a55-0f3f7c1c9a11"),
    "CreateGroup": Case("alice", 403, 201, lambda _w: {"name": unique("group")}),
    "GetGroup": Case("alice", 200, 404),
    "UpdateGroup": Case("alice", body=lambda _w: {"description": "changed"}),
    "DeleteGroup": Case("alice", path=empty_group),
    "ListApps": Case("alice", 200, 200),
    "GetClientConfigs": Case("alice", 200, 200),
    "CreateApp": Case("alice", body=app_body),
    "GetApp": Case("alice", 200, 404),
    "UpdateApp": Case("alice", body=lambda _w: {"description": "changed"}),
    "DeleteApp": Case("alice", path=spare_app),
    "GetAppCredential": Case("alice"),
    "ResetAppSecret": Case("alice", path=spare_app, body=lambda _w: {}),
    "ListSobjects": Case("alice", 200, 200),
    "CreateSobject": Case("alice", body=lambda w: new_key(w, key_size=128)),
    "ImportSobject": Case("alice", body=lambda w: new_key(w, value=DATA)),
    "GetSobject": Case("alice", 200, 404, lambda w: {"kid": w.keys["AES"]}),
    "ExportSobject": Case("alice", body=lambda w: {"kid": w.keys["exported"]}),
    "GetSobjectById": Case("alice", 200, 404),
    "ExportSobjectById": Case("alice", path=exported),
    "UpdateSobject": Case("alice", body=lambda _w: {"description": "changed"}),
    "DeleteSobject": Case("alice", path=spare_key),
    "ActivateSobject": Case("alice", path=dormant_key),
    "RevokeSobject": Case("alice", path=spare_key, body=lambda _w: {"code": "Superseded"}),
    "DestroySobject": Case("alice", path=dormant_key),
    "RemovePrivate": Case("alice", path=spare_pair),
    "RevertPrevKeyOp": Case("alice", path=changed_key, body=lambda w: {"ids": [w.keys["history item"]]}),
    "RotateSobject": Case("alice", body=named_key),
    "ReplaceSobject": Case("alice", body=replacement),
    "GetAllLogs": Case("alice", 200, 200),
    "GetServerStatus": Case("alice", 200, 200),
    "GetCheckpoint": Case("alice", 200, 200, path=sealed_entry),
    "ProveGrowth": Case("alice", 200, 200, path=sealed_entry, query="size=1"),
    "ExportEvidence": Case("alice", 200, 200, path=sealed_entry, query="from=1577836800&to=4102444800"),
    "ReportPeriod": Case("alice", 200, 200, path=sealed_entry, query="from=1577836800&to=4102444800"),
    "ProveEntry": Case("alice", 200, path=sealed_entry),
    "GetTile": Case("alice", 200, 200, path=lambda w: {**sealed_entry(w), "tile": "0/000.p/1"}),
    "GetAppAggregate": Case("alice", 200, 200),
    "GetGroupAggregate": Case("alice", 200, 200),
    "GetAppStats": Case("alice", 200, 404),
    "GetGroupStats": Case("alice", 200, 404),
    "GetSobjectStats": Case("alice", 200, 404),
    "AccountUsage": Case("alice", 200, 404),
    "ListPlugins": Case("alice", 200, 200),
    "CreateDigest": Case("app", 200, 200, lambda _w: {"alg": "SHA256", "data": DATA}),
}


def edge_body(form: str) -> Callable[[World], Any]:
    return lambda world: body_for(form, world.keys)


for _name in ("Encrypt", "Decrypt", "Sign", "Verify", "Mac", "MacVerify", "Wrap"):
    for _form in (_name, f"{_name}ById"):
        CASES[_form] = Case("app", body=edge_body(_form))
    if _name != "Wrap":
        # Items are decided one by one: the batch itself answers 200 and each item says 403 or 404.
        CASES[f"Batch{_name}"] = Case("app", 200, 200, edge_body(f"Batch{_name}"))
for _verb in ("Encrypt", "Decrypt"):
    for _step in ("Init", "Update", "Final"):
        for _form in (f"{_verb}{_step}", f"{_verb}{_step}ById"):
            CASES[_form] = Case("app", body=edge_body(_form))
CASES["Unwrap"] = Case("app", body=lambda w: unwrap_body(w, by_path=False))
CASES["UnwrapById"] = Case("app", body=lambda w: unwrap_body(w, by_path=True))
_HKDF = {"hkdf": {"hash_alg": "SHA256"}}
CASES["Derive"] = Case("app", body=lambda w: derived(w, key={"kid": w.keys["AES"]}, mechanism=_HKDF))
CASES["DeriveById"] = Case("app", body=lambda w: derived(w, mechanism=_HKDF))
CASES["Transform"] = Case(
    "app",
    body=lambda w: derived(
        w, key={"kid": w.keys["BIP32"]}, key_type="BIP32", key_size=0, mechanism={"bip32_weak_child": {"index": 1}}
    ),
)
CASES["Agree"] = Case(
    "app",
    body=lambda w: derived(
        w, private_key={"kid": w.keys["EC"]}, public_key={"kid": w.keys["EC"]}, mechanism="diffie_hellman"
    ),
)
CASES["Encapsulate"] = Case("app", body=lambda w: derived(w, key={"kid": w.keys["MLKEM"]}))
CASES["Decapsulate"] = Case("app", body=decapsulated)
CASES["GetKcv"] = Case("app", 200, 404, lambda w: {"kid": w.keys["AES"]})
CASES["VerifyKcv"] = Case("app", 200, 200, lambda _w: {"kcv": "000000", "value": DATA, "obj_type": "AES"})
CASES["DigestSobject"] = Case("app", body=lambda w: {"key": {"kid": w.keys["AES"]}, "alg": "SHA256"})
CASES["CopySobject"] = Case("alice", body=lambda w: {"name": unique("copy"), "key": {"kid": w.keys["AES"]}})
# A transient key of another account is not one at all.
CASES["PersistTransientKey"] = Case("app", outside=400, body=lambda w: persist_body(w))
CASES["ExportSobjectComponents"] = Case(
    "alice", body=lambda w: {"key": {"kid": w.keys["exported"]}, "custodians": custodians(w)}
)
CASES["ImportSobjectByComponents"] = Case("alice", body=lambda w: components_body(w))
CASES["GetKeyAttestation"] = Case("alice", 200, 404, lambda w: {"key": {"kid": w.keys["EC"]}})
ENDING = {"Terminate", "Reauthenticate"}
# Open to whoever has the code that was mailed, or about oneself alone (tests/operations/test_mailed_codes.py).
MAILED = {
    "ForgotPassword",
    "ValidateToken",
    "ResetPassword",
    "AcceptInvite",
    "ResendConfirmEmail",
    "ResendConfirmEmailById",
    "ConfirmEmail",
    "DeleteUser",
}
# A factor is shown and changed by whoever owns one: tests/api/test_second_factors.py and its neighbours.
FACTORS = {
    "CompleteFido2Auth",
    "U2fAuth",
    "RecoveryCodeAuth",
    "TotpAuth",
    "MfaNewChallenge",
    "GenerateRecoveryCodes",
    "GenerateRecoveryCode",
    "AddTotpDevice",
    "ConfirmTotpDevice",
    "DeleteTotpDevice",
    "MfaChallenge",
}
# Logging in is open to all (test_bad_input), and so are published keys (tests/operations/test_publishing.py); batches
# have a file of their own, identity providers theirs (tests/sso); the others are walked through at the end of this one.
ELSEWHERE = {
    "ProcessInvite",
    "DeleteAccount",
    "Authenticate",
    "AuthenticateKubernetes",
    "GetPubkey",
    "SamlSpMetadata",
    "AuthDiscover",
    "TestIdentityProvider",
    "TestLdapConfig",
    "TestProviderSettings",
    "LdapSearch",
    "SyncExternalRole",
    "Batch",
    *MAILED,
    *FACTORS,
}


@pytest.fixture(scope="module")
def world() -> World:
    return new_world()


def new_world() -> World:
    tenant = new_tenant()
    keys = {
        "AES": tenant.key(),
        "HMAC": tenant.key("HMAC", size=256),
        "EC": tenant.key("EC", curve="NistP256"),
        "exported": tenant.key(operations=["encrypt", "export"]),
        "BIP32": tenant.imported("BIP32", base58check(XPUB_1)),
        "MLKEM": tenant.key("MLKEM", curve="MlKem768"),
    }
    removable = tenant.member("member")
    ids = {kind: str(ref.id) for kind, ref in keys.items()} | states(tenant, keys["AES"])
    return World(tenant, ids, {}, str(removable.id))


class Actors:
    """Logged in once each, but for the calls that end the session: Alice, and an outsider of another account."""

    def __init__(self, world: World, client: httpx.Client) -> None:
        self._client = client
        self._tenants = {"alice": world.tenant, "outside": new_tenant()}
        self._sessions: dict[str, dict[str, str]] = {}

    def headers(self, who: str, *, fresh: bool = False) -> dict[str, str]:
        if fresh:
            return self._login(who)
        if who not in self._sessions:
            self._sessions[who] = self._login(who)
        return self._sessions[who]

    def _login(self, who: str) -> dict[str, str]:
        tenant = self._tenants[who]
        return login(self._client, tenant.users["administrator"].email, tenant)


@pytest.fixture(scope="module")
def actors(world: World, client: httpx.Client) -> Actors:
    return Actors(world, client)


def send(endpoint: Endpoint, case: Case, world: World, actors: Actors, client: httpx.Client) -> httpx.Response:
    ids = {**world.ids(), **(case.path(world) if case.path else {})}
    if endpoint.operation.startswith(("Mac", "Sign", "Verify")):
        ids["key_id"] = world.keys["HMAC" if endpoint.operation.startswith("Mac") else "EC"]
    body = case.body(world) if case.body else None
    path = f"{endpoint.path.format(**ids)}?{case.query}"
    if case.by == "app":
        return client.request(endpoint.method, path, json=body, auth=world.tenant.api_key())
    headers = actors.headers(case.by, fresh=endpoint.operation in ENDING)
    return client.request(endpoint.method, path, json=body, headers=headers)


@pytest.mark.parametrize("endpoint", [e for e in ENDPOINTS if e.operation not in ELSEWHERE], ids=lambda e: e.operation)
def test_each_route_answers_whoever_may(endpoint: Endpoint, world: World, actors: Actors, client: httpx.Client) -> None:
    response = send(endpoint, CASES[endpoint.operation], world, actors, client)
    assert response.status_code == endpoint.status, response.text
    if endpoint.operation.startswith("Batch"):
        assert {item["status"] for item in response.json()} == {200}


def test_the_table_names_every_route() -> None:
    assert {e.operation for e in ENDPOINTS} == set(CASES) | ELSEWHERE


def test_lists_show_a_stranger_nothing(world: World, actors: Actors, client: httpx.Client) -> None:
    headers = actors.headers("outside")
    theirs = set(world.ids().values()) | set(world.keys.values())
    for path in ("/crypto/v1/keys", "/sys/v1/groups", "/sys/v1/apps", "/sys/v1/users", "/sys/v1/accounts"):
        text = client.get(path, headers=headers).text
        assert not [one for one in theirs if one in text], path


def test_an_app_manages_objects_only_with_the_permission_for_it(world: World, client: httpx.Client) -> None:
    tenant = world.tenant
    body = new_key(world, key_size=128)
    refused = client.post(
        "/crypto/v1/keys", json=body, auth=tenant.api_key(tenant.new_app([Permission.OBJECT_ENCRYPT]))
    )
    assert refused.status_code == 403
    allowed = client.post("/crypto/v1/keys", json=body, auth=tenant.api_key(tenant.new_app([Permission.OBJECT_MANAGE])))
    assert allowed.status_code == 201


def test_a_password_opens_a_session_and_nothing_else(world: World, client: httpx.Client) -> None:
    email = world.tenant.users["administrator"].email
    assert client.get("/crypto/v1/keys", auth=(email, PASSWORD)).status_code == 401


def test_an_invitation_is_accepted_by_the_invited_only(world: World, actors: Actors, client: httpx.Client) -> None:
    tenant, invited = new_tenant(), {"user_email": f"{unique('u')}@example.org", "user_password": PASSWORD}
    headers = login(client, tenant.users["administrator"].email, tenant)
    assert client.post("/sys/v1/users/invite", json=invited, headers=headers).status_code == 201
    accept = {"accepts": [str(tenant.account.id)]}
    assert (
        client.post("/sys/v1/users/process_invite", json=accept, headers=actors.headers("outside")).status_code == 404
    )
    answer = client.post("/sys/v1/session/auth", auth=(invited["user_email"], PASSWORD))
    theirs = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    select = {"acct_id": str(tenant.account.id)}
    assert client.post("/sys/v1/session/select_account", json=select, headers=theirs).status_code == 404
    assert client.post("/sys/v1/users/process_invite", json=accept, headers=theirs).status_code == 204
    assert client.post("/sys/v1/session/select_account", json=select, headers=theirs).status_code == 200


def test_an_account_is_deleted_by_its_administrator_when_it_is_empty(world: World, client: httpx.Client) -> None:
    headers = login(client, world.tenant.users["administrator"].email, world.tenant)
    made = client.post("/sys/v1/accounts", json={"name": unique("account")}, headers=headers).json()["acct_id"]
    assert client.delete(f"/sys/v1/accounts/{made}", headers=headers).status_code == 404  # not the selected one
    full = client.delete(f"/sys/v1/accounts/{world.tenant.account.id}", headers=headers)
    assert full.status_code == 409
    selected = {"acct_id": made}
    assert client.post("/sys/v1/session/select_account", json=selected, headers=headers).status_code == 200
    assert client.delete(f"/sys/v1/accounts/{made}", headers=headers).status_code == 204
