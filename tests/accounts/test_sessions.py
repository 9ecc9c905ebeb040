"""Sessions live as long as the database's clock says, and end at once when they are ended."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from accounts.clock import DatabaseClock, clock
from accounts.credentials import BasicCredential, authenticate, principal_of_token
from accounts.errors import NotAuthenticated
from accounts.models import Membership, Session
from accounts.principal import ANONYMOUS, Principal, PrincipalKind
from accounts.sessions import lifetime
from kms.operations.accounts import ListAccounts
from kms.operations.errors import AccessDenied, CredentialStale, InvalidRequest, NotFound
from kms.operations.executor import execute
from kms.operations.groups import ListGroups
from kms.operations.queries import Page
from kms.operations.sessions import (
    LoggedIn,
    LogIn,
    Reauthenticate,
    RefreshSession,
    SelectAccount,
    TerminateSession,
)
from tests.kit.tenants import PASSWORD, Tenant, new_tenant

SECOND = timedelta(seconds=1)


def log_in(tenant: Tenant, *, app: bool = False) -> str:
    email = tenant.users["administrator"].email
    credential = BasicCredential(*tenant.api_key()) if app else BasicCredential(email, PASSWORD)
    logged_in: LoggedIn = execute(ANONYMOUS, LogIn(credential))
    return logged_in.token


def principal(token: str) -> Principal:
    return authenticate(f"Bearer {token}", clock.now())


def row_of(who: Principal) -> Session:
    assert who.session is not None
    return Session.objects.get(id=who.session)


def in_account(tenant: Tenant) -> str:
    token = log_in(tenant)
    execute(principal(token), SelectAccount(tenant.account.id))
    return token


def listed(token: str) -> int:
    return len(execute(principal(token), ListGroups(Page())))


def test_a_token_is_kept_as_a_digest_only(tenant: Tenant) -> None:
    token = log_in(tenant)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM accounts_session s WHERE s::text LIKE %s", [f"%{token}%"])
        assert cursor.fetchone() == (0,)
    assert row_of(principal(token)).user_id == tenant.alice.id


def test_an_apps_session_is_in_its_account_and_a_users_in_none_until_one_is_selected(tenant: Tenant) -> None:
    of_app = principal(log_in(tenant, app=True))
    assert (of_app.kind, of_app.id, of_app.account) == (PrincipalKind.APP, tenant.app.id, tenant.account.id)
    token = log_in(tenant)
    assert principal(token).account is None
    with pytest.raises(AccessDenied, match="No account is selected"):
        listed(token)
    execute(principal(token), SelectAccount(tenant.account.id))
    assert principal(token).account == tenant.account.id
    assert listed(token) == 1


def test_a_session_ends_at_its_hour_by_the_databases_clock(tenant: Tenant) -> None:
    token = log_in(tenant)
    session = row_of(principal(token))
    assert abs(session.expires_at - clock.now() - lifetime()) < timedelta(minutes=5)
    assert principal_of_token(token, session.expires_at - SECOND).session == session.id
    for moment in (session.expires_at, session.expires_at + SECOND):
        with pytest.raises(NotAuthenticated, match="expired") as caught:
            principal_of_token(token, moment)
        assert caught.value.reason == "session-expired"


def test_a_principal_remembered_past_its_sessions_end_is_refused(tenant: Tenant) -> None:
    """The edge remembers principals; the corridor looks at their hour all the same."""
    token = in_account(tenant)
    remembered = replace(principal(token), expires_at=clock.now())
    with pytest.raises(NotAuthenticated, match="expired"):
        execute(remembered, ListGroups(Page()))


def test_a_session_shortened_in_the_database_ends_earlier(tenant: Tenant) -> None:
    token = in_account(tenant)
    remembered = principal(token)
    Session.objects.filter(id=row_of(remembered).id).update(expires_at=clock.now() - SECOND)
    with pytest.raises(CredentialStale):
        execute(remembered, ListGroups(Page()))
    with pytest.raises(NotAuthenticated, match="expired"):
        principal(token)


def test_the_clock_is_the_databases_whatever_the_machines_says() -> None:
    """Observed from a statement an hour ahead, it goes on from there."""
    ahead = DatabaseClock()
    ahead.observe(datetime.now(UTC) + timedelta(hours=1))
    assert ahead.fresh()
    assert timedelta(minutes=59) < ahead.now() - datetime.now(UTC) < timedelta(minutes=61)
    fresh = DatabaseClock()
    assert not fresh.fresh()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        row = cursor.fetchone()
    assert row is not None
    assert fresh.now() >= row[0]


def test_an_ended_session_is_refused_everywhere_at_once(tenant: Tenant) -> None:
    token = in_account(tenant)
    remembered = principal(token)
    execute(remembered, TerminateSession())
    with pytest.raises(NotAuthenticated, match="has ended"):
        principal(token)
    with pytest.raises(CredentialStale):
        execute(remembered, ListGroups(Page()))
    with pytest.raises(NotAuthenticated, match="has ended"):
        execute(replace(remembered, proof_version=None), ListGroups(Page()))


def test_ending_one_session_leaves_the_others(tenant: Tenant) -> None:
    first, second = in_account(tenant), in_account(tenant)
    execute(principal(first), TerminateSession())
    assert listed(second) == 1


def test_a_refreshed_session_lasts_longer_and_proves_nothing_anew(tenant: Tenant) -> None:
    token = log_in(tenant)
    before = row_of(principal(token))
    Session.objects.filter(id=before.id).update(expires_at=clock.now() + timedelta(minutes=1))
    execute(principal(token), RefreshSession())
    after = Session.objects.get(id=before.id)
    assert after.expires_at >= before.expires_at
    assert after.authenticated_at == before.authenticated_at


def test_an_expired_session_is_not_refreshed(tenant: Tenant) -> None:
    remembered = replace(principal(log_in(tenant)), expires_at=clock.now())
    with pytest.raises(NotAuthenticated, match="expired"):
        execute(remembered, RefreshSession())


def test_reauthentication_trades_the_token_and_keeps_the_time_of_login(tenant: Tenant) -> None:
    token = in_account(tenant)
    before = principal(token)
    traded: LoggedIn = execute(before, Reauthenticate())
    with pytest.raises(NotAuthenticated, match="has ended"):
        principal(token)
    after = principal(traded.token)
    assert after.session != before.session
    assert (after.id, after.account, after.method) == (before.id, before.account, before.method)
    assert after.authenticated_at == before.authenticated_at


@pytest.mark.parametrize("command", [RefreshSession(), Reauthenticate(), TerminateSession()])
def test_an_api_key_has_no_session_to_work_on(tenant: Tenant, command: object) -> None:
    with pytest.raises(InvalidRequest, match="needs a session"):
        execute(tenant.app, command)  # type: ignore[arg-type]  # each is a command


@pytest.mark.parametrize("command", [RefreshSession(), Reauthenticate(), TerminateSession()])
def test_nobody_has_no_session_to_work_on(command: object) -> None:
    with pytest.raises(NotAuthenticated):
        execute(ANONYMOUS, command)  # type: ignore[arg-type]  # each is a command


def test_only_an_account_one_belongs_to_can_be_selected(tenant: Tenant) -> None:
    token, other = log_in(tenant), new_tenant()
    with pytest.raises(NotFound, match="does not exist"):
        execute(principal(token), SelectAccount(other.account.id))
    with pytest.raises(InvalidRequest, match="selects none"):
        execute(principal(log_in(tenant, app=True)), SelectAccount(tenant.account.id))


@pytest.mark.parametrize(
    ("change", "error"),
    [({"enabled": False}, AccessDenied), ({"invitation_pending": True}, NotFound)],
    ids=["disabled", "only invited"],
)
def test_a_membership_that_does_not_hold_selects_nothing(
    tenant: Tenant, change: dict[str, bool], error: type[Exception]
) -> None:
    token = log_in(tenant)
    Membership.objects.filter(user_id=tenant.alice.id).update(**change)
    with pytest.raises(error):
        execute(principal(token), SelectAccount(tenant.account.id))


def test_a_member_removed_from_the_account_keeps_the_session_and_loses_the_account(tenant: Tenant) -> None:
    token = in_account(tenant)
    Membership.objects.filter(user_id=tenant.alice.id).delete()
    with pytest.raises(AccessDenied, match="not a member"):
        listed(token)
    assert execute(replace(principal(token), account=None), ListAccounts()) == []
