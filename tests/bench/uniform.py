"""``python -m tests.bench.uniform``: how long wrong credentials take, whatever is wrong, and what a flood costs.

Median and quartiles of 100 each, taken in turn so that the machine's moods fall on all alike. Nothing asserts a time:
read whether the medians differ by more than the quartiles are apart.
"""

from __future__ import annotations

import argparse
import http.client
import json
import secrets
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psycopg

from kms.config.database import DATABASE_NAME, socket_directory
from tests.acceptance.server import RunningServer, basic
from tests.bench.processes import cpu_seconds, family

PASSWORD = "correct horse battery staple 7"


class Client:
    def __init__(self, server: RunningServer) -> None:
        self._connection = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=60, context=server.tls)

    def ask(self, method: str, path: str, authorization: str | None, body: Any = None) -> tuple[int, Any]:
        headers = {"Content-Type": "application/json"}
        if authorization is not None:
            headers["Authorization"] = authorization
        self._connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = self._connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text[:1] in b"{[" else text.decode()


def wrong_credentials(server: RunningServer, ask: Client) -> Mapping[str, Callable[[], str]]:
    """Authorization headers for a login, each wrong in one way."""
    admin = server.administrator_session()
    group = ask.ask("POST", "/sys/v1/groups", admin, {"name": "g"})[1]["group_id"]

    def app(**changes: Any) -> str:
        body = {"name": secrets.token_hex(8), "add_groups": [group], "default_group": group}
        made = ask.ask("POST", "/sys/v1/apps", admin, body)[1]["app_id"]
        if changes:
            ask.ask("PATCH", f"/sys/v1/apps/{made}", admin, changes)
        return str(made)

    def user(**body: Any) -> str:
        email = f"{secrets.token_hex(8)}@example.org"
        ask.ask("POST", "/sys/v1/users/invite", admin, {"user_email": email, **body})
        return email

    known, disabled = app(), app(enabled=False)
    active, pending = user(user_password=PASSWORD), user()
    return {
        "user, unknown": lambda: basic(f"{secrets.token_hex(8)}@example.org", "wrong password"),
        "user, wrong password": lambda: basic(active, "wrong password"),
        "user, never confirmed": lambda: basic(pending, "wrong password"),
        "app, unknown": lambda: basic(secrets.token_hex(16), "x" * 86),
        "app, wrong key": lambda: basic(known, "x" * 86),
        "app, disabled": lambda: basic(disabled, "x" * 86),
        "session, unknown": lambda: f"Bearer {secrets.token_urlsafe(48)}",
    }


def forget_attempts(server: RunningServer) -> None:
    """So that what is measured is the check, not the refusal to check."""
    host = str(socket_directory(server.data))
    with psycopg.connect(host=host, dbname=DATABASE_NAME, user="postgres", autocommit=True) as opened:
        opened.execute("DELETE FROM accounts_attemptcounter")


def measure(server: RunningServer, count: int) -> None:
    ask = Client(server)
    ways = wrong_credentials(server, ask)
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for round_ in range(count + 5):
        forget_attempts(server)
        for name, header in ways.items():
            method, path = ("GET", "/sys/v1/apps") if name.startswith("session") else ("POST", "/sys/v1/session/auth")
            began = time.perf_counter()
            status, text = ask.ask(method, path, header())
            if status != 401:
                raise RuntimeError(f"{name}: {status} {text}")
            if round_ >= 5:
                taken[name].append(time.perf_counter() - began)
    print(f"{'wrong credential':24} {'median ms':>10} {'quartiles':>16}")
    for name, times in taken.items():
        low, middle, high = (1000 * cut for cut in statistics.quantiles(times, n=4))
        print(f"{name:24} {middle:10.2f} {f'{low:.2f} .. {high:.2f}':>16}")


def flood(server: RunningServer, seconds: float) -> None:
    """Wrong API keys without pause on one connection: what each costs before and after it is refused unseen."""
    ask, admin = Client(server), server.administrator_session()
    app = ask.ask("GET", "/sys/v1/apps?limit=1", admin)[1][0]["app_id"]
    assert server.process is not None
    processes = family(server.process.pid)
    counted: dict[int, int] = {}
    began, before = time.perf_counter(), cpu_seconds(processes)
    while time.perf_counter() - began < seconds:
        status, _ = ask.ask("GET", "/sys/v1/apps", basic(app, secrets.token_urlsafe(64)))
        counted[status] = counted.get(status, 0) + 1
    took, used = time.perf_counter() - began, cpu_seconds(processes) - before
    total = sum(counted.values())
    print(f"flood on one connection: {total / took:.0f}/s, {counted}, {used / total * 1e6:.0f} us of CPU a request")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="keystead-uniform-") as folder:
        server = RunningServer(Path(folder))
        try:
            server.start()
            measure(server, arguments.count)
            flood(server, 10)
            server.stop()
        finally:
            server.remove()


if __name__ == "__main__":
    main()
