"""Guesses are counted before they are looked at, slowed down, and keep nobody out of the place where they work."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from io import StringIO
from unicodedata import normalize
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connections, transaction
from hypothesis import given
from hypothesis import strategies as st

from accounts import sessions, throttle
from accounts.clock import clock
from accounts.credentials import BasicCredential
from accounts.errors import AttemptRefused, NotAuthenticated
from accounts.models import AttemptCounter, Membership, Session
from accounts.principal import ANONYMOUS
from accounts.throttle import (
    FORGET,
    FORGET_SLOWED,
    LATELY,
    LONGEST_DELAY,
    PASSWORD,
    SECOND_FACTOR,
    Attempt,
    Count,
    after,
    network_of,
)
from kms.audit.entry import CallContext
from kms.audit.models import AuditRecord
from kms.operations.errors import TooManyAttempts
from kms.operations.executor import execute
from kms.operations.sessions import LogIn
from tests.kit.tenants import PASSWORD as RIGHT
from tests.kit.tenants import Tenant, new_user, unique, user_principal

SECOND = timedelta(seconds=1)
OFFICE, STRANGER = "192.0.2.7", "198.51.100.9"


def attempts_until_refused(attempt: Attempt, now: datetime, most: int = 50) -> int:
    for admitted in range(most):
        try:
            throttle.reserve(attempt, now)
        except AttemptRefused:
            return admitted
    return most


def log_in(email: str, password: str, address: str = STRANGER) -> None:
    execute(ANONYMOUS, LogIn(BasicCredential(email, password)), context=CallContext(client_ip=address))


def guessed(email: str, times: int, address: str = STRANGER) -> None:
    """So many wrong passwords, without the hundred milliseconds that checking one takes."""
    for _ in range(times):
        throttle.reserve(Attempt(PASSWORD, throttle.subject_of(email), address), clock.now())


def outcome(email: str, password: str, address: str = STRANGER) -> str:
    try:
        log_in(email, password, address)
    except (NotAuthenticated, TooManyAttempts) as error:
        return type(error).__name__
    return "in"


# -- the rule ------------------------------------------------------------------------------------------------------


@given(free=st.integers(1, 20), waits=st.lists(st.integers(0, 2000), max_size=40))
def test_delays_only_grow_and_never_pass_fifteen_minutes(free: int, waits: list[int]) -> None:
    now = datetime.fromisoformat("2026-11-25T00:00:00+00:00")
    count, blocks = Count(), []
    for wait in waits:
        now += timedelta(seconds=wait)
        told = 0
        try:
            count = after(count, free, now)
        except AttemptRefused as refused:
            told = refused.retry_after
        assert told <= LONGEST_DELAY.total_seconds()
        if told:
            now += timedelta(seconds=told)
            count = after(count, free, now)
        assert (count.blocked_until is None) == (count.attempts < free)
        if count.blocked_until is not None:
            blocks.append(count.blocked_until - now)
    assert blocks == sorted(blocks)
    assert all(block <= LONGEST_DELAY for block in blocks)


def test_a_counter_is_forgotten_at_its_time_whether_or_not_anyone_tidies() -> None:
    now = clock.now()
    quiet, slowed = Count(4, now), Count(9, now, now + LONGEST_DELAY)
    assert after(quiet, 5, now + FORGET).attempts == 5
    assert after(quiet, 5, now + FORGET + SECOND).attempts == 1
    assert after(slowed, 5, now + FORGET_SLOWED).attempts == 10
    assert after(slowed, 5, now + FORGET_SLOWED + SECOND).attempts == 1


def test_a_day_of_guessing_from_everywhere_is_a_few_hundred_guesses() -> None:
    """The best that a patient guesser can do: whatever comes first, waiting for a delay or being forgotten."""
    now = datetime.fromisoformat("2026-11-25T00:00:00+00:00")
    end, count, guesses = now + timedelta(days=1), Count(), 0
    while now < end:
        try:
            count = after(count, PASSWORD.free_anywhere, now)
            guesses += 1
        except AttemptRefused as refused:
            now += timedelta(seconds=refused.retry_after)
    assert guesses < 120
    patient = (PASSWORD.free_anywhere - 1) * (timedelta(days=1) // FORGET)
    assert patient < 240


# -- counters ------------------------------------------------------------------------------------------------------


def test_thirty_two_guesses_at_once_are_counted_one_after_the_other() -> None:
    attempt, now = Attempt(PASSWORD, uuid4(), STRANGER), clock.now()

    def guess(_: int) -> bool:
        try:
            throttle.reserve(attempt, now)
        except AttemptRefused:
            return False
        finally:
            connections.close_all()
        return True

    with ThreadPoolExecutor(32) as threads:
        admitted = list(threads.map(guess, range(32)))
    assert admitted.count(True) == PASSWORD.free


def test_a_failure_that_undoes_everything_does_not_undo_the_count() -> None:
    attempt, now = Attempt(PASSWORD, uuid4(), STRANGER), clock.now()
    with pytest.raises(RuntimeError), transaction.atomic():
        throttle.reserve(attempt, now)
    email = unique("nobody") + "@example.org"
    before = AttemptCounter.objects.filter(subject=throttle._subject_digest(email)).count()
    assert outcome(email, "wrong") == "NotAuthenticated"
    assert before == 0
    counters = AttemptCounter.objects.filter(subject=throttle._subject_digest(email))
    assert set(counters.values_list("attempts", flat=True)) == {1}


def test_many_networks_are_slowed_as_one_and_a_familiar_one_is_not_slowed_with_them() -> None:
    user, now = new_user(), clock.now()
    log_in(user.email, RIGHT, OFFICE)
    admitted = sum(
        attempts_until_refused(Attempt(PASSWORD, user.id, f"203.0.113.{n}"), now, most=PASSWORD.free) for n in range(20)
    )
    assert admitted == PASSWORD.free_anywhere
    assert outcome(user.email, RIGHT, "203.0.113.99") == "TooManyAttempts"
    assert outcome(user.email, RIGHT, OFFICE) == "in"
    assert attempts_until_refused(Attempt(PASSWORD, user.id, OFFICE), now) == PASSWORD.free


def test_a_network_is_familiar_for_its_time_only() -> None:
    user = new_user()
    log_in(user.email, RIGHT, OFFICE)
    now = clock.now()
    stranger = Attempt(PASSWORD, user.id, "203.0.113.1")
    for n in range(10):
        attempts_until_refused(Attempt(PASSWORD, user.id, f"203.0.113.{n}"), now, most=PASSWORD.free)
    with pytest.raises(AttemptRefused):
        throttle.reserve(stranger, now)
    throttle.reserve(Attempt(PASSWORD, user.id, OFFICE), now)
    Session.objects.filter(user=user).update(created_at=now - LATELY)
    with pytest.raises(AttemptRefused):
        throttle.reserve(Attempt(PASSWORD, user.id, OFFICE), now)


def test_who_has_only_the_password_makes_no_network_familiar_to_the_second_factors_door() -> None:
    user, now = new_user(), clock.now()
    for n in range(4):
        who = user_principal(user, None)
        sessions.issue(who, who.method, now, now, client_ip=f"203.0.113.{n}")
    admitted = sum(
        attempts_until_refused(Attempt(SECOND_FACTOR, user.id, f"203.0.113.{n}"), now, most=SECOND_FACTOR.free)
        for n in range(4)
    )
    assert admitted == SECOND_FACTOR.free_anywhere
    Session.objects.filter(user=user, client_ip="203.0.113.3").update(second_factor="totp")
    throttle.reserve(Attempt(SECOND_FACTOR, user.id, "203.0.113.3"), now + 40 * SECOND)


def test_another_providers_word_makes_no_network_familiar_to_the_password(tenant: Tenant) -> None:
    from accounts.models import IdentityProvider

    user, now = new_user(), clock.now()
    provider = IdentityProvider.objects.create(account=tenant.account, kind="ldap", name=unique("idp"), config={})
    Session.objects.create(
        user=user,
        token_digest=uuid4().bytes,
        method="ldap",
        provider=provider,
        client_ip=OFFICE,
        authenticated_at=now,
        expires_at=now,
    )
    assert not throttle._is_familiar(Attempt(PASSWORD, user.id, OFFICE), network_of(OFFICE), now)
    assert throttle._is_familiar(Attempt(PASSWORD, user.id, OFFICE, provider.id), network_of(OFFICE), now)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.7", "192.0.2.8", False),
        ("192.0.2.7", "::ffff:192.0.2.7", True),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.7", "::ffff:192.0.2.8", False),
    ],
)
def test_a_network_is_one_line_of_a_provider(one: str, other: str, same: bool) -> None:
    assert (network_of(one) == network_of(other)) is same


# -- the door of the password --------------------------------------------------------------------------------------


def spellings(email: str) -> list[str]:
    name, _, domain = email.partition("@")
    wide = "".join(chr(ord(c) + 0xFEE0) if c.isalnum() else c for c in name)
    return [
        email,
        email.upper(),
        email.title(),
        f" {email}",
        f"{email} ",
        f"\t{email}\n",
        f"{name.upper()}@{domain}",
        f"{wide}@{domain}",
        normalize("NFKD", email),
        f"\u3000{email}",
    ]


def test_ten_spellings_of_one_address_share_one_counter() -> None:
    user = new_user()
    for spelling in spellings(user.email)[: PASSWORD.free]:
        guessed(spelling, 1)
    assert {outcome(spelling, "wrong") for spelling in spellings(user.email)} == {"TooManyAttempts"}
    assert AttemptCounter.objects.filter(subject=throttle._subject_digest(user.id)).count() == 2


def test_the_right_password_ends_the_count_and_is_refused_while_it_is_blocked() -> None:
    user = new_user()
    guessed(user.email, 4)
    assert outcome(user.email, RIGHT) == "in"
    guessed(user.email, 5)
    assert outcome(user.email, RIGHT) == "TooManyAttempts"


def test_logging_in_gives_a_guesser_elsewhere_no_new_attempts() -> None:
    user, now = new_user(), clock.now()
    log_in(user.email, RIGHT, OFFICE)
    for n in range(10):
        attempts_until_refused(Attempt(PASSWORD, user.id, f"203.0.113.{n}"), now, most=PASSWORD.free)
    log_in(user.email, RIGHT, OFFICE)
    assert outcome(user.email, "wrong", "203.0.113.200") == "TooManyAttempts"


def test_no_outsider_locks_an_accounts_last_administrator_out(tenant: Tenant) -> None:
    administrator = tenant.users["administrator"]
    assert Membership.objects.filter(account=tenant.account, role="administrator").count() == 1
    log_in(administrator.email, RIGHT, OFFICE)
    for n in range(PASSWORD.free_anywhere):
        guessed(administrator.email, 1, f"203.0.113.{n}")
    assert outcome(administrator.email, "wrong", "203.0.113.200") == "TooManyAttempts"
    assert outcome(administrator.email, RIGHT, OFFICE) == "in"


def test_an_apps_key_is_not_slowed_down_so_that_no_stranger_keeps_it_out(tenant: Tenant) -> None:
    app, key = tenant.api_key()
    assert {outcome(app, "x" * 86) for _ in range(20)} == {"NotAuthenticated"}
    assert outcome(app, key) == "in"


def test_a_refused_attempt_is_in_the_record() -> None:
    email = f"{unique('nobody')}@example.org"
    guessed(email, PASSWORD.free)
    assert outcome(email, "wrong") == "TooManyAttempts"
    entry = AuditRecord.objects.filter(details__email=email).order_by("-sequence")[0]
    assert (entry.action, entry.outcome, entry.reason) == ("session.create", "denied", "slowed-down")


# -- housekeeping --------------------------------------------------------------------------------------------------


def test_made_up_names_leave_a_table_that_is_emptied() -> None:
    now = clock.now()
    for n in range(100):
        throttle.reserve(Attempt(PASSWORD, f"{unique('nobody')}{n}@example.org", STRANGER), now)
    blocked = Attempt(PASSWORD, uuid4(), STRANGER)
    attempts_until_refused(blocked, now)
    throttle.tidy(now + FORGET + SECOND)
    assert not AttemptCounter.objects.filter(last_at__lte=now, blocked_until=None).exists()
    assert AttemptCounter.objects.filter(subject=throttle._subject_digest(blocked.subject)).exists()
    throttle.tidy(now + FORGET_SLOWED + SECOND)
    assert not AttemptCounter.objects.filter(last_at__lte=now).exists()


def test_the_operator_of_the_host_lets_a_person_try_again() -> None:
    user, said = new_user(), StringIO()
    guessed(user.email, PASSWORD.free)
    assert outcome(user.email, RIGHT) == "TooManyAttempts"
    call_command("unblock", user.email.upper(), stdout=said)
    assert said.getvalue() == "Counters of attempts forgotten: 2\n"
    assert outcome(user.email, RIGHT) == "in"
    with pytest.raises(CommandError, match="No user"):
        call_command("unblock", "nobody-at-all@example.org")
