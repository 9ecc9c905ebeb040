"""WHERE: the installation, its accounts, and the groups in them."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models

from accounts.sealed_tables import part_of
from accounts.second_factor import Requirement


class Deployment(models.Model):
    """One row: the identity of this installation, bound into every key blob so that blobs do not travel."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    row_key_sealed = models.BinaryField(null=True, help_text="of the seals on rows; none before the first start")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return str(self.id)


class FactVersion(models.Model):
    """The version of everything a decision may read about one subject; moved by triggers (migration 0002).

    Narrow on purpose: the group commit share-locks these rows, never the wide ones.
    """

    subject = models.UUIDField(primary_key=True)
    version = models.BigIntegerField()
    seal = models.BinaryField(null=True, max_length=32, help_text="accounts.row_seals; none since the last change")
    moved_in = models.BigIntegerField(null=True, help_text="the transaction that changed it last")

    class Meta:
        indexes: ClassVar = [
            # What a transaction has to seal before it commits; committed, there is none that is not sealed.
            models.Index(fields=["moved_in"], name="fact_unsealed", condition=models.Q(seal__isnull=True))
        ]

    def __str__(self) -> str:
        return f"{self.subject}@{self.version}"


class PasswordLogin(models.TextChoices):
    """Who may enter with a password. Administrators always may: somebody must get in when the provider fails."""

    EVERYONE = "everyone"
    ADMINISTRATORS = "administrators"


@part_of("id")
class Account(models.Model):
    """A tenant. Nothing of one account is visible from another."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=256)
    description = models.TextField(blank=True, default="")
    organization = models.CharField(max_length=256, blank=True, default="")
    country = models.CharField(max_length=64, blank=True, default="")
    phone = models.CharField(max_length=64, blank=True, default="")
    enabled = models.BooleanField(default=True)
    custom_metadata = models.JSONField(default=dict)
    undo_seconds = models.PositiveIntegerField(null=True, help_text="how long changes of objects can be taken back")
    password_login = models.CharField(max_length=16, choices=PasswordLogin.choices, default=PasswordLogin.EVERYONE)
    second_factor = models.CharField(
        max_length=8, choices=[(r.value, r.value.title()) for r in Requirement], default=Requirement.NONE.value
    )
    step_up_seconds = models.PositiveIntegerField(
        null=True, help_text="how old the proof of a person may be for what is sensitive; null asks for none"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


@part_of("id")
class Group(models.Model):
    """What objects, users and apps are gathered in; rights are given per group."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="groups")
    name = models.CharField(max_length=256)
    description = models.TextField(blank=True, default="")
    custom_metadata = models.JSONField(default=dict)
    undo_seconds = models.PositiveIntegerField(null=True, help_text="as the account's, which it overrides")
    creator_kind = models.CharField(max_length=16)
    creator_id = models.UUIDField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["account", "name"], name="group_name_unique_in_account")
        ]

    def __str__(self) -> str:
        return self.name
