"""What becomes of requests for approval in an account: how long they stand, what is kept and recorded of them.

It must not know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kms.crypto.errors import ParameterInvalid
from kms.operations.command import Call
from policies.models import AccountPolicy, GroupPolicy
from policies.permissions import Permission

# Of a request, in seconds. Reviewers need a while; what nobody remembers asking for must not come true.
SHORTEST, LONGEST, DEFAULT = 60, 365 * 86400, 30 * 86400


@dataclass(frozen=True, slots=True)
class ApprovalSettings:
    """``seconds`` a request stands; None leaves a setting as it is."""

    seconds: int | None = None
    check_results: bool | None = None
    log_expired: bool | None = None
    retain_expired: bool | None = None


def needs(_row: AccountPolicy | GroupPolicy, wanted: ApprovalSettings) -> Iterator[Permission]:
    if wanted.seconds is not None:
        yield Permission.APPROVAL_EXPIRY
    if any(value is not None for value in (wanted.check_results, wanted.log_expired, wanted.retain_expired)):
        yield Permission.APPROVAL_SETTINGS


def write(_call: Call, row: AccountPolicy | GroupPolicy, wanted: ApprovalSettings) -> None:
    if not isinstance(row, AccountPolicy):
        raise ParameterInvalid("Settings for requests for approval are the account's")
    if wanted.seconds is not None and not SHORTEST <= wanted.seconds <= LONGEST:
        raise ParameterInvalid(f"approval_request_expiry is {SHORTEST} to {LONGEST} seconds")
    row.approval_seconds = row.approval_seconds if wanted.seconds is None else wanted.seconds
    for name in ("check_results", "log_expired", "retain_expired"):
        if getattr(wanted, name) is not None:
            setattr(row, name, getattr(wanted, name))
