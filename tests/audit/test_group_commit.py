"""The group commit: one row a call, no answer on moved versions, none before or beside a change that is under way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest

from accounts.models import App, AppGroup
from kms.audit.entry import AuditEntry
from kms.audit.errors import RecordUnavailable
from kms.audit.log import GroupCommit, Verdict
from kms.audit.models import AuditRecord
from kms.crypto.algorithm import CipherParameters
from kms.operations.command import ObjectRef
from kms.operations.cryptographic import Encrypt
from kms.operations.errors import AccessDenied, TooBusy
from kms.operations.executor import execute
from policies.facts import read_versions
from tests.audit.helpers import Changing, Running, another_connection, entry, terminate, wait_until_blocked_by, written
from tests.kit.tenants import Tenant
from tests.kit.threads import at_once, each

GCM = CipherParameters("GCM")
Ticket = Callable[[], Any]

COMMITS = "%locked AS MATERIALIZED%"


@pytest.fixture
def commit() -> Iterator[GroupCommit]:
    """One of its own, so that a test decides what is in a batch."""
    opened = GroupCommit()
    yield opened
    opened.close()


def version_of(subject: UUID) -> int:
    return read_versions([subject])[subject]


def bump(subject: UUID) -> None:
    App.objects.filter(id=subject).update(description="changed")


def encrypt(tenant: Tenant, key: ObjectRef) -> Any:
    return execute(tenant.app, Encrypt(key, "AES", GCM, b"data"))


def encryptions(tenant: Tenant) -> list[str]:
    rows = AuditRecord.objects.filter(account_id=tenant.account.id, action="object.encrypt").order_by("sequence")
    return [row.outcome for row in rows]


# -- many at once --------------------------------------------------------------------------------------------------


def test_many_concurrent_calls_leave_one_row_each(commit: GroupCommit, tenant: Tenant) -> None:
    requests = [uuid4() for _ in range(500)]
    versions = read_versions([tenant.app.id, tenant.account.id])
    verdicts = each(16, lambda number: commit.submit(entry(requests[number]), versions), range(500))
    assert set(verdicts) == {Verdict.COMMITTED}
    found = list(AuditRecord.objects.filter(request_id__in=requests).values_list("request_id", flat=True))
    assert sorted(found) == sorted(requests)


def test_coroutines_and_threads_share_a_batch(commit: GroupCommit) -> None:
    requests = [uuid4() for _ in range(60)]

    async def half() -> list[Verdict]:
        return list(await asyncio.gather(*(commit.submit_async(entry(request), {}) for request in requests[30:])))

    def work(number: int) -> list[Verdict]:
        return [commit.submit(entry(request), {}) for request in requests[:30]] if number else asyncio.run(half())

    verdicts = [verdict for part in at_once(2, work) for verdict in part]
    assert verdicts == [Verdict.COMMITTED] * 60
    assert written(*requests) == 60


def test_a_coroutine_that_gave_up_is_recorded_and_holds_up_nobody(commit: GroupCommit, tenant: Tenant) -> None:
    """The client went away while its entry waited; the entry is written, its neighbour is answered."""
    gone, stays = uuid4(), uuid4()
    versions = read_versions([tenant.app.id])

    async def scenario() -> Verdict:
        with another_connection() as holder:
            holder.execute("UPDATE accounts_app SET description = '' WHERE id = %s", [tenant.app.id])
            first = asyncio.create_task(commit.submit_async(entry(gone), {}))
            second = asyncio.create_task(commit.submit_async(entry(stays), versions))
            await asyncio.sleep(0)
            first.cancel()
            holder.rollback()
            return await second

    assert asyncio.run(scenario()) is Verdict.COMMITTED
    assert written(gone, stays) == 2


# -- versions ------------------------------------------------------------------------------------------------------


def test_an_entry_on_a_moved_version_is_sent_back_unwritten(commit: GroupCommit, tenant: Tenant) -> None:
    request, versions = uuid4(), read_versions([tenant.app.id, tenant.account.id])
    bump(tenant.app.id)
    assert commit.submit(entry(request), versions) is Verdict.STALE
    assert written(request) == 0


def test_an_entry_on_a_version_of_the_future_is_sent_back(commit: GroupCommit, tenant: Tenant) -> None:
    ahead = {tenant.app.id: version_of(tenant.app.id) + 1}
    assert commit.submit(entry(), ahead) is Verdict.STALE


def test_a_subject_that_never_was_has_version_zero_and_no_other(commit: GroupCommit) -> None:
    nobody = uuid4()
    assert commit.submit(entry(), {nobody: 0}) is Verdict.COMMITTED
    assert commit.submit(entry(), {nobody: 1}) is Verdict.STALE


def submitting(commit: GroupCommit, wanted: AuditEntry, versions: Mapping[UUID, int] | None = None) -> Ticket:
    return lambda: commit.submit(wanted, versions or {})


def one_batch(commit: GroupCommit, tenant: Tenant, tickets: Sequence[Ticket]) -> list[Any]:
    """Submit together: the committing thread is kept busy until all of them are in its queue."""
    plug = {tenant.group.id: version_of(tenant.group.id)}
    with another_connection() as holder:
        holder.execute("UPDATE accounts_group SET description = '' WHERE id = %s", [tenant.group.id])
        plugged = Running(lambda: commit.submit(entry(), plug))
        wait_until_blocked_by(holder, plugged)
        running = [Running(ticket) for ticket in tickets]
        while commit._queue.qsize() < len(tickets):  # the only way to know that they are in
            assert not any(work.over for work in running)
        holder.rollback()
    assert plugged.result() is Verdict.COMMITTED
    return [work.result() for work in running]


def test_of_two_calls_in_one_batch_the_one_with_the_older_version_is_sent_back(
    commit: GroupCommit, tenant: Tenant
) -> None:
    old = read_versions([tenant.app.id])
    bump(tenant.app.id)
    new = read_versions([tenant.app.id])
    requests = [uuid4() for _ in range(4)]
    seen = zip(requests, [old, new, {}, old], strict=True)
    tickets = [submitting(commit, entry(request), versions) for request, versions in seen]
    verdicts = one_batch(commit, tenant, tickets)
    assert verdicts == [Verdict.STALE, Verdict.COMMITTED, Verdict.COMMITTED, Verdict.STALE]
    assert [written(request) for request in requests] == [0, 1, 1, 0]


def test_when_both_are_old_both_are_sent_back_and_the_others_are_written(commit: GroupCommit, tenant: Tenant) -> None:
    oldest = read_versions([tenant.app.id])
    bump(tenant.app.id)
    older = read_versions([tenant.app.id])
    bump(tenant.app.id)
    other = read_versions([tenant.account.id])
    tickets = [submitting(commit, entry(), versions) for versions in (oldest, older, other)]
    assert one_batch(commit, tenant, tickets) == [Verdict.STALE, Verdict.STALE, Verdict.COMMITTED]


def test_an_entry_that_cannot_be_written_fails_alone(commit: GroupCommit, tenant: Tenant) -> None:
    good = [uuid4(), uuid4()]

    def refused() -> str:
        with pytest.raises(RecordUnavailable):
            commit.submit(entry(client_ip="not an address"), {})
        return "refused"

    tickets = [submitting(commit, entry(good[0])), refused, submitting(commit, entry(good[1]))]
    assert one_batch(commit, tenant, tickets) == [Verdict.COMMITTED, "refused", Verdict.COMMITTED]
    assert written(*good) == 2


# -- a change under way --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("committed", [True, False], ids=["committed", "rolled back"])
def test_an_entry_waits_for_a_change_of_its_subject_and_falls_with_it(
    commit: GroupCommit, tenant: Tenant, committed: bool
) -> None:
    request, versions = uuid4(), read_versions([tenant.app.id])
    with another_connection() as holder:
        holder.execute("UPDATE accounts_app SET enabled = false WHERE id = %s", [tenant.app.id])
        waiting = Running(lambda: commit.submit(entry(request), versions))
        wait_until_blocked_by(holder, waiting)
        assert written(request) == 0
        if committed:
            holder.commit()
        else:
            holder.rollback()
        assert waiting.result() is (Verdict.STALE if committed else Verdict.COMMITTED)
    assert written(request) == (0 if committed else 1)


REVOCATIONS = {
    "app disabled": "UPDATE accounts_app SET enabled = false WHERE id = %(app)s",
    "permission taken": "UPDATE accounts_appgroup SET permissions = '[\"object.decrypt\"]' WHERE app_id = %(app)s",
    "account disabled": "UPDATE accounts_account SET enabled = false WHERE id = %(account)s",
    "object disabled": "UPDATE objects_securityobject SET enabled = false WHERE id = %(key)s",
    "operation taken": "UPDATE objects_securityobject SET state = 'compromised' WHERE id = %(key)s",
}


@pytest.mark.parametrize("revocation", REVOCATIONS.values(), ids=REVOCATIONS)
def test_no_answer_leaves_while_a_revocation_is_under_way_nor_after_it(tenant: Tenant, revocation: str) -> None:
    """Decided on cached facts before the revocation committed: the answer is held, then refused."""
    key = tenant.key()
    encrypt(tenant, key)
    holder = Changing(revocation, {"app": tenant.app.id, "account": tenant.account.id, "key": key.id})
    waiting = Running(lambda: encrypt(tenant, key))
    wait_until_blocked_by(holder, waiting)
    assert encryptions(tenant) == ["done"]
    holder.commit()
    with pytest.raises(AccessDenied):
        waiting.result()
    assert encryptions(tenant) == ["done", "denied"]


def test_an_answer_held_by_a_revocation_that_is_taken_back_leaves(tenant: Tenant) -> None:
    key = tenant.key()
    encrypt(tenant, key)
    with another_connection() as holder:
        holder.execute("DELETE FROM accounts_appgroup WHERE app_id = %s", [tenant.app.id])
        waiting = Running(lambda: encrypt(tenant, key))
        wait_until_blocked_by(holder, waiting)
        holder.rollback()
        assert waiting.result().value.ciphertext
    assert encryptions(tenant) == ["done", "done"]


def test_a_change_that_does_not_touch_the_facts_holds_nobody_up(tenant: Tenant) -> None:
    key, stranger = tenant.key(), tenant.new_app()
    encrypt(tenant, key)
    with another_connection() as holder:
        holder.execute("UPDATE accounts_app SET enabled = false WHERE id = %s", [stranger.id])
        assert encrypt(tenant, key).value.ciphertext


def test_while_facts_keep_changing_every_call_is_recorded_once(tenant: Tenant) -> None:
    """Refusals are answers too; a call that found no quiet moment in MAX_ATTEMPTS tries is recorded as failed."""
    key = tenant.key()

    def work(number: int) -> list[str]:
        if number == 0:
            for turn in range(50):
                permissions = ["object.encrypt"] if turn % 2 else ["object.decrypt"]
                AppGroup.objects.filter(app_id=tenant.app.id).update(permissions=permissions)
            return []
        return [attempt() for _ in range(25)]

    def attempt() -> str:
        try:
            encrypt(tenant, key)
        except AccessDenied:
            return "denied"
        except TooBusy:
            return "failed"
        return "done"

    endings = [ending for part in at_once(5, work) for ending in part]
    assert sorted(encryptions(tenant)) == sorted(endings)


# -- a database that goes away -------------------------------------------------------------------------------------


def test_a_lost_database_means_no_answer_and_the_next_call_recovers(tenant: Tenant) -> None:
    key = tenant.key()
    encrypt(tenant, key)
    assert terminate(COMMITS) >= 1
    with pytest.raises(RecordUnavailable):
        encrypt(tenant, key)
    assert encrypt(tenant, key).value.ciphertext
    assert encryptions(tenant) == ["done", "done"]


def test_a_database_lost_while_entries_wait_fails_every_one_of_them(commit: GroupCommit, tenant: Tenant) -> None:
    request, versions = uuid4(), read_versions([tenant.app.id])
    with another_connection() as holder:
        holder.execute("UPDATE accounts_app SET description = '' WHERE id = %s", [tenant.app.id])
        waiting = Running(lambda: commit.submit(entry(request), versions))
        wait_until_blocked_by(holder, waiting)
        terminate(COMMITS)
        with pytest.raises(RecordUnavailable):
            waiting.result()
    assert written(request) == 0
    assert commit.submit(entry(request), versions) is Verdict.COMMITTED
