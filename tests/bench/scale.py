"""``make scale``: what a lookup, a list page and a creation cost with 1,000 objects in one account, and with a million.

The objects are rows copied from one real AES key under ids, names and metadata of their own, inserted by SQL with the
triggers on: only their blobs would not open, which nothing here does. Nothing asserts a time; read the ratios.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psycopg

from kms.config.database import DATABASE_NAME
from kms.config.provision.postgres import EmbeddedPostgres
from tests.acceptance.server import RunningServer, basic

STEP = 50_000
GROUPS = 20

_FILL = """
INSERT INTO objects_securityobject ({columns})
SELECT {selected} FROM objects_securityobject t, generate_series(%(first)s::bigint, %(last)s::bigint) AS n,
    LATERAL (SELECT id FROM accounts_group WHERE name = 'g' || (n %% %(groups)s)::text) AS g
WHERE t.id = %(template)s
"""
# What differs from the template; everything else is taken over.
_OWN = {
    "id": "gen_random_uuid()",
    "name": "'key-' || n",
    "group_id": "g.id",
    "kind": "CASE WHEN n %% 10 = 0 THEN 'HMAC' ELSE t.kind END",
    "custom_metadata": "jsonb_build_object('owner', 'team-' || (n %% 10)::text, 'batch', (n / 100)::text)",
}


class Client:
    """One kept-alive connection."""

    def __init__(self, server: RunningServer, authorization: str) -> None:
        self._connection = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=120, context=server.tls)
        self._headers = {"Authorization": authorization, "Content-Type": "application/json"}

    def reconnect(self) -> None:
        self._connection.close()

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        self._connection.request(method, path, None if body is None else json.dumps(body), self._headers)
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {text.decode()}")
        return json.loads(text) if text else None


def fill(
    database: psycopg.Connection[Any], template: str, first: int, last: int, own: Mapping[str, str] = _OWN
) -> None:
    columns = [
        row[0]
        for row in database.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'objects_securityobject'"
        )
    ]
    selected = ", ".join(own.get(column, f"t.{column}") for column in columns)
    statement = _FILL.format(columns=", ".join(columns), selected=selected)
    for start in range(first, last + 1, STEP):
        end = min(start + STEP - 1, last)
        database.execute(statement, {"first": start, "last": end, "groups": GROUPS, "template": template})
        print(f"\r{end:,} objects", end="", flush=True)
    print()
    database.execute("ANALYZE objects_securityobject")


def milliseconds(work: Callable[[int], Any], times: int) -> float:
    """The median of single calls, one after another."""
    taken = []
    for number in range(times):
        started = time.perf_counter()
        work(number)
        taken.append((time.perf_counter() - started) * 1000)
    return statistics.median(taken)


def measure(client: Client, sample: list[tuple[str, str]], group: str, tag: str, times: int) -> dict[str, float]:
    def pick(number: int) -> tuple[str, str]:
        return sample[number % len(sample)]

    def create(number: int) -> None:
        body = {"name": f"{tag}-{number}", "obj_type": "AES", "key_size": 256, "group_id": group}
        client.ask("POST", "/crypto/v1/keys", body)

    listing = "/crypto/v1/keys?limit=100"
    rows: dict[str, Callable[[int], Any]] = {
        "get by kid": lambda n: client.ask("GET", f"/crypto/v1/keys/{pick(n)[0]}"),
        "get by name": lambda n: client.ask("POST", "/crypto/v1/keys/info", {"name": pick(n)[1]}),
        "page of 100": lambda _: client.ask("GET", listing),
        "page of 100 after an id": lambda n: client.ask("GET", f"{listing}&sort=kid&start={pick(n)[0]}"),
        "page of 100 by name": lambda n: client.ask("GET", f"{listing}&sort=name&start={pick(n)[1]}"),
        "page of a group": lambda _: client.ask("GET", f"{listing}&group_id={group}"),
        "page of a type (1 in 10)": lambda _: client.ask("GET", f"{listing}&obj_type=HMAC"),
        "page by metadata (1 in 10)": lambda n: client.ask("GET", f"{listing}&custom_metadata.owner=team-{n % 10}"),
        "page by metadata (100 in all)": lambda n: client.ask("GET", f"{listing}&custom_metadata.batch={n % 9}"),
        "page by exact name": lambda n: client.ask("GET", f"{listing}&name={pick(n)[1]}"),
        "create AES-256": create,
    }
    return {name: milliseconds(work, times) for name, work in rows.items()}


def prepare(client: Client) -> tuple[str, str, str]:
    """Groups, an app that may use them, and the template's id."""
    groups = [client.ask("POST", "/sys/v1/groups", {"name": f"g{number}"})["group_id"] for number in range(GROUPS)]
    app = client.ask("POST", "/sys/v1/apps", {"name": "scale", "add_groups": groups, "default_group": groups[0]})
    secret = client.ask("GET", f"/sys/v1/apps/{app['app_id']}/credential")["credential"]["secret"]
    body = {"name": "template", "obj_type": "AES", "key_size": 256, "group_id": groups[0]}
    return client.ask("POST", "/crypto/v1/keys", body)["kid"], groups[0], basic(app["app_id"], secret)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=1_000_000, help="in the large account (default: %(default)s)")
    parser.add_argument("--times", type=int, default=60, help="calls a figure (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="keystead-scale-") as folder:
        server = RunningServer(Path(folder) / "data")
        try:
            server.start()
            administrator = Client(server, server.administrator_session())
            template, group, app = prepare(administrator)
            callers = {"administrator": administrator, "app in 20 groups": Client(server, app)}
            with EmbeddedPostgres(server.data).superuser(DATABASE_NAME) as database:
                small = _figures(callers, database, template, group, 1, 1_000, options.times)
                large = _figures(callers, database, template, group, 1_001, options.objects, options.times)
            _show(small, large, options.objects)
            server.stop()
        finally:
            server.remove()


def _figures(
    callers: dict[str, Client],
    database: psycopg.Connection[Any],
    template: str,
    group: str,
    first: int,
    last: int,
    times: int,
) -> dict[str, dict[str, float]]:
    fill(database, template, first, last)
    for client in callers.values():
        client.reconnect()  # the server gave up connections that were idle while the rows were made
    found = database.execute(
        "SELECT id::text, name FROM objects_securityobject WHERE name LIKE 'key-%%' ORDER BY md5(id::text) LIMIT 50"
    )
    sample = [(row[0], row[1]) for row in found]
    return {caller: measure(client, sample, group, f"{caller[:3]}-{last}", times) for caller, client in callers.items()}


def _show(small: dict[str, dict[str, float]], large: dict[str, dict[str, float]], objects: int) -> None:
    print(f"\n{'median ms':<48} {'1,000':>10} {objects:>12,} {'ratio':>7}")
    for caller, rows in small.items():
        for name, value in rows.items():
            other = large[caller][name]
            print(f"{caller + ': ' + name:<48} {value:>10.2f} {other:>12.2f} {other / value:>7.2f}")


if __name__ == "__main__":
    main()
