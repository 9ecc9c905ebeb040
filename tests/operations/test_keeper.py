"""Scheduled rotation: what is due is rotated once, whoever looks, whatever dies, in the server's own name."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from accounts.clock import clock
from accounts.models import Account
from accounts.principal import SYSTEM_ID
from kms.audit.models import AuditRecord
from kms.hsm.errors import ModuleUnavailable
from kms.hsm.module import KeySpec, StoredKey
from kms.objects import keystore
from kms.objects.models import HistoryItem, SecurityObject
from kms.objects.rotation import RotationPolicy, rotation_of
from kms.objects.state import KeyState
from kms.operations.command import ObjectRef
from kms.operations.copying import CopyObject
from kms.operations.errors import AccessDenied, Conflict
from kms.operations.executor import execute
from kms.operations.keeper import KEEPER_LOCK, RETRY_AFTER, RETRY_AT_MOST, Keeper, system_of
from kms.operations.making import ObjectTemplate
from kms.operations.rotating import RotateDueObject
from tests.kit.objects import (
    by_sql,
    decrypt,
    encrypt,
    id_of,
    kept,
    last_entry,
    ops,
    ref_of,
    row,
    state,
    undo_window,
    update,
)
from tests.kit.tenants import Tenant, unique
from tests.kit.threads import at_once

CHECKOUT = Path(__file__).resolve().parents[2]
DAILY = RotationPolicy(days=1)


def due(
    tenant: Tenant, policy: RotationPolicy = DAILY, *, ago: timedelta = timedelta(hours=1), **fields: Any
) -> ObjectRef:
    """A key whose next rotation was to be a while ago, as after a server that did not run."""
    key = tenant.key(rotation=policy, **fields)
    make_due(key, ago)
    return key


def make_due(key: ObjectRef, ago: timedelta = timedelta(hours=1)) -> datetime:
    policy, moment = rotation_of(row(key).rotation), clock.now() - ago
    assert policy is not None
    by_sql(key, rotation=policy.begun(moment).stored(), rotates_at=moment)
    return moment


def successors(key: ObjectRef) -> list[SecurityObject]:
    """Every object that says it took the key's place: one at most, or something was done twice."""
    return list(SecurityObject.objects.filter(replaced=id_of(key)))


def turn() -> None:
    """One that does its work: another test's keeper may still hold the lock for a moment."""
    for _ in range(100):
        if Keeper().turn().ours:
            return
        time.sleep(0.05)
    raise AssertionError("somebody keeps the keeper's lock")


# -- what is done --------------------------------------------------------------------------------------------------


def test_what_is_due_is_rotated_by_the_server_itself_and_recorded(tenant: Tenant) -> None:
    name = unique("scheduled")
    key = due(tenant, RotationPolicy(days=1, deactivate=True), name=name)
    made = encrypt(tenant, key)
    turn()
    (new,) = successors(key)
    assert (new.name, row(key).replacement) == (name, new.id)
    assert state(key) is KeyState.DEACTIVATED
    assert decrypt(tenant, key, made) == b"data"
    assert decrypt(tenant, ObjectRef(id=new.id), encrypt(tenant, ObjectRef(name=name))) == b"data"
    assert (new.creator_kind, new.creator_id) == (row(key).creator_kind, row(key).creator_id)
    entry = last_entry(tenant, "object.rotate-due")
    assert (entry.actor_kind, entry.actor_id, entry.outcome) == ("system", SYSTEM_ID, "done")
    assert (entry.object_id, entry.details["replaced"]) == (new.id, str(key.id))
    assert entry.account_id == tenant.account.id


def test_the_next_one_is_in_step_and_what_was_slept_through_is_done_once(tenant: Tenant) -> None:
    key = due(tenant, RotationPolicy(days=7), ago=timedelta(days=100))
    first = row(key).rotates_at
    assert first is not None
    turn()
    turn()
    (new,) = successors(key)
    assert not successors(ObjectRef(id=new.id))
    assert new.rotates_at is not None
    assert new.rotates_at == first + timedelta(days=105)
    assert (row(key).rotation, row(key).rotates_at) == (None, None)


def test_a_policy_takes_effect_when_it_says(tenant: Tenant) -> None:
    key = tenant.key(rotation=RotationPolicy(days=30, effective_at=clock.now() + timedelta(seconds=1)))
    turn()
    assert not successors(key)
    time.sleep(1.5)
    turn()
    assert len(successors(key)) == 1


def test_what_is_not_due_is_left_alone(tenant: Tenant) -> None:
    keys = [tenant.key(), tenant.key(rotation=DAILY), due(tenant, ago=-timedelta(hours=1))]
    turn()
    assert not [key for key in keys if successors(key)]


def test_a_key_that_waits_is_followed_by_one_that_waits(tenant: Tenant) -> None:
    """Nobody's clock activates what somebody was to activate."""
    key = due(tenant, pre_active=True)
    turn()
    (new,) = successors(key)
    assert state(ObjectRef(id=new.id)) is KeyState.PRE_ACTIVE


