"""The record as rows, append-only: a trigger and the server's role both refuse anything but INSERT and SELECT.

Beside it, where the sealer stands, and where each sink of an account does: these rows change.
"""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from accounts.models import Account


class AuditRecord(models.Model):
    """One call. ``sequence`` grows with insertion and may have gaps (a rolled-back batch leaves one).

    In months (kms/audit/months.py). The table's key is (sequence, time), as that of a table in partitions must be.
    """

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
            # The only one that every call pays for; months that are over have others.
            models.Index(fields=["account_id", "time", "sequence"], name="audit_by_account"),
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


class AuditCosignature(models.Model):
    """A witness's signature line under a checkpoint. ``witness`` is its name and its key's id, ``name+id``."""

    checkpoint = models.ForeignKey(AuditCheckpoint, on_delete=models.PROTECT, related_name="cosignatures")
    witness = models.CharField(max_length=256)
    line = models.CharField(max_length=512)
    time = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "audit_cosignature"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["witness", "checkpoint"], name="audit_cosignature_once"),
        ]

    def __str__(self) -> str:
        return f"{self.witness} under {self.checkpoint_id}"


class Sealing(models.Model):
    """Where the sealer stands: one row, whose lock is what makes one sealer of many.

    ``frontier`` is the tree's right edge, largest first. Every entry up to ``complete_to`` is in it. What was committed
    up to ``mark`` will be, once every transaction older than ``mark_xid`` has ended.
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    epoch = models.PositiveIntegerField(default=1)
    size = models.BigIntegerField(default=0)
    frontier = ArrayField(models.BinaryField(), default=list)
    complete_to = models.BigIntegerField(default=0)
    mark = models.BigIntegerField(null=True)
    mark_xid = models.DecimalField(max_digits=20, decimal_places=0, null=True)
    swept_at = models.DateTimeField(null=True)
    heartbeat_at = models.DateTimeField(null=True)
    facts = models.BinaryField(null=True, help_text="the hidden sum of all facts at this size (fact_moves)")

    class Meta:
        db_table = "audit_sealing"

    def __str__(self) -> str:
        return f"epoch {self.epoch}, size {self.size}"


class LogSinkKind(models.TextChoices):
    SYSLOG = "syslog"
    SPLUNK = "splunk"
    WEBHOOK = "webhook"
    S3 = "s3"


class LogSink(models.Model):
    """Where an account's entries are sent, and how far that has come: ``position`` is the next leaf to look at,
    ``batch_end`` the leaf after the batch that is being sent, which stays the same however often it is tried.

    ``config`` has the kind's settings (kms/operations/log_sinks.py); its secrets are sealed apart.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="log_sinks")
    kind = models.CharField(max_length=8, choices=LogSinkKind.choices)
    enabled = models.BooleanField(default=True)
    config = models.JSONField(default=dict)
    secret_sealed = models.BinaryField(null=True)
    secret_version = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    position = models.BigIntegerField()
    batch_end = models.BigIntegerField(null=True)
    delivered_at = models.DateTimeField(null=True)
    attempts = models.PositiveIntegerField(default=0)
    not_before = models.DateTimeField(null=True)
    last_error = models.CharField(max_length=256, blank=True, default="")
    # Since when the account has been told that entries do not arrive (kms/operations/log_watch.py).
    lagging_since = models.DateTimeField(null=True)

    class Meta:
        db_table = "audit_sink"

    def __str__(self) -> str:
        return f"{self.kind} of {self.account_id}"
