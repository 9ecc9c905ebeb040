"""Pods come in by their cluster's bindings, as long as these stay as they were, and by nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from accounts import jwks, jwt_bearer
from accounts.clock import clock
from accounts.credentials import authenticate
from accounts.errors import NotAuthenticated
from accounts.kubernetes import SENTENCES, KubernetesCredential
from accounts.models import App, KubernetesBinding, KubernetesCluster, Session
from accounts.principal import ANONYMOUS, AuthenticationMethod
from kms.audit.models import AuditRecord
from kms.config.values import Reachable
from kms.crypto.algorithm import CipherParameters
from kms.operations.app_trust import FetchedKeys
from kms.operations.apps import DeleteApp, GetApp, UpdateApp
from kms.operations.cryptographic import Encrypt
from kms.operations.errors import AccessDenied, Conflict, CredentialStale, NotFound
from kms.operations.executor import execute
from kms.operations.kubernetes_bindings import DeleteBinding
from kms.operations.kubernetes_clusters import DeleteCluster, PastedKeys, UpdateCluster
from kms.operations.kubernetes_trials import TryToken, Verdict
from kms.operations.sessions import LoggedIn, LogIn, Reauthenticate, RefreshSession
from tests.kit.certificates import authority
from tests.kit.clusters import AUDIENCE, bind, new_cluster, pod_issuer
from tests.kit.key_server import KeyServer
from tests.kit.tenants import Tenant, new_tenant
from tests.kit.threads import at_once
from tests.kit.tokens import Issuer, b64, ec_key, jwk, rsa_key

POD = pod_issuer()


def log_in(cluster: UUID, token: str | None = None, app: UUID | None = None) -> LoggedIn:
    opened: LoggedIn = execute(ANONYMOUS, LogIn(KubernetesCredential(token or POD.token(), cluster, app)))
    return opened


def refusal(cluster: UUID, token: str | None = None, app: UUID | None = None) -> str:
    with pytest.raises(NotAuthenticated) as refused:
        log_in(cluster, token, app)
    assert str(refused.value) == "Invalid credentials"
    return refused.value.reason


def verdict(tenant: Tenant, cluster: UUID, token: str | None = None, app: UUID | None = None) -> Verdict:
    found: Verdict = execute(tenant.alice, TryToken(cluster, token or POD.token(), app))
    return found


def works(opened: LoggedIn) -> bool:
    """Whether the session is of use, judged as on any worker: nothing is remembered of it here."""
    try:
        execute(authenticate(f"Bearer {opened.token}", clock.now()), GetApp(opened.entity))
    except NotAuthenticated as ended:
        if ended.reason not in ("session-ended", "unknown-session"):
            raise
        return False
    return True


@pytest.fixture
def cluster(tenant: Tenant) -> KubernetesCluster:
    made = new_cluster(tenant)
    bind(tenant, made, "shop", "payments")
    return made


# -- in ------------------------------------------------------------------------------------------------------------


def test_a_pod_comes_in_as_the_app_it_is_bound_to(tenant: Tenant, cluster: KubernetesCluster) -> None:
    opened = log_in(cluster.id)
    assert opened.entity == tenant.app.id
    assert 0 < opened.expires_in <= POD.lifetime
    principal = authenticate(f"Bearer {opened.token}", clock.now())
    assert (principal.account, principal.method) == (tenant.account.id, AuthenticationMethod.KUBERNETES)
    assert execute(principal, GetApp(tenant.app.id)).row.id == tenant.app.id


def test_the_record_says_which_pod_came_in(tenant: Tenant, cluster: KubernetesCluster) -> None:
    opened = log_in(cluster.id)
    entry = AuditRecord.objects.filter(details__session=str(opened.session)).get()
    said = {name: entry.details[name] for name in ("cluster", "namespace", "service_account", "pod", "node")}
    assert said == {
        "cluster": str(cluster.id),
        "namespace": "shop",
        "service_account": "payments",
        "pod": "payments-7d9f",
        "node": "node-1",
    }
    assert entry.details["pod_uid"] == POD.more["kubernetes.io"]["pod"]["uid"]
    assert (entry.account_id, entry.details["subject"]) == (tenant.account.id, str(tenant.app.id))


def test_a_refused_pod_is_recorded_in_the_account_of_its_cluster(tenant: Tenant, cluster: KubernetesCluster) -> None:
    stranger = pod_issuer("other", "nobody")
    assert refusal(cluster.id, stranger.token()) == "binding-absent"
    entry = AuditRecord.objects.filter(account_id=tenant.account.id, reason="binding-absent").get()
    assert (entry.object_id, entry.details["namespace"]) == (cluster.id, "other")
    assert stranger.token() not in str(entry.details)


@pytest.mark.parametrize("wrong", ["audience", "expired", "disabled"])
def test_the_usual_mistakes_name_their_pod(tenant: Tenant, cluster: KubernetesCluster, wrong: str) -> None:
    """The cluster's own key vouches for whose token it is, though it is not taken."""
    token = {
        "audience": replace(POD, audience=["https://elsewhere.example"]),
        "expired": replace(POD, lifetime=-60),
        "disabled": POD,
    }[wrong].token()
    if wrong == "disabled":
        execute(tenant.alice, UpdateCluster(cluster.id, enabled=False))
    reason = refusal(cluster.id, token)
    entry = AuditRecord.objects.filter(account_id=tenant.account.id, reason=reason).get()
    assert (entry.object_id, entry.details["pod"]) == (cluster.id, "payments-7d9f")


