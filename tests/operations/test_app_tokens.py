"""Apps by tokens that an issuer signed: found by id, subject or the issuer's words; once; by keys that change."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from accounts import jwks
from accounts.clock import clock
from accounts.credentials import authenticate
from accounts.errors import NotAuthenticated
from accounts.jwt_bearer import TokenCredential
from accounts.models import App, AppSubject, Session, SpentToken
from accounts.principal import ANONYMOUS, AuthenticationMethod, Principal
from kms.config.values import Reachable
from kms.crypto.errors import ParameterInvalid
from kms.operations.app_credentials import Replacement
from kms.operations.app_trust import FetchedKeys, NewSecret, SignedTokens, StoredKeys, own_audiences
from kms.operations.apps import GetApp, UpdateApp
from kms.operations.errors import CredentialStale
from kms.operations.executor import execute
from kms.operations.sessions import LogIn
from tests.kit.certificates import authority, leaf
from tests.kit.key_server import KeyServer
from tests.kit.tenants import Tenant, new_tenant, unique
from tests.kit.threads import at_once
from tests.kit.tokens import CLUSTER, Issuer, ec_key, jwk, rsa_key, spki


def pod() -> str:
    """A service account that no other test's app claims."""
    return f"system:serviceaccount:shop:{unique('payments')}"


def trusting(tenant: Tenant, subject: str, **fields: Any) -> tuple[Principal, Issuer]:
    """An app of the tenant that takes this subject's tokens, and who signs them."""
    keys = fields.pop("keys", StoredKeys({"key-1": spki(rsa_key())}))
    subjects = fields.pop("subjects", (subject,))
    wanted = SignedTokens((CLUSTER,), keys, subjects=subjects, **fields)
    app = tenant.new_app(credential=Replacement(wanted))
    return app, Issuer(subject, own_audiences(tenant.account.id)[0])


def caller(token: str, app: UUID | None = None, *, now: datetime | None = None) -> Principal:
    """Who a call with this token comes from."""
    basic = base64.b64encode(f"{app}:{token}".encode()).decode()
    return authenticate(f"Bearer {token}" if app is None else f"Basic {basic}", now or clock.now())


def refusal(token: str, app: UUID | None = None, *, now: datetime | None = None) -> str:
    with pytest.raises(NotAuthenticated, match="Invalid credentials") as refused:
        caller(token, app, now=now)
    return refused.value.reason


def test_a_service_accounts_token_needs_no_id(tenant: Tenant) -> None:
    app, issuer = trusting(tenant, pod())
    token = issuer.token()
    for found in (caller(token), caller(token, app.id)):
        assert (found.id, found.account, found.method) == (app.id, tenant.account.id, AuthenticationMethod.SIGNED_JWT)
        assert found.expires_at is not None
        assert abs(found.expires_at - clock.now() - timedelta(seconds=600)) < timedelta(seconds=30)
    assert execute(caller(token), GetApp(app.id)).row.id == app.id


def test_an_apps_own_id_as_subject_finds_it(tenant: Tenant) -> None:
    app, issuer = trusting(tenant, "", subjects=())
    issuer.subject = str(app.id)
    assert caller(issuer.token()).id == app.id
    assert refusal(issuer.token(sub=str(uuid4()))) == "unknown-app"
    assert refusal(issuer.token(sub=str(uuid4())), app.id) == "jwt-subject"


def test_a_pattern_finds_nobody_but_does_for_an_app_that_is_named(tenant: Tenant) -> None:
    namespace = unique("system:serviceaccount:shop")
    app, issuer = trusting(tenant, f"{namespace}:one", subjects=(f"{namespace}:*",))
    assert refusal(issuer.token()) == "unknown-app"
    assert caller(issuer.token(), app.id).id == app.id
    assert refusal(issuer.token(sub="system:serviceaccount:other:one"), app.id) == "jwt-subject"
    assert refusal(issuer.token(sub=f"{namespace}:*")) == "unknown-app"


