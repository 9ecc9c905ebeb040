"""Everything that expires refuses at its moment, whether or not anybody tidies: the list comes from the tables.

No keeper runs here. A column that ends something and is in no row of ``ENDING`` fails the last test.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.apps import apps
from django.db import models, transaction

from accounts import codes, sessions, throttle
from accounts.activity import activities
from accounts.clock import clock
from accounts.credentials import authenticate, digest
from accounts.errors import AttemptRefused, NotAuthenticated
from accounts.fido import KeyRejected
from accounts.models import (
    AppCredential,
    ChallengePurpose,
    CodePurpose,
    FactorChallenge,
    IdentityProvider,
    PendingSignOn,
    ProviderKind,
    Session,
)
from accounts.principal import Principal
from accounts.throttle import Attempt
from kms.audit.entry import CallContext
from kms.operations import presence
from kms.operations.authority import Authority
from kms.operations.command import Call
from kms.operations.errors import AccessDenied
from kms.operations.factor_enrolment import _unlocked
from kms.operations.own_factors import spend_challenge
from kms.operations.sign_on import by_oidc, by_saml
from policies.decision import Facts
from tests.kit.tenants import Tenant, new_user, unique

MOMENT, MINUTE = timedelta(microseconds=1), timedelta(minutes=1)
REFUSED = (NotAuthenticated, AccessDenied, codes.CodeNotValid, KeyRejected)
# Made anew for each moment, because what is used is often used up. Takes the end, gives how it is used at a time.
Make = Callable[[Tenant, datetime], Callable[[datetime], object]]


def opened(who: Principal, **changes: Any) -> tuple[Session, str]:
    now = clock.now()
    row, token = sessions.issue(who, who.method, now, now)
    Session.objects.filter(id=row.id).update(**changes)
    row.refresh_from_db()
    return row, token


def call_at(who: Principal, now: datetime) -> Call:
    return Call(who, CallContext(), now, Facts(), Authority(load=True))


def session_of(kind: str) -> Make:
    def make(tenant: Tenant, end: datetime) -> Callable[[datetime], object]:
        _, token = opened(getattr(tenant, kind), expires_at=end)
        return lambda now: authenticate(f"Bearer {token}", now)

    return make


def idle_session(tenant: Tenant, end: datetime) -> Callable[[datetime], object]:
    _, token = opened(tenant.alice, created_at=end - sessions.idle_time())
    activities.clear()
    who = authenticate(f"Bearer {token}", clock.now())

    def use(now: datetime) -> None:
        if presence.forbids(who, CallContext(), now, load=True):
            raise NotAuthenticated("session-idle")

    return use


def stretched_session(tenant: Tenant, end: datetime) -> Callable[[datetime], object]:
    row, token = opened(tenant.app, proof_ends_at=end)
    sessions.extend(row, clock.now())
    return lambda now: authenticate(f"Bearer {token}", now)


def unlocked_factors(tenant: Tenant, end: datetime) -> Callable[[datetime], object]:
    row, _ = opened(tenant.alice, factors_unlocked_until=end)
    return lambda now: _unlocked(call_at(tenant.alice, now), row)


def api_key(column: str) -> Make:
    def make(tenant: Tenant, end: datetime) -> Callable[[datetime], object]:
        app = tenant.new_app()
        username, secret = tenant.api_key(app)
        replaced = {"replaced_at": clock.now()} if column == "valid_until" else {}
        AppCredential.objects.filter(app_id=app.id).update(**{column: end}, **replaced)
        header = "Basic " + urlsafe_b64encode(f"{username}:{secret}".encode()).decode()
        return lambda now: authenticate(header, now)

    return make


def code_for(purpose: CodePurpose) -> Make:
    def make(_tenant: Tenant, end: datetime) -> Callable[[datetime], object]:
        user = new_user()
        with transaction.atomic():
            _, text = codes.make(purpose, user, end - codes.LIFETIME[purpose], email=user.email, account=None)

        def use(now: datetime) -> object:
            with transaction.atomic():
                return codes.look_up(purpose, user, user.id, text, now=now)

        return use

    return make


def challenge(tenant: Tenant, end: datetime) -> Callable[[datetime], object]:
    row, _ = opened(tenant.alice)
    made = FactorChallenge.objects.create(
        session=row, purpose=ChallengePurpose.PROVE, challenge=uuid4().bytes * 2, expires_at=end
    )
    given = urlsafe_b64encode(bytes(made.challenge)).rstrip(b"=").decode()
    data = json.dumps({"type": "webauthn.get", "challenge": given, "origin": "https://localhost"}).encode()

    def use(now: datetime) -> object:
        with transaction.atomic():
            return spend_challenge(call_at(tenant.alice, now), row, ChallengePurpose.PROVE, data)

    return use


def sign_on(kind: ProviderKind) -> Make:
    def make(tenant: Tenant, end: datetime) -> Callable[[datetime], object]:
        provider = IdentityProvider.objects.create(account=tenant.account, kind=kind, name=unique("idp"))
        state, now = unique("state"), clock.now()
        PendingSignOn.objects.create(
            provider=provider, state_digest=digest(state), nonce="n", verifier="v", created_at=now, expires_at=end
        )
        if kind is ProviderKind.SAML:
            return lambda now: by_saml._pending(state, None, now)
        return lambda now: at_this_time(now, lambda: by_oidc.admit(oidc_answer(provider, state), CallContext()))

    return make


def oidc_answer(provider: IdentityProvider, state: str) -> by_oidc.OidcCredential:
    return by_oidc.OidcCredential(provider=provider.id, code="c", state=state, issuer=None)


def at_this_time(now: datetime, work: Callable[[], object]) -> object:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(clock, "now", lambda: now)
        return work()


ENDING: dict[tuple[str, str], dict[str, Make]] = {
    ("Session", "expires_at"): {"a user's": session_of("alice"), "an app's": session_of("app")},
    ("Session", "created_at"): {"idle": idle_session},
    ("Session", "proof_ends_at"): {"refreshed": stretched_session},
    ("Session", "factors_unlocked_until"): {"factors": unlocked_factors},
    ("AppCredential", "expires_at"): {"API key": api_key("expires_at")},
    ("AppCredential", "valid_until"): {"replaced API key": api_key("valid_until")},
    ("OneTimeCode", "expires_at"): {purpose.value: code_for(purpose) for purpose in CodePurpose},
    ("FactorChallenge", "expires_at"): {"challenge": challenge},
    ("PendingSignOn", "expires_at"): {"OIDC": sign_on(ProviderKind.OIDC), "SAML": sign_on(ProviderKind.SAML)},
}
# These say how long something is remembered against a caller: there, the end lets in.
REMEMBERED = {("AttemptCounter", "blocked_until"), ("SpentToken", "expires_at")}
_CASES = [(f"{model}.{column}", name, make) for (model, column), ways in ENDING.items() for name, make in ways.items()]


@pytest.mark.parametrize("make", [make for *_, make in _CASES], ids=[f"{where}, {name}" for where, name, _ in _CASES])
def test_it_is_good_until_its_last_moment_and_not_a_moment_longer(make: Make, tenant: Tenant) -> None:
    end = clock.now() + 10 * MINUTE
    make(tenant, end)(end - MOMENT)
    for late in (end, end + MOMENT, end + timedelta(days=400)):
        with pytest.raises(REFUSED):
            make(tenant, end)(late)


def test_a_block_ends_at_its_moment_and_not_before() -> None:
    attempt, now = Attempt(throttle.PASSWORD, uuid4(), "192.0.2.7"), clock.now()
    for _ in range(throttle.PASSWORD.free):
        throttle.reserve(attempt, now)
    with pytest.raises(AttemptRefused):
        throttle.reserve(attempt, now + throttle.FIRST_DELAY - MOMENT)
    throttle.reserve(attempt, now + throttle.FIRST_DELAY)


def test_every_column_that_ends_something_is_tried() -> None:
    found = {
        (model.__name__, field.name)
        for model in apps.get_app_config("accounts").get_models()
        for field in model._meta.get_fields()
        if isinstance(field, models.DateTimeField) and field.name.endswith(("expires_at", "_until", "ends_at"))
    }
    assert found == (ENDING.keys() | REMEMBERED) - {("Session", "created_at")}
