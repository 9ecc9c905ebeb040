"""A session lies idle, is stretched, or is used over another connection: what counts is judged at each use."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts import activity, sessions
from accounts.activity import Activities, activities, interval, last_seen
from accounts.certificates import PresentedCertificate
from accounts.clock import clock
from accounts.credentials import authenticate
from accounts.errors import NotAuthenticated
from accounts.models import Activity, FactVersion, Session
from accounts.principal import Principal
from kms.audit.entry import CallContext
from kms.audit.models import AuditRecord
from kms.operations import presence
from kms.operations.apps import GetApp, ListApps
from kms.operations.caches import NotCached, caches
from kms.operations.cryptographic import VerifyMac
from kms.operations.executor import execute, execute_async
from kms.operations.groups import ListGroups
from kms.operations.queries import Page
from kms.operations.sessions import LoggedIn, Reauthenticate, RefreshSession
from kms.operations.users import GetUser, ListUsers
from tests.kit.tenants import Tenant

SECOND = timedelta(seconds=1)
OFFICE = CallContext(client_ip="192.0.2.7")


@pytest.fixture(autouse=True)
def other_processes() -> Iterator[None]:
    """Each test begins as a process that has seen nobody."""
    activities.clear()
    yield
    activities.clear()


def opened(who: Principal, **carried: Any) -> tuple[Principal, str]:
    now = clock.now()
    _, token = sessions.issue(who, who.method, now, now, client_ip="192.0.2.7", **carried)
    return principal(token), token


def principal(token: str) -> Principal:
    return authenticate(f"Bearer {token}", clock.now())


def sid(who: Principal) -> UUID:
    assert who.session is not None
    return who.session


def row_of(who: Principal) -> Session:
    return Session.objects.get(id=sid(who))


def used_last(token: str, *, ago: timedelta) -> Principal:
    """As if it had been used then, on another process."""
    who = principal(token)
    now = clock.now()
    Session.objects.filter(id=sid(who)).update(created_at=now - timedelta(hours=20))
    Activity.objects.update_or_create(subject=sid(who), defaults={"seen_at": now - ago})
    return principal(token)


def forbidden(who: Principal, **times: Any) -> list[str]:
    now = times.get("now", clock.now())
    return [forbid.code for forbid in presence.forbids(who, OFFICE, now, load=True)]


# -- idle ----------------------------------------------------------------------------------------------------------


def test_a_users_session_ends_at_the_moment_it_has_lain_idle_long_enough(tenant: Tenant) -> None:
    who, _ = opened(tenant.alice)
    began = row_of(who).created_at
    end = began + sessions.idle_time()
    assert forbidden(who, now=end) == ["session-idle"]
    assert forbidden(who, now=end - timedelta(microseconds=1)) == []
    assert forbidden(who, now=end) == [], "the use just before has kept it"
    assert forbidden(who, now=end + sessions.idle_time()) == ["session-idle"]


def test_an_idle_session_is_told_to_log_in_again_and_it_is_recorded_once(tenant: Tenant) -> None:
    _, token = opened(tenant.alice)
    who = used_last(token, ago=sessions.idle_time())
    with pytest.raises(NotAuthenticated, match="not used for too long") as caught:
        execute(who, ListGroups(Page()), context=OFFICE)
    assert caught.value.reason == "session-idle"
    entries = AuditRecord.objects.filter(session_id=sid(who)).values_list("outcome", "reason")
    assert list(entries) == [("denied", "session-idle")]


def test_idle_is_judged_on_the_data_plane_too(tenant: Tenant) -> None:
    _, token = opened(tenant.alice)
    who = used_last(token, ago=sessions.idle_time())
    verify = VerifyMac(tenant.key(), None, b"data", b"x" * 16)
    caches.known(who, load=True)
    with pytest.raises(NotCached):
        presence.forbids(who, OFFICE, clock.now(), load=False)
    with pytest.raises(NotAuthenticated, match="not used for too long"):
        asyncio.run(execute_async(who, verify, context=OFFICE))


def test_what_another_process_served_a_moment_ago_is_in_use_here(tenant: Tenant) -> None:
    _, token = opened(tenant.alice)
    who = used_last(token, ago=sessions.idle_time() - SECOND)
    long_ago = clock.now() - sessions.idle_time() * 2
    activities.note(sid(who), long_ago, None)
    assert forbidden(who) == []


def test_a_refused_session_does_not_come_back_to_life_by_being_tried(tenant: Tenant) -> None:
    _, token = opened(tenant.alice)
    who = used_last(token, ago=sessions.idle_time())
    for _ in range(3):
        with pytest.raises(NotAuthenticated):
            execute(who, RefreshSession(), context=OFFICE)
    activities.flush(everything=True)
    assert forbidden(who) == ["session-idle"]


def test_an_apps_session_may_lie_idle(tenant: Tenant) -> None:
    _, token = opened(tenant.app)
    who = used_last(token, ago=sessions.idle_time() * 5)
    execute(who, ListGroups(Page()), context=OFFICE)


# -- what is written down ------------------------------------------------------------------------------------------


def test_a_subject_is_written_once_a_minute_however_often_it_is_seen(tenant: Tenant) -> None:
    notes, subject, began = Activities(), tenant.alice.id, clock.now()
    written = 0
    for step in range(600):
        notes.note(subject, began + step * SECOND / 100, "192.0.2.7")
        written += notes.flush()
    assert written == 1
    assert Activity.objects.get(subject=subject).client_ip == "192.0.2.7"


def test_writing_a_use_down_moves_no_version(tenant: Tenant) -> None:
    who, _ = opened(tenant.alice)
    versions = FactVersion.objects.filter(subject__in=[who.id, sid(who), tenant.account.id])
    before = dict(versions.values_list("subject", "version"))
    execute(who, ListGroups(Page()), context=OFFICE)
    activities.flush(everything=True)
    assert Activity.objects.filter(subject__in=[who.id, sid(who)]).count() == 2
    assert dict(versions.values_list("subject", "version")) == before


def test_the_latest_use_stays_whichever_process_writes_last(tenant: Tenant) -> None:
    late, early, now = Activities(), Activities(), clock.now()
    late.note(tenant.alice.id, now, None)
    early.note(tenant.alice.id, now - 30 * SECOND, None)
    late.flush(everything=True)
    early.flush(everything=True)
    assert last_seen([tenant.alice.id]) == {tenant.alice.id: now}


def test_notes_are_bounded_in_number(monkeypatch: pytest.MonkeyPatch, tenant: Tenant) -> None:
    monkeypatch.setattr(activity, "MAX_REMEMBERED", 100)
    notes = Activities()
    for _ in range(300):
        notes.note(uuid4(), clock.now(), None)
    assert len(notes._notes) == 100


def test_what_is_written_in_a_minute_is_enough_to_judge_idle_by() -> None:
    assert interval() * 5 / 4 < sessions.idle_time()


def test_an_app_says_when_it_was_last_used_and_a_list_asks_once_for_all(tenant: Tenant) -> None:
    (before,) = execute(tenant.alice, ListApps(Page()))
    assert before.seen_at is None
    execute(tenant.app, ListGroups(Page()), context=OFFICE)
    (after,) = execute(tenant.alice, ListApps(Page()))
    assert clock.now() - after.seen_at < timedelta(minutes=1)
    assert execute(tenant.alice, GetApp(tenant.app.id)).seen_at == after.seen_at
    with CaptureQueriesContext(connection) as few:
        execute(tenant.alice, ListApps(Page()))
    for _ in range(5):
        tenant.new_app()
    with CaptureQueriesContext(connection) as many:
        execute(tenant.alice, ListApps(Page()))
    assert len(many) == len(few)


def test_a_member_is_shown_with_their_last_login_to_this_account(tenant: Tenant) -> None:
    carol = tenant.member("member")
    assert execute(tenant.alice, GetUser(carol.id)).logged_in_at is None
    opened(Principal(carol.kind, carol.id, None, carol.method))
    assert execute(tenant.alice, GetUser(carol.id)).logged_in_at is None
    first, _ = opened(carol)
    assert execute(tenant.alice, GetUser(carol.id)).logged_in_at == row_of(first).authenticated_at
    second, _ = opened(carol)
    listed = {view.user.id: view.logged_in_at for view in execute(tenant.alice, ListUsers(Page()))}
    assert listed == {tenant.alice.id: None, carol.id: row_of(second).authenticated_at}


# -- the end of the proof ------------------------------------------------------------------------------------------


def test_a_refresh_does_not_stretch_a_users_session(tenant: Tenant) -> None:
    _, token = opened(tenant.alice)
    end = row_of(principal(token)).expires_at
    execute(principal(token), RefreshSession(), context=OFFICE)
    assert row_of(principal(token)).expires_at == end


def test_a_refresh_begins_an_apps_session_anew_unless_its_proof_ends(tenant: Tenant) -> None:
    _, free = opened(tenant.app)
    _, bound = opened(replace(tenant.app, expires_at=clock.now() + timedelta(minutes=5)))
    for token in (free, bound):
        Session.objects.filter(id=sid(principal(token))).update(expires_at=clock.now() + timedelta(minutes=5))
        execute(principal(token), RefreshSession(), context=OFFICE)
    now = clock.now()
    assert row_of(principal(free)).expires_at > now + sessions.lifetime() - timedelta(minutes=1)
    assert row_of(principal(bound)).expires_at <= now + timedelta(minutes=5)


@pytest.mark.parametrize("kind", ["user", "app", "bound app"])
def test_no_chain_of_new_tokens_outlives_the_proof(tenant: Tenant, kind: str) -> None:
    ends_at = clock.now() + timedelta(minutes=5)
    who = {"user": tenant.alice, "app": tenant.app, "bound app": replace(tenant.app, expires_at=ends_at)}[kind]
    first, token = opened(who)
    end = row_of(first).proof_ends_at
    for _ in range(3):
        traded: LoggedIn = execute(principal(token), Reauthenticate(), context=OFFICE)
        token = traded.token
        execute(principal(token), RefreshSession(), context=OFFICE)
    assert row_of(principal(token)).proof_ends_at == end
    assert (end is None) is (kind == "app")


# -- bound sessions ------------------------------------------------------------------------------------------------

MINE, OTHERS = PresentedCertificate(b"mine"), PresentedCertificate(b"another's")


@pytest.mark.parametrize(("shown", "served"), [(MINE, True), (OTHERS, False), (None, False)])
def test_a_bound_session_is_served_over_its_certificate_only(
    tenant: Tenant, shown: PresentedCertificate | None, served: bool
) -> None:
    who, _ = opened(replace(tenant.app, certificate=MINE.thumbprint))
    assert who.certificate == MINE.thumbprint
    context = CallContext(client_ip="192.0.2.7", certificate=shown)
    if served:
        execute(who, ListGroups(Page()), context=context)
        return
    with pytest.raises(NotAuthenticated, match="bound to a client certificate"):
        execute(who, ListGroups(Page()), context=context)
    assert activities.seen(sid(who)) is None


# -- tidying -------------------------------------------------------------------------------------------------------


def test_sessions_that_are_over_leave_nothing_behind_and_the_others_stay(tenant: Tenant) -> None:
    now = clock.now()
    whose = (tenant.app, tenant.app, tenant.alice, tenant.alice, tenant.member("member"))
    old_app, app, old_user, user, old_latest = (opened(who)[0] for who in whose)
    Session.objects.filter(id=sid(old_app)).update(expires_at=now - sessions.KEEP_APPS - SECOND)
    for old in (old_user, old_latest):
        Session.objects.filter(id=sid(old)).update(expires_at=now - sessions.KEEP_USERS - SECOND)
    Session.objects.filter(id=sid(user)).update(expires_at=now - sessions.KEEP_APPS - SECOND)
    Activity.objects.create(subject=sid(old_app), seen_at=now)
    sessions.tidy(now)
    left = set(
        Session.objects.filter(id__in=[sid(w) for w in (old_app, app, old_user, user, old_latest)]).values_list("id")
    )
    assert left == {(sid(app),), (sid(user),), (sid(old_latest),)}
    gone = [sid(old_app), sid(old_user)]
    assert not FactVersion.objects.filter(subject__in=gone).exists()
    assert not Activity.objects.filter(subject__in=gone).exists()


def test_when_the_gone_were_last_seen_is_forgotten_and_the_living_are_remembered(tenant: Tenant) -> None:
    gone, old = uuid4(), clock.now() - sessions.KEEP_USERS - SECOND
    for subject in (gone, tenant.alice.id):
        Activity.objects.update_or_create(subject=subject, defaults={"seen_at": old})
    sessions.tidy_activity(clock.now())
    assert not Activity.objects.filter(subject=gone).exists()
    assert Activity.objects.filter(subject=tenant.alice.id).exists()