def test_a_token_of_one_app_is_nothing_for_another(tenant: Tenant) -> None:
    """Abuse 21: another issuer's key id, another app's subject, another audience."""
    _, issuer = trusting(tenant, pod())
    other, _ = trusting(tenant, pod(), keys=StoredKeys({"key-2": spki(ec_key())}))
    assert refusal(issuer.token(), other.id) == "jwt-signature"
    stranger = Issuer(issuer.subject, issuer.audience, algorithm="ES256", kid="key-2")
    assert refusal(stranger.token()) == "jwt-signature"
    assert refusal(issuer.token(aud="https://other.example")) == "jwt-audience"
    assert refusal(issuer.token(iss="https://other.example")) == "unknown-app"


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every check of a signature that was done."""
    from accounts import jwt_bearer

    done: list[str] = []
    real = jwt_bearer._verified

    def counting(token: Any, key: Any) -> bool:
        done.append(token.algorithm)
        return real(token, key)

    monkeypatch.setattr(jwt_bearer, "_verified", counting)
    return done


def test_unknown_apps_cost_a_verification_too(tenant: Tenant, checked: list[str]) -> None:
    """Counted, not timed: one check of a signature for an unknown app, for wrong claims and for a forgery."""
    app, issuer = trusting(tenant, pod())
    secret = tenant.new_app()
    tried: list[tuple[str, UUID | None]] = [
        (issuer.token(), uuid4()),
        (issuer.token(), secret.id),
        (issuer.token(sub="nobody"), None),
        (issuer.token(aud="other"), app.id),
        (issuer.token(sub="other"), app.id),
        (Issuer(issuer.subject, issuer.audience, kid="unknown").token(), app.id),
        (Issuer(issuer.subject, issuer.audience, algorithm="ES256").token(), app.id),
    ]
    for number, (token, wanted) in enumerate(tried, 1):
        refusal(token, wanted)
        assert len(checked) == number


def test_claimants_of_another_audience_cost_nothing(tenant: Tenant, checked: list[str]) -> None:
    app, issuer = trusting(tenant, pod())
    for _ in range(3):
        trusting(tenant, issuer.subject, audiences=("other",))
    assert caller(issuer.token()).id == app.id
    assert len(checked) == 1


# -- who may claim a subject ---------------------------------------------------------------------------------------


def test_two_accounts_may_name_the_same_service_account_of_two_clusters(tenant: Tenant) -> None:
    """Clusters often have one name. The key that verifies says which of them it is."""
    other = new_tenant()
    subject = pod()
    app, issuer = trusting(tenant, subject)
    theirs, _ = trusting(other, subject, keys=StoredKeys({"key-1": spki(ec_key())}))
    assert caller(issuer.token()).id == app.id
    assert caller(Issuer(subject, issuer.audience, algorithm="ES256").token()).id == theirs.id


def test_whoever_claims_anothers_service_account_gets_none_of_its_calls(tenant: Tenant) -> None:
    """The issuer's keys are public, so anybody may name them: then the token must say whose it is, or the call must."""
    squatter = new_tenant()
    subject = pod()
    app, issuer = trusting(tenant, subject)
    trusting(squatter, subject)
    assert refusal(issuer.token()) == "jwt-ambiguous"
    assert caller(issuer.token(), app.id).id == app.id
    own = own_audiences(tenant.account.id)[1]
    assert caller(issuer.token(aud=own)).id == app.id
    with pytest.raises(ParameterInvalid, match="this account's id"):
        trusting(squatter, subject, audiences=(own,))


def test_many_claimants_do_not_keep_the_account_out_that_the_token_names(tenant: Tenant) -> None:
    squatter = new_tenant()
    subject = pod()
    app, issuer = trusting(tenant, subject)
    for _ in range(10):
        trusting(squatter, subject, keys=StoredKeys({"key-1": spki(ec_key())}))
    assert refusal(issuer.token()) == "jwt-ambiguous"
    assert caller(issuer.token(aud=own_audiences(tenant.account.id)[1])).id == app.id
    assert caller(issuer.token(), app.id).id == app.id


