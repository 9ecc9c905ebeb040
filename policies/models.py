"""MAY THEY, as rows: what an account and its groups demand, and the approvals that are asked for and given."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models

from accounts.models import Account, Group, User
from accounts.sealed_tables import part_of


class Demands(models.Model):
    """What an account and a group have in common.

    ``quorum`` is a tree as policies.stored keeps it, ``guarded`` the permissions that it guards.
    """

    quorum = models.JSONField(null=True)
    guarded = models.JSONField(default=list)
    protection = models.JSONField(null=True, help_text="what was chosen to be guarded, as policies.guarded keeps it")
    cryptographic = models.JSONField(null=True, help_text="cryptographic.CryptographicPolicy")
    metadata = models.JSONField(null=True, help_text="what attributes objects must and must not have")
    clients = models.JSONField(default=dict, help_text="settings that client programs ask for, by program")

    class Meta:
        abstract = True


@part_of("account_id")
class AccountPolicy(Demands):
    """What an account demands. One that has no row demands nothing."""

    account = models.OneToOneField(Account, primary_key=True, on_delete=models.CASCADE, related_name="policy")
    approval_seconds = models.PositiveIntegerField(null=True, help_text="how long a request for approval stands")
    check_results = models.BooleanField(default=False, help_text="the right is judged again when a result is read")
    log_expired = models.BooleanField(default=False, help_text="a request that ends unanswered is recorded")
    retain_expired = models.BooleanField(default=False, help_text="and is kept")
    webhook_url = models.CharField(max_length=2048, blank=True, default="", help_text="told of requests for approval")
    webhook_key_sealed = models.BinaryField(null=True, help_text="of the HMAC on what it is told")

    def __str__(self) -> str:
        return f"policy of {self.account_id}"


@part_of("account_id")
class GroupPolicy(Demands):
    """What a group demands, beside its account."""

    group = models.OneToOneField(Group, primary_key=True, on_delete=models.CASCADE, related_name="policy")
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="+")
    custodians = models.JSONField(null=True, help_text="whose components make a key here: a quorum tree")

    def __str__(self) -> str:
        return f"policy of group {self.group_id}"


class ApprovalStatus(models.TextChoices):
    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    FAILED = "failed"


@part_of("id")
class ApprovalRequest(models.Model):
    """A call that somebody may make once a quorum approves. It is carried out once, as its requester.

    ``body_sealed`` is the call's body, ``digest`` SHA-256 over everything that says what is asked, by whom. ``targets``
    are what it acts on, each with the version at which it was seen. ``subjects`` and ``groups`` are their ids, to find
    requests by; ``policies`` the ids of the accounts, groups and objects whose quorums it needs. ``due_at`` is when it
    is to be carried out, once enough have approved.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="+")
    requester_kind = models.CharField(max_length=16)
    requester_id = models.UUIDField()
    requester_method = models.CharField(max_length=32)
    requester_provider = models.UUIDField(null=True)
    client_ip = models.GenericIPAddressField(null=True)
    method = models.CharField(max_length=8)
    operation = models.CharField(max_length=2048)
    body_sealed = models.BinaryField()
    digest = models.BinaryField(max_length=32)
    description = models.TextField(blank=True, default="")
    action = models.CharField(max_length=64)
    targets = models.JSONField(default=list)
    subjects = ArrayField(models.UUIDField(), default=list)
    groups = ArrayField(models.UUIDField(), default=list)
    policies = ArrayField(models.UUIDField(), default=list)
    status = models.CharField(max_length=8, choices=ApprovalStatus.choices, default=ApprovalStatus.PENDING)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    due_at = models.DateTimeField(null=True)
    decided_at = models.DateTimeField(null=True)
    denier_kind = models.CharField(max_length=16, blank=True, default="")
    denier_id = models.UUIDField(null=True)
    denial_reason = models.TextField(blank=True, default="")
    result_status = models.PositiveIntegerField(null=True)
    result_sealed = models.BinaryField(null=True)
    result_viewed = models.BooleanField(default=False)

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["account", "-created_at"], name="approval_by_account"),
            models.Index(fields=["requester_id", "-created_at"], name="approval_by_requester"),
            models.Index(fields=["expires_at"], name="approval_by_expiry"),
            models.Index(fields=["due_at"], name="approval_due", condition=models.Q(due_at__isnull=False)),
            GinIndex(fields=["subjects"], name="approval_by_subject"),
            GinIndex(fields=["groups"], name="approval_by_group"),
        ]

    def __str__(self) -> str:
        return f"{self.action}: {self.status}"


@part_of("request_id")
class Approval(models.Model):
    """One reviewer's yes, to this digest. Whether it counts is judged when it is counted.

    ``password`` and ``second_factor`` say what the reviewer showed with it.
    """

    request = models.ForeignKey(ApprovalRequest, on_delete=models.CASCADE, related_name="approvals")
    reviewer_kind = models.CharField(max_length=16)
    reviewer_id = models.UUIDField()
    digest = models.BinaryField(max_length=32)
    password = models.BooleanField(default=False)
    second_factor = models.BooleanField(default=False)
    created_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["request", "reviewer_kind", "reviewer_id"], name="one_approval_a_reviewer")
        ]

    def __str__(self) -> str:
        return f"{self.reviewer_id} on {self.request_id}"


class ApprovalEvent(models.TextChoices):
    """What people and programs are told about a request."""

    ASKED = "asked"
    APPROVED = "approved"
    DENIED = "denied"
    FAILED = "failed"


class Notice(models.Model):
    """Something to be told: to a user by mail, or to the account's webhook when ``user`` is null.

    What was sent is kept for an hour, even without its request, because it counts: nobody's mailbox is to be filled.
    """

    request = models.ForeignKey(ApprovalRequest, null=True, on_delete=models.SET_NULL, related_name="notices")
    event = models.CharField(max_length=8, choices=ApprovalEvent.choices)
    user = models.ForeignKey(User, null=True, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField()
    not_before = models.DateTimeField()
    attempts = models.PositiveIntegerField(default=0)
    sent_at = models.DateTimeField(null=True)

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["not_before"], name="notice_due", condition=models.Q(sent_at__isnull=True)),
            models.Index(fields=["user", "created_at"], name="notice_by_user"),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["request", "event"],
                name="one_notice_to_the_webhook",
                condition=models.Q(request__isnull=False, user__isnull=True),
            ),
            models.UniqueConstraint(
                fields=["request", "event", "user"],
                name="one_notice_a_user",
                condition=models.Q(request__isnull=False, user__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event} of {self.request_id}"
