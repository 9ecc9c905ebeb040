"""Persons: users, their places in accounts and groups, and the codes and mails on the way there."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models

from accounts import addresses, passwords
from accounts.models.tenants import Account, Group
from accounts.sealed_tables import part_of


class UserManager(BaseUserManager["User"]):
    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email=addresses.normalised(username or ""))


@part_of("id")
class User(AbstractBaseUser):
    """A person. One user may be a member of several accounts."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    email = models.EmailField(max_length=254, unique=True)
    first_name = models.CharField(max_length=128, blank=True, default="")
    last_name = models.CharField(max_length=128, blank=True, default="")
    description = models.TextField(blank=True, default="")
    email_verified = models.BooleanField(default=False)
    new_email = models.EmailField(
        max_length=254, blank=True, default="", help_text="an address that becomes theirs when they confirm it"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    objects = UserManager()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    def __str__(self) -> str:
        return self.email

    def set_password(self, raw_password: str | None) -> None:
        super().set_password(None if raw_password is None else passwords.normalised(raw_password))

    def check_password(self, raw_password: str | None) -> bool:
        return super().check_password(None if raw_password is None else passwords.normalised(raw_password))


class AccountRole(models.TextChoices):
    ADMINISTRATOR = "administrator"
    MEMBER = "member"
    AUDITOR = "auditor"


class GroupRole(models.TextChoices):
    ADMINISTRATOR = "administrator"
    AUDITOR = "auditor"


@part_of("user_id")
class Membership(models.Model):
    """A user in an account. ``role`` is the system's, if any; roles of the account's own are AccountRoleGrants."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=32, choices=AccountRole.choices, blank=True)
    enabled = models.BooleanField(default=True)
    invitation_pending = models.BooleanField(default=False)
    self_provisioned = models.BooleanField(default=False, help_text="made at a first login by the account's provider")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["user", "account"], name="one_membership_per_account")]

    def __str__(self) -> str:
        return f"{self.user_id} in {self.account_id}: {self.role}"


@part_of("user_id")
class GroupMembership(models.Model):
    """A user in a group. ``role`` is the system's, if any; roles of the account's own are GroupRoleGrants."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="group_memberships")
    group = models.ForeignKey(Group, on_delete=models.CASCADE, related_name="user_memberships")
    role = models.CharField(max_length=32, choices=GroupRole.choices, blank=True)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["user", "group"], name="one_role_per_group")]

    def __str__(self) -> str:
        return f"{self.user_id} in group {self.group_id}: {self.role}"


class CodePurpose(models.TextChoices):
    """What a mailed code is good for. A code of one purpose is nothing for another."""

    INVITATION = "invitation"
    CONFIRM_EMAIL = "confirm-email"
    RESET_PASSWORD = "reset-password"  # noqa: S105 - a purpose's name


class NewsPurpose(models.TextChoices):
    """What a mail tells that carries no code."""

    LOG_LAGGING = "log-lagging"


@part_of("user_id")
class OneTimeCode(models.Model):
    """A code that was mailed: good once, for one purpose, one person and one address. Only a digest is kept."""

    purpose = models.CharField(max_length=16, choices=CodePurpose.choices)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="codes")
    account = models.ForeignKey(Account, null=True, on_delete=models.CASCADE, related_name="+")
    email = models.EmailField(max_length=254)
    digest = models.BinaryField(max_length=32, unique=True)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.purpose} for {self.user_id}"


class OutgoingMail(models.Model):
    """A mail that is due. It holds no code: the one who sends it makes the code then, so that none lies here in clear.

    ``email`` may be nobody's: whoever asked is answered alike, and nothing is sent. ``user`` is known where the address
    is not theirs yet. What was sent is kept for an hour, because it counts: nobody's mailbox is to be filled.
    """

    purpose = models.CharField(max_length=16, choices=[*CodePurpose.choices, *NewsPurpose.choices])
    email = models.EmailField(max_length=254)
    user = models.ForeignKey(User, null=True, on_delete=models.CASCADE, related_name="+")
    account = models.ForeignKey(Account, null=True, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField()
    not_before = models.DateTimeField()
    attempts = models.PositiveIntegerField(default=0)
    sent_at = models.DateTimeField(null=True)

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["not_before"], name="mail_due", condition=models.Q(sent_at__isnull=True)),
            models.Index(fields=["purpose", "email"], name="mail_by_address"),
        ]

    def __str__(self) -> str:
        return f"{self.purpose} due {self.not_before}"
