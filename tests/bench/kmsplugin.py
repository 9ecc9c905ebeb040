"""``python -m tests.bench.kmsplugin``: what the KMS plugin costs an API server.

Latency of its calls over the real socket and a real server, and how long a real API server takes to start and to list
its secrets, without encryption and with the plugin. Nothing here asserts a time; all parts share the machine. It needs
what ``make test-kubernetes`` builds.
"""

from __future__ import annotations

import argparse
import secrets
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.acceptance.kubernetes.cluster import ApiServer, Etcd, kms, service_account_key
from tests.acceptance.kubernetes.conftest import BUILD
from tests.acceptance.server import RunningServer
from tests.kit.kms_plugin import KmsPlace, RunningPlugin, Stub

SEED = secrets.token_bytes(32)


@contextmanager
def parts() -> Iterator[tuple[Path, RunningPlugin]]:
    """A folder to work in, and a plugin on a server of its own."""
    folder = Path(tempfile.mkdtemp(prefix="kms-bench-"))
    server = RunningServer(folder / "data")
    try:
        server.start()
        plugin = RunningPlugin(folder / "plugin", KmsPlace(server, "bench")).start()
        yield folder, plugin
        plugin.stop()
        server.stop()
    finally:
        server.remove()
        shutil.rmtree(folder, ignore_errors=True)


def latencies(plugin: RunningPlugin, calls: int, threads: int) -> None:
    with Stub(plugin.socket, timeout=30) as stub:
        sealed = stub.encrypt(SEED)
        measured: dict[str, Callable[[], object]] = {
            "Encrypt": lambda: stub.encrypt(SEED),
            "Decrypt": lambda: stub.decrypt(sealed.ciphertext, sealed.key_id),
            "Status": stub.status,
        }
        print(f"{'call':<10} {'at once':>8} {'p50 ms':>8} {'p99 ms':>8} {'a second':>9}")
        for at_once in (1, threads):
            for name, call in measured.items():
                _row(name, at_once, calls, call)


def _row(name: str, at_once: int, calls: int, call: Callable[[], object]) -> None:
    def timed(_: int) -> float:
        began = time.perf_counter()
        call()
        return (time.perf_counter() - began) * 1000

    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(timed, range(20 * at_once)))
        began = time.perf_counter()
        took = sorted(pool.map(timed, range(calls)))
        rate = calls / (time.perf_counter() - began)
    print(f"{name:<10} {at_once:>8} {statistics.median(took):>8.1f} {took[int(len(took) * 0.99)]:>8.1f} {rate:>9.0f}")


def starts(folder: Path, plugin: RunningPlugin, count: int, runs: int) -> None:
    """Each kind of API server on an etcd of its own, with the same number of secrets of 1 kB."""
    binaries = Path(subprocess.run(["sh", str(BUILD)], capture_output=True, text=True, check=True).stdout.strip())
    etcd_program = shutil.which("etcd")
    assert etcd_program is not None, "etcd is not installed; tests/tools.sh does it"
    keys = service_account_key(folder / "service-accounts.key")
    print(f"\n{'secrets':<10} {'number':>8} {'ready s':>8} {'first list s':>13} {'Decrypt calls':>14}")
    for name, providers in (("in clear", []), ("plugin", [kms(plugin)])):
        etcd = Etcd(etcd_program, folder / f"etcd-{name}")
        api = ApiServer(binaries, folder / f"api-{name}", etcd, keys)
        if providers:
            api.encrypt(providers)
        try:
            etcd.start()
            api.start()
            api.create_many({f"secret-{number}": secrets.token_hex(512) for number in range(count)})
            results = [_start(api, plugin) for _ in range(runs)]
        finally:
            api.remove()
            etcd.remove()
        ready, listed, decrypted = (statistics.median(column) for column in zip(*results, strict=True))
        print(f"{name:<10} {count:>8} {ready:>8.2f} {listed:>13.2f} {decrypted:>14.0f}", flush=True)


def _start(api: ApiServer, plugin: RunningPlugin) -> tuple[float, float, float]:
    before = decrypts(plugin)
    api.stop()
    began = time.perf_counter()
    api.start()
    ready = time.perf_counter()
    api.read_all()
    return ready - began, time.perf_counter() - ready, decrypts(plugin) - before


def decrypts(plugin: RunningPlugin) -> int:
    return sum(line.get("method") == "Decrypt" for line in plugin.lines)


def main() -> None:
    parser: Any = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1000, help="of each kind (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=8, help="at once, in the second half (default: %(default)s)")
    parser.add_argument("--secrets", type=int, default=1000, help="default: %(default)s; 0 starts no API server")
    parser.add_argument("--starts", type=int, default=5, help="of each API server (default: %(default)s)")
    options = parser.parse_args()
    with parts() as (folder, plugin):
        latencies(plugin, options.calls, options.threads)
        if options.secrets:
            starts(folder, plugin, options.secrets, options.starts)


if __name__ == "__main__":
    main()
