"""``python -m tests.bench.logs``: what a page of ``GET /sys/v1/logs`` costs on ten million entries of 24 months.

Fills a database of its own by SQL, a month a partition, with triggers on. For each filter that clients can send it
prints the first page and one from the middle of the record, for an auditor of the account and an app that sees one
quiet group, beside the ceiling: as many rows looked up by primary key in one statement, and nothing done with them.
``--insertion`` measures instead what indexes cost the group commit. Nothing asserts a time.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import md5
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import django
import psycopg

from kms.audit import rows
from kms.audit.entry import AuditEntry, Category, Outcome, entry_id
from kms.config.database import DATABASE_NAME, OWNER_ROLE, SERVER_ROLE
from kms.config.provision.postgres import EmbeddedPostgres
from tests.acceptance.server import RunningServer, basic
from tests.bench.processes import cpu_seconds, family
from tests.bench.scale import Client, milliseconds

MONTHS = 24
STEP = 250_000
BATCHES = (30, 512)
INSERTED = 40_000

# Of each hundred entries 90 are of apps on keys, 5 logins, 3 reads and 2 of administrators; one in a thousand failed. A
# third of the calls on keys is on one key, of every app but ten; one in 200,000 is on a rare one.
_FILL = """
INSERT INTO audit_entry ("time", account_id, actor_kind, actor_id, method, session_id, action, category, severity,
    outcome, reason, object_kind, object_id, groups, client_ip, request_id, duration_us, details)
SELECT %(since)s::timestamptz + (n - %(first)s) * (%(until)s::timestamptz - %(since)s::timestamptz) / %(count)s,
    %(account)s, CASE WHEN user_ THEN 'user' ELSE 'app' END,
    CASE WHEN user_ THEN md5('user ' || n %% 20)::uuid ELSE md5('app ' || app)::uuid END, 'api-key', NULL,
    CASE WHEN key THEN 'object.encrypt' WHEN user_ THEN 'app.update' ELSE 'session.create' END,
    CASE WHEN key THEN 'cryptographic' WHEN user_ THEN 'administrative'
        WHEN n %% 100 < 95 THEN 'authentication' ELSE 'other' END,
    CASE WHEN n %% 1000 = 7 THEN 'error' WHEN n %% 200 = 3 THEN 'warning' ELSE 'info' END,
    CASE WHEN n %% 1000 = 7 THEN 'failed' WHEN n %% 200 = 3 THEN 'denied' ELSE 'done' END,
    'granted', CASE WHEN key THEN 'object' ELSE '' END,
    CASE WHEN NOT key THEN NULL WHEN n %% 200000 = 11 THEN md5('rare')::uuid
        WHEN n %% 3 = 0 AND app >= 10 THEN md5('hot')::uuid ELSE md5('key ' || app || ' ' || n %% 10)::uuid END,
    CASE WHEN n %% 200000 = 11 THEN ARRAY[%(quiet)s::uuid] ELSE ARRAY[md5('group ' || app %% 20)::uuid] END,
    '192.0.2.7', gen_random_uuid(), 350 + n %% 100,
    '{"mode": "GCM", "algorithm": "AES", "input_bytes": 32, "output_bytes": 32}'
FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n,
    LATERAL (SELECT (n * 7919 / 100) %% 100 AS app, n %% 100 < 90 AS key, n %% 100 >= 98 AS user_) AS drawn
