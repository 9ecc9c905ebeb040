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
