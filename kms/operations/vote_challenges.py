"""A challenge for a security key whose answer says yes to one request for approval, as it reads now.

It must not know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from accounts.models import ChallengePurpose
from accounts.principal import PrincipalKind
from kms.audit.entry import Category, Detail
from kms.operations import reviewing
from kms.operations.approvals import demand_pending, reviewer_of
from kms.operations.command import Call, Command, Operation, Resolved, control
from kms.operations.errors import AccessDenied, InvalidRequest
from kms.operations.needed_quorums import guards_needed
from kms.operations.own_factors import Offer, devices_of, offer, relying_party
from kms.operations.vote_proofs import about, session_of
from policies.models import ApprovalRequest
from policies.permissions import Permission


@dataclass(frozen=True, slots=True)
class AskVoteChallenge(Command):
    """``u2f``: for keys that were registered so, by a client that knows no other."""

    request: UUID
    u2f: bool = False


@dataclass(frozen=True, slots=True)
class VoteChallenge:
    offer: Offer
    u2f: bool


def ask_vote_challenge(call: Call, command: AskVoteChallenge, row: ApprovalRequest) -> VoteChallenge:
    if call.principal.kind is not PrincipalKind.USER:
        raise AccessDenied("users-only", "Only people have second factors")
    demand_pending(call, row)
    reviewer_of(call, row, guards_needed(row))
    session = session_of(call)
    relying_party()  # or say why there is none
    if not any(key.u2f or not command.u2f for key in devices_of(call.principal.id)):
        raise InvalidRequest("You have no security key of this kind", "no-security-key")
    what = about(row.id, bytes(row.digest))
    return VoteChallenge(offer(session, call.principal.id, call.now, ChallengePurpose.VOTE, what), command.u2f)


def _resolve(call: Call, command: AskVoteChallenge) -> Sequence[Resolved]:
    row = reviewing.found(call, command.request)
    return (Resolved(Permission.APPROVAL_VOTE, reviewing.target_of(row), row),)


def _describe(command: AskVoteChallenge) -> Mapping[str, Detail]:
    return {"approval": str(command.request)}


OPERATIONS: tuple[Operation[Any], ...] = (
    control(Category.AUTHENTICATION)(
        AskVoteChallenge, "approval.challenge", _resolve, ask_vote_challenge, describe=_describe
    ),
)
