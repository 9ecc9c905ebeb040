"""How long a proof holds: until its row changes, or until the credential behind it ends. It judges no credential."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from accounts.models import AppCredential, FactVersion


def fact_version(subject: UUID) -> int:
    """Read before the rows it stands for, so that a change in between shows as an old version."""
    return FactVersion.objects.filter(subject=subject).values_list("version", flat=True).first() or 0


def read_versions(subjects: Iterable[UUID]) -> dict[UUID, int]:
    """As ``fact_version``, of several."""
    return dict(FactVersion.objects.filter(subject__in=list(subjects)).values_list("subject", "version"))


def end_of(row: AppCredential) -> datetime | None:
    """When a credential stops to hold: its own end, or the end of the overlap once it was replaced. None is never."""
    ends = [end for end in (row.expires_at, row.valid_until) if end is not None]
    if row.replaced_at is not None and row.valid_until is None:
        return row.replaced_at
    return min(ends, default=None)