def test_a_session_ends_with_its_token_however_it_is_refreshed(tenant: Tenant, cluster: KubernetesCluster) -> None:
    opened = log_in(cluster.id, replace(POD, lifetime=120).token())
    end = Session.objects.get(id=opened.session).expires_at
    principal = authenticate(f"Bearer {opened.token}", clock.now())
    execute(principal, RefreshSession())
    row = Session.objects.get(id=opened.session)
    assert row.expires_at == end == row.proof_ends_at
    again = execute(authenticate(f"Bearer {opened.token}", clock.now()), Reauthenticate())
    row = Session.objects.get(id=again.session)
    assert row.expires_at == end
    assert (row.cluster, row.cluster_trust) == (cluster.id, cluster.trust_version)


def test_the_token_opens_nothing_but_a_session(cluster: KubernetesCluster) -> None:
    with pytest.raises(NotAuthenticated) as refused:
        authenticate(f"Bearer {POD.token()}", clock.now())
    assert refused.value.reason == "unknown-app"


# -- which app -----------------------------------------------------------------------------------------------------


def test_a_binding_of_the_service_account_stands_before_one_of_any(tenant: Tenant) -> None:
    cluster, every, own = new_cluster(tenant), tenant.new_app(), tenant.new_app()
    bind(tenant, cluster, "shop", "*", every.id)
    assert log_in(cluster.id).entity == every.id
    bind(tenant, cluster, "shop", "payments", own.id)
    assert log_in(cluster.id).entity == own.id
    assert refusal(cluster.id, app=every.id) == "binding-absent"
    assert log_in(cluster.id, pod_issuer("shop", "carts").token()).entity == every.id
    assert refusal(cluster.id, pod_issuer("shop2", "carts").token()) == "binding-absent"


def test_of_several_apps_the_login_names_one(tenant: Tenant) -> None:
    cluster, one, two = new_cluster(tenant), tenant.new_app(), tenant.new_app()
    for app in (one, two):
        bind(tenant, cluster, "shop", "payments", app.id)
    assert refusal(cluster.id) == "binding-ambiguous"
    assert log_in(cluster.id, app=two.id).entity == two.id
    assert refusal(cluster.id, app=uuid4()) == "binding-absent"
    with pytest.raises(Conflict, match="already"):
        bind(tenant, cluster, "shop", "payments", one.id)


