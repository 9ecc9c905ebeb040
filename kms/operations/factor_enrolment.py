"""Adding and removing one's own second factors, behind a fresh proof of password and of the strongest factor owned.

It must not know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth.hashers import check_password
from django.db.models import Model

from accounts import fido, recovery, totp
from accounts.models import ChallengePurpose, FidoCredential, FidoProtocol, Session, TotpDevice, User
from accounts.second_factor import Factor, Owned, may_manage
from accounts.throttle import PASSWORD, SECOND_FACTOR
from kms.audit.entry import Category
from kms.crypto.errors import ParameterInvalid
from kms.operations.command import Call, Command, Operation, control
from kms.operations.errors import AccessDenied, Conflict, InvalidRequest, NotFound
from kms.operations.own_factors import (
    Device,
    devices_of,
    guarded,
    new_challenge,
    passed,
    record_shown,
    rejected,
    relying_party,
    resolve_own,
    spend_challenge,
)
from kms.operations.second_factors import seal_key, take_code
from kms.operations.users import UserView, view_of
from kms.secret import SecretBytes
from policies.facts import factors_owned
from policies.permissions import Permission

UNLOCKED_FOR = timedelta(minutes=5)
FRESH_FOR = timedelta(minutes=5)
MAX_DEVICES = 20
MAX_NAME = 128
ISSUER = "Keystead"


@dataclass(frozen=True, slots=True)
class UnlockFactors(Command):
    """Prove the password again; whoever owns a factor has shown it just before."""

    password: SecretBytes


@dataclass(frozen=True, slots=True)
class LockFactors(Command):
    """End what UnlockFactors began."""


@dataclass(frozen=True, slots=True)
class AskEnrolmentChallenge(Command):
    """A challenge for a new security key."""

    u2f: bool = False


@dataclass(frozen=True, slots=True)
class AddedKey:
    """A new security key's name and its answer to the enrolment challenge."""

    name: str
    answer: fido.Registration | fido.U2fRegistration = field(repr=False)
    transports: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ChangeSecurityKeys(Command):
    """By name. ``renamed`` is old name to new."""

    user: UUID
    added: AddedKey | None = None
    removed: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class BeginTotp(Command):
    """A new authenticator app. It counts when a first code has confirmed it."""

    name: str


@dataclass(frozen=True, slots=True)
class ConfirmTotp(Command):
    device: UUID
    code: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class RemoveTotp(Command):
    device: UUID


@dataclass(frozen=True, slots=True)
class MakeRecoveryCodes(Command):
    """A new set; the one before it is void."""


@dataclass(frozen=True, slots=True)
class ListOwnFactors(Command):
    """What the caller has enrolled."""


@dataclass(frozen=True, slots=True)
class EnrolmentChallenge:
    """For whom a key is to be made, and the keys that need not be made again."""

    party: fido.RelyingParty
    challenge: bytes
    user: User
    keys: tuple[Device, ...]
    u2f: bool


@dataclass(frozen=True, slots=True)
class NewTotp:
    """Shown once."""

    device: UUID
    name: str
    key: SecretBytes
    issuer: str
    label: str


@dataclass(frozen=True, slots=True)
class OwnFactors:
    keys: Sequence[FidoCredential]
    totp: Sequence[TotpDevice]
    codes_left: int
    unlocked_until: datetime | None


# -- unlocking -----------------------------------------------------------------------------------------------------


def unlock_factors(call: Call, command: UnlockFactors, session: Session) -> None:
    user = User.objects.get(id=call.principal.id)
    if not check_password(command.password.reveal().decode(), user.password):
        raise AccessDenied("wrong-password", "The password is not right")
    passed(call, PASSWORD)
    owned = _manageable(session)
    if owned and (session.second_factor_at is None or session.second_factor_at + FRESH_FOR < call.now):
        raise AccessDenied("stale-second-factor", "Show your second factor again, and unlock right after it")
    session.factors_unlocked_until = call.now + UNLOCKED_FOR
    session.save(update_fields=["factors_unlocked_until"])


def lock_factors(_call: Call, _command: LockFactors, session: Session) -> None:
    session.factors_unlocked_until = None
    session.save(update_fields=["factors_unlocked_until"])


