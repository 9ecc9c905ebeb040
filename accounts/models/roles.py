"""Roles of an account's own making, and who holds them. What a permission is, only policies knows."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models

from accounts.models.people import GroupMembership, Membership, User
from accounts.models.tenants import Account
from accounts.sealed_tables import part_of


@part_of("account_id")
class Role(models.Model):
    """A set of permissions under a name, held on the account or in a group.

    ``all_groups_role`` is the id of a group role, a system's or another of this account, that whoever holds an account
    role has in every group. Who holds an ``exclusive`` one holds no other beside it, in the same place.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="roles")
    kind = models.CharField(max_length=8, choices=[("account", "Account"), ("group", "Group")])
    name = models.CharField(max_length=256)
    description = models.TextField(blank=True, default="")
    permissions = models.JSONField(default=list, help_text="names from the policies catalogue")
    exclusive = models.BooleanField(default=False)
    all_groups_role = models.UUIDField(null=True)
    creator_kind = models.CharField(max_length=16)
    creator_id = models.UUIDField()
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["account", "name"], name="role_name_unique_in_account")
        ]

    def __str__(self) -> str:
        return self.name


@part_of("user_id")
class AccountRoleGrant(models.Model):
    """A member holds a role on the account. ``user`` is the member's: the one whose facts change with the row."""

    membership = models.ForeignKey(Membership, on_delete=models.CASCADE, related_name="role_grants")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    role = models.ForeignKey(Role, on_delete=models.PROTECT, related_name="account_grants")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["membership", "role"], name="a_member_holds_a_role_once")
        ]

    def __str__(self) -> str:
        return f"{self.role_id} to {self.user_id}"


@part_of("user_id")
class GroupRoleGrant(models.Model):
    """A user holds a role in a group. ``user`` is the member's, as above."""

    membership = models.ForeignKey(GroupMembership, on_delete=models.CASCADE, related_name="role_grants")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    role = models.ForeignKey(Role, on_delete=models.PROTECT, related_name="group_grants")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["membership", "role"], name="a_role_is_held_once_in_a_group")
        ]

    def __str__(self) -> str:
        return f"{self.role_id} to {self.user_id}"
