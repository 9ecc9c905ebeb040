"""Pods as authors write them, the webhook asked about them without a server, and its registration in a cluster."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import jsonpatch

from k8s.delivery import Delivery, Server, decode
from k8s.webhook.images.image import Image, ImageUnknown
from k8s.webhook.injection import Lookup
from k8s.webhook.review import Verdict, answer, judge, read_review
from k8s.webhook.settings import InjectionSettings
from k8s.webhook.vocabulary import PREFIX

CLUSTER = UUID("0d6c9d6e-4b0e-4a39-9d0f-2b6f1c1d3a55")
AGENT_IMAGE = "registry.example/keystead-agent@sha256:" + 64 * "0"
SETTINGS = InjectionSettings(
    image=AGENT_IMAGE,
    namespace="keystead",
    server=Server(addresses=("https://kms.example:8443",)),
    audience="https://keystead.example",
    cluster=CLUSTER,
)

Json = dict[str, Any]


def keystead(**annotations: str) -> dict[str, str]:
    """`secret__db="x"` is keystead.io/secret.db, `api_key_secret` keystead.io/api-key-secret."""
    return {PREFIX + name.replace("__", ".").replace("_", "-"): value for name, value in annotations.items()}


def pod(annotations: Mapping[str, str] | None = None, *containers: Json, **spec: Any) -> Json:
    default = {"name": "app", "image": "registry.example/app:1", "command": ["/app"]}
    metadata = {"name": "payments", **({"annotations": dict(annotations)} if annotations is not None else {})}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": list(containers) or [default], **spec},
    }


def review(made: Any, *, namespace: str = "payments", operation: str = "CREATE", **request: Any) -> bytes:
    asked = {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "operation": operation,
        "namespace": namespace,
        "object": made,
        **request,
    }
    return json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": asked}).encode()


def images(**known: Image) -> Lookup:
    """Of references by their last part without a tag: registry.example/app:1 is `app`."""

    async def lookup(reference: str, architecture: str) -> Image:
        name = reference.rpartition("/")[2].partition(":")[0]
        if name not in known:
            raise ImageUnknown("its registry is not there")
        return known[name]

    return lookup


@dataclass(frozen=True)
class Answered:
    """``pod`` is the one that came out, patched or not."""

    response: Json
    pod: Json

    @property
    def allowed(self) -> bool:
        return bool(self.response["allowed"])

    @property
    def refusal(self) -> str:
        return str(self.response["status"]["message"])

    @property
    def warnings(self) -> list[str]:
        return list(self.response.get("warnings", []))

    @property
    def patched(self) -> bool:
        return "patch" in self.response

    @property
    def agents(self) -> list[Json]:
        spec = self.pod["spec"]
        every = [*(spec.get("initContainers") or []), *spec["containers"]]
        return [each for each in every if each["name"].startswith("keystead-agent")]

    @property
    def delivery(self) -> Delivery:
        """As the agent finds it, after Kubernetes has replaced what looks like a reference to a variable."""
        (value,) = {each["env"][0]["value"] for each in self.agents}
        assert "$" not in value
        return decode(value)

    def container(self, name: str) -> Json:
        (found,) = [each for each in self.pod["spec"]["containers"] if each["name"] == name]
        return dict(found)

    def mounts(self, name: str) -> dict[str, str]:
        return {each["mountPath"]: each["name"] for each in self.container(name).get("volumeMounts") or []}


def ask(made: Json, settings: InjectionSettings = SETTINGS, lookup: Lookup | None = None, **request: Any) -> Answered:
    asked = read_review(review(made, **request))
    verdict: Verdict = asyncio.run(judge(asked, settings, lookup or images()))
    response = json.loads(answer(asked.uid, verdict))["response"]
    assert response["uid"] == asked.uid
    operations = json.loads(base64.b64decode(response["patch"])) if "patch" in response else []
    return Answered(response, jsonpatch.apply_patch(made, operations) if operations else made)
