"""Tables and rights: migrations run as the owner, and the server role gets what serving needs, no more.

The record is append-only because PostgreSQL refuses the server role anything else (THREAT_MODEL.md). Knows the names of
the tables with special rules and nothing else of what is in them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from django.core.management import call_command
from django.db import OperationalError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from psycopg import sql

from kms.audit import months
from kms.config.database import DatabaseAddress

# The server role may add and read.
APPEND_ONLY = ("audit_entry", "audit_leaf", "audit_node", "audit_checkpoint", "audit_signature", "audit_cosignature")
READ_ONLY = ("django_migrations",)  # it may read
# What it may have done by the owner: the record's next months made, and those that are over indexed.
FUNCTIONS = ("keystead_prepare_record()", "keystead_index_record()")

# Any number will do, as long as everybody who migrates takes the same: "keystead" on a telephone's keys, shortened.
MIGRATION_LOCK = 53_978_323


@contextlib.contextmanager
def connected_as(address: DatabaseAddress) -> Iterator[None]:
    """Let Django's connection be this role's for a while. The database's name stays (tests have their own)."""
    before = connection.settings_dict
    settings = address.as_django()
    del settings["ENGINE"], settings["NAME"]
    # A migration that waits for a lock makes every later query wait behind it.
    settings["OPTIONS"]["options"] = f"{settings['OPTIONS'].get('options', '')} -c lock_timeout=10s".strip()
    connection.close()
    connection.settings_dict = {**before, **settings}
    connection.seals_facts = False  # type: ignore[attr-defined]  # kms.config.database_engine's
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict = before
        connection.seals_facts = True  # type: ignore[attr-defined]  # kms.config.database_engine's


def migrations_pending() -> int:
    executor = MigrationExecutor(connection)
    return len(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def migrate(*, owner: DatabaseAddress, server: DatabaseAddress) -> int:
    """Bring the tables and the rights up to date; returns how many migrations ran."""
    with connected_as(owner):
        pending = migrations_pending()
        if not pending:
            grant(server.user)
            with contextlib.suppress(OperationalError):  # somebody reads the record for long; serving tries again
                months.prepare()
    if pending:
        call_command("migrate", interactive=False, verbosity=0)  # our own: as the owner, one at a time, then grants
    return pending


def grant(role: str) -> None:
    """Give the server role its rights, in one transaction; called as the owner. Does nothing when they are one role."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        owner = cursor.fetchone()[0]
        if role == owner or not role:
            return
        tables = set(connection.introspection.table_names(cursor))
    partitions = _partitions()
    # Partitions are the record's alone. Part of the tables are there when migrations stopped in between.
    append_only = [*(table for table in APPEND_ONLY if table in tables), *partitions]
    read_only = [table for table in READ_ONLY if table in tables]
    functions = FUNCTIONS if partitions else ()
    statements = [
        "REVOKE ALL ON SCHEMA public FROM PUBLIC",
        "GRANT USAGE ON SCHEMA public TO {role}",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}",
        "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}",
        # What holds between a migration and the next grant: the least that any table allows.
        "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT ON TABLES TO {role}",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE ON SEQUENCES TO {role}",
        *(f"REVOKE ALL ON {table} FROM {{role}}" for table in (*append_only, *read_only)),
        *(f"GRANT SELECT, INSERT ON {table} TO {{role}}" for table in append_only),
        *(f"GRANT SELECT ON {table} TO {{role}}" for table in read_only),
        *(f"GRANT EXECUTE ON FUNCTION {function} TO {{role}}" for function in functions),
    ]
    with transaction.atomic(), connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(sql.SQL(statement).format(role=sql.Identifier(role)))


def _partitions() -> tuple[str, ...]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = to_regclass('audit_entry')")
        return tuple(row[0] for row in cursor.fetchall())


_EXCESS = """
SELECT p FROM unnest(ARRAY['UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER']) AS p
WHERE has_table_privilege(to_regclass(%s), p)
"""


def rewritable() -> dict[str, list[str]]:
    """What the role that is connected could do to the record and must not, by table. Superusers can do all of it."""
    found = {}
    for table in (*APPEND_ONLY, *_partitions()):
        with connection.cursor() as cursor:
            cursor.execute(_EXCESS, [table])
            if excess := [privilege for (privilege,) in cursor.fetchall()]:
                found[table] = excess
    return found


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Two replicas that start together migrate one after the other."""
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = 0")
        cursor.execute("SELECT pg_advisory_lock(%s)", [MIGRATION_LOCK])
        cursor.execute("SET lock_timeout = '10s'")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [MIGRATION_LOCK])
