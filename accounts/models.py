"""WHO: accounts, users, groups, apps, credentials and sessions, as rows. Rules about them live in policies."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models


class Deployment(models.Model):
    """One row: the identity of this installation, bound into every key blob so that blobs do not travel."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return str(self.id)


class FactVersion(models.Model):
    """The version of everything a decision may read about one subject; moved by triggers (migration 0002).

    Narrow on purpose: the group commit share-locks these rows, never the wide ones.
    """

    subject = models.UUIDField(primary_key=True)
    version = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.subject}@{self.version}"


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
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


class UserManager(BaseUserManager["User"]):
    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email=(username or "").lower())


class User(AbstractBaseUser):
    """A person. One user may be a member of several accounts."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    email = models.EmailField(max_length=254, unique=True)
    first_name = models.CharField(max_length=128, blank=True, default="")
    last_name = models.CharField(max_length=128, blank=True, default="")
    description = models.TextField(blank=True, default="")
    email_verified = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    objects = UserManager()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    def __str__(self) -> str:
        return self.email


class AccountRole(models.TextChoices):
    ADMINISTRATOR = "administrator"
    MEMBER = "member"
    AUDITOR = "auditor"


class GroupRole(models.TextChoices):
    ADMINISTRATOR = "administrator"
    AUDITOR = "auditor"


class Membership(models.Model):
    """A user in an account."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=32, choices=AccountRole.choices)
    enabled = models.BooleanField(default=True)
    invitation_pending = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["user", "account"], name="one_membership_per_account")]

    def __str__(self) -> str:
        return f"{self.user_id} in {self.account_id}: {self.role}"


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


class GroupMembership(models.Model):
    """A user in a group, with a role there."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="group_memberships")
    group = models.ForeignKey(Group, on_delete=models.CASCADE, related_name="user_memberships")
    role = models.CharField(max_length=32, choices=GroupRole.choices)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["user", "group"], name="one_role_per_group")]

    def __str__(self) -> str:
        return f"{self.user_id} in group {self.group_id}: {self.role}"


class AppRole(models.TextChoices):
    CRYPTO = "crypto"
    ADMIN = "admin"


class App(models.Model):
    """A program. It authenticates by API key: its id and a secret of which we keep a digest and a sealed copy.

    The sealed copy exists because the wire lets an administrator read the key again (``GET …/credential``).
    """

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
    secret_digest = models.BinaryField(max_length=32)
    secret_sealed = models.BinaryField()
    secret_version = models.PositiveIntegerField(default=1)
    creator_kind = models.CharField(max_length=16)
    creator_id = models.UUIDField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["account", "name"], name="app_name_unique_in_account")]

    def __str__(self) -> str:
        return self.name


class AppGroup(models.Model):
    """An app in a group, with the permissions it has there (names from the policies catalogue; empty means none)."""

    app = models.ForeignKey(App, on_delete=models.CASCADE, related_name="group_memberships")
    group = models.ForeignKey(Group, on_delete=models.CASCADE, related_name="app_memberships")
    permissions = models.JSONField(default=list)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["app", "group"], name="one_app_membership_per_group")]

    def __str__(self) -> str:
        return f"{self.app_id} in group {self.group_id}"


class Session(models.Model):
    """A login. Only a digest of the bearer token is kept."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    token_digest = models.BinaryField(max_length=32, unique=True)
    user = models.ForeignKey(User, null=True, on_delete=models.CASCADE, related_name="sessions")
    app = models.ForeignKey(App, null=True, on_delete=models.CASCADE, related_name="sessions")
    account = models.ForeignKey(Account, null=True, on_delete=models.CASCADE, related_name="+")
    method = models.CharField(max_length=32)
    authenticated_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    terminated_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                name="session_of_a_user_or_an_app",
                condition=models.Q(user__isnull=True, app__isnull=False)
                | models.Q(user__isnull=False, app__isnull=True),
            )
        ]

    def __str__(self) -> str:
        return str(self.id)
