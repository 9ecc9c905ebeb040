"""The record of the control plane: in the call's own transaction, or beside the one that was rolled back."""

from __future__ import annotations

import base64

import pytest
from django.db import connection

from accounts.clock import clock
from accounts.credentials import BasicCredential, principal_of_token
from accounts.errors import NotAuthenticated
from accounts.models import Account, AppGroup, Group
from accounts.principal import ANONYMOUS
from kms.audit.entry import CallContext
from kms.audit.errors import RecordUnavailable
from kms.audit.models import AuditRecord
from kms.objects.models import SecurityObject
from kms.operations.apps import DeleteApp, UpdateApp
from kms.operations.errors import AccessDenied, Conflict, NotFound
from kms.operations.executor import execute, record_rejection
from kms.operations.groups import CreateGroup, DeleteGroup, UpdateGroup
from kms.operations.lifecycle import DeleteObject
from kms.operations.sessions import LogIn, SelectAccount
from kms.operations.updating import UpdateObject
from tests.audit.helpers import another_connection
from tests.kit.tenants import PASSWORD, Tenant, new_user, unique

CANARY = "canary-9d1e4c77"


def entries(tenant: Tenant, action: str) -> list[tuple[str, str]]:
    rows = AuditRecord.objects.filter(account_id=tenant.account.id, action=action).order_by("sequence")
    return [(row.outcome, row.reason) for row in rows]