def test_claims_go_with_the_credential(tenant: Tenant) -> None:
    app, issuer = trusting(tenant, pod())
    other, later = pod(), issuer.token()
    wanted = SignedTokens((CLUSTER,), StoredKeys({"key-1": spki(rsa_key())}), subjects=(other,))
    execute(tenant.alice, UpdateApp(app.id, credential=Replacement(wanted, timedelta(minutes=5))))
    assert caller(later).id == app.id
    assert caller(issuer.token(sub=other)).id == app.id
    execute(tenant.alice, UpdateApp(app.id, credential=Replacement(wanted)))
    assert refusal(later) == "unknown-app"
    assert list(AppSubject.objects.filter(app_id=app.id).values_list("subject", flat=True)) == [other]


def test_where_the_old_and_the_new_settings_take_a_token_the_new_ones_say_how(tenant: Tenant) -> None:
    app, issuer = trusting(tenant, pod())
    wanted = SignedTokens((CLUSTER,), StoredKeys({"key-1": spki(rsa_key())}), subjects=(issuer.subject,), once=True)
    execute(tenant.alice, UpdateApp(app.id, credential=Replacement(wanted, timedelta(minutes=5))))
    with pytest.raises(NotAuthenticated, match="good for one login"):
        caller(issuer.token(jti=unique("id")))
    with pytest.raises(NotAuthenticated, match="good for one login"):
        caller(issuer.token(jti=unique("id")), app.id)


def test_what_is_remembered_of_a_token_ends_with_a_change_of_its_app(tenant: Tenant) -> None:
    app, issuer = trusting(tenant, pod())
    remembered = caller(issuer.token())
    assert execute(remembered, GetApp(app.id))
    execute(tenant.alice, UpdateApp(app.id, credential=Replacement(NewSecret())))
    with pytest.raises(CredentialStale):
        execute(remembered, GetApp(app.id))


# -- sessions ------------------------------------------------------------------------------------------------------


def test_a_session_ends_with_its_token(tenant: Tenant) -> None:
    app, issuer = trusting(tenant, pod())
    issuer.lifetime = 120
    opened = execute(ANONYMOUS, LogIn(TokenCredential(issuer.token())))
    assert opened.entity == app.id
    assert 60 < opened.expires_in <= 120
    row = Session.objects.get(id=opened.session)
    assert row.proof_ends_at == row.expires_at


def test_a_disabled_app_comes_in_by_no_token(tenant: Tenant) -> None:
    """Abuse 22: its login, its calls and its sessions."""
    app, issuer = trusting(tenant, pod())
    token = issuer.token()
    opened = execute(ANONYMOUS, LogIn(TokenCredential(token)))
    execute(tenant.alice, UpdateApp(app.id, enabled=False))
    with pytest.raises(NotAuthenticated) as refused:
        execute(ANONYMOUS, LogIn(TokenCredential(token)))
    assert refused.value.reason == "app-disabled"
    for header in (f"Bearer {token}", f"Bearer {opened.token}"):
        with pytest.raises(Exception, match="disabled"):
            execute(authenticate(header, clock.now()), GetApp(app.id))


def test_a_token_ends_on_its_second_and_with_its_credential(tenant: Tenant) -> None:
    """Abuse 23: nobody tidies anything here."""
    app, issuer = trusting(tenant, pod())
    token = issuer.token()
    principal = caller(token)
    assert execute(principal, GetApp(app.id))
    end = principal.expires_at
    assert end is not None
    assert authenticate(f"Bearer {token}", end - timedelta(microseconds=1)).id == app.id
    assert refusal(token, now=end) == "jwt-expired"
    with pytest.raises(NotAuthenticated, match="expired"):
        execute(replace(principal, expires_at=clock.now()), GetApp(app.id))
    soon = clock.now() + timedelta(seconds=60)
    keys = StoredKeys({"key-1": spki(rsa_key())})
    wanted = Replacement(SignedTokens((CLUSTER,), keys, subjects=(issuer.subject,)), expires_at=soon)
    execute(tenant.alice, UpdateApp(app.id, credential=wanted))
    assert caller(token).expires_at == soon
    assert refusal(token, now=soon) == "unknown-app"


