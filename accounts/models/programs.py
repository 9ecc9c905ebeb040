"""Programs: apps, what they may do in groups, and how they prove themselves."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models

from accounts.models.tenants import Account, Group
from accounts.sealed_tables import part_of


class AppRole(models.TextChoices):
    CRYPTO = "crypto"
    ADMIN = "admin"


@part_of("id")
class App(models.Model):
    """A program. How it proves itself is its AppCredential."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="apps")
    name = models.CharField(max_length=256)
    description = models.TextField(blank=True, default="")
    interface = models.CharField(max_length=128, blank=True, default="")
    app_type = models.CharField(max_length=128, blank=True, default="")
    role = models.CharField(max_length=16, choices=AppRole.choices, default=AppRole.CRYPTO)
    enabled = models.BooleanField(default=True)
    default_group = models.ForeignKey(Group, null=True, on_delete=models.SET_NULL, related_name="+")
    ip_ranges = models.JSONField(default=list, help_text="CIDR ranges the app may call from; empty means any")
    rate_limit = models.PositiveIntegerField(null=True, help_text="calls per second; null is no limit")
    clients = models.JSONField(default=dict, help_text="settings that its client programs ask for, by program")
    creator_kind = models.CharField(max_length=16)
    creator_id = models.UUIDField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["account", "name"], name="app_name_unique_in_account")]

    def __str__(self) -> str:
        return self.name


@part_of("app_id")
class AppGroup(models.Model):
    """An app in a group, with the permissions it has there (names from the policies catalogue; empty means none)."""

    app = models.ForeignKey(App, on_delete=models.CASCADE, related_name="group_memberships")
    group = models.ForeignKey(Group, on_delete=models.CASCADE, related_name="app_memberships")
    permissions = models.JSONField(default=list)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["app", "group"], name="one_app_membership_per_group")]

    def __str__(self) -> str:
        return f"{self.app_id} in group {self.group_id}"


class CredentialKind(models.TextChoices):
    SECRET = "secret"  # noqa: S105 - a kind's name
    CERTIFICATE = "certificate"
    TRUSTED_CA = "trusted-ca"
    SIGNED_JWT = "signed-jwt"
    LDAP = "ldap"


@part_of("app_id")
class AppCredential(models.Model):
    """One way for an app to prove itself. One is current; the one it replaced holds until ``valid_until``.

    A secret is kept as a digest, and as a sealed copy because the wire lets an administrator read the key again
    (``GET …/credential``). ``config`` is what the other kinds trust: certificates, issuers, keys, subjects.
    """

    app = models.ForeignKey(App, on_delete=models.CASCADE, related_name="credentials")
    kind = models.CharField(max_length=16, choices=CredentialKind.choices)
    version = models.PositiveIntegerField(default=1)
    secret_digest = models.BinaryField(max_length=32, null=True)
    secret_sealed = models.BinaryField(null=True)
    config = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, help_text="when it ends by itself; null is never")
    replaced_at = models.DateTimeField(null=True, help_text="null is the current one")
    valid_until = models.DateTimeField(null=True, help_text="how long a replaced one still holds")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["app", "version"], name="one_credential_per_version"),
            models.UniqueConstraint(
                fields=["app"], condition=models.Q(replaced_at__isnull=True), name="one_current_credential_per_app"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.version} of {self.app_id}"


@part_of("app_id")
class AppSubject(models.Model):
    """Whose tokens an app takes as its own, so that a token without the app's id finds it.

    Several may claim one subject: what an issuer calls itself is only a text until a key has verified it.
    """

    app = models.ForeignKey(App, on_delete=models.CASCADE, related_name="subjects")
    issuer = models.CharField(max_length=512)
    subject = models.CharField(max_length=512)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["app", "issuer", "subject"], name="an_app_claims_a_subject_once")
        ]
        indexes: ClassVar = [models.Index(fields=["issuer", "subject"], name="claimants_of_a_subject")]

    def __str__(self) -> str:
        return f"{self.subject} of {self.issuer}"