def test_copies_follow(tenant: Tenant) -> None:
    key = tenant.key(operations=["encrypt", "decrypt"])
    copy = ref_of(execute(tenant.alice, CopyObject(key, ObjectTemplate("copy", "", operations=ops("decrypt")))))
    update(tenant, key, rotation=RotationPolicy(days=1, copies=(str(copy.id),)))
    make_due(key)
    turn()
    (new,), (renewed,) = successors(key), successors(copy)
    assert renewed.copied_from == new.id
    assert decrypt(tenant, ObjectRef(name="copy"), encrypt(tenant, ObjectRef(id=new.id))) == b"data"


def test_histories_whose_time_is_over_are_forgotten(tenant: Tenant) -> None:
    undo_window(tenant)
    old, recent = tenant.key(), tenant.key()
    for key in (old, recent):
        update(tenant, key, operations=ops("encrypt"))
    HistoryItem.objects.filter(object_id=id_of(old)).update(expires_at=clock.now() - timedelta(seconds=1))
    turn()
    assert (kept(old), len(kept(recent))) == ([], 1)


# -- what is not done ----------------------------------------------------------------------------------------------


def test_a_disabled_account_waits_until_it_is_enabled(tenant: Tenant) -> None:
    key = due(tenant)
    Account.objects.filter(id=tenant.account.id).update(enabled=False)
    before = AuditRecord.objects.filter(account_id=tenant.account.id).count()
    turn()
    assert not successors(key)
    assert AuditRecord.objects.filter(account_id=tenant.account.id).count() == before
    with pytest.raises(AccessDenied, match="account is disabled"):
        execute(system_of(tenant.account.id), RotateDueObject(key, make_due(key)))
    Account.objects.filter(id=tenant.account.id).update(enabled=True)
    turn()
    assert len(successors(key)) == 1


def test_a_policy_that_was_changed_or_ended_meanwhile_is_obeyed(tenant: Tenant) -> None:
    system = system_of(tenant.account.id)
    changed, ended, rotated = due(tenant), due(tenant), due(tenant)
    listed = {key: row(key).rotates_at for key in (changed, ended, rotated)}
    update(tenant, changed, rotation=RotationPolicy(months=1))
    update(tenant, ended, ended=frozenset({"rotation"}))
    turn()
    for key, moment in listed.items():
        assert moment is not None
        with pytest.raises(Conflict, match="has been rotated, or its policy was changed"):
            execute(system, RotateDueObject(key, moment))
    assert [len(successors(key)) for key in listed] == [0, 0, 1]


def test_a_rotation_is_the_one_that_was_due_and_no_other(tenant: Tenant) -> None:
    """A keeper that looked before a policy was changed does not act on the changed one; the next look does."""
    key = due(tenant)
    listed = row(key).rotates_at
    assert listed is not None
    make_due(key, timedelta(minutes=1))
    with pytest.raises(Conflict):
        execute(system_of(tenant.account.id), RotateDueObject(key, listed))
    assert not successors(key)
    turn()
    assert len(successors(key)) == 1


def test_the_server_may_rotate_and_nothing_else_in_an_account(tenant: Tenant) -> None:
    from kms.operations.lifecycle import DeleteObject, ExportObject

    key, system = tenant.key(operations=["encrypt", "decrypt", "export"]), system_of(tenant.account.id)
    for command in (DeleteObject(key), ExportObject(key)):
        with pytest.raises(AccessDenied):
            execute(system, command)
    with pytest.raises(AccessDenied):
        encrypt(Tenant(tenant.account, tenant.alice, tenant.group, system), key)


# -- what fails ----------------------------------------------------------------------------------------------------


class Moody:
    """The module in use, but for keys of one size: there it raises what it is told to."""

    def __init__(self, size: int, error: Exception) -> None:
        self._real, self._size, self._error = keystore.module(), size, error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def generate(self, spec: KeySpec, *, binding: bytes) -> StoredKey:
        if spec.size == self._size:
            raise self._error
        return self._real.generate(spec, binding=binding)


@pytest.fixture
def module_in_use() -> Iterator[None]:
    real = keystore.module()
    yield
    keystore.install(lambda: real)