def test_a_token_that_is_good_once_opens_one_session(tenant: Tenant) -> None:
    app, issuer = trusting(tenant, pod(), once=True)
    token = issuer.token(jti=unique("id"))
    with pytest.raises(NotAuthenticated, match="good for one login"):
        caller(token)

    def log_in(_number: int) -> str:
        try:
            return str(execute(ANONYMOUS, LogIn(TokenCredential(token))).entity)
        except NotAuthenticated as refused:
            return refused.reason

    ended = at_once(32, log_in)
    assert sorted(set(ended)) == sorted({str(app.id), "jwt-spent"})
    assert ended.count(str(app.id)) == 1
    assert Session.objects.filter(app_id=app.id).count() == 1
    assert refusal(issuer.token(), app.id) == "jwt-without-id"


def test_a_login_that_fails_spends_nothing(tenant: Tenant) -> None:
    app, issuer = trusting(tenant, pod(), once=True)
    token = issuer.token(jti=unique("id"))
    execute(tenant.alice, UpdateApp(app.id, enabled=False))
    with pytest.raises(NotAuthenticated):
        execute(ANONYMOUS, LogIn(TokenCredential(token)))
    assert not SpentToken.objects.filter(scope=app.id).exists()
    execute(tenant.alice, UpdateApp(app.id, enabled=True))
    assert execute(ANONYMOUS, LogIn(TokenCredential(token))).entity == app.id


# -- keys at an address --------------------------------------------------------------------------------------------