"""
# At places that no tree has: else the sealer would work through them while others are measured.
_SEALED = """
INSERT INTO audit_leaf (index, sequence, hash) SELECT -sequence, sequence, sha256('') FROM audit_entry
WHERE sequence > coalesce((SELECT max(sequence) FROM audit_leaf), 0)
"""


def drawn(name: str) -> UUID:
    return UUID(md5(name.encode(), usedforsecurity=False).hexdigest())


def filters(now: datetime) -> dict[str, Mapping[str, object]]:
    """Name, and what the client sends beside ``size``."""
    month = int((now - timedelta(days=200)).timestamp())
    return {
        "nothing": {},
        "a month": {"range_from": month, "range_to": month + 30 * 86_400},
        "an hour": {"range_from": month, "range_to": month + 3_600},
        "an hour of the future": {"range_from": month + 10**9},
        "action type, 90 %": {"action_type": "CRYPTOOPERATION"},
        "action type, 2 %": {"action_type": "ADMINISTRATIVE"},
        "action type, none": {"action_type": "RUNPLUGIN"},
        "actor type, 2 %": {"actor_type": "User"},
        "actor type, none": {"actor_type": "System"},
        "severity, 1 in 1,000": {"severity": "ERROR"},
        "severity, none": {"severity": "CRITICAL"},
        "actor, 1 %": {"actor_id": drawn("app 50")},
        "actor, none": {"actor_id": drawn("nobody")},
        "object, 27 %": {"object_id": drawn("hot")},
        "object, 1 in 200,000": {"object_id": drawn("rare")},
        "object, none": {"object_id": drawn("nothing")},
        "actor and object, none": {"actor_id": drawn("app 5"), "object_id": drawn("hot")},
        "actor and action type": {"actor_id": drawn("app 50"), "action_type": "AUTH"},
        "actor and action type, none": {"actor_id": drawn("app 50"), "action_type": "ADMINISTRATIVE"},
        "object and severity": {"object_id": drawn("hot"), "severity": "ERROR"},
        "object and actor type, none": {"object_id": drawn("hot"), "actor_type": "User"},
        "a month, an actor and errors": {
            "range_from": month,
            "range_to": month + 30 * 86_400,
            "actor_id": drawn("app 50"),
            "severity": "ERROR",
        },
    }


def spread(entries: int, now: datetime) -> Iterator[tuple[datetime, datetime, int]]:
    """The months up to now, with how many entries each has: the last one only its share."""
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    starts = [first]
    for _ in range(MONTHS - 1):
        starts.append((starts[-1] - timedelta(days=1)).replace(day=1))
    starts.reverse()
    ends = [*starts[1:], now]
    whole = (now - starts[0]).total_seconds()
    for since, until in zip(starts, ends, strict=True):
        yield since, until, round(entries * (until - since).total_seconds() / whole)


def fill(database: psycopg.Connection[Any], account: UUID, quiet: UUID, entries: int) -> None:
    now, done = datetime.now(UTC), 0
    database.execute(f"SET ROLE {OWNER_ROLE}".encode())
    for since, until, count in spread(entries, now):
        if until < now:
            database.execute("SELECT keystead_record_add(%s, %s)", [since, until])
        parts = range(0, count, STEP)
        for start in parts:
            end = min(start + STEP, count)
            step = (until - since) / count
            places = {"since": since + start * step, "until": since + end * step, "count": end - start}
            numbers = {"first": done + start, "last": done + end - 1}
            database.execute(_FILL, {**places, **numbers, "account": account, "quiet": quiet})
        done += count
        print(f"\r{done:,} entries", end="", flush=True)
    print()
    database.execute(_SEALED)
    started = time.perf_counter()
    indexed = 0
    while database.execute("SELECT keystead_index_record()").fetchone() != (None,):
        indexed += 1
    print(f"{indexed} months made ready for searches in {time.perf_counter() - started:.1f} s")
    database.execute("VACUUM (ANALYZE) audit_entry")
    database.execute("RESET ROLE")


# -- pages ---------------------------------------------------------------------------------------------------------


def path(wanted: Mapping[str, object], size: int, previous: UUID | None) -> str:
    given = {"size": size, **wanted, **({} if previous is None else {"previous_id": previous})}
    return "/sys/v1/logs?" + "&".join(f"{name}={value}" for name, value in given.items())


def show_pages(clients: Mapping[str, Client], middle: UUID, size: int, times: int) -> None:
    heads = [f"{who}: {what}" for who in clients for what in ("first", "middle")]
    print(f"\nmedian ms, pages of {size}\n{'filter':<30}" + "".join(f"{head:>20}" for head in heads))
    for name, wanted in filters(datetime.now(UTC)).items():
        figures = []
        for client in clients.values():
            for previous in (None, middle):
                asked = path(wanted, size, previous)
                hits = len(client.ask("GET", asked)["hits"])
                taken = milliseconds(lambda _, client=client, asked=asked: client.ask("GET", asked), times)  # type: ignore[misc]  # bound now
                figures.append(f"{taken:>10.1f} ({hits:>5})  ")
        print(f"{name:<30}" + "".join(f"{figure:>20}" for figure in figures), flush=True)


def ceiling(server: psycopg.Connection[Any], size: int, times: int) -> float:
    """Rows of the table by their primary keys, drawn from all over it."""
    keys = server.execute('SELECT sequence, "time" FROM audit_entry TABLESAMPLE SYSTEM (0.1)').fetchall()
    draws = [keys[number::times][:size] for number in range(times)]
    found = (
        "SELECT e.* FROM unnest(%s::int8[], %s::timestamptz[]) AS k(s, t) "
        'JOIN audit_entry e ON e.sequence = k.s AND e."time" = k.t'
    )

    def look(number: int) -> None:
        numbers, moments = zip(*draws[number], strict=True)
        server.execute(found, [list(numbers), list(moments)]).fetchall()

    return milliseconds(look, times)


# -- insertion -----------------------------------------------------------------------------------------------------

_SEARCH = (
    "(account_id, category, severity, actor_kind)",
    "(actor_id)",
    "(object_id)",
    "USING gin (groups)",
)


def entry(number: int) -> AuditEntry:
    app = number * 7919 % 100
    return AuditEntry(
        action="object.encrypt",
        category=Category.CRYPTOGRAPHIC,
        outcome=Outcome.DONE,
        reason="granted",
        actor_kind="app",
        actor_id=drawn(f"app {app}"),
        method="api-key",
        account=drawn("account"),
        object_kind="object",
        object_id=drawn("hot") if number % 3 == 0 else drawn(f"key {app} {number % 10}"),
        groups=(drawn(f"group {app % 20}"),),
        client_ip="192.0.2.7",
        request_id=uuid4(),
        duration_us=400,
        details={"mode": "GCM", "algorithm": "AES", "input_bytes": 32, "output_bytes": 32},
    )


@contextmanager
def indexed(database: psycopg.Connection[Any], definitions: tuple[str, ...]) -> Iterator[None]:
    """More indexes on all months, for a while."""
    names = [f"bench_{number}" for number in range(len(definitions))]
    for name, definition in zip(names, definitions, strict=True):
        database.execute(f"CREATE INDEX {name} ON audit_entry {definition}".encode())
    try:
        yield
    finally:
        for name in names:
            database.execute(f"DROP INDEX {name}".encode())


def insertion(server: psycopg.Connection[Any], postmaster: int, size: int) -> tuple[float, float]:
    """Entries a second, and microseconds of PostgreSQL's CPU an entry, through the group commit's own statement."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kms.config.settings")
    django.setup()
    from kms.audit.log import _COMMIT  # what it imports has models

    batches = []
    for start in range(0, INSERTED, size):
        columns = rows.columns_of([entry(number) for number in range(start, start + size)])
        batches.append({**columns, "subjects": "{}", "versions": "{}"})
    before, started = cpu_seconds(family(postmaster)), time.perf_counter()
    for batch in batches:
        server.execute(_COMMIT, batch, prepare=True)
    taken = time.perf_counter() - started
    count = len(batches) * size
    return count / taken, (cpu_seconds(family(postmaster)) - before) / count * 1e6


