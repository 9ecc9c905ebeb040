"""What the operator of the host does for a person who has lost every way in. On the record like everything else.

No edge on the network reaches these: they are for management commands, where being on the host is the proof.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from accounts import addresses, throttle
from accounts.models import FidoCredential, RecoveryCode, Session, TotpDevice, User
from accounts.principal import SYSTEM_ID, AuthenticationMethod, Principal, PrincipalKind
from kms.audit.entry import Category, Detail
from kms.operations.authority import absent
from kms.operations.command import Call, Command, Operation, Resolved, control
from kms.operations.errors import NotFound
from policies.decision import Target
from policies.permissions import Permission


@dataclass(frozen=True, slots=True)
class UnblockUser(Command):
    """Forget the failed attempts to be a person, whoever made them."""

    email: str


@dataclass(frozen=True, slots=True)
class ForgetFactors(Command):
    """Remove every second factor and recovery code of a person, and end every session. The password stays."""

    email: str


def host() -> Principal:
    """The server, at the word of whoever runs commands on its host."""
    return Principal(PrincipalKind.SYSTEM, SYSTEM_ID, None, AuthenticationMethod.NONE)


def unblock_user(call: Call, _command: UnblockUser, user: User) -> int:
    """How many counters there were."""
    forgotten = throttle.unblock(user)
    call.details["items"] = forgotten
    return forgotten


def forget_factors(call: Call, _command: ForgetFactors, user: User) -> int:
    """How many factors there were."""
    removed = 0
    for kind in (TotpDevice, FidoCredential):
        removed += kind.objects.filter(user=user).delete()[0]
    RecoveryCode.objects.filter(user=user).delete()
    Session.objects.filter(user=user, terminated_at__isnull=True).update(terminated_at=call.now)
    call.details["items"] = removed
    return removed


def _resolve(_call: Call, command: Any) -> Sequence[Resolved]:
    email = addresses.normalised(command.email)
    user = User.objects.select_for_update().filter(email=email).first()
    if user is None:
        raise NotFound(absent("user"))
    return (Resolved(Permission.USER_RESCUE, Target("user", user.id), user),)


def _describe(command: Any) -> Mapping[str, Detail]:
    return {"email": command.email[:64]}


_operation = control(Category.ADMINISTRATIVE)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(UnblockUser, "user.unblock", _resolve, unblock_user, describe=_describe),
    _operation(ForgetFactors, "user.forget-factors", _resolve, forget_factors, describe=_describe),
)