def test_two_clusters_of_one_issuer_stay_apart(tenant: Tenant, cluster: KubernetesCluster) -> None:
    """As a rule each is named `https://kubernetes.default.svc`: the login says which one, and the key proves it."""
    other = new_tenant()
    theirs = new_cluster(other, keys=PastedKeys((jwk(ec_key(), kid="key-1"),)))
    bind(other, theirs, "shop", "payments")
    signed = replace(POD, algorithm="ES256").token()
    assert log_in(theirs.id, signed).entity == other.app.id
    assert refusal(cluster.id, signed) == "jwt-signature"
    assert refusal(theirs.id) == "jwt-signature"


# -- out -----------------------------------------------------------------------------------------------------------

ENDINGS: dict[str, Callable[[Tenant, KubernetesCluster], Any]] = {
    "disabled": lambda _t, c: UpdateCluster(c.id, enabled=False),
    "issuer": lambda _t, c: UpdateCluster(c.id, issuer="https://other.example"),
    "audience": lambda _t, c: UpdateCluster(c.id, audience="https://other.example"),
    "keys": lambda _t, c: UpdateCluster(c.id, keys=PastedKeys((jwk(ec_key(), kid="key-1"),))),
    "algorithms": lambda _t, c: UpdateCluster(c.id, algorithms=("ES256",)),
    "lifetime": lambda _t, c: UpdateCluster(c.id, max_token_seconds=700),
    "deleted": lambda _t, c: DeleteCluster(c.id),
    "unbound": lambda _t, c: DeleteBinding(c.id, KubernetesBinding.objects.get(cluster=c).id),
    "app disabled": lambda t, _c: UpdateApp(t.app.id, enabled=False),
    "app deleted": lambda t, _c: DeleteApp(t.app.id),
}
# What says nothing of which tokens are taken.
STAYING = {"name", "description", "cluster"}


def test_every_setting_of_a_cluster_is_among_the_endings() -> None:
    settings = {"enabled" if name == "disabled" else name for name in ENDINGS} | {"max_token_seconds"}
    assert set(UpdateCluster.__dataclass_fields__) - STAYING <= settings


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_a_session_ends_at_once_with_what_let_it_in(ending: Callable[..., Any]) -> None:
    tenant = new_tenant()
    cluster, other = new_cluster(tenant), new_cluster(tenant)
    bind(tenant, cluster, "shop", "payments")
    bind(tenant, other, "shop", "payments", tenant.new_app().id)
    opened, untouched = log_in(cluster.id), log_in(other.id)
    remembered = authenticate(f"Bearer {opened.token}", clock.now())
    execute(remembered, GetApp(opened.entity))
    execute(tenant.alice, ending(tenant, cluster))
    with pytest.raises((NotAuthenticated, CredentialStale, AccessDenied)):
        execute(remembered, GetApp(opened.entity))
    assert works(untouched)


def test_cryptography_ends_with_the_binding_though_its_facts_are_remembered(tenant: Tenant) -> None:
    """The data plane decides on what it remembers, and the group commit compares the cluster's version too."""
    cluster = new_cluster(tenant)
    bound = bind(tenant, cluster, "shop", "payments")
    principal = authenticate(f"Bearer {log_in(cluster.id).token}", clock.now())
    command = Encrypt(tenant.key(), "AES", CipherParameters("GCM"), b"plain")
    assert execute(principal, command).value
    execute(tenant.alice, DeleteBinding(cluster.id, bound.id))
    with pytest.raises(NotAuthenticated) as ended:
        execute(principal, command)
    assert ended.value.reason == "session-ended"


def test_what_ended_does_not_come_back(tenant: Tenant, cluster: KubernetesCluster) -> None:
    opened = log_in(cluster.id)
    execute(tenant.alice, UpdateCluster(cluster.id, enabled=False))
    assert refusal(cluster.id) == "cluster-disabled"
    execute(tenant.alice, UpdateCluster(cluster.id, enabled=True))
    assert not works(opened)
    assert works(log_in(cluster.id))


def test_a_new_name_and_a_new_binding_end_nothing(tenant: Tenant, cluster: KubernetesCluster) -> None:
    opened = log_in(cluster.id)
    execute(tenant.alice, UpdateCluster(cluster.id, name="renamed", description="x"))
    bind(tenant, cluster, "shop", "carts")
    assert works(opened)


