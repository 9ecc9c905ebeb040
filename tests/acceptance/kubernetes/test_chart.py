"""The Helm chart: a real API server takes what it makes; it has no secret, and no rights but those it needs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from k8s.kmsplugin.config import Configuration as PluginConfiguration
from k8s.webhook.config import Configuration as WebhookConfiguration
from kms.config.environment import VARIABLES
from tests.acceptance.kubernetes.cluster import ApiServer, Etcd, service_account_key
from tests.acceptance.server import CHECKOUT

CHART = CHECKOUT / "k8s" / "deploy" / "chart"
BUILD = Path(__file__).parent / "helm" / "build.sh"
NAMESPACE = "keystead"
Json = dict[str, Any]

SERVER: Json = {
    "database": {"url": "postgresql://server@db/k", "ownerUrl": "postgresql://owner@db/k", "existingSecret": "db"},
    "token": {"module": "/opt/hsm.so", "existingSecret": "pin"},
    "secretKey": {"existingSecret": "secret-key"},
}
OFF: Json = {"server": {"enabled": False}}
PLUGIN: Json = {
    "enabled": True,
    "existingSecret": "kms",
    "key": {"name": "etcd", "cluster": "prod"},
    "addresses": ["https://kms.example"],
}
WEBHOOK: Json = {"enabled": True, "audience": "https://kms.example", "keystead": {"addresses": ["https://kms.example"]}}
LABELS = {"keystead.io/injection": "enabled"}
ISSUER = {"issuerRef": {"name": "authority"}}
MODES: dict[str, Json] = {
    "own": {"mode": "own"},
    "cert-manager": {"mode": "cert-manager", **ISSUER},
    "files": {"mode": "files", "existingSecret": "tls"},
    "bundle": {"mode": "files", "existingSecret": "tls", "caBundle": "QUFB"},
}


def merged(base: Json, more: Json) -> Json:
    result = dict(base)
    for key, value in more.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


def cases() -> Iterator[tuple[str, Json]]:
    """Each part alone, each certificate mode, and each switch the other way round from its default."""
    bases = {
        "server": {"server": SERVER},
        "kmsPlugin": {**OFF, "kmsPlugin": PLUGIN},
        "webhook": {**OFF, "webhook": WEBHOOK},
    }
    yield from bases.items()
    needed: dict[tuple[str, ...], Json] = {
        ("ingress", "enabled"): {"host": "k.example"},
        ("tls", "certManager", "enabled"): ISSUER,
    }
    for path, value in switches(yaml.safe_load((CHART / "values.yaml").read_text())):
        part = path[0] if path[0] in bases else "server"
        if path[1:] == ("enabled",) and path[0] in bases:
            continue
        change: Json = {path[-1]: not value, **needed.get(path[1:], {})}
        for name in reversed(path[:-1]):
            change = {name: change}
        yield ".".join(path), merged(bases[part], change)
    for mode, certificate in MODES.items():
        yield mode, {**OFF, "serviceMonitor": {"enabled": True}, "webhook": {**WEBHOOK, "certificate": certificate}}
    one = {"replicas": 1, "token": {"module": "", "existingSecret": ""}, "data": {"existingClaim": "data"}}
    yield "labelled", {**OFF, "webhook": {**WEBHOOK, "namespaceLabels": LABELS, "exemptNamespaces": ["legacy"]}}
    yield "softhsm", {"server": merged(SERVER, one)}
    yield "everything", {"server": SERVER, "kmsPlugin": PLUGIN, "webhook": WEBHOOK, "serviceMonitor": {"enabled": True}}


def switches(values: Json, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], bool]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from switches(value, (*path, key))
        elif isinstance(value, bool):
            yield (*path, key), value


CASES = dict(cases())


@pytest.fixture(scope="session")
def helm_folder() -> Path:
    found = subprocess.run(["sh", str(BUILD), "--check"], capture_output=True, text=True, check=False)
    if found.returncode != 0:
        pytest.skip("Helm is not built; `make test-kubernetes` does it, once")
    return Path(found.stdout.strip())


@pytest.fixture(scope="session")
def helm(
    helm_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., subprocess.CompletedProcess[str]]:
    home = tmp_path_factory.mktemp("helm")

    def run(verb: str, values: Json) -> subprocess.CompletedProcess[str]:
        file = home / "values.json"
        file.write_text(json.dumps(values))
        place = ["lint", "--strict", str(CHART)] if verb == "lint" else ["template", "keystead", str(CHART)]
        command = [str(helm_folder / "helm"), *place, "-n", NAMESPACE, "--kube-version", "1.34.1", "-f", str(file)]
        environment = {**os.environ, "HOME": str(home)}
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)

    return run


@pytest.fixture(scope="session")
def made(helm: Callable[..., subprocess.CompletedProcess[str]]) -> dict[str, list[Json]]:
    result = {}
    for name, values in CASES.items():
        done = helm("template", values)
        assert done.returncode == 0, f"{name}: {done.stderr}"
        result[name] = [each for each in yaml.safe_load_all(done.stdout) if each]
    return result


def kinds(objects: list[Json], kind: str) -> list[Json]:
    return [each for each in objects if each["kind"] == kind]


def test_it_lints(helm: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = helm("lint", CASES["everything"])
    assert done.returncode == 0, done.stdout + done.stderr


def test_schema_and_values_have_the_same_keys() -> None:
    def compare(schema: Json, values: Json, path: str) -> None:
        assert schema.get("additionalProperties") is False, path
        assert set(schema["properties"]) - {"global"} == set(values), path
        for key, value in values.items():
            if "properties" in schema["properties"][key]:
                compare(schema["properties"][key], value, f"{path}.{key}")

    compare(
        json.loads((CHART / "values.schema.json").read_text()), yaml.safe_load((CHART / "values.yaml").read_text()), ""
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"servr": {}},
        {"server": {"replicas": "two"}},
        {"server": {"database": {"url": "postgresql://server:hush@db/k"}}},
        {"server": {"settings": {"PASSWORD": "x"}}},
        {"server": {"settings": {"KEYSTEAD_DATA": "/x"}}},
        {"webhook": {"certificate": {"mode": "mine"}}},
        {"webhook": {"cluster": "prod"}},
        {"webhook": {"keystead": {"addresses": ["http://kms.example"]}}},
    ],
    ids=str,
)
def test_a_value_that_makes_no_sense_is_refused(
    helm: Callable[..., subprocess.CompletedProcess[str]], wrong: Json
) -> None:
    done = helm("template", merged(CASES["everything"], wrong))
    assert done.returncode != 0
    assert "values don't meet the specifications of the schema" in done.stderr


@pytest.mark.parametrize(
    ("lacks", "named"),
    [
        ({"server": {"token": {"module": ""}}}, "server.token.module"),
        ({"server": {"secretKey": {"existingSecret": ""}}}, "server.secretKey.existingSecret"),
        ({"server": {"data": {"existingClaim": "data"}}}, "server.data.existingClaim"),
        ({"server": {"database": {"existingSecret": ""}}}, "server.database.existingSecret"),
        ({"kmsPlugin": {"addresses": []}}, "kmsPlugin.addresses"),
        ({"webhook": {"audience": ""}}, "webhook.audience"),
    ],
    ids=str,
)
def test_what_is_missing_is_named(
    helm: Callable[..., subprocess.CompletedProcess[str]], lacks: Json, named: str
) -> None:
    done = helm("template", merged(CASES["everything"], lacks))
    assert done.returncode != 0
    assert named in done.stderr


def test_no_case_makes_a_secret_and_every_pod_is_restricted(made: dict[str, list[Json]]) -> None:
    for name, objects in made.items():
        assert not kinds(objects, "Secret"), name
        for each in kinds(objects, "Deployment"):
            spec = each["spec"]["template"]["spec"]
            assert spec["enableServiceLinks"] is False, name
            assert spec["securityContext"]["runAsNonRoot"] is True
            for container in spec["containers"]:
                assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_the_programs_read_the_configurations_that_it_writes(made: dict[str, list[Json]]) -> None:
    known = {variable.name for variable in VARIABLES}
    for objects in made.values():
        for each in kinds(objects, "ConfigMap"):
            for file, kind in (("kmsplugin.toml", PluginConfiguration), ("webhook.toml", WebhookConfiguration)):
                if file in each["data"]:
                    msgspec.convert(tomllib.loads(each["data"][file]), kind)
        for each in kinds(objects, "Deployment"):
            for container in each["spec"]["template"]["spec"]["containers"]:
                assert {variable["name"] for variable in container.get("env", [])} <= known


def test_namespaces_are_chosen_by_label_where_the_operator_says_so(made: dict[str, list[Json]]) -> None:
    selectors = {}
    for name in ("webhook", "labelled"):
        (registered,) = kinds(made[name], "MutatingWebhookConfiguration")
        selectors[name] = registered["webhooks"][0]["namespaceSelector"]
    (left_out,) = selectors["labelled"].pop("matchExpressions")
    assert set(left_out["values"]) == {"kube-system", "kube-public", "kube-node-lease", NAMESPACE, "legacy"}
    assert selectors["labelled"] == {"matchLabels": LABELS}
    assert set(selectors["webhook"]) == {"matchExpressions"}


def test_rights_are_these_and_no_more(made: dict[str, list[Json]]) -> None:
    name = "keystead-webhook"
    secrets = [
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
        {
            "apiGroups": [""],
            "resources": ["secrets"],
            "resourceNames": [f"{name}-certificate"],
            "verbs": ["get", "update"],
        },
    ]
    registration = {
        "apiGroups": ["admissionregistration.k8s.io"],
        "resources": ["mutatingwebhookconfigurations"],
        "resourceNames": [f"{name}.{NAMESPACE}"],
        "verbs": ["get", "patch"],
    }
    for case, objects in made.items():
        mode = case if case in MODES else "own"
        webhook = bool(kinds(objects, "MutatingWebhookConfiguration"))
        roles = [each["rules"] for each in kinds(objects, "Role")]
        assert roles == ([secrets] if webhook and mode == "own" else []), case
        roles = [each["rules"] for each in kinds(objects, "ClusterRole")]
        assert roles == ([[registration]] if webhook and mode in ("own", "files") else []), case


@pytest.fixture
def api(binaries: Path, helm_folder: Path, tmp_path: Path) -> Iterator[ApiServer]:
    """Without a Keystead beside it: nothing that the chart makes is run here."""
    program = shutil.which("etcd")
    assert program is not None, "etcd is not installed; tests/tools.sh does it"
    etcd = Etcd(program, tmp_path / "etcd")
    api = ApiServer(binaries, tmp_path / "api", etcd, service_account_key(tmp_path / "service-accounts.key"))
    try:
        etcd.start()
        api.start()
        prepare(api, helm_folder)
        yield api
    finally:
        api.remove()
        etcd.remove()


def prepare(api: ApiServer, helm_folder: Path) -> None:
    api.kubectl("apply", "--server-side", "-f", str(helm_folder / "crds"))
    api.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    api.kubectl("create", "namespace", NAMESPACE)
    api.kubectl("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted")


def test_the_api_server_takes_all_of_it(api: ApiServer, made: dict[str, list[Json]]) -> None:
    asked: list[Json] = []
    for objects in made.values():
        asked += [each for each in objects if each not in asked]
    arguments = ("apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-f", "-")
    said = api.kubectl(*arguments, given=yaml.safe_dump_all(asked))
    assert len(said.splitlines()) == len(asked)
    assert_restricted_pods_are_let_in(api, kinds(asked, "Deployment"))


def assert_restricted_pods_are_let_in(api: ApiServer, deployments: list[Json]) -> None:
    pods = []
    for number, each in enumerate(deployments):
        template = each["spec"]["template"]
        metadata = {**template["metadata"], "name": f"pod-{number}", "namespace": NAMESPACE}
        pods.append({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})
    given = yaml.safe_dump_all(pods)
    said = api.kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", given=given)
    assert len(said.splitlines()) == len(pods) > 1
