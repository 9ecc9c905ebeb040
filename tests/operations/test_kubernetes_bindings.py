"""Clusters and bindings: what is saved, and by whom a way in is given."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from accounts.errors import NotAuthenticated
from accounts.models import App, KubernetesBinding, KubernetesCluster, Role
from accounts.principal import ANONYMOUS, Principal
from kms.audit.models import AuditRecord
from kms.crypto.errors import ParameterInvalid
from kms.operations import kubernetes_clusters
from kms.operations.app_trust import FetchedKeys
from kms.operations.errors import AccessDenied, ApprovalRequired, Conflict, NotFound
from kms.operations.executor import execute
from kms.operations.kubernetes_bindings import CreateBinding, DeleteBinding, ListBindings
from kms.operations.kubernetes_clusters import (
    CreateCluster,
    DeleteCluster,
    ListClusters,
    PastedKeys,
    UpdateCluster,
)
from kms.operations.roles import CreateRole, RoleDetails
from kms.operations.users import UpdateUser
from policies.guarded import ALWAYS_IN_GROUP
from policies.permissions import Permission
from policies.quorum import Member, MemberKind, Quorum
from policies.system_roles import RoleKind
from tests.kit.clusters import bind
from tests.kit.quorums import guard_group, users
from tests.kit.tenants import Tenant, new_tenant, unique
from tests.kit.tokens import CLUSTER, ec_key, jwk, rsa_key

KEY = jwk(rsa_key(), kid="key-1")


def created(tenant: Tenant, **fields: Any) -> KubernetesCluster:
    given = {"name": unique("cluster"), "issuer": CLUSTER, "keys": PastedKeys((KEY,)), **fields}
    made: KubernetesCluster = execute(tenant.alice, CreateCluster(**given))
    return made


# -- clusters ------------------------------------------------------------------------------------------------------


def test_defaults_are_narrow(tenant: Tenant, settings: Any) -> None:
    made = created(tenant)
    assert (made.audience, made.max_token_seconds, made.enabled) == (settings.KEYSTEAD.public_url, 3600, True)


API_SERVERS = [
    CLUSTER,
    CLUSTER + "/",
    CLUSTER.upper(),
    "kubernetes",
    "https://kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "https://kubernetes.default.svc",
    "https://kubernetes.default.svc/",
    "https://kubernetes.default.svc:443",
    "https://kubernetes.default.svc.cluster.local",
    "https://kubernetes.default.svc.corp.example",
]


@pytest.mark.parametrize("audience", API_SERVERS)
def test_the_audience_of_every_pods_own_token_is_refused(audience: str, tenant: Tenant) -> None:
    with pytest.raises(ParameterInvalid, match="API server's own"):
        created(tenant, audience=audience)
    made = created(tenant, audience="kms")
    with pytest.raises(ParameterInvalid, match="API server's own"):
        execute(tenant.alice, UpdateCluster(made.id, audience=audience))


def test_an_issuer_cannot_become_the_audience_afterwards(tenant: Tenant) -> None:
    made = created(tenant, issuer="https://one.example", audience="https://two.example")
    with pytest.raises(ParameterInvalid, match="API server's own"):
        execute(tenant.alice, UpdateCluster(made.id, issuer="https://two.example"))


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no issuer": ({"issuer": " "}, "issuer is a printable text"),
    "a long issuer": ({"issuer": "é" * 400}, "512 bytes"),
    "a line end": ({"issuer": "a\nb"}, "printable"),
    "no audience": ({"audience": ""}, "audience is a printable text"),
    "another account's audience": ({"audience": "{server}/other"}, "this account's id"),
    "no algorithm": ({"algorithms": ()}, "algorithms are some of"),
    "a shared secret": ({"algorithms": ("HS256",)}, "algorithms are some of"),
    "a short life": ({"max_token_seconds": 599}, "600 to 86400"),
    "a long life": ({"max_token_seconds": 86_401}, "600 to 86400"),
    "no keys": ({"keys": PastedKeys(())}, "1 to 64 keys"),
    "many keys": ({"keys": PastedKeys((KEY,) * 65)}, "1 to 64 keys"),
    "a private key": ({"keys": PastedKeys(({**KEY, "d": "AQAB"},))}, "key 1: The key is not a public one"),
    "a key for encryption": ({"keys": PastedKeys((KEY, {**KEY, "kid": "key-2", "use": "enc"}))}, "key 2"),
    "no key at all": ({"keys": PastedKeys(({"kid": "x"},))}, "key 1: The key is not a public one"),
    "a key without a name": ({"keys": PastedKeys((jwk(rsa_key()),))}, "key 1: each key has a kid of its own"),
    "one name for two keys": ({"keys": PastedKeys((KEY, jwk(ec_key(), kid="key-1")))}, "kid of its own"),
    "large keys": ({"keys": PastedKeys(({**KEY, "x5c": "A" * 70_000},))}, "characters"),
    "an address inside": ({"keys": FetchedKeys("https://127.0.0.1/jwks")}, "127.0.0.1|address"),
    "an address in clear": ({"keys": FetchedKeys("http://keys.example/jwks")}, "https"),
    "a certificate that is none": ({"keys": FetchedKeys("https://k.example", authorities=(b"x",))}, "CA certificate"),
}


@pytest.mark.parametrize(("fields", "says"), WRONG.values(), ids=WRONG)
def test_what_could_take_no_token_or_anybodys_is_not_saved(
    fields: dict[str, Any], says: str, tenant: Tenant, settings: Any
) -> None:
    given = dict(fields)
    if "audience" in given:
        given["audience"] = given["audience"].replace("{server}", settings.KEYSTEAD.public_url)
    with pytest.raises(ParameterInvalid, match=says):
        created(tenant, **given)
    made = created(tenant)
    with pytest.raises(ParameterInvalid, match=says):
        execute(tenant.alice, UpdateCluster(made.id, **given))
    assert KubernetesCluster.objects.get(id=made.id).trust_version == 1


def test_names_are_unique_in_the_account(tenant: Tenant) -> None:
    one, two = created(tenant), created(tenant)
    with pytest.raises(Conflict, match="exists already"):
        created(tenant, name=one.name)
    with pytest.raises(Conflict, match="exists already"):
        execute(tenant.alice, UpdateCluster(two.id, name=one.name))
    assert created(new_tenant(), name=one.name)


def test_an_account_has_so_many(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubernetes_clusters, "MAX_CLUSTERS", 1)
    made = created(tenant)
    with pytest.raises(Conflict, match="at most 1"):
        created(tenant)
    assert [row.id for row in execute(tenant.alice, ListClusters())] == [made.id]


# -- bindings ------------------------------------------------------------------------------------------------------

NO_NAMES = ["", "*", "shop*", "Shop", "shop.a", "-shop", "shop-", "sh op", "shop:a", "a" * 64, "shöp", "shop\n"]


@pytest.mark.parametrize("name", NO_NAMES)
def test_a_namespace_is_one_exact_name(name: str, tenant: Tenant) -> None:
    with pytest.raises(ParameterInvalid, match="namespace is one exact name"):
        bind(tenant, created(tenant), name, "payments")


@pytest.mark.parametrize("name", [*(name for name in NO_NAMES if name not in ("*", "shop.a", "a" * 64)), "a" * 254])
def test_a_service_account_is_one_exact_name_or_any(name: str, tenant: Tenant) -> None:
    with pytest.raises(ParameterInvalid, match="service_account is one exact name"):
        bind(tenant, created(tenant), "shop", name)


def test_bindings_are_listed_by_name_and_go_with_the_cluster(tenant: Tenant) -> None:
    cluster = created(tenant)
    for account in ("carts", "*", "api.v1"):
        bind(tenant, cluster, "shop", account)
    found = execute(tenant.alice, ListBindings(cluster.id))
    assert sorted(row.service_account for row in found) == ["*", "api.v1", "carts"]
    execute(tenant.alice, DeleteCluster(cluster.id))
    assert not KubernetesBinding.objects.filter(cluster_id=cluster.id).exists()


def test_the_record_says_what_was_bound_to_whom(tenant: Tenant) -> None:
    cluster = created(tenant)
    row = bind(tenant, cluster, "shop", "payments")
    execute(tenant.alice, DeleteBinding(cluster.id, row.id))
    for action in ("binding.create", "binding.delete"):
        entry = AuditRecord.objects.get(account_id=tenant.account.id, action=action, outcome="done", object_id=row.id)
        said = {name: entry.details[name] for name in ("cluster", "namespace", "service_account", "app")}
        assert said == {
            "cluster": str(cluster.id),
            "namespace": "shop",
            "service_account": "payments",
            "app": str(tenant.app.id),
        }


def test_nobody_binds_across_accounts(tenant: Tenant) -> None:
    other = new_tenant()
    with pytest.raises(NotFound, match="app does not exist"):
        bind(tenant, created(tenant), "shop", "payments", other.app.id)
    with pytest.raises(NotFound, match="cluster does not exist"):
        bind(tenant, created(other), "shop", "payments")
    theirs = created(other)
    row = bind(other, theirs, "shop", "payments")
    with pytest.raises(NotFound, match="binding does not exist"):
        execute(tenant.alice, DeleteBinding(created(tenant).id, row.id))


# -- by whom -------------------------------------------------------------------------------------------------------


def holder(tenant: Tenant, *permissions: Permission, everywhere: frozenset[Permission] = frozenset()) -> Principal:
    """A member who has these on the account, and those in every group."""
    in_groups = None
    if everywhere:
        made = execute(tenant.alice, CreateRole(unique("role"), RoleDetails(RoleKind.GROUP, everywhere)))
        in_groups = made.id
    details = RoleDetails(RoleKind.ACCOUNT, frozenset(permissions), all_groups_role=in_groups)
    role: UUID = execute(tenant.alice, CreateRole(unique("role"), details)).id
    member = tenant.member("member")
    execute(tenant.alice, UpdateUser(member.id, role="member", roles=frozenset({role})))
    assert Role.objects.filter(id=role).exists()
    return member


_MANAGE, _RESET = Permission.AUTHENTICATION_MANAGE, Permission.APP_SECRET_RESET


def test_who_binds_could_give_the_app_a_credential_and_manages_the_cluster(tenant: Tenant) -> None:
    command = CreateBinding(created(tenant).id, "shop", "payments", tenant.app.id)
    for lacking in (holder(tenant, _MANAGE), holder(tenant, everywhere=frozenset({_RESET})), tenant.app, ANONYMOUS):
        with pytest.raises((AccessDenied, NotFound, NotAuthenticated)):
            execute(lacking, command)
    assert not KubernetesBinding.objects.filter(cluster_id=command.cluster).exists()
    assert execute(holder(tenant, _MANAGE, everywhere=frozenset({_RESET})), command)


def test_an_administrative_app_is_bound_by_those_who_could_make_one(tenant: Tenant) -> None:
    admin = tenant.new_app(role="admin")
    command = CreateBinding(created(tenant).id, "shop", "payments", admin.id)
    update = Permission.ADMIN_APP_UPDATE
    for lacking in (
        holder(tenant, _MANAGE, everywhere=frozenset({_RESET})),
        holder(tenant, _MANAGE, update, everywhere=frozenset({_RESET})),
    ):
        with pytest.raises((AccessDenied, NotFound)):
            execute(lacking, command)
    assert execute(tenant.alice, command).app_id == admin.id


def test_a_quorum_of_the_apps_group_stands_before_a_binding(tenant: Tenant) -> None:
    """As before the app's API key: whoever binds a pod can be the app."""
    group, reviewer = tenant.new_group(), tenant.member("member")
    app = tenant.new_app(group=group)
    cluster = created(tenant)
    guard_group(group, users(1, [reviewer.id]), ALWAYS_IN_GROUP)  # what every policy of a group guards
    with pytest.raises(ApprovalRequired):
        bind(tenant, cluster, "shop", "payments", app.id)
    assert not KubernetesBinding.objects.filter(app_id=app.id).exists()


def test_an_apps_own_place_in_a_quorum_is_not_taken_by_a_binding(tenant: Tenant) -> None:
    """Whoever could be the app could give its approval."""
    group, app = tenant.new_group(), tenant.new_app()
    guard_group(group, Quorum(1, (Member(MemberKind.APP, app.id),)), [Permission.OBJECT_DELETE])
    with pytest.raises(ApprovalRequired):
        bind(tenant, created(tenant), "shop", "payments", app.id)
    assert App.objects.filter(id=app.id).exists()


def test_keys_may_be_of_several_kinds(tenant: Tenant) -> None:
    made = created(tenant, keys=PastedKeys((KEY, jwk(ec_key(), kid="key-2", use="sig", alg="ES256"))))
    assert [key["kid"] for key in made.keys["keys"]] == ["key-1", "key-2"]
