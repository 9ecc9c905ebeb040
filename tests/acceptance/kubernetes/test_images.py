"""The images that injected secrets are tried with: nginx and PostgreSQL as Debian has them, and the agent's, bare."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.acceptance.kubernetes import images
from tests.acceptance.kubernetes.cluster import ApiServer, within
from tests.acceptance.kubernetes.node import Node, cluster_for, node_for, why_not
from tests.acceptance.server import free_port

SITE = "server { listen 127.0.0.1:%d; root /var/www/html; index index.nginx-debian.html; }"
# Nobody waits for this long: the images are large, and the machine may have much else to do.
START_SECONDS = 120.0


@pytest.fixture(scope="module")
def api(binaries: Path) -> Iterator[ApiServer]:
    reason = why_not()
    if reason:
        pytest.skip(reason)
    with cluster_for(binaries) as running:
        yield running


@pytest.fixture(scope="module")
def node(api: ApiServer) -> Iterator[Node]:
    sandbox = images.probe()
    made = (sandbox, images.nginx(), images.postgresql(), images.agent())
    with node_for(api, [each.archive for each in made], sandbox.reference) as running:
        yield running


def test_nginx_serves_its_package_s_page(node: Node, api: ApiServer) -> None:
    port = free_port()
    api.kubectl("create", "configmap", "site", f"--from-literal=default={SITE % port}")
    site = {"name": "site", "mountPath": "/etc/nginx/sites-enabled"}
    container = {"name": "nginx", "image": images.nginx().reference, "volumeMounts": [site]}
    node.run("web", container, volumes=[{"name": "site", "configMap": {"name": "site"}}])

    node.wait("web", seconds=START_SECONDS)
    assert "Welcome to nginx!" in _page(port)
    within(20, lambda: '"GET / HTTP/1.1" 200' in node.logs("web", "nginx"), lambda: node.logs("web", "nginx"))


def test_postgresql_takes_the_password_that_its_environment_says(node: Node) -> None:
    port = free_port()
    arguments = ["postgres", "-p", str(port), "-c", "listen_addresses=127.0.0.1"]
    password = [{"name": "POSTGRES_PASSWORD", "value": "the-first"}]
    node.run("db", {"name": "db", "image": images.postgresql().reference, "args": arguments, "env": password})
    node.wait("db", seconds=START_SECONDS)
    within(START_SECONDS, lambda: "ready to accept connections" in node.logs("db", "db"), lambda: node.logs("db", "db"))

    assert _asked(node, port, "the-first") == (0, "42\n")
    code, said = _asked(node, port, "another")
    assert code == 2
    assert "password authentication failed" in said


def test_the_agent_has_no_shell_and_is_not_root(node: Node) -> None:
    image = images.agent()
    look = "import os, k8s.agent.__main__; print(os.getuid(), sorted(os.listdir('/bin')))"
    container = {"name": "agent", "image": image.reference, "command": ["/usr/bin/python3", "-c", look]}
    node.run("agent", container, restartPolicy="Never", securityContext={"runAsNonRoot": True})

    node.wait("agent", "Succeeded", seconds=START_SECONDS)
    user, _, programs = node.logs("agent", "agent").partition(" ")
    assert user == str(images.AGENT_USER)
    assert not {"sh", "bash", "dash", "busybox", "apt-get", "dpkg"} & set(programs.split("'"))
    assert image.size < 100 << 20


def _page(port: int) -> str:
    pages: list[str] = []

    def answers() -> bool:
        try:
            pages.append(httpx.get(f"http://127.0.0.1:{port}/").text)
        except httpx.TransportError:
            return False
        return True

    within(START_SECONDS, answers)
    return pages[-1]


def _asked(node: Node, port: int, password: str) -> tuple[int, str]:
    sql = ["psql", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "-Atc", "SELECT 41 + 1"]
    done = node.exec("db", "db", ["env", f"PGPASSWORD={password}", *sql])
    return done.returncode, done.stdout + done.stderr
