"""``python -m tests.bench.webhook``: what injection costs those who make pods.

Pods created at once on a real API server, by turns with the webhook and without. Nothing here asserts a time; all parts
share the machine. It needs what ``make test-kubernetes`` builds.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from tests.acceptance.kubernetes.cluster import ApiServer, Etcd, service_account_key
from tests.acceptance.server import CHECKOUT
from tests.kit.running_webhook import RunningWebhook, installed
from tests.kit.webhook import Json, keystead, pod

PODS, AT_ONCE = 500, 50
OTHERS = {"example.org/a": "b"}
PATH = "/api/v1/namespaces/default/pods"
ASKED = keystead(secret__db="payments/db", env__db="PGPASSWORD", secret__tls="tls", refresh="1m", owner__tls="1000")


def main() -> None:
    built = subprocess.run(
        ["sh", str(CHECKOUT / "tests/acceptance/kubernetes/build.sh"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode != 0:
        sys.exit("Kubernetes is not built; `make test-kubernetes` does it, once")
    folder = Path(tempfile.mkdtemp(prefix="bench-webhook-"))
    etcd = Etcd("etcd", folder / "etcd")
    api = ApiServer(Path(built.stdout.strip()), folder / "api", etcd, service_account_key(folder / "key"))
    parts: list[Etcd | ApiServer | RunningWebhook] = [etcd, api]
    try:
        etcd.start()
        api.start()
        webhook = installed(api, folder / "webhook")
        parts.append(webhook)
        measure(api, webhook)
    finally:
        for part in reversed(parts):
            part.remove()
        shutil.rmtree(folder, ignore_errors=True)


def measure(api: ApiServer, webhook: RunningWebhook) -> None:
    created(api, "warm", ASKED, 20)
    print(f"{PODS} pods, {AT_ONCE} at a time; milliseconds   p50     p99     all, in seconds")
    for turn in range(2):
        for label, asked in (("without injection", OTHERS), ("with injection", ASKED)):
            before = len(reviews(webhook))
            started = time.monotonic()
            took = created(api, f"{label.partition(' ')[0]}-{turn}", asked, PODS)
            said(f"creation {label}", took, time.monotonic() - started)
            if judged := reviews(webhook)[before:]:
                said("  of it in the webhook", judged)
    print(f"memory of the webhook: {memory(webhook)} MiB")


def created(api: ApiServer, prefix: str, said_of_pod: dict[str, str], count: int) -> list[float]:
    """Milliseconds of each. A pod that comes back without its agent ends the measurement."""
    asked = said_of_pod is ASKED

    def create(client: httpx.Client, number: int) -> float:
        made = pod(said_of_pod, serviceAccountName="default")
        made["metadata"]["name"] = f"{prefix}-{number}"
        started = time.monotonic()
        answer = client.post(PATH, json=made)
        took = (time.monotonic() - started) * 1000
        assert answer.status_code == 201, answer.text
        assert bool(answer.json()["spec"].get("initContainers")) is asked
        return took

    with api.client() as client, ThreadPoolExecutor(AT_ONCE) as pool:
        client.timeout = httpx.Timeout(60)
        return list(pool.map(lambda number: create(client, number), range(count)))


def reviews(webhook: RunningWebhook) -> list[float]:
    lines: list[Json] = [each for each in webhook.lines if each["event"] == "reviewed"]
    return [float(each["ms"]) for each in lines]


def said(what: str, took: Sequence[float], whole: float | None = None) -> None:
    cuts = statistics.quantiles(took, n=100)
    print(f"{what:40} {cuts[49]:7.1f} {cuts[98]:7.1f} {'' if whole is None else f'{whole:10.1f}'}")


def memory(webhook: RunningWebhook) -> int:
    assert webhook.process is not None
    status = Path(f"/proc/{webhook.process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) // 1024


if __name__ == "__main__":
    main()
