"""The agent beside a running application, on a real server: what arrives, what stays, how it ends and what it takes."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.kit.k8s_agent import Pod, Vault, until

MakePod = Callable[..., Pod]


def watching(pod: Pod, key: str = "db", **settings: Any) -> subprocess.Popen[str]:
    pod.secret(key, refresh_seconds=1, **settings)
    pod.file(key)
    pod.fetched()
    return pod.start()


def test_a_rotation_arrives_and_nothing_is_written_without_one(pod: Pod, vault: Vault) -> None:
    vault.keep("fresh", b"old")
    pod.variable("FRESH", secret="fresh")
    process = watching(pod, "fresh")
    before = (pod.volume() / "..data").readlink()
    until(lambda: "logged in" in pod.said)
    assert (pod.volume() / "..data").readlink() == before
    vault.rotate("fresh", b"new")
    until(lambda: pod.read("fresh") == b"new")
    until(lambda: pod.variables_of() == {"FRESH": "new"})
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0


def test_a_secret_that_is_refused_later_stays_as_it_was_and_comes_back(pod: Pod, vault: Vault) -> None:
    kid = vault.keep("later", b"value")
    watching(pod, "later")
    until(lambda: "logged in" in pod.said)
    vault.change(kid, enabled=False)
    until(lambda: "secret refused; the last value stays" in pod.said)
    assert pod.read("later") == b"value"
    vault.change(kid, enabled=True)
    until(lambda: "secret is to be had again" in pod.said)
    assert pod.said.count("secret refused") == 1
    vault.rotate("later", b"next")
    until(lambda: pod.read("later") == b"next")


def test_while_the_server_is_away_the_last_values_stay(pod: Pod, vault: Vault) -> None:
    """And a pod that starts meanwhile waits for it."""
    vault.keep("away", b"before")
    process = watching(pod, "away")
    until(lambda: "logged in" in pod.said)
    vault.server.kill()
    until(lambda: "no server, or no login; the last values stay" in pod.said)
    assert pod.read("away") == b"before"
    assert process.poll() is None
    pod.environment["KEYSTEAD_AGENT_PATIENCE"] = "90"
    fetching = pod.start("fetch")
    vault.server.start()
    assert fetching.wait(90) == 0, pod.said
    vault.rotate("away", b"after")
    until(lambda: pod.read("away") == b"after")
    assert any(line["event"] == "the server is back" for line in pod.lines)


@pytest.mark.parametrize("what", ["fetch", "refresh"])
def test_sigterm_ends_it_even_while_it_waits_for_a_server(pod_of: MakePod, vault: Vault, what: str) -> None:
    """A server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(60)
        pod = pod_of(address=f"https://127.0.0.1:{listening.getsockname()[1]}")
        pod.secret("a", refresh_seconds=1)
        pod.file("a")
        process = pod.start(what)
        connection, _ = listening.accept()
        with connection:
            process.send_signal(signal.SIGTERM)
            assert process.wait(5) == (0 if what == "refresh" else 143)  # its own attempt would take as long again


MEMORY_MB = 40


def test_it_takes_less_than_40_mb(pod: Pod, vault: Vault) -> None:
    """With TLS, twenty secrets and a template."""
    for number in range(20):
        vault.keep(f"memory-{number}", b"x" * 2000)
        pod.secret(f"memory-{number}", refresh_seconds=1)
        pod.file(f"memory-{number}")
    pod.file("all", template="{% for key in secrets %}{{ secrets[key].text }}{% endfor %}")
    pod.variable("ALL", secret="memory-0")
    pod.fetched()
    process = pod.start()
    until(lambda: "logged in" in pod.said)
    vault.rotate("memory-0", b"rotated")
    until(lambda: pod.read("memory-0") == b"rotated")
    status = Path(f"/proc/{process.pid}/status").read_text()
    kilobytes = {name: int(size) for name, size in re.findall(r"(VmHWM|VmRSS):\s+(\d+) kB", status)}
    print(kilobytes)
    assert kilobytes["VmHWM"] < MEMORY_MB * 1024, kilobytes
