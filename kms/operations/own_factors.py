"""What proving and managing second factors share: the session it happens in, challenges, the server's name for keys.

It must not know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings

from accounts import fido
from accounts.models import ChallengePurpose, FactorChallenge, FidoCredential, FidoProtocol, Session
from accounts.principal import Principal, PrincipalKind
from accounts.second_factor import Factor, Owned
from accounts.throttle import Attempt, Door
from kms.audit.entry import CallContext
from kms.operations import attempts
from kms.operations.command import Call, Command, Resolved
from kms.operations.errors import AccessDenied, InvalidRequest
from policies.decision import Target
from policies.facts import factors_owned
from policies.permissions import Permission

CHALLENGE_LIFE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Device:
    """A security key as its owner knows it. ``id`` is the credential's own."""

    name: str
    id: bytes
    u2f: bool
    origin: str
    transports: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Offer:
    """What a person may show: kinds owned, and a challenge for security keys.

    Without ``party`` there is none: no key is owned, or the server has no name that keys could know it by.
    """

    owned: Owned
    user: UUID
    party: fido.RelyingParty | None = None
    challenge: bytes = b""
    keys: tuple[Device, ...] = ()


def rejected(reason: str) -> AccessDenied:
    """One answer for every factor that does not hold; the record says why."""
    return AccessDenied(reason, "The second factor was not accepted")


def resolve_own(permission: Permission) -> Callable[[Call, Any], Sequence[Resolved]]:
    """The caller's own session, locked. Only people have second factors."""

    def resolve(call: Call, _command: Command) -> Sequence[Resolved]:
        target = Target("session", call.principal.session, call.principal.account)
        if call.principal.kind is PrincipalKind.ANONYMOUS:
            return (Resolved(permission, target),)
        if call.principal.kind is not PrincipalKind.USER:
            raise AccessDenied("users-only", "Only people have second factors")
        own = Session.objects.select_for_update(of=("self",))
        session = own.filter(id=call.principal.session).first() if call.principal.session else None
        if session is None:
            raise InvalidRequest("This needs a session; log in first")
        return (Resolved(permission, target, session),)

    return resolve


def guarded(door: Door) -> Callable[[Principal, Any, CallContext], None]:
    """For ``admit``: an attempt at a person's door is counted before it is looked at."""

    def admit(principal: Principal, _command: Command, context: CallContext) -> None:
        if principal.kind is PrincipalKind.USER:
            attempts.reserve(Attempt(door, principal.id, context.client_ip))

    return admit


def passed(call: Call, door: Door) -> None:
    """What ``guarded`` counted has succeeded."""
    attempts.clear(Attempt(door, call.principal.id, call.context.client_ip))


def record_shown(call: Call, session: Session, factor: Factor) -> None:
    """The session counts for what was shown last, so that a weaker factor never refreshes a stronger one's proof."""
    session.second_factor, session.second_factor_at = factor, call.now
    session.save(update_fields=["second_factor", "second_factor_at"])
    call.details["factor"] = factor


# -- security keys -------------------------------------------------------------------------------------------------


def relying_party() -> fido.RelyingParty:
    try:
        return fido.relying_party(settings.KEYSTEAD.public_url)
    except fido.NoRelyingParty as error:
        raise InvalidRequest(str(error), "no-relying-party") from None


def devices_of(user: UUID) -> tuple[Device, ...]:
    return tuple(map(device_of, FidoCredential.objects.filter(user_id=user).order_by("created_at", "id")))


def devices_of_all(users: Iterable[UUID]) -> dict[UUID, tuple[Device, ...]]:
    """Of several people, in one query."""
    found: dict[UUID, tuple[Device, ...]] = {}
    for row in FidoCredential.objects.filter(user_id__in=list(users)).order_by("created_at", "id"):
        found[row.user_id] = (*found.get(row.user_id, ()), device_of(row))
    return found


def device_of(row: FidoCredential) -> Device:
    u2f = row.protocol == FidoProtocol.U2F
    return Device(row.name, bytes(row.credential_id), u2f, row.origin, tuple(row.transports))


def offer(
    session: Session, user: UUID, now: datetime, purpose: ChallengePurpose = ChallengePurpose.PROVE, about: bytes = b""
) -> Offer:
    """What may be shown in a session, with a challenge where a security key may be among it."""
    owned = factors_owned(user)
    keys = devices_of(user)
    try:
        party = fido.relying_party(settings.KEYSTEAD.public_url)
    except fido.NoRelyingParty:
        return Offer(owned, user)
    if not keys:
        return Offer(owned, user)
    return Offer(owned, user, party, new_challenge(session, purpose, now, about), keys)


def new_challenge(session: Session, purpose: ChallengePurpose, now: datetime, about: bytes = b"") -> bytes:
    """The one before it for the same is void: a session has one open challenge of each kind, about each thing."""
    FactorChallenge.objects.filter(session=session, purpose=purpose, about=about).delete()
    made = FactorChallenge.objects.create(
        session=session, purpose=purpose, about=about, challenge=fido.new_challenge(), expires_at=now + CHALLENGE_LIFE
    )
    return bytes(made.challenge)


def spend_challenge(
    call: Call, session: Session, purpose: ChallengePurpose, client_data: bytes, about: bytes = b""
) -> bytes:
    """The open challenge that an answer is to, used up now. KeyRejected when there is none."""
    given = fido.challenge_in(client_data)
    made = FactorChallenge.objects.select_for_update().filter(session=session, purpose=purpose, about=about)
    row = made.filter(challenge=given).first()
    if row is None:
        raise fido.KeyRejected("unknown-challenge")
    if row.used_at is not None:
        raise fido.KeyRejected("used-challenge")
    if row.expires_at <= call.now:
        raise fido.KeyRejected("expired-challenge")
    row.used_at = call.now
    row.save(update_fields=["used_at"])
    return bytes(row.challenge)
