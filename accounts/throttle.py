"""Guessing is slowed down: attempts at a door are counted before they are looked at, per person and network.

How to guard a door, in an operation whose command holds something that can be guessed (a password, a code):

    admit:   attempts.reserve(attempt)     raises TooManyAttempts; counts before anything is checked
    handle:  attempts.clear(attempt)       after the check has succeeded, in the transaction of what it is good for

(``kms.operations.attempts`` puts the clock and the error in.) ``reserve`` has a transaction of its own, so nothing that
fails later takes the count back, and it locks the counter, so 32 guesses at once are counted one after the other. It
refuses to run inside another transaction. Everywhere that the same secret can be tried goes through the same door.

Two counters guard a person, and the stricter answer holds:

* the person from this network: a few free attempts, then delays that double up to 15 minutes;
* the person from anywhere: a few more free attempts, then the same delays. It does not count, and does not stop, who
  comes from a network where that person has got in lately. So nobody outside can lock a person out of the place where
  they work; who guesses from many networks is slowed as if it were one.

A success ends the first counter, and takes back what it added to the second: that one must not be emptied by the person
who is being guessed at, or every login of theirs would give the guesser new attempts. What was attempted with a name
that is nobody's is counted alike, so a refusal says nothing about who exists. A person is known by their id, never by
the spelling that was typed.

It knows no HTTP and checks no secret.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from uuid import UUID

from django.db import connection, transaction

from accounts import addresses
from accounts.errors import AttemptRefused
from accounts.models import AttemptCounter, Session, User

FIRST_DELAY, LONGEST_DELAY = timedelta(seconds=2), timedelta(minutes=15)
# How long without an attempt until a counter means nothing: short while nothing is slowed yet, because made-up names
# leave nothing but such counters, and the table must stay small.
FORGET, FORGET_SLOWED = timedelta(hours=1), timedelta(hours=24)
LATELY = timedelta(days=30)
# One line of a provider's: the whole of an IPv6 /64 is one customer's to choose from (RFC 6177 §2).
_PREFIX = {4: 32, 6: 64}
_NOWHERE = "nowhere"
_NOBODY = UUID(int=0)

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Door:
    """What is guessed at. ``free`` attempts from one network, ``free_anywhere`` from all, before delays begin.

    ``by_factor``: a network is trusted only when a second factor was shown there, because who guesses at this door has
    been through the first one.
    """

    name: str
    free: int = 5
    free_anywhere: int = 10
    by_factor: bool = False


PASSWORD = Door("password")
SECOND_FACTOR = Door("second-factor", by_factor=True)
DIRECTORY_PASSWORD = Door("directory-password")
CODE = Door("code")


@dataclass(frozen=True, slots=True)
class Attempt:
    """Someone from ``address`` tries to be ``subject``: a user's id, or a name that is nobody's (``subject_of``).

    ``provider`` when an identity provider checks the secret: names and networks count for each provider apart.
    """

    door: Door
    subject: UUID | str
    address: str | None
    provider: UUID | None = None


@dataclass(frozen=True, slots=True)
class Count:
    """A counter's content."""

    attempts: int = 0
    last_at: datetime | None = None
    blocked_until: datetime | None = None


def subject_of(email: str) -> UUID | str:
    """The user whose address this is, however it is spelt, or the address itself."""
    address = addresses.normalised(email)
    found = User.objects.filter(email=address).values_list("id", flat=True).first()
    return address if found is None else found


def reserve(attempt: Attempt, now: datetime) -> None:
    """Count the attempt, or raise AttemptRefused; then it is not counted and must not be looked at."""
    with transaction.atomic(durable=True):
        for key, free in _counters(attempt, now):
            counted = after(_locked(attempt, key, now), free, now)
            AttemptCounter.objects.filter(key=key).update(
                attempts=counted.attempts, last_at=counted.last_at, blocked_until=counted.blocked_until
            )


def clear(attempt: Attempt, now: datetime) -> None:
    """The attempt succeeded. In the transaction of its success, so that both stay or neither."""
    (own, _), *everywhere = _counters(attempt, now)
    AttemptCounter.objects.filter(key=own).delete()
    for key, free in everywhere:
        row = AttemptCounter.objects.select_for_update().filter(key=key).first()
        if row is not None:
            row.attempts = max(row.attempts - 1, 0)
            row.blocked_until = row.blocked_until if row.attempts >= free else None
            row.save(update_fields=["attempts", "blocked_until"])


