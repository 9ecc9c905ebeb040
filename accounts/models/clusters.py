"""Kubernetes clusters, and as which app the pods of a service account come in. accounts.kubernetes judges tokens."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models

from accounts.models.programs import App
from accounts.models.tenants import Account
from accounts.sealed_tables import part_of


@part_of("id")
class KubernetesCluster(models.Model):
    """Whose service accounts' tokens an account takes, by which keys. Several clusters may have one issuer.

    ``keys`` are pasted (JSON Web Keys) or at an address. ``trust_version`` grows with each change of what is taken:
    sessions that were opened at an earlier one have ended.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="clusters")
    name = models.CharField(max_length=256)
    description = models.TextField(blank=True, default="")
    issuer = models.CharField(max_length=512)
    audience = models.CharField(max_length=512)
    keys = models.JSONField()
    algorithms = models.JSONField(default=list)
    max_token_seconds = models.PositiveIntegerField()
    enabled = models.BooleanField(default=True)
    trust_version = models.PositiveIntegerField(default=1)
    creator_kind = models.CharField(max_length=16)
    creator_id = models.UUIDField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["account", "name"], name="cluster_name_unique_in_account")
        ]

    def __str__(self) -> str:
        return self.name


@part_of("cluster_id")
class KubernetesBinding(models.Model):
    """Pods of a service account, or of any in the namespace (``*``), come in as this app."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    cluster = models.ForeignKey(KubernetesCluster, on_delete=models.CASCADE, related_name="bindings")
    namespace = models.CharField(max_length=63)
    service_account = models.CharField(max_length=253)
    app = models.ForeignKey(App, on_delete=models.CASCADE, related_name="bindings")
    creator_kind = models.CharField(max_length=16)
    creator_id = models.UUIDField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["cluster", "namespace", "service_account", "app"],
                name="a_binding_is_made_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.namespace}/{self.service_account} as {self.app_id}"
