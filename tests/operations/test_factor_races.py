"""The same code, challenge or recovery code from 32 sides at once: one success, and nobody waits for a deadlock."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from django.conf import settings as django_settings

from accounts import recovery, totp
from accounts.clock import clock
from accounts.credentials import principal_of_token
from accounts.models import FidoCredential, Session, TotpDevice
from accounts.principal import AuthenticationMethod, Principal
from accounts.sessions import issue
from kms.api.wire import webauthn
from kms.audit.entry import CallContext
from kms.operations.command import Command
from kms.operations.errors import AccessDenied
from kms.operations.executor import execute
from kms.operations.second_factors import (
    AskFactorChallenge,
    ShowRecoveryCode,
    ShowSecurityKey,
    ShowTotp,
    seal_key,
)
from kms.operations.sessions import RefreshSession, SelectAccount
from kms.secret import SecretBytes
from tests.kit.authenticator import ORIGIN, Authenticator, b64
from tests.kit.tenants import Tenant
from tests.kit.threads import at_once

THREADS = 32
KEY = b"12345678901234567890"


def address(number: int) -> str:
    return f"192.0.2.{number}"


def sessions(tenant: Tenant, count: int) -> list[Principal]:
    """Sessions that lack their factor, each from a network where the person has shown one before: throttling, which has
    its own tests, must not decide these races."""
    principal, now = tenant.alice, clock.now()
    made = []
    for number in range(count):
        where: dict[str, Any] = {"client_ip": address(number)}
        issue(principal, AuthenticationMethod.PASSWORD, now, now, second_factor="totp", **where)
        _, token = issue(principal, AuthenticationMethod.PASSWORD, now, now, **where)
        made.append(replace(principal_of_token(token, now), proof_version=None))
    return made


def race(callers: list[Principal], command: Command) -> Counter[str]:
    """Everybody sends the command; how it ended for each."""

    def send(number: int) -> str:
        try:
            execute(callers[number], command, context=CallContext(client_ip=address(number)))
        except AccessDenied as refused:
            return refused.reason
        return "shown"

    started = time.monotonic()
    ended = Counter(at_once(len(callers), send))
    assert time.monotonic() - started < 20  # each deadlock takes a second to be found
    return ended


@pytest.fixture
def phone(tenant: Tenant) -> str:
    """A confirmed device of Alice's; its code."""
    device = TotpDevice(user_id=tenant.alice.id, name="phone", confirmed=True)
    seal_key(device, SecretBytes(KEY))
    device.save()
    return totp.code_of(KEY, totp.step_at(clock.now()))


def test_one_code_in_many_sessions_is_taken_once(tenant: Tenant, phone: str) -> None:
    callers = sessions(tenant, THREADS)
    assert race(callers, ShowTotp(phone)) == {"shown": 1, "wrong-code": THREADS - 1}
    assert Session.objects.filter(id__in=[c.session for c in callers], second_factor="totp").count() == 1


def test_one_code_many_times_in_one_session_is_taken_once(tenant: Tenant, phone: str) -> None:
    callers = sessions(tenant, THREADS)
    same = [replace(callers[0]) for _ in callers]
    assert race(same, ShowTotp(phone)) == {"shown": 1, "wrong-code": THREADS - 1}


def test_one_recovery_code_is_taken_once(tenant: Tenant, phone: str) -> None:
    codes = recovery.replace(tenant.alice.id)
    ended = race(sessions(tenant, THREADS), ShowRecoveryCode(codes[0]))
    assert ended == {"shown": 1, "wrong-recovery-code": THREADS - 1}
    assert recovery.left(tenant.alice.id) == len(codes) - 1


def test_one_assertion_is_taken_once(tenant: Tenant, settings: Any) -> None:
    settings.KEYSTEAD = replace(django_settings.KEYSTEAD, public_url=ORIGIN)
    key = Authenticator()
    FidoCredential.objects.create(
        user_id=tenant.alice.id,
        name="key",
        protocol="fido2",
        credential_id=key.credential_id,
        public_key=key.encoded_cose(),
    )
    callers = sessions(tenant, THREADS)
    offer = execute(callers[0], AskFactorChallenge())
    body = webauthn.assertion(_body(key.get({"challenge": b64(offer.challenge)})))
    ended = race([replace(callers[0]) for _ in callers], ShowSecurityKey(body))
    assert ended == {"shown": 1, "security-key-used-challenge": THREADS - 1}


def _body(answer: dict[str, Any]) -> webauthn.AssertionResult:
    response = webauthn.AssertionResponse(**answer["response"])
    return webauthn.AssertionResult(id=answer["id"], type=answer["type"], response=response)


@pytest.mark.parametrize("command", [RefreshSession(), SelectAccount], ids=["refresh", "select"])
def test_one_session_is_used_from_many_sides_without_a_deadlock(tenant: Tenant, command: Any) -> None:
    (caller,) = sessions(tenant, 1)
    sent = command if isinstance(command, RefreshSession) else SelectAccount(tenant.account.id)
    assert race([replace(caller) for _ in range(THREADS)], sent) == {"shown": THREADS}
