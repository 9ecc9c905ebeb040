"""Everything at once: a cluster whose node runs containers, the webhook, a server, and an app that a pod may be."""

from __future__ import annotations

import base64
import json
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.acceptance.kubernetes import images
from tests.acceptance.kubernetes.cluster import ApiServer, Etcd, service_account_key
from tests.acceptance.kubernetes.node import Node, node_for
from tests.acceptance.server import RunningServer
from tests.kit.kms_plugin import KmsPlace
from tests.kit.running_webhook import RunningWebhook, installed
from tests.kit.webhook import keystead

AUDIENCE = "https://keystead.example"
ISSUER = "https://kubernetes.default.svc"
CLUSTERS = "/sys/v1/kubernetes/clusters"

Json = dict[str, Any]


class Shop(KmsPlace):
    """A group of secrets, an app that may export them and no more, and a cluster that knows pods of ``shop``."""

    rights = ("EXPORT",)

    def __init__(self, server: RunningServer, jwks: Json) -> None:
        super().__init__(server, "shop")
        body = {"name": self.name, "issuer": ISSUER, "audience": AUDIENCE, "jwks": jwks}
        self.cluster = self.administrator("POST", CLUSTERS, body)["cluster_id"]
        binding = {"namespace": "shop", "service_account": "web", "app_id": self.app}
        self.binding = self.administrator("POST", f"{CLUSTERS}/{self.cluster}/bindings", binding)["binding_id"]

    def keep(self, name: str, kind: str, value: bytes) -> str:
        """A new object of this value, exportable, under a name of its own in this group."""
        body = {
            "name": self.named(name),
            "group_id": self.group,
            "obj_type": kind,
            "key_ops": ["EXPORT"],
            "value": base64.b64encode(value).decode(),
        }
        kid: str = self.administrator("PUT", "/crypto/v1/keys", body)["kid"]
        return kid

    def renew(self, name: str, value: bytes) -> None:
        """The next one takes the name."""
        body = {"name": self.named(name), "value": base64.b64encode(value).decode()}
        self.administrator("POST", "/crypto/v1/keys/rekey", body)

    def named(self, name: str) -> str:
        return f"{self.name}/{name}"


class Stage:
    """``shop`` is where the pods' secrets are; pods run in the namespace ``shop`` as the service account ``web``."""

    def __init__(self, etcd: Etcd, api: ApiServer, node: Node, webhook: RunningWebhook, shop: Shop) -> None:
        self.etcd, self.api, self.node, self.webhook, self.shop = etcd, api, node, webhook, shop

    def create(
        self,
        name: str,
        container: Json,
        annotations: dict[str, str],
        *,
        namespace: str = "shop",
        account: str = "web",
        **spec: Any,
    ) -> None:
        made = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace, "annotations": annotations},
            "spec": {
                "serviceAccountName": account,
                "terminationGracePeriodSeconds": 1,
                **spec,
                "containers": [container],
            },
        }
        self.api.kubectl("create", "-f", "-", given=json.dumps(self.node.place(made)))

    def asking(self, **annotations: str) -> dict[str, str]:
        """As tests.kit.webhook.keystead, and `secret__K` is a name of the shop's."""
        return keystead(
            **{
                key: self.shop.named(value) if key.startswith("secret__") else value
                for key, value in annotations.items()
            }
        )

    def delete(self, name: str, namespace: str = "shop") -> None:
        self.api.kubectl("-n", namespace, "delete", "pod", name, "--now", "--ignore-not-found")


@contextmanager
def staged(binaries: Path, server: RunningServer, made: Sequence[images.Image]) -> Iterator[Stage]:
    """``made`` are the images of the pods that are to run, beside the agent's and the node's own."""
    folder = Path(tempfile.mkdtemp(prefix="stage-"))
    etcd = Etcd("etcd", folder / "etcd")
    api = ApiServer(binaries, folder / "api", etcd, service_account_key(folder / "service-accounts.key"))
    webhook: RunningWebhook | None = None
    agent, probe = images.agent(), images.probe()
    try:
        etcd.start()
        api.start()
        for namespace, account in (("default", "default"), ("shop", "web"), ("shop", "stranger"), ("other", "web")):
            if namespace != "default" and account != "stranger":
                api.kubectl("create", "namespace", namespace)
            api.kubectl("-n", namespace, "create", "serviceaccount", account)
        shop = Shop(server, api.get("/openid/v1/jwks").json())
        webhook = installed(
            api,
            folder / "webhook",
            agent={"image": agent.reference, "pull_policy": "Never"},
            server={"addresses": [server.url], "ca_file": str(server.ca)},
            token={"audience": AUDIENCE, "cluster": shop.cluster},
            images={"lookup": False},
        )
        with node_for(api, [each.archive for each in (agent, probe, *made)], probe.reference) as node:
            yield Stage(etcd, api, node, webhook, shop)
    finally:
        if webhook is not None:
            webhook.remove()
        api.remove()
        etcd.remove()
        shutil.rmtree(folder, ignore_errors=True)


def fresh() -> str:
    """A value that is nowhere else."""
    return secrets.token_hex(16)