def test_an_app_that_is_deleted_takes_its_bindings_along(tenant: Tenant, cluster: KubernetesCluster) -> None:
    execute(tenant.alice, DeleteApp(tenant.app.id))
    assert not KubernetesBinding.objects.filter(cluster=cluster).exists()
    assert refusal(cluster.id) == "binding-absent"


@pytest.mark.parametrize("what", ["cluster", "binding"])
def test_whoever_comes_while_the_way_in_is_taken_away_has_nothing_afterwards(what: str) -> None:
    tenant = new_tenant()
    cluster = new_cluster(tenant)
    bound = bind(tenant, cluster, "shop", "payments")
    removal = DeleteCluster(cluster.id) if what == "cluster" else DeleteBinding(cluster.id, bound.id)

    def one(number: int) -> LoggedIn | None:
        if number == 5:
            execute(tenant.alice, removal)
            return None
        try:
            return log_in(cluster.id)
        except NotAuthenticated as refused:
            if refused.reason not in ("cluster-unknown", "binding-absent"):
                raise
            return None

    opened = [each for each in at_once(12, one) if each is not None]
    assert not any(works(each) for each in opened)


# -- no oracle -----------------------------------------------------------------------------------------------------


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The signatures that were looked at."""
    found: list[str] = []
    really = jwt_bearer._verified

    def verify(token: Any, key: Any) -> bool:
        found.append(token.algorithm)
        return really(token, key)

    monkeypatch.setattr(jwt_bearer, "_verified", verify)
    return found


def test_every_refusal_costs_one_check_of_a_signature(
    tenant: Tenant, cluster: KubernetesCluster, checked: list[str]
) -> None:
    disabled = new_cluster(tenant, enabled=False)
    tried: list[tuple[UUID, str]] = [
        (uuid4(), POD.token()),
        (disabled.id, POD.token()),
        (cluster.id, replace(POD, algorithm="ES256").token()),
        (cluster.id, replace(POD, kid="unknown").token()),
        (cluster.id, POD.token(iss="other")),
        (cluster.id, POD.token(aud="other")),
        (cluster.id, pod_issuer("other").token()),
    ]
    for number, (where, token) in enumerate(tried, 1):
        refusal(where, token)
        assert len(checked) == number


# -- the keys at an address ----------------------------------------------------------------------------------------


@pytest.fixture
def key_server(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[KeyServer]:
    server = KeyServer(tmp_path, {"keys": [jwk(rsa_key(), kid="key-1")]})
    settings.KEYSTEAD = replace(settings.KEYSTEAD, outbound_allow=Reachable((ip_network("127.0.0.1/32"),)))
    monkeypatch.setattr(jwks, "REFETCH_SECONDS", 0.0)
    yield server
    server.close()
    jwks.fetched.clear()


def test_keys_are_fetched_by_the_clusters_own_authority_and_kept(tenant: Tenant, key_server: KeyServer) -> None:
    keys = FetchedKeys(key_server.url, authorities=(key_server.ca.read_bytes(),))
    cluster = new_cluster(tenant, keys=keys)
    bind(tenant, cluster, "shop", "payments")
    assert log_in(cluster.id).entity == log_in(cluster.id).entity == tenant.app.id
    assert len(key_server.asked) == 1
    key_server.answer = {"keys": [jwk(ec_key(), kid="key-2")]}
    assert log_in(cluster.id, replace(POD, algorithm="ES256", kid="key-2").token())
    assert len(key_server.asked) == 2


def test_keys_that_cannot_be_fetched_let_nobody_in_and_the_trial_says_so(tenant: Tenant, key_server: KeyServer) -> None:
    keys = FetchedKeys(key_server.url, authorities=(authority().der,))
    cluster = new_cluster(tenant, keys=keys)
    bind(tenant, cluster, "shop", "payments")
    assert refusal(cluster.id) == "jwt-keys-unavailable"
    assert key_server.url in verdict(tenant, cluster.id).sentence


# -- the trial -----------------------------------------------------------------------------------------------------


def test_the_trial_says_who_it_would_be_and_opens_nothing(tenant: Tenant, cluster: KubernetesCluster) -> None:
    before = Session.objects.filter(app=tenant.app.id).count()
    found = verdict(tenant, cluster.id)
    assert (found.app, found.reason) == (tenant.app.id, "")
    assert found.pod is not None
    assert (found.pod.namespace, found.pod.name) == ("shop", "payments-7d9f")
    assert Session.objects.filter(app=tenant.app.id).count() == before


# Reason, and a token that is refused for it: made when it is shown, for it ends.
REFUSED: dict[str, Callable[[], str]] = {
    "jwt-malformed": lambda: "a.b",
    "jwt-too-long": lambda: "a" * 20_000,
    "jwt-algorithm": lambda: f"{b64({'alg': 'none'})}.{b64(POD.claims())}.",
    "jwt-critical-extension": lambda: f"{b64({'alg': 'RS256', 'crit': ['exp']})}.{b64(POD.claims())}.eA",
    "jwt-type": lambda: f"{b64({'alg': 'RS256', 'typ': 'JWE'})}.{b64(POD.claims())}.eA",
    "jwt-claims": lambda: POD.token(exp=None),
    "jwt-signature": lambda: replace(POD, algorithm="ES256").token(),
    "jwt-issuer": lambda: POD.token(iss="https://other.example"),
    "jwt-audience": lambda: POD.token(aud=[AUDIENCE, "https://kubernetes.default.svc"]),
    "jwt-expired": lambda: POD.token(iat=1, nbf=1, exp=600),
    "jwt-without-issue-time": lambda: POD.token(iat=None),
    "jwt-issued-in-the-future": lambda: POD.token(iat=2**32, exp=2**32 + 600),
    "jwt-not-yet-valid": lambda: POD.token(nbf=2**32),
    "jwt-lives-too-long": lambda: replace(POD, lifetime=3601).token(),
    "jwt-not-of-a-pod": lambda: POD.token(**{"kubernetes.io": {"namespace": "shop"}}),
    "jwt-subject": lambda: POD.token(sub="system:serviceaccount:shop:other"),
    "binding-absent": lambda: pod_issuer("other").token(),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_the_trial_and_the_login_refuse_for_the_same_reason(
    reason: str, tenant: Tenant, cluster: KubernetesCluster
) -> None:
    token = REFUSED[reason]()
    found = verdict(tenant, cluster.id, token)
    assert (found.app, found.reason) == (None, reason)
    assert found.sentence
    assert "{" not in found.sentence
    assert refusal(cluster.id, token) == reason


def test_every_reason_has_its_case() -> None:
    elsewhere = {
        "cluster-unknown",
        "cluster-disabled",
        "jwt-keys-unavailable",
        "binding-ambiguous",
        "app-disabled",
        "account-disabled",
        "principal-gone",
        "session-ended",
    }
    assert REFUSED.keys() | elsewhere == SENTENCES.keys()


def test_a_disabled_app_is_said_in_the_trial(tenant: Tenant, cluster: KubernetesCluster) -> None:
    execute(tenant.alice, UpdateApp(tenant.app.id, enabled=False))
    assert verdict(tenant, cluster.id).reason == "app-disabled"
    assert refusal(cluster.id) == "app-disabled"
    App.objects.filter(id=tenant.app.id).update(enabled=True)


def test_another_accounts_cluster_is_not_there(tenant: Tenant, cluster: KubernetesCluster) -> None:
    with pytest.raises(NotFound, match="cluster does not exist"):
        verdict(new_tenant(), cluster.id)


def test_the_token_is_in_no_trace(tenant: Tenant, cluster: KubernetesCluster) -> None:
    token = POD.token()
    assert token not in repr(TryToken(cluster.id, token))
    assert token not in repr(LogIn(KubernetesCredential(token, cluster.id)))
    assert timedelta(seconds=cluster.max_token_seconds) == timedelta(hours=1)
    assert isinstance(POD, Issuer)
