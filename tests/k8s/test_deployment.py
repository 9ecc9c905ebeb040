"""The manifests that operators copy: they agree with each other and the plugin, and ask for no more than is needed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from k8s.kmsplugin.config import Configuration
from tests.acceptance.server import CHECKOUT

FOLDER = CHECKOUT / "k8s" / "deploy" / "kms"
CONFIGURATION = "/etc/keystead-kms/kmsplugin.toml"


@pytest.fixture(scope="module")
def configuration() -> Configuration:
    return msgspec.toml.decode((FOLDER / "kmsplugin.toml").read_bytes(), type=Configuration)


@pytest.fixture(scope="module")
def pod() -> dict[str, Any]:
    spec: dict[str, Any] = yaml.safe_load((FOLDER / "static-pod.yaml").read_text())["spec"]
    return spec


def test_the_api_server_looks_for_the_socket_where_the_plugin_makes_it(configuration: Configuration) -> None:
    found = yaml.safe_load((FOLDER / "encryption-configuration.yaml").read_text())
    (resource,) = found["resources"]
    writes, reads = resource["providers"]
    assert writes["kms"]["endpoint"] == f"unix://{configuration.listen.socket}"
    assert writes["kms"]["apiVersion"] == "v2"
    assert reads == {"identity": {}}
    # The API server must still be listening when the plugin has tried what it can.
    assert configuration.server.deadline_seconds < float(writes["kms"]["timeout"].removesuffix("s"))


def test_what_the_plugin_reads_and_where_it_listens_is_mounted(
    configuration: Configuration, pod: dict[str, Any]
) -> None:
    (container,) = pod["containers"]
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    paths = {volume["name"]: volume["hostPath"]["path"] for volume in pod["volumes"]}
    for file in (configuration.server.ca_file, configuration.credential.api_key_file, CONFIGURATION):
        assert mounts[str(Path(file).parent)]["readOnly"] is True
    socket = mounts[str(Path(configuration.listen.socket).parent)]
    assert not socket.get("readOnly")
    assert all(paths[mount["name"]] == mount["mountPath"] for mount in mounts.values())
    assert container["args"] == ["--config", CONFIGURATION]
    host, _, port = configuration.listen.telemetry.rpartition(":")
    for probe, path in (("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
        assert container[probe]["httpGet"] == {"host": host, "port": int(port), "path": path}


def test_the_pod_has_no_rights_that_it_does_not_need(pod: dict[str, Any]) -> None:
    (container,) = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in pod
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_image_pod_and_unit_start_the_same_program() -> None:
    image, unit = (FOLDER / "Dockerfile").read_text(), (FOLDER / "keystead-kms.service").read_text()
    assert 'ENTRYPOINT ["python", "-m", "k8s.kmsplugin"]' in image
    assert f'CMD ["--config", "{CONFIGURATION}"]' in image
    assert f"python -m k8s.kmsplugin --config {CONFIGURATION}\n" in unit
    user = re.search(r"^USER (\d+):", image, re.MULTILINE)
    assert user
    assert f"runAsUser: {user[1]}" in (FOLDER / "static-pod.yaml").read_text()


def test_the_image_is_made_of_what_is_there_and_let_in() -> None:
    image, let_in = (FOLDER / "Dockerfile").read_text(), (FOLDER / "Dockerfile.dockerignore").read_text()
    for source in re.findall(r"^COPY ([^-]\S*) ", image, re.MULTILINE):
        assert (CHECKOUT / source).exists()
        assert f"!{source}\n" in let_in