def _manageable(session: Session) -> Owned:
    """The factors owned, where what the session has shown may manage them."""
    assert session.user_id is not None  # resolve_own lets only people through
    owned = factors_owned(session.user_id)
    if not may_manage(owned, Factor(session.second_factor)):
        raise AccessDenied("weaker-second-factor", "Show a security key, or a recovery code, to change second factors")
    return owned


def _unlocked(call: Call, session: Session) -> Owned:
    """As above, and the session is unlocked. Judged anew by every change: what is owned may be more by now."""
    owned = _manageable(session)
    if session.factors_unlocked_until is None or session.factors_unlocked_until <= call.now:
        raise AccessDenied("second-factors-locked", "Unlock the configuration of second factors with your password")
    return owned


def _settle(call: Call, session: Session, before: Owned, *, enrolled: Factor = Factor.NONE) -> None:
    """What follows from a change of factors.

    Codes made while only one-time passwords guarded the user must not stand for a security key, nor codes of somebody
    without any factor for the next one. Who has just enrolled a factor has shown it, but for one weaker than was shown.
    """
    after = factors_owned(call.principal.id)
    if not after or (Factor.FIDO2 in after and Factor.FIDO2 not in before):
        recovery.void(call.principal.id)
    if enrolled is Factor.FIDO2 or (enrolled is Factor.TOTP and not before):
        record_shown(call, session, enrolled)


# -- security keys -------------------------------------------------------------------------------------------------


def ask_enrolment_challenge(call: Call, command: AskEnrolmentChallenge, session: Session) -> EnrolmentChallenge:
    party = relying_party()
    challenge = new_challenge(session, ChallengePurpose.ENROL, call.now)
    user = User.objects.get(id=call.principal.id)
    return EnrolmentChallenge(party, challenge, user, devices_of(user.id), command.u2f)


def change_security_keys(call: Call, command: ChangeSecurityKeys, session: Session) -> UserView:
    if command.user != call.principal.id:
        raise InvalidRequest("A person's second factors are their own to change")
    owned = _unlocked(call, session)
    for old, new in command.renamed:
        _rename(_key(call, old), new)
    for name in command.removed:
        _key(call, name).delete()
    if command.added is not None:
        _add_key(call, session, command.added)
    call.details["fields"] = ", ".join(
        name for name in ("renamed", "removed", "added") if getattr(command, name) not in (None, ())
    )
    _settle(call, session, owned, enrolled=Factor.NONE if command.added is None else Factor.FIDO2)
    return view_of(call, User.objects.get(id=call.principal.id))


def _key(call: Call, name: str) -> FidoCredential:
    row = FidoCredential.objects.select_for_update().filter(user_id=call.principal.id, name=name).first()
    if row is None:
        raise NotFound("There is no security key of this name")
    return row


def _add_key(call: Call, session: Session, added: AddedKey) -> None:
    party = relying_party()
    _check_new(FidoCredential, call.principal.id, added.name)
    try:
        challenge = spend_challenge(call, session, ChallengePurpose.ENROL, added.answer.client_data)
        if isinstance(added.answer, fido.Registration):
            key = fido.registered(party, added.answer, challenge=challenge)
        else:
            key = fido.u2f_registered(party, added.answer, challenge=challenge)
    except fido.KeyRejected as error:
        raise InvalidRequest("The security key's answer was not accepted", f"security-key-{error.reason}") from None
    if FidoCredential.objects.filter(credential_id=key.credential_id).exists():
        raise Conflict("key-enrolled", "This security key is enrolled already")
    FidoCredential.objects.create(
        user_id=call.principal.id,
        name=added.name,
        protocol=FidoProtocol.U2F if key.u2f else FidoProtocol.FIDO2,
        credential_id=key.credential_id,
        public_key=key.public_key,
        sign_count=key.sign_count,
        aaguid=key.aaguid,
        transports=list(added.transports),
        origin=party.origin,
    )
    call.details.update(name=added.name, user_verified=key.user_verified)


def _rename(row: FidoCredential, name: str) -> None:
    _check_new(FidoCredential, row.user_id, name, one_more=0)
    row.name = name
    row.save(update_fields=["name"])


