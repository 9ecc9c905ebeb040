"""How long a proof holds: until its row changes, or until the credential behind it ends. It judges no credential."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from accounts.models import App, AppCredential, CredentialKind
from accounts.row_seals import Verified


def account_of(held: Verified, app: UUID) -> UUID | None:
    """Of a subject that is no app, none."""
    row = held.first(App, app)
    return None if row is None else row.account_id


def credentials_of(held: Verified, app: UUID, *kinds: CredentialKind) -> list[AppCredential]:
    """An app's credentials of these kinds, the newest first."""
    found = [row for row in held.of(AppCredential, app) if row.kind in kinds]
    return sorted(found, key=lambda row: (-row.version, row.pk))


def end_of(row: AppCredential) -> datetime | None:
    """When a credential stops to hold: its own end, or the end of the overlap once it was replaced. None is never."""
    ends = [end for end in (row.expires_at, row.valid_until) if end is not None]
    if row.replaced_at is not None and row.valid_until is None:
        return row.replaced_at
    return min(ends, default=None)
