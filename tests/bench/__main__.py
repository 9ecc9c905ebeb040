"""``make bench``: requests per second, latency and CPU per request, beside ceilings measured in the same run.

Starts the server as ``make run`` does, on loopback and a data folder of its own, drives it with tests.bench.load and
prints a table. Nothing here asserts a time. Server, database and load share the machine, so read the ratios.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from tests.acceptance.server import RunningServer, basic, free_port
from tests.bench.ceilings import token_per_second
from tests.bench.processes import cpu_seconds, family

ROOT = Path(__file__).parents[2]
PLAIN = base64.b64encode(bytes(32)).decode()
BATCH = 100


@dataclass(frozen=True)
class Row:
    """One measurement. CPU in microseconds a request, of the server's processes and of PostgreSQL's."""

    name: str
    connections: int
    per_second: float
    p50_ms: float
    p99_ms: float
    server_us: float
    database_us: float
    items: int = 1
    error: str = ""


def drive(url: str, authorization: str, body: Any, connections: int, seconds: float, ca: Path | None) -> dict[str, Any]:
    job = {
        "url": url,
        "authorization": authorization,
        "body": json.dumps(body),
        "connections": connections,
        "seconds": seconds,
        "ca_file": None if ca is None else str(ca),
    }
    command = [sys.executable, "-m", "tests.bench.load"]
    done = subprocess.run(command, input=json.dumps(job), capture_output=True, text=True, check=True, cwd=ROOT)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def measure(
    name: str,
    run: Callable[[], dict[str, Any]],
    connections: int,
    server: Callable[[], list[int]],
    database: Callable[[], list[int]],
    items: int = 1,
) -> Row:
    before = cpu_seconds(server()), cpu_seconds(database())
    result = run()
    after = cpu_seconds(server()), cpu_seconds(database())
    # The warm-up second is in the CPU figures and not in the count; it carries the same load.
    requests = max(1.0, result["per_second"] * (result["elapsed"] + 1.0))
    return Row(
        name,
        connections,
        result["per_second"],
        result["p50_ms"],
        result["p99_ms"],
        (after[0] - before[0]) / requests * 1e6,
        (after[1] - before[1]) / requests * 1e6,
        items,
        result["first_error"],
    )


@contextmanager
def bare_asgi() -> Iterator[tuple[str, Callable[[], list[int]]]]:
    """The ceiling of the HTTP server: the same uvicorn, two workers, answering a constant."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "tests.bench.ceilings:constant", "--workers", "2", "--port", str(port)]
    process = subprocess.Popen([*command, "--no-access-log", "--log-level", "error", "--lifespan", "off"], cwd=ROOT)
    try:
        url = f"http://127.0.0.1:{port}/"
        _wait(lambda: httpx.post(url).status_code == 200)
        yield url, lambda: family(process.pid)
    finally:
        process.terminate()
        process.wait()


def _wait(ready: Callable[[], bool]) -> None:
    for _ in range(300):
        try:
            if ready():
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise TimeoutError("the server did not become ready")


@dataclass(frozen=True)
class Keys:
    authorization: str
    aes: str
    hmac: str
    ec: str


def prepare(server: RunningServer) -> Keys:
    """A group, an app and keys, over REST."""
    bearer = server.administrator_session()

    def ask(method: str, path: str, body: Any = None) -> Any:
        answer = server.request(method, path, body, authorization=bearer)
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {answer.text}")
        return answer.json

    group = ask("POST", "/sys/v1/groups", {"name": "bench"})["group_id"]
    app = ask("POST", "/sys/v1/apps", {"name": "bench", "add_groups": [group], "default_group": group})["app_id"]
    secret = ask("GET", f"/sys/v1/apps/{app}/credential")["credential"]["secret"]

    def new(**fields: Any) -> str:
        kid: str = ask("POST", "/crypto/v1/keys", {"group_id": group, **fields})["kid"]
        return kid

    return Keys(
        basic(app, secret),
        new(name="aes", obj_type="AES", key_size=256),
        new(name="hmac", obj_type="HMAC", key_size=256),
        new(name="ec", obj_type="EC", elliptic_curve="NistP256"),
    )


