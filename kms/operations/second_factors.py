"""Showing a second factor: a one-time password, a security key, a recovery code. It upgrades the caller's session.

Every failure is answered alike; the record says why. It must not know the wire or HTTP.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from accounts import fido, recovery, totp
from accounts.models import ChallengePurpose, FidoCredential, FidoProtocol, Session, TotpDevice
from accounts.second_factor import Factor
from accounts.throttle import SECOND_FACTOR
from kms.audit.entry import Category
from kms.objects import keystore
from kms.objects.binding import secret_binding
from kms.operations.command import Call, Command, Operation, control
from kms.operations.own_factors import (
    Offer,
    guarded,
    offer,
    passed,
    record_shown,
    rejected,
    relying_party,
    resolve_own,
    spend_challenge,
)
from kms.secret import SecretBytes
from policies.permissions import Permission

logger = logging.getLogger(__name__)

Answer = fido.Assertion | fido.U2fAssertion


@dataclass(frozen=True, slots=True)
class AskFactorChallenge(Command):
    """What the caller may show in this session, with a new challenge for security keys."""


@dataclass(frozen=True, slots=True)
class ShowTotp(Command):
    code: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ShowSecurityKey(Command):
    answer: fido.Assertion = field(repr=False)


@dataclass(frozen=True, slots=True)
class ShowU2fKey(Command):
    answer: fido.U2fAssertion = field(repr=False)


@dataclass(frozen=True, slots=True)
class ShowRecoveryCode(Command):
    code: str = field(repr=False)


# -- handlers ------------------------------------------------------------------------------------------------------


def ask_factor_challenge(call: Call, _command: AskFactorChallenge, session: Session) -> Offer:
    return offer(session, call.principal.id, call.now)


def show_totp(call: Call, command: ShowTotp, session: Session) -> None:
    take_totp(call, command.code)
    record_shown(call, session, Factor.TOTP)


def show_key(call: Call, command: ShowSecurityKey | ShowU2fKey, session: Session) -> None:
    take_answer(call, session, command.answer)
    record_shown(call, session, Factor.FIDO2)


def show_recovery_code(call: Call, command: ShowRecoveryCode, session: Session) -> None:
    take_recovery_code(call, command.code)
    record_shown(call, session, Factor.RECOVERY)


# -- using a factor up, whatever it is shown for -------------------------------------------------------------------


def take_totp(call: Call, code: str) -> None:
    devices = TotpDevice.objects.select_for_update().filter(user_id=call.principal.id, confirmed=True)
    for device in devices.order_by("id"):
        if take_code(device, code, call):
            return
    raise rejected("wrong-code")


def take_recovery_code(call: Call, code: str) -> None:
    if not recovery.spend(call.principal.id, code, now=call.now):
        raise rejected("wrong-recovery-code")
    passed(call, SECOND_FACTOR)
    call.details["codes_left"] = recovery.left(call.principal.id)


def take_answer(
    call: Call,
    session: Session,
    answer: Answer,
    purpose: ChallengePurpose = ChallengePurpose.PROVE,
    about: bytes = b"",
) -> None:
    """A security key's answer, to a challenge that was made in this session for this purpose and about this."""
    rows = list(FidoCredential.objects.select_for_update().filter(user_id=call.principal.id).order_by("id"))
    try:
        challenge = spend_challenge(call, session, purpose, answer.client_data, about)
        shown = _check(answer, challenge, [_known(row) for row in rows], call.principal.id)
    except fido.KeyRejected as error:
        if error.reason == "counter-went-back":
            logger.error("a security key of user %s counted backwards: it may have been copied", call.principal.id)
        raise rejected(f"security-key-{error.reason}") from None
    row = next(row for row in rows if bytes(row.credential_id) == shown.credential_id)
    row.sign_count, row.last_used_at = shown.sign_count, call.now
    row.save(update_fields=["sign_count", "last_used_at"])
    passed(call, SECOND_FACTOR)
    call.details.update(user_verified=shown.user_verified, name=row.name)


def take_code(device: TotpDevice, code: str, call: Call) -> bool:
    """Use a code up. The caller holds the device's row: a step is taken once, and none before it after that."""
    key = keystore.unseal(bytes(device.key_sealed), binding=key_binding(device)).reveal()
    step = totp.step_of(key, code, now=call.now, last_step=device.last_step)
    if step is None:
        return False
    device.last_step, device.last_used_at = step, call.now
    device.save(update_fields=["last_step", "last_used_at"])
    passed(call, SECOND_FACTOR)
    return True


# -- helpers -------------------------------------------------------------------------------------------------------


def seal_key(device: TotpDevice, key: SecretBytes) -> None:
    device.key_sealed = keystore.seal(key, binding=key_binding(device))


def key_binding(device: TotpDevice) -> bytes:
    return secret_binding(keystore.deployment_id(), "totp", device.key_id, 1)


def _check(answer: Answer, challenge: bytes, keys: list[fido.KnownKey], user: UUID) -> fido.Shown:
    if isinstance(answer, fido.U2fAssertion):
        return fido.u2f_shown(relying_party(), answer, challenge=challenge, keys=keys)
    return fido.shown(relying_party(), answer, challenge=challenge, keys=keys, user_handle=user.bytes)


def _known(row: FidoCredential) -> fido.KnownKey:
    u2f = row.protocol == FidoProtocol.U2F
    return fido.KnownKey(bytes(row.credential_id), bytes(row.public_key), row.sign_count, u2f)


_operation = control(Category.AUTHENTICATION)
_admit = guarded(SECOND_FACTOR)
_prove = resolve_own(Permission.SECOND_FACTOR_PROVE)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(AskFactorChallenge, "second-factor.challenge", _prove, ask_factor_challenge),
    _operation(ShowTotp, "second-factor.show-totp", _prove, show_totp, on_self=True, admit=_admit),
    _operation(ShowSecurityKey, "second-factor.show-key", _prove, show_key, on_self=True, admit=_admit),
    _operation(ShowU2fKey, "second-factor.show-u2f-key", _prove, show_key, on_self=True, admit=_admit),
    _operation(
        ShowRecoveryCode, "second-factor.show-recovery-code", _prove, show_recovery_code, on_self=True, admit=_admit
    ),
)
