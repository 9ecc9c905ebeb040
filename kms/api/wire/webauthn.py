"""WebAuthn and U2F on the wire: what ``navigator.credentials`` and ``u2f.js`` take and give, in the vendor's JSON.

Bytes are base64url here, without padding when we write and with or without when we read.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import Any

from accounts import fido
from accounts.second_factor import Factor
from kms.api.wire.base import Request, Response, WireError
from kms.operations.factor_enrolment import AddedKey, EnrolmentChallenge
from kms.operations.own_factors import CHALLENGE_LIFE, Device, Offer

U2F_VERSION = "U2F_V2"
_PUBLIC_KEY = "public-key"
_TIMEOUT = int(CHALLENGE_LIFE.total_seconds() * 1000)
_MAX_TRANSPORTS, _MAX_TRANSPORT = 16, 32


# -- answers -------------------------------------------------------------------------------------------------------


class ExtensionOutputs(Request):
    """Of extensions that we ask for; browsers add others of their own, as the specification lets them."""

    appid: bool | None = None
    appidExclude: bool | None = None
    credProps: Any = None


class AttestationResponse(Request):
    """The fields that ``PublicKeyCredential.toJSON()`` adds say again what the attestation object holds."""

    attestationObject: str
    clientDataJSON: str
    getTransports: list[str] | None = None
    transports: list[str] | None = None
    authenticatorData: Any = None
    publicKey: Any = None
    publicKeyAlgorithm: Any = None


class AttestationResult(Request):
    response: AttestationResponse
    id: str | None = None
    rawId: str | None = None
    type: str | None = None
    authenticatorAttachment: str | None = None
    get_client_extension_results: ExtensionOutputs | None = None
    clientExtensionResults: ExtensionOutputs | None = None


class AddMfaDevice(Request):
    name: str
    attestationResult: AttestationResult


class AddU2fDevice(Request):
    name: str
    registrationData: str
    clientData: str
    version: str


class DeviceName(Request):
    name: str


class RenameDevice(Request):
    old_name: str
    new_name: str


class AssertionResponse(Request):
    authenticatorData: str
    clientDataJSON: str
    signature: str
    userHandle: str | None = None


class AssertionResult(Request):
    id: str
    response: AssertionResponse
    rawId: str | None = None
    type: str | None = None
    authenticatorAttachment: str | None = None
    get_client_extension_results: ExtensionOutputs | None = None
    clientExtensionResults: ExtensionOutputs | None = None


class U2fAuthRequest(Request):
    keyHandle: str
    signatureData: str
    clientData: str


def data(text: str, what: str) -> bytes:
    """Base64 in either alphabet, padded or not: browsers, ``u2f.js`` and the vendor's clients each write another."""
    try:
        unpadded = text.rstrip("=").translate(str.maketrans("-_", "+/"))
        return base64.b64decode(unpadded + "=" * (-len(unpadded) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise WireError(f"Invalid request: {what} is not base64") from None


def text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def _check_type(given: str | None) -> None:
    if given not in (None, _PUBLIC_KEY):
        raise WireError(f"Invalid request: type is {_PUBLIC_KEY}")


def assertion(body: AssertionResult) -> fido.Assertion:
    _check_type(body.type)
    outputs = body.get_client_extension_results or body.clientExtensionResults or ExtensionOutputs()
    response = body.response
    return fido.Assertion(
        credential_id=data(body.id, "id"),
        client_data=data(response.clientDataJSON, "clientDataJSON"),
        authenticator_data=data(response.authenticatorData, "authenticatorData"),
        signature=data(response.signature, "signature"),
        user_handle=None if response.userHandle is None else data(response.userHandle, "userHandle"),
        by_app_id=outputs.appid is True,
    )


def u2f_assertion(body: U2fAuthRequest) -> fido.U2fAssertion:
    return fido.U2fAssertion(
        key_handle=data(body.keyHandle, "keyHandle"),
        client_data=data(body.clientData, "clientData"),
        signature_data=data(body.signatureData, "signatureData"),
    )


def added(mfa: Iterable[AddMfaDevice], u2f: Iterable[AddU2fDevice]) -> AddedKey | None:
    keys = [*map(_added_key, mfa), *map(_added_u2f_key, u2f)]
    if len(keys) > 1:
        raise WireError("Invalid request: one device is added at a time")
    return keys[0] if keys else None


def _added_key(body: AddMfaDevice) -> AddedKey:
    result = body.attestationResult
    _check_type(result.type)
    answer = fido.Registration(
        client_data=data(result.response.clientDataJSON, "clientDataJSON"),
        attestation_object=data(result.response.attestationObject, "attestationObject"),
    )
    transports = result.response.getTransports or result.response.transports or ()
    if len(transports) > _MAX_TRANSPORTS or any(len(one) > _MAX_TRANSPORT for one in transports):
        raise WireError("Invalid request: getTransports is too long")
    return AddedKey(body.name, answer, tuple(transports))


def _added_u2f_key(body: AddU2fDevice) -> AddedKey:
    if body.version != U2F_VERSION:
        raise WireError(f"Invalid request: version is {U2F_VERSION}")
    answer = fido.U2fRegistration(
        client_data=data(body.clientData, "clientData"),
        registration_data=data(body.registrationData, "registrationData"),
    )
    return AddedKey(body.name, answer)


# -- options -------------------------------------------------------------------------------------------------------


class Descriptor(Response):
    type: str
    id: str
    transports: list[str] | None = None


class Extensions(Response):
    appid: str | None = None
    appidExclude: str | None = None


class RequestOptions(Response):
    """``PublicKeyCredentialRequestOptions``, as JSON."""

    challenge: str
    timeout: int
    rpId: str
    allowCredentials: list[Descriptor]
    userVerification: str
    extensions: Extensions | None = None


class CreationOptions(Response):
    """``PublicKeyCredentialCreationOptions``, as JSON."""

    rp: dict[str, Any]
    user: dict[str, Any]
    challenge: str
    pubKeyCredParams: list[dict[str, Any]]
    timeout: int
    excludeCredentials: list[Descriptor]
    authenticatorSelection: dict[str, Any]
    attestation: str
    extensions: Extensions | None = None


class U2fKey(Response):
    keyHandle: str
    version: str


class U2fChallenge(Response, omit_defaults=False):
    u2f_challenge: str
    u2f_keys: list[U2fKey]


class MfaDevice(Response):
    name: str
    type: str
    origin: str | None = None


class Fido2Method(Response):
    challenge: RequestOptions
    challenge_token: bytes
    mfa_devices: list[MfaDevice]


class MfaMethod(Response):
    Fido2: Fido2Method


class LackingFactor(Response):
    """Ours: what the login still lacks, and the kinds of factor that its owner has."""

    lack: str | None
    owned: list[str]


def mfa_device(device: Device) -> MfaDevice:
    return MfaDevice(name=device.name, type="U2f" if device.u2f else "Fido2", origin=device.origin or None)


def mfa_devices(devices: Iterable[Device]) -> list[MfaDevice]:
    return [mfa_device(device) for device in devices]


def owned_of(offer: Offer) -> list[str]:
    return sorted(factor for factor in offer.owned if factor is not Factor.NONE)


def request_options(offer: Offer) -> RequestOptions | None:
    """U2F keys answer here too, by the appid extension (WebAuthn Level 2 §10.1)."""
    if offer.party is None:
        return None
    has_u2f = any(key.u2f for key in offer.keys)
    return RequestOptions(
        challenge=text(offer.challenge),
        timeout=_TIMEOUT,
        rpId=offer.party.id,
        allowCredentials=_descriptors(offer.keys),
        userVerification="preferred",
        extensions=Extensions(appid=offer.party.app_id) if has_u2f else None,
    )


def u2f_challenge(offer: Offer) -> U2fChallenge | None:
    keys = [key for key in offer.keys if key.u2f]
    return _u2f_challenge(offer.challenge, keys) if keys else None


def mfa_methods(offer: Offer) -> list[MfaMethod] | None:
    options = request_options(offer)
    if options is None:
        return None
    method = Fido2Method(challenge=options, challenge_token=offer.challenge, mfa_devices=mfa_devices(offer.keys))
    return [MfaMethod(Fido2=method)]


def offered(offer: Offer) -> dict[str, Any]:
    """The vendor's members of an answer that asks for a second factor."""
    return {
        "challenge": u2f_challenge(offer),
        "fido2_assertion_options": request_options(offer),
        "allowed_mfa_methods": mfa_methods(offer),
    }


def creation_options(made: EnrolmentChallenge) -> CreationOptions | U2fChallenge:
    if made.u2f:
        return _u2f_challenge(made.challenge, [key for key in made.keys if key.u2f])
    party, user = made.party, made.user
    has_u2f = any(key.u2f for key in made.keys)
    display_name = f"{user.first_name} {user.last_name}".strip() or user.email
    user_id = {"id": text(user.id.bytes), "displayName": display_name}
    # The vendor's Go client looks for the ids in a member of their own, browsers beside the name.
    return CreationOptions(
        rp={"name": party.name, "id": party.id, "entity": {"id": party.id}},
        user={"name": user.email, **user_id, "entity": user_id},
        challenge=text(made.challenge),
        pubKeyCredParams=[{"type": _PUBLIC_KEY, "alg": alg} for alg in fido.ALGORITHMS],
        timeout=_TIMEOUT,
        excludeCredentials=_descriptors(made.keys),
        authenticatorSelection={
            "residentKey": "discouraged",
            "requireResidentKey": False,
            "userVerification": "preferred",
        },
        attestation="none",
        extensions=Extensions(appidExclude=party.app_id) if has_u2f else None,
    )


def _descriptors(keys: Iterable[Device]) -> list[Descriptor]:
    return [Descriptor(type=_PUBLIC_KEY, id=text(key.id), transports=list(key.transports) or None) for key in keys]


def _u2f_challenge(challenge: bytes, keys: Iterable[Device]) -> U2fChallenge:
    u2f_keys = [U2fKey(keyHandle=text(key.id), version=U2F_VERSION) for key in keys]
    return U2fChallenge(u2f_challenge=text(challenge), u2f_keys=u2f_keys)
