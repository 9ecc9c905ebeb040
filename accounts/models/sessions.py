"""Sessions, and what is remembered of those who come: attempts, spent tokens, the last time seen."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models

from accounts.models.people import User
from accounts.models.programs import App
from accounts.models.providers import IdentityProvider
from accounts.models.tenants import Account
from accounts.sealed_tables import part_of


@part_of("id", later={"cluster": None, "binding": None, "cluster_trust": None})
class Session(models.Model):
    """A login. Only a digest of the bearer token is kept.

    ``cluster``, ``binding`` and ``cluster_trust`` say by what a pod came in (accounts.principal.ClusterLogin). They are
    no foreign keys: a login holds the versions of these rows, and must not wait for their locks as well.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    token_digest = models.BinaryField(max_length=32, unique=True)
    user = models.ForeignKey(User, null=True, on_delete=models.CASCADE, related_name="sessions")
    app = models.ForeignKey(App, null=True, on_delete=models.CASCADE, related_name="sessions")
    account = models.ForeignKey(Account, null=True, on_delete=models.CASCADE, related_name="+")
    method = models.CharField(max_length=32)
    provider = models.ForeignKey(IdentityProvider, null=True, on_delete=models.CASCADE, related_name="sessions")
    certificate = models.BinaryField(null=True, max_length=32, help_text="SHA-256 of the certificate it is bound to")
    cluster = models.UUIDField(null=True)
    binding = models.UUIDField(null=True)
    cluster_trust = models.PositiveIntegerField(null=True)
    second_factor = models.CharField(max_length=8, blank=True, default="")
    second_factor_at = models.DateTimeField(null=True)
    factors_unlocked_until = models.DateTimeField(null=True, help_text="while factors may be added and removed")
    created_at = models.DateTimeField(auto_now_add=True)
    client_ip = models.GenericIPAddressField(null=True)
    authenticated_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    proof_ends_at = models.DateTimeField(null=True, help_text="past which no refresh stretches it; null is no such end")
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


class Activity(models.Model):
    """When a session, user or app was last seen, to the minute. In no decision's way: it moves no fact version."""

    subject = models.UUIDField(primary_key=True)
    seen_at = models.DateTimeField()
    client_ip = models.GenericIPAddressField(null=True)

    def __str__(self) -> str:
        return f"{self.subject} at {self.seen_at}"


class AttemptCounter(models.Model):
    """Attempts at one door since the last success (accounts.throttle). Both names are digests: nobody's is kept."""

    key = models.BinaryField(max_length=32, unique=True)
    subject = models.BinaryField(max_length=32, db_index=True)
    attempts = models.PositiveIntegerField(default=0)
    last_at = models.DateTimeField()
    blocked_until = models.DateTimeField(null=True)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["last_at"], name="attempts_by_age")]

    def __str__(self) -> str:
        return f"{self.attempts} attempts"


class SpentToken(models.Model):
    """A token that is good once and was used: a provider's assertion, a JWT's ``jti``. Kept until it would expire."""

    scope = models.UUIDField()
    digest = models.BinaryField(max_length=32)
    expires_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["scope", "digest"], name="a_token_is_spent_once")]
        indexes: ClassVar = [models.Index(fields=["expires_at"], name="spent_by_age")]

    def __str__(self) -> str:
        return f"spent in {self.scope}"