def unblock(user: User) -> int:
    """Forget every attempt to be this user; for the operator of the host. Returns how many counters there were."""
    names = [_subject_digest(user.id), _subject_digest(user.email)]
    return AttemptCounter.objects.filter(subject__in=names).delete()[0]


def tidy(now: datetime) -> int:
    """Remove counters that mean nothing any more. Whether it runs or not, they count for nothing (``after``)."""
    quiet = AttemptCounter.objects.filter(last_at__lt=now - FORGET, blocked_until__isnull=True)
    slowed = AttemptCounter.objects.filter(last_at__lt=now - FORGET_SLOWED)
    return quiet.delete()[0] + slowed.delete()[0]


# -- the rule ------------------------------------------------------------------------------------------------------


def after(count: Count, free: int, now: datetime) -> Count:
    """Pure: the counter with one attempt more, or AttemptRefused while it is blocked."""
    if count.blocked_until is not None and now < count.blocked_until:
        raise AttemptRefused(math.ceil((count.blocked_until - now).total_seconds()))
    attempts = 1 if _forgotten(count, now) else count.attempts + 1
    return Count(attempts, now, now + delay(attempts - free) if attempts >= free else None)


def delay(excess: int) -> timedelta:
    """2, 4, 8 … seconds, up to 15 minutes: some hundred attempts a day (SP 800-63B-4 §3.2.2 asks for a limit)."""
    return min(FIRST_DELAY * 2 ** min(excess, 16), LONGEST_DELAY)


def _forgotten(count: Count, now: datetime) -> bool:
    if count.last_at is None:
        return True
    return now - count.last_at > (FORGET if count.blocked_until is None else FORGET_SLOWED)


# -- counters ------------------------------------------------------------------------------------------------------


def _counters(attempt: Attempt, now: datetime) -> list[tuple[bytes, int]]:
    """Key and free attempts of each counter, in the order they are locked."""
    network = network_of(attempt.address)
    own = (_key(attempt, str(network or _NOWHERE)), attempt.door.free)
    anywhere = (_key(attempt, "anywhere"), attempt.door.free_anywhere)
    return [own] if _is_familiar(attempt, network, now) else [own, anywhere]


def _is_familiar(attempt: Attempt, network: Network | None, now: datetime) -> bool:
    """Whether this person has got in from there lately. For a name that is nobody's the same is asked, in vain."""
    user = attempt.subject if isinstance(attempt.subject, UUID) else _NOBODY
    seen = Session.objects.filter(user_id=user, provider_id=attempt.provider, created_at__gt=now - LATELY)
    if attempt.door.by_factor:
        seen = seen.exclude(second_factor="")
    addresses_seen = seen.exclude(client_ip=None).order_by().values_list("client_ip", flat=True).distinct()
    return network is not None and any(network_of(address) == network for address in addresses_seen)


def network_of(address: str | None) -> Network | None:
    """Whose line an address is on. An IPv4 address may be written as an IPv6 one (RFC 4291 §2.5.5.2)."""
    if address is None:
        return None
    found = ip_address(address)
    found = getattr(found, "ipv4_mapped", None) or found
    return ip_network((found.packed, _PREFIX[found.version]), strict=False)


_LOCK = f"""
INSERT INTO {AttemptCounter._meta.db_table} AS counter (key, subject, attempts, last_at) VALUES (%s, %s, 0, %s)
ON CONFLICT (key) DO UPDATE SET subject = counter.subject
RETURNING attempts, last_at, blocked_until
"""  # noqa: S608 - the table's name is ours


def _locked(attempt: Attempt, key: bytes, now: datetime) -> Count:
    """The counter as it is, held until the transaction ends; one statement, so that no other comes in between."""
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, [key, _subject_digest(attempt.subject), now])
        row = cursor.fetchone()
    assert row is not None
    return Count(*row)


def _key(attempt: Attempt, where: str) -> bytes:
    parts = (attempt.door.name, str(attempt.provider or ""), str(attempt.subject), where)
    return hashlib.sha256("\0".join(parts).encode()).digest()


def _subject_digest(subject: UUID | str) -> bytes:
    return hashlib.sha256(str(subject).encode()).digest()
