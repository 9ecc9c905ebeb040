"""Security objects as rows. Material is in ``blob``, opened only by the token; rules live elsewhere."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models

from accounts.models import Account, Group


class SecurityObject(models.Model):
    """A managed object (KMIP's word): key, secret, opaque or certificate.

    ``size`` is in bits; ``operations`` are usage.KeyOperation values; ``protection`` is "token" for material that never
    leaves the token and "sealed" for material that the server may hold (exportable, or unknown to the token).
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+")
    group = models.ForeignKey(Group, on_delete=models.PROTECT, related_name="objects_in_group")
    name = models.CharField(max_length=4096)
    description = models.TextField(blank=True, default="")
    kind = models.CharField(max_length=16)
    size = models.PositiveIntegerField()
    curve = models.CharField(max_length=32, blank=True, default="")
    operations = ArrayField(models.CharField(max_length=32))
    state = models.CharField(max_length=16)
    enabled = models.BooleanField(default=True)
    activation_date = models.DateTimeField(null=True)
    deactivation_date = models.DateTimeField(null=True)
    protection = models.CharField(max_length=16)
    never_exportable = models.BooleanField()
    creation = models.CharField(max_length=16, help_text="generate, import or unwrap")
    version = models.PositiveBigIntegerField(default=1, help_text="of the material and the fields bound to it")
    blob = models.BinaryField()
    public_key = models.BinaryField(null=True)
    public_only = models.BooleanField(default=False)
    custom_metadata = models.JSONField(default=dict)
    creator_kind = models.CharField(max_length=16)
    creator_id = models.UUIDField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["account", "name"], name="object_name_unique_in_account")
        ]
        indexes: ClassVar = [
            models.Index(fields=["account", "group", "id"], name="object_by_group"),
            GinIndex(fields=["custom_metadata"], name="object_by_metadata"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"
