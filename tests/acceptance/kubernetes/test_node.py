"""Pods in real containers: the kubelet, containerd and runc hold what the tests of injected secrets rest on."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.kubernetes import control_groups, images
from tests.acceptance.kubernetes.cluster import ApiServer, within
from tests.acceptance.kubernetes.node import Node, cluster_for, node_for, why_not

USER = 65532
AUDIENCE = "https://keystead.example"
KERNEL = ("vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops")

Pod = dict[str, Any]


@pytest.fixture(scope="module")
def api(binaries: Path) -> Iterator[ApiServer]:
    reason = why_not()
    if reason:
        pytest.skip(reason)
    with cluster_for(binaries) as running:
        yield running


@pytest.fixture(scope="module")
def image() -> images.Image:
    return images.probe()


@pytest.fixture(scope="module")
def node(api: ApiServer, image: images.Image) -> Iterator[Node]:
    with node_for(api, [image.archive], image.reference) as running:
        yield running


@pytest.fixture
def probe(image: images.Image) -> Pod:
    """A container that serves, to be varied."""
    return {"name": "probe", "image": image.reference, "args": ["serve"]}


def test_a_container_starts_again_after_it_has_failed(node: Node, probe: Pod) -> None:
    failing = {
        **probe,
        "args": ["fail-once", "3", "/state"],
        "volumeMounts": [{"name": "state", "mountPath": "/state"}],
    }
    node.run("failing", failing, volumes=[{"name": "state", "emptyDir": {}}], restartPolicy="OnFailure")

    node.wait("failing")
    status = node.status("failing", "probe")
    assert status["restartCount"] == 1
    assert status["lastState"]["terminated"]["exitCode"] == 3


@pytest.mark.parametrize(("code", "phase"), [(0, "Succeeded"), (7, "Failed")])
def test_an_exit_code_is_seen(node: Node, probe: Pod, code: int, phase: str) -> None:
    name = f"ends-with-{code}"
    node.run(name, {**probe, "args": ["report", str(code)]}, restartPolicy="Never")

    node.wait(name, phase)
    assert node.status(name, "probe")["state"]["terminated"]["exitCode"] == code
    assert json.loads(node.logs(name, "probe"))["pid"] == 1


# -- what an injected pod needs ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def restricted(node: Node, image: images.Image) -> Node:
    """A pod under the restricted Pod Security Standard, with a memory-backed volume and a token, runs on it."""
    token = {"serviceAccountToken": {"audience": AUDIENCE, "expirationSeconds": 600, "path": "token"}}
    container = {
        "name": "probe",
        "image": image.reference,
        "args": ["serve", "4"],
        "env": [{"name": "GREETING", "value": "hello"}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "memory", "mountPath": "/memory"},
            {"name": "token", "mountPath": "/token", "readOnly": True},
        ],
    }
    node.run(
        "restricted",
        container,
        securityContext={"runAsNonRoot": True, "runAsUser": USER, "fsGroup": 2000},
        volumes=[
            {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
            {"name": "token", "projected": {"sources": [token]}},
        ],
    )
    node.wait("restricted")
    return node


@pytest.fixture
def report(restricted: Node) -> Any:
    return json.loads(restricted.logs("restricted", "probe").splitlines()[0])


def test_user_and_privileges_are_those_that_the_pod_asks_for(report: Any) -> None:
    assert (report["uid"], report["groups"]) == (USER, [0, 2000])
    assert report["status"]["NoNewPrivs"] == "1"
    assert {int(report["status"][f"Cap{kind}"], 16) for kind in ("Prm", "Eff", "Bnd", "Inh", "Amb")} == {0}
    assert report["environment"]["GREETING"] == "hello"


def test_a_memory_backed_volume_is_never_on_a_disk(report: Any) -> None:
    [memory] = [each for each in report["mounts"] if each["path"] == "/memory"]
    assert memory["type"] == "tmpfs"
    assert "size=1024k" in memory["options"]


def test_only_volumes_are_written_under_a_read_only_root(restricted: Node) -> None:
    refused = restricted.exec("restricted", "probe", ["/probe", "put", "/file", "x"])
    assert refused.returncode == 1
    assert "read-only file system" in refused.stderr

    assert restricted.exec("restricted", "probe", ["/probe", "put", "/memory/file", "written"]).returncode == 0
    assert restricted.exec("restricted", "probe", ["/probe", "cat", "/memory/file"]).stdout == "written"


def test_a_projected_token_is_for_its_audience_and_pod(restricted: Node) -> None:
    token = restricted.exec("restricted", "probe", ["/probe", "cat", "/token/token"]).stdout
    part = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))

    assert claims["aud"] == [AUDIENCE]
    assert claims["sub"] == "system:serviceaccount:default:default"
    assert claims["exp"] - claims["iat"] == 600
    bound = claims["kubernetes.io"]
    assert bound["pod"] == {"name": "restricted", "uid": restricted.pod("restricted")["metadata"]["uid"]}


def test_what_a_container_takes_of_memory_is_measured(restricted: Node) -> None:
    [process] = restricted.processes("restricted", "probe")
    assert Path(f"/proc/{process}/cmdline").read_bytes() == b"/probe\0serve\x004\0"

    memory = restricted.memory("restricted", "probe")
    assert 0 < memory.working_set < 20 << 20
    assert 0 < memory.resident < 20 << 20


def test_a_sidecar_runs_before_the_application_and_ends_after_it(node: Node, probe: Pod) -> None:
    sidecar = {**probe, "name": "sidecar", "restartPolicy": "Always"}
    before = {**probe, "name": "before", "args": ["report"]}
    node.run("with-sidecar", {**probe, "args": ["report"]}, initContainers=[sidecar, before], restartPolicy="Never")

    node.wait("with-sidecar", "Succeeded")
    began = node.status("with-sidecar", "sidecar")["state"]["terminated"]
    middle = node.status("with-sidecar", "before")["state"]["terminated"]
    ended = node.status("with-sidecar", "probe")["state"]["terminated"]
    assert began["startedAt"] <= middle["startedAt"] <= ended["startedAt"] <= ended["finishedAt"] <= began["finishedAt"]
    assert '{"signal":"terminated"}' in node.logs("with-sidecar", "sidecar")


def test_a_deleted_pod_gets_sigterm_and_goes(node: Node, probe: Pod, api: ApiServer) -> None:
    node.run("deleted", probe, terminationGracePeriodSeconds=30)
    node.wait("deleted")
    uid = node.pod("deleted")["metadata"]["uid"]

    api.kubectl("delete", "pod", "deleted", "--wait=false")
    within(20, lambda: api.get("/api/v1/namespaces/default/pods/deleted").status_code == 404, node.said)
    assert not [path for path in control_groups.ROOT.rglob(f"pod{uid}") if path.is_dir()]


def test_nothing_of_a_node_is_left(api: ApiServer, probe: Pod, image: images.Image) -> None:
    settings = {name: Path("/proc/sys", name).read_text() for name in KERNEL}
    with node_for(api, [image.archive], image.reference, name="other") as other:
        other.run("other", probe, volumes=[{"name": "memory", "emptyDir": {"medium": "Memory"}}])
        other.wait("other")
        [process] = other.processes("other", "probe")
        control, folder = other.control, str(other.folder)
        assert list(control_groups.ROOT.rglob(control))

    assert not Path(f"/proc/{process}").exists()
    assert not list(control_groups.ROOT.rglob(control))
    assert folder not in Path("/proc/mounts").read_text()
    assert not _commands_with(folder)
    assert {name: Path("/proc/sys", name).read_text() for name in KERNEL} == settings


def _commands_with(text: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if text in command:
            found.append(command)
    return found
