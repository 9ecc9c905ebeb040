"""``python -m tests.bench.console``: what each page of the console costs, with a million objects in the account.

Time is that of the whole answer, one request after another over one connection to a server started as ``make run``
does; beside it are the page's bytes and, for the table of objects, the bare query of PostgreSQL in the same run. The
objects are made as tests.bench.scale makes them, in different states and with dates. Nothing asserts a time.
"""

from __future__ import annotations

import argparse
import http.client
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg

from kms.config.database import DATABASE_NAME
from kms.config.provision.postgres import EmbeddedPostgres
from tests.acceptance.server import RunningServer
from tests.bench.scale import _OWN, Client, fill, prepare

# One in a hundred expires, rotates, is over; one in a thousand is compromised.
_VARIED = {
    **_OWN,
    "name": "(ARRAY['payments', 'billing', 'archive', 'backup', 'invoices'])[1 + n %% 5] || '-key-' || n",
    "state": "CASE WHEN n %% 1000 = 1 THEN 'compromised' WHEN n %% 100 = 2 THEN 'deactivated' ELSE t.state END",
    "deactivation_date": "CASE WHEN n %% 100 = 3 THEN now() + (n %% 400) * interval '1 day' END",
    "rotates_at": "CASE WHEN n %% 100 = 4 THEN now() + (n %% 400) * interval '1 day' END",
    "created_at": "now() - (n %% 1000) * interval '1 day'",
}
_TABLE = {
    "objects": "",
    "objects, by creation": "sort=created_at:desc",
    "objects, by expiry": "sort=deactivation_date:asc",
    "objects, by rotation": "sort=scheduled_rotation:asc",
    "objects, search for one in five": "search=ayment",
    "objects, search for 100": "search=key-7777&sort=created_at:asc",
    "objects, search for none": "search=no-such-name",
    "objects, search for two letters": "search=zz",
    "objects, search clustered at the end": "search=yments-key-99",
    "objects, of a type": "type=HMAC",
    "objects, compromised": "state=Compromised",
    "objects, deactivated": "state=Deactivated",
    "objects, expiring in 7 days": "within=7",
    "objects, of a type, deactivated, by creation": "type=HMAC&state=Deactivated&sort=created_at:desc",
    "objects, with a quorum (none)": "guarded=yes",
}
_ONE = ("", "/edit", "/versions", "/access", "/activity", "/delete")
_BARE = """
SELECT id FROM objects_securityobject WHERE account_id = (SELECT account_id FROM objects_securityobject WHERE id = %s)
AND deletion_date IS NULL AND destruction_date IS NULL ORDER BY name, id LIMIT 51
"""


class Visitor:
    """A browser's requests without a browser."""

    def __init__(self, server: RunningServer, token: str, user: str) -> None:
        self._connection = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=120, context=server.tls)
        self._headers = {"Cookie": f"__Host-session={token}.{user}", "Accept": "text/html"}

    def get(self, path: str) -> tuple[float, int]:
        """Milliseconds and bytes."""
        started = time.perf_counter()
        self._connection.request("GET", path, headers=self._headers)
        answer = self._connection.getresponse()
        size = len(answer.read())
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status}")
        return (time.perf_counter() - started) * 1000, size


def measured(visitor: Visitor, path: str, times: int) -> tuple[float, float, int]:
    visitor.get(path)
    taken = [visitor.get(path) for _ in range(times)]
    spent = sorted(each[0] for each in taken)
    return statistics.median(spent), spent[min(len(spent) - 1, int(len(spent) * 0.95))], taken[-1][1]


def pages(key: str, group: str) -> dict[str, str]:
    table = {name: f"/objects?{query}" for name, query in _TABLE.items()}
    table["objects, of a group"] = f"/objects?group={group}"
    table["objects, from the middle"] = f"/objects?start={key}"
    one = {f"object{tab}": f"/objects/{key}{tab}" for tab in _ONE}
    return {**table, **one, "groups": "/groups", "users": "/users", "find": "/find?q=payments"}


def bare(database: psycopg.Connection[Any], key: str, times: int) -> float:
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        database.execute(_BARE, [key]).fetchall()
        taken.append((time.perf_counter() - started) * 1000)
    return statistics.median(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=1_000_000, help="in the account (default: %(default)s)")
    parser.add_argument("--times", type=int, default=20, help="requests a figure (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="keystead-console-") as folder:
        server = RunningServer(Path(folder) / "data")
        try:
            server.start()
            session = server.administrator_session()
            administrator = Client(server, session)
            template, group, _app = prepare(administrator)
            user = administrator.ask("GET", "/sys/v1/users")[0]["user_id"]
            with EmbeddedPostgres(server.data).superuser(DATABASE_NAME) as database:
                # Without the triggers that count and seal: nothing here changes what they keep.
                database.execute("SET session_replication_role = replica")
                fill(database, template, 1, options.objects, _VARIED)
                visitor = Visitor(server, session.removeprefix("Bearer "), user)
                _show(visitor, pages(_middle(database), group), options.times)
                print(f"{'the bare query of a page by name':<48}{bare(database, template, options.times):>9.1f}")
            server.stop()
        finally:
            server.remove()


def _middle(database: psycopg.Connection[Any]) -> str:
    found = database.execute("SELECT id::text FROM objects_securityobject WHERE name LIKE 'billing-key-%500%' LIMIT 1")
    (key,) = next(iter(found))
    return str(key)


def _show(visitor: Visitor, wanted: dict[str, str], times: int) -> None:
    print(f"{'page':<48}{'p50 ms':>9}{'p95 ms':>9}{'bytes':>10}")
    for name, path in wanted.items():
        try:
            middle, late, size = measured(visitor, path, times)
        except RuntimeError as refused:
            print(f"{name:<48}{refused}")
        else:
            print(f"{name:<48}{middle:>9.1f}{late:>9.1f}{size:>10,}", flush=True)


if __name__ == "__main__":
    main()
