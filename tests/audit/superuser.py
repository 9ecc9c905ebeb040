# ruff: noqa: S608 - statements are built from the names of our own tables and columns, which is what this is for
"""What a database's superuser can do to the record: every kind of statement, on each of its tables and columns.

A new table or column joins by itself; one of a type that is not known here fails the tests until it is. All happens in
a transaction that is taken back.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Model
from psycopg.types.json import Jsonb

from kms.audit.fact_moves import place
from kms.audit.leaf import SELECTED, line_of
from kms.audit.merkle import Frontier, leaf_hash
from kms.audit.models import AuditCheckpoint, AuditLeaf, AuditNode, AuditRecord, LogSink, Sealing
from kms.audit.sealer import KEPT_LEVELS, facts_at
from kms.config.provision.schema import connected_as

# Where entries are sent is no part of the record.
MODELS: tuple[type[Model], ...] = tuple(
    model for model in apps.get_app_config("audit").get_models() if model is not LogSink
)
TABLES = tuple(model._meta.db_table for model in MODELS)

# Another value of the same type, unlike any that is there.
OTHER = {
    "bigint": "-1 - coalesce({0}, 0)",
    "integer": "1 + coalesce({0}, 0)",
    "smallint": "1 + coalesce({0}, 0)",
    "numeric": "1 + coalesce({0}, 0)",
    "uuid": "gen_random_uuid()",
    "character varying": "left(md5(coalesce({0}, '')), {1})",
    "text": "md5(coalesce({0}, ''))",
    "timestamp with time zone": "coalesce({0}, now()) - interval '1 day'",
    "bytea": "sha256(coalesce({0}, ''))",
    "inet": "'203.0.113.99'",
    "jsonb": '\'{{"name": "other"}}\'',
    "uuid[]": "array[gen_random_uuid()]",
    "bytea[]": "array[sha256('x')]",
    "boolean": "not {0}",
}


@dataclass(frozen=True)
class Column:
    table: str
    name: str
    kind: str
    longest: int | None
    key: str

    @property
    def other(self) -> str:
        return OTHER[self.kind].format(f'"{self.name}"', self.longest)


@dataclass(frozen=True)
class Attempt:
    """Something that is done to the tables, by whoever may do everything."""

    name: str
    do: Callable[[], object]


def run(statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters or None)
        return list(cursor.fetchall()) if cursor.description else []


@contextlib.contextmanager
def superuser() -> Iterator[None]:
    """As the tables' owner with every trigger of ours off; nothing of it stays."""
    with connected_as(settings.KEYSTEAD.owner_database), transaction.atomic():
        partitions = [row[0] for row in run("SELECT name FROM keystead_record_partitions()")]
        for table in (*TABLES, *partitions):
            run(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        yield
        transaction.set_rollback(True)


_COLUMNS = """
SELECT table_name, column_name, character_maximum_length,
    CASE data_type WHEN 'ARRAY' THEN ltrim(udt_name, '_') || '[]' ELSE data_type END
FROM information_schema.columns
WHERE table_name = ANY(%s) AND table_schema = 'public' ORDER BY table_name, ordinal_position
"""


def columns() -> list[Column]:
    keys = {model._meta.db_table: str(model._meta.pk.column) for model in MODELS if model._meta.pk}
    return [
        Column(table, name, kind, longest, keys[table]) for table, name, longest, kind in run(_COLUMNS, [list(TABLES)])
    ]


# -- one statement -------------------------------------------------------------------------------------------------


def updates(column: Column) -> Iterator[Attempt]:
    table, name, key = column.table, column.name, column.key
    where = f'"{key}" = (SELECT min("{key}") FROM {table})'
    yield _statement(f"UPDATE first {table}.{name}", f'UPDATE {table} SET "{name}" = {column.other} WHERE {where}')
    yield _statement(f"UPDATE all {table}.{name}", f'UPDATE {table} SET "{name}" = {column.other}')
    yield Attempt(f"swap {table}.{name}", lambda: swap(column))


def swap(column: Column) -> None:
    """What the first row has in a column, with the next row that has something else there; by way of a third value."""
    table, name, key = column.table, f'"{column.name}"', f'"{column.key}"'
    rows = run(f"SELECT {key}, {name} FROM {table} ORDER BY {key} LIMIT 40")
    one, its = rows[0] if rows else (None, None)
    other, others = next(((row, value) for row, value in rows if value != its), (one, its))
    run(f"UPDATE {table} SET {name} = {column.other} WHERE {key} = %s", [other])
    run(f"UPDATE {table} SET {name} = %s WHERE {key} = %s", [_adapted(others), one])
    away = -1 - other if name == key and other is not None else other
    run(f"UPDATE {table} SET {name} = %s WHERE {key} = %s", [_adapted(its), away])


def _adapted(value: Any) -> Any:
    return Jsonb(value) if isinstance(value, dict) else value


def whole_table(table: str, key: str) -> Iterator[Attempt]:
    yield _statement(
        f"DELETE first of {table}", f'DELETE FROM {table} WHERE "{key}" = (SELECT min("{key}") FROM {table})'
    )
    yield _statement(
        f"DELETE last of {table}", f'DELETE FROM {table} WHERE "{key}" = (SELECT max("{key}") FROM {table})'
    )
    half = f'(SELECT percentile_disc(0.3) WITHIN GROUP (ORDER BY "{key}") FROM {table})'
    yield _statement(f"cut the tail of {table}", f'DELETE FROM {table} WHERE "{key}" > {half}')
    yield _statement(f"cut the head of {table}", f'DELETE FROM {table} WHERE "{key}" < {half}')
    yield _statement(f"TRUNCATE {table}", f"TRUNCATE {table} CASCADE")
    for where, number in (("before", "min({0}) - 1"), ("after", "max({0}) + 1")):
        new = number.format(f'"{key}"')
        copy = f"to_jsonb(r) || jsonb_build_object('{key}', (SELECT {new} FROM {table}))"
        yield _statement(
            f"INSERT a copy {where} all of {table}",
            f"INSERT INTO {table} SELECT (jsonb_populate_record(NULL::{table}, {copy})).* FROM {table} r LIMIT 1",
        )


def _statement(name: str, statement: str) -> Attempt:
    return Attempt(name, lambda: run(statement))


# -- dumps ---------------------------------------------------------------------------------------------------------


def dump(table: str) -> bytes:
    with connection.cursor() as cursor, cursor.copy(f"COPY (SELECT * FROM {table}) TO STDOUT") as copy:
        return b"".join(bytes(part) for part in copy)


def restore(dumps: dict[str, bytes]) -> None:
    """These tables as they were once."""
    for table, content in dumps.items():
        run(f"DELETE FROM {table}")
        with connection.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN") as copy:
            copy.write(content)


# -- as careful as can be ------------------------------------------------------------------------------------------


def rebuild() -> None:
    """Every hash of the tree and every root anew, with the server's own functions, over the entries as they are now.

    Even the sum of the facts, which takes a key that only the server has: so that it goes on, and the token signs.
    """
    state = Sealing.objects.get(id=1)
    facts = facts_at(state)
    sizes = list(AuditCheckpoint.objects.order_by("size").values_list("size", flat=True))
    rows = run(
        f"SELECT {SELECTED} FROM audit_entry WHERE sequence IN (SELECT sequence FROM audit_leaf) ORDER BY sequence"
    )
    AuditLeaf.objects.all().delete()
    AuditNode.objects.all().delete()
    frontier, leaves, nodes, roots = Frontier(), [], [], {}
    for index, row in enumerate(rows):
        hashed = leaf_hash(line_of(row))
        leaves.append(AuditLeaf(index=index, sequence=row[0], hash=hashed))
        for level, number, root in frontier.append(hashed):
            if level % KEPT_LEVELS == 0:
                nodes.append(AuditNode(level=level // KEPT_LEVELS, index=number, hash=root))
        roots[frontier.size] = frontier.root()
    AuditLeaf.objects.bulk_create(leaves)
    AuditNode.objects.bulk_create(nodes)
    for size in sizes:
        if size in roots:
            AuditCheckpoint.objects.filter(size=size).update(root=roots[size])
    hidden = facts.hidden(place(frontier))
    Sealing.objects.update(size=frontier.size, frontier=frontier.hashes, complete_to=0, mark=None, facts=hidden)


def insert_into_the_past() -> None:
    """An entry that never was, with a number before all others."""
    copy = "to_jsonb(r) || jsonb_build_object('sequence', (SELECT min(sequence) - 1 FROM audit_entry))"
    first = f"SELECT (jsonb_populate_record(NULL::audit_entry, {copy})).* FROM audit_entry r ORDER BY sequence LIMIT 1"
    run(f"INSERT INTO audit_entry {first}")
    run("INSERT INTO audit_leaf SELECT -1, min(sequence), sha256('x') FROM audit_entry")


def first_entries() -> list[int]:
    return list(AuditRecord.objects.order_by("sequence").values_list("sequence", flat=True)[:2])