def _check_new(model: type[Model], user: UUID, name: str, *, one_more: int = 1) -> None:
    """A name of its own, and not one device too many."""
    if not name.strip() or len(name) > MAX_NAME:
        raise ParameterInvalid(f"a device's name has 1 to {MAX_NAME} characters")
    names = set(model._default_manager.filter(user_id=user).values_list("name", flat=True))
    if name in names:
        raise Conflict("name-taken", "You have a device of this name already")
    if len(names) + one_more > MAX_DEVICES:
        raise Conflict("too-many-devices", f"{MAX_DEVICES} devices of a kind are the most; remove one first")


# -- one-time passwords --------------------------------------------------------------------------------------------


def begin_totp(call: Call, command: BeginTotp, session: Session) -> NewTotp:
    """One unconfirmed device at a time: the one before it was given up."""
    _unlocked(call, session)
    TotpDevice.objects.filter(user_id=call.principal.id, confirmed=False).delete()
    _check_new(TotpDevice, call.principal.id, command.name)
    key = SecretBytes(totp.new_key())
    device = TotpDevice(user_id=call.principal.id, name=command.name)
    seal_key(device, key)
    device.save()
    call.details["name"] = device.name
    return NewTotp(device.key_id, device.name, key, ISSUER, User.objects.get(id=call.principal.id).email)


def confirm_totp(call: Call, command: ConfirmTotp, session: Session) -> None:
    device = _totp(call, command.device)
    owned = _unlocked(call, session)
    if device.confirmed:
        raise Conflict("totp-confirmed", "This device is confirmed already")
    if not take_code(device, command.code, call):
        raise rejected("wrong-code")
    device.confirmed = True
    device.save(update_fields=["confirmed"])
    call.details["name"] = device.name
    _settle(call, session, owned, enrolled=Factor.TOTP)


def remove_totp(call: Call, command: RemoveTotp, session: Session) -> None:
    device = _totp(call, command.device)
    owned = _unlocked(call, session)
    call.details["name"] = device.name
    device.delete()
    _settle(call, session, owned)


def _totp(call: Call, device: UUID) -> TotpDevice:
    row = TotpDevice.objects.select_for_update().filter(user_id=call.principal.id, key_id=device).first()
    if row is None:
        raise NotFound("There is no such device")
    return row


# -- recovery codes, and what there is -----------------------------------------------------------------------------


def make_recovery_codes(call: Call, _command: MakeRecoveryCodes, session: Session) -> list[str]:
    if not _unlocked(call, session):
        raise InvalidRequest("Recovery codes stand for a second factor; enrol one first")
    codes = recovery.replace(call.principal.id)
    call.details["codes_left"] = len(codes)
    return codes


def list_own_factors(call: Call, _command: ListOwnFactors, session: Session) -> OwnFactors:
    user = call.principal.id
    return OwnFactors(
        keys=list(FidoCredential.objects.filter(user_id=user).order_by("created_at", "id")),
        totp=list(TotpDevice.objects.filter(user_id=user).order_by("created_at", "id")),
        codes_left=recovery.left(user),
        unlocked_until=session.factors_unlocked_until,
    )


_operation = control(Category.AUTHENTICATION)
_manage = resolve_own(Permission.SECOND_FACTOR_MANAGE)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(UnlockFactors, "second-factor.unlock", _manage, unlock_factors, on_self=True, admit=guarded(PASSWORD)),
    _operation(LockFactors, "second-factor.lock", _manage, lock_factors, on_self=True),
    _operation(AskEnrolmentChallenge, "second-factor.enrolment-challenge", _manage, ask_enrolment_challenge),
    _operation(ChangeSecurityKeys, "second-factor.change-keys", _manage, change_security_keys, on_self=True),
    _operation(BeginTotp, "second-factor.begin-totp", _manage, begin_totp, on_self=True),
    _operation(
        ConfirmTotp, "second-factor.confirm-totp", _manage, confirm_totp, on_self=True, admit=guarded(SECOND_FACTOR)
    ),
    _operation(RemoveTotp, "second-factor.remove-totp", _manage, remove_totp, on_self=True, irreversible=True),
    _operation(MakeRecoveryCodes, "second-factor.make-recovery-codes", _manage, make_recovery_codes, on_self=True),
    _operation(ListOwnFactors, "second-factor.list", resolve_own(Permission.OWN_PROFILE), list_own_factors),
)
