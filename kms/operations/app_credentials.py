"""An app's credentials as rows: one is current, and those it replaced hold as long as they were promised to.

Who may do it is decided before. It must not know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, Value
from django.db.models.functions import Least

from accounts.credentials import digest, new_app_secret
from accounts.models import App, AppCredential, AppSubject, CredentialKind, Session
from accounts.validity import end_of
from kms.crypto.errors import ParameterInvalid
from kms.objects import keystore
from kms.objects.binding import credential_binding
from kms.operations.app_trust import NewCredential, NewSecret, checked_secret, trust_of
from kms.secret import SecretBytes

MAX_OVERLAP = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Replacement:
    """A new credential, how long the one before it still holds, and when the new one ends by itself."""

    credential: NewCredential
    overlap: timedelta = timedelta()
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class CredentialView:
    """``secret`` is set where the kind is a secret; ``config`` is what the other kinds trust."""

    kind: str
    config: Mapping[str, Any]
    secret: SecretBytes | None
    ends_at: datetime | None


def replace_credential(row: App, wanted: Replacement, now: datetime) -> AppCredential:
    """The new one is current at once. Without an overlap all before it, and every session, end with this transaction.

    With one, the replaced credential and the sessions there are end together when it is over.
    """
    if not timedelta() <= wanted.overlap <= MAX_OVERLAP:
        raise ParameterInvalid(f"credential_migration_period is 0 to {int(MAX_OVERLAP.total_seconds())} seconds")
    if wanted.expires_at is not None and wanted.expires_at <= now:
        raise ParameterInvalid("credential_expires_at is in the past")
    last = current_credential(row)
    version = 1 if last is None else last.version + 1
    new = _made(row, wanted.credential, version, now)
    _end_before(row, now, wanted.overlap)
    new.expires_at = wanted.expires_at
    new.save()
    _index_subjects(row, now)
    return new


def current_credential(row: App) -> AppCredential | None:
    """Of a row whose credentials may have been read with it."""
    return next((found for found in row.credentials.all() if found.replaced_at is None), None)


def previous_credential(row: App, now: datetime) -> AppCredential | None:
    """The one replaced last, while it holds."""
    replaced = [found for found in row.credentials.all() if found.replaced_at is not None and not _ended(found, now)]
    return max(replaced, key=lambda found: found.version, default=None)


def view_of_credential(row: AppCredential) -> CredentialView:
    secret = None
    if row.secret_sealed is not None:
        secret = keystore.unseal(bytes(row.secret_sealed), binding=_binding(row))
    return CredentialView(row.kind, row.config, secret, end_of(row))


def _made(row: App, wanted: NewCredential, version: int, now: datetime) -> AppCredential:
    kind, config = trust_of(wanted, row.account_id, now)
    new = AppCredential(app=row, kind=kind, version=version, config=config, created_at=now)
    if isinstance(wanted, NewSecret):
        secret = checked_secret(wanted) or SecretBytes(new_app_secret(wanted.size).encode())
        new.secret_digest = digest(secret.reveal().decode())
        new.secret_sealed = keystore.seal(secret, binding=_binding(new))
    return new


def _binding(credential: AppCredential) -> bytes:
    return credential_binding(keystore.deployment_id(), credential.app_id, credential.version)


def _end_before(row: App, now: datetime, overlap: timedelta) -> None:
    """What has ended is not kept longer than to the next change: a sealed secret that opens nothing is no use."""
    ended = [found.pk for found in row.credentials.all() if _ended(found, now)]
    row.credentials.filter(pk__in=ended).delete()
    sessions = Session.objects.filter(app=row, terminated_at__isnull=True)
    if not overlap:
        row.credentials.all().update(valid_until=None)
        row.credentials.filter(replaced_at__isnull=True).update(replaced_at=now)
        row.credentials.all().update(secret_sealed=None)
        sessions.update(terminated_at=now)
        return
    until = now + overlap
    row.credentials.filter(replaced_at__isnull=True).update(replaced_at=now, valid_until=until)
    sessions.update(
        expires_at=Least(F("expires_at"), Value(until)), proof_ends_at=Least(F("proof_ends_at"), Value(until))
    )


def _ended(row: AppCredential, now: datetime) -> bool:
    ends_at = end_of(row)
    return ends_at is not None and ends_at <= now


def _index_subjects(row: App, now: datetime) -> None:
    """Whose tokens find the app without its id: the exact subjects of what holds."""
    AppSubject.objects.filter(app=row).delete()
    rows = AppCredential.objects.filter(app=row, kind=CredentialKind.SIGNED_JWT)
    pairs = {
        (issuer, subject)
        for found in rows
        if not _ended(found, now)
        for issuer in found.config["issuers"]
        for subject in found.config["subjects"]
        if not subject.endswith("*")
    }
    AppSubject.objects.bulk_create(
        AppSubject(app=row, issuer=issuer, subject=subject) for issuer, subject in sorted(pairs)
    )
