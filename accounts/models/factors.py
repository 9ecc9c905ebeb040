"""Second factors of users: one-time passwords, security keys, recovery codes, and challenges that are open."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models

from accounts.models.people import User
from accounts.models.sessions import Session
from accounts.sealed_tables import part_of


@part_of("user_id")
class TotpDevice(models.Model):
    """An authenticator app (RFC 6238). Its key is sealed by the token: a copy of the database makes no codes.

    ``last_step`` is the time step of the last code that was taken; no code of it or an earlier one is taken again.
    """

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="totp_devices")
    name = models.CharField(max_length=128)
    confirmed = models.BooleanField(default=False, help_text="false until a first code has shown that the key arrived")
    key_id = models.UUIDField(
        default=uuid.uuid4, editable=False, unique=True, help_text="what the sealed key is bound to"
    )
    key_sealed = models.BinaryField()
    last_step = models.BigIntegerField(default=-1)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["user", "name"], name="totp_name_unique_for_user")]

    def __str__(self) -> str:
        return f"{self.name} of {self.user_id}"


class FidoProtocol(models.TextChoices):
    FIDO2 = "fido2"
    U2F = "u2f"


@part_of("user_id")
class FidoCredential(models.Model):
    """A security key or passkey (WebAuthn Level 2), or a key of the older U2F. ``public_key`` is a COSE key."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="fido_credentials")
    name = models.CharField(max_length=128)
    protocol = models.CharField(max_length=8, choices=FidoProtocol.choices)
    credential_id = models.BinaryField(max_length=1023, unique=True)
    public_key = models.BinaryField()
    sign_count = models.BigIntegerField(default=0)
    aaguid = models.UUIDField(null=True)
    transports = models.JSONField(default=list)
    origin = models.CharField(max_length=512, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["user", "name"], name="fido_name_unique_for_user")]

    def __str__(self) -> str:
        return f"{self.name} of {self.user_id}"


@part_of("user_id")
class RecoveryCode(models.Model):
    """A code for the day the other factors are lost. Good once; only a digest is kept."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="recovery_codes")
    digest = models.BinaryField(max_length=32)
    created_at = models.DateTimeField(auto_now_add=True)
    used_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "digest"], name="recovery_code_unique_for_user")
        ]

    def __str__(self) -> str:
        return f"recovery code of {self.user_id}"


class ChallengePurpose(models.TextChoices):
    PROVE = "prove"
    ENROL = "enrol"
    VOTE = "vote"


class FactorChallenge(models.Model):
    """A challenge that a security key may answer once, in the session it was made for.

    ``about``: a digest of what the answer says yes to, where it is about more than who is there.
    """

    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="challenges")
    purpose = models.CharField(max_length=8, choices=ChallengePurpose.choices)
    about = models.BinaryField(max_length=32, default=b"")
    challenge = models.BinaryField(max_length=64)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.purpose} in {self.session_id}"
