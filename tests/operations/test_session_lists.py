"""Sessions are listed and ended: one's own, and a member's in this account; idle ones and others' stay out of sight."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from accounts import sessions
from accounts.activity import activities
from accounts.clock import clock
from accounts.credentials import authenticate
from accounts.errors import NotAuthenticated
from accounts.models import Membership, Session
from accounts.principal import Principal
from kms.audit.entry import CallContext
from kms.operations.errors import AccessDenied, CredentialStale, NotFound
from kms.operations.executor import execute
from kms.operations.groups import ListGroups
from kms.operations.queries import Page
from kms.operations.session_lists import EndSession, EndSessions, ListSessions, SessionView
from tests.kit.tenants import Tenant, new_tenant

FROM = CallContext(client_ip="192.0.2.7")


def opened(who: Principal) -> tuple[Principal, str]:
    now = clock.now()
    _, token = sessions.issue(who, who.method, now, now, client_ip="192.0.2.7")
    return authenticate(f"Bearer {token}", now), token


def sid(who: Principal) -> UUID:
    assert who.session is not None
    return who.session


def listed(who: Principal, user: Principal | None = None) -> Sequence[SessionView]:
    found: Sequence[SessionView] = execute(who, ListSessions(None if user is None else user.id), context=FROM)
    return found


def ids(views: Sequence[SessionView]) -> set[UUID]:
    return {view.row.id for view in views}


def test_the_list_says_which_one_asks_and_shows_no_token(tenant: Tenant) -> None:
    (first, _), (second, _) = opened(tenant.alice), opened(tenant.alice)
    views = listed(first)
    assert {view.row.id: view.current for view in views} == {sid(first): True, sid(second): False}
    seen = {view.row.id: view.seen_at for view in views}
    assert seen[sid(first)] > seen[sid(second)]


def test_what_is_over_is_not_listed(tenant: Tenant) -> None:
    asking, _ = opened(tenant.alice)
    ended, expired, idle = (opened(tenant.alice)[0] for _ in range(3))
    now = clock.now()
    Session.objects.filter(id=sid(ended)).update(terminated_at=now)
    Session.objects.filter(id=sid(expired)).update(expires_at=now)
    Session.objects.filter(id=sid(idle)).update(created_at=now - sessions.idle_time())
    assert ids(listed(asking)) == {sid(asking)}


def test_ending_one_ends_it_for_whoever_holds_its_token(tenant: Tenant) -> None:
    (asking, _), (other, token) = opened(tenant.alice), opened(tenant.alice)
    execute(asking, EndSession(sid(other)))
    with pytest.raises(CredentialStale):
        execute(other, ListGroups(Page()))
    with pytest.raises(NotAuthenticated, match="ended"):
        authenticate(f"Bearer {token}", clock.now())
    assert execute(asking, ListGroups(Page()))


def test_ending_the_others_leaves_the_one_that_asks(tenant: Tenant) -> None:
    asking, _ = opened(tenant.alice)
    for _ in range(3):
        opened(tenant.alice)
    assert execute(asking, EndSessions()) == 3
    assert ids(listed(asking)) == {sid(asking)}


@pytest.mark.parametrize("whose", ["another member's", "another tenant's", "nobody's", "an app's", "ended"])
def test_only_ones_own_living_sessions_are_ended(tenant: Tenant, whose: str) -> None:
    asking, _ = opened(tenant.alice)
    wanted = {
        "another member's": lambda: sid(opened(tenant.member("member"))[0]),
        "another tenant's": lambda: sid(opened(new_tenant().alice)[0]),
        "nobody's": uuid4,
        "an app's": lambda: sid(opened(tenant.app)[0]),
        "ended": lambda: ended(tenant),
    }[whose]()
    with pytest.raises(NotFound, match="does not exist or has ended"):
        execute(asking, EndSession(wanted))


def ended(tenant: Tenant) -> UUID:
    found, _ = opened(tenant.alice)
    Session.objects.filter(id=sid(found)).update(terminated_at=clock.now())
    return sid(found)


def test_an_administrator_sees_and_ends_a_members_sessions_in_this_account_only(tenant: Tenant) -> None:
    other = new_tenant()
    carol = tenant.member("member")
    Membership.objects.create(user_id=carol.id, account=other.account, role="member")
    here, _ = opened(carol)
    there, _ = opened(Principal(carol.kind, carol.id, other.account.id, carol.method))
    nowhere, _ = opened(Principal(carol.kind, carol.id, None, carol.method))
    assert ids(listed(tenant.alice, carol)) == {sid(here)}
    for hidden in (there, nowhere):
        with pytest.raises(NotFound):
            execute(tenant.alice, EndSession(sid(hidden), carol.id))
    assert execute(tenant.alice, EndSessions(carol.id)) == 1
    assert Session.objects.filter(id__in=[sid(there), sid(nowhere)], terminated_at=None).count() == 2
    assert not Session.objects.filter(id=sid(here), terminated_at=None).exists()


@pytest.mark.parametrize("role", ["member", "auditor"])
def test_only_administrators_look_at_others_sessions(tenant: Tenant, role: str) -> None:
    carol = tenant.member("member")
    who = tenant.member(role) if role != "member" else tenant.member("member")
    for command in (ListSessions(carol.id), EndSessions(carol.id), EndSession(uuid4(), carol.id)):
        with pytest.raises(AccessDenied):
            execute(who, command)


def test_a_stranger_to_the_account_is_not_found(tenant: Tenant) -> None:
    with pytest.raises(NotFound, match="user does not exist"):
        execute(tenant.alice, ListSessions(new_tenant().alice.id))


def test_an_app_lists_its_own(tenant: Tenant) -> None:
    asking, token = opened(tenant.app)
    Session.objects.filter(id=sid(asking)).update(created_at=clock.now() - timedelta(hours=5))
    activities.clear()
    asking = authenticate(f"Bearer {token}", clock.now())
    assert ids(listed(asking)) == {sid(asking)}
