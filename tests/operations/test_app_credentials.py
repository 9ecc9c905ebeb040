"""How an app's proof is replaced: at once or with an overlap, with everything that the old one had opened."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from accounts.clock import clock
from accounts.credentials import BasicCredential, authenticate
from accounts.errors import NotAuthenticated
from accounts.models import App, AppCredential, IdentityProvider, Session
from accounts.principal import ANONYMOUS, Principal
from kms.audit.models import AuditRecord
from kms.crypto.errors import ParameterInvalid
from kms.operations.app_credentials import Replacement
from kms.operations.app_trust import (
    DirectoryLogin,
    NewCredential,
    NewSecret,
    PinnedCertificate,
    SignedTokens,
    StoredKeys,
    TrustedAuthorities,
)
from kms.operations.apps import GetApp, GetAppCredential, ListApps, ResetAppSecret, UpdateApp
from kms.operations.errors import AccessDenied, Conflict, CredentialStale, NotFound
from kms.operations.executor import execute
from kms.operations.queries import Page
from kms.operations.sessions import LogIn, RefreshSession
from kms.secret import SecretBytes
from policies.permissions import Permission
from tests.kit.certificates import DAY, authority, leaf, now, revocation_list
from tests.kit.tenants import Tenant, new_tenant
from tests.kit.tokens import rsa_key, spki

MINUTE = timedelta(minutes=1)
OVERLAPPING = Replacement(NewSecret(), 5 * MINUTE)


def header(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def holds(key: tuple[str, str], at: datetime | None = None) -> bool:
    try:
        return authenticate(header(*key), at or clock.now()).id is not None
    except NotAuthenticated:
        return False


def session(key: tuple[str, str]) -> str:
    return "Bearer " + execute(ANONYMOUS, LogIn(BasicCredential(*key))).token


# -- rotation ------------------------------------------------------------------------------------------------------


def test_with_an_overlap_both_keys_hold_until_it_is_over(tenant: Tenant) -> None:
    old = tenant.api_key()
    execute(tenant.alice, ResetAppSecret(tenant.app.id, OVERLAPPING))
    new = tenant.api_key()
    assert holds(old)
    assert holds(new)
    found = execute(tenant.alice, GetAppCredential(tenant.app.id))
    assert found.previous.secret.reveal().decode() == old[1]
    end = found.previous.ends_at
    assert abs(end - clock.now() - 5 * MINUTE) < MINUTE
    assert holds(old, end - timedelta(microseconds=1))
    assert not holds(old, end)
    assert holds(new, end)


def test_sessions_of_an_overlapped_key_end_with_it_and_no_refresh_stretches_them(tenant: Tenant) -> None:
    old = session(tenant.api_key())
    execute(tenant.alice, ResetAppSecret(tenant.app.id, OVERLAPPING))
    end = AppCredential.objects.get(app_id=tenant.app.id, version=1).valid_until
    assert end is not None
    for _ in range(2):
        assert authenticate(old, end - timedelta(microseconds=1)).id == tenant.app.id
        with pytest.raises(NotAuthenticated, match="expired"):
            authenticate(old, end)
        execute(authenticate(old, clock.now()), RefreshSession())
    fresh = session(tenant.api_key())
    assert authenticate(fresh, end).id == tenant.app.id


def test_a_session_opened_by_the_old_key_during_the_overlap_ends_with_it_too(tenant: Tenant) -> None:
    old = tenant.api_key()
    execute(tenant.alice, ResetAppSecret(tenant.app.id, OVERLAPPING))
    opened = session(old)
    end = AppCredential.objects.get(app_id=tenant.app.id, version=1).valid_until
    assert end is not None
    execute(authenticate(opened, clock.now()), RefreshSession())
    with pytest.raises(NotAuthenticated, match="expired"):
        authenticate(opened, end)


def test_without_an_overlap_every_key_and_session_before_ends_at_once(tenant: Tenant) -> None:
    keys = [tenant.api_key()]
    sessions = [session(keys[0])]
    execute(tenant.alice, ResetAppSecret(tenant.app.id, OVERLAPPING))
    keys.append(tenant.api_key())
    sessions.append(session(keys[1]))
    execute(tenant.alice, ResetAppSecret(tenant.app.id))
    assert [holds(key) for key in keys] == [False, False]
    for opened in sessions:
        with pytest.raises(NotAuthenticated, match="ended"):
            authenticate(opened, clock.now())
    assert holds(tenant.api_key())
    assert execute(tenant.alice, GetAppCredential(tenant.app.id)).previous is None


def test_what_has_ended_is_not_kept(tenant: Tenant) -> None:
    for _ in range(4):
        execute(tenant.alice, ResetAppSecret(tenant.app.id))
    rows = AppCredential.objects.filter(app_id=tenant.app.id).order_by("version")
    assert [(row.version, row.secret_sealed is None) for row in rows] == [(4, True), (5, False)]


Ended = list[tuple[float, str]]


def calling(key: tuple[str, str], app: Principal, stop: threading.Event, ended: Ended) -> None:
    """As an app does it: the key on every call, and once more where the server says that facts have moved.

    Each call is noted by when it began.
    """
    from django.db import connection

    while not stop.is_set():
        began = time.monotonic()
        try:
            try:
                execute(authenticate(header(*key), clock.now()), GetApp(app.id))
            except CredentialStale:
                execute(authenticate(header(*key), clock.now()), GetApp(app.id))
        except Exception as error:
            ended.append((began, type(error).__name__))
        else:
            ended.append((began, "done"))
    connection.close()


@pytest.fixture
def busy(tenant: Tenant) -> Iterator[tuple[Tenant, Ended]]:
    """Four clients that call without pause, and how their calls ended."""
    stop, ended = threading.Event(), Ended()
    key = tenant.api_key()
    threads = [threading.Thread(target=calling, args=(key, tenant.app, stop, ended)) for _ in range(4)]
    for thread in threads:
        thread.start()
    yield tenant, ended
    stop.set()
    for thread in threads:
        thread.join()


def wait(ended: Ended, more: int) -> None:
    enough, pause = len(ended) + more, threading.Event()
    while len(ended) < enough:
        pause.wait(0.005)


def test_rotation_with_an_overlap_fails_no_call(busy: tuple[Tenant, Ended]) -> None:
    tenant, ended = busy
    for _ in range(3):
        wait(ended, 20)
        execute(tenant.alice, ResetAppSecret(tenant.app.id, OVERLAPPING))
    wait(ended, 20)
    assert {how for _, how in ended} == {"done"}


def test_rotation_without_one_lets_no_call_in_after_its_answer(busy: tuple[Tenant, Ended]) -> None:
    tenant, ended = busy
    wait(ended, 20)
    began = time.monotonic()
    execute(tenant.alice, ResetAppSecret(tenant.app.id))
    answered = time.monotonic()
    wait(ended, 40)
    assert {how for at, how in ended if at > answered} == {"NotAuthenticated"}
    assert {how for at, how in ended[:16] if at < began} == {"done"}


def test_a_key_ends_by_itself(tenant: Tenant) -> None:
    soon = clock.now() + MINUTE
    execute(tenant.alice, ResetAppSecret(tenant.app.id, Replacement(NewSecret(), expires_at=soon)))
    key = tenant.api_key()
    assert execute(ANONYMOUS, LogIn(BasicCredential(*key))).expires_in <= 60
    assert holds(key, soon - timedelta(microseconds=1))
    assert not holds(key, soon)
    for past in (clock.now(), clock.now() - MINUTE):
        with pytest.raises(ParameterInvalid, match="past"):
            execute(tenant.alice, ResetAppSecret(tenant.app.id, Replacement(NewSecret(), expires_at=past)))


@pytest.mark.parametrize("overlap", [timedelta(seconds=-1), timedelta(days=91)])
def test_an_overlap_has_bounds(tenant: Tenant, overlap: timedelta) -> None:
    with pytest.raises(ParameterInvalid, match="credential_migration_period"):
        execute(tenant.alice, ResetAppSecret(tenant.app.id, Replacement(NewSecret(), overlap)))
    assert holds(tenant.api_key())


# -- kinds ---------------------------------------------------------------------------------------------------------


def certificate(**fields: Any) -> PinnedCertificate:
    return PinnedCertificate(leaf("app", None, **fields).der)


def of_each_kind(tenant: Tenant) -> dict[str, NewCredential]:
    root = authority()
    provider = IdentityProvider.objects.create(account=tenant.account, kind="ldap", name="directory")
    return {
        "secret": NewSecret(),
        "certificate": certificate(),
        "trusted-ca": TrustedAuthorities((root.der,), ({"dns_name": "app.example"},), True, (revocation_list(root),)),
        "signed-jwt": SignedTokens(("https://issuer.example",), StoredKeys({"a": spki(rsa_key())})),
        "ldap": DirectoryLogin(provider.id),
    }


def test_every_kind_replaces_every_kind(tenant: Tenant) -> None:
    """A key that was replaced by something else opens nothing, and an empty one never did."""
    for wanted in of_each_kind(tenant).values():
        execute(tenant.alice, UpdateApp(tenant.app.id, credential=Replacement(NewSecret())))
        key = tenant.api_key()
        opened = session(key)
        view = execute(tenant.alice, UpdateApp(tenant.app.id, credential=Replacement(wanted)))
        for kind, credential in of_each_kind(tenant).items():
            assert not holds(key)
            assert not holds((key[0], ""))
            with pytest.raises(NotAuthenticated):
                authenticate(opened, clock.now())
            view = execute(tenant.alice, UpdateApp(tenant.app.id, credential=Replacement(credential)))
            assert view.credential.kind == kind
            found = execute(tenant.alice, GetAppCredential(tenant.app.id)).current
            assert (found.secret is None) is (kind != "secret")


def test_only_an_app_with_an_api_key_gets_another(tenant: Tenant) -> None:
    execute(tenant.alice, UpdateApp(tenant.app.id, credential=Replacement(certificate())))
    with pytest.raises(Conflict, match="does not authenticate with an API key"):
        execute(tenant.alice, ResetAppSecret(tenant.app.id))


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("AbCdEfGhIjKlMnOpQrStUvWxYz012345", True),
        ("AbCdEfGhIjKlMnOpQrStUvWxYz_-2345" * 5, True),
        ("AbCdEfGhIjKlMnOpQrStUvWxYz01234", False),
        ("AbCdEfGhIjKlMnOpQrStUvWxYz012345" * 6, False),
        ("a" * 64, False),
        ("ababababababababababababababababab", False),
        ("AbCdEfGhIjKlMnOpQrStUvWxYz01234.", False),
        ("AbCdEfGhIjKlMnOpQrStUvWxYz01234+", False),
        ("AbCdEfGhIjKlMnOpQrStUvWxYz01234:", False),
        ("AbCdEfGhIjKlMnOpQrStUvWxYz012345\n", False),
        ("", False),
    ],
)
def test_a_key_of_the_callers_own_is_taken_when_it_may_be_random(tenant: Tenant, text: str, taken: bool) -> None:
    wanted = Replacement(NewSecret(brought=SecretBytes(text.encode())))
    if not taken:
        with pytest.raises(ParameterInvalid, match="base64url"):
            execute(tenant.alice, UpdateApp(tenant.app.id, credential=wanted))
        return
    execute(tenant.alice, UpdateApp(tenant.app.id, credential=wanted))
    assert tenant.api_key() == (str(tenant.app.id), text)
    assert holds(tenant.api_key())


@pytest.mark.parametrize("size", [15, 129, 0, -1])
def test_a_made_key_has_bounds(tenant: Tenant, size: int) -> None:
    with pytest.raises(ParameterInvalid, match="secret_size"):
        execute(tenant.alice, ResetAppSecret(tenant.app.id, Replacement(NewSecret(size))))


def trusting(*certificates: bytes, **fields: Any) -> TrustedAuthorities:
    subjects = fields.pop("subjects", ({"dns_name": "app.example"},))
    return TrustedAuthorities(certificates, subjects, **fields)


def hopeless() -> Iterator[tuple[str, NewCredential]]:
    """What could never let anybody in, or would let in more than was meant."""
    root = authority()
    yield "no certificate", PinnedCertificate(b"")
    yield "garbage", PinnedCertificate(b"\x30\x03\x02\x01\x01")
    yield "a PEM of nothing", PinnedCertificate(b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n")
    yield "expired", certificate(since=-2 * DAY, until=-DAY)
    yield "for servers", certificate(usages=())
    yield "no authority", trusting()
    yield "17 authorities", trusting(*[root.der] * 17)
    yield "a leaf as authority", trusting(leaf("app", root).der)
    yield "a self-signed leaf as authority", trusting(leaf("app", None).der)
    yield "an authority that has expired", trusting(authority(since=-2 * DAY, until=-DAY).der)
    yield "no subject", trusting(root.der, subjects=())
    yield "an empty name", trusting(root.der, subjects=({"directory_name": []},))
    yield "an unknown attribute", trusting(root.der, subjects=({"directory_name": [["nonsense", "x"]]},))
    yield "a wildcard", trusting(root.der, subjects=({"dns_name": "*.example"},))
    yield "two rules in one", trusting(root.der, subjects=({"dns_name": "a", "ip_address": "127.0.0.1"},))
    yield "no address", trusting(root.der, subjects=({"ip_address": "nowhere"},))
    yield "a list that is none", trusting(root.der, revocation_lists=(root.der,))


@pytest.mark.parametrize("wanted", [pytest.param(wanted, id=name) for name, wanted in hopeless()])
def test_what_could_never_hold_is_not_saved(tenant: Tenant, wanted: NewCredential) -> None:
    with pytest.raises(ParameterInvalid):
        execute(tenant.alice, UpdateApp(tenant.app.id, credential=Replacement(wanted)))
    assert holds(tenant.api_key())


def test_a_directory_is_one_of_the_accounts_own(tenant: Tenant) -> None:
    theirs = IdentityProvider.objects.create(account=new_tenant().account, kind="ldap", name="directory")
    other = IdentityProvider.objects.create(account=tenant.account, kind="oidc", name="no directory")
    for provider in (theirs, other):
        with pytest.raises(ParameterInvalid, match="directory"):
            execute(tenant.alice, UpdateApp(tenant.app.id, credential=Replacement(DirectoryLogin(provider.id))))


# -- who may -------------------------------------------------------------------------------------------------------


def test_whoever_may_only_change_an_app_does_not_replace_its_proof(tenant: Tenant) -> None:
    """Who replaces it could then be the app."""
    manager = tenant.member("auditor")
    change = UpdateApp(tenant.app.id, credential=Replacement(NewSecret()))
    with pytest.raises(AccessDenied):
        execute(manager, change)
    with pytest.raises(NotFound):
        execute(tenant.app, change)
    with pytest.raises(NotFound):
        execute(new_tenant().alice, change)
    assert holds(tenant.api_key())


def test_replacing_a_proof_needs_the_right_to(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same right as for resetting the key, whoever holds the one to change apps."""
    asked: list[Permission] = []
    from kms.operations import authority as room

    real = room.Authority.authorise

    def noting(self: Any, call: Any, resolved: Any) -> Any:
        asked.append(resolved.permission)
        return real(self, call, resolved)

    monkeypatch.setattr(room.Authority, "authorise", noting)
    execute(tenant.alice, UpdateApp(tenant.app.id, description="changed"))
    assert asked == [Permission.APP_UPDATE]
    execute(tenant.alice, UpdateApp(tenant.app.id, credential=Replacement(NewSecret())))
    assert asked[1:] == [Permission.APP_UPDATE, Permission.APP_SECRET_RESET]


