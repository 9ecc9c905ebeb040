"""Security objects as rows. Material is in ``blob``, opened only by the token; rules live elsewhere."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models.functions import Coalesce

from accounts.models import Account, Group
from accounts.sealed_tables import part_of

# Where an object without a date stands among those that have one.
NEVER = datetime(9999, 12, 31, tzinfo=UTC)


@part_of("id")
class SecurityObject(models.Model):
    """A managed object (KMIP's word): key, secret, opaque or certificate.

    ``size`` is in bits; ``operations`` are KeyOperation values; ``protection`` is one of keystore's levels: "token" for
    material that never leaves the token, "sealed" for material that the server may release, "software" for material of
    an algorithm that the token lacks, which it lends to the server for one call at a time. ``blob`` is empty when the
    material is gone.
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
    creation = models.CharField(max_length=16, help_text="generate, import, unwrap, derive, agree, ...")
    version = models.PositiveBigIntegerField(default=1, help_text="of the material and the fields bound to it")
    blob = models.BinaryField()
    public_key = models.BinaryField(null=True)
    public_only = models.BooleanField(default=False)
    custom_metadata = models.JSONField(default=dict)
    options = models.JSONField(default=dict, help_text="options.KeyOptions, bound to the blob")
    original_operations = ArrayField(models.CharField(max_length=32), default=list)
    kcv = models.CharField(max_length=32, blank=True, default="", help_text="key check value, upper-case hex")
    revocation = models.JSONField(null=True, help_text="revocation.Revocation")
    compromise_date = models.DateTimeField(null=True)
    destruction_date = models.DateTimeField(null=True)
    deletion_date = models.DateTimeField(null=True)
    parent = models.UUIDField(null=True, help_text="the object it was derived from")
    copied_from = models.UUIDField(null=True)
    replaced = models.UUIDField(null=True, help_text="the object whose place it took at a rotation")
    replacement = models.UUIDField(null=True, help_text="the object that took its place")
    wrapping_key = models.UUIDField(null=True, help_text="the object it was unwrapped with")
    rotation = models.JSONField(null=True, help_text="rotation.RotationPolicy")
    rotates_at = models.DateTimeField(null=True)
    publication = models.JSONField(null=True, help_text="publication.Publication")
    quorum = models.JSONField(null=True, help_text="whose approval its handling needs, as policies.stored keeps it")
    attributes = models.JSONField(default=dict, help_text="what a certificate says; nothing secret")
    creator_kind = models.CharField(max_length=16)
    creator_id = models.UUIDField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [
            # A tombstone gives its name back.
            models.UniqueConstraint(
                fields=["account", "name"],
                condition=models.Q(deletion_date__isnull=True),
                name="object_name_unique_in_account",
            )
        ]
        indexes: ClassVar = [
            models.Index(fields=["account", "group", "id"], name="object_by_group"),
            models.Index(fields=["account", "id"], name="object_by_account"),
            # A page of what a filter leaves, in the order of ids, without a look at what it takes away.
            models.Index(fields=["account", "kind", "id"], name="object_by_kind"),
            models.Index(fields=["account", "creator_id", "id"], name="object_by_creator"),
            models.Index(fields=["account", "kind", "name", "id"], name="object_kind_by_name"),
            models.Index(fields=["account", "group", "name", "id"], name="object_group_by_name"),
            # The same in the orders of the console's table (kms.operations.object_listing). Another index, of the
            # trigrams of names, is made by a migration where PostgreSQL has them.
            models.Index(fields=["account", "state", "id"], name="object_by_state"),
            models.Index(fields=["account", "created_at", "id"], name="object_by_age"),
            models.Index("account", Coalesce("deactivation_date", models.Value(NEVER)), "id", name="object_by_expiry"),
            models.Index("account", Coalesce("rotates_at", models.Value(NEVER)), "id", name="object_by_rotation"),
            GinIndex(fields=["custom_metadata"], name="object_by_metadata"),
            models.Index(fields=["parent"], condition=models.Q(parent__isnull=False), name="object_by_parent"),
            models.Index(fields=["copied_from"], condition=models.Q(copied_from__isnull=False), name="object_copies"),
            # To find in whose policies somebody is named.
            models.Index(fields=["account"], condition=models.Q(quorum__isnull=False), name="object_own_quorums"),
            models.Index(fields=["rotates_at"], condition=models.Q(rotates_at__isnull=False), name="object_rotations"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


class HistoryItem(models.Model):
    """An object as it was before a change that its undo policy lets be taken back until ``expires_at``.

    ``fields`` are the columns of the change's ``history.RESTORED``; ``blob`` is bound to them and to ``version``.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    object = models.ForeignKey(SecurityObject, on_delete=models.CASCADE, related_name="history")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    fields = models.JSONField()
    version = models.PositiveBigIntegerField()
    blob = models.BinaryField()

    class Meta:
        indexes: ClassVar = [models.Index(fields=["object", "-created_at"], name="history_of_object")]

    def __str__(self) -> str:
        return f"{self.object_id} until {self.expires_at}"

    def date(self, name: str) -> datetime | None:
        """One of the kept dates."""
        value = self.fields[name]
        return None if value is None else datetime.fromisoformat(value)
