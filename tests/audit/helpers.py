"""Connections beside the one under test, and a look at who waits for whom."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar
from uuid import UUID, uuid4

import psycopg
from django.conf import settings
from django.db import connection, transaction

from accounts.connections import own_connection
from kms.audit.entry import AuditEntry, Category, Outcome
from kms.audit.models import AuditRecord

T = TypeVar("T")


def entry(request_id: UUID | None = None, **parts: Any) -> AuditEntry:
    """An entry that can be found again by its request."""
    return AuditEntry(
        action="test.write",
        category=Category.OTHER,
        outcome=Outcome.DONE,
        reason="granted",
        actor_kind="app",
        actor_id=UUID(int=5),
        method="none",
        request_id=request_id or uuid4(),
        **parts,
    )


def written(*requests: UUID) -> int:
    return AuditRecord.objects.filter(request_id__in=requests).count()


@contextlib.contextmanager
def another_connection() -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """The server's role on a connection of its own, outside Django; what it left open is rolled back."""
    opened = own_connection()
    opened.autocommit = False
    try:
        yield opened
    finally:
        opened.close()


@contextlib.contextmanager
def owner_connection() -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """The role that owns the tables."""
    address = settings.KEYSTEAD.owner_database
    with psycopg.connect(dbname=address.name, user=address.user, host=address.host, port=address.port) as opened:
        yield opened


Root = psycopg.Connection[Any]  # the superuser's: the fixture `root`


@contextlib.contextmanager
def unseen(root: Root) -> Iterator[None]:
    """No trigger sees what is done here, nor does a foreign key hold it off."""
    root.execute("SET session_replication_role = replica")
    try:
        yield
    finally:
        root.execute("SET session_replication_role = origin")


class Running(Generic[T]):
    """Work in a thread of its own, with its result or error kept for whoever asks."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._result: T | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result = self._work()
        except BaseException as error:
            self._error = error
        finally:
            connection.close()

    @property
    def over(self) -> bool:
        return not self._thread.is_alive()

    def result(self) -> T:
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]  # set when there was no error


class Changing:
    """A change of the server's own, in a thread of its own: made, and not committed before it is told to be."""

    def __init__(self, statement: str, parameters: dict[str, Any]) -> None:
        self._made, self._go = threading.Event(), threading.Event()
        self._running = Running(lambda: self._change(statement, parameters))
        assert self._made.wait(10)

    def _change(self, statement: str, parameters: dict[str, Any]) -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            self.info = connection.connection.info
            self._made.set()
            assert self._go.wait(30)

    def commit(self) -> None:
        self._go.set()
        self._running.result()


def wait_until_blocked_by(holder: psycopg.Connection[Any] | Changing, waiting: Running[Any]) -> None:
    """Return when some statement waits for a lock that ``holder`` has; the work must not have ended meanwhile."""
    with another_connection() as looking:
        while True:
            found = looking.execute(
                "SELECT 1 FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))", [holder.info.backend_pid]
            ).fetchone()
            looking.rollback()
            if found:
                return
            assert not waiting.over, "it did not wait for the lock"


def terminate(pattern: str) -> int:
    """End every backend whose last statement is like this, as a failing database would."""
    with another_connection() as killer:
        found = killer.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE query LIKE %s AND pid <> pg_backend_pid()",
            [pattern],
        ).fetchall()
        return len(found)
