"""The integrity sweep: what use does not find, an older state that was brought back above all, it finds and refuses."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command

from accounts import row_seals
from accounts.clock import clock
from accounts.models import App, FactVersion, Session
from accounts.principal import AuthenticationMethod
from accounts.row_seals import RowsForged, verified
from accounts.sessions import issue, terminate
from kms.audit.errors import RecordUntrusted
from kms.audit.fact_moves import FactSum, SumForged, found, moves_in, place
from kms.audit.merkle import Frontier
from kms.audit.models import AuditRecord, Sealing
from kms.audit.sealer import Sealer
from kms.audit.trust import trust
from kms.objects import keystore
from kms.operations import fact_sweep
from kms.operations.accounts import GetAccount
from kms.operations.executor import execute
from kms.operations.fact_sweep import FactSweeper, Swept, sweep
from kms.operations.facts_host import AcceptFacts
from kms.operations.record_key import record_signer
from kms.operations.rescue import host
from tests.audit.helpers import Root, Running, unseen
from tests.kit.objects import encrypt
from tests.kit.tenants import Tenant, new_tenant


@pytest.fixture(autouse=True)
def _in_order() -> Iterator[None]:
    """Whatever other tests forged is taken as it is, before and after."""
    put_in_order()
    yield
    trust.facts = None
    put_in_order()


def put_in_order() -> None:
    forged = sweep().found
    if forged:
        execute(host(), AcceptFacts(tuple(forged)))
    assert swept() == []


def swept() -> list[UUID]:
    result = sweep()
    assert result.adds_up
    return result.found


def seal() -> None:
    Sealer(keystore.deployment_id(), record_signer).turn(clock.now())


def in_another_process(command: AcceptFacts) -> None:
    """As the operator's command does, which knows nothing of what servers found."""
    fault, trust.facts = trust.facts, None
    execute(host(), command)
    trust.facts = fault


def kept(root: Root, table: str, key: str, value: Any) -> Callable[[], None]:
    """The row as it is now, and how it is brought back."""
    name = f"kept_{uuid4().hex}"
    root.execute(f"CREATE TEMP TABLE {name} AS SELECT * FROM {table} WHERE {key} = %s", [value])  # noqa: S608 - a test's own

    def bring_back() -> None:
        root.execute(f"DELETE FROM {table} WHERE {key} = %s", [value])  # noqa: S608 - a test's own
        root.execute(f"INSERT INTO {table} SELECT * FROM {name}")  # noqa: S608 - a test's own

    return bring_back


# -- what is found -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sealed", [True, False], ids=["sealed meanwhile", "not sealed yet"])
def test_a_session_that_was_ended_and_brought_back_with_its_seal_is_found(
    root: Root, tenant: Tenant, sealed: bool
) -> None:
    session, _ = issue(tenant.app, AuthenticationMethod.API_KEY, clock.now(), clock.now())
    back = [kept(root, "accounts_session", "id", session.id), kept(root, "accounts_factversion", "subject", session.id)]
    terminate(session, clock.now())
    if sealed:
        seal()
    with unseen(root):
        for bring in back:
            bring()
    assert verified([session.id]).of(Session, session.id)[0].terminated_at is None  # by itself it looks good
    assert swept() == [session.id]
    with pytest.raises(RowsForged):
        verified([session.id])


def test_an_app_that_was_edited_is_found_before_it_is_used(root: Root, tenant: Tenant) -> None:
    with unseen(root):
        root.execute("UPDATE accounts_app SET role = 'admin' WHERE id = %s", [tenant.app.id])
    assert swept() == [tenant.app.id]


def test_processes_that_remember_the_app_refuse_it_once_the_sweep_found_it(root: Root, tenant: Tenant) -> None:
    key = tenant.key()
    encrypt(tenant, key)
    with unseen(root):
        root.execute("UPDATE accounts_app SET role = 'admin' WHERE id = %s", [tenant.app.id])
    encrypt(tenant, key)  # what is remembered is what was ours
    assert swept() == [tenant.app.id]
    with pytest.raises(RowsForged):
        encrypt(tenant, key)


def test_somebody_who_was_taken_away_or_put_in_is_found(root: Root, tenant: Tenant) -> None:
    newcomer = uuid4()
    with unseen(root):
        root.execute("DELETE FROM accounts_factversion WHERE subject = %s", [tenant.group.id])
        root.execute("DELETE FROM accounts_group WHERE id = %s", [tenant.group.id])
        root.execute(
            "INSERT INTO accounts_account (id, name, description, organization, country, phone, enabled, "
            "custom_metadata, password_login, second_factor, created_at) "
            "VALUES (%s, 'x', '', '', '', '', true, '{}', 'everyone', 'none', now())",
            [newcomer],
        )
    assert swept() == sorted([tenant.group.id, newcomer])
    with unseen(root):
        root.execute("DELETE FROM accounts_account WHERE id = %s", [newcomer])


