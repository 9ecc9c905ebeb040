"""What a reviewer sends with a yes, and is challenged with before it, in the vendor's JSON.

The two kinds of codes are ours (docs/divergences.md).
"""

from __future__ import annotations

from typing import Any

from kms.api.wire import webauthn
from kms.api.wire.base import Endpoint, Request, WireCall, WireError, parameters, path_id
from kms.api.wire.second_factors import ChallengeParams
from kms.operations.vote_challenges import AskVoteChallenge, VoteChallenge
from kms.operations.vote_proofs import VoteProof
from kms.secret import SecretBytes


class ApproveRequest(Request):
    """``code`` is a one-time password. At most one second factor is shown."""

    password: str | None = None
    code: str | None = None
    recovery_code: str | None = None
    u2f: webauthn.U2fAuthRequest | None = None
    fido2_auth_request: webauthn.AssertionResult | None = None
    body: Any = None


def proof_of(body: ApproveRequest | None) -> VoteProof:
    """No body shows nothing."""
    if body is None:
        return VoteProof()
    if sum(each is not None for each in (body.code, body.recovery_code, body.u2f, body.fido2_auth_request)) > 1:
        raise WireError("Invalid request: one second factor is shown at a time")
    assertion = None if body.u2f is None else webauthn.u2f_assertion(body.u2f)
    return VoteProof(
        password=None if body.password is None else SecretBytes(body.password.encode()),
        code=body.code,
        recovery_code=body.recovery_code,
        assertion=assertion if body.fido2_auth_request is None else webauthn.assertion(body.fido2_auth_request),
    )


def _challenge(call: WireCall) -> AskVoteChallenge:
    return AskVoteChallenge(path_id(call, "req_id"), parameters(call, ChallengeParams).protocol == "u2f")


def _options(made: VoteChallenge) -> webauthn.U2fChallenge | webauthn.RequestOptions | None:
    return webauthn.u2f_challenge(made.offer) if made.u2f else webauthn.request_options(made.offer)


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("MfaChallenge", "POST", "/sys/v1/approval_requests/{req_id}/challenge", _challenge, _options),
)
