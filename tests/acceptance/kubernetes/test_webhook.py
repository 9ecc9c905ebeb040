"""The webhook registered with a real API server: pods that kubectl makes come out with their agents, or not at all."""

from __future__ import annotations

import base64
import ipaddress
import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from tests.acceptance.kubernetes.cluster import ApiServer, Etcd, service_account_key, within
from tests.kit.certificates import SERVER, authority, leaf
from tests.kit.running_webhook import NAME, NAMESPACE, SECRET, RunningWebhook, installed, registration
from tests.kit.webhook import AGENT_IMAGE, Json, keystead, pod

LOOPBACK = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
ASKED = keystead(secret__db="payments/db-password", env__db="PGPASSWORD", refresh="1m")


@pytest.fixture(scope="module")
def cluster(binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """Its pods are admitted and stored; nothing runs them."""
    folder = tmp_path_factory.mktemp("webhook")
    etcd = Etcd("etcd", folder / "etcd")
    api = ApiServer(binaries, folder / "api", etcd, service_account_key(folder / "service-accounts.key"))
    etcd.start()
    api.start()
    yield api
    api.remove()
    etcd.remove()


@pytest.fixture(scope="module")
def webhook(cluster: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningWebhook]:
    running = installed(cluster, tmp_path_factory.mktemp("running"))
    yield running
    running.remove()


def create(api: ApiServer, name: str, annotations: dict[str, str], *options: str, **spec: Any) -> Json:
    # What the admission plugin ServiceAccount sets; it is left out of this cluster, where nobody makes accounts.
    made = pod(annotations, **{"serviceAccountName": "default", **spec})
    made["metadata"]["name"] = name
    found: Json = json.loads(api.kubectl("create", "-o", "json", "-f", "-", *options, given=json.dumps(made)))
    return found


def refused(api: ApiServer, name: str, annotations: dict[str, str], *options: str, **spec: Any) -> str:
    with pytest.raises(AssertionError) as caught:
        create(api, name, annotations, *options, **spec)
    return str(caught.value)


def injected(made: Json) -> bool:
    return any(each["name"] == "keystead-agent" for each in made["spec"].get("initContainers", []))


def test_a_pod_comes_out_with_its_agent(cluster: ApiServer, webhook: RunningWebhook) -> None:
    made = create(cluster, "payments", ASKED)
    first, second = made["spec"]["initContainers"]
    assert (first["args"], second["args"]) == (["fetch"], ["refresh"])
    assert first["image"] == AGENT_IMAGE
    assert second["restartPolicy"] == "Always"
    (app,) = made["spec"]["containers"]
    assert app["command"][0] == "/keystead/bin/keystead-launch"
    assert app["command"][-2:] == ["--", "/app"]
    assert made["metadata"]["annotations"]["keystead.io/status"] == "injected"
    line = next(each for each in webhook.lines if each.get("verdict") == "injected")
    assert (line["namespace"], line["pod"]) == ("default", "payments")
    assert 'keystead_webhook_reviews_total{verdict="injected"}' in webhook.metrics()


def test_a_wrong_annotation_is_refused_in_the_sentence_that_names_it(
    cluster: ApiServer, webhook: RunningWebhook
) -> None:
    said = refused(cluster, "wrong", keystead(secret__db="db", pth__db="/x/y"))
    assert "keystead.io/pth.db is not an annotation of Keystead's; did you mean keystead.io/path.db?" in said


def test_pods_of_a_deployment_have_no_name_yet_and_are_injected(cluster: ApiServer, webhook: RunningWebhook) -> None:
    made = pod(ASKED, serviceAccountName="default")
    made["metadata"] = {"generateName": "web-", "annotations": made["metadata"]["annotations"]}
    assert injected(json.loads(cluster.kubectl("create", "-o", "json", "-f", "-", given=json.dumps(made))))


def test_a_dry_run_shows_the_patched_pod_and_leaves_nothing(cluster: ApiServer, webhook: RunningWebhook) -> None:
    assert injected(create(cluster, "dry", ASKED, "--dry-run=server"))
    assert "dry" not in cluster.kubectl("get", "pods", "-o", "name").split("/")


def test_annotations_are_read_when_a_pod_is_made(cluster: ApiServer, webhook: RunningWebhook) -> None:
    create(cluster, "fixed", ASKED)
    for change in ("keystead.io/secret.db=other", "keystead.io/secret.db-", "keystead.io/env.new=X"):
        with pytest.raises(AssertionError, match="make the pod anew"):
            cluster.kubectl("annotate", "--overwrite", "pod", "fixed", change)
    cluster.kubectl("label", "pod", "fixed", "a=b")
    cluster.kubectl("delete", "pod", "fixed", "--now", "--wait=false")


@pytest.mark.parametrize("namespace", ["kube-system", NAMESPACE])
def test_the_systems_pods_and_our_own_are_left_alone(
    cluster: ApiServer, webhook: RunningWebhook, namespace: str
) -> None:
    assert not injected(create(cluster, "left-alone", ASKED, "-n", namespace))


def test_restricted_pod_security_takes_what_the_webhook_makes(cluster: ApiServer, webhook: RunningWebhook) -> None:
    level = "pod-security.kubernetes.io/enforce=restricted"
    cluster.kubectl("create", "namespace", "restricted")
    cluster.kubectl("label", "namespace", "restricted", level)
    drop = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {"name": "app", "image": "app", "command": ["/app"], "securityContext": drop}
    context = {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}
    assert injected(create(cluster, "kept", ASKED, "-n", "restricted", containers=[container], securityContext=context))
    # The level is enforced, and it is the webhook's containers that pass.
    assert "violates PodSecurity" in refused(cluster, "open", ASKED, "-n", "restricted")


def test_a_second_webhook_that_changes_the_pod_makes_no_second_agent(
    cluster: ApiServer, webhook: RunningWebhook, tmp_path: Path
) -> None:
    """The API server asks ours again when one after it changed the pod; here it asks ours under a second name."""
    twice = registration({**webhook.client, "caBundle": _bundle(cluster)})
    twice["metadata"]["name"] = "z-another"
    twice["webhooks"][0]["name"] = "again.keystead.io"
    cluster.kubectl("apply", "-f", "-", given=json.dumps(twice))
    try:
        made = create(cluster, "twice", ASKED)
    finally:
        cluster.kubectl("delete", "mutatingwebhookconfiguration", "z-another")
    assert [each["name"] for each in made["spec"]["initContainers"]] == ["keystead-agent", "keystead-agent-refresh"]
    verdicts = [each["verdict"] for each in webhook.lines if each.get("pod") == "twice"]
    assert verdicts == ["injected", "unchanged"]


def test_while_the_webhook_is_down_only_pods_that_ask_for_secrets_wait(
    cluster: ApiServer, webhook: RunningWebhook
) -> None:
    webhook.stop()
    try:
        assert "failed calling webhook" in refused(cluster, "waiting", ASKED)
        create(cluster, "other", {"example.org/x": "y"})
    finally:
        webhook.start()
    assert injected(create(cluster, "waiting", ASKED))


def test_a_ca_bundle_that_somebody_changed_is_set_right(cluster: ApiServer, webhook: RunningWebhook) -> None:
    right = _bundle(cluster)
    for wrong in (base64.b64encode(webhook.certificate().encode()).decode(), None):
        change = [{"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": wrong}]
        cluster.kubectl("patch", "mutatingwebhookconfiguration", NAME, "--type=json", "-p", json.dumps(change))
        within(20, lambda: _bundle(cluster) == right, webhook.said)


def test_two_replicas_serve_under_one_authority(cluster: ApiServer, webhook: RunningWebhook, tmp_path: Path) -> None:
    other = RunningWebhook(tmp_path, cluster)
    other.start()
    try:
        assert other.certificate() == webhook.certificate()
    finally:
        other.remove()


def test_the_webhooks_account_may_do_what_it_needs_and_no_more(cluster: ApiServer, webhook: RunningWebhook) -> None:
    account = f"--as=system:serviceaccount:{NAMESPACE}:{NAME}"
    for asked, answer in {
        f"get secret/{SECRET} -n {NAMESPACE}": "yes",
        f"get secret/other -n {NAMESPACE}": "no",
        f"list secrets -n {NAMESPACE}": "no",
        "get secrets -n default": "no",
        "get pods -n default": "no",
        f"patch mutatingwebhookconfigurations/{NAME}": "yes",
        "patch mutatingwebhookconfigurations/other": "no",
        f"delete mutatingwebhookconfigurations/{NAME}": "no",
    }.items():
        try:
            said = cluster.kubectl("auth", "can-i", account, *asked.split()).strip()
        except AssertionError:
            said = "no"
        assert said == answer, asked


def test_pods_are_made_while_the_authority_is_exchanged(
    cluster: ApiServer, webhook: RunningWebhook, tmp_path: Path
) -> None:
    """Lives of seconds: authority, announcement and exchange come several times over."""
    webhook.stop()
    cluster.kubectl("-n", NAMESPACE, "delete", "secret", SECRET)
    short = {"ca_hours": 24 / 3600, "leaf_hours": 12 / 3600, "overlap_seconds": 4, "check_seconds": 0.5}
    running = installed(cluster, tmp_path, certificate=short)
    try:
        served = _certificates_served_while(running, lambda name: create(cluster, name, ASKED, "--dry-run=server"))
    finally:
        running.remove()
        cluster.kubectl("-n", NAMESPACE, "delete", "secret", SECRET)
        cluster.kubectl("apply", "-f", "-", given=json.dumps(registration(webhook.client)))
        webhook.start()
    assert len(served) >= 3


def test_a_certificate_of_ones_own_is_served_and_exchanged_when_its_files_are(
    cluster: ApiServer, webhook: RunningWebhook, tmp_path: Path
) -> None:
    """With ``ca_file`` the registration trusts its authority; a new certificate of it needs no restart."""
    webhook.stop()
    root = authority("Operator")
    first, second = (leaf("webhook", root, usages=(SERVER,), names=[LOOPBACK]) for _ in range(2))
    chain, key = first.files(tmp_path, "webhook")
    authorities = tmp_path / "ca.pem"
    authorities.write_bytes(root.pem)
    files = {"mode": "files", "certificate_file": str(chain), "key_file": str(key), "ca_file": str(authorities)}
    running = installed(cluster, tmp_path / "running", certificate=files)
    try:
        within(20, lambda: base64.b64decode(_bundle(cluster)) == root.pem, running.said)
        assert injected(create(cluster, "of-ones-own", ASKED))
        second.files(tmp_path, "webhook")
        within(20, lambda: running.certificate().encode() == second.pem, running.said)
        assert injected(create(cluster, "of-ones-own-again", ASKED))
    finally:
        running.remove()
        cluster.kubectl("apply", "-f", "-", given=json.dumps(registration(webhook.client)))
        webhook.start()


def _certificates_served_while(running: RunningWebhook, make: Callable[[str], Json]) -> set[str]:
    """Until an authority signs that was not there at the start; every pod made meanwhile is injected."""
    stop, failures, served = threading.Event(), list[BaseException](), set[str]()

    def making() -> None:
        for number in range(10_000):
            if stop.is_set():
                return
            try:
                assert injected(make(f"rotating-{number}"))
            except (AssertionError, subprocess.SubprocessError) as error:
                failures.append(error)
                return

    thread = threading.Thread(target=making)
    thread.start()
    try:
        authorities = {_authority(running)}

        def exchanged() -> bool:
            served.add(running.certificate())
            authorities.add(_authority(running))
            return len(authorities) >= 3 or bool(failures)

        within(90, exchanged, running.said)
    finally:
        stop.set()
        thread.join()
    assert not failures, failures
    return served


def _authority(running: RunningWebhook) -> str:
    """The one that signs now."""
    found = json.loads(running.api.kubectl("-n", NAMESPACE, "get", "secret", SECRET, "-o", "json"))
    return str(found["data"]["ca.crt"])


def _bundle(api: ApiServer) -> str:
    found = json.loads(api.kubectl("get", "mutatingwebhookconfiguration", NAME, "-o", "json"))
    return str(found["webhooks"][0]["clientConfig"].get("caBundle", ""))