def workloads(server: RunningServer, keys: Keys) -> list[tuple[str, str, Any, tuple[int, ...], int]]:
    """Name, path, body, connections, items a request."""
    gcm = {"alg": "AES", "mode": "GCM"}
    encrypt = {"key": {"kid": keys.aes}, **gcm, "plain": PLAIN}
    made = server.request("POST", "/crypto/v1/encrypt", encrypt, authorization=keys.authorization).json
    opened = {"cipher": made["cipher"], "iv": made["iv"], "tag": made["tag"]}
    decrypt = {"key": {"kid": keys.aes}, **gcm, **opened}
    return [
        ("encrypt 32 B", "/crypto/v1/encrypt", encrypt, (1, 16, 64), 1),
        ("decrypt 32 B", "/crypto/v1/decrypt", decrypt, (1, 64), 1),
        ("hmac-sha256 32 B", "/crypto/v1/mac", {"key": {"kid": keys.hmac}, "alg": "SHA256", "data": PLAIN}, (64,), 1),
        (
            "sign P-256",
            "/crypto/v1/sign",
            {"key": {"kid": keys.ec}, "hash_alg": "SHA256", "data": PLAIN},
            (16,),
            1,
        ),
        (
            f"encrypt batch of {BATCH}",
            "/crypto/v1/keys/batch/encrypt",
            [{"kid": keys.aes, "request": {**gcm, "plain": PLAIN}}] * BATCH,
            (1, 16),
            BATCH,
        ),
        (
            f"decrypt batch of {BATCH}",
            "/crypto/v1/keys/batch/decrypt",
            [{"kid": keys.aes, "request": {**gcm, **opened}}] * BATCH,
            (16,),
            BATCH,
        ),
    ]


def show(row: Row) -> None:
    items = f" ({row.per_second * row.items:,.0f} items/s)" if row.items > 1 else ""
    print(
        f"{row.name:<24} {row.connections:>4} {row.per_second:>9,.0f} {row.p50_ms:>8.2f} {row.p99_ms:>8.2f} "
        f"{row.server_us:>9.0f} {row.database_us:>9.0f}{items}{'  ' + row.error if row.error else ''}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="of load per row (default: %(default)s)")
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores shared by server, PostgreSQL and load; {options.seconds:g} s a row", flush=True)
    heads = ("", "conn", "req/s", "p50 ms", "p99 ms", "server us", "pgsql us")
    print("{:<24} {:>4} {:>9} {:>8} {:>8} {:>9} {:>9}".format(*heads))
    rows: dict[tuple[str, int], Row] = {}
    with bare_asgi() as (url, pids):
        for connections in (1, 64):
            run = _job(url, "", {"plain": PLAIN}, connections, options.seconds, None)
            rows["bare", connections] = measure("ceiling: bare ASGI", run, connections, pids, list)
            show(rows["bare", connections])
    token = token_per_second()
    print(f"{'ceiling: token GCM 32 B':<24} {'':>4} {token:>9,.0f}   in one process, by one thread", flush=True)
    with tempfile.TemporaryDirectory(prefix="keystead-bench-") as folder:
        server = RunningServer(Path(folder) / "data")
        try:
            server.start()
            keys = prepare(server)
            for name, path, body, counts, items in workloads(server, keys):
                for connections in counts:
                    run = _job(server.url + path, keys.authorization, body, connections, options.seconds, server.ca)
                    row = measure(name, run, connections, partial(workers, server), partial(database, server), items)
                    rows[name, connections] = row
                    show(row)
            server.stop()
        finally:
            server.remove()
    ours = rows["encrypt 32 B", 64]
    print(
        f"\nencrypt at 64 connections: {ours.per_second / rows['bare', 64].per_second:.2f} of the bare ASGI server, ",
        end="",
    )
    print(f"{ours.per_second / token:.2f} of one thread on the token; every answer durably recorded before it left.")


def workers(server: RunningServer) -> list[int]:
    """The server's processes without PostgreSQL's, which may be among its children."""
    assert server.process is not None
    theirs = set(database(server))
    return [pid for pid in family(server.process.pid) if pid not in theirs]


def database(server: RunningServer) -> list[int]:
    postmaster = (server.data / "postgres" / "postmaster.pid").read_text().split("\n", 1)[0]
    return family(int(postmaster))


def _job(*arguments: Any) -> Callable[[], dict[str, Any]]:
    return lambda: drive(*arguments)


if __name__ == "__main__":
    main()
