"""Identity providers of accounts, who is known by them, and what their groups mean here."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models

from accounts.models.people import AccountRole, GroupRole, User
from accounts.models.programs import App
from accounts.models.tenants import Account, Group
from accounts.sealed_tables import part_of


class ProviderKind(models.TextChoices):
    OIDC = "oidc"
    SAML = "saml"
    LDAP = "ldap"


@part_of("account_id")
class IdentityProvider(models.Model):
    """Somebody whose word an account takes for who its people are. Its word counts in that account only.

    ``config`` has the kind's settings (accounts.sso); a password or client secret is sealed apart.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="providers")
    kind = models.CharField(max_length=8, choices=ProviderKind.choices)
    name = models.CharField(max_length=256)
    icon_url = models.CharField(max_length=2048, blank=True, default="")
    enabled = models.BooleanField(default=True)
    config = models.JSONField(default=dict)
    secret_sealed = models.BinaryField(null=True)
    secret_version = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@part_of("user_id")
class ExternalIdentity(models.Model):
    """Who a provider means by a subject: fixed at the first login, whatever address the provider states later."""

    provider = models.ForeignKey(IdentityProvider, on_delete=models.CASCADE, related_name="identities")
    subject = models.CharField(max_length=512)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="identities")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["provider", "subject"], name="one_user_per_subject"),
            models.UniqueConstraint(fields=["provider", "user"], name="one_subject_per_user"),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} at {self.provider_id}"


class PendingSignOn(models.Model):
    """A login that has gone to a provider and may come back once: state and nonce (OpenID Connect), request (SAML)."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    provider = models.ForeignKey(IdentityProvider, on_delete=models.CASCADE, related_name="pending")
    state_digest = models.BinaryField(max_length=32, unique=True)
    nonce = models.CharField(max_length=128, blank=True, default="")
    verifier = models.CharField(max_length=128, blank=True, default="", help_text="of PKCE (RFC 7636)")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["expires_at"], name="sign_on_by_age")]

    def __str__(self) -> str:
        return str(self.id)


@part_of("account_id")
class ExternalRole(models.Model):
    """A group of a provider's directory that means roles here."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="external_roles")
    provider = models.ForeignKey(IdentityProvider, on_delete=models.CASCADE, related_name="roles")
    name = models.CharField(max_length=512)
    account_role = models.CharField(max_length=32, choices=AccountRole.choices, blank=True, default="")
    own_roles = ArrayField(models.UUIDField(), default=list, help_text="roles of the account's own, on the account")
    last_synced = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["provider", "name"], name="one_role_per_directory_group")
        ]

    def __str__(self) -> str:
        return self.name


@part_of("account_id")
class ExternalRoleGroup(models.Model):
    """What an external role gives in one group: a role to users, permissions to apps."""

    role = models.ForeignKey(ExternalRole, on_delete=models.CASCADE, related_name="mappings")
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="+")
    group = models.ForeignKey(Group, on_delete=models.CASCADE, related_name="external_mappings")
    user_role = models.CharField(max_length=32, choices=GroupRole.choices, blank=True, default="")
    own_roles = ArrayField(models.UUIDField(), default=list, help_text="roles of the account's own, in the group")
    app_permissions = models.JSONField(default=list)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["role", "group"], name="one_mapping_per_group")]

    def __str__(self) -> str:
        return f"{self.role_id} in {self.group_id}"


@part_of("user_id", "app_id")
class ExternalGrant(models.Model):
    """A user or app that its provider last counted in the directory group of a role.

    It counts in sessions that this provider opened, and nowhere else.
    """

    role = models.ForeignKey(ExternalRole, on_delete=models.CASCADE, related_name="grants")
    user = models.ForeignKey(User, null=True, on_delete=models.CASCADE, related_name="external_grants")
    app = models.ForeignKey(App, null=True, on_delete=models.CASCADE, related_name="external_grants")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["role", "user"], name="one_grant_per_role_and_user"),
            models.UniqueConstraint(fields=["role", "app"], name="one_grant_per_role_and_app"),
            models.CheckConstraint(
                name="grant_to_a_user_or_an_app",
                condition=models.Q(user__isnull=True, app__isnull=False)
                | models.Q(user__isnull=False, app__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.role_id} to {self.user_id or self.app_id}"
