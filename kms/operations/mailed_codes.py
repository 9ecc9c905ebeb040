"""What every flow with a mailed code does: ask for the mail, take the code. It must not know the wire or passwords."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from accounts import codes, outbox
from accounts.models import CodePurpose, FactVersion, OneTimeCode, User
from accounts.row_seals import verified
from kms.operations.command import Call, Command, Resolved
from kms.operations.errors import AccessDenied, TooManyAttempts
from kms.secret import SecretBytes
from policies.decision import Target
from policies.permissions import Permission


def mail(
    call: Call, purpose: CodePurpose, email: str, *, user: UUID | None = None, account: UUID | None = None
) -> None:
    """For callers who may know that the address is somebody's: they are told when it has had its share."""
    if not outbox.ask(purpose, email, call.now, user=user, account=account):
        raise TooManyAttempts("mailed-often", int(outbox.BURST.total_seconds()))


def code_of(call: Call, purpose: CodePurpose, claimed: UUID, code: SecretBytes) -> tuple[User, OneTimeCode]:
    """The person and the code's row, both locked. All that can be wrong with a code looks the same outside."""
    # What is about to change: fact versions come before rows (policies.versions), here where nobody's are held yet.
    FactVersion.objects.select_for_update().filter(subject=claimed).first()
    user = codes.lock_user(claimed)
    try:
        row = codes.look_up(purpose, user, claimed, code.reveal().decode(), now=call.now)
    except codes.CodeNotValid as error:
        raise refused(error.reason) from None
    assert user is not None  # look_up refuses nobody's codes
    verified([claimed])  # a code that somebody put there is none
    call.touched.insert(0, Target("user", user.id))
    return user, row


def refused(reason: str) -> AccessDenied:
    return AccessDenied(reason, "The code is not valid; ask for a new one")


def resolve_public(permission: Permission) -> Any:
    def resolve(_call: Call, _command: Command) -> Sequence[Resolved]:
        return (Resolved(permission, Target("server")),)

    return resolve
