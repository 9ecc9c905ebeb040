"""Security keys and passkeys: what their answers must hold (WebAuthn Level 2 §7), and the older U2F's. Pure.

The library parses and checks signatures; what it leaves to its caller is checked here: which algorithms a new key may
have, that it is usable at all, counters, and which kind of key may answer for which application. It knows no rows.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from fido2 import cbor
from fido2.attestation.base import InvalidAttestation
from fido2.cose import ES256, CoseKey
from fido2.ctap1 import RegistrationData, SignatureData
from fido2.server import Fido2Server
from fido2.utils import websafe_decode, websafe_encode
from fido2.webauthn import (
    AttestationObject,
    AttestedCredentialData,
    AuthenticatorData,
    CollectedClientData,
    PublicKeyCredentialRpEntity,
)

CHALLENGE_BYTES = 32
MAX_CREDENTIAL_ID = 1023  # WebAuthn §7.1 step 17 (Level 2 §6.5.1)
ALGORITHMS = (-7, -8, -257)  # ES256, EdDSA, RS256 (RFC 8152, RFC 8812), the most wanted first
_MIN_RSA_BYTES = 2048 // 8
_MAX_KEY_BYTES = 1100  # RSA of 8192 bits and its frame: checking a longer one is work that anybody could ask for
_NAME = "Keystead"
_DEFAULT_PORTS = {"https": 443, "http": 80}

T = TypeVar("T")


class KeyRejected(Exception):
    """A security key's answer that does not hold. ``reason`` is for the record; the caller learns none of it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NoRelyingParty(Exception):
    """The server has no name that security keys could know it by. The message is for whoever set it up."""


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """Whom keys are made for: ``id`` is a host name, ``origin`` what browsers must say they are on, exactly.

    The origin is the AppID of U2F keys too (FIDO AppID and Facet Specification §3.1.2).
    """

    id: str
    origin: str
    name: str = _NAME

    @property
    def app_id(self) -> str:
        return self.origin


def relying_party(url: str) -> RelyingParty:
    """The relying party of a server with this public URL."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        ip_address(host)
    except ValueError:
        port = "" if parts.port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f":{parts.port}"
        return RelyingParty(host, f"{parts.scheme}://{host}{port}")
    raise NoRelyingParty(
        "Security keys need a server with a name, and this one goes by an address; "
        "KEYSTEAD_PUBLIC_URL must be https:// and a host name (localhost will do)"
    )


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A key that a user has: ``u2f`` ones were registered for the AppID and answer for it only."""

    credential_id: bytes
    public_key: bytes
    sign_count: int
    u2f: bool = False


@dataclass(frozen=True, slots=True)
class NewKey:
    credential_id: bytes
    public_key: bytes
    sign_count: int
    aaguid: UUID | None
    user_verified: bool
    u2f: bool = False


@dataclass(frozen=True, slots=True)
class Registration:
    """What ``navigator.credentials.create()`` gave."""

    client_data: bytes
    attestation_object: bytes


@dataclass(frozen=True, slots=True)
class Assertion:
    """What ``navigator.credentials.get()`` gave. ``by_app_id`` is the output of the appid extension (§10.1)."""

    credential_id: bytes
    client_data: bytes
    authenticator_data: bytes
    signature: bytes
    user_handle: bytes | None = None
    by_app_id: bool = False


@dataclass(frozen=True, slots=True)
class U2fRegistration:
    """What ``u2f.register()`` gave (FIDO U2F Raw Message Formats §4.3)."""

    client_data: bytes
    registration_data: bytes


@dataclass(frozen=True, slots=True)
class U2fAssertion:
    """What ``u2f.sign()`` gave (§5.4)."""

    key_handle: bytes
    client_data: bytes
    signature_data: bytes


@dataclass(frozen=True, slots=True)
class Shown:
    """A key that answered, its counter now, and whether it knew its user (a PIN, a finger)."""

    credential_id: bytes
    sign_count: int
    user_verified: bool


def new_challenge() -> bytes:
    return secrets.token_bytes(CHALLENGE_BYTES)


def challenge_in(client_data: bytes) -> bytes:
    """The challenge that an answer says it is to: which one to look up. Nothing of it is believed yet."""
    with _well_formed():
        challenge = websafe_decode(_fields(client_data)["challenge"])
    return bytes(challenge)