def test_the_record_says_what_was_replaced_and_no_secret(tenant: Tenant) -> None:
    execute(tenant.alice, UpdateApp(tenant.app.id, credential=OVERLAPPING))
    key = tenant.api_key()[1]
    entry = AuditRecord.objects.filter(action="app.update", object_id=tenant.app.id).latest("sequence")
    assert entry.details["kind"] == "secret"
    assert entry.details["overlap_seconds"] == 300
    assert key not in str(entry.details)


def test_a_page_of_apps_asks_as_often_as_one_app(tenant: Tenant, django_assert_max_num_queries: Any) -> None:
    for _ in range(8):
        tenant.new_app()
    with django_assert_max_num_queries(20):
        found = execute(tenant.alice, ListApps(Page()))
    assert len(found) == 9
    assert {view.credential.kind for view in found} == {"secret"}


def test_a_rate_limit_is_set_changed_and_taken_away(tenant: Tenant) -> None:
    app = tenant.new_app(rate_limit=10)
    for wanted, kept in ((None, 10), (20, 20), (0, None)):
        execute(tenant.alice, UpdateApp(app.id, rate_limit=wanted))
        assert App.objects.get(id=app.id).rate_limit == kept
    for wrong in (-1, 1_000_001):
        with pytest.raises(ParameterInvalid, match="rate_limit"):
            execute(tenant.alice, UpdateApp(app.id, rate_limit=wrong))


def test_sessions_of_other_apps_stay(tenant: Tenant) -> None:
    other = tenant.new_app()
    opened = session(tenant.api_key(other))
    execute(tenant.alice, ResetAppSecret(tenant.app.id))
    execute(tenant.alice, ResetAppSecret(tenant.app.id, OVERLAPPING))
    assert authenticate(opened, clock.now()).id == other.id
    row = Session.objects.get(app_id=other.id)
    assert row.expires_at - clock.now() > 10 * MINUTE
    assert now() < row.expires_at
