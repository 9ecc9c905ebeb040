"""The record as rows, append-only: a trigger and the server's role both refuse anything but INSERT and SELECT."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models.functions import Now


class AuditRecord(models.Model):
    """One call. ``sequence`` grows with insertion and may have gaps (a rolled-back batch leaves one)."""

    sequence = models.BigAutoField(primary_key=True)
    time = models.DateTimeField(db_default=Now())
    account_id = models.UUIDField(null=True)
    actor_kind = models.CharField(max_length=16)
    actor_id = models.UUIDField()
    method = models.CharField(max_length=32)
    session_id = models.UUIDField(null=True)
    action = models.CharField(max_length=64)
    category = models.CharField(max_length=16)
    severity = models.CharField(max_length=16)
    outcome = models.CharField(max_length=16)
    reason = models.CharField(max_length=64)
    object_kind = models.CharField(max_length=16)
    object_id = models.UUIDField(null=True)
    groups = ArrayField(models.UUIDField())
    client_ip = models.GenericIPAddressField(null=True)
    request_id = models.UUIDField()
    duration_us = models.BigIntegerField()
    details = models.JSONField()

    class Meta:
        db_table = "audit_entry"
        indexes: ClassVar = [
            models.Index(fields=["account_id", "sequence"], name="audit_by_account"),
            # Rows lie in the order of their times, so this costs an insertion next to nothing.
            BrinIndex(fields=["time"], name="audit_by_time", autosummarize=True, pages_per_range=32),
        ]

    def __str__(self) -> str:
        return f"{self.sequence} {self.action} {self.outcome}"


class AuditLeaf(models.Model):
    """The place of an entry in the tree of its epoch, and its leaf hash (RFC 6962)."""

    index = models.BigIntegerField(primary_key=True)
    sequence = models.BigIntegerField(unique=True)
    hash = models.BinaryField(max_length=32)

    class Meta:
        db_table = "audit_leaf"

    def __str__(self) -> str:
        return f"leaf {self.index}"


class AuditNode(models.Model):
    """A complete subtree over ``256 ** level`` leaves, so that a proof reads few rows whatever the size."""

    level = models.PositiveSmallIntegerField()
    index = models.BigIntegerField()
    hash = models.BinaryField(max_length=32)

    class Meta:
        db_table = "audit_node"
        constraints: ClassVar = [models.UniqueConstraint(fields=["level", "index"], name="audit_node_once")]

    def __str__(self) -> str:
        return f"node {self.level}/{self.index}"


class AuditCheckpoint(models.Model):
    """A root that was reached. ``origin`` names the log. One size has one root; that is signed once it is committed."""

    size = models.BigIntegerField(primary_key=True)
    origin = models.CharField(max_length=128)
    root = models.BinaryField(max_length=32)
    time = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "audit_checkpoint"

    def __str__(self) -> str:
        return f"checkpoint {self.size}"


class AuditSignature(models.Model):
    """The signed note of a checkpoint."""

    checkpoint = models.OneToOneField(AuditCheckpoint, primary_key=True, on_delete=models.PROTECT)
    note = models.TextField()

    class Meta:
        db_table = "audit_signature"

    def __str__(self) -> str:
        return f"signature of {self.checkpoint_id}"


class Sealing(models.Model):
    """Where the sealer stands: one row, whose lock is what makes one sealer of many. The only one that changes.

    ``txid`` and ``sequence`` are those of the last entry in the tree; ``frontier`` is its right edge, largest first.
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    epoch = models.PositiveIntegerField(default=1)
    size = models.BigIntegerField(default=0)
    frontier = ArrayField(models.BinaryField(), default=list)
    txid = models.DecimalField(max_digits=20, decimal_places=0, default=0)
    sequence = models.BigIntegerField(default=0)
    heartbeat_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "audit_sealing"

    def __str__(self) -> str:
        return f"epoch {self.epoch}, size {self.size}"