# -- registration --------------------------------------------------------------------------------------------------


def registered(party: RelyingParty, answer: Registration, *, challenge: bytes) -> NewKey:
    """The key that was made, or KeyRejected (§7.1). Attestation is not asked for, so none is looked at."""
    client_data = _client_data(answer.client_data)
    with _well_formed():
        attested = AttestationObject(answer.attestation_object)
    made = attested.auth_data.credential_data
    _check(party, client_data, attested.auth_data, kind=CollectedClientData.TYPE.CREATE, challenge=challenge)
    if made is None:
        raise KeyRejected("no-credential")
    with _well_formed():
        data = _server(party).register_complete(
            _state(challenge), _response(answer.client_data, attestationObject=answer.attestation_object)
        )
    return NewKey(
        credential_id=_checked_id(made.credential_id),
        public_key=_checked_key(made.public_key),
        sign_count=data.counter,
        aaguid=UUID(bytes=bytes(made.aaguid)),
        user_verified=data.is_user_verified(),
    )


def u2f_registered(party: RelyingParty, answer: U2fRegistration, *, challenge: bytes) -> NewKey:
    """The key that was made. Its attestation certificate signs the answer, and proves nothing more to us."""
    _check_u2f_client_data(party, answer.client_data, "navigator.id.finishEnrollment", challenge)
    with _well_formed():
        data = RegistrationData(answer.registration_data)
        _signed(lambda: data.verify(_hash(party.app_id.encode()), _hash(answer.client_data)))
        public_key = _checked_key(ES256.from_ctap1(data.public_key))
        return NewKey(_checked_id(data.key_handle), public_key, 0, None, user_verified=False, u2f=True)


def _checked_id(credential_id: bytes) -> bytes:
    if not 0 < len(credential_id) <= MAX_CREDENTIAL_ID:
        raise KeyRejected("credential-id-length")
    return bytes(credential_id)


def _checked_key(key: CoseKey) -> bytes:
    """A COSE key of an algorithm that was asked for, and one that verifies: a broken one would lock its owner out."""
    if key.ALGORITHM not in ALGORITHMS:
        raise KeyRejected("algorithm-not-asked-for")
    with _well_formed():
        if key.ALGORITHM == -257 and len(key[-1].lstrip(b"\0")) < _MIN_RSA_BYTES:
            raise KeyRejected("key-too-short")
        if len(cbor.encode(dict(key))) > _MAX_KEY_BYTES:
            raise KeyRejected("key-too-long")
        try:
            key.verify(b"nothing was signed", b"so this does not verify")
        except InvalidSignature:
            return cbor.encode(dict(key))
    raise KeyRejected("malformed")


# -- assertion -----------------------------------------------------------------------------------------------------


def shown(
    party: RelyingParty, answer: Assertion, *, challenge: bytes, keys: Iterable[KnownKey], user_handle: bytes
) -> Shown:
    """The key that answered, or KeyRejected (§7.2)."""
    known = _named(keys, answer.credential_id, u2f=answer.by_app_id)
    if answer.user_handle and not hmac.compare_digest(answer.user_handle, user_handle):
        raise KeyRejected("other-user")
    client_data = _client_data(answer.client_data)
    with _well_formed():
        data = AuthenticatorData(answer.authenticator_data)
    _check(
        party,
        client_data,
        data,
        kind=CollectedClientData.TYPE.GET,
        challenge=challenge,
        by_app_id=answer.by_app_id,
    )
    with _well_formed("wrong-signature"):
        held = AttestedCredentialData.create(bytes(16), known.credential_id, CoseKey.parse(_cose(known)))
        _server(party, by_app_id=answer.by_app_id).authenticate_complete(
            _state(challenge),
            [held],
            _response(
                answer.client_data,
                credential_id=answer.credential_id,
                authenticatorData=answer.authenticator_data,
                signature=answer.signature,
            ),
        )
    return Shown(known.credential_id, _counted(known, data.counter), data.is_user_verified())


def u2f_shown(party: RelyingParty, answer: U2fAssertion, *, challenge: bytes, keys: Iterable[KnownKey]) -> Shown:
    known = _named(keys, answer.key_handle, u2f=True)
    _check_u2f_client_data(party, answer.client_data, "navigator.id.getAssertion", challenge)
    with _well_formed():
        data = SignatureData(answer.signature_data)
        key = _cose(known)
        point = b"\x04" + key[-2] + key[-3]
        _signed(lambda: data.verify(_hash(party.app_id.encode()), _hash(answer.client_data), point))
    if not data.user_presence & AuthenticatorData.FLAG.UP:
        raise KeyRejected("nobody-present")
    return Shown(known.credential_id, _counted(known, data.counter), user_verified=False)


