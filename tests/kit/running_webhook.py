"""The webhook as a process of its own, with the rights that it is documented to need, and its registration."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from tests.acceptance.kubernetes.cluster import ApiServer, Process
from tests.acceptance.server import CHECKOUT, free_port
from tests.kit.kms_plugin import private
from tests.kit.webhook import AGENT_IMAGE, CLUSTER

NAMESPACE, NAME = "keystead", "keystead-webhook"
SECRET = f"{NAME}-certificate"

Json = dict[str, Any]

# An outage stops pods that ask for secrets, and none besides.
ASKED = "has({0}.metadata.annotations) && {0}.metadata.annotations.exists(k, k.startsWith('keystead.io/'))"
CONDITION = f"({ASKED.format('object')}) || (request.operation == 'UPDATE' && {ASKED.format('oldObject')})"


def registration(client: Json) -> Json:
    """As the chart has it, but for where the webhook is: a Service there."""
    exempt = ["kube-system", "kube-public", "kube-node-lease", NAMESPACE]
    webhook = {
        "name": "pods.keystead.io",
        "admissionReviewVersions": ["v1"],
        "clientConfig": client,
        "rules": [
            {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["pods"]}
        ],
        "namespaceSelector": {
            "matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": exempt}]
        },
        "matchConditions": [{"name": "asked", "expression": CONDITION}],
        "failurePolicy": "Fail",
        "matchPolicy": "Equivalent",
        "reinvocationPolicy": "IfNeeded",
        "sideEffects": "None",
        "timeoutSeconds": 10,
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": NAME},
        "webhooks": [webhook],
    }


def rights() -> list[Json]:
    """What webhook.toml says the service account needs."""
    rbac, subject = "rbac.authorization.k8s.io", {"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}
    own = [
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [SECRET], "verbs": ["get", "update"]},
    ]
    registered = {
        "apiGroups": ["admissionregistration.k8s.io"],
        "resources": ["mutatingwebhookconfigurations"],
        "resourceNames": [NAME],
        "verbs": ["get", "patch"],
    }
    made: list[Json] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": NAME, "namespace": NAMESPACE}},
    ]
    for prefix, place, rules in (("", {"namespace": NAMESPACE}, own), ("Cluster", {}, [registered])):
        role = {"apiGroup": rbac, "kind": f"{prefix}Role", "name": NAME}
        common = {"apiVersion": f"{rbac}/v1", "metadata": {"name": NAME, **place}}
        made.append({**common, "kind": f"{prefix}Role", "rules": rules})
        made.append({**common, "kind": f"{prefix}RoleBinding", "roleRef": role, "subjects": [subject]})
    return made


class RunningWebhook(Process):
    """``settings`` are tables of webhook.toml beside or in place of the test's own."""

    name = "webhook"

    def __init__(self, folder: Path, api: ApiServer, **settings: Json) -> None:
        super().__init__(folder)
        self.api, self.port, self.telemetry = api, free_port(), free_port()
        token = api.kubectl("-n", NAMESPACE, "create", "token", NAME)
        certificate: Json = {"names": ["127.0.0.1"], "check_seconds": 1, **settings.pop("certificate", {})}
        tables: Json = {
            "listen": {"address": f"127.0.0.1:{self.port}", "telemetry": f"127.0.0.1:{self.telemetry}"},
            "agent": {"image": AGENT_IMAGE},
            "server": {"addresses": ["https://kms.example:8443"]},
            "token": {"audience": "https://keystead.example", "cluster": str(CLUSTER)},
            "kubernetes": {
                "namespace": NAMESPACE,
                "api": api.url,
                "token_file": str(private(folder / "token", token)),
                "ca_file": str(api.folder / "tls" / "apiserver.crt"),
            },
            "certificate": certificate,
            **settings,
        }
        self.config = private(folder / "webhook.toml", "\n".join(_table(name, each) for name, each in tables.items()))

    def command(self) -> list[str]:
        return [sys.executable, "-m", "k8s.webhook", "--config", str(self.config)]

    def start(self, *, wait: bool = True) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(), cwd=CHECKOUT, env=dict(os.environ), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        if wait:
            self.wait_until_ready()

    @property
    def client(self) -> Json:
        return {"url": f"https://127.0.0.1:{self.port}/mutate"}

    def ready(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.telemetry}/readyz", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    def metrics(self) -> str:
        return httpx.get(f"http://127.0.0.1:{self.telemetry}/metrics", timeout=5).text

    @property
    def lines(self) -> list[Json]:
        return [json.loads(line) for line in (self.folder / "log").read_text().splitlines()]

    def certificate(self) -> str:
        return ssl.get_server_certificate(("127.0.0.1", self.port))


def installed(api: ApiServer, folder: Path, **settings: Json) -> RunningWebhook:
    """Rights, registration and a webhook that runs."""
    api.kubectl("apply", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": rights()}))
    webhook = RunningWebhook(folder, api, **settings)
    api.kubectl("apply", "-f", "-", given=json.dumps(registration(webhook.client)))
    webhook.start()
    return webhook


def _table(name: str, values: Json) -> str:
    """TOML takes JSON's strings, numbers, lists and truths as they are."""
    return f"[{name}]\n" + "\n".join(f"{key} = {json.dumps(value)}" for key, value in values.items()) + "\n"