@pytest.mark.parametrize("error", [ModuleUnavailable("gone"), RuntimeError("a defect")], ids=["token", "defect"])
def test_what_fails_is_tried_again_later_and_holds_up_nothing_else(
    tenant: Tenant, error: Exception, module_in_use: None, caplog: pytest.LogCaptureFixture
) -> None:
    failing, fine, keeper = due(tenant, size=192, ago=timedelta(days=3)), due(tenant, size=128), Keeper()
    moody = Moody(192, error)
    keystore.install(lambda: moody)
    now = clock.now()
    with caplog.at_level(logging.WARNING):
        keeper._work(now)
    assert f"object {failing.id} was due to rotate and did not" in caplog.text
    assert (len(successors(failing)), len(successors(fine))) == (0, 1)
    assert state(failing) is KeyState.ACTIVE
    assert last_entry(tenant, "object.rotate-due").outcome in ("failed", "done")
    assert AuditRecord.objects.filter(account_id=tenant.account.id, outcome="failed").count() == 1
    keeper._work(now + RETRY_AFTER - timedelta(seconds=1))
    assert AuditRecord.objects.filter(account_id=tenant.account.id, outcome="failed").count() == 1, "too early"
    keeper._work(now + RETRY_AFTER)
    assert AuditRecord.objects.filter(account_id=tenant.account.id, outcome="failed").count() == 2
    keeper._work(now + 2 * RETRY_AFTER)
    assert AuditRecord.objects.filter(account_id=tenant.account.id, outcome="failed").count() == 2, "pauses grow"
    moody._size = 0
    keeper._work(now + RETRY_AT_MOST)
    assert len(successors(failing)) == 1


def test_a_pause_grows_up_to_a_limit() -> None:
    from uuid import UUID

    keeper, now, key = Keeper(), clock.now(), UUID(int=7)
    pauses = []
    for _ in range(12):
        keeper._failures[key] = failure = keeper._failed(key, now)
        pauses.append(failure.pause)
    assert pauses[:3] == [RETRY_AFTER, 2 * RETRY_AFTER, 4 * RETRY_AFTER]
    assert pauses[-1] == RETRY_AT_MOST


# -- many at once, and death ---------------------------------------------------------------------------------------


def test_keepers_at_the_same_time_rotate_everything_once(tenant: Tenant) -> None:
    keys = [due(tenant, size=128) for _ in range(6)]
    at_once(4, lambda _number: [Keeper().turn() for _ in range(3)])
    turn()
    assert [len(successors(key)) for key in keys] == [1] * 6


def test_keepers_that_know_nothing_of_each_other_rotate_everything_once(tenant: Tenant) -> None:
    """Without the lock that usually lets one at a time: what was rotated is not due any more."""
    keys = [due(tenant, size=128) for _ in range(4)]
    at_once(4, lambda _number: Keeper()._work(clock.now()))
    assert [len(successors(key)) for key in keys] == [1] * 4


def test_one_works_while_the_others_look_on(tenant: Tenant) -> None:
    due(tenant)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [KEEPER_LOCK])
        try:
            assert at_once(1, lambda _number: Keeper().turn())[0].ours is False
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [KEEPER_LOCK])
    turn()


_PROCESS = """
import os, sys, time
import django
django.setup()
from kms.audit import log
from kms.operations import keeper, rotating

point = sys.argv[1]

def stop_at(module, name):
    real = getattr(module, name)
    def stopped(*arguments, **options):
        if name == "append":
            result = real(*arguments, **options)
        print("there", flush=True)
        time.sleep(600)
        return real(*arguments, **options)
    setattr(module, name, stopped)

if point == "made":
    stop_at(rotating, "step_back")
elif point == "recorded":
    stop_at(log, "append")
print("ready", flush=True)
sys.stdin.readline()
turns = [keeper.Keeper().turn() for _ in range(5)]
print("done", flush=True)
"""


class Process:
    """A keeper in a process of its own, on this run's database and token. It stops where it is told to, or not."""

    def __init__(self, point: str = "nowhere") -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROCESS, point],
            cwd=CHECKOUT,
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "kms.config.settings"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.says() == "ready"

    def says(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def go(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self.close()

    def close(self) -> None:
        self._process.wait(60)
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()


def test_processes_at_the_same_time_rotate_everything_once(tenant: Tenant) -> None:
    processes = [Process() for _ in range(2)]
    keys = [due(tenant, size=128) for _ in range(12)]
    for process in processes:
        process.go()
    for process in processes:
        assert process.says() == "done"
        process.close()
    turn()
    assert [len(successors(key)) for key in keys] == [1] * 12
    assert AuditRecord.objects.filter(account_id=tenant.account.id, action="object.rotate-due").count() == 12


@pytest.mark.parametrize("point", ["made", "recorded"])
def test_a_keeper_killed_in_the_middle_has_done_nothing_and_the_next_one_does_it(tenant: Tenant, point: str) -> None:
    """SIGKILL with the new key made, and with everything written and not yet committed."""
    process, key = Process(point), due(tenant, size=128)
    process.go()
    assert process.says() == "there"
    assert not successors(key)
    process.kill()
    turn()
    (new,) = successors(key)
    assert row(key).replacement == new.id
    assert SecurityObject.objects.filter(account=tenant.account).count() == 2
    entries = AuditRecord.objects.filter(account_id=tenant.account.id, action="object.rotate-due")
    assert [entry.outcome for entry in entries] == ["done"]
