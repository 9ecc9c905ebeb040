"""The record in months: no entry fails for want of one, the server makes the next and no other, a table is taken in."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from django.db import connection
from django.db.models import Q

from accounts.clock import clock
from kms.audit import listing, log, months, tree
from kms.audit.models import AuditLeaf, AuditRecord
from kms.audit.sealer import Sealer
from kms.config.database import OWNER_ROLE, SERVER_ROLE
from kms.config.environment import CHECKOUT
from kms.config.provision.postgres import EmbeddedPostgres
from kms.objects import keystore
from kms.operations.record_key import record_signer
from tests.audit.helpers import another_connection, entry, owner_connection

ENTRY = """
INSERT INTO audit_entry ("time", account_id, actor_kind, actor_id, method, action, category, severity, outcome, reason,
    object_kind, groups, request_id, duration_us, details)
SELECT %s::timestamptz + n * interval '1 second', %s, 'app', '00000000-0000-0000-0000-000000000005', 'none', 'test',
    CASE WHEN n %% 10 = 3 THEN 'authentication' ELSE 'other' END, 'info', 'done', 'granted', '', ARRAY[%s::uuid],
    gen_random_uuid(), 0, '{}'
FROM generate_series(0, %s - 1) AS n
"""


def written_at(time: datetime, count: int = 1, *, account: UUID | None = None, group: UUID | None = None) -> UUID:
    """Entries of a past that this database has not seen; their account."""
    account = account or uuid4()
    with another_connection() as server:
        server.execute(ENTRY, [time, account, group or uuid4(), count])
        server.commit()
    return account


def lies_in(account: UUID) -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT tableoid::regclass::text FROM audit_entry WHERE account_id = %s", [account])
        return {row[0] for row in cursor.fetchall()}


def described(table: str) -> tuple[Any, ...]:
    """What protects a partition and what finds things in it, without names."""
    with owner_connection() as owner:
        rights = owner.execute(
            "SELECT array_agg(privilege_type::text ORDER BY privilege_type::text) "
            "FROM information_schema.role_table_grants WHERE table_name = %s AND grantee = %s",
            [table, SERVER_ROLE],
        ).fetchone()
        triggers = owner.execute(
            "SELECT array_agg(tgname || tgtype::text ORDER BY tgname) FROM pg_trigger WHERE tgrelid = %s::regclass",
            [table],
        ).fetchone()
        indexes = owner.execute(
            "SELECT array_agg(regexp_replace(indexdef, '^.* USING', '') ORDER BY length(indexdef)) "
            "FROM pg_indexes WHERE tablename = %s",
            [table],
        ).fetchone()
        owned = owner.execute("SELECT relowner::regrole::text, reloptions FROM pg_class WHERE relname = %s", [table])
        return rights, triggers, indexes, owned.fetchone()


def test_this_month_and_the_next_three_are_there() -> None:
    now = clock.now()
    there = [month for month in months.months() if month.until > now]
    assert len(there) >= 4
    assert there[-1].since <= now
    assert all(later.since == earlier.until for later, earlier in itertools.pairwise(there))


def test_the_server_makes_a_month_that_is_missing_as_the_others_are() -> None:
    """And no other: what it may call takes no argument."""
    furthest = months.months()[0].name
    like = described(furthest)
    with owner_connection() as owner:
        owner.execute(f"DROP TABLE {furthest}".encode())
    assert months.prepare() == [furthest]
    assert months.prepare() == []
    assert described(furthest) == like
    assert like[0] == (["INSERT", "SELECT"],)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE audit_entry_1999_01 PARTITION OF audit_entry FOR VALUES FROM ('1999-01-01') TO ('1999-02-01')",
        "SELECT keystead_record_add('1999-01-01', '1999-02-01')",
        "ALTER TABLE audit_entry DETACH PARTITION {month}",
        "DROP TABLE {month}",
        "DELETE FROM {month}",
        "UPDATE {month} SET outcome = 'done'",
        "TRUNCATE {month}",
        "CREATE OR REPLACE FUNCTION keystead_prepare_record() RETURNS SETOF text LANGUAGE sql AS ''",
    ],
)
def test_the_server_may_do_nothing_else_to_months(statement: str) -> None:
    month = months.months()[-1].name
    with another_connection() as server, pytest.raises(psycopg.errors.InsufficientPrivilege):
        server.execute(statement.format(month=month).encode())


@pytest.mark.parametrize("change", ["UPDATE {} SET outcome = 'done'", "DELETE FROM {}", "TRUNCATE {}"])
@pytest.mark.parametrize("table", ["this month", months.NET])
def test_the_owner_is_refused_on_a_single_month_too(change: str, table: str) -> None:
    now = clock.now()
    this = next(month.name for month in months.months() if month.since <= now < month.until)
    log.append(entry())
    written_at(datetime(1971, 3, 1, tzinfo=UTC))
    with owner_connection() as owner, pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
        owner.execute(change.format(this if table == "this month" else months.NET).encode())


def test_what_falls_into_no_month_is_kept_and_told_and_becomes_one_where_it_lies(
    caplog: pytest.LogCaptureFixture,
) -> None:
    months.prepare()  # whatever lies in the net from elsewhere
    account = written_at(datetime(2003, 5, 6, tzinfo=UTC), 3)
    written_at(datetime(2003, 6, 7, tzinfo=UTC), 2, account=account)
    assert lies_in(account) == {months.NET}
    assert months.strays() == 5
    with another_connection() as server:
        (file,) = server.execute(f"SELECT pg_relation_filenode('{months.NET}')").fetchone() or ()
        assert months.prepare() == ["audit_entry_2003_05_to_2003_06"]
        assert server.execute("SELECT pg_relation_filenode('audit_entry_2003_05_to_2003_06')").fetchone() == (file,)
    assert lies_in(account) == {"audit_entry_2003_05_to_2003_06"}
    assert AuditRecord.objects.filter(account_id=account).count() == 5
    assert described(months.NET)[:2] == described(months.months()[0].name)[:2]

    # Months that are there cannot be made of it: it stays, and somebody hears of it.
    written_at(datetime(2003, 4, 6, tzinfo=UTC), account=account)
    written_at(datetime(2003, 7, 6, tzinfo=UTC), account=account)
    assert months.prepare() == []
    months.turn()
    assert "2 entries lie in no month" in caplog.text
    assert AuditRecord.objects.filter(account_id=account).count() == 7
    with owner_connection() as owner:  # before anything seals them: other tests want an empty net
        owner.execute(f"ALTER TABLE {months.NET} DISABLE TRIGGER USER".encode())
        owner.execute(f"DELETE FROM {months.NET}".encode())  # noqa: S608 - the table's name is ours
        owner.execute(f"ALTER TABLE {months.NET} ENABLE TRIGGER USER".encode())


def test_a_month_that_is_over_is_indexed_and_one_that_is_written_to_is_not() -> None:
    written_at(datetime(2004, 5, 6, tzinfo=UTC), 3)
    months.turn()
    found = {month.name: month for month in months.months()}
    assert found["audit_entry_2004_05"].searchable
    now = clock.now()
    assert not any(month.searchable for month in found.values() if month.until > now)
    assert months.index_one() is None, "all are"


def test_a_reader_who_takes_long_holds_up_no_entry_and_no_turn(caplog: pytest.LogCaptureFixture) -> None:
    """The month is made later; meanwhile entries are written."""
    furthest = months.months()[0].name
    with owner_connection() as owner:
        owner.execute(f"DROP TABLE {furthest}".encode())
    with another_connection() as reader:
        reader.execute("SELECT count(*) FROM audit_entry")
        months.turn()
        assert "prepared later" in caplog.text
        log.append(entry())
    assert months.prepare() == [furthest]


# -- what reads across months --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def old(installation: None, django_db_blocker: Any) -> Iterator[tuple[UUID, UUID]]:
    """An account with entries in three months that can be searched, in the net, and now; and a group of a few."""
    account, group = uuid4(), uuid4()
    with django_db_blocker.unblock():
        for month in (2, 3, 4):
            written_at(datetime(2005, month, 9, tzinfo=UTC), 40, account=account, group=uuid4())
            written_at(datetime(2005, month, 10, tzinfo=UTC), 1, account=account, group=group)
            months.turn()
        written_at(datetime(2005, 3, 31, 23, 59, 50, tzinfo=UTC), 25, account=account, group=group)
        with another_connection() as server:
            server.execute(ENTRY, [clock.now(), account, group, 30])
            server.commit()
        yield account, group


@pytest.mark.parametrize("walked", [0, 1, 7, 50, 100, 20_000])
@pytest.mark.parametrize(
    "narrowed", [Q(), Q(category="authentication"), Q(category="never"), "group"], ids=["all", "some", "none", "group"]
)
def test_pages_are_those_of_the_plain_question_whatever_is_walked_and_searched(
    old: tuple[UUID, UUID], walked: int, narrowed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    account, group = old
    monkeypatch.setattr(listing, "WALKED", walked)
    narrowed = Q(groups__overlap=[group]) if narrowed == "group" else narrowed
    rows = AuditRecord.objects.filter(account_id=account)
    plain = list(rows.filter(narrowed).order_by("-time", "-sequence").values_list("sequence", flat=True))

    def page(before: int | None, offset: int, limit: int) -> list[int]:
        found = listing.page(rows, narrowed, before=before, offset=offset, limit=limit)
        return [row.sequence for row in found]

    for limit in (1, 9, 1000):
        turned: list[int] = []
        while more := page(turned[-1] if turned else None, 0, limit):
            turned += more
        assert turned == plain
    for offset in (0, 1, 29, 30, 31, 60, 200):
        assert page(None, offset, 10) == plain[offset : offset + 10]


def test_a_page_goes_on_after_an_entry_that_is_not_there() -> None:
    """A number that was drawn and rolled back, or one of a month that was dropped."""
    account = written_at(clock.now(), 3)
    with another_connection() as server:
        server.execute(ENTRY, [clock.now(), account, uuid4(), 1])
        (gap,) = server.execute("SELECT max(sequence) FROM audit_entry").fetchone() or ()
        server.rollback()
    written_at(clock.now() + timedelta(seconds=9), 3, account=account)
    rows = AuditRecord.objects.filter(account_id=account)
    older = list(rows.order_by("-time", "-sequence"))[3:]
    assert listing.page(rows, Q(), before=gap, offset=0, limit=9) == older
    assert listing.page(rows, Q(), before=0, offset=0, limit=3) == []


def test_months_are_sealed_and_read_back(old: tuple[UUID, UUID]) -> None:
    account, _ = old
    sealer = Sealer(keystore.deployment_id(), record_signer)
    sealer.turn(clock.now())
    sequences = AuditRecord.objects.filter(account_id=account).values_list("sequence", flat=True)
    places = sorted(AuditLeaf.objects.filter(sequence__in=list(sequences)).values_list("index", flat=True))
    assert len(places) == len(sequences)
    assert len(list(tree.lines(places[0], places[-1] + 1))) == places[-1] + 1 - places[0]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM audit_entry WHERE sequence = 5",
        "SELECT * FROM audit_entry e WHERE sequence > 5 AND NOT EXISTS (SELECT 1 FROM audit_leaf l "
        "WHERE l.sequence = e.sequence AND l.sequence > 5) ORDER BY sequence LIMIT 10000",
        "SELECT * FROM audit_entry WHERE account_id = '00000000-0000-0000-0000-000000000001' "
        'ORDER BY "time" DESC, sequence DESC LIMIT 100',
    ],
    ids=["by number", "to be sealed", "of an account"],
)
def test_no_month_is_read_whole_for_what_is_asked_all_the_time(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")  # tables of a test are so small that reading them is cheaper
        try:
            cursor.execute(f"EXPLAIN {statement}")
            plan = "\n".join(row[0] for row in cursor.fetchall())
        finally:
            cursor.execute("RESET enable_seqscan")
    assert "Seq Scan on audit_entry" not in plan


# -- a table of before ---------------------------------------------------------------------------------------------


@pytest.fixture
def before(data_folder: Path) -> Iterator[Any]:
    """A database of its own, as it was before there were months; ``manage.py migrate`` on it."""
    cluster, name = EmbeddedPostgres(data_folder), f"before_{uuid4().hex[:8]}"
    with cluster.superuser() as superuser:
        superuser.execute(f"CREATE DATABASE {name} OWNER {OWNER_ROLE}".encode())

    def migrate(*arguments: str) -> None:
        where = f"/{name}?host={cluster.sockets}"
        urls = {
            "DATABASE_URL": f"postgresql://{SERVER_ROLE}@{where}",
            "KEYSTEAD_OWNER_DATABASE_URL": f"postgresql://{OWNER_ROLE}@{where}",
        }
        command = [sys.executable, "manage.py", "migrate", "--verbosity", "0", *arguments]
        done = subprocess.run(
            command, cwd=CHECKOUT, env={**os.environ, **urls}, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr

    migrate("audit", "0006")
    migrate("accounts")
    try:
        with cluster.superuser(name) as database:
            yield migrate, database
    finally:
        with cluster.superuser() as superuser:
            superuser.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


ALL = "SELECT md5(string_agg(e::text, ' ' ORDER BY sequence)), count(*), max(sequence) FROM audit_entry e"


def test_a_table_of_before_becomes_the_first_partition_as_it_lies(before: Any) -> None:
    migrate, database = before
    for month in (3, 4, 6):
        database.execute(ENTRY, [datetime(2026, month, 9, tzinfo=UTC), uuid4(), uuid4(), 20])
    file = database.execute("SELECT pg_relation_filenode('audit_entry')").fetchone()
    rows = database.execute(ALL).fetchone()
    migrate()
    assert database.execute(ALL).fetchone() == rows
    partitions = database.execute("SELECT name, since, until, searchable FROM keystead_record_partitions()").fetchall()
    first = partitions[0]
    assert (first[1], first[3]) == (datetime(2026, 3, 1, tzinfo=UTC), True)
    assert first[0].startswith("audit_entry_2026_03_to_")
    assert first[2] > datetime.now(UTC)
    assert database.execute(f"SELECT pg_relation_filenode('{first[0]}')").fetchone() == file
    database.execute(ENTRY, [datetime.now(UTC), uuid4(), uuid4(), 1])
    assert database.execute("SELECT max(sequence) FROM audit_entry").fetchone() == (rows[2] + 1,)
    for table in (name for name, *_ in partitions):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
            database.execute(f"TRUNCATE {table}")
        for right, has in (("SELECT", True), ("INSERT", True), ("UPDATE", False), ("DELETE", False)):
            asked = database.execute("SELECT has_table_privilege(%s, %s, %s)", [SERVER_ROLE, table, right])
            assert asked.fetchone() == (has,)


def test_an_empty_table_of_before_leaves_nothing(before: Any) -> None:
    migrate, database = before
    migrate()
    partitions = database.execute("SELECT name FROM keystead_record_partitions()").fetchall()
    assert len(partitions) == 5
    assert partitions[-1] == (months.NET,)
    database.execute(ENTRY, [datetime.now(UTC), uuid4(), uuid4(), 1])
    assert database.execute("SELECT sequence FROM audit_entry").fetchone() == (1,)
