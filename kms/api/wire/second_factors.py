"""Second factors on the wire: the vendor's /session/auth/2fa and /session/config_2fa, and our own for one-time codes.

One-time passwords are not on the vendor's wire; their routes and the list of factors are ours (docs/divergences.md).
"""

from __future__ import annotations

from typing import Literal
from uuid import UUID

import segno

from accounts import totp
from kms.api.wire import webauthn
from kms.api.wire.base import (
    Endpoint,
    Parameters,
    Request,
    Response,
    WireCall,
    nothing,
    parameters,
    path_id,
    wire_time,
)
from kms.operations.factor_enrolment import (
    AskEnrolmentChallenge,
    BeginTotp,
    ConfirmTotp,
    ListOwnFactors,
    LockFactors,
    MakeRecoveryCodes,
    NewTotp,
    OwnFactors,
    RemoveTotp,
    UnlockFactors,
)
from kms.operations.own_factors import device_of
from kms.operations.second_factors import (
    AskFactorChallenge,
    ShowRecoveryCode,
    ShowSecurityKey,
    ShowTotp,
    ShowU2fKey,
)
from kms.secret import SecretBytes


class RecoveryCodeAuthRequest(Request):
    recovery_code: str


class Config2faAuthRequest(Request):
    password: str


class TotpCode(Request):
    code: str


class NewTotpRequest(Request):
    name: str


class ChallengeParams(Parameters):
    protocol: Literal["u2f", "fido2"] = "u2f"


class Empty(Response):
    """An object without fields: the vendor's clients parse the body."""


class RecoveryCodes(Response):
    recovery_codes: list[str]


class FactorChallenge(Response):
    challenge: webauthn.U2fChallenge | None = None
    fido2_assertion_options: webauthn.RequestOptions | None = None
    allowed_mfa_methods: list[webauthn.MfaMethod] | None = None
    second_factor: list[str] = []


class NewTotpDevice(Response):
    """``qr_code`` is an SVG image of ``uri``; all of it is shown this once."""

    device_id: UUID
    name: str
    secret: str
    uri: str
    qr_code: str


class TotpDevice(Response, omit_defaults=False):
    device_id: UUID
    name: str
    confirmed: bool
    created_at: str | None
    last_used_at: str | None


class KeyDevice(Response, omit_defaults=False):
    name: str
    type: str
    origin: str | None
    created_at: str | None
    last_used_at: str | None


class FactorList(Response, omit_defaults=False):
    mfa_devices: list[KeyDevice]
    totp_devices: list[TotpDevice]
    recovery_codes_left: int
    config_unlocked_until: str | None


def _new_challenge(call: WireCall) -> AskEnrolmentChallenge:
    return AskEnrolmentChallenge(u2f=parameters(call, ChallengeParams).protocol == "u2f")


def _new_totp(made: NewTotp) -> NewTotpDevice:
    key = made.key.reveal()
    uri = totp.provisioning_uri(key, issuer=made.issuer, label=made.label)
    svg = segno.make(uri, error="m").svg_inline(scale=4)
    return NewTotpDevice(device_id=made.device, name=made.name, secret=totp.base32(key), uri=uri, qr_code=svg)


def _factors(own: OwnFactors) -> FactorList:
    keys = [
        KeyDevice(
            name=row.name,
            type=webauthn.mfa_device(device_of(row)).type,
            origin=row.origin or None,
            created_at=wire_time(row.created_at),
            last_used_at=wire_time(row.last_used_at),
        )
        for row in own.keys
    ]
    apps = [
        TotpDevice(
            device_id=row.key_id,
            name=row.name,
            confirmed=row.confirmed,
            created_at=wire_time(row.created_at),
            last_used_at=wire_time(row.last_used_at),
        )
        for row in own.totp
    ]
    return FactorList(
        mfa_devices=keys,
        totp_devices=apps,
        recovery_codes_left=own.codes_left,
        config_unlocked_until=wire_time(own.unlocked_until),
    )


def _codes(codes: list[str]) -> RecoveryCodes:
    return RecoveryCodes(recovery_codes=codes)


_SHOW = "/sys/v1/session/auth/2fa"
_CONFIGURE = "/sys/v1/session/config_2fa"
_USERS = "/sys/v1/users"
_TOTP = f"{_USERS}/totp_devices"
ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "CompleteFido2Auth",
        "POST",
        f"{_SHOW}/fido2",
        lambda call: ShowSecurityKey(webauthn.assertion(call.body)),
        nothing,
        body=webauthn.AssertionResult,
        status=204,
    ),
    Endpoint(
        "U2fAuth",
        "POST",
        f"{_SHOW}/u2f",
        lambda call: ShowU2fKey(webauthn.u2f_assertion(call.body)),
        nothing,
        body=webauthn.U2fAuthRequest,
        status=204,
    ),
    Endpoint(
        "RecoveryCodeAuth",
        "POST",
        f"{_SHOW}/recovery_code",
        lambda call: ShowRecoveryCode(call.body.recovery_code),
        nothing,
        body=RecoveryCodeAuthRequest,
        status=204,
    ),
    Endpoint(
        "TotpAuth",
        "POST",
        f"{_SHOW}/totp",
        lambda call: ShowTotp(call.body.code),
        nothing,
        body=TotpCode,
        status=204,
    ),
    Endpoint(
        "MfaAuthChallenge",
        "POST",
        f"{_SHOW}/challenge",
        lambda _call: AskFactorChallenge(),
        lambda offer: FactorChallenge(second_factor=webauthn.owned_of(offer), **webauthn.offered(offer)),
    ),
    Endpoint(
        "Config2faAuth",
        "POST",
        f"{_CONFIGURE}/auth",
        lambda call: UnlockFactors(SecretBytes(call.body.password.encode())),
        lambda _result: Empty(),
        body=Config2faAuthRequest,
    ),
    Endpoint("MfaNewChallenge", "POST", f"{_CONFIGURE}/new_challenge", _new_challenge, webauthn.creation_options),
    Endpoint("Config2faTerminate", "POST", f"{_CONFIGURE}/terminate", lambda _call: LockFactors(), nothing, status=204),
    Endpoint(
        "GenerateRecoveryCodes", "POST", f"{_USERS}/generate_recovery_codes", lambda _call: MakeRecoveryCodes(), _codes
    ),
    # As the vendor's Python SDK spells it.
    Endpoint(
        "GenerateRecoveryCode", "POST", f"{_USERS}/generate_recovery_code", lambda _call: MakeRecoveryCodes(), _codes
    ),
    Endpoint("ListFactors", "GET", f"{_USERS}/second_factors", lambda _call: ListOwnFactors(), _factors),
    Endpoint(
        "AddTotpDevice",
        "POST",
        _TOTP,
        lambda call: BeginTotp(call.body.name),
        _new_totp,
        body=NewTotpRequest,
        status=201,
    ),
    Endpoint(
        "ConfirmTotpDevice",
        "POST",
        _TOTP + "/{device_id}/confirm",
        lambda call: ConfirmTotp(path_id(call, "device_id"), call.body.code),
        nothing,
        body=TotpCode,
        status=204,
    ),
    Endpoint(
        "DeleteTotpDevice",
        "DELETE",
        _TOTP + "/{device_id}",
        lambda call: RemoveTotp(path_id(call, "device_id")),
        nothing,
        status=204,
    ),
)