def test_it_is_told_once_in_the_record_and_again_at_each_sweep_in_the_log(
    root: Root, tenant: Tenant, caplog: pytest.LogCaptureFixture
) -> None:
    with unseen(root):
        root.execute("UPDATE accounts_app SET enabled = false WHERE id = %s", [tenant.app.id])
    assert swept() == swept() == [tenant.app.id]
    entries = AuditRecord.objects.filter(action="record.facts-refused", details__subject=str(tenant.app.id))
    assert [entry.outcome for entry in entries] == ["failed"]
    assert [str(tenant.app.id) in each.message for each in caplog.records if each.levelname == "CRITICAL"] == [True] * 2


def test_what_changes_while_it_looks_is_not_taken_for_forged(tenant: Tenant) -> None:
    app, until = tenant.app.id, time.monotonic() + 2

    def change() -> None:
        while time.monotonic() < until:
            App.objects.filter(id=app).update(description=str(time.monotonic()))
            new_tenant()

    changing = [Running(change) for _ in range(2)]
    while time.monotonic() < until:
        assert swept() == []
        seal()
    for each in changing:
        each.result()
    assert swept() == []


# -- the sum -------------------------------------------------------------------------------------------------------


def test_a_sum_of_another_time_or_of_nobody_seals_the_server(root: Root, tenant: Tenant) -> None:
    seal()
    good = bytes(Sealing.objects.get().facts or b"")
    App.objects.filter(id=tenant.app.id).update(description="later")
    seal()
    now = bytes(Sealing.objects.get().facts or b"")
    for forged in (good, None, b"", bytes(12), bytes(60)):
        Sealing.objects.update(facts=forged)
        with pytest.raises(SumForged):
            sweep()
        FactSweeper().turn()
        with pytest.raises(RecordUntrusted):
            execute(tenant.alice, GetAccount(tenant.account.id))
        Sealing.objects.update(facts=now)
        FactSweeper().turn()
        execute(tenant.alice, GetAccount(tenant.account.id))


def test_what_does_not_add_up_and_is_found_nowhere_seals_the_server(
    root: Root, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The entries that would say who it is are gone: put away, or deleted."""
    back = [
        kept(root, "accounts_app", "id", tenant.app.id),
        kept(root, "accounts_factversion", "subject", tenant.app.id),
    ]
    App.objects.filter(id=tenant.app.id).update(enabled=False)
    seal()
    with unseen(root):
        for bring in back:
            bring()
    monkeypatch.setattr(fact_sweep, "_last_said", lambda _apart: {})
    assert sweep() == Swept(subjects=FactVersion.objects.count(), adds_up=False)
    FactSweeper().turn()
    with pytest.raises(RecordUntrusted):
        execute(tenant.alice, GetAccount(tenant.account.id))
    in_another_process(AcceptFacts((tenant.app.id,)))
    FactSweeper().turn()
    execute(tenant.alice, GetAccount(tenant.account.id))


def test_the_sum_is_of_a_set_and_knows_its_place() -> None:
    key, one, two = row_seals.key(), uuid4(), uuid4()
    forth, back = FactSum(key), FactSum(key)
    for subject in (one, two):
        forth.add(subject, (3, b"s" * 32))
    for subject in (two, one):
        back.add(subject, (3, b"s" * 32))
    assert forth.value == back.value != 0
    here, longer, other = Frontier(8, [bytes(32)]), Frontier(16, [bytes(32)]), Frontier(8, [b"\1" + bytes(31)])
    hidden = forth.hidden(place(here))
    assert found(key, hidden, place(here)).value == forth.value
    for where in (place(longer), place(other)):
        with pytest.raises(SumForged):
            found(key, hidden, where)


# -- for the operator ----------------------------------------------------------------------------------------------


def _ran(*words: str) -> str:
    out = StringIO()
    call_command(*words, stdout=out)
    return out.getvalue()


def test_the_operator_looks_mends_and_accepts_and_auditors_see_it(root: Root, tenant: Tenant) -> None:
    assert "subjects hold" in _ran("sweep_facts")
    with unseen(root):
        root.execute("UPDATE accounts_app SET role = 'admin' WHERE id = %s", [tenant.app.id])
    with pytest.raises(CommandError, match="1 of"):
        _ran("sweep_facts")
    with unseen(root):
        root.execute("UPDATE accounts_app SET role = 'crypto' WHERE id = %s", [tenant.app.id])
    assert "as they are: 1." in _ran("accept_facts", str(tenant.app.id))
    encrypt(tenant, tenant.key())
    assert "subjects hold" in _ran("sweep_facts")
    entry = AuditRecord.objects.filter(action="record.accept-facts").latest("sequence")
    assert str(tenant.app.id) in entry.details["fields"]
    with pytest.raises(CommandError, match="no such"):
        _ran("accept_facts", str(uuid4()))


def test_what_was_accepted_is_what_the_record_says_from_then_on(root: Root, tenant: Tenant) -> None:
    with unseen(root):
        root.execute("UPDATE accounts_app SET enabled = false WHERE id = %s", [tenant.app.id])
    assert swept() == [tenant.app.id]
    execute(host(), AcceptFacts((tenant.app.id,)))
    assert swept() == []
    seal()
    assert swept() == []
    entry = AuditRecord.objects.filter(action="record.facts", details__facts__startswith=tenant.app.id.hex)
    (move,) = moves_in(entry.latest("sequence").details["facts"])
    assert (move.subject, move.before) == (tenant.app.id, None)
