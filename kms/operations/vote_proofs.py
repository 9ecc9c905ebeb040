"""What a reviewer shows with a vote: the password, a second factor. Good for that vote and nothing else.

Whoever takes votes calls ``admit`` from the operation's ``admit``, before anything is looked at, and ``shown`` in the
operation's transaction. What is shown uses up codes of the caller's own, so the operation is ``on_self``. It must not
know the wire, nor which quorum asks for what.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from uuid import UUID

from django.contrib.auth.hashers import check_password

from accounts.models import Account, ChallengePurpose, Session, User
from accounts.principal import Principal, PrincipalKind
from accounts.second_factor import Factor, satisfies
from accounts.throttle import PASSWORD, SECOND_FACTOR, Attempt
from kms.audit.entry import CallContext
from kms.objects.binding import canonical
from kms.operations import attempts
from kms.operations.command import Call
from kms.operations.errors import AccessDenied, InvalidRequest
from kms.operations.own_factors import passed
from kms.operations.second_factors import Answer, take_answer, take_recovery_code, take_totp
from kms.secret import SecretBytes
from policies.facts import factors_owned
from policies.models import ApprovalRequest

_DOMAIN = b"keystead vote v1"


@dataclass(frozen=True, slots=True)
class VoteProof:
    """At most one second factor: a one-time password, a recovery code or a security key's answer."""

    password: SecretBytes | None = None
    code: str | None = field(default=None, repr=False)
    recovery_code: str | None = field(default=None, repr=False)
    assertion: Answer | None = field(default=None, repr=False)

    @property
    def has_factor(self) -> bool:
        return (self.code, self.recovery_code, self.assertion) != (None, None, None)


@dataclass(frozen=True, slots=True)
class Shown:
    password: bool = False
    second_factor: bool = False


def admit(principal: Principal, proof: VoteProof, context: CallContext) -> None:
    """Refuse what cannot hold, and count what can be guessed, at the doors of the login: they are the same secrets."""
    if principal.kind is PrincipalKind.ANONYMOUS:
        return
    if principal.kind is not PrincipalKind.USER and (proof.password is not None or proof.has_factor):
        raise AccessDenied("users-only", "Only people have passwords and second factors to show")
    if proof.password is not None:
        if principal.provider is not None:
            raise AccessDenied("vouched-for", _NO_PASSWORD)
        attempts.reserve(Attempt(PASSWORD, principal.id, context.client_ip))
    if proof.has_factor:
        attempts.reserve(Attempt(SECOND_FACTOR, principal.id, context.client_ip))


def shown(call: Call, request: UUID, proof: VoteProof) -> Shown:
    """What was shown, used up. What does not hold is refused, never passed over. Codes come back if the vote fails."""
    if proof.password is not None:
        _demand_password(call, proof.password)
    factor = _take_factor(call, request, proof)
    if factor is not Factor.NONE:
        _demand_strength(call, factor)
        call.details["factor"] = factor
    return Shown(proof.password is not None, factor is not Factor.NONE)


def about(request: UUID, digest: bytes) -> bytes:
    """What a security key's answer says yes to: this request, as it reads now."""
    return hashlib.sha256(canonical([_DOMAIN, request.bytes, digest])).digest()


def session_of(call: Call) -> Session:
    session = Session.objects.filter(id=call.principal.session).first() if call.principal.session else None
    if session is None:
        raise InvalidRequest("This needs a session; log in first")
    return session


_NO_PASSWORD = "Your identity provider vouches for you, so there is no password of yours here to show"  # noqa: S105 - text


def _demand_password(call: Call, password: SecretBytes) -> None:
    user = User.objects.get(id=call.principal.id)
    if not user.has_usable_password():
        raise AccessDenied("no-password", _NO_PASSWORD)
    if not check_password(password.reveal().decode(), user.password):
        raise AccessDenied("wrong-password", "The password is not right")
    passed(call, PASSWORD)
    call.details["by_password"] = True


def _take_factor(call: Call, request: UUID, proof: VoteProof) -> Factor:
    if proof.code is not None:
        take_totp(call, proof.code)
        return Factor.TOTP
    if proof.recovery_code is not None:
        take_recovery_code(call, proof.recovery_code)
        return Factor.RECOVERY
    if proof.assertion is not None:
        digest = bytes(ApprovalRequest.objects.values_list("digest", flat=True).get(id=request, account=call.account))
        take_answer(call, session_of(call), proof.assertion, ChallengePurpose.VOTE, about(request, digest))
        return Factor.FIDO2
    return Factor.NONE


def _demand_strength(call: Call, factor: Factor) -> None:
    """A vote is no weaker than a login: where the account asks for security keys, it asks for them here."""
    requirement = Account.objects.values_list("second_factor", flat=True).get(id=call.account)
    if not satisfies(requirement, factors_owned(call.principal.id), factor):
        raise AccessDenied("weaker-second-factor", "This account asks for a security key, or a recovery code")
