"""What second factor a login still lacks. Pure: it knows no devices, challenges or rows, only which kinds there are.

The strongest factor that somebody owns guards them all: a one-time password neither satisfies an account that demands
security keys, nor may it add or remove one (SP 800-63B-4 §3.1.3 ranks the phishing-resistant above it).
"""

from __future__ import annotations

from enum import StrEnum


class Requirement(StrEnum):
    """What an account asks of those who log in with a password."""

    NONE = "none"
    ANY = "any"
    FIDO2 = "fido2"


class Factor(StrEnum):
    """How a second factor was shown. ``NONE`` is the empty string in a session's row."""

    NONE = ""
    TOTP = "totp"
    RECOVERY = "recovery"
    FIDO2 = "fido2"


class Lack(StrEnum):
    """Reason codes of a login that is not finished."""

    PROOF = "second-factor-needed"
    ENROLMENT = "second-factor-enrolment-needed"


Owned = frozenset[Factor]


def lacking(requirement: str, owned: Owned, shown: Factor) -> Lack | None:
    """What is still to do: show a factor that one owns, or enrol one that the account accepts. None when done.

    ``owned`` holds TOTP and FIDO2. A recovery code stands for the strongest of them, so it counts for security keys
    only while there is one to recover.
    """
    if shown is Factor.NONE and owned:
        return Lack.PROOF
    if requirement == Requirement.NONE or satisfies(requirement, owned, shown):
        return None
    return Lack.PROOF if requirement == Requirement.FIDO2 and Factor.FIDO2 in owned else Lack.ENROLMENT


def satisfies(requirement: str, owned: Owned, shown: Factor) -> bool:
    if requirement == Requirement.FIDO2:
        return shown is Factor.FIDO2 or (shown is Factor.RECOVERY and Factor.FIDO2 in owned)
    return shown is not Factor.NONE


def may_manage(owned: Owned, shown: Factor) -> bool:
    """May this session add and remove factors, and make recovery codes: only with the strongest that there is."""
    if Factor.FIDO2 in owned:
        return shown in (Factor.FIDO2, Factor.RECOVERY)
    return not owned or shown is not Factor.NONE