@pytest.fixture
def issuers_keys(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[KeyServer]:
    server = KeyServer(tmp_path, {"keys": [jwk(rsa_key(), kid="key-1")]})
    monkeypatch.setenv("SSL_CERT_FILE", str(server.ca))
    settings.KEYSTEAD = replace(settings.KEYSTEAD, outbound_allow=Reachable((ip_network("127.0.0.1/32"),)))
    monkeypatch.setattr(jwks, "REFETCH_SECONDS", 0.2)
    yield server
    server.close()
    jwks.fetched.clear()


def test_an_issuers_keys_are_exchanged_while_apps_call(tenant: Tenant, issuers_keys: KeyServer) -> None:
    """As an issuer does it: the new key is published, then used, then the old one is withdrawn."""
    app, issuer = trusting(tenant, pod(), keys=FetchedKeys(issuers_keys.url))
    assert caller(issuer.token()).id == app.id
    issuers_keys.answer = {"keys": [jwk(rsa_key(), kid="key-1"), jwk(ec_key(), kid="key-2")]}
    time.sleep(0.3)
    renewed = Issuer(issuer.subject, issuer.audience, algorithm="ES256", kid="key-2")
    assert caller(renewed.token()).id == app.id
    assert caller(issuer.token()).id == app.id
    issuers_keys.answer = {"keys": [jwk(ec_key(), kid="key-2")]}
    time.sleep(0.3)
    assert refusal(Issuer(issuer.subject, issuer.audience, kid="key-3").token()) == "jwt-signature"
    assert refusal(issuer.token()) == "jwt-signature"
    assert caller(renewed.token()).id == app.id
    assert len(issuers_keys.asked) == 3


def test_a_clusters_own_authority_is_trusted_for_its_keys_alone(
    tenant: Tenant, issuers_keys: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    stranger = FetchedKeys(issuers_keys.url, authorities=(authority().der,))
    own = FetchedKeys(issuers_keys.url, authorities=(issuers_keys.ca.read_bytes(),))
    for keys in (FetchedKeys(issuers_keys.url), stranger):
        _, issuer = trusting(tenant, pod(), keys=keys)
        assert refusal(issuer.token()) == "jwt-keys-unavailable"
    app, issuer = trusting(tenant, pod(), keys=own)
    assert caller(issuer.token()).id == app.id
    with pytest.raises(ParameterInvalid, match="CA"):
        trusting(tenant, pod(), keys=FetchedKeys(issuers_keys.url, authorities=(leaf("x", None).der,)))


def test_the_login_fetches_before_its_transaction_and_sends_nobodys_credential(
    tenant: Tenant, issuers_keys: KeyServer
) -> None:
    app, issuer = trusting(tenant, pod(), keys=FetchedKeys(issuers_keys.url))
    assert execute(ANONYMOUS, LogIn(TokenCredential(issuer.token()))).entity == app.id
    assert len(issuers_keys.asked) == 1
    assert "authorization" not in issuers_keys.asked[0]
    assert "cookie" not in issuers_keys.asked[0]


def test_without_keys_nobody_comes_in(tenant: Tenant, issuers_keys: KeyServer) -> None:
    _, issuer = trusting(tenant, pod(), keys=FetchedKeys(issuers_keys.url))
    issuers_keys.answer = None
    assert refusal(issuer.token()) == "jwt-keys-unavailable"


def test_an_address_that_only_the_server_can_reach_is_not_saved_nor_called(
    tenant: Tenant, issuers_keys: KeyServer, settings: Any
) -> None:
    _, issuer = trusting(tenant, pod(), keys=FetchedKeys(issuers_keys.url))
    settings.KEYSTEAD = replace(settings.KEYSTEAD, outbound_allow=Reachable())
    assert refusal(issuer.token()) == "jwt-keys-unavailable"
    assert issuers_keys.asked == []
    for url in (issuers_keys.url, "http://keys.example/", "https://169.254.169.254/", "file:///etc/passwd", "", "x"):
        with pytest.raises(ParameterInvalid):
            trusting(tenant, pod(), keys=FetchedKeys(url))


# -- settings that are not saved -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"audiences": ()},
        {"audiences": ("",)},
        {"audiences": ("x" * 513,)},
        {"subjects": ("*",)},
        {"subjects": ("a*b",)},
        {"subjects": ("a**",)},
        {"subjects": ("",)},
        {"subjects": tuple(f"s{n}" for n in range(65))},
        {"algorithms": ()},
        {"algorithms": ("HS256",)},
        {"algorithms": ("none",)},
        {"algorithms": ("RS256", "ES256K")},
        {"max_age": 0},
        {"max_age": 32 * 86_400},
        {"keys": StoredKeys({})},
        {"keys": StoredKeys({"": spki(rsa_key())})},
        {"keys": StoredKeys({"a": b"x"})},
        {"keys": FetchedKeys("https://keys.example/", 1)},
        {"keys": FetchedKeys("https://keys.example/", 10**6)},
    ],
)
def test_settings_that_would_take_anybody_or_nobody_are_refused(tenant: Tenant, fields: dict[str, Any]) -> None:
    before = App.objects.filter(account=tenant.account).count()
    with pytest.raises(ParameterInvalid):
        trusting(tenant, pod(), **fields)
    assert App.objects.filter(account=tenant.account).count() == before


def test_an_app_without_issuers_is_refused(tenant: Tenant) -> None:
    wanted = SignedTokens((), StoredKeys({"key-1": spki(rsa_key())}))
    with pytest.raises(ParameterInvalid, match="issuers"):
        tenant.new_app(credential=Replacement(wanted))


def test_algorithms_are_the_apps_to_narrow(tenant: Tenant) -> None:
    _, issuer = trusting(tenant, pod(), algorithms=("PS256",))
    assert refusal(issuer.token()) == "jwt-algorithm"
    issuer.algorithm = "PS256"
    assert caller(issuer.token()).account == tenant.account.id


def test_a_token_that_lives_longer_than_the_app_lets_it_is_refused(tenant: Tenant) -> None:
    _, issuer = trusting(tenant, pod(), max_age=300)
    assert refusal(issuer.token()) == "jwt-lives-too-long"
    issuer.lifetime = 300
    assert caller(issuer.token()).account == tenant.account.id