def _named(keys: Iterable[KnownKey], credential_id: bytes, *, u2f: bool) -> KnownKey:
    for key in keys:
        if key.u2f is u2f and hmac.compare_digest(key.credential_id, credential_id):
            return key
    raise KeyRejected("unknown-key")


def _counted(known: KnownKey, counter: int) -> int:
    """A counter that does not grow is a copied key (§7.2 step 21); keys that do not count stay at nought."""
    if (counter or known.sign_count) and counter <= known.sign_count:
        raise KeyRejected("counter-went-back")
    return counter


# -- both ----------------------------------------------------------------------------------------------------------


def _server(party: RelyingParty, *, by_app_id: bool = False) -> Fido2Server:
    entity = PublicKeyCredentialRpEntity(name=party.name, id=party.app_id if by_app_id else party.id)
    return Fido2Server(entity, verify_origin=lambda origin: origin == party.origin)


def _state(challenge: bytes) -> dict[str, Any]:
    return {"challenge": websafe_encode(challenge), "user_verification": None}


def _response(client_data: bytes, *, credential_id: bytes = b"", **parts: bytes) -> dict[str, Any]:
    """The JSON form that the library parses."""
    response = {"clientDataJSON": client_data, **parts}
    return {
        "rawId": websafe_encode(credential_id),
        "type": "public-key",
        "response": {name: websafe_encode(value) for name, value in response.items()},
    }


def _check(
    party: RelyingParty,
    client_data: CollectedClientData,
    data: AuthenticatorData,
    *,
    kind: str,
    challenge: bytes,
    by_app_id: bool = False,
) -> None:
    """What the library checks too, for the record's sake: its errors do not say which. And what it passes over: that
    the page was no frame in somebody else's."""
    if client_data.type != kind:
        raise KeyRejected("other-ceremony")
    if client_data.origin != party.origin:
        raise KeyRejected("other-origin")
    if client_data.cross_origin is not False:
        raise KeyRejected("cross-origin")
    if not hmac.compare_digest(client_data.challenge, challenge):
        raise KeyRejected("other-challenge")
    if not hmac.compare_digest(data.rp_id_hash, _hash((party.app_id if by_app_id else party.id).encode())):
        raise KeyRejected("other-relying-party")
    if not data.is_user_present():
        raise KeyRejected("nobody-present")


def _check_u2f_client_data(party: RelyingParty, client_data: bytes, kind: str, challenge: bytes) -> None:
    with _well_formed():
        fields = _fields(client_data)
        if fields["typ"] != kind:
            raise KeyRejected("other-ceremony")
        if fields["origin"] != party.origin:
            raise KeyRejected("other-origin")
        if not hmac.compare_digest(websafe_decode(fields["challenge"]), challenge):
            raise KeyRejected("other-challenge")


def _fields(client_data: bytes) -> dict[str, Any]:
    """The client data, parsed. The library takes a challenge that is a number for a length, and makes as many bytes."""
    fields = json.loads(client_data)
    if not isinstance(fields, dict) or not isinstance(fields["challenge"], str):
        raise ValueError("client data is no object with a challenge")
    return fields


def _client_data(client_data: bytes) -> CollectedClientData:
    with _well_formed():
        _fields(client_data)
        return CollectedClientData(client_data)


def _cose(known: KnownKey) -> dict[int, Any]:
    decoded: dict[int, Any] = cbor.decode(known.public_key)  # type: ignore[assignment]  # our own encoding of a key
    return decoded


def _hash(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _signed(verify: Callable[[], T]) -> T:
    try:
        return verify()
    except (InvalidSignature, InvalidAttestation):
        raise KeyRejected("wrong-signature") from None


@contextmanager
def _well_formed(reason: str = "malformed") -> Iterator[None]:
    """Whatever the parsers raise. They say what they do not like in exceptions of more kinds than they name: of struct,
    of JSON, of X.509, their assertions."""
    try:
        yield
    except KeyRejected:
        raise
    except Exception:
        raise KeyRejected(reason) from None
