"""Kubernetes clusters of an account, and tokens of pods as their API servers sign them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from accounts.models import KubernetesBinding, KubernetesCluster
from kms.operations.executor import execute
from kms.operations.kubernetes_bindings import CreateBinding
from kms.operations.kubernetes_clusters import CreateCluster, PastedKeys
from tests.kit.tenants import Tenant, unique
from tests.kit.tokens import CLUSTER, Issuer, jwk, rsa_key

AUDIENCE = "https://keystead.example"


def new_cluster(tenant: Tenant, **fields: Any) -> KubernetesCluster:
    keys = fields.pop("keys", None) or PastedKeys((jwk(rsa_key(), kid="key-1"),))
    fields.setdefault("audience", AUDIENCE)
    fields.setdefault("issuer", CLUSTER)
    made: KubernetesCluster = execute(tenant.alice, CreateCluster(unique("cluster"), keys=keys, **fields))
    return made


def bind(
    tenant: Tenant, cluster: KubernetesCluster, namespace: str, service_account: str, app: UUID | None = None
) -> KubernetesBinding:
    command = CreateBinding(cluster.id, namespace, service_account, app or tenant.app.id)
    made: KubernetesBinding = execute(tenant.alice, command)
    return made


def pod_issuer(
    namespace: str = "shop", service_account: str = "payments", pod: str = "payments-7d9f", **changed: Any
) -> Issuer:
    """Signs as kube-apiserver 1.34 does for a projected token; ``changed`` are the fields of the Issuer."""
    bound = {
        "namespace": namespace,
        "node": {"name": "node-1", "uid": "0b7c1f0e-32a4-4c43-9d53-6cbb7d1e0a01"},
        "pod": {"name": pod, "uid": "9b2f6d50-0f9f-4d39-8a62-1a0f8d4dd001"},
        "serviceaccount": {"name": service_account, "uid": "6f4b0f5e-7b3a-4a8e-8a3d-2a4f5a1c0001"},
    }
    subject = f"system:serviceaccount:{namespace}:{service_account}"
    more = {"kubernetes.io": bound, "jti": "0f0e0d0c-1111-4222-8333-444455556666", **changed.pop("more", {})}
    return Issuer(subject, [changed.pop("audience", AUDIENCE)], more=more, **changed)