def in_the_record(text: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM audit_entry e WHERE e::text LIKE %s", [f"%{text}%"])
        row = cursor.fetchone()
    assert row is not None
    return int(row[0])


def test_a_call_that_fails_is_rolled_back_and_recorded_once(tenant: Tenant) -> None:
    """The app had left its group when the conflict was found."""
    with pytest.raises(Conflict, match="at least one group"):
        execute(tenant.alice, UpdateApp(tenant.app.id, description="x", remove_groups=frozenset({tenant.group.id})))
    assert entries(tenant, "app.update") == [("failed", "app-without-group")]
    assert AppGroup.objects.filter(app_id=tenant.app.id).count() == 1


def test_a_taken_name_is_recorded_as_such(tenant: Tenant) -> None:
    other = tenant.new_group()
    with pytest.raises(Conflict):
        execute(tenant.alice, UpdateGroup(other.id, name=tenant.group.name))
    assert entries(tenant, "group.update") == [("failed", "name-taken")]


def test_a_denied_call_is_recorded_once_with_its_reason(tenant: Tenant) -> None:
    carol = tenant.member("member")
    with pytest.raises(NotFound):
        execute(carol, UpdateGroup(tenant.group.id, name="x"))
    auditor = tenant.member("auditor")
    with pytest.raises(AccessDenied):
        execute(auditor, UpdateGroup(tenant.group.id, name="x"))
    assert entries(tenant, "group.update") == [("denied", "not-visible"), ("denied", "not-granted")]


def test_a_defect_is_recorded_as_failed_without_its_text(tenant: Tenant) -> None:
    """A row that no handler can read: the caller gets an exception, the record a code."""
    key = tenant.key()
    SecurityObject.objects.filter(account=tenant.account).update(state=CANARY[:16])
    with pytest.raises(ValueError, match=CANARY[:16]):
        execute(tenant.alice, UpdateObject(key, description="x"))
    assert entries(tenant, "object.update") == [("failed", "internal-error")]
    assert in_the_record(CANARY[:16]) == 0


@pytest.mark.parametrize("ending", ["done", "failed", "denied", "absent"])
def test_what_cannot_be_undone_is_announced_first(tenant: Tenant, ending: str) -> None:
    group = tenant.new_group()
    if ending == "failed":
        tenant.key(group=group)
    if ending == "absent":
        Group.objects.filter(id=group.id).delete()
    principal = tenant.member("auditor") if ending == "denied" else tenant.alice
    errors: dict[str, type[Exception]] = {"failed": Conflict, "denied": AccessDenied, "absent": NotFound}
    if ending == "done":
        execute(principal, DeleteGroup(group.id))
    else:
        with pytest.raises(errors[ending]):
            execute(principal, DeleteGroup(group.id))
    first, last = entries(tenant, "group.delete")
    assert first == ("announced", "irreversible")
    assert last[0] == {"absent": "denied"}.get(ending, ending)


def test_an_announcement_says_what_is_to_be_deleted(tenant: Tenant) -> None:
    key = tenant.key()
    execute(tenant.alice, DeleteObject(key))
    announced = AuditRecord.objects.get(account_id=tenant.account.id, action="object.delete", outcome="announced")
    assert announced.details == {"subject": str(key.id)}
    assert announced.actor_id == tenant.alice.id


def test_what_cannot_be_announced_is_not_done(tenant: Tenant) -> None:
    key = tenant.key()
    _lose_the_connection()
    with pytest.raises(RecordUnavailable):
        execute(tenant.alice, DeleteObject(key))
    connection.close()
    assert SecurityObject.objects.filter(account=tenant.account).exists()


def test_a_database_lost_in_the_middle_means_no_answer_and_nothing_done(tenant: Tenant) -> None:
    _lose_the_connection()
    name = unique("g")
    with pytest.raises(RecordUnavailable):
        execute(tenant.alice, CreateGroup(name))
    connection.close()
    assert not Group.objects.filter(name=name).exists()
    execute(tenant.alice, CreateGroup(name))


def _lose_the_connection() -> None:
    """End the backend that Django's connection of this thread talks to."""
    connection.ensure_connection()
    with another_connection() as killer:
        killer.execute("SELECT pg_terminate_backend(%s, 5000)", [connection.connection.info.backend_pid])


def test_the_record_outlives_what_it_tells_of(tenant: Tenant) -> None:
    execute(tenant.alice, DeleteApp(tenant.app.id))
    execute(tenant.alice, DeleteGroup(tenant.group.id))
    before = AuditRecord.objects.filter(account_id=tenant.account.id).count()
    Account.objects.filter(id=tenant.account.id).delete()
    assert AuditRecord.objects.filter(account_id=tenant.account.id).count() == before


# -- logins --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [True, False], ids=["wrong password", "unknown user"])
def test_a_failed_login_is_recorded_with_its_reason_and_without_the_password(tenant: Tenant, known: bool) -> None:
    email = tenant.users["administrator"].email if known else f"{unique('nobody')}@example.org"
    context = CallContext(client_ip="192.0.2.7")
    with pytest.raises(NotAuthenticated):
        execute(ANONYMOUS, LogIn(BasicCredential(email, CANARY)), context=context)
    (found,) = AuditRecord.objects.filter(action="session.create", details__email=email)
    assert (found.outcome, found.reason) == ("denied", "wrong-password" if known else "unknown-user")
    assert (found.client_ip, found.actor_kind) == ("192.0.2.7", "anonymous")
    assert in_the_record(CANARY) == 0
    assert in_the_record(base64.b64encode(CANARY.encode()).decode()[:12]) == 0


def test_a_login_is_recorded_with_who_it_was_and_without_token_or_password(tenant: Tenant) -> None:
    email = tenant.users["administrator"].email
    logged_in = execute(ANONYMOUS, LogIn(BasicCredential(email, PASSWORD)))
    (found,) = AuditRecord.objects.filter(action="session.create", details__email=email)
    assert (found.outcome, found.object_id) == ("done", tenant.alice.id)
    assert in_the_record(logged_in.token) == 0
    assert in_the_record(PASSWORD) == 0


def test_a_wrong_app_secret_is_recorded_without_the_secret(tenant: Tenant) -> None:
    with pytest.raises(NotAuthenticated):
        execute(ANONYMOUS, LogIn(BasicCredential(str(tenant.app.id), CANARY)))
    (found,) = AuditRecord.objects.filter(action="session.create", details__email=str(tenant.app.id))
    assert (found.outcome, found.reason) == ("denied", "wrong-app-secret")
    assert in_the_record(CANARY) == 0


def test_a_credential_that_was_not_recognised_is_recorded_with_its_route(tenant: Tenant) -> None:
    context = CallContext(client_ip="192.0.2.8", request_id=tenant.account.id)
    record_rejection(NotAuthenticated("unknown-session"), context, "GET /sys/v1/apps")
    found = AuditRecord.objects.get(request_id=tenant.account.id)
    assert (found.outcome, found.reason, found.category) == ("denied", "unknown-session", "authentication")
    assert found.details == {"route": "GET /sys/v1/apps"}


def test_an_account_sees_who_came_in(tenant: Tenant) -> None:
    """Whoever logs in has no account before it; its auditors want to know all the same."""
    execute(ANONYMOUS, LogIn(BasicCredential(*tenant.api_key())))
    assert entries(tenant, "session.create") == [("done", "public")]
    email = tenant.users["administrator"].email
    token = execute(ANONYMOUS, LogIn(BasicCredential(email, PASSWORD))).token
    assert len(entries(tenant, "session.create")) == 1  # a person's login is for no account yet
    execute(principal_of_token(token, clock.now()), SelectAccount(tenant.account.id))
    assert entries(tenant, "session.select-account") == [("done", "self")]


def test_no_stranger_writes_into_an_accounts_log(tenant: Tenant) -> None:
    before = AuditRecord.objects.filter(account_id=tenant.account.id).count()
    token = execute(ANONYMOUS, LogIn(BasicCredential(new_user().email, PASSWORD))).token
    with pytest.raises(NotFound):
        execute(principal_of_token(token, clock.now()), SelectAccount(tenant.account.id))
    with pytest.raises(NotAuthenticated):
        execute(ANONYMOUS, LogIn(BasicCredential(str(tenant.app.id), "wrong")))
    assert AuditRecord.objects.filter(account_id=tenant.account.id).count() == before
