"""Recovery codes: made, shown once, kept as digests, good once each. It decides nothing about who may have them."""

from __future__ import annotations

import base64
import secrets
from datetime import datetime
from uuid import UUID

from accounts.credentials import digest
from accounts.models import RecoveryCode

CODES = 10
_CODE_BYTES = 10  # 80 bits: too many to guess even offline, so a plain digest suffices (SP 800-63B-4 §3.1.2.2)
_GROUP = 4


def replace(user: UUID) -> list[str]:
    """A new set; the one before it is void."""
    void(user)
    codes = [_new_code() for _ in range(CODES)]
    RecoveryCode.objects.bulk_create(RecoveryCode(user_id=user, digest=_digest(code)) for code in codes)
    return codes


def void(user: UUID) -> None:
    RecoveryCode.objects.filter(user_id=user).delete()


def spend(user: UUID, code: str, *, now: datetime) -> bool:
    """Use a code up, under its row's lock. False when there is no such code, or it was used before."""
    row = RecoveryCode.objects.select_for_update().filter(user_id=user, digest=_digest(code)).first()
    if row is None or row.used_at is not None:
        return False
    row.used_at = now
    row.save(update_fields=["used_at"])
    return True


def left(user: UUID) -> int:
    return RecoveryCode.objects.filter(user_id=user, used_at=None).count()


def _new_code() -> str:
    text = base64.b32encode(secrets.token_bytes(_CODE_BYTES)).decode()
    return "-".join(text[start : start + _GROUP] for start in range(0, len(text), _GROUP))


def _digest(code: str) -> bytes:
    """Of what counts: people drop the hyphens, put in spaces and type small letters."""
    return digest("".join(code.split()).replace("-", "").upper())