def show_insertion(database: psycopg.Connection[Any], server: psycopg.Connection[Any], postmaster: int) -> None:
    sets: dict[str, tuple[str, ...]] = {"as it is": (), **{f"with {each}": (each,) for each in _SEARCH}}
    sets["with all of these"] = _SEARCH
    print(f"\n{'indexes':<58} {'batch':>6} {'entries/s':>10} {'pgsql us an entry':>18}")
    measured: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for _ in range(3):
        for name, definitions in sets.items():
            with indexed(database, definitions):
                database.execute("CHECKPOINT")
                for size in BATCHES:
                    measured.setdefault((name, size), []).append(insertion(server, postmaster, size))
    for (name, size), figures in measured.items():
        rate, cpu = (statistics.median(each) for each in zip(*figures, strict=True))
        print(f"{name:<58} {size:>6} {rate:>10,.0f} {cpu:>18.1f}", flush=True)


# -- all of it -----------------------------------------------------------------------------------------------------


def prepare(server: RunningServer) -> tuple[UUID, UUID, str]:
    """The administrator's account, a group and an app that may see what it did."""
    bearer = server.administrator_session()
    ask = Client(server, bearer).ask
    group = ask("POST", "/sys/v1/groups", {"name": "quiet"})["group_id"]
    app = {"name": "quiet", "add_groups": {group: ["AUDIT"]}, "default_group": group}
    made = ask("POST", "/sys/v1/apps", app)
    secret = ask("GET", f"/sys/v1/apps/{made['app_id']}/credential")["credential"]["secret"]
    return UUID(made["acct_id"]), UUID(group), basic(made["app_id"], secret)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=10_000_000, help="in the account (default: %(default)s)")
    parser.add_argument("--size", type=int, default=100, help="of a page, up to 1,000 (default: %(default)s)")
    parser.add_argument("--times", type=int, default=9, help="calls a figure (default: %(default)s)")
    parser.add_argument("--insertion", action="store_true", help="measure what indexes cost the group commit")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="keystead-logs-") as folder:
        server = RunningServer(Path(folder) / "data")
        try:
            server.start()
            account, quiet, app = prepare(server)
            server.stop()
            postgres = EmbeddedPostgres(server.data)
            postgres.start(print)
            with postgres.superuser(DATABASE_NAME) as database, _as_server(postgres) as connection:
                fill(database, account, quiet, options.entries)
                if options.insertion:
                    postmaster = int((postgres.cluster / "postmaster.pid").read_text().split("\n", 1)[0])
                    show_insertion(database, connection, postmaster)
                    return
                middle = database.execute(
                    "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY sequence) FROM audit_entry"
                )
                number = middle.fetchone()
                assert number is not None
                rows_ms = ceiling(connection, options.size, options.times)
                print(f"ceiling: {options.size} rows by primary key {rows_ms:.1f} ms")
                server.start()
                clients = {
                    "auditor": Client(server, server.administrator_session()),
                    "quiet app": Client(server, app),
                }
                show_pages(clients, entry_id(number[0]), options.size, options.times)
                server.stop()
        finally:
            server.remove()


@contextmanager
def _as_server(postgres: EmbeddedPostgres) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(
        host=str(postgres.sockets), dbname=DATABASE_NAME, user=SERVER_ROLE, autocommit=True, prepare_threshold=0
    ) as connection:
        yield connection


if __name__ == "__main__":
    main()
